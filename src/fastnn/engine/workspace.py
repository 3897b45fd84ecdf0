"""Python's side of a kernel call: jobs filled in, memory that is sized once, data as addresses.

Nothing here computes, and nothing here knows what a user passed in: `network` and `trainer` check first.
"""

import math
from typing import Any

import numpy as np

from fastnn.common.cpus import FLOPS_A_CALL, FLOPS_A_STEP, threads_for
from fastnn.engine.entries import predict_of, run_of
from fastnn.engine.jobs import job_of, set_fields
from fastnn.engine.layout import Plan
from fastnn.engine.linking import LinkedOps, can_update_by_layer, link
from fastnn.engine.memory import address_of, aligned_zeros, whole_lines
from fastnn.engine.rows import IN_PIECES, SOURCES, Rows
from fastnn.engine.team import Team
from fastnn.kernels import sources, tables
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.layerwise import area_size
from fastnn.kernels.losses import count_metrics
from fastnn.kernels.mixup import mix_samples
from fastnn.kernels.tables import SHARED_SIZE
from fastnn.kernels.tile import reading_tile, writing_tile
from fastnn.kernels.units import Unit

_SIZES = {
    "parameters": "n_values", "moments": "n_moments", "order": "n_order", "sample_weight": "n_sample_weight",
    "row_lengths": "n_row_lengths",
}  # fmt: skip
_BACKWARD_MODES = (int(tables.Mode.TRAIN), int(tables.Mode.GRADIENT))

# A micro-batch of 128 samples is long enough for the weight gradient's products to run at full rate and short enough
# for the activations of usual networks to stay in cache (measured: bench/NOTES.md).
MICRO_BATCH_PANELS = 4

_TRAINING_PRODUCTS = 3  # Z = X W, dX = dZ W', dW = X' dZ, each with as many operations as the first

_PIECE_BYTES = 2**21  # of converted rows at a time: they stay in cache until the kernel has read them

_NO_ROWS = np.empty(0, np.int64)
_NO_WEIGHTS = np.empty(0)
_NO_RECORDS = np.empty((0, tables.N_SUMS))


