"""Recurrent layers: forward(x, weights) for x of shape (n, time, features), one step after the other.

Weights are in Keras's form: kernel, recurrent kernel, bias. Gates i f c o (Hochreiter and Schmidhuber, 1997, with the
forget gate of Gers et al., 2000); z r h (Cho et al., 2014, the reset gate behind the product). Only the forward passes:
what tests hold gradients to are central differences of them.
"""

import numpy as np

from .activations import activate


def simple_rnn(x, kernel, recurrent, bias, activation="tanh"):
    """The states of all steps, (n, time, units)."""
    h, states = np.zeros((len(x), len(recurrent))), []
    for t in range(x.shape[1]):
        h = activate(activation, x[:, t] @ kernel + h @ recurrent + bias)
        states.append(h)
    return np.stack(states, axis=1)


def lstm(x, kernel, recurrent, bias, activation="tanh", recurrent_activation="sigmoid"):
    h, states = np.zeros((len(x), len(recurrent))), []
    c = h
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ kernel + h @ recurrent + bias, 4, axis=1)
        i, f, o = (activate(recurrent_activation, gate) for gate in (i, f, o))
        c = f * c + i * activate(activation, g)
        h = o * activate(activation, c)
        states.append(h)
    return np.stack(states, axis=1)


def gru(x, kernel, recurrent, bias, activation="tanh", recurrent_activation="sigmoid"):
    h, states = np.zeros((len(x), len(recurrent))), []
    bias = np.broadcast_to(bias, (2, kernel.shape[1]))
    for t in range(x.shape[1]):
        xz, xr, xh = np.split(x[:, t] @ kernel + bias[0], 3, axis=1)
        hz, hr, hh = np.split(h @ recurrent + bias[1], 3, axis=1)
        z, r = activate(recurrent_activation, xz + hz), activate(recurrent_activation, xr + hr)
        h = z * h + (1 - z) * activate(activation, xh + r * hh)
        states.append(h)
    return np.stack(states, axis=1)


CELLS = {"SimpleRNN": simple_rnn, "LSTM": lstm, "GRU": gru}


def recurrent(cell, x, weights, *, sequences, backwards, **activations):
    """What a recurrent layer puts out; backwards: the last step first, and outputs in the order of the steps."""
    kernel, recurrent_kernel, bias = weights if len(weights) == 3 else (*weights, 0.0)
    states = CELLS[cell](x[:, ::-1] if backwards else x, kernel, recurrent_kernel, bias, **activations)
    return states if sequences else states[:, -1]


def bidirectional(cell, x, weights, *, sequences, mode, **activations):
    """Both directions, with the outputs of the second turned round where there is one for every step."""
    half = len(weights) // 2
    ahead = recurrent(cell, x, weights[:half], sequences=sequences, backwards=False, **activations)
    back = recurrent(cell, x, weights[half:], sequences=sequences, backwards=True, **activations)
    if sequences:
        back = back[:, ::-1]
    return np.concatenate([ahead, back], axis=-1) if mode == "concat" else ahead + back
