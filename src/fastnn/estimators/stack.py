"""What `NetworkClassifier` and `NetworkRegressor` share: a network of any layers, trained as its parameters say.

Arguments of layers and optimizers are parameters, too, with `__` in their names, as scikit-learn's searches set them:
"optimizer__learning_rate" is an argument of the optimizer, "layers__0__filters" one of the first layer, and
"layers__1__layer__units" one of the layer within the second. Layers and optimizers are fixed records: what is set is
the estimator's parameter anew, with another record in it.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval, Options, StrOptions

from fastnn import optimizers
from fastnn.callbacks import Callback
from fastnn.common.records import Record
from fastnn.common.validation import as_array, as_rows, is_sparse
from fastnn.engine.plan import make_plan
from fastnn.estimators import parameters
from fastnn.estimators.base import BaseNetworkEstimator
from fastnn.estimators.reported_loss import ReportedLoss
from fastnn.estimators.solvers import Samples, TrainingCourse
from fastnn.inputs.sequences import as_ragged
from fastnn.layers import Dense, Embedding, Flatten, Input, Layer
from fastnn.metrics import Metric, check_metrics
from fastnn.model.network import Network
from fastnn.optimizers import Optimizer
from fastnn.training.history import History
from fastnn.training.trainer import Trainer

_LARGEST_SEED = 2**31 - 1
# The parameters that have others within them.
_NESTED = ("layers", "optimizer")


class BaseStack(BaseNetworkEstimator):
    """A network of the layers that a user gives, with an output layer that follows from y."""

    _parameter_constraints: ClassVar[dict[str, list]] = {
        "layers": [list, tuple],
        "optimizer": [StrOptions(set(optimizers.NAMES)), Optimizer],
        "metrics": [list, tuple, str, Metric, callable],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "shuffle": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "scoring": [str, callable, None],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "callbacks": [list, tuple, Callback, None],
        "verbose": ["verbose"],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "dtype": [StrOptions({"float32", "float64"})],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "bootstrap": ["boolean"],
    }
    _dtypes_read: ClassVar[tuple[Any, ...]] = (np.float64, np.float32, np.uint8)

    _sample_shape: tuple[int, ...]

    @property
    def history_(self) -> History:
        """The Trainer's curves: loss, metrics, and where there was validation theirs, one number an epoch."""
        members = self.__dict__.get("estimators_")
        trainer = (members[0] if members else self).__dict__.get("_trainer")
        if trainer is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute 'history_': it is not fitted yet")
        return trainer.history

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None, lengths=None,
        lengths_val=None,
    ):  # fmt: skip
        """Fit the network to X and y, from new weights unless `warm_start`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, *shape), or sparse matrix
            Samples, channels last. float32, float64 and uint8 arrays are read in place. Sequences may also be a list
            of arrays of different lengths: the longest of the first fit, or the `Input`, says how long they may be.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            For a classifier labels of any sortable type, or a column of 0 and 1 for each of several labels; for a
            regressor numbers.
        sample_weight : array-like of shape (n_samples,) or None, default None
            Weights of the mean over samples.
        X_val, y_val, sample_weight_val : like X, y, sample_weight, default None
            Samples to validate on after each epoch: `validation_scores_` and `validation_loss_curve_` are kept, and
            `early_stopping` looks at them instead of a share of X.
        lengths, lengths_val : array-like of shape (n_samples,) or None, default None
            How many steps of each sequence of X and X_val count, where the others only fill it up.

        Returns
        -------
        NetworkClassifier or NetworkRegressor
            The estimator itself.

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data are wrong, the layers do not fit the samples, or training diverges.

        Examples
        --------
        >>> import numpy as np
        >>> from fastnn import Conv1D, GlobalMaxPooling1D, NetworkClassifier
        >>> X = np.random.default_rng(0).normal(size=(64, 20, 3))  # 20 steps of 3 sensors
        >>> y = np.where(X[:, :, 0].max(axis=1) > 2, "peak", "flat")
        >>> model = NetworkClassifier([Conv1D(8, 3, activation="relu"), GlobalMaxPooling1D()], random_state=0)
        >>> model.fit(X, y).predict(X[:5]).shape
        (5,)
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val, lengths_val), False, lengths)

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None, lengths=None,
        lengths_val=None,
    ):  # fmt: skip
        """Train for one epoch over the given samples, going on from the last call.

        Parameters
        ----------
        X, y, sample_weight, X_val, y_val, sample_weight_val, lengths, lengths_val
            As for `fit`.

        Returns
        -------
        NetworkRegressor
            The estimator itself.

        Raises
        ------
        ValueError, TypeError
            If a parameter or the data are wrong.

        Examples
        --------
        >>> from fastnn import Dense, NetworkRegressor
        >>> model = NetworkRegressor([Dense(4, "tanh")], random_state=0)
        >>> for _ in range(3):
        ...     model = model.partial_fit([[0.0], [1.0]], [0.0, 2.0])
        >>> len(model.loss_curve_)
        3
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val, lengths_val), True, lengths)

    # --- parameters within parameters -------------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters.

        Parameters
        ----------
        deep : bool, default True
            Whether to return the arguments of the layers and the optimizer too: "layers__0__filters",
            "optimizer__learning_rate".

        Returns
        -------
        dict of str to object
        """
        params = super().get_params(deep=False)
        if deep:
            for name in _NESTED:
                params.update(nested_parameters(name, params[name]))
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters by their names.

        Parameters
        ----------
        **params : dict
            The constructor's, and the arguments of the layers and the optimizer: ``layers__0__filters=32``,
            ``optimizer__learning_rate=0.01`` (which makes an object of an optimizer that is a name).

        Returns
        -------
        estimator
            Itself.

        Raises
        ------
        ValueError
            If there is no such parameter.
        """
        nested = {name: value for name, value in params.items() if name.partition("__")[0] in _NESTED and "__" in name}
        super().set_params(**{name: value for name, value in params.items() if name not in nested})
        for name, value in nested.items():
            of, _, path = name.partition("__")
            setattr(self, of, with_nested(of, getattr(self, of), path, value))
        return self

    # --- what the base class asks for: the network -------------------------------------------------------------------

    def _check_parameters(self) -> None:
        for i, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"layers[{i}] must be a fastnn layer such as Dense, got {layer!r}")
            if isinstance(layer, Input) and i:
                raise ValueError(f"layers must hold at most one Input, the first; layers[{i}] is {layer!r}")
        check_metrics(self.metrics)

    def _check_goes_on(self, how: str) -> None:
        network = self.network_
        if self.dtype != network.dtype.name:
            parameters.refuse_change(how, "dtype", network.dtype.name, self.dtype)
        if getattr(self, "_has_assigned_network", False):
            return  # no parameter describes it
        layers = self._make_layers(network.n_inputs, network.plan.output_activation)
        new, fitted = make_plan(layers), network.plan
        if [(v.name, v.shape) for v in new.variables] != [(v.name, v.shape) for v in fitted.variables]:
            parameters.refuse_change(how, "layers", list(network.layers), layers)

    def _make_layers(self, n_features: int, output: str) -> list[Layer]:
        given = list(self.layers)
        n_own = 0 if given and isinstance(given[0], Input) else 1
        if n_own:
            shape = self._sample_shape
            given.insert(0, Input(shape if len(shape) > 1 else n_features))
        try:
            shape = make_plan(given).output_shape if len(given) > 1 else given[0].shape
        except (TypeError, ValueError) as error:  # numbers the layers as the user does
            text = re.sub(r"(?<=layers\[)\d+", lambda found: str(int(found[0]) - n_own), str(error))
            raise type(error)(text) from None
        if len(shape) > 1:
            given.append(Flatten())
        return [*given, Dense(self.n_outputs_, output)]

    def _make_network(self, samples: Samples, output: str, random_state: np.random.RandomState) -> Network:
        layers = self._make_layers(samples.X.shape[1], output)
        self.__dict__["n_layers_"] = len(layers)
        return Network(layers, dtype=self.dtype, seed=int(random_state.randint(_LARGEST_SEED)))

    # --- its training -----------------------------------------------------------------------------------------------

    def _make_trainer(self, reported_loss: ReportedLoss) -> Trainer:
        options = {"mixup": self.mixup} if hasattr(self, "mixup") else {}
        return Trainer(
            self.network_, loss=reported_loss.loss, optimizer=self.optimizer, metrics=self.metrics, **options
        )  # fmt: skip

    def _how_to_train(self, n_samples: int, is_incremental: bool) -> TrainingCourse:
        epochs = 1 if is_incremental else self._most_epochs()
        return TrainingCourse(epochs, self.batch_size, is_incremental, verbose=min(int(self.verbose), 2))

    def _most_epochs(self) -> int:
        return int(self.epochs)

    # --- samples of any shape ---------------------------------------------------------------------------------------

    def _as_padded(self, X: Any, lengths: Any, is_first: bool) -> tuple[Any, np.ndarray | None]:
        """Return a list of sequences of different lengths as an array, with 0 behind their ends, and their lengths."""
        ragged, shape = None, () if is_first else self._sample_shape
        if isinstance(X, list | tuple) and len(X) and all(hasattr(one, "__len__") for one in X):
            if is_first and self.layers and isinstance(self.layers[0], Input):
                shape = self.layers[0].shape
            elif is_first:
                shape = max(map(len, X)), *np.shape(X[0])[1:]
            if len(shape) > 1 or any(isinstance(layer, Embedding) for layer in self.layers[:2]):
                ragged = as_ragged("X", X, shape, np.dtype(self.dtype))
        if ragged is not None:
            if lengths is not None:
                raise ValueError("lengths must be None where X is a list of sequences, which have their own")
            return ragged[:].reshape(-1, *shape), ragged.lengths
        if lengths is not None:
            lengths, n = as_array("lengths", lengths), np.shape(X)[0]
            if lengths.shape != (n,):
                raise ValueError(f"lengths must have shape ({n},), one length a sample, got {lengths.shape}")
        return X, lengths

    def _as_given(self, samples: Samples) -> Any:
        if samples.lengths is None:
            return samples.X
        sequences = samples.X.reshape(-1, *self._sample_shape)
        return [one[:n] for one, n in zip(sequences, samples.lengths, strict=True)]

    def _as_rows(self, X: Any, is_first: bool) -> Any:
        """Return samples as rows: scikit-learn's checks, and all that follows, know nothing else."""
        array = X
        if not hasattr(X, "shape") and not is_sparse(X):
            try:
                array = np.asarray(X)
            except ValueError:  # rows of different lengths, of which scikit-learn has a word to say
                return X
        if getattr(array, "ndim", 2) < 2 or 0 in array.shape:
            return X
        if is_first:
            begins = self.layers[0] if self.layers and isinstance(self.layers[0], Input) else None
            shape = begins.shape if begins else tuple(map(int, array.shape[1:]))
            if array.ndim == 2 and array.shape[1] != math.prod(shape):
                raise ValueError(f"X must have {math.prod(shape)} features as {begins} says, got shape {array.shape}")
            if array.ndim > 2 and len(shape) == 1:
                raise ValueError(
                    f"X must have shape (n, {shape[0]}) as {begins} says, got {array.shape}; begin layers with "
                    f"Input({tuple(array.shape[1:])}) or leave it out"
                )
            if not begins and array.ndim == 4 and shape[0] in (1, 3) and shape[1] == shape[2] > 4:
                raise ValueError(
                    f"X has shape {array.shape}, as images with channels first: they come last here, "
                    f"X.transpose(0, 2, 3, 1); if this is none, begin layers with Input({shape})"
                )
            self._sample_shape = shape
        return X if array.ndim == 2 else as_rows("X", np.asarray(array), self._sample_shape)

    def _as_samples(self, X: Any) -> Any:
        shape = self._sample_shape
        return X.reshape(-1, *shape) if len(shape) > 1 and math.prod(shape) == X.shape[1] else X

    def _after_load(self) -> None:
        self._sample_shape = self.network_.plan.input_shape


