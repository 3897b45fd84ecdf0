"""What kernels read: the records that Python fills in before a call, and the numbers that both sides know by name.

- `OP`: one record a step of the forward pass, in order; the backward pass walks them in reverse. It holds the addresses
  of the units that do the work, and the fields that every kind of op has. What one kind needs beside those is a record
  of its own, to which `details` leads.
- `VARIABLE`: one record a parameter tensor (a kernel, a bias, a gamma), for what treats tensors apart.
- `job_record`: what one thread works on and with, for networks of float32 or float64. The two differ in the type of one
  field, `element`, from which compiled code knows the type of the numbers behind all addresses.
- `row_record`: the same for the prediction of single rows.

Addresses belong to a process. `fastnn.engine` fills them in where it makes memory for a call; nothing saves them.
"""

import enum

import numpy as np


class Mode(enum.IntEnum):
    """What a call does with each batch."""

    TRAIN = 0  # gradient in training mode, then an update
    GRADIENT = 1  # loss and gradient in inference mode
    EVALUATE = 2  # loss and metrics in inference mode
    OUTPUTS = 3  # outputs in training mode, written to where targets are read from in the other modes
    PREDICTIONS = 4  # the same in inference mode


class Source(enum.IntEnum):
    """How features or targets lie in the user's memory."""

    FLOAT32 = 0
    FLOAT64 = 1
    UINT8 = 2
    LABELS = 3  # int64 class numbers, expanded to one-hot rows
    CSR_FLOAT32 = 4  # compressed sparse rows: the address is that of a `CSR` record
    CSR_FLOAT64 = 5
    # Numbers of rows of an embedding, beside UINT8.
    INT8 = 6
    INT16 = 7
    UINT16 = 8
    INT32 = 9
    UINT32 = 10
    INT64 = 11
    UINT64 = 12


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
SHARED_SIZE = 64  # int64 words of a team's barrier

# Buffer offsets count units: a region of u units is u * PANEL * capacity elements (capacity: panels in the workspace).
OP = np.dtype(
    [
        # Addresses of units; 0 where the call needs none.
        ("forward", np.int64),
        ("backward", np.int64),
        ("row", np.int64),
        ("after_update", np.int64),
        ("details", np.int64),  # address of the kind's own record
        # Sizes. An op works on the last axis of a sample: `positions` times `fan_in` numbers become `positions` times
        # `units`.
        ("fan_in", np.int64),
        ("units", np.int64),
        ("positions", np.int64),
        # Where its numbers lie.
        ("source", np.int64),  # buffer offset of the input
        ("target", np.int64),  # buffer offset of the output; equal to source where the op works in place
        ("extra", np.int64),  # buffer offset of what the backward pass needs beside input and output
        ("weights", np.int64),  # offset in the parameter vector of the first tensor (kernel, gamma), -1: none
        ("bias", np.int64),  # offset in the parameter vector of the second (bias, beta), -1: none
        ("first_parameter", np.int64),  # the range of the parameter vector that this op owns
        ("n_parameters", np.int64),
        # What the walk has to know.
        ("layer", np.int64),  # which layer of the network it belongs to
        ("key", np.int64),  # of its random numbers: the layer, and its place where layers hold others
        ("has_gradient_below", np.int64),  # whether anything before this op wants a gradient
        ("needs_backward", np.int64),  # whether this op or anything before it wants one
        ("sees_batch", np.int64),  # whether threads without samples take part, since it looks at the whole batch
        ("updates_itself", np.int64),  # whether its backward pass can update its parameters block by block
        ("value", np.float64),  # the layer's number: slope, alpha, rate, standard deviation, epsilon
    ],
    align=True,
)

VARIABLE = np.dtype(
    [
        ("offset", np.int64),
        ("size", np.int64),
        ("units", np.int64),  # columns of a kernel; size of a vector
        ("is_kernel", np.int64),
        ("is_trained", np.int64),
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
    ]
)

# Features or targets: the unit that brings rows of them into panels, where they lie, and where they go.
DATA = np.dtype(
    [
        ("gather", np.int64),  # address of a unit; in Mode.OUTPUTS that of the targets is `scatter`
        ("address", np.int64),
        ("row_stride", np.int64),  # bytes
        ("column_stride", np.int64),  # bytes
        ("width", np.int64),  # numbers a row
        ("positions", np.int64),  # of labels: how many a row
        ("target", np.int64),  # buffer offset
        ("smoothing", np.float64),  # of labels: y becomes y (1 - smoothing) + smoothing * smoothed_to
        ("smoothed_to", np.float64),
    ],
    align=True,
)


