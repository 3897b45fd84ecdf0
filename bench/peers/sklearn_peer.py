"""scikit-learn's MLPClassifier (MLPRegressor for mse), through its public methods.

One ``fit(max_iter=n_epochs, warm_start=True)`` runs all epochs, so that validation of X and y is paid once a call, as
in ``fastnn.Trainer.fit``; ``partial_fit`` where a single epoch is asked for, because it keeps Adam's moments. Parameter
validation and the search for NaN are switched off, stopping is out of reach, and no penalty is added (alpha = 0).
"""

import warnings

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from bench.peers import lookup

ACTIVATIONS = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic", "linear": "identity"}
SOLVERS = {
    "adam": {"solver": "adam"},
    "sgd": {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 0.01},
    "momentum": {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": False, "learning_rate_init": 0.01},
    "nesterov": {"solver": "sgd", "momentum": 0.9, "nesterovs_momentum": True, "learning_rate_init": 0.01},
}


class Estimator:
    def __init__(self, workload, data):
        self.classifier = workload.loss != "mse"
        self.classes = np.arange(workload.sizes[-1])
        self.X, self.y = data
        self.model = (MLPClassifier if self.classifier else MLPRegressor)(
            hidden_layer_sizes=workload.sizes[1:-1],
            activation=lookup(ACTIVATIONS, workload.hidden, "activation", "scikit-learn"),
            batch_size=workload.step_rows,
            alpha=0.0,
            shuffle=workload.batch is not None,
            warm_start=True,
            n_iter_no_change=np.inf,
            random_state=0,
            **lookup(SOLVERS, workload.optimizer, "optimizer", "scikit-learn"),
        )
        sklearn.set_config(assume_finite=True, skip_parameter_validation=True)
        warnings.simplefilter("ignore", ConvergenceWarning)
        self._one_epoch()

    def _one_epoch(self):
        if self.classifier:
            self.model.partial_fit(self.X, self.y, classes=self.classes)
        else:
            self.model.partial_fit(self.X, self.y)

    def reset(self, weights):
        """In place: scikit-learn's optimizer holds the arrays themselves."""
        for own, given in zip(self.model.coefs_, weights[0::2], strict=True):
            own[...] = given
        for own, given in zip(self.model.intercepts_, weights[1::2], strict=True):
            own[...] = given
        if hasattr(self.model, "_optimizer"):
            del self.model._optimizer  # fit and partial_fit make a new one

    def train(self, n_epochs):
        if n_epochs == 1:
            self._one_epoch()
        else:
            self.model.set_params(max_iter=n_epochs).fit(self.X, self.y)
        return self.model.loss_ if self.classifier else 2 * self.model.loss_  # it halves squared errors

    def predict(self, X):
        return self.model.predict_proba(X) if self.classifier else self.model.predict(X)


def build(workload, data, threads):
    return Estimator(workload, data)
