"""TrainingCurveDisplay: what is drawn, from what."""

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastnn import MLPClassifier, MLPRegressor
from fastnn.estimators import TrainingCurveDisplay

mpl.use("Agg")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def ax():
    return Figure().subplots()


def test_all_curves(ax, iris):
    clf = MLPClassifier(early_stopping=True, max_iter=8, n_iter_no_change=20, random_state=0).fit(*iris)
    display = TrainingCurveDisplay.from_estimator(clf, ax=ax, name="iris", linewidth=3)
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    np.testing.assert_array_equal(display.loss_line_.get_ydata(), clf.loss_curve_)
    np.testing.assert_array_equal(display.loss_line_.get_xdata(), np.arange(1, 9))
    np.testing.assert_array_equal(display.validation_loss_line_.get_ydata(), clf.validation_loss_curve_)
    np.testing.assert_array_equal(display.validation_scores_line_.get_ydata(), clf.validation_scores_)
    assert display.best_epoch == np.argmax(clf.validation_scores_) + 1
    assert display.score_ax_.get_ylabel() == "accuracy"
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("epoch", "loss", "iris")
    assert display.loss_line_.get_linewidth() == 3
    assert len(ax.get_legend().get_texts()) == 4


def test_training_loss_alone_and_in_a_pipeline(ax, diabetes):
    model = make_pipeline(StandardScaler(), MLPRegressor(max_iter=4, random_state=0)).fit(*diabetes)
    display = TrainingCurveDisplay.from_estimator(model, ax=ax)
    assert len(ax.lines) == 1
    assert display.score_ax_ is None
    assert display.best_epoch is None
    assert ax.get_title() == "MLPRegressor"


def test_plot_makes_a_figure_and_a_point_is_seen():
    import matplotlib.pyplot as plt

    display = TrainingCurveDisplay(loss=[1.0]).plot()
    assert display.loss_line_.get_marker() == "o"
    plt.close(display.figure_)


def test_errors(iris, diabetes):
    with pytest.raises(NotFittedError):
        TrainingCurveDisplay.from_estimator(MLPClassifier())
    with pytest.raises(ValueError, match="loss_curve_"):
        TrainingCurveDisplay.from_estimator(MLPClassifier(solver="lbfgs").fit(*iris))
    with pytest.raises(ValueError, match="validation_loss must have shape"):
        TrainingCurveDisplay(loss=[1.0, 2.0], validation_loss=[1.0])
    with pytest.raises(ValueError, match="at least one epoch"):
        TrainingCurveDisplay(loss=[])