# The operands of a tile, see `kernels.tile`. Addresses are bytes; rows, steps and jumps are elements.
TILE = np.dtype(
    [
        ("a", np.int64),
        ("a_row", np.int64),
        ("a_step", np.int64),
        ("a_jump", np.int64),
        ("b", np.int64),
        ("b_row", np.int64),
        ("c", np.int64),
        ("c_row", np.int64),
        ("n_rows", np.int64),
        ("n_vectors", np.int64),
        ("n_outer", np.int64),
        ("n_inner", np.int64),
        ("start", np.int64),  # tile.ZERO, BIAS or ADD
        ("bias", np.int64),
        ("last", np.int64),  # lanes of the last vector of each row of C that are read and written
        ("ahead", np.int64),  # memory that is fetched meanwhile, a line for each k
        ("ahead_step", np.int64),  # 0: always the same line
    ],
    align=True,
)

# The operands of a tile of a convolution, see `kernels.conv_tile`: three loops, outer, middle and inner, and how far
# A and B go on with each. Addresses are bytes, all else elements.
WINDOW = np.dtype(
    [
        ("a", np.int64),
        ("a_row", np.int64),
        ("a_outer", np.int64),
        ("a_middle", np.int64),
        ("a_inner", np.int64),
        ("b", np.int64),
        ("b_outer", np.int64),
        ("b_middle", np.int64),
        ("b_inner", np.int64),
        ("n_outer", np.int64),
        ("n_middle", np.int64),
        ("n_inner", np.int64),
        ("c", np.int64),
        ("n_rows", np.int64),
        ("n_columns", np.int64),
        ("n_next", np.int64),  # places that are computed one after the other
        ("b_next", np.int64),
        ("c_next", np.int64),
        ("has_bias", np.int64),
        ("bias", np.int64),
    ],
    align=True,
)


