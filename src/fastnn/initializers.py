"""Initial values of kernels, from a NumPy generator of our own: the global random state is never touched."""

import math

import numpy as np

from fastnn.common.validation import check_choice

NAMES = (
    "auto", "he_normal", "he_uniform", "glorot_normal", "glorot_uniform", "lecun_normal", "orthogonal", "zeros",
)  # fmt: skip

# What layers ask for beside them: the same for each of the first axis, -1 or 1 at random, normal numbers of the
# deviation that follows, and angles from -pi to pi.
EACH, SIGNS, NORMAL, ANGLES = "each of ", "signs", "normal ", "angles"

_BY_ACTIVATION = {
    "relu": "he_uniform",
    "leaky_relu": "he_uniform",
    "elu": "he_uniform",
    "gelu": "he_uniform",
    "silu": "he_uniform",
    "mish": "he_uniform",
    "softplus": "he_uniform",
    "selu": "lecun_normal",
}

# (numerator of the variance, which fans divide it, is normal)
_SCALED = {
    "he_normal": (2.0, "in", True),
    "he_uniform": (2.0, "in", False),
    "glorot_normal": (2.0, "both", True),
    "glorot_uniform": (2.0, "both", False),
    "lecun_normal": (1.0, "in", True),
}


def suited_to(activation_name: str) -> str:
    """Return the initialiser that "auto" stands for: He for rectifiers, LeCun for selu, Glorot for the rest."""
    return _BY_ACTIVATION.get(activation_name, "glorot_uniform")


def draw(name: str, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    """Draw a kernel of any rank.

    Its last axis are the outputs and the one before the inputs; those before are positions that share the weights, so
    they count for both fans, as in Keras. An orthogonal kernel is so as a matrix of the last axis by all others.

    Parameters
    ----------
    name : str
        One of `NAMES` but "auto", or "uniform": from -0.05 to 0.05. he: variance 2 / fan_in [1]_; glorot:
        2 / (fan_in + fan_out) [2]_; lecun: 1 / fan_in [3]_; orthogonal: a random matrix with orthonormal rows
        or columns [4]_.
    shape : tuple of int
        Of the kernel.
    generator : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray of that shape, float64

    Raises
    ------
    ValueError
        If the name is unknown.

    References
    ----------
    .. [1] K. He et al., "Delving Deep into Rectifiers", ICCV 2015, eq. 10.
    .. [2] X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural networks",
           AISTATS 2010, eq. 16.
    .. [3] Y. LeCun et al., "Efficient BackProp", 1998, sec. 4.6.
    .. [4] A. M. Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural
           networks", ICLR 2014.

    Examples
    --------
    >>> import numpy as np
    >>> draw("zeros", (3, 3, 1, 8), np.random.default_rng(0)).shape
    (3, 3, 1, 8)
    """
    if name == "uniform":  # of embeddings
        return generator.uniform(-0.05, 0.05, shape)
    check_choice("kernel_initializer", name, NAMES)
    if name == "zeros":
        return np.zeros(shape)
    units, fan_in = shape[-1], math.prod(shape[:-1])
    if name == "orthogonal":
        tall = generator.standard_normal((max(fan_in, units), min(fan_in, units)))
        q, r = np.linalg.qr(tall)
        q = q * np.sign(np.diag(r))  # unique, hence uniformly distributed
        return (q if fan_in >= units else q.T).reshape(shape)
    numerator, fans, is_normal = _SCALED[name]
    variance = numerator / (fan_in if fans == "in" else fan_in + math.prod(shape[:-2]) * units)
    if is_normal:
        return generator.normal(0.0, np.sqrt(variance), shape)
    limit = np.sqrt(3.0 * variance)
    return generator.uniform(-limit, limit, shape)
