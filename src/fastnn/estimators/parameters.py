"""The constructor's parameters: what is accepted, and how it becomes layers, losses and optimizers of fastnn.

The constraints are those of scikit-learn's estimators, widened by what only fastnn has.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions

from fastnn import activations, optimizers
from fastnn.activations import ActivationFunction
from fastnn.callbacks import Callback
from fastnn.layers import Activation, Dense, Dropout, Input, Layer
from fastnn.layers.normalization import BatchNormalization, LayerNormalization
from fastnn.model.network import Network
from fastnn.optimizers import Optimizer
from fastnn.schedules import Schedule

# scikit-learn's names for what fastnn, like Keras, names differently.
_SKLEARN_ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid"}
_SKLEARN_NAMES = {"linear": "identity", "sigmoid": "logistic", "exponential": "exp"}
_HIDDEN_ACTIVATIONS = {*activations.NAMES, *_SKLEARN_ACTIVATIONS}

CONSTRAINTS: dict[str, list] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions(_HIDDEN_ACTIVATIONS), ActivationFunction, list, tuple],
    "solver": [StrOptions({"lbfgs", *optimizers.NAMES}), Optimizer],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"}), Schedule],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    # What follows is fastnn's own.
    "dtype": [StrOptions({"auto", "float32", "float64"})],
    "normalization": [StrOptions({"layer", "batch"}), None],
    "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
    "scoring": [str, callable, None],
    "callbacks": [list, tuple, Callback, None],
    "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    "n_estimators": [Interval(Integral, 1, None, closed="left")],
    "bootstrap": ["boolean"],
}


def store_parameters(estimator: Any, arguments: dict[str, Any]) -> None:
    """Set the constructor's arguments, unchanged, as attributes: scikit-learn's convention for `clone`."""
    for name, value in arguments.items():
        if name not in ("self", "__class__"):
            setattr(estimator, name, value)


def hidden_units(hidden_layer_sizes: Any) -> list[int]:
    """Return the units of each hidden layer, or raise ValueError or TypeError."""
    sizes = list(hidden_layer_sizes) if isinstance(hidden_layer_sizes, Iterable) else [hidden_layer_sizes]
    if any(isinstance(size, (bool, np.bool_)) or not isinstance(size, Integral) for size in sizes):
        raise TypeError(f"hidden_layer_sizes must hold integers, got {hidden_layer_sizes!r}")
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(size) for size in sizes]


def hidden_activations(activation: Any, n_hidden: int) -> list[ActivationFunction]:
    """Return one activation a hidden layer."""
    given = activation if isinstance(activation, (list, tuple)) else [activation] * n_hidden
    if len(given) != n_hidden:
        raise ValueError(
            f"activation must be one for all hidden layers or a list of one each ({n_hidden}), got {activation!r}"
        )
    return [activations.get(_SKLEARN_ACTIVATIONS.get(a, a) if isinstance(a, str) else a) for a in given]


def sklearn_name(activation: str) -> str:
    """Return scikit-learn's name for an activation of fastnn."""
    return _SKLEARN_NAMES.get(activation, activation)


def _dropout_rates(dropout: Any, n_hidden: int) -> list[float]:
    rates = list(dropout) if isinstance(dropout, (list, tuple)) else [dropout] * n_hidden
    if len(rates) != n_hidden:
        raise ValueError(f"dropout must be one rate or a list of one each hidden layer ({n_hidden}), got {dropout!r}")
    return rates


# Running statistics that follow within tens of steps (PyTorch's momentum): small data have few steps an epoch.
_NORMALIZATIONS = {"layer": LayerNormalization(), "batch": BatchNormalization(momentum=0.9)}


def make_layers(estimator: Any, n_features: int, n_outputs: int, output: str) -> list[Layer]:
    """Return the layers of the network that an estimator's parameters describe.

    scikit-learn's penalty is alpha / 2 * sum W^2, over kernels only and divided by the weight of each batch.
    """
    hidden = hidden_units(estimator.hidden_layer_sizes)
    functions = hidden_activations(estimator.activation, len(hidden))
    rates = _dropout_rates(estimator.dropout, len(hidden))
    penalty = 0.5 * estimator.alpha or None
    layers: list[Layer] = [Input(n_features)]
    for units, function, rate in zip(hidden, functions, rates, strict=True):
        if estimator.normalization is None:
            layers.append(_dense(units, function, penalty))
        else:
            layers += [_dense(units, "linear", penalty), _NORMALIZATIONS[estimator.normalization], Activation(function)]
        if rate:
            layers.append(Dropout(rate))
    layers.append(_dense(n_outputs, output, penalty))
    return layers


