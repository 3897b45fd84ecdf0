"""NetworkClassifier and NetworkRegressor: any stack of layers as an estimator of scikit-learn."""

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from fastnn import losses
from fastnn.estimators import parameters
from fastnn.estimators.reported_loss import ReportedLoss
from fastnn.estimators.stack import BaseStack
from fastnn.estimators.targets import BaseClassifier, BaseRegressor, as_probabilities
from fastnn.losses import CategoricalCrossentropy, LogLoss, LossFunction


class NetworkClassifier(BaseClassifier, BaseStack):
    """Any stack of layers as a classifier of scikit-learn: in a Pipeline, in cross-validation, in a search.

    The output layer and the loss follow from y: softmax and categorical crossentropy for three classes or more, one
    sigmoid and log loss for two, a sigmoid for each label where a sample has several. What the layers give is made flat
    before it.

    Parameters
    ----------
    layers : list of Layer, default ()
        Without the output layer. `Input` may be left out: X says what shape samples have. With an `Input` of several
        axes X may be rows too, in C order.
    optimizer : str or Optimizer, default "adam"
        A name from `fastnn.optimizers.NAMES` or an object.
    metrics : list of str, Metric or callable, default ()
        As for `Trainer`, kept in `history_`.
    mixup : float, default 0.0
        As for `Trainer`.
    label_smoothing : float, default 0.0
        How far targets are moved towards uniform, in [0, 1).
    class_weight : dict, "balanced" or None, default None
        A factor for the samples of each label in training, not in validation; "balanced" takes
        n_samples / (n_classes * count).
    epochs : int, default 50
        Passes over the data; at most, with early stopping.
    batch_size : int or None, default 32
        Samples a step; None takes all.
    shuffle : bool, default True
        Whether each epoch has its own order.
    early_stopping : bool, default False
        Whether to hold out samples, to stop where their score stands still, and to keep the weights of the best epoch.
    validation_fraction : float, default 0.1
        Share of the samples held out, in [0, 1).
    n_iter_no_change : int or inf, default 10
        Epochs without improvement after which early stopping ends training.
    tol : float, default 1e-4
        Improvements of the score below it do not count.
    scoring : str, callable or None, default None
        A scikit-learn scorer for the samples held out; None is accuracy.
    warm_start : bool, default False
        Whether `fit` goes on from the weights of the last fit.
    random_state : int, RandomState instance or None, default None
        For initial weights, the validation split, shuffling and dropout.
    callbacks : list of fastnn.callbacks.Callback or None, default None
        Hooks into the Trainer.
    verbose : int, default 0
        As for `Trainer.fit`.
    n_threads : int or None, default 1
        Threads that train one network; None lets fastnn choose.
    dtype : {"float32", "float64"}, default "float32"
        Of weights and arithmetic.
    n_estimators : int, default 1
        Networks that differ in their random numbers; predictions are the mean of theirs.
    bootstrap : bool, default False
        Whether each of them sees rows drawn anew, with replacement.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    network_ : fastnn.Network
        The fitted network itself, with its output layer; of several, the first.
    estimators_ : list of NetworkClassifier
        The members, where n_estimators > 1 or with bootstrap.
    history_ : History
        Curves of training; of several, those of the first.
    n_iter_, t_ : int
        Epochs of the last fit; samples seen by all fits.
    loss_, best_loss_ : float
        Loss of the last epoch, penalties included; the lowest (None with early stopping).
    loss_curve_ : list of float
        Loss of each epoch, over continued fits.
    validation_scores_, validation_loss_curve_ : list of float or None
        Score and loss on held-out samples after each epoch; None where none are.
    best_validation_score_ : float or None
        The highest score, with early stopping.
    n_layers_, n_outputs_ : int
        Layers, counting input and output; output units.
    out_activation_ : str
        scikit-learn's name of the output activation.
    n_features_in_ : int
        Numbers a sample.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where X had names.

    See Also
    --------
    MLPClassifier : scikit-learn's own parameters, for dense layers.

    Notes
    -----
    Searches set the arguments of layers and optimizer by names such as "layers__0__filters" and
    "optimizer__learning_rate"; `get_params` lists them.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.model_selection import cross_val_score
    >>> from fastnn import Conv2D, MaxPooling2D, NetworkClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> images = X[:400].reshape(-1, 8, 8, 1) / 16
    >>> model = NetworkClassifier([Conv2D(8, 3, activation="relu"), MaxPooling2D(2)], epochs=100, random_state=0)
    >>> bool(cross_val_score(model, images, y[:400], cv=2).mean() > 0.85)
    True
    >>> model.set_params(layers__0__filters=16, optimizer__learning_rate=0.01).layers[0]
    Conv2D(filters=16, kernel_size=3, activation='relu')
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseStack._parameter_constraints,
        "mixup": [Interval(Real, 0, None, closed="left")],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        layers=(),
        *,
        optimizer="adam",
        metrics=(),
        mixup=0.0,
        label_smoothing=0.0,
        class_weight=None,
        epochs=50,
        batch_size=32,
        shuffle=True,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        scoring=None,
        warm_start=False,
        random_state=None,
        callbacks=None,
        verbose=0,
        n_threads=1,
        dtype="float32",
        n_estimators=1,
        bootstrap=False,
    ):
        parameters.store_parameters(self, locals())

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X, y, sample_weight=None, classes=None, *, X_val=None, y_val=None, sample_weight_val=None, lengths=None,
        lengths_val=None,
    ):  # fmt: skip
        """Train for one epoch over the given samples, going on from the last call.

        Parameters
        ----------
        X, y, sample_weight, X_val, y_val, sample_weight_val, lengths, lengths_val
            As for `fit`; y need not hold all classes.
        classes : array-like of shape (n_classes,), default None
            All labels of all calls; required in the first.

        Returns
        -------
        NetworkClassifier
            The estimator itself.

        Raises
        ------
        ValueError, TypeError
            If `classes` is missing or differs from an earlier call's, or a parameter or the data are wrong.

        Examples
        --------
        >>> from fastnn import Dense, NetworkClassifier
        >>> model = NetworkClassifier([Dense(4, "relu")], random_state=0)
        >>> for _ in range(3):
        ...     model = model.partial_fit([[0.0], [1.0]], [0, 1], classes=[0, 1, 2])
        >>> len(model.loss_curve_)
        3
        """
        self._declare_classes(classes, y)
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val, lengths_val), True, lengths)

    def predict(self, X, lengths=None):
        """Return the likeliest label of each sample.

        Parameters
        ----------
        X, lengths
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
        """
        outputs = self._outputs(X, lengths)
        return self._labels.decode(outputs)

    def predict_proba(self, X, lengths=None):
        """Return the probability of each label, in the order of `classes_`.

        Parameters
        ----------
        X, lengths
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes)
        """
        return as_probabilities(self._outputs(X, lengths))

    def _check_parameters(self) -> None:
        super()._check_parameters()
        last = self.layers[-1] if self.layers else None
        if getattr(getattr(last, "activation", None), "name", None) == "softmax":
            raise ValueError(
                f"layers must end before the output layer, which {type(self).__name__} adds itself from y; leave out "
                f"{last!r}"
            )

    def _reported_loss(self, y: np.ndarray, weights: Any) -> ReportedLoss:
        if self._labels.kind == "multiclass":
            return ReportedLoss(CategoricalCrossentropy(self.label_smoothing), "softmax")
        return ReportedLoss(LogLoss(self.label_smoothing), "sigmoid")


class NetworkRegressor(BaseRegressor, BaseStack):
    """Any stack of layers as a regressor of scikit-learn: in a Pipeline, in cross-validation, in a search.

    The output layer is added, with an output a column of y: linear, but exponential for the loss "poisson". What the
    layers give is made flat before it.

    Parameters
    ----------
    layers : list of Layer, default ()
        Without the output layer. `Input` may be left out: X says what shape samples have. With an `Input` of several
        axes X may be rows too, in C order.
    loss : {"mse", "mae", "huber", "poisson", "mape", "msle"}, LossFunction or callable, default "mse"
        As for `Trainer`.
    optimizer : str or Optimizer, default "adam"
        A name from `fastnn.optimizers.NAMES` or an object.
    metrics : list of str, Metric or callable, default ()
        As for `Trainer`, kept in `history_`.
    epochs : int, default 50
        Passes over the data; at most, with early stopping.
    batch_size : int or None, default 32
        Samples a step; None takes all.
    shuffle : bool, default True
        Whether each epoch has its own order.
    early_stopping : bool, default False
        Whether to hold out samples, to stop where their score stands still, and to keep the weights of the best epoch.
    validation_fraction : float, default 0.1
        Share of the samples held out, in [0, 1).
    n_iter_no_change : int or inf, default 10
        Epochs without improvement after which early stopping ends training.
    tol : float, default 1e-4
        Improvements of the score below it do not count.
    scoring : str, callable or None, default None
        A scikit-learn scorer for the samples held out; None is R squared.
    warm_start : bool, default False
        Whether `fit` goes on from the weights of the last fit.
    random_state : int, RandomState instance or None, default None
        For initial weights, the validation split, shuffling and dropout.
    callbacks : list of fastnn.callbacks.Callback or None, default None
        Hooks into the Trainer.
    verbose : int, default 0
        As for `Trainer.fit`.
    n_threads : int or None, default 1
        Threads that train one network; None lets fastnn choose.
    dtype : {"float32", "float64"}, default "float32"
        Of weights and arithmetic.
    n_estimators : int, default 1
        Networks that differ in their random numbers; predictions are the mean of theirs.
    bootstrap : bool, default False
        Whether each of them sees rows drawn anew, with replacement.

    Attributes
    ----------
    network_ : fastnn.Network
        The fitted network itself, with its output layer; of several, the first.
    estimators_ : list of NetworkRegressor
        The members, where n_estimators > 1 or with bootstrap.
    history_ : History
        Curves of training; of several, those of the first.
    n_iter_, t_ : int
        Epochs of the last fit; samples seen by all fits.
    loss_, best_loss_ : float
        Loss of the last epoch, penalties included; the lowest (None with early stopping).
    loss_curve_ : list of float
        Loss of each epoch, over continued fits.
    validation_scores_, validation_loss_curve_ : list of float or None
        Score and loss on held-out samples after each epoch; None where none are.
    best_validation_score_ : float or None
        The highest score, with early stopping.
    n_layers_, n_outputs_ : int
        Layers, counting input and output; output units.
    out_activation_ : str
        scikit-learn's name of the output activation.
    n_features_in_ : int
        Numbers a sample.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where X had names.

    See Also
    --------
    MLPRegressor : scikit-learn's own parameters, for dense layers.

    Notes
    -----
    Targets are taken as they are: scale them to about unit variance, for instance with scikit-learn's
    TransformedTargetRegressor. Searches set the arguments of layers and optimizer by names such as "layers__0__units"
    and "optimizer__learning_rate"; `get_params` lists them.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn import LSTM, NetworkRegressor
    >>> X = np.random.default_rng(0).normal(size=(200, 10, 2))  # 10 steps of 2 signals
    >>> y = X[:, -3:, 0].sum(axis=1)
    >>> model = NetworkRegressor([LSTM(16)], optimizer="adam", epochs=40, random_state=0)
    >>> bool(model.set_params(optimizer__learning_rate=0.01).fit(X, y).score(X, y) > 0.9)
    True
    """

    _parameter_constraints: ClassVar[dict[str, list]] = {
        **BaseStack._parameter_constraints,
        "loss": [StrOptions({"mse", "mae", "huber", "poisson", "mape", "msle"}), LossFunction, callable],
    }

    def __init__(
        self,
        layers=(),
        *,
        loss="mse",
        optimizer="adam",
        metrics=(),
        epochs=50,
        batch_size=32,
        shuffle=True,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        tol=1e-4,
        scoring=None,
        warm_start=False,
        random_state=None,
        callbacks=None,
        verbose=0,
        n_threads=1,
        dtype="float32",
        n_estimators=1,
        bootstrap=False,
    ):
        parameters.store_parameters(self, locals())

    def predict(self, X, lengths=None):
        """Return the predicted numbers.

        Parameters
        ----------
        X, lengths
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        outputs = self._outputs(X, lengths)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def _reported_loss(self, y: np.ndarray, weights: Any) -> ReportedLoss:
        loss = losses.get(self.loss)
        return ReportedLoss(loss, "exponential" if loss.name == "poisson" else "linear")
