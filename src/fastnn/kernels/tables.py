"""What kernels read: the opcodes, and the layout of the tables that `fastnn.engine` fills in.

A network reaches the kernels as two arrays of records, so one compiled kernel serves every architecture:

- `OP`: one record a step of the forward pass, in order; the backward pass walks it in reverse.
- `VARIABLE`: one record a parameter tensor (a kernel, a bias, a gamma), for what treats tensors apart.

What a call is to do is a third record, `JOB`, one a thread. Records keep names: a kernel says ``op.fan_in``, not
``table[i, 3]``.
"""

import enum

import numpy as np


class Layer(enum.IntEnum):
    """What an op does."""

    DENSE = 0
    ACTIVATION = 1
    DROPOUT = 2
    GAUSSIAN_NOISE = 3
    LAYER_NORMALIZATION = 4
    BATCH_NORMALIZATION = 5


class Activation(enum.IntEnum):
    LINEAR = 0
    SIGMOID = 1
    TANH = 2
    RELU = 3
    LEAKY_RELU = 4
    ELU = 5
    SELU = 6
    SOFTPLUS = 7
    GELU = 8
    SILU = 9
    MISH = 10
    SOFTMAX = 11
    EXPONENTIAL = 12


class Loss(enum.IntEnum):
    GIVEN_DELTA = -1  # the loss is computed elsewhere: targets are its gradient with respect to the outputs
    MSE = 0
    MAE = 1
    HUBER = 2
    LOG_LOSS = 3
    CATEGORICAL_CROSSENTROPY = 4
    POISSON = 5
    # An output activation and its loss in one formula, from logits: no overflow, no log(0).
    SIGMOID_LOG_LOSS = 6
    SOFTMAX_CROSSENTROPY = 7
    EXPONENTIAL_POISSON = 8


class Optimizer(enum.IntEnum):
    SGD = 0
    ADAM = 1
    AMSGRAD = 2
    NADAM = 3
    ADAMAX = 4
    RMSPROP = 5
    ADAGRAD = 6
    ADADELTA = 7
    LION = 8


class Schedule(enum.IntEnum):
    CONSTANT = 0
    STEP = 1
    EXPONENTIAL = 2
    INVERSE_TIME = 3
    POLYNOMIAL = 4
    COSINE = 5
    WARMUP_COSINE = 6
    ONE_CYCLE = 7


class Mode(enum.IntEnum):
    """What a call does with each batch."""

    TRAIN = 0  # gradient in training mode, then an update
    GRADIENT = 1  # loss and gradient in inference mode
    EVALUATE = 2  # loss and metrics in inference mode
    OUTPUTS = 3  # outputs in training mode, written to where targets are read from in the other modes


class Source(enum.IntEnum):
    """How features or targets lie in the user's memory."""

    FLOAT32 = 0
    FLOAT64 = 1
    UINT8 = 2
    LABELS = 3  # int64 class numbers, expanded to one-hot rows
    CSR = 4  # compressed sparse rows: the address is that of a `CSR` record


class Sum(enum.IntEnum):
    """Running sums over samples, each weighted."""

    WEIGHT = 0
    LOSS = 1
    CORRECT = 2
    SQUARED_ERROR = 3
    ABSOLUTE_ERROR = 4
    BATCH_LOSS = 5  # this thread's part of the current batch's loss, not a running sum
    SQUARED_NORM = 6  # this thread's part of the squared norm of the gradient, not a running sum


class Failure(enum.IntEnum):
    """Why training cannot go on."""

    NONE = 0
    LOSS = 1  # a batch whose loss is not finite
    PARAMETERS = 2  # at the end of an epoch


N_SUMS = 16  # columns for them: two cache lines a thread, so that threads do not share one
N_HYPERPARAMETERS = 8

# Buffer offsets count units: a region of u units is u * PANEL * capacity elements (capacity: panels in the workspace).
OP = np.dtype(
    [
        ("kind", np.int64),  # Layer
        ("fan_in", np.int64),
        ("units", np.int64),
        ("source", np.int64),  # buffer offset of the input
        ("target", np.int64),  # buffer offset of the output; equal to source where the op works in place
        ("extra", np.int64),  # buffer offset of what the backward pass needs beside input and output
        ("weights", np.int64),  # offset in the parameter vector (kernel, gamma)
        ("bias", np.int64),  # offset in the parameter vector (bias, beta), -1: none
        ("code", np.int64),  # Activation
        ("layer", np.int64),  # which layer this is, the key of its random numbers
        ("has_gradient_below", np.int64),  # whether anything before this op has parameters
        ("value", np.float64),  # the layer's parameter: slope, alpha, rate, standard deviation, epsilon
        ("momentum", np.float64),  # of running statistics
        ("state", np.int64),  # where those lie in the parameter buffer, behind the parameters: means, then variances
    ],
    align=True,
)

