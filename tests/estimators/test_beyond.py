"""What scikit-learn's estimators do not have: extra parameters, whose defaults change nothing."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss, mean_absolute_error

import fastnn
from fastnn import MLPClassifier, MLPRegressor
from fastnn.activations import LeakyReLU
from fastnn.callbacks import Callback, EarlyStopping, LearningRateScheduler, OptunaPruning
from fastnn.losses import Huber, PythonLoss
from support import rng

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_network_is_the_fitted_network(digits):
    X, y = digits
    clf = MLPClassifier((30, 20), max_iter=3, random_state=0).fit(X, y)
    assert isinstance(clf.network_, fastnn.Network)
    np.testing.assert_array_equal(clf.network_.predict(X), clf.predict_proba(X))
    clf.coefs_[1][:] = 0  # a view
    assert not clf.network_.get_weights()[2].any()


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_class_weights_leave_validation_as_it_is(breast_cancer):
    """Both samples that are given for it and those that early stopping holds out."""
    X, y, *_ = breast_cancer
    options = {"max_iter": 2, "random_state": 0, "early_stopping": True, "hidden_layer_sizes": (8,)}
    given = MLPClassifier(class_weight={1: 50.0}, **options).fit(X, y, X_val=X, y_val=y)
    assert max(given.validation_scores_) == pytest.approx(given.score(X, y), rel=1e-12)
    held_out = MLPClassifier(class_weight={1: 50.0}, **options).fit(X, y)
    n = int(np.ceil(0.1 * len(X)))
    shares = np.array(held_out.validation_scores_) * n
    np.testing.assert_allclose(shares, np.round(shares), atol=1e-9)  # so many samples, each counted once


def test_class_weight(breast_cancer):
    X, y = breast_cancer
    options = {"solver": "lbfgs", "max_iter": 20, "random_state": 0}
    balanced = MLPClassifier(class_weight="balanced", **options).fit(X, y)
    counts = np.bincount(y)
    by_hand = MLPClassifier(**options).fit(X, y, sample_weight=(len(y) / (2 * counts))[y])
    np.testing.assert_array_equal(balanced.coefs_[0], by_hand.coefs_[0])
    both = MLPClassifier(class_weight={0: 3.0}, **options).fit(X, y, sample_weight=np.full(len(y), 0.5))
    by_hand = MLPClassifier(**options).fit(X, y, sample_weight=np.where(y == 0, 1.5, 0.5))
    np.testing.assert_array_equal(both.coefs_[0], by_hand.coefs_[0])
    with pytest.raises(ValueError, match="class_weight='balanced' is not supported for partial_fit"):
        MLPClassifier(class_weight="balanced").partial_fit(X, y, classes=[0, 1])


def test_validation_data_of_ones_own(digits):
    X, y = digits
    train, held_out = slice(0, 450), slice(450, 600)
    options = {"max_iter": 25, "random_state": 0}
    plain = MLPClassifier(**options).fit(X[train], y[train])
    clf = MLPClassifier(**options).fit(X[train], y[train], X_val=X[held_out], y_val=y[held_out])
    np.testing.assert_array_equal(clf.coefs_[0], plain.coefs_[0])  # looking on changes nothing
    assert clf.loss_curve_ == plain.loss_curve_
    assert len(clf.validation_scores_) == len(clf.validation_loss_curve_) == 25
    assert clf.validation_scores_[-1] == pytest.approx(clf.score(X[held_out], y[held_out]))
    penalty = 0.5 * clf.alpha * sum((w**2).sum() for w in clf.coefs_) / 150
    loss = log_loss(y[held_out], clf.predict_proba(X[held_out]))
    assert clf.validation_loss_curve_[-1] == pytest.approx(loss + penalty, rel=1e-9)
    stopped = MLPClassifier(
        early_stopping=True, n_iter_no_change=3, max_iter=200, learning_rate_init=0.01, random_state=0
    )
    stopped.fit(X[train], y[train], X_val=X[held_out], y_val=y[held_out])
    assert stopped.n_iter_ < 200
    assert stopped.score(X[held_out], y[held_out]) == stopped.best_validation_score_ == max(stopped.validation_scores_)


@pytest.mark.parametrize("kind", ["digits", "two_targets"])
def test_validation_weights_count(kind, request):
    X, y = request.getfixturevalue(kind)
    cls = MLPClassifier if kind == "digits" else MLPRegressor
    weights = np.random.default_rng(0).uniform(size=len(X))
    model = cls(max_iter=3, random_state=0).fit(X, y, X_val=X, y_val=y, sample_weight_val=weights)
    assert model.validation_scores_[-1] == pytest.approx(model.score(X, y, sample_weight=weights))


def test_validation_data_are_checked(iris):
    X, y = iris
    clf = MLPClassifier(max_iter=2)
    for wrong, words in [
        ({"X_val": X}, "together"),
        ({"X_val": X[:, :2], "y_val": y}, "features"),
        ({"X_val": X, "y_val": y + 1}, "classes not in"),
        ({"X_val": X, "y_val": y[:-1]}, "inconsistent"),
    ]:
        with pytest.raises(ValueError, match=words):
            clf.fit(X, y, **wrong)
        assert not hasattr(clf, "network_")


def test_partial_fit_with_early_stopping(digits):
    X, y = digits
    clf = MLPClassifier(early_stopping=True, random_state=0, learning_rate_init=0.02)
    for _ in range(30):
        clf.partial_fit(X[:450], y[:450], classes=np.arange(10), X_val=X[450:], y_val=y[450:])
    assert len(clf.validation_scores_) == 30
    assert clf.score(X[450:], y[450:]) == clf.best_validation_score_ == max(clf.validation_scores_)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_is_what_is_computed_in_whatever_comes_in(dtype, iris):
    X, y = iris
    for solver in ("adam", "lbfgs"):
        clf = MLPClassifier(dtype=dtype, solver=solver, max_iter=3, random_state=0)
        for given in (X, X.astype(np.float32), (X * 10).astype(int)):
            assert clf.fit(given, y).network_.dtype == dtype
            assert clf.predict_proba(given).dtype == dtype


def test_an_activation_for_every_layer(iris):
    X, y = iris
    clf = MLPClassifier((9, 8, 7), ["logistic", LeakyReLU(0.2), "gelu"], max_iter=3).fit(X, y)
    assert [layer.activation.name for layer in clf.network_.layers[1:]] == ["sigmoid", "leaky_relu", "gelu", "softmax"]
    assert clf.network_.layers[2].activation.negative_slope == 0.2
    with pytest.raises(ValueError, match="one each"):
        MLPClassifier((9, 8), ["relu"]).fit(X, y)
    with pytest.raises(ValueError, match="did you mean 'gelu'"):
        MLPClassifier((9,), ["gelo"]).fit(X, y)


@pytest.mark.parametrize("activation", fastnn.activations.NAMES)
def test_every_activation_learns(activation, iris):
    X, y = iris
    clf = MLPClassifier((20,), activation, max_iter=100, learning_rate_init=0.01, random_state=0).fit(X, y)
    assert clf.score(X, y) > 0.9


@pytest.mark.parametrize("solver", [*fastnn.optimizers.NAMES, fastnn.SGD(0.1, momentum=0.9)])
def test_every_optimizer_learns(solver, iris):
    X, y = iris
    rate = {"adadelta": 1.0, "adagrad": 0.1, "sgd": 0.1}.get(solver if isinstance(solver, str) else "", 0.01)
    clf = MLPClassifier(solver=solver, max_iter=100, learning_rate_init=rate, batch_size=20, random_state=0).fit(X, y)
    assert clf.score(X, y) > 0.9


def test_dropout(digits):
    X, y = digits
    clf = MLPClassifier((40, 30), dropout=[0.0, 0.5], max_iter=40, random_state=0).fit(X, y)
    assert [layer.rate for layer in clf.network_.layers if isinstance(layer, fastnn.Dropout)] == [0.5]
    np.testing.assert_array_equal(clf.predict_proba(X), clf.predict_proba(X))
    without = MLPClassifier((40, 30), max_iter=40, random_state=0).fit(X, y)
    assert clf.loss_ > without.loss_
    with pytest.raises(ValueError, match="dropout"):
        MLPClassifier(dropout=1.0).fit(X, y)


def test_absolute_and_huber_loss_do_not_mind_outliers(diabetes):
    X, y = diabetes
    spoilt = y.copy()
    spoilt[::10] += 100.0
    errors = {}
    for loss in ("squared_error", "mae", "huber", Huber(delta=0.2)):
        model = MLPRegressor(loss, solver="lbfgs", alpha=1.0, max_iter=100, random_state=0).fit(X, spoilt)
        errors[str(loss)] = mean_absolute_error(y, model.predict(X))
    assert max(error for loss, error in errors.items() if loss != "squared_error") < errors["squared_error"] / 5


def half_squared_error(y, predictions):
    """scikit-learn's squared error of one target, as a function of one's own."""
    error = predictions - y
    return 0.5 * (error**2).sum(axis=1), error


@pytest.mark.parametrize("loss", [half_squared_error, PythonLoss(half_squared_error, "half")])
@pytest.mark.parametrize(
    "options", [{}, {"early_stopping": True}, {"solver": "lbfgs", "max_iter": 15}, {"n_threads": 2, "batch_size": 100}]
)
def test_a_loss_of_ones_own(loss, options, diabetes):
    """It trains as the built-in loss of the same formula does, penalty and weights included."""
    X, y = diabetes
    weights = rng(3).uniform(0.5, 2.0, len(y))
    common = {"hidden_layer_sizes": (20,), "alpha": 0.1, "max_iter": 8, "random_state": 0, **options}
    own = MLPRegressor(loss, **common).fit(X, y, sample_weight=weights)
    built_in = MLPRegressor(**common).fit(X, y, sample_weight=weights)
    assert own.loss_ == pytest.approx(built_in.loss_, rel=1e-6)
    for a, b in zip(own.coefs_, built_in.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert clone(own).loss == loss


def test_a_loss_of_ones_own_is_checked(diabetes, tmp_path):
    X, y = diabetes
    with pytest.raises(ValueError, match=r"must return values of shape \(200,\), got \(200, 1\)"):
        MLPRegressor(lambda y, p: ((p - y) ** 2, 2 * (p - y))).fit(X, y)
    with pytest.raises(ValueError, match="The 'loss' parameter of MLPRegressor must be"):
        MLPRegressor(loss=3).fit(X, y)
    path = tmp_path / "model.safetensors"
    with pytest.raises(ValueError, match="to be saved, got 'half_squared_error', a function of yours"):
        MLPRegressor(half_squared_error, max_iter=2).fit(X, y).save(path)
    assert not path.exists()


@pytest.mark.parametrize("scoring", ["neg_log_loss", "f1_macro"])
def test_early_stopping_by_any_scorer(scoring, breast_cancer):
    from sklearn.metrics import get_scorer

    X, y = breast_cancer
    y = np.array(["benign", "malignant"])[y]
    clf = MLPClassifier(scoring=scoring, early_stopping=True, max_iter=30, random_state=0)
    clf.fit(X, y, X_val=X[:100], y_val=y[:100])
    assert clf.best_validation_score_ == pytest.approx(get_scorer(scoring)(clf, X[:100], y[:100]))
    with pytest.raises(ValueError, match="scoring"):
        clf.set_params(scoring="ghost").fit(X, y)


def test_callbacks(iris):
    X, y = iris

    class Watcher(Callback):
        def __init__(self):
            self.names = set()

        def on_epoch_end(self, epoch, logs):
            self.names |= set(logs)

    watcher = Watcher()
    clf = MLPClassifier(callbacks=[watcher, EarlyStopping(monitor="val_loss", patience=1, min_delta=1.0)], max_iter=50)
    clf.fit(X, y, X_val=X, y_val=y)
    assert watcher.names == {"loss", "val_loss", "val_score"}
    assert clf.n_iter_ < 50
    rates = LearningRateScheduler(lambda epoch, rate: 0.1 / (epoch + 1))
    clf = MLPClassifier(callbacks=rates, max_iter=4).fit(X, y)
    assert clf._trainer.learning_rate == pytest.approx(0.1 / 4)
    with pytest.raises(TypeError, match=r"callbacks\[0\]"):
        MLPClassifier(callbacks=["print"]).fit(X, y)


def test_an_exception_in_a_callback_leaves_a_usable_estimator(iris):
    X, y = iris

    class Broken(Callback):
        def on_epoch_end(self, epoch, logs):
            if epoch == 3:
                raise RuntimeError("mine")

    clf = MLPClassifier(callbacks=[Broken()], random_state=0)
    with pytest.raises(RuntimeError, match="mine"):
        clf.fit(X, y)
    assert clf.n_iter_ == len(clf.loss_curve_) == 4
    assert np.isfinite(clf.predict_proba(X)).all()


def test_n_threads_changes_nothing_beyond_rounding(digits):
    X, y = digits
    for solver in ("adam", "lbfgs"):
        one, two = (
            MLPClassifier((50,), solver=solver, n_threads=n, max_iter=5, random_state=0).fit(X, y) for n in (1, 2)
        )
        np.testing.assert_allclose(two.coefs_[0], one.coefs_[0], atol=1e-9)


def test_no_convergence_warning_when_a_callback_stopped(iris, recwarn):
    class Stop(Callback):
        def on_epoch_end(self, epoch, logs):
            self.trainer.stop_training = True

    MLPClassifier(callbacks=[Stop()], max_iter=1).fit(*iris)
    assert not [w for w in recwarn if issubclass(w.category, ConvergenceWarning)]


def test_optuna_prunes_trials(iris):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    X, y = iris

    def objective(trial):
        rate = trial.suggest_categorical("rate", [1e-2, 1e-5])
        clf = MLPClassifier(
            learning_rate_init=rate, max_iter=20, random_state=0, callbacks=[OptunaPruning(trial, "val_score")]
        )
        return clf.fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2]).validation_scores_[-1]

    sampler = optuna.samplers.GridSampler({"rate": [1e-2, 1e-5]}, seed=0)
    study = optuna.create_study(
        direction="maximize", sampler=sampler, pruner=optuna.pruners.ThresholdPruner(lower=0.5, n_warmup_steps=5)
    )
    study.enqueue_trial({"rate": 1e-2})
    study.optimize(objective, n_trials=2)
    states = {trial.params["rate"]: trial.state.name for trial in study.trials}
    assert study.best_params == {"rate": 1e-2}
    assert states.get(1e-5, "PRUNED") == "PRUNED"
    with pytest.raises(KeyError, match="val_loss"):
        MLPClassifier(callbacks=[OptunaPruning(study.ask())]).fit(X, y)


def test_import_of_fastnn_leaves_sklearn_alone():
    import subprocess
    import sys

    code = (
        "import sys, fastnn; assert 'sklearn' not in sys.modules; fastnn.MLPClassifier; assert 'sklearn' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert "MLPRegressor" in dir(fastnn)
    with pytest.raises(AttributeError, match="MLPGuesser"):
        fastnn.MLPGuesser  # noqa: B018


def test_schedules(iris):
    X, y = iris
    for solver in ("adam", "sgd", "rmsprop"):
        schedule = fastnn.schedules.ExponentialDecay(0.01, decay_steps=1, decay_rate=0.5)
        clf = MLPClassifier(solver=solver, learning_rate=schedule, batch_size=150, max_iter=4).fit(X, y)
        assert clf._trainer.optimizer.learning_rate == schedule
    held = MLPClassifier(learning_rate=fastnn.schedules.ExponentialDecay(0.01, 1, 1e-9), batch_size=150, max_iter=4)
    once = MLPClassifier(learning_rate_init=0.01, batch_size=150, max_iter=1)
    held, once = (clf.set_params(random_state=0).fit(X, y) for clf in (held, once))
    np.testing.assert_allclose(held.coefs_[0], once.coefs_[0], atol=1e-9)  # only the first step moves


class Recorder:
    """A callback of scikit-learn's."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.events, self.scores = [], []

    def setup(self, estimator, context):
        self.events.append("setup")

    def teardown(self, estimator, context):
        self.events.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        self.events.append(f"end {context.task_name}")
        self.scores.append(fitted_estimator.score(X, y))
        return len(self.scores) == self.stop_after


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callbacks_of_scikit_learn(solver, iris):
    pytest.importorskip("sklearn.callback")
    recorder = Recorder()
    clf = MLPClassifier(solver=solver, max_iter=3, random_state=0).set_callbacks(recorder).fit(*iris)
    epoch = ["begin epoch", "end epoch"]
    assert recorder.events == ["setup", "begin fit", *epoch * 3, "end fit", "teardown"]
    assert recorder.scores[-1] == recorder.scores[-2] == clf.score(*iris)
    assert len(set(recorder.scores)) > 1
    plain = MLPClassifier(solver=solver, max_iter=3, random_state=0).fit(*iris)
    np.testing.assert_array_equal(plain.coefs_[0], clf.coefs_[0])
    stopped = MLPClassifier(solver=solver, random_state=0).set_callbacks(Recorder(stop_after=2)).fit(*iris)
    assert stopped.n_iter_ == 2