def nested_parameters(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Return the names and values of everything within a parameter.

    Examples
    --------
    >>> import fastnn
    >>> dict(nested_parameters("layers", [fastnn.Dropout(0.5)]))
    {'layers__0': Dropout(rate=0.5), 'layers__0__rate': 0.5}
    """
    for key, item in _items(value):
        yield f"{name}__{key}", item
        yield from nested_parameters(f"{name}__{key}", item)


def with_nested(name: str, value: Any, path: str, new: Any) -> Any:
    """Return a parameter's value with `new` at a path within it.

    Raises
    ------
    ValueError
        If there is nothing of this name; what is known is listed.

    Examples
    --------
    >>> import fastnn
    >>> with_nested("layers", [fastnn.Dropout(0.5)], "0__rate", 0.1)
    [Dropout(rate=0.1)]
    """
    if name == "optimizer" and isinstance(value, str):
        value = optimizers.get(value)
    key, _, rest = path.partition("__")
    items = dict(_items(value))
    if key not in items:
        known = ", ".join(repr(f"{name}__{one}") for one in items) or "none"
        raise ValueError(f"there is no parameter {f'{name}__{key}'!r}; within {name} there are: {known}")
    item = with_nested(f"{name}__{key}", items[key], rest, new) if rest else new
    if isinstance(value, Record):
        return replace(value, **{key: item})  # type: ignore[type-var]
    return type(value)(item if str(i) == key else other for i, other in enumerate(value))


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Return what lies directly within a value: a record's arguments, a list's records."""
    if isinstance(value, Record):
        for field in fields(value):  # type: ignore[arg-type]
            yield field.name, getattr(value, field.name)
    elif type(value) in (list, tuple) and value and all(isinstance(item, Record) for item in value):
        for i, item in enumerate(value):
            yield str(i), item


__all__ = ["BaseStack", "nested_parameters", "with_nested"]
