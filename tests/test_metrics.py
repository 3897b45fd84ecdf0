"""Metrics: against scikit-learn or by hand, weighted, in training, validation and evaluation."""

import math
import pickle

import numpy as np
import pytest
from sklearn import metrics as sk

import fastnn
from fastnn.metrics import NAMES, Metric, TopKAccuracy

N = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4))
WEIGHTS = RNG.uniform(0.2, 3, N)
BINARY = (X[:, 0] + RNG.normal(size=N) > 0).astype(int)
CLASSES = RNG.integers(0, 3, N)
LABELS = RNG.integers(0, 2, (N, 3))
VALUES = RNG.normal(size=(N, 2))
TASKS = {
    "binary": (1, "sigmoid", "log_loss", BINARY),
    "classes": (3, "softmax", "categorical_crossentropy", CLASSES),
    "one-hot": (3, "softmax", "categorical_crossentropy", np.eye(3)[CLASSES]),
    "labels": (3, "sigmoid", "log_loss", LABELS),
    "regression": (2, "linear", "mse", VALUES),
}


def make_trainer(task, metrics, dtype="float64"):
    n_outputs, output, loss, y = TASKS[task]
    network = fastnn.Network.mlp(4, [6], n_outputs, output=output, dtype=dtype, seed=1)
    return fastnn.Trainer(network, loss=loss, metrics=metrics), y


def expected(name, task, predictions, weight):
    """Each metric of each task, spelt out with scikit-learn."""
    p = predictions
    if task == "binary":
        true, yes, average, columns = BINARY, (p[:, 0] > 0.5).astype(int), "binary", [(BINARY, p[:, 0])]
    elif task == "labels":
        true, yes, average, columns = LABELS, (p > 0.5).astype(int), "macro", list(zip(LABELS.T, p.T, strict=True))
    else:
        true, yes, average = CLASSES, p.argmax(axis=1), "macro"
        columns = [(c == CLASSES, p[:, c]) for c in range(3)]
    if name == "log_loss":
        if task in ("classes", "one-hot"):
            return sk.log_loss(CLASSES, p, sample_weight=weight, labels=[0, 1, 2])
        return np.mean([sk.log_loss(t, s, sample_weight=weight, labels=[0, 1]) for t, s in columns])
    if name == "roc_auc":
        return np.mean([sk.roc_auc_score(t, s, sample_weight=weight) for t, s in columns])
    if name == "binary_accuracy":
        one_hot = np.column_stack([t for t, _ in columns])
        return np.average(((p > 0.5) == one_hot).mean(axis=1), weights=weight)
    function = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}[name]
    return function(true, yes, average=average, sample_weight=weight, zero_division=0)


@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("task", ["binary", "classes", "one-hot", "labels"])
@pytest.mark.parametrize("name", ["binary_accuracy", "precision", "recall", "f1", "roc_auc", "log_loss"])
def test_metrics_of_decisions(name, task, weight):
    trainer, y = make_trainer(task, [name])
    value = trainer.evaluate(X, y, sample_weight=weight)[name]
    assert value == pytest.approx(expected(name, task, trainer.network.predict(X), weight), rel=1e-12)


@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["unweighted", "weighted"])
def test_metrics_of_numbers(weight):
    trainer, y = make_trainer("regression", ["mse", "rmse", "mae", "r2", "mape"])
    p = trainer.network.predict(X)
    mse = sk.mean_squared_error(y, p, sample_weight=weight)
    wanted = {
        "loss": mse, "mse": mse, "rmse": mse**0.5, "mae": sk.mean_absolute_error(y, p, sample_weight=weight),
        "r2": sk.r2_score(y, p, sample_weight=weight),
        "mape": 100 * sk.mean_absolute_percentage_error(y, p, sample_weight=weight),
    }  # fmt: skip
    assert trainer.evaluate(X, y, sample_weight=weight) == pytest.approx(wanted, rel=1e-12)


def test_the_logarithmic_error():
    trainer, y = make_trainer("regression", ["msle"])
    p, true = trainer.network.predict(X), np.abs(y)
    value = trainer.evaluate(X, true, sample_weight=WEIGHTS)["msle"]
    expected = sk.mean_squared_log_error(true, np.maximum(p, 1e-7), sample_weight=WEIGHTS)
    assert value == pytest.approx(expected, rel=1e-6)  # targets are 1e-7 at least, too


@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k(k, weight):
    trainer, y = make_trainer("classes", [TopKAccuracy(k), "accuracy"])
    result = trainer.evaluate(X, y, sample_weight=weight)
    p = trainer.network.predict(X)
    wanted = sk.top_k_accuracy_score(y, p, k=k, sample_weight=weight, labels=[0, 1, 2]) if k < 3 else 1.0
    assert result[f"top_{k}_accuracy"] == pytest.approx(wanted, rel=1e-12)
    if k == 1:
        assert result["accuracy"] == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("task, names", [("binary", NAMES), ("classes", NAMES), ("labels", NAMES)])
def test_every_metric_in_training_and_validation(task, names, dtype):
    trainer, y = make_trainer(task, names, dtype)
    history = trainer.fit(X, y, epochs=3, validation_split=0.3).history
    assert set(history) == {"loss", *names, "val_loss", *(f"val_{name}" for name in names)}
    assert np.isfinite(list(history.values())).all()