def test_label_smoothing(iris, breast_cancer):
    for (X, y), k in ((iris, 3), (breast_cancer, 2)):
        clf = MLPClassifier(label_smoothing=0.2, solver="lbfgs", alpha=0.0, max_iter=500, random_state=0).fit(X, y)
        assert clf.score(X, y) > 0.97
        # No probability pays better than the smoothed target's.
        assert np.quantile(clf.predict_proba(X).max(axis=1), 0.5) == pytest.approx(1 - 0.2 + 0.2 / k, abs=0.02)
    with pytest.raises(ValueError, match="label_smoothing"):
        MLPClassifier(label_smoothing=1.0).fit(*iris)


@pytest.mark.parametrize("normalization", ["layer", "batch"])
def test_normalization(normalization, digits):
    X, y = digits
    clf = MLPClassifier((40, 30), normalization=normalization, max_iter=20, learning_rate_init=0.01, random_state=0)
    clf.fit(X[:450], y[:450])
    names = [type(layer).__name__ for layer in clf.network_.layers]
    hidden = ["Dense", f"{normalization.title()}Normalization", "Activation"]
    assert names == ["Input", *hidden, *hidden, "Dense"]
    assert [w.shape for w in clf.coefs_] == [(64, 40), (40, 30), (30, 10)]
    assert [b.shape for b in clf.intercepts_] == [(40,), (30,), (10,)]
    assert clf.score(X[450:], y[450:]) > 0.85
    stopped = clf.set_params(early_stopping=True, max_iter=30).fit(X[:450], y[:450], X_val=X[450:], y_val=y[450:])
    assert stopped.score(X[450:], y[450:]) == stopped.best_validation_score_ == max(stopped.validation_scores_)


def test_batch_normalization_needs_batches(iris):
    with pytest.raises(ValueError, match="normalization='batch' needs batches"):
        MLPClassifier(normalization="batch", solver="lbfgs").fit(*iris)


def test_all_of_it_is_saved(iris, tmp_path):
    X, y = iris
    schedule = fastnn.schedules.CosineDecay(0.01, decay_steps=100)
    clf = MLPClassifier((9, 8), ["gelu", LeakyReLU(0.3)], learning_rate=schedule, normalization="batch", dropout=0.1,
                        label_smoothing=0.1, early_stopping=True, max_iter=9, random_state=0).fit(X, y)  # fmt: skip
    clf.save(tmp_path / "clf.fastnn")
    other = MLPClassifier.load(tmp_path / "clf.fastnn")
    assert other.get_params() == clf.get_params()
    np.testing.assert_array_equal(other.predict_proba(X), clf.predict_proba(X))
    for estimator in (clf, other):
        estimator.set_params(warm_start=True).fit(X, y)
    np.testing.assert_array_equal(other.predict_proba(X), clf.predict_proba(X))
