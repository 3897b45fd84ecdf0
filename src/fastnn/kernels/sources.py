"""From rows in the user's memory to panels, and back.

Rows are converted while they are gathered: the whole of X is never copied, whatever its dtype or strides.

Jobs
----
- `GATHERS`, `gather_in_place`: the units that bring rows (shuffled or in order) of float32, float64 or uint8, class
  numbers, or compressed sparse rows, into (units, samples) panels
- `gather_weights`: sample weights; samples that only fill up a panel weigh 0, so they touch neither loss nor gradient
- `SCATTERS`, `INPUT_GRADIENT_SCATTERS`: panels of outputs, or of the gradient of the inputs, to rows of float32 or
  float64
- `FINITE_TESTS`: the check that fit and predict make before they start
"""

import numpy as np

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner, kernel, named
from fastnn.kernels.simd import (
    VECTOR_BYTES,
    element_at,
    filled,
    integers_at,
    lanes,
    load,
    load_at,
    put_at,
    row_addresses,
    select,
    store,
    total,
    transpose_block,
    transpose_rows,
)
from fastnn.kernels.tables import CSR, Source
from fastnn.kernels.units import data_unit
from fastnn.kernels.views import buffer_of, order_of, row_lengths_of, sample_weight_of

# Where the fields of a CSR record lie, in bytes.
_VALUES, _INDICES, _INDPTR, _INDEX_SIZE = range(0, CSR.itemsize, 8)

_FLOAT32_EXAMPLE = np.zeros(1, np.float32)
_FLOAT64_EXAMPLE = np.zeros(1)
_INT64_EXAMPLE = np.zeros(1, np.int64)


@inlined
def _row_of(order, first, i, n):
    """Row number of sample i of a batch; samples past the n-th repeat the last, so that padding is ordinary data."""
    i = first + min(i, n - 1)
    return order[i] if order.size > 0 else i