class Workspace:
    """Job records and buffers for a network: everything a kernel call needs beside parameters and data.

    Parameters
    ----------
    plan : Plan
        The network's tables.
    dtype : numpy.dtype
        float32 or float64.
    n_rows : int
        Most rows that one batch will have; fewer panels are held for small batches.
    team : Team or None, default None
        Whose threads share the batches; None: the caller works alone.
    with_gradient : bool, default True
        Whether gradient vectors are wanted.
    holds_batch : bool, default False
        Whether a whole batch is held at once, for statistics over it, rather than micro-batches.
    through_inputs : bool, default False
        Whether the backward pass goes down to the gradient of the inputs.
    inputs_only : bool, default False
        Whether it gives that gradient alone, and none of parameters.

    Attributes
    ----------
    jobs : ndarray of `tables.job_record`
        A record a thread.
    sums : ndarray of shape (n_threads, N_SUMS)
        Their running sums.
    position, step, failed, epochs_left, epochs_fused : memoryview
        Where the jobs are, one number a thread: reading one takes a third of what reading the field by name does.
    """

    def __init__(
        self, plan: Plan, dtype: np.dtype, *, n_rows: int, team: Team | None = None, with_gradient: bool = True,
        holds_batch: bool = False, through_inputs: bool = False, inputs_only: bool = False,
    ):  # fmt: skip
        n_threads = 1 if team is None else team.n_threads
        n_panels = math.ceil(n_rows / PANEL)
        self.plan = plan
        self.dtype = dtype
        self.n_rows = n_rows
        self._team = team if n_threads > 1 else None
        self._goes_back, self._through_inputs = with_gradient, through_inputs
        self._inputs_only = inputs_only
        share = math.ceil(n_panels / n_threads)
        most = 1 if any(kind.one_panel for kind in plan.kinds) else MICRO_BATCH_PANELS
        self.capacity = max(1, share if holds_batch else min(most, share))
        self.stride = plan.parameter_stride
        size = whole_lines(plan.n_units * PANEL * self.capacity, dtype)
        self.buffers = aligned_zeros(n_threads * size, dtype)
        area = area_size(max(plan.units_after))  # pages that no kernel touches take no memory
        self.gradients = aligned_zeros(n_threads * (self.stride + area) if with_gradient else 0, dtype)
        self.sums = aligned_zeros(n_threads * tables.N_SUMS, np.dtype(np.float64)).reshape(n_threads, -1)
        self._sum_view, self._no_sums = self.sums.reshape(-1).data, np.zeros(self.sums.size).data
        self._own_sums = self.sums[0] if n_threads == 1 else None
        self._shared = np.zeros(SHARED_SIZE, np.int64) if team is None else team.shared
        self._memory_of_jobs = bytearray(job_of(plan, dtype) * n_threads)
        self.jobs = np.frombuffer(self._memory_of_jobs, tables.JOBS[dtype])
        self.jobs["thread"] = np.arange(n_threads)
        self.position, self.step, self.failed, self.epochs_left, self.epochs_fused = (
            self.jobs[name].data for name in ("position", "step", "failed", "epochs_left", "epochs_fused")
        )
        gradients, buffers = address_of(self.gradients), address_of(self.buffers)
        number = np.arange(n_threads) * dtype.itemsize
        self.set(
            n_threads=n_threads, capacity=self.capacity, jobs=address_of(self.jobs), area_size=area,
            gradients=gradients, gradient=gradients + number * self.stride, workspaces=buffers, buffer_size=size,
            buffer=buffers + number * size, sums=address_of(self.sums), shared=address_of(self._shared),
        )  # fmt: skip
        self._ops: LinkedOps | None = None  # linked when the first call comes: then it is known what is needed
        self._held: dict[str, Any] = {}  # the arrays whose addresses the jobs hold
        self.mark()
        self.renew()

    def mark(self, **arrays: np.ndarray) -> None:
        """Let `renew` come back to here: to these arrays, and to what is set so far."""
        self._hold(**arrays)
        # Bytes: to copy records field by field takes 27 us.
        self._marked = bytearray(self._memory_of_jobs)
        self._held_by_mark = self._held.copy()

    def renew(self) -> None:
        """Put everything back to how it was when `mark` was called, but for the units that were linked since."""
        self._memory_of_jobs[:] = self._marked
        self._pieces: tuple[Rows, Rows, np.ndarray] | None = None
        self._gather: Unit | None = None  # of the last prediction
        self._held = self._held_by_mark.copy()
        self._ready: tuple[np.ndarray | None, ...] = (None,) * 4  # those that the last call of `run` was given
        self.records = _NO_RECORDS
        self._lengths = _NO_ROWS
        self._weights_each = False  # whether every position of the outputs has a weight of its own
        self.clear()

    @property
    def n_bytes(self) -> int:
        """How much memory is held."""
        return self.buffers.nbytes + self.gradients.nbytes

    def set(self, **fields: Any) -> None:
        """Set fields of every thread's job; "x.width" is a field of a record within it, a unit becomes its address.

        `wants_metrics` says whether sums for metrics are counted, and `mixup` is the alpha of its distribution; 0:
        none.
        """
        if "wants_metrics" in fields:
            fields["metrics"] = count_metrics if fields.pop("wants_metrics") else 0
        if "mixup" in fields:
            fields["mixup_alpha"] = fields["mixup"]
            fields["mixup"] = mix_samples if fields["mixup"] else 0
        set_fields(self.jobs, self.dtype, fields)

    def _hold(self, **arrays: np.ndarray) -> None:
        """Point the jobs to arrays, if they are others than before, and keep those alive."""
        self._ready = (None,) * 4
        for name, array in arrays.items():
            if self._held.get(name) is not array:
                self._held[name] = array
                self.jobs[name] = address_of(array) if array.size else 0
                size = _SIZES.get(name)
                if size is not None:
                    self.jobs[size] = array.size

    def carry(self, states: np.ndarray, first: int = 0) -> None:
        """Let recurrent layers carry their states from batch to batch in an array.

        It has a row for every sample; that of the first row of the data is number `first`.
        """
        self._held["carried"] = states
        skipped = first // PANEL * PANEL * self.plan.carried_units * self.dtype.itemsize
        self.set(carried=states.ctypes.data + skipped, carried_units=self.plan.carried_units)

    def set_lengths(self, lengths: np.ndarray) -> None:
        """Say how many steps of each row of the data count; empty: all."""
        self._lengths = lengths
        self._hold(row_lengths=lengths)

    def set_data(self, x: Rows, y: Rows, lengths: np.ndarray = _NO_ROWS) -> None:
        """Point the jobs to features and targets."""
        self.set_lengths(lengths)
        is_in_pieces = IN_PIECES in (x.source, y.source)
        self._pieces = (x, y, np.empty(x.n_rows, np.int64)) if is_in_pieces else None
        self.set(n_rows=x.n_rows)
        if not is_in_pieces:
            self._point_to(x, y)

    def _point_to(self, x: Rows, y: Rows) -> None:
        self._held["data"] = x, y
        for name, rows in (("x", x), ("y", y)):
            data = self.jobs[name]
            data["gather"] = rows.gather_unit(self.dtype).address(self.dtype)
            data["address"] = rows.address
            data["row_stride"], data["column_stride"] = rows.row_stride, rows.column_stride

    def write_input_gradient(self, out: np.ndarray) -> None:
        """Have the backward pass write the gradient of the inputs to rows of an array, which the caller holds."""
        unit = sources.INPUT_GRADIENT_SCATTERS[SOURCES[out.dtype]]
        self.set(
            **{
                "input_gradient.gather": unit, "input_gradient.address": out.ctypes.data,
                "input_gradient.row_stride": out.strides[0], "input_gradient.column_stride": out.strides[1],
            }
        )  # fmt: skip

    def _link(self) -> None:
        """Have the units that these jobs need, and no others."""
        mode = int(self.jobs["mode"][0])
        goes_back = self._goes_back and mode in _BACKWARD_MODES
        by_layer = (
            goes_back and not self._inputs_only and mode == _BACKWARD_MODES[0] and not self.jobs["clip"][0]
            and can_update_by_layer(self.plan, len(self.jobs))
        )  # fmt: skip
        self._ops = link(
            self.plan, self.dtype, goes_back=goes_back, by_layer=by_layer, through_inputs=self._through_inputs,
            takes_logits=bool(self.jobs["takes_logits"][0]), inputs_only=self._inputs_only,
        )  # fmt: skip
        fields = {
            "ops": address_of(self._ops.table), "n_ops": len(self._ops.table), "by_layer": by_layer,
            "reading_tile": reading_tile if self.plan.flops else 0,
            "writing_tile": writing_tile if goes_back and (by_layer or len(self.jobs) > 1) else 0,
        }  # fmt: skip
        for jobs in (self.jobs, np.frombuffer(self._marked, self.jobs.dtype)):
            set_fields(jobs, self.dtype, fields)

    def clear(self) -> None:
        """Put the running sums back to 0."""
        self._sum_view[:] = self._no_sums

    def begin(self) -> None:
        """Put the running sums back to 0, and the jobs to the first row."""
        self.clear()
        self.rewind()

    def rewind(self) -> None:
        """Put the jobs back to the first row."""
        position = self.position
        position[0] = 0
        for thread in range(1, len(position)):
            position[thread] = 0

    @property
    def can_fuse_epochs(self) -> bool:
        """Whether a kernel call can go on with the next epoch: not where Python has to convert the rows."""
        return self._pieces is None

    def first_steps(self, batch_size: int) -> int:
        """How many steps last less than a kernel call should, before any was timed.

        At 10 GFLOP/s, and 1 us for what is no product, they take 5 ms: a slow processor may take ten times as long.
        """
        flops = _TRAINING_PRODUCTS * self.plan.flops * batch_size + 1e4
        return max(1, int(5e7 / flops)) if self.can_fuse_epochs else 1  # else Python has a part in each

    def set_records(self, n_epochs: int, snapshots: np.ndarray) -> None:
        """Have memory for what calls of several epochs keep: sums of so many, two times the parameters."""
        self.records = np.zeros((n_epochs, tables.N_SUMS))
        self._hold(records=self.records, snapshots=snapshots)

    def fuse_epochs(self, n_epochs: int, epoch: int, seed: int | None, snapshot: int) -> None:
        """Let the next calls go on with up to `n_epochs` epochs after this one.

        Parameters
        ----------
        n_epochs : int
            At most as many as `set_records` was told.
        epoch : int
            The number of this one.
        seed : int or None
            Of the orders of all rows; None: they stay in this epoch's.
        snapshot : int
            Which snapshot holds the parameters that this epoch began with.
        """
        self.set(
            epochs_left=n_epochs, epochs_fused=0, epoch=epoch, shuffles=seed is not None, order_seed=seed or 0,
            snapshot=snapshot,
        )  # fmt: skip

    def prepare(
        self,
        parameters: np.ndarray,
        moments: np.ndarray = _NO_WEIGHTS,
        order: np.ndarray = _NO_ROWS,
        sample_weight: np.ndarray = _NO_WEIGHTS,
    ) -> None:
        """Point the jobs to what a call works on, and link the units that it needs."""
        self._hold(parameters=parameters, moments=moments, order=order, sample_weight=sample_weight)
        if sample_weight.ndim > 1 or self._weights_each:
            self._weights_each = sample_weight.ndim > 1
            self.set(weights_a_row=sample_weight.shape[1] if self._weights_each else 1)
        if self._ops is None:
            self._link()

    def run(
        self,
        n_steps: int,
        parameters: np.ndarray,
        moments: np.ndarray,
        order: np.ndarray = _NO_ROWS,
        sample_weight: np.ndarray = _NO_WEIGHTS,
    ) -> None:
        """Call the kernel for up to `n_steps` batches."""
        if self._pieces is not None:
            self._run_pieces(n_steps, parameters, moments, order, sample_weight)
            return
        # Small networks call this in every epoch, most often with what they gave it before.
        before = self._ready
        if (
            before[0] is not parameters or before[1] is not moments or before[2] is not order
            or before[3] is not sample_weight or self._ops is None
        ):  # fmt: skip
            self.prepare(parameters, moments, order, sample_weight)
            self._ready = (parameters, moments, order, sample_weight)
            self._run = run_of(self.dtype)
        if self._team is None:
            self._run(self.jobs, 0, n_steps)
        else:
            self._team.run(self._run, self.jobs, n_steps)

    def _run_pieces(
        self, n_steps: int, parameters: np.ndarray, moments: np.ndarray, order: np.ndarray, weights: np.ndarray
    ) -> None:
        """As `run`, on copies of the rows of a few batches at a time.

        A batch keeps its place in the order: where that has the number of a row of the data, `local_order` has the
        number of its copy.
        """
        assert self._pieces is not None
        x, y, local_order = pieces = self._pieces
        lengths = self._lengths
        n_rows, batch_size = (int(self.jobs[name][0]) for name in ("n_rows", "batch_size"))
        row_bytes = (self.plan.n_inputs + self.plan.n_outputs) * self.dtype.itemsize
        most_steps = max(1, _PIECE_BYTES // (batch_size * row_bytes))
        self._pieces = None
        try:
            while n_steps > 0 and (first := self.position[0]) < n_rows and not self.failed[0]:
                steps = min(n_steps, most_steps)
                last = min(first + steps * batch_size, n_rows)
                rows = order[first:last] if order.size else slice(first, last)
                piece = x.take(rows, self.dtype), y.take(rows, self.dtype)  # held until the kernel has returned
                local_order[first:last] = np.arange(last - first)
                self._point_to(*piece)
                if lengths.size:
                    self._hold(row_lengths=lengths[rows])
                self.run(steps, parameters, moments, local_order, weights[rows] if weights.size else weights)
                n_steps -= steps
        finally:
            self._pieces = pieces
            self._hold(row_lengths=lengths)

    def predict(
        self, parameters: np.ndarray, x: np.ndarray, out: np.ndarray, lengths: np.ndarray = _NO_ROWS,
        index_source: int | None = None,
    ) -> None:  # fmt: skip
        """Write the outputs for the rows of x into `out`, of the network's dtype; with a source, x are indices."""
        row_stride, column_stride = x.strides
        if x.dtype is self.dtype and column_stride == x.itemsize:
            gather = sources.gather_in_place
        else:
            gather = sources.GATHERS[SOURCES[x.dtype] if index_source is None else tables.Source(index_source)]
        if self._held.get("row_lengths") is not lengths:
            self._hold(row_lengths=lengths)
        self._predict(parameters, gather, address_of(x), row_stride, column_stride, out)

    def predict_csr(self, parameters: np.ndarray, matrix: Any, first: int, out: np.ndarray) -> None:
        """Write the outputs for as many rows of a CSR matrix as `out` has, from number `first` on, into `out`."""
        rows = Rows.of_csr(matrix, first)
        self._predict(parameters, rows.gather_unit(self.dtype), rows.address, 0, 0, out)

    def _predict(
        self, parameters: np.ndarray, gather: Unit, address: int, row_stride: int, column_stride: int, out: np.ndarray
    ) -> None:
        if self._held.get("parameters") is not parameters:
            self._hold(parameters=parameters)
        if self._ops is None:
            self._link()
            self._predict_of = predict_of(self.dtype)
            self.set(**{"y.gather": sources.SCATTERS[SOURCES[self.dtype]]})
        if self._gather is not gather:
            self._gather = gather
            self.set(**{"x.gather": gather})
        out_strides = out.strides
        self._predict_of(
            self.jobs, address, row_stride, column_stride, out.shape[0], address_of(out), out_strides[0],
            out_strides[1],
        )  # fmt: skip

    def totals(self) -> list[float]:
        """Return the sums over all threads, indexed by `tables.Sum`."""
        return (self.sums.sum(axis=0) if self._own_sums is None else self._own_sums).tolist()


def threads_to_train(plan: Plan, dtype: np.dtype, batch_size: int, wanted: int | None) -> int:
    """Return how many threads a batch is cut over: at most one a panel; None asks for as many as pay.

    A thread pays from two panels on. What it costs to exchange gradients and parameters is worth about one panel,
    whatever the network's size, since that cost and the work for a panel both grow with the number of parameters.
    """
    n_panels = math.ceil(batch_size / PANEL)
    if wanted is not None:
        return min(wanted, n_panels)
    flops = _TRAINING_PRODUCTS * plan.flops * batch_size * dtype.itemsize / 4
    return threads_for(flops, n_parts=n_panels // 2, least=FLOPS_A_STEP)


def threads_to_infer(plan: Plan, dtype: np.dtype, n_rows: int) -> int:
    """Return how many threads pay for predictions or an evaluation of `n_rows` rows."""
    flops = plan.flops * n_rows * dtype.itemsize / 4
    return threads_for(flops, n_parts=math.ceil(n_rows / PANEL), least=FLOPS_A_CALL)
