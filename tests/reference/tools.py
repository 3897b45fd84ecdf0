"""What stands between a gradient and an update, and beside it: clipping, max-norm, averaging of weights, mixup."""

import numpy as np


def clip_by_value(g, limit):
    return np.clip(g, -limit, limit)


def clip_by_norm(g, limit):
    """Pascanu, Mikolov and Bengio, 2013, algorithm 1, for one tensor (Keras's clipnorm)."""
    return g * limit / max(np.sqrt(np.sum(g**2)), limit)


def clip_by_global_norm(gradients, limit):
    """The same for the concatenation of all tensors (Keras's global_clipnorm; PyTorch adds 1e-6 to the norm)."""
    norm = np.sqrt(sum(np.sum(g**2) for g in gradients))
    return [g * limit / max(norm, limit) for g in gradients]


def max_norm(W, limit):
    """Srivastava et al., 2014, section 5.1: a unit's incoming weights, a column of W, have a norm of at most limit.

    A column within the limit is not touched (Keras's MaxNorm shrinks every column by 1e-7 / norm).
    """
    norms = np.sqrt((W**2).sum(axis=0))
    return W * np.where(norms > limit, limit / np.maximum(norms, limit), 1.0)


def ema(average, w, momentum=0.99):
    """Exponential moving average after one more step; average is None before the first, as in Keras and PyTorch."""
    return np.array(w, dtype=float) if average is None else momentum * average + (1 - momentum) * w


def mixup(X, Y, partner, lam):
    """Zhang et al., 2018, section 2: each row mixed with its partner row (indices), lam ~ Beta(alpha, alpha).

    Y holds one-hot rows; lam is a number or one number a row.
    """
    lam = np.reshape(lam, (-1, 1))
    return lam * X + (1 - lam) * X[partner], lam * Y + (1 - lam) * Y[partner]
