"""Activations from and to Keras."""

from typing import Any

from fastnn.activations import ELU, NAMES, ActivationFunction, LeakyReLU


def read_relu(layer: Any) -> ActivationFunction:
    """Return our activation for a ReLU layer."""
    if layer.max_value is not None or layer.threshold:
        raise ValueError(f"{layer.name!r}, a ReLU with max_value or threshold, has no equal in fastnn")
    slope = float(layer.negative_slope)
    return LeakyReLU(slope) if slope else ActivationFunction("relu")


# Class name of a layer -> function of it.
LAYERS = {
    "ReLU": read_relu,
    "LeakyReLU": lambda layer: LeakyReLU(float(layer.negative_slope)),
    "ELU": lambda layer: ELU(float(layer.alpha)),
}


def read_activation(function: Any) -> ActivationFunction:
    """Return our activation for a function of keras.activations, or for a layer that stands for one.

    Raises
    ------
    ValueError
        If it has no equal.
    """
    if type(function).__name__ in LAYERS:
        return LAYERS[type(function).__name__](function)
    name = getattr(function, "__name__", str(function))
    if name == "leaky_relu":
        return LeakyReLU(0.2)  # the function's default, unlike ours
    if name == "elu":
        return ELU(1.0)
    if name not in NAMES:
        raise ValueError(f"the activation {name!r} has no equal in fastnn; known are {', '.join(NAMES)}")
    return ActivationFunction(name)


def write_activation(keras: Any, function: ActivationFunction, dtype: str) -> tuple[str, list[Any]]:
    """Return an activation as a name that a layer takes, and layers behind it: the name is "linear" where there are.

    Raises
    ------
    ValueError
        If it is one that a user wrote.
    """
    if function.name == "leaky_relu":
        return "linear", [keras.layers.LeakyReLU(negative_slope=function.value, dtype=dtype)]
    if function.name == "elu":
        return "linear", [keras.layers.ELU(alpha=function.value, dtype=dtype)]
    if function.name not in NAMES:
        raise ValueError(f"the activation {function.name!r} has no equal in Keras")
    return function.name, []