def test_metrics_of_all_predictions_are_those_of_the_epochs_last_parameters():
    trainer, y = make_trainer("binary", ["roc_auc"])
    history = trainer.fit(X, y, epochs=2).history
    assert history["roc_auc"][-1] == trainer.evaluate(X, y)["roc_auc"]


def test_a_split_shows_metrics_only_their_rows():
    seen = []

    def n_rows(y, predictions):
        seen.append((len(y), len(predictions)))
        return 0.0

    trainer, y = make_trainer("classes", [n_rows])
    trainer.fit(X, y, validation_split=0.25)
    assert seen == [(45, 45), (15, 15)]


def test_roc_auc_of_a_class_without_samples_is_nan():
    trainer, _ = make_trainer("binary", ["roc_auc"])
    assert math.isnan(trainer.evaluate(X, np.ones(N))["roc_auc"])


# --- metrics of one's own -------------------------------------------------------------------------------------------


def worst(y, predictions):
    return np.abs(y - predictions).max()


def weighted_bias(y, predictions, sample_weight=None):
    return np.average((predictions - y).mean(axis=1), weights=sample_weight)


def test_functions_are_metrics():
    trainer, y = make_trainer("regression", [worst, weighted_bias])
    result = trainer.evaluate(X, y, sample_weight=WEIGHTS)
    p = trainer.network.predict(X)
    assert result["worst"] == np.abs(y - p).max()
    assert result["weighted_bias"] == np.average((p - y).mean(axis=1), weights=WEIGHTS)
    history = trainer.fit(X, y, epochs=2, validation_data=(X, y)).history
    assert history["val_worst"][-1] == history["worst"][-1] == trainer.evaluate(X, y)["worst"]


def test_scikit_learns_functions_are_metrics():
    trainer, y = make_trainer("regression", sk.median_absolute_error)
    value = trainer.evaluate(X, y, sample_weight=WEIGHTS)["median_absolute_error"]
    assert value == sk.median_absolute_error(y, trainer.network.predict(X), sample_weight=WEIGHTS)


def test_functions_get_class_numbers():
    def kinds(y, predictions):
        assert y.dtype == np.int64 and y.shape == (N,) and predictions.shape == (N, 3)
        return 1

    trainer, y = make_trainer("classes", [kinds])
    assert trainer.evaluate(X, y)["kinds"] == 1.0


def test_early_stopping_needs_a_mode_for_a_metric_of_ones_own():
    trainer, y = make_trainer("regression", [worst])
    with pytest.raises(ValueError, match="mode must be 'min' or 'max' for 'worst', a metric of your own; got 'auto'"):
        trainer.fit(X, y, callbacks=[fastnn.callbacks.EarlyStopping("worst")])
    trainer.fit(X, y, callbacks=[fastnn.callbacks.EarlyStopping("worst", mode="min")])
    trainer.fit(X, y, callbacks=[fastnn.callbacks.EarlyStopping("loss")])


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "metrics, error, message",
    [
        (["acuracy"], ValueError, "metrics must be one of 'accuracy', .*, got 'acuracy'; did you mean 'accuracy'?"),
        ([3], TypeError, "metrics must be one of .*, got 3"),
        (3, TypeError, "metrics must be a sequence of names, metrics or functions, got 3"),
        ({"mse": "rmse"}, TypeError, "metrics must be a sequence of names, metrics or functions, got {'mse': 'rmse'}"),
        (["mse", "mse"], ValueError, "metrics must have names of their own .*, got 'mse'"),
        ([Metric("loss")], ValueError, "metrics must have names of their own .*, got 'loss'"),
        ([Metric("val_x")], ValueError, "metrics must have names of their own .*, got 'val_x'"),
    ],
)
def test_wrong_metrics(metrics, error, message):
    with pytest.raises(error, match=message):
        make_trainer("binary", metrics)


def test_a_function_that_returns_no_number():
    trainer, y = make_trainer("binary", lambda y, predictions: "good")
    with pytest.raises(TypeError, match="metric '<lambda>' must return a number, got 'good'"):
        trainer.evaluate(X, y)


def test_metrics_are_picklable():
    trainer, y = make_trainer("classes", [*NAMES, TopKAccuracy(2), worst_class])
    again = pickle.loads(pickle.dumps(trainer))
    assert again.evaluate(X, y) == trainer.evaluate(X, y)


def worst_class(y, predictions):
    return predictions[np.arange(len(y)), y].min()


def test_saved_metrics_come_back(tmp_path):
    trainer, y = make_trainer("classes", ["f1", TopKAccuracy(2), "mse"])
    trainer.save(tmp_path / "x.fastnn")
    assert fastnn.Trainer.load(tmp_path / "x.fastnn").evaluate(X, y) == trainer.evaluate(X, y)
    own, _ = make_trainer("classes", [worst])
    with pytest.raises(ValueError, match="metrics must have names that fastnn knows to be saved, got 'worst'"):
        own.save(tmp_path / "y.fastnn")


@pytest.mark.parametrize("task, what", [("binary", "one output"), ("labels", "outputs that are labels")])
def test_top_k_needs_classes(task, what):
    with pytest.raises(ValueError, match=f"'top_2_accuracy' needs an output a class, got {what}"):
        make_trainer(task, ["top_2_accuracy"])


def test_top_k_arguments():
    with pytest.raises(ValueError, match="k must be an integer >= 1, got 0"):
        TopKAccuracy(0)
