"""fastnn's MLPClassifier against scikit-learn's: same parameters, same data, the same number of epochs."""

import time
import warnings

import numpy as np
import sklearn

from bench.measure import repeated
from bench.peers import Unsupported
from bench.workloads import digits, make_data

EPOCHS = 5


def _classifier(peer):
    if peer == "sklearn":
        from sklearn.neural_network import MLPClassifier

        return MLPClassifier
    import fastnn

    if not hasattr(fastnn, "MLPClassifier"):
        raise Unsupported("fastnn has no MLPClassifier yet")
    return fastnn.MLPClassifier


def _data(workload):
    if "digits" not in workload.name:
        return make_data(workload)
    X, X_test, y, y_test = digits()
    return np.concatenate([X, X_test]).astype(workload.dtype), np.concatenate([y, y_test])


def _estimator(workload, peer, **parameters):
    """The default classifier (100 relu units, Adam, alpha 1e-4), stopped by nothing but max_iter."""
    sklearn.set_config(assume_finite=False, skip_parameter_validation=False)  # sklearn_peer.py may have been here
    warnings.filterwarnings("ignore", message=".*Maximum iterations.*")
    return _classifier(peer)(
        hidden_layer_sizes=workload.sizes[1:-1],
        batch_size=workload.batch,
        max_iter=EPOCHS,
        n_iter_no_change=EPOCHS + 1,
        random_state=0,
        **parameters,
    )


def fit(workload, peer, settings):
    """Seconds per epoch of ``fit``, everything in it included."""
    X, y = _data(workload)
    estimator = _estimator(workload, peer)
    extra = {"epochs": EPOCHS}
    estimator.fit(X[:400], y[:400])

    def action():
        start = time.perf_counter()
        estimator.fit(X, y)
        elapsed = time.perf_counter() - start
        extra["training_loss"] = float(estimator.loss_)
        return elapsed / EPOCHS

    return action, extra


def predict(workload, peer, settings):
    """Seconds per ``predict`` of all rows, default settings: every check of the input is in it."""
    X, _ = make_data(workload)
    X_train, _, y, _ = digits()
    estimator = _estimator(workload, peer).fit(X_train.astype(X.dtype), y)

    def run(n):
        for _ in range(n):
            estimator.predict(X)

    action, n = repeated(run, 1, settings.seconds)
    return action, {"calls_per_sample": n}
