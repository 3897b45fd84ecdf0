"""The oracle: what fastnn computes, in plain NumPy and float64, written from the papers and never from our kernels.

Slow and obvious on purpose. It imports nothing from fastnn, so that an error cannot hide on both sides of a test.

activations   value beside derivative of the thirteen activations
images        convolution and pooling, by loops
losses        per-sample value beside gradient of the six losses; the pairs that are computed from logits
layers        Dense, Activation, Dropout, ...: forward beside backward
network       forward pass, loss of a batch and its gradient by back-propagation, central differences
optimizers    one update rule a class
schedules     learning rate as a function of the step
tools         clipping, max-norm, averaging of weights, mixup
"""

from .activations import ACTIVATIONS, activate, activate_backward
from .images import Convolution, Pooling, TransposedConvolution
from .layers import Activation, BatchNormalization, Dense, Dropout, GaussianNoise, Layer, LayerNormalization
from .losses import FROM_LOGITS, LOSSES, Loss, make_targets
from .network import (
    central_difference,
    forward,
    get_parameters,
    loss_and_gradient,
    moving_statistics,
    penalty,
    replace_parameters,
)
from .optimizers import (
    OPTIMIZERS,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    Nadam,
    RMSprop,
)
from .schedules import (
    SCHEDULES,
    constant,
    cosine,
    exponential,
    inverse_time,
    one_cycle,
    polynomial,
    step_decay,
    warmup_cosine,
)
from .tools import clip_by_global_norm, clip_by_norm, clip_by_value, ema, max_norm, mixup

__all__ = [
    "ACTIVATIONS",
    "FROM_LOGITS",
    "LOSSES",
    "OPTIMIZERS",
    "SCHEDULES",
    "SGD",
    "Activation",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "BatchNormalization",
    "Convolution",
    "Dense",
    "Dropout",
    "GaussianNoise",
    "Layer",
    "LayerNormalization",
    "Lion",
    "Loss",
    "Nadam",
    "Pooling",
    "RMSprop",
    "TransposedConvolution",
    "activate",
    "activate_backward",
    "central_difference",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "constant",
    "cosine",
    "ema",
    "exponential",
    "forward",
    "get_parameters",
    "inverse_time",
    "loss_and_gradient",
    "make_targets",
    "max_norm",
    "mixup",
    "moving_statistics",
    "one_cycle",
    "penalty",
    "polynomial",
    "replace_parameters",
    "step_decay",
    "warmup_cosine",
]
