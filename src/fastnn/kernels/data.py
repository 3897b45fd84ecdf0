"""From rows in the user's memory to panels, and back.

Rows are converted while they are gathered: the whole of X is never copied, whatever its dtype or strides.

Jobs
----
- `gather`: rows (shuffled or in order) of float32, float64 or uint8, class numbers, or compressed sparse rows, into
  (units, samples) panels
- `gather_weights`: sample weights; samples that only fill up a panel weigh 0, so they touch neither loss nor gradient
- `scatter`: panels of outputs to rows
- `has_only_finite`: the check that fit and predict make before they start
"""

import numpy as np

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner, kernel
from fastnn.kernels.simd import (
    VECTOR_BYTES,
    element_at,
    filled,
    integers_at,
    lanes,
    load_at,
    put_at,
    row_addresses,
    select,
    store,
    total,
    transpose_block,
    transpose_rows,
)
from fastnn.kernels.tables import CSR as CSR_RECORD
from fastnn.kernels.tables import Source

FLOAT32 = int(Source.FLOAT32)
FLOAT64 = int(Source.FLOAT64)
UINT8 = int(Source.UINT8)
LABELS = int(Source.LABELS)
CSR = int(Source.CSR)

# Where the fields of a CSR record lie, in bytes.
_VALUES, _INDICES, _INDPTR, _INDEX_SIZE, _SOURCE = range(0, CSR_RECORD.itemsize, 8)

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
def _gather_labels(buffer, target, address, stride, order, first, n, n_classes, on, off):
    """One-hot rows: `on` at the class of each sample, `off` elsewhere."""
    step = lanes(buffer)
    on_v, off_v = filled(buffer, on), filled(buffer, off)
    for sample in range(0, n, step):
        rows = row_addresses(buffer, address, stride, order, first + sample, first + n - 1)
        labels = integers_at(rows, buffer)
        column = target + sample // PANEL * n_classes * PANEL + sample % PANEL
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
            at = lane + _integer_at(indices, entry, index_size) * PANEL
            buffer[at] += element_at(values + entry * item_size, source, buffer)


@inner
def gather(buffer, target, staging, address, row_stride, column_stride, source, order, first, n, width, smoothing,
           smoothed_to):  # fmt: skip
    """Bring n rows, from position `first` of `order` (or of the data, if `order` is empty), into panels.

    With smoothing s every value y becomes y (1 - s) + s * smoothed_to, as label smoothing has it.
    """
    if source == LABELS:
        off = smoothing * smoothed_to
        _gather_labels(buffer, target, address, row_stride, order, first, n, width, 1.0 - smoothing + off, off)
        return
    if source == CSR:
        if element_at(address + _SOURCE, np.int64, _INT64_EXAMPLE) == FLOAT32:
            _gather_csr(np.float32, 4, buffer, target, address, order, first, n, width)
        else:
            _gather_csr(np.float64, 8, buffer, target, address, order, first, n, width)
        return
    item_size = VECTOR_BYTES // lanes(buffer)
    if column_stride == item_size and source == (FLOAT32 if item_size == 4 else FLOAT64):
        _gather_rows(item_size, buffer, target, address, row_stride, order, first, n, width)
    elif source == FLOAT32:
        _gather_converted(np.float32, 4, buffer, target, staging, address, row_stride, column_stride, order, first, n,
                          width)  # fmt: skip
    elif source == FLOAT64:
        _gather_converted(np.float64, 8, buffer, target, staging, address, row_stride, column_stride, order, first, n,
                          width)  # fmt: skip
    else:
        _gather_converted(np.uint8, 1, buffer, target, staging, address, row_stride, column_stride, order, first, n,
                          width)  # fmt: skip
    if smoothing > 0.0:
        for i in range(target, target + (n + PANEL - 1) // PANEL * width * PANEL):
            buffer[i] = buffer[i] * (1.0 - smoothing) + smoothing * smoothed_to


@inner
def gather_weights(buffer, target, sample_weight, order, first, n):
    """Weights of n samples into one-unit panels; without sample weights every sample weighs 1, padding 0."""
    n_padded = (n + PANEL - 1) // PANEL * PANEL
    for i in range(0, n_padded, lanes(buffer)):
        store(buffer, target + i, filled(buffer, 1.0))
    if sample_weight.size > 0:
        for i in range(n):
            buffer[target + i] = sample_weight[_row_of(order, first, i, n)]
    for i in range(n, n_padded):
        buffer[target + i] = 0.0


@inner
def scatter(buffer, source, n, n_outputs, address, row_stride, column_stride, is_double):
    """Write panels of outputs to n rows of float32 or float64 memory."""
    for i in range(n):
        at = source + (i // PANEL) * n_outputs * PANEL + i % PANEL
        to = address + i * row_stride
        for j in range(n_outputs):
            if is_double:
                put_at(to + j * column_stride, buffer[at + j * PANEL], np.float64)
            else:
                put_at(to + j * column_stride, buffer[at + j * PANEL], np.float32)


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


@kernel
def has_only_finite(address, row_stride, column_stride, source, n, width, is_double):
    """Whether n rows of float32 or float64 memory are finite in the network's precision: float64 if `is_double`."""
    if source == FLOAT32:
        return _finite_rows(np.float32, 4, _FLOAT32_EXAMPLE, address, row_stride, column_stride, n, width)
    if not is_double:
        return _finite_rows(np.float64, 8, _FLOAT32_EXAMPLE, address, row_stride, column_stride, n, width)
    return _finite_rows(np.float64, 8, _FLOAT64_EXAMPLE, address, row_stride, column_stride, n, width)
