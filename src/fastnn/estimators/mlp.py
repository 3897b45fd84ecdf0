"""What `MLPClassifier` and `MLPRegressor` share: the network that scikit-learn's parameters describe, its solvers,
and its weights as lists.
"""

import warnings
from collections.abc import Iterable
from typing import Any, ClassVar, NoReturn

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils.metaestimators import available_if

from fastnn.common.validation import as_array, check_finite
from fastnn.estimators import parameters
from fastnn.estimators.base import BaseNetworkEstimator
from fastnn.estimators.reported_loss import ReportedLoss
from fastnn.estimators.solvers import Samples, TrainingCourse, fit_lbfgs
from fastnn.estimators.tasks import FitTasks
from fastnn.layers import Layer
from fastnn.model.network import Network
from fastnn.training.trainer import Trainer


class Weights(list):
    """Views into a network, one a layer. Assigning an item copies it into the network; items cannot come or go.

    Parameters
    ----------
    name : str
        The attribute of the estimator, for messages.
    views : list of ndarray

    Raises
    ------
    ValueError, TypeError
        If what is assigned is of another shape, or holds something else than finite numbers; nothing is changed then.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.estimators.mlp import Weights
    >>> memory = np.zeros(2)
    >>> Weights("intercepts_", [memory])[-1] = [1.0, 2.0]
    >>> memory
    array([1., 2.])
    """

    def __init__(self, name: str, views: Iterable[np.ndarray]):
        super().__init__(views)
        self._name = name

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            places, values = list(range(len(self)))[index], list(value)
        else:
            places, values = [range(len(self))[index]], [value]
        if len(places) != len(values):
            self._refuse()
        arrays = [self._checked(place, one) for place, one in zip(places, values, strict=True)]
        for place, array in zip(places, arrays, strict=True):
            if array is not self[place]:  # as it is after ``coefs_[0] += 1``
                self[place][...] = array

    def _checked(self, place: int, value: Any) -> np.ndarray:
        view = self[place]
        if value is view:
            return view
        name = f"{self._name}[{place}]"
        array = as_array(name, value)
        if array.shape != view.shape:
            raise ValueError(f"{name} must have shape {view.shape}, got {array.shape}")
        check_finite(name, array, view.dtype)
        return array.copy() if np.may_share_memory(array, view.base if view.base is not None else view) else array

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(f"{self._name} has one array for each layer of the network: items can be assigned, not added "
                        "or removed; list(...) makes a list of your own")  # fmt: skip

    append = extend = insert = pop = remove = clear = sort = reverse = _refuse  # type: ignore[assignment]
    __delitem__ = __iadd__ = __imul__ = _refuse  # type: ignore[assignment]

    def __reduce__(self) -> Any:
        return list, (list(self),)  # copies and pickles are plain lists


_SMALLEST_RATE = 1e-6  # below which the adaptive rate is not divided again


def has_stochastic_solver(estimator: "BaseMLP") -> bool:
    """Return True, or raise the AttributeError that explains why there is no partial_fit."""
    if estimator.solver == "lbfgs":
        raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
    return True


only_stochastic = available_if(has_stochastic_solver)