@lru_cache(maxsize=64)
def _dense(units: int, activation: "str | ActivationFunction", penalty: float | None) -> Dense:
    """Return a layer; to make and check one takes a twentieth of a short fit."""
    return Dense(units, activation, kernel_initializer="glorot_uniform", kernel_regularizer=penalty)


def _is_logistic(activation: Any) -> bool:
    given = activation if isinstance(activation, (list, tuple)) else [activation]
    return all(getattr(a, "name", a) in ("logistic", "sigmoid") for a in given)


def initialize(network: Network, activation: Any, random_state: np.random.RandomState) -> None:
    """Draw the parameters as scikit-learn does: the same random_state starts both from the same weights.

    Uniform in +-sqrt(6 / (fan_in + units)), or sqrt(2 / ...) where `activation` is logistic, biases too.

    References
    ----------
    .. [1] X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
           AISTATS 2010, eq. 16.
    """
    factor = 2.0 if _is_logistic(activation) else 6.0
    bound = 0.0
    for variable, view in zip(network.plan.variables, network.get_weights(), strict=True):
        if variable.name == "kernel":
            bound = np.sqrt(factor / sum(variable.shape))
        if variable.name in ("kernel", "bias"):
            view[...] = random_state.uniform(-bound, bound, variable.shape)


def make_optimizer(estimator: Any) -> Optimizer:
    """Return the optimizer that `solver` and the parameters around it mean."""
    solver = estimator.solver
    if isinstance(solver, Optimizer):
        return solver
    rate: Any = float(estimator.learning_rate_init)
    if isinstance(estimator.learning_rate, Schedule):
        rate = estimator.learning_rate
    if solver == "adam":
        return optimizers.Adam(rate, estimator.beta_1, estimator.beta_2, estimator.epsilon, epsilon_hat=True)
    if solver == "sgd":
        return optimizers.SGD(rate, estimator.momentum, bool(estimator.nesterovs_momentum))
    return replace(optimizers.get(solver), learning_rate=rate)


def check_members(estimator: Any, how: str) -> None:
    """Raise ValueError if a fitted estimator has another number of networks than its parameters say."""
    members = estimator.__dict__.get("estimators_")
    is_ensemble = estimator.n_estimators > 1 or estimator.bootstrap
    if is_ensemble != (members is not None) or (members is not None and len(members) != estimator.n_estimators):
        fitted = 1 if members is None else len(members)
        refuse_change(
            how, "n_estimators", fitted, estimator.n_estimators, " (or bootstrap was changed)" * (members is None)
        )


def check_goes_on(estimator: Any, how: str) -> None:
    """Raise ValueError if a fitted estimator's parameters describe another network than the one it would go on with."""
    network = estimator.network_
    if getattr(estimator, "_has_assigned_network", False):
        return  # no parameter describes it
    dense = [layer.units for layer in network.layers if isinstance(layer, Dense)][:-1]
    wanted = hidden_units(estimator.hidden_layer_sizes)
    if wanted != dense:
        refuse_change(how, "hidden_layer_sizes", tuple(dense), tuple(wanted))
    normalizations = {type(layer): name for name, layer in _NORMALIZATIONS.items()}
    had = next((normalizations[type(layer)] for layer in network.layers if type(layer) in normalizations), None)
    if dense and had != estimator.normalization:
        refuse_change(how, "normalization", had, estimator.normalization)
    if estimator.dtype not in ("auto", network.dtype.name):
        refuse_change(how, "dtype", network.dtype.name, estimator.dtype)


def refuse_change(how: str, name: str, fitted: Any, wanted: Any, more: str = "") -> None:
    raise ValueError(
        f"{name} must stay {fitted!r}{more} where {how} goes on with what was fitted, got {wanted!r}; "
        "to begin anew, call fit with warm_start=False"
    )


def as_callbacks(callbacks: "Sequence[Callback] | Callback | None") -> list[Callback]:
    """Return callbacks as a list, or raise TypeError."""
    if callbacks is None:
        return []
    given = [callbacks] if isinstance(callbacks, Callback) else list(callbacks)
    for i, callback in enumerate(given):
        if not isinstance(callback, Callback):
            raise TypeError(f"callbacks[{i}] must be a fastnn.callbacks.Callback, got {callback!r}")
    return given
