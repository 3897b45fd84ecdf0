"""What a network looks at: the gradient of an output by its input."""

from dataclasses import replace
from typing import Any

import numpy as np

from fastnn.common.validation import as_array, check_bool
from fastnn.layers import Activation, Dense
from fastnn.model.network import Network

_HIDES = ("softmax", "sigmoid")  # activations that are flat where a network is sure


def saliency(network: Network, X: Any, *, output: Any = None, logits: bool = True) -> np.ndarray:
    """Return the gradient of one output by the input, for each sample: what would change it, and which way [1]_.

    Parameters
    ----------
    network : Network
        As at inference: dropout is off.
    X : array-like of shape (n, n_inputs) or (n, *input_shape)
        Samples.
    output : int, array-like of shape (n,) or None, default None
        The number of the output, for all samples or for each; None is the largest of each sample.
    logits : bool, default True
        Whether a softmax or sigmoid at the network's end is left out, as in [1]_: where a network is sure, such
        outputs hardly change with anything.

    Returns
    -------
    ndarray of the shape of X
        In the network's dtype. Its absolute value is the usual picture, see `fastnn.plotting.plot_saliency`.

    Raises
    ------
    ValueError, TypeError
        If X does not suit the network, or there is no such output.

    References
    ----------
    .. [1] K. Simonyan, A. Vedaldi, A. Zisserman, "Deep Inside Convolutional Networks: Visualising Image Classification
           Models and Saliency Maps", ICLR workshop, 2014.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> network = fastnn.Network([fastnn.Input(2), fastnn.Dense(1, "sigmoid")], dtype="float64")
    >>> network.set_weights([[[3.0], [-1.0]], [0.0]])
    >>> fastnn.saliency(network, [[1.0, 2.0]])
    array([[ 3., -1.]])
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a fastnn.Network, got {network!r}")
    if network.plan.n_categories:
        raise ValueError("network must not begin with an Embedding: outputs have no gradient by the integers it takes")
    judge = _without_end(network) if check_bool("logits", logits) else network
    outputs = judge.predict(X)
    n = len(outputs)
    rows = outputs.reshape(n, -1)
    if output is None:
        chosen = rows.argmax(axis=1)
    else:
        chosen = as_array("output", output)
        if chosen.dtype.kind not in "iu" or chosen.shape not in ((), (n,)):
            raise ValueError(f"output must be an integer, or one for each of {n} samples, got {output!r}")
        wrong = chosen[(chosen < 0) | (chosen >= rows.shape[1])]
        if wrong.size:
            raise ValueError(f"output must be from 0 to {rows.shape[1] - 1}, got {wrong.flat[0]}")
    v = np.zeros_like(rows)
    v[np.arange(n), chosen] = 1.0
    return judge.vjp(X, v.reshape(outputs.shape))[0]


def _without_end(network: Network) -> Network:
    """Return the network without a softmax or sigmoid at its end, with the same parameters."""
    *layers, last = network.layers
    if network.plan.output_activation not in _HIDES:
        return network
    if isinstance(last, Dense):
        layers.append(replace(last, activation="linear"))
    elif not isinstance(last, Activation):
        return network
    plain = Network._blank(layers, dtype=network.dtype, seed=None)
    np.copyto(plain.parameter_buffer, network.parameter_buffer)
    return plain