VARIABLE = np.dtype(
    [
        ("offset", np.int64),
        ("size", np.int64),
        ("units", np.int64),  # columns of a kernel; size of a vector
        ("is_kernel", np.int64),
        ("l1", np.float64),  # penalty: l1 * sum |w| + l2 * sum w^2
        ("l2", np.float64),
        ("max_norm", np.float64),  # limit of the norm of each column of a kernel; 0: none
    ],
    align=True,
)

# A matrix of compressed sparse rows: row i has the entries indptr[i] to indptr[i + 1] of `indices` and `values`.
CSR = np.dtype(
    [
        ("values", np.int64),  # addresses
        ("indices", np.int64),
        ("indptr", np.int64),
        ("index_size", np.int64),  # bytes of an element of indices and indptr: 4 or 8
        ("source", np.int64),  # Source of the values: FLOAT32 or FLOAT64
    ]
)

JOB = np.dtype(
    [
        ("mode", np.int64),
        ("thread", np.int64),
        ("n_threads", np.int64),
        # The data.
        ("x_address", np.int64),
        ("x_row_stride", np.int64),  # bytes
        ("x_column_stride", np.int64),  # bytes
        ("x_source", np.int64),  # Source
        ("y_address", np.int64),
        ("y_row_stride", np.int64),
        ("y_column_stride", np.int64),
        ("y_source", np.int64),
        ("n_rows", np.int64),
        ("has_sample_weight", np.int64),
        # The network.
        ("n_inputs", np.int64),
        ("n_outputs", np.int64),
        ("n_parameters", np.int64),
        ("parameter_stride", np.int64),  # n_parameters rounded up to whole cache lines
        ("staging", np.int64),  # buffer offsets, in units as in OP
        ("input", np.int64),
        ("output", np.int64),
        ("targets", np.int64),
        ("delta", np.int64),
        ("other_delta", np.int64),
        ("strips", np.int64),
        ("weights", np.int64),
        ("capacity", np.int64),  # panels the workspace holds
        # The loss.
        ("loss", np.int64),  # Loss
        ("loss_value", np.float64),  # delta of huber
        ("loss_scale", np.float64),  # what the loss is multiplied by
        ("label_smoothing", np.float64),
        ("mixup", np.float64),  # alpha of the Beta distribution of its weights; 0: none
        ("wants_metrics", np.int64),
        ("has_penalties", np.int64),
        ("penalty_per_sample", np.int64),  # whether penalties are divided by the weight of the batch
        # The optimizer.
        ("optimizer", np.int64),
        ("hyperparameters", np.float64, (N_HYPERPARAMETERS,)),
        ("schedule", np.int64),
        ("schedule_values", np.float64, (N_HYPERPARAMETERS,)),
        ("learning_rate", np.float64),
        ("weight_decay", np.float64),  # decoupled from the gradient
        ("decays_all", np.int64),  # whether biases and normalisation's parameters decay too
        ("clip_value", np.float64),  # limits for the gradient; 0: none
        ("clip_norm", np.float64),
        ("global_clip_norm", np.float64),
        ("has_constraints", np.int64),
        ("has_batch_statistics", np.int64),  # whether an op normalises over the batch
        ("averages", np.int64),  # whether the last slot of the moments is an average of the parameters
        ("average_momentum", np.float64),
        # Where training is; read and written by the kernel.
        ("seed", np.uint64),
        ("step", np.int64),  # updates done since the trainer was made
        ("batch_size", np.int64),
        ("batch_rows", np.int64),  # of the current batch, which may be smaller
        ("rate", np.float64),  # the learning rate of the current step
        ("penalty_scale", np.float64),  # what the current batch multiplies penalties by
        ("penalty", np.float64),  # so far added to the current batch's loss by this thread
        ("position", np.int64),  # rows of this epoch done
        ("failed", np.int64),  # Failure
        # What a call needs that goes on with the next epoch by itself.
        ("epochs_left", np.int64),  # how many it may begin
        ("epochs_turned", np.int64),  # how many it began
        ("epoch", np.int64),  # the current one's number
        ("shuffles", np.int64),
        ("order_seed", np.uint64),
        ("snapshot", np.int64),  # which of the two holds the parameters that the current epoch began with
    ],
    align=True,
)
