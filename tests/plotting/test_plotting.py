"""Learning curves: the right numbers on labelled axes."""

import importlib.util
import subprocess
import sys

import matplotlib
import numpy as np
import pytest

import fastnn
from fastnn import plotting

matplotlib.use("Agg")


@pytest.fixture
def history():
    return fastnn.History(
        history={"loss": [3.0, 2.0, 1.0], "accuracy": [0.1, 0.5, 0.9], "val_loss": [3.5, 2.5, 2.0]}, epoch=[0, 1, 2]
    )


@pytest.fixture
def close_figures():
    from matplotlib import pyplot

    yield
    pyplot.close("all")


def curves(ax):
    return {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in ax.lines}


@pytest.mark.usefixtures("close_figures")
def test_a_panel_for_the_loss_and_one_for_each_metric(history):
    loss, accuracy = history.plot()
    assert (loss.get_xlabel(), loss.get_ylabel()) == ("epoch", "loss")
    assert (accuracy.get_xlabel(), accuracy.get_ylabel()) == ("epoch", "accuracy")
    assert curves(loss) == {"training": ([1, 2, 3], [3.0, 2.0, 1.0]), "validation": ([1, 2, 3], [3.5, 2.5, 2.0])}
    assert curves(accuracy) == {"training": ([1, 2, 3], [0.1, 0.5, 0.9])}
    assert [text.get_text() for text in loss.get_legend().get_texts()] == ["training", "validation"]
    assert accuracy.get_legend() is None


def test_figures_of_rounds_on_a_cluster_are_no_curves(history):
    n_epochs = len(history.epoch)
    names = plotting.curve_names(history)
    for name in ("rows_per_second", "bytes_moved", "waiting"):
        history.history[name] = [0.5] * n_epochs
    assert plotting.curve_names(history) == names
    assert len(plotting.plot_history(history, axes=plotting.new_figure(history).axes)) == len(names)


def test_own_axes_are_drawn_on_without_pyplot(history):
    figure = plotting.new_figure(history)
    axes = history.plot(axes=figure.axes)
    assert axes == figure.axes
    assert axes[0].figure is figure
    figure.canvas.draw()


def test_validation_that_began_later_lies_under_its_epochs():
    history = fastnn.History(history={"loss": [3.0, 2.0, 1.0], "val_loss": [np.nan, 2.5, 2.0]}, epoch=[0, 1, 2])
    (ax,) = history.plot(axes=plotting.new_figure(history).axes)
    assert curves(ax)["validation"] == ([2, 3], [2.5, 2.0])


def test_validation_at_some_epochs_is_one_line():
    """A line breaks at NaN: every second epoch alone would be points without a line, which are not drawn."""
    columns = {"loss": [3.0, 2.0, 1.0, 0.5], "val_loss": [np.nan, 2.5, np.nan, 2.0]}
    history = fastnn.History(history=columns, epoch=[0, 1, 2, 3])
    (ax,) = history.plot(axes=plotting.new_figure(history).axes)
    assert curves(ax)["validation"] == ([2, 4], [2.5, 2.0])


def test_a_single_validated_epoch_can_be_seen():
    history = fastnn.History(history={"loss": [3.0, 2.0], "val_loss": [np.nan, 2.0]}, epoch=[0, 1])
    (ax,) = history.plot(axes=plotting.new_figure(history).axes)
    assert [line.get_marker() for line in ax.lines] == ["None", "o"]


def test_one_epoch_can_be_seen():
    history = fastnn.History(history={"loss": [3.0]}, epoch=[0])
    (ax,) = history.plot(axes=plotting.new_figure(history).axes)
    assert ax.lines[0].get_marker() == "o"


def test_the_curves_are_those_of_a_real_fit():
    X = np.linspace(-1, 1, 40)[:, None]
    trainer = fastnn.Trainer(fastnn.Network.mlp(1, [4], 1, seed=0), loss="mse", metrics=["mae"])
    history = trainer.fit(X, X[:, 0], epochs=4, validation_split=0.25)
    loss, mae = history.plot(axes=plotting.new_figure(history).axes)
    assert curves(loss)["training"][1] == history.history["loss"]
    assert curves(mae)["validation"][1] == history.history["val_mae"]


def test_wrong_use_is_told(history):
    with pytest.raises(ValueError, match="at least one epoch"):
        fastnn.History().plot()
    with pytest.raises(ValueError, match="axes must hold 2 axes, for loss, accuracy; got 1"):
        history.plot(axes=plotting.new_figure(history).axes[:1])


def test_missing_matplotlib_names_the_extra(history, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "fastnn\[plot\]"'):
        history.plot()


def test_importing_fastnn_loads_nothing_heavy():
    heavy = ["matplotlib", "rich", "sklearn", "scipy.stats", "safetensors"]
    program = f"import sys, fastnn; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
