"""MLPClassifier and MLPRegressor: scikit-learn's interface, fastnn's speed."""

from functools import lru_cache
from numbers import Real
from typing import ClassVar

import numpy as np
from scipy.special import xlogy
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from fastnn.estimators import parameters
from fastnn.estimators.mlp import BaseMLP, only_stochastic
from fastnn.estimators.reported_loss import ReportedLoss, summed_over_outputs
from fastnn.estimators.targets import BaseClassifier, BaseRegressor
from fastnn.losses import CategoricalCrossentropy, LogLoss, LossFunction, PythonLoss


class MLPClassifier(BaseClassifier, BaseMLP):
    """A multilayer perceptron for classes: scikit-learn's MLPClassifier, computed by fastnn's kernels.

    Parameters up to `max_fun` have scikit-learn's names, defaults and meaning [1]_; the ones after it are fastnn's,
    and their defaults change nothing.

    Parameters
    ----------
    hidden_layer_sizes : array-like of int, default (100,)
        Units of each hidden layer; may be empty.
    activation : str, ActivationFunction or list of them, default "relu"
        Of the hidden layers: "identity", "logistic", "tanh", "relu" or any name of `fastnn.activations`; a list gives
        every hidden layer its own.
    solver : "adam", "sgd", "lbfgs", another name of `fastnn.optimizers`, or an Optimizer, default "adam"
        An Optimizer object brings its own learning rate and constants.
    alpha : float, default 0.0001
        L2 penalty: alpha / 2 times the sum of squared weights, divided by the weight of the batch.
    batch_size : int or "auto", default "auto"
        Samples a step; "auto" is min(200, n_samples). lbfgs always takes all samples.
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
        For sgd: learning_rate_init throughout; learning_rate_init / t**power_t after t samples; or a fifth of itself
        whenever training stands still.
    learning_rate_init : float, default 0.001
        Step length at the start; not for lbfgs.
    power_t : float, default 0.5
        Exponent of "invscaling".
    max_iter : int, default 200
        Most epochs, or iterations of lbfgs.
    shuffle : bool, default True
        Whether each epoch has its own order.
    random_state : int, RandomState instance or None, default None
        For initial weights (the same as scikit-learn's), the validation split, shuffling and dropout.
    tol : float, default 1e-4
        Improvements of loss or score below it do not count; gradient tolerance of lbfgs.
    verbose : bool, default False
        Whether to print the loss of each epoch.
    warm_start : bool, default False
        Whether `fit` goes on from the weights of the last fit.
    momentum : float, default 0.9
        Of sgd, in [0, 1].
    nesterovs_momentum : bool, default True
        Whether sgd's momentum is Nesterov's.
    early_stopping : bool, default False
        Whether to hold out samples, to stop by their score instead of the training loss, and to keep the weights of the
        best epoch.
    validation_fraction : float, default 0.1
        Share of the samples held out, in [0, 1).
    beta_1, beta_2 : float, default 0.9, 0.999
        Decay of adam's two moments, in [0, 1).
    epsilon : float, default 1e-8
        Adam's denominator is at least this.
    n_iter_no_change : int or inf, default 10
        Epochs without improvement that end training (or divide an adaptive learning rate).
    max_fun : int, default 15000
        Most evaluations of the loss by lbfgs.
    class_weight : dict, "balanced" or None, default None
        A factor for the samples of each label in training, not in validation; "balanced" takes
        n_samples / (n_classes * count).
    label_smoothing : float, default 0.0
        How far targets are moved towards uniform, in [0, 1); the loss that is reported is the smoothed one.
    normalization : {"layer", "batch"} or None, default None
        Layer or batch normalisation between each hidden layer's products and its activation.
    dropout : float or list of float, default 0.0
        Rate of dropout after every hidden layer, or one each; in [0, 1). lbfgs trains without.
    scoring : str, callable or None, default None
        A scikit-learn scorer for the validation samples; None is `score`.
    callbacks : list of fastnn.callbacks.Callback or None, default None
        Hooks into the Trainer, after each epoch's own bookkeeping.
    n_threads : int or None, default 1
        Threads that train one network; None lets fastnn choose. More do not change results beyond rounding.
    dtype : {"auto", "float32", "float64"}, default "auto"
        Of weights and arithmetic; "auto" follows X as scikit-learn does (float32 stays, all else is float64).
    n_estimators : int, default 1
        Networks that differ in their random numbers; they are trained side by side over the CPUs, and predictions are
        the mean of theirs.
    bootstrap : bool, default False
        Whether each of them sees rows drawn anew, with replacement.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    network_ : fastnn.Network
        The fitted network itself; of several, the first.
    estimators_ : list of MLPClassifier
        The members, where n_estimators > 1 or with bootstrap. `loss_` is then the mean of theirs, `n_iter_` the
        largest.
    coefs_, intercepts_ : list of ndarray
        Kernels of shape (fan_in, units) and biases of shape (units,): views into `network_`.
    n_iter_, t_ : int
        Epochs of the last fit; samples seen by all fits.
    loss_, best_loss_ : float
        Loss of the last epoch, penalty included; the lowest (None with early stopping).
    loss_curve_ : list of float
        Loss of each epoch, over continued fits. Not with lbfgs.
    validation_scores_, validation_loss_curve_ : list of float or None
        Score and loss on held-out samples after each epoch; None where none are.
    best_validation_score_ : float or None
        The highest score, with early stopping.
    n_layers_, n_outputs_ : int
        Layers, counting input and output; output units.
    out_activation_ : str
        scikit-learn's name of the output activation.
    n_features_in_ : int
        Features seen in fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X had names.

    References
    ----------
    .. [1] https://scikit-learn.org/stable/modules/generated/sklearn.neural_network.MLPClassifier.html
    .. [2] D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.

    Examples
    --------
    >>> from fastnn import MLPClassifier
    >>> from sklearn.datasets import make_classification
    >>> X, y = make_classification(n_samples=200, random_state=1)
    >>> clf = MLPClassifier(max_iter=500, random_state=1).fit(X[:150], y[:150])
    >>> clf.predict_proba(X[150:152]).shape
    (2, 2)
    >>> bool(clf.score(X[150:], y[150:]) > 0.7)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **parameters.CONSTRAINTS,
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
    }

    loss = "log_loss"  # an attribute in scikit-learn too, and no parameter

    def __init__(
        self,
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        class_weight=None,
        label_smoothing=0.0,
        normalization=None,
        dropout=0.0,
        scoring=None,
        callbacks=None,
        n_threads=1,
        dtype="auto",
        n_estimators=1,
        bootstrap=False,
    ):
        parameters.store_parameters(self, locals())

    @only_stochastic
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, classes=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Train for one epoch over the given samples, going on from the last call.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`; y need not hold all classes.
        classes : array-like of shape (n_classes,), default None
            All labels of all calls; required in the first.
        X_val, y_val, sample_weight_val
            As for `fit`. With them `early_stopping` is possible: `network_` then holds the best weights so far.

        Returns
        -------
        MLPClassifier
            The estimator itself.

        Raises
        ------
        ValueError, TypeError
            If `classes` is missing or differs from an earlier call's, or a parameter or the data are wrong.

        Examples
        --------
        >>> from fastnn import MLPClassifier
        >>> clf = MLPClassifier(random_state=0)
        >>> for _ in range(3):
        ...     clf = clf.partial_fit([[0.0], [1.0]], [0, 1], classes=[0, 1, 2])
        >>> len(clf.loss_curve_)
        3
        """
        self._declare_classes(classes, y)
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), is_incremental=True)

    def _reported_loss(self, y: np.ndarray, weights: np.ndarray | None) -> ReportedLoss:
        return _loss_of_classes(self._labels.kind == "multiclass", self.label_smoothing, self._labels.n_outputs)