@inner
def _gather_rows(item_size, buffer, target, address, row_stride, order, first, n, width):
    """Bring contiguous rows of the buffer's own dtype into panels, straight from where they lie.

    The last block spills up to lanes - 1 units past the panel: into the next panel, which is written after it, or into
    the region behind, which holds nothing yet.
    """
    step = lanes(buffer)
    for panel in range((n + PANEL - 1) // PANEL):
        panel_target = target + panel * width * PANEL
        for sample in range(0, min(PANEL, n - panel * PANEL), step):
            at = first + panel * PANEL + sample
            rows = row_addresses(buffer, address, row_stride, order, at, first + n - 1)
            for column in range(0, width, step):
                transpose_rows(rows, column * item_size, width - column, buffer,
                               panel_target + column * PANEL + sample, PANEL)  # fmt: skip


@inner
def _gather_converted(
    source, item_size, buffer, target, staging, address, row_stride, column_stride, order, first, n, width
):
    """Convert `lanes` rows at a time into a row-major staging area, then transpose it block by block.

    The last block spills as that of `_gather_rows` does.
    """
    step = lanes(buffer)
    padded = (width + step - 1) // step * step
    whole = width // step * step
    for panel in range((n + PANEL - 1) // PANEL):
        panel_target = target + panel * width * PANEL
        for sample in range(0, min(PANEL, n - panel * PANEL), step):
            for lane in range(step):
                row = address + row_stride * _row_of(order, first, panel * PANEL + sample + lane, n)
                line = staging + lane * padded
                if column_stride == item_size:
                    for column in range(0, whole, step):
                        store(buffer, line + column, load_at(row + column * item_size, source, buffer, step))
                    if whole < width:
                        tail = load_at(row + whole * item_size, source, buffer, width - whole)
                        store(buffer, line + whole, tail)
                else:
                    for column in range(width):
                        buffer[line + column] = element_at(row + column * column_stride, source, buffer)
            for column in range(0, width, step):
                transpose_block(buffer, staging + column, padded, buffer, panel_target + column * PANEL + sample, PANEL)


@inner
def _gather_labels(buffer, target, address, stride, next_label, order, first, n, n_classes, positions, on, off):
    """One-hot rows: `on` at the class of each sample and position, `off` elsewhere."""
    step = lanes(buffer)
    on_v, off_v = filled(buffer, on), filled(buffer, off)
    for sample in range(0, n, step):
        for position in range(positions):
            rows = row_addresses(buffer, address + position * next_label, stride, order, first + sample, first + n - 1)
            labels = integers_at(rows, buffer)
            column = target + (sample // PANEL * positions + position) * n_classes * PANEL + sample % PANEL
            for label in range(n_classes):
                store(buffer, column + label * PANEL, select(labels == label, on_v, off_v))


@inlined
def _integer_at(address, i, size):
    """Element i of an array of int32 or int64, as `size` says."""
    if size == 4:
        return element_at(address + 4 * i, np.int32, _INT64_EXAMPLE)
    return element_at(address + 8 * i, np.int64, _INT64_EXAMPLE)


@inner
def _gather_csr(source, item_size, buffer, target, address, order, first, n, width):
    """Zero the panels, then put each sample's entries into its lane; entries of one column add up, as in SciPy."""
    values = element_at(address + _VALUES, np.int64, _INT64_EXAMPLE)
    indices = element_at(address + _INDICES, np.int64, _INT64_EXAMPLE)
    indptr = element_at(address + _INDPTR, np.int64, _INT64_EXAMPLE)
    index_size = element_at(address + _INDEX_SIZE, np.int64, _INT64_EXAMPLE)
    zero = filled(buffer, 0.0)
    for i in range(0, (n + PANEL - 1) // PANEL * width * PANEL, lanes(buffer)):
        store(buffer, target + i, zero)
    for i in range(n):
        row = _row_of(order, first, i, n)
        lane = target + i // PANEL * width * PANEL + i % PANEL
        for entry in range(_integer_at(indptr, row, index_size), _integer_at(indptr, row + 1, index_size)):
            column = _integer_at(indices, entry, index_size)
            if 0 <= column < width:  # checked before the call; somebody may have written to the matrix since
                buffer[lane + column * PANEL] += element_at(values + entry * item_size, source, buffer)


@inner
def _smooth(job, data):
    """Move targets towards a constant: y becomes y (1 - smoothing) + smoothing * smoothed_to."""
    if data.smoothing == 0.0:
        return
    buffer, scale = buffer_of(job), job.capacity * PANEL
    kept = filled(buffer, 1.0 - data.smoothing)
    added = filled(buffer, data.smoothing * data.smoothed_to)
    n_panels = (job.n_samples + PANEL - 1) // PANEL
    for i in range(data.target * scale, data.target * scale + n_panels * data.width * PANEL, lanes(buffer)):
        store(buffer, i, load(buffer, i) * kept + added)


@data_unit
def gather_in_place(job, data):
    """Rows of the network's own dtype, each contiguous."""
    buffer, scale = buffer_of(job), job.capacity * PANEL
    _gather_rows(VECTOR_BYTES // lanes(buffer), buffer, data.target * scale, data.address, data.row_stride,
                 order_of(job), job.position + job.first_sample, job.n_samples, data.width)  # fmt: skip
    _smooth(job, data)
    return True


def _gathers_converted(source, item_size):
    @data_unit
    @named(f"gather_{source.__name__}")
    def gather(job, data):
        buffer, scale = buffer_of(job), job.capacity * PANEL
        _gather_converted(source, item_size, buffer, data.target * scale, job.staging * scale, data.address,
                          data.row_stride, data.column_stride, order_of(job), job.position + job.first_sample,
                          job.n_samples, data.width)  # fmt: skip
        _smooth(job, data)
        return True

    return gather


@data_unit
def gather_labels(job, data):
    """Class numbers as one-hot rows, smoothed."""
    off = data.smoothing * data.smoothed_to
    on, first = 1.0 - data.smoothing + off, job.position + job.first_sample
    _gather_labels(buffer_of(job), data.target * job.capacity * PANEL, data.address, data.row_stride,
                   data.column_stride, order_of(job), first, job.n_samples, data.width // data.positions,
                   data.positions, on, off)  # fmt: skip
    return True


def _gathers_csr(source, item_size):
    @data_unit
    @named(f"gather_csr_{source.__name__}")
    def gather(job, data):
        _gather_csr(source, item_size, buffer_of(job), data.target * job.capacity * PANEL, data.address, order_of(job),
                    job.position + job.first_sample, job.n_samples, data.width)  # fmt: skip
        _smooth(job, data)
        return True

    return gather


GATHERS = {
    Source.FLOAT32: _gathers_converted(np.float32, 4),
    Source.FLOAT64: _gathers_converted(np.float64, 8),
    Source.UINT8: _gathers_converted(np.uint8, 1),
    Source.INT8: _gathers_converted(np.int8, 1),
    Source.INT16: _gathers_converted(np.int16, 2),
    Source.UINT16: _gathers_converted(np.uint16, 2),
    Source.INT32: _gathers_converted(np.int32, 4),
    Source.UINT32: _gathers_converted(np.uint32, 4),
    Source.INT64: _gathers_converted(np.int64, 8),
    Source.UINT64: _gathers_converted(np.uint64, 8),
    Source.LABELS: gather_labels,
    Source.CSR_FLOAT32: _gathers_csr(np.float32, 4),
    Source.CSR_FLOAT64: _gathers_csr(np.float64, 8),
}


@inner
def gather_weights(job):
    """Weights of the samples into one-unit panels; without sample weights every sample weighs 1, padding 0."""
    buffer, order, sample_weight = buffer_of(job), order_of(job), sample_weight_of(job)
    target, n, positions = job.weights * job.capacity * PANEL, job.n_samples, job.positions
    n_padded = (n + PANEL - 1) // PANEL * PANEL
    for i in range(0, n_padded * positions, lanes(buffer)):
        store(buffer, target + i, filled(buffer, 1.0))
    cuts = job.n_row_lengths > 0 and job.output_steps > 0
    if sample_weight.size > 0 or cuts:
        for i in range(n):
            row = _row_of(order, job.position + job.first_sample, i, n)
            lane = target + i // PANEL * positions * PANEL + i % PANEL
            n_counted = counted_positions(job, row)
            if sample_weight.size > 0:
                each = job.weights_a_row > 1
                for position in range(n_counted):
                    weight = sample_weight[row * job.weights_a_row + position] if each else sample_weight[row]
                    buffer[lane + position * PANEL] = weight
            for position in range(n_counted, positions):
                buffer[lane + position * PANEL] = 0.0
    for i in range(n, n_padded):
        lane = target + i // PANEL * positions * PANEL + i % PANEL
        for position in range(positions):
            buffer[lane + position * PANEL] = 0.0


@inlined
def counted_positions(job, row):
    """How many positions of a row's outputs count."""
    if job.n_row_lengths > 0 and job.output_steps > 0:
        return row_lengths_of(job)[row] * (job.positions // job.output_steps)
    return job.positions


@inner
def gather_lengths(job):
    """How many steps of each sample count, into one-unit panels; samples that only fill up have none."""
    buffer, order, row_lengths = buffer_of(job), order_of(job), row_lengths_of(job)
    target, n = job.lengths * job.capacity * PANEL, job.n_samples
    for i in range(n):
        buffer[target + i] = row_lengths[_row_of(order, job.position + job.first_sample, i, n)]
    for i in range(n, (n + PANEL - 1) // PANEL * PANEL):
        buffer[target + i] = 0.0


@inner
def _scatter(job, data, region, width, target):
    """Write `width` rows of the panels in a region of the buffer to rows of memory."""
    buffer, source = buffer_of(job), region * job.capacity * PANEL
    first = data.address + (job.position + job.first_sample) * data.row_stride
    cuts = job.n_row_lengths > 0 and job.output_steps > 0
    for i in range(job.n_samples):
        at = source + (i // PANEL) * width * PANEL + i % PANEL
        to = first + i * data.row_stride
        n_counted = width
        if cuts:
            length = int(buffer[job.lengths * job.capacity * PANEL + i])
            n_counted = width // job.output_steps * length
        for j in range(n_counted):
            put_at(to + j * data.column_stride, buffer[at + j * PANEL], target)
        for j in range(n_counted, width):
            put_at(to + j * data.column_stride, 0.0, target)


def _scatters(target):
    @data_unit
    @named(f"scatter_{target.__name__}")
    def scatter(job, data):
        _scatter(job, data, job.output, job.n_outputs * job.positions, target)
        return True

    return scatter


def _scatters_input_gradient(target):
    @data_unit
    @named(f"scatter_input_gradient_{target.__name__}")
    def scatter(job, data):
        _scatter(job, data, job.delta, job.x.width, target)
        return True

    return scatter


SCATTERS = {Source.FLOAT32: _scatters(np.float32), Source.FLOAT64: _scatters(np.float64)}
INPUT_GRADIENT_SCATTERS = {
    Source.FLOAT32: _scatters_input_gradient(np.float32),
    Source.FLOAT64: _scatters_input_gradient(np.float64),
}


@inner
def _finite_rows(source, item_size, example, address, row_stride, column_stride, n, width):
    """x - x is 0 for finite x and NaN otherwise; the sum of such differences is 0 only if all are."""
    for row in range(n):
        at = address + row * row_stride
        if column_stride == item_size:
            differences = filled(example, 0.0)
            for column in range(0, width, lanes(example)):
                x = load_at(at + column * item_size, source, example, min(lanes(example), width - column))
                differences = differences + (x - x)
            if total(differences) != 0.0:
                return False
        else:
            for column in range(width):
                x = element_at(at + column * column_stride, source, example)
                if x - x != 0.0:
                    return False
    return True


def _finite_test(source, item_size, example, name):
    @kernel
    @named(name)
    def has_only_finite(address, row_stride, column_stride, n, width):
        return _finite_rows(source, item_size, example, address, row_stride, column_stride, n, width)

    return has_only_finite


# Whether rows of memory are finite in the network's precision, by their own and by whether that is float64.
FINITE_TESTS = {
    (Source.FLOAT32, False): _finite_test(np.float32, 4, _FLOAT32_EXAMPLE, "finite_float32"),
    (Source.FLOAT64, False): _finite_test(np.float64, 8, _FLOAT32_EXAMPLE, "finite_float64_as_float32"),
    (Source.FLOAT64, True): _finite_test(np.float64, 8, _FLOAT64_EXAMPLE, "finite_float64"),
}
FINITE_TESTS[Source.FLOAT32, True] = FINITE_TESTS[Source.FLOAT32, False]  # what is finite stays so in float64
