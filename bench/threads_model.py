"""What a step costs with k threads, on paper: fitted to measurements, and followed to numbers of cores nobody had."""

import statistics
from dataclasses import dataclass

import numpy as np

from fastnn.kernels.gemm import PANEL


@dataclass
class Model:
    """Microseconds of a step with k threads.

        step(k) = row * rows of the busiest thread + fixed + update / k + 2 barrier(k) + line * lines * 2 (k - 1) / k

    `fixed` is what every thread does whatever its share (it writes a gradient of full size, and reads all weights
    afresh); `line` moves one cache line from another core: each thread takes (k - 1) / k of the gradients, once summed
    up, and of the new parameters. A barrier is one atomic addition after the other on one line, so it grows as k.
    From 100,000 parameters on no gradients are exchanged, but activations and deltas; `line` then stands for those too.
    """

    sizes: tuple[int, ...]
    row: float
    fixed: float
    update: float
    line: float
    barrier: float  # of the measured number of threads
    measured_threads: int

    @property
    def lines(self):
        return sum((i + 1) * o for i, o in zip(self.sizes, self.sizes[1:], strict=False)) / 16

    def step(self, k, batch):
        k = min(k, -(-batch // PANEL))
        if k == 1:
            return self.row * batch + self.fixed + self.update
        rows = -(-(-(-batch // PANEL)) // k) * PANEL
        barrier = self.barrier * k / self.measured_threads
        moved = self.line * self.lines * 2 * (k - 1) / k
        return self.row * min(rows, batch) + self.fixed + self.update / k + 2 * barrier + moved


def fit_model(sizes, table, update, barrier, k):
    """Least squares: row and fixed from the steps of one thread, line from what is left of those of k.

    `table` has the (median, least) microseconds of a step by (sizes, batch) and number of threads.
    """
    batches = [batch for network, batch in table if network == sizes and batch >= 2 * PANEL]
    ones = np.array([table[sizes, batch][1][0] for batch in batches])
    design = np.stack([np.array(batches, float), np.ones(len(batches))], axis=1) / ones[:, None]
    row, rest = np.linalg.lstsq(design, np.ones(len(batches)), rcond=None)[0]  # relative errors
    update = max(0.0, min(update, rest))
    model = Model(sizes, row, max(0.0, rest - update), update, 0.0, barrier, k)
    left = [table[sizes, batch][k][0] - model.step(k, batch) for batch in batches if -(-batch // PANEL) % k == 0]
    model.line = max(0.0, statistics.median(left)) / (model.lines * 2 * (k - 1) / k)
    return model