@lru_cache(maxsize=16)
def _loss_of_classes(is_multiclass: bool, label_smoothing: float, n_outputs: int) -> ReportedLoss:
    if is_multiclass:
        return ReportedLoss(summed_over_outputs(CategoricalCrossentropy(label_smoothing), 1), "softmax")
    return ReportedLoss(summed_over_outputs(LogLoss(label_smoothing), n_outputs), "sigmoid")


class MLPRegressor(BaseRegressor, BaseMLP):
    """A multilayer perceptron for numbers: scikit-learn's MLPRegressor, computed by fastnn's kernels.

    Parameters up to `max_fun` have scikit-learn's names, defaults and meaning [1]_; the ones after it are fastnn's,
    and their defaults change nothing.

    Parameters
    ----------
    loss : {"squared_error", "poisson", "mae", "huber", "mape", "msle"}, LossFunction or callable, default the first
        Half the squared error; half the Poisson deviance, with an exponential output; the absolute error; Huber's loss
        with delta 1; percent of y; the squared error of ln(1 + y); all summed over outputs. Or an object of
        `fastnn.losses` such as ``Huber(delta)``, which averages over them; or a function of yours (y, predictions) ->
        (values, gradient), see `fastnn.losses.PythonLoss`.
    hidden_layer_sizes : array-like of int, default (100,)
        Units of each hidden layer; may be empty.
    activation : str, ActivationFunction or list of them, default "relu"
        Of the hidden layers: "identity", "logistic", "tanh", "relu" or any name of `fastnn.activations`; a list gives
        every hidden layer its own.
    solver : "adam", "sgd", "lbfgs", another name of `fastnn.optimizers`, or an Optimizer, default "adam"
        An Optimizer object brings its own learning rate and constants.
    alpha : float, default 0.0001
        L2 penalty: alpha / 2 times the sum of squared weights, divided by the weight of the batch.
    batch_size : int or "auto", default "auto"
        Samples a step; "auto" is min(200, n_samples). lbfgs always takes all samples.
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
        For sgd: learning_rate_init throughout; learning_rate_init / t**power_t after t samples; or a fifth of itself
        whenever training stands still.
    learning_rate_init : float, default 0.001
        Step length at the start; not for lbfgs.
    power_t : float, default 0.5
        Exponent of "invscaling".
    max_iter : int, default 200
        Most epochs, or iterations of lbfgs.
    shuffle : bool, default True
        Whether each epoch has its own order.
    random_state : int, RandomState instance or None, default None
        For initial weights (the same as scikit-learn's), the validation split, shuffling and dropout.
    tol : float, default 1e-4
        Improvements of loss or score below it do not count; gradient tolerance of lbfgs.
    verbose : bool, default False
        Whether to print the loss of each epoch.
    warm_start : bool, default False
        Whether `fit` goes on from the weights of the last fit.
    momentum : float, default 0.9
        Of sgd, in [0, 1].
    nesterovs_momentum : bool, default True
        Whether sgd's momentum is Nesterov's.
    early_stopping : bool, default False
        Whether to hold out samples, to stop by their score instead of the training loss, and to keep the weights of the
        best epoch.
    validation_fraction : float, default 0.1
        Share of the samples held out, in [0, 1).
    beta_1, beta_2 : float, default 0.9, 0.999
        Decay of adam's two moments, in [0, 1).
    epsilon : float, default 1e-8
        Adam's denominator is at least this.
    n_iter_no_change : int or inf, default 10
        Epochs without improvement that end training (or divide an adaptive learning rate).
    max_fun : int, default 15000
        Most evaluations of the loss by lbfgs.
    normalization : {"layer", "batch"} or None, default None
        Layer or batch normalisation between each hidden layer's products and its activation.
    dropout : float or list of float, default 0.0
        Rate of dropout after every hidden layer, or one each; in [0, 1). lbfgs trains without.
    scoring : str, callable or None, default None
        A scikit-learn scorer for the validation samples; None is `score`.
    callbacks : list of fastnn.callbacks.Callback or None, default None
        Hooks into the Trainer, after each epoch's own bookkeeping.
    n_threads : int or None, default 1
        Threads that train one network; None lets fastnn choose. More do not change results beyond rounding.
    dtype : {"auto", "float32", "float64"}, default "auto"
        Of weights and arithmetic; "auto" follows X as scikit-learn does (float32 stays, all else is float64).
    n_estimators : int, default 1
        Networks that differ in their random numbers; they are trained side by side over the CPUs, and predictions are
        the mean of theirs.
    bootstrap : bool, default False
        Whether each of them sees rows drawn anew, with replacement.

    Attributes
    ----------
    network_ : fastnn.Network
        The fitted network itself; of several, the first.
    estimators_ : list of MLPRegressor
        The members, where n_estimators > 1 or with bootstrap. `loss_` is then the mean of theirs, `n_iter_` the
        largest.
    coefs_, intercepts_ : list of ndarray
        Kernels of shape (fan_in, units) and biases of shape (units,): views into `network_`.
    n_iter_, t_ : int
        Epochs of the last fit; samples seen by all fits.
    loss_, best_loss_ : float
        Loss of the last epoch, penalty included; the lowest (None with early stopping).
    loss_curve_ : list of float
        Loss of each epoch, over continued fits. Not with lbfgs.
    validation_scores_, validation_loss_curve_ : list of float or None
        Score and loss on held-out samples after each epoch; None where none are.
    best_validation_score_ : float or None
        The highest score, with early stopping.
    n_layers_, n_outputs_ : int
        Layers, counting input and output; output units.
    out_activation_ : str
        scikit-learn's name of the output activation.
    n_features_in_ : int
        Features seen in fit.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where X had names.

    References
    ----------
    .. [1] https://scikit-learn.org/stable/modules/generated/sklearn.neural_network.MLPRegressor.html
    .. [2] D. P. Kingma, J. Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.

    Examples
    --------
    >>> from fastnn import MLPRegressor
    >>> from sklearn.datasets import make_regression
    >>> X, y = make_regression(n_samples=200, n_features=5, random_state=1)
    >>> regressor = MLPRegressor(solver="lbfgs", max_iter=1000, random_state=1).fit(X[:150], y[:150])
    >>> bool(regressor.score(X[150:], y[150:]) > 0.95)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **parameters.CONSTRAINTS,
        "loss": [StrOptions({"squared_error", "poisson", "mae", "huber", "mape", "msle"}), LossFunction, callable],
    }

    def __init__(
        self,
        loss="squared_error",
        hidden_layer_sizes=(100,),
        activation="relu",
        *,
        solver="adam",
        alpha=0.0001,
        batch_size="auto",
        learning_rate="constant",
        learning_rate_init=0.001,
        power_t=0.5,
        max_iter=200,
        shuffle=True,
        random_state=None,
        tol=1e-4,
        verbose=False,
        warm_start=False,
        momentum=0.9,
        nesterovs_momentum=True,
        early_stopping=False,
        validation_fraction=0.1,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        n_iter_no_change=10,
        max_fun=15000,
        normalization=None,
        dropout=0.0,
        scoring=None,
        callbacks=None,
        n_threads=1,
        dtype="auto",
        n_estimators=1,
        bootstrap=False,
    ):
        parameters.store_parameters(self, locals())

    def _reported_loss(self, y: np.ndarray, weights: np.ndarray | None) -> ReportedLoss:
        n_outputs = y.shape[1]
        if self.loss == "squared_error":
            half = summed_over_outputs("mse", n_outputs, 0.5)
            return ReportedLoss(half, "linear", excess=0.5 * (n_outputs - 1))
        if self.loss == "poisson":
            # The deviance has terms in y alone, which no gradient sees.
            constant = np.average(xlogy(y, y) - y, weights=weights, axis=0).sum()
            return ReportedLoss(summed_over_outputs("poisson", n_outputs), "exponential", float(constant))
        if isinstance(self.loss, PythonLoss):
            return ReportedLoss(PythonLoss(self.loss.function, self.loss.name, penalty_per_sample=True), "linear")
        if callable(self.loss):
            return ReportedLoss(PythonLoss(self.loss, penalty_per_sample=True), "linear")
        if isinstance(self.loss, LossFunction):
            return ReportedLoss(summed_over_outputs(self.loss, 1), "linear")
        return ReportedLoss(summed_over_outputs(self.loss, n_outputs), "linear")