class BaseMLP(BaseNetworkEstimator):
    """A multilayer perceptron that is fitted; subclasses say what the targets are."""

    _parameter_constraints: ClassVar[dict[str, list]] = parameters.CONSTRAINTS

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit the network to X and y, from new weights unless `warm_start`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features. float32 and float64 arrays, and sparse CSR rows of them, are read in place.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            For a classifier labels of any sortable type, or a column of 0 and 1 for each of several labels; for a
            regressor numbers.
        sample_weight : array-like of shape (n_samples,) or None, default None
            Weights of the mean over samples.
        X_val, y_val, sample_weight_val : like X, y, sample_weight, default None
            Samples to validate on after each epoch: `validation_scores_` and `validation_loss_curve_` are kept, and
            `early_stopping` looks at them instead of a share of X.

        Returns
        -------
        MLPClassifier or MLPRegressor
            The estimator itself.

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data are wrong, or training diverges.

        Examples
        --------
        >>> from fastnn import MLPClassifier, MLPRegressor
        >>> MLPClassifier(solver="lbfgs", random_state=0).fit([[0.0], [1.0]], ["no", "yes"]).predict([[0.9]])
        array(['yes'], dtype='<U3')
        >>> regressor = MLPRegressor(solver="lbfgs", random_state=0).fit([[0.0], [1.0], [2.0]], [0.0, 2.0, 4.0])
        >>> round(float(regressor.predict([[1.5]])[0]))
        3
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), is_incremental=False)

    @only_stochastic
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Train for one epoch over the given samples, going on from the last call.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        X_val, y_val, sample_weight_val
            As for `fit`. With them `early_stopping` is possible: `network_` then holds the best weights so far.

        Returns
        -------
        MLPRegressor
            The estimator itself.

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data are wrong.

        Examples
        --------
        >>> from fastnn import MLPRegressor
        >>> regressor = MLPRegressor(random_state=0)
        >>> for _ in range(3):
        ...     regressor = regressor.partial_fit([[0.0], [1.0]], [0.0, 2.0])
        >>> len(regressor.loss_curve_)
        3
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), is_incremental=True)

    # --- what the base class asks for -------------------------------------------------------------------------------

    def _check_parameters(self) -> None:
        parameters.hidden_units(self.hidden_layer_sizes)

    def _check_goes_on(self, how: str) -> None:
        parameters.check_goes_on(self, how)

    def _make_layers(self, n_features: int, output: str) -> list[Layer]:
        return parameters.make_layers(self, n_features, self.n_outputs_, output)

    def _make_network(self, samples: Samples, output: str, random_state: np.random.RandomState) -> Network:
        dtype = self.dtype
        if dtype == "auto":
            # scipy's L-BFGS works in float64, and scikit-learn's coefs_ are float64 after it.
            dtype = np.float64 if self.solver == "lbfgs" else samples.X.dtype
        if self.normalization == "batch" and self.solver == "lbfgs":
            raise ValueError("normalization='batch' needs batches: a solver other than 'lbfgs', or 'layer'")
        network = Network._blank(self._make_layers(samples.X.shape[1], output), dtype=dtype, seed=0)
        parameters.initialize(network, self.activation, random_state)
        self.__dict__["n_layers_"] = len(parameters.hidden_units(self.hidden_layer_sizes)) + 2
        return network

    def _make_trainer(self, reported_loss: ReportedLoss) -> Trainer:
        optimizer = parameters.make_optimizer(self)
        return Trainer(self.network_, loss=reported_loss.loss, optimizer=optimizer, metrics=reported_loss.metrics)

    def _most_epochs(self) -> int:
        return self.max_iter

    def _is_stochastic(self) -> bool:
        return self.solver != "lbfgs"

    def _fit_at_once(self, samples: Samples, tasks: FitTasks | None) -> None:
        fit_lbfgs(self, self.network_, samples, self._reported_loss(samples.y, samples.weights), tasks)

    def _how_to_train(self, n_samples: int, is_incremental: bool) -> TrainingCourse:
        batch_size = min(200, n_samples) if self.batch_size == "auto" else self.batch_size
        if batch_size > n_samples:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=4
            )
            batch_size = n_samples
        epochs = 1 if is_incremental else self._most_epochs()
        return TrainingCourse(epochs, int(batch_size), is_incremental, stops_by_loss=True, must_converge=True)

    def _after_epoch(self) -> None:
        if self.solver == "sgd" and self.learning_rate == "invscaling":
            self._trainer.learning_rate = self.learning_rate_init / (self.t_ + 1) ** self.power_t

    def _slow_down(self) -> tuple[bool, str]:
        if self.solver != "sgd" or self.learning_rate != "adaptive":
            return False, ""
        if self._trainer.learning_rate <= _SMALLEST_RATE:
            return False, " Learning rate too small."
        self._trainer.learning_rate /= 5.0
        return True, f" Setting learning rate to {self._trainer.learning_rate:f}"

    # --- the fitted parameters, in scikit-learn's form --------------------------------------------------------------

    def _variables(self, name: str, attribute: str) -> Weights:
        network = getattr(self, "network_", None)
        if network is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {attribute!r}: it is not fitted yet")
        pairs = zip(network.plan.variables, network.get_weights(), strict=True)
        return Weights(attribute, [view for variable, view in pairs if variable.name == name])

    @property
    def coefs_(self) -> list[np.ndarray]:
        """Kernels of shape (fan_in, units), one a layer, of `network_`: writing to them or assigning one changes it."""
        return self._variables("kernel", "coefs_")

    @coefs_.setter
    def coefs_(self, values: Any) -> None:
        self._variables("kernel", "coefs_")[:] = values

    @property
    def intercepts_(self) -> list[np.ndarray]:
        """Biases of shape (units,), one a layer, of `network_`, as `coefs_`."""
        return self._variables("bias", "intercepts_")

    @intercepts_.setter
    def intercepts_(self, values: Any) -> None:
        self._variables("bias", "intercepts_")[:] = values