def job_record(dtype: np.dtype | type) -> np.dtype:
    """Return the layout of what one thread works on, for networks of float32 or float64."""
    return np.dtype(
        [
            ("element", dtype),  # holds nothing: its type is that of the network's numbers
            ("mode", np.int64),
            ("thread", np.int64),
            ("n_threads", np.int64),
            # Memory: addresses and sizes in elements.
            ("jobs", np.int64),  # the records of all threads
            ("ops", np.int64),
            ("n_ops", np.int64),
            ("variables", np.int64),
            ("n_variables", np.int64),
            ("parameters", np.int64),  # parameters, padding, running statistics
            ("n_values", np.int64),  # all of those
            ("gradients", np.int64),  # one vector of parameter_stride a thread, then one area a thread
            ("gradient", np.int64),  # this thread's vector
            ("area_size", np.int64),
            ("moments", np.int64),
            ("n_moments", np.int64),
            ("workspaces", np.int64),  # the buffers of all threads
            ("buffer", np.int64),  # this thread's
            ("buffer_size", np.int64),
            ("sums", np.int64),  # N_SUMS float64 a thread
            ("shared", np.int64),  # the team's barrier
            ("order", np.int64),  # int64 row numbers
            ("n_order", np.int64),  # 0: rows in order
            ("sample_weight", np.int64),  # float64
            ("n_sample_weight", np.int64),  # 0: every sample weighs 1
            ("weights_a_row", np.int64),  # 1, or one for each position of the outputs
            ("row_lengths", np.int64),  # int64: how many steps of each row count
            ("n_row_lengths", np.int64),  # 0: all
            ("carried", np.int64),  # states that recurrent layers carry from batch to batch, in panels; 0: none
            ("carried_units", np.int64),  # of a sample
            ("snapshots", np.int64),  # two times n_values: parameters that this epoch and the one before began with
            ("records", np.int64),  # N_SUMS float64 for each epoch that the kernel ended
            # The data.
            ("x", DATA),
            ("y", DATA),
            ("input_gradient", DATA),  # where the gradient of the inputs goes; without a unit: nowhere
            ("condition", DATA),  # what `kernels.adversarial` joins to the inputs
            ("n_rows", np.int64),
            # The network.
            ("reading_tile", np.int64),  # addresses of units
            ("writing_tile", np.int64),
            ("n_outputs", np.int64),  # at one position of the outputs
            ("positions", np.int64),  # of the outputs: the loss is a mean over them, too
            ("output_steps", np.int64),  # how many steps of time they are; 0: none that lengths could cut
            ("n_parameters", np.int64),
            ("parameter_stride", np.int64),  # n_parameters rounded up to whole cache lines
            ("staging", np.int64),  # buffer offsets, in units as in OP
            ("output", np.int64),
            ("delta", np.int64),
            ("other_delta", np.int64),
            ("strips", np.int64),
            ("weights", np.int64),
            ("lengths", np.int64),
            ("capacity", np.int64),  # panels the workspace holds
            ("sees_batch", np.int64),  # whether an op looks at the whole batch in training
            # The loss.
            ("loss", np.int64),  # address of a unit, as of all that follow
            ("takes_logits", np.int64),  # whether it computes the last activation itself
            ("loss_value", np.float64),  # delta of huber
            ("loss_scale", np.float64),  # what the loss is multiplied by
            ("metrics", np.int64),
            ("mixup", np.int64),
            ("mixup_alpha", np.float64),  # of the Beta distribution of its weights
            ("penalty", np.int64),  # 0: no tensor has a penalty
            ("penalty_per_sample", np.int64),  # whether penalties are divided by the weight of the batch
            # The optimizer.
            ("update", np.int64),
            ("by_layer", np.int64),  # whether each layer is updated where its gradient is made
            ("hyperparameters", np.float64, (N_HYPERPARAMETERS,)),
            ("schedule", np.int64),  # 0: the rate stays `learning_rate`
            ("schedule_values", np.float64, (N_HYPERPARAMETERS,)),
            ("learning_rate", np.float64),
            ("decay", np.int64),
            ("weight_decay", np.float64),  # decoupled from the gradient
            ("decays_all", np.int64),  # whether biases and normalisation's parameters decay too
            ("clip", np.int64),
            ("clip_limit", np.float64),
            ("constrain", np.int64),
            ("average", np.int64),
            ("average_momentum", np.float64),
            # Where training is; read and written by the kernel.
            ("seed", np.uint64),
            ("step", np.int64),  # updates done since the trainer was made
            ("batch_size", np.int64),
            ("batch_rows", np.int64),  # of the current batch, which may be smaller
            ("rate", np.float64),  # the learning rate of the current step
            ("penalty_scale", np.float64),  # what the current batch multiplies penalties by
            ("penalty_sum", np.float64),  # so far added to the current batch's loss by this thread
            ("position", np.int64),  # rows of this epoch done
            ("failed", np.int64),  # Failure
            # The current micro-batch of this thread.
            ("first_sample", np.int64),  # its place in the batch
            ("n_samples", np.int64),
            ("is_training", np.int64),
            ("goes_back", np.int64),  # whether a backward pass follows
            ("start", np.int64),  # tile.ZERO or tile.ADD: whether gradients are added to what is there
            ("updates", np.int64),  # whether layers are updated while the backward pass walks them
            ("updated_from", np.int64),  # parameters from here on are updated
            # What a call needs that goes on with the next epoch by itself.
            ("epochs_left", np.int64),  # how many it may begin
            ("epochs_fused", np.int64),  # how many it began
            ("epoch", np.int64),  # the current one's number
            ("shuffles", np.int64),
            ("order_seed", np.uint64),
            ("snapshot", np.int64),  # which of the two holds the parameters that the current epoch began with
        ],
        align=True,
    )


def row_record(dtype: np.dtype | type) -> np.dtype:
    """Return the layout of what the prediction of one row works on, for networks of float32 or float64."""
    return np.dtype(
        [
            ("element", dtype),  # as in `job_record`
            ("ops", np.int64),
            ("n_ops", np.int64),
            ("parameters", np.int64),
            ("n_values", np.int64),
            ("buffer", np.int64),  # two rows of the widest layer, then what ops keep for others
            ("buffer_size", np.int64),
            ("row_size", np.int64),  # elements of one of the two rows
            ("source", np.int64),  # where in the buffer the input of the next op lies, in elements
            ("target", np.int64),  # where its output may go
        ],
        align=True,
    )


_DTYPES = (np.dtype(np.float32), np.dtype(np.float64))
JOBS = {dtype: job_record(dtype) for dtype in _DTYPES}
ROWS = {dtype: row_record(dtype) for dtype in _DTYPES}
