"""What ops share: how many panels and samples there are, and copies."""

from fastnn.kernels.gemm import PANEL
from fastnn.kernels.jit import inlined, inner
from fastnn.kernels.simd import filled, lanes, load, store
from fastnn.kernels.views import buffer_of


@inlined
def sample_panels(job):
    """How many panels the samples of the micro-batch fill."""
    return (job.n_samples + PANEL - 1) // PANEL


@inlined
def panels_of(job, op):
    """How many panels of the op's last axis the micro-batch fills: one for every position of every 32 samples."""
    return sample_panels(job) * op.positions


@inlined
def samples_of(job, op):
    """How many samples a product works on.

    With several positions the panels of all are taken as full: what is no sample in them has a delta of 0.
    """
    if op.positions == 1:
        return job.n_samples
    return panels_of(job, op) * PANEL


@inner
def copy(buffer, source, target, size):
    """Copy a run of whole vectors, unless it already lies there."""
    if source == target:
        return
    for i in range(0, size, lanes(buffer)):
        store(buffer, target + i, load(buffer, source + i))


@inner
def pass_on(job, op):
    """Give the op's input as its output."""
    scale = job.capacity * PANEL
    copy(buffer_of(job), op.source * scale, op.target * scale, panels_of(job, op) * op.units * PANEL)


@inner
def clear(buffer, at, size):
    """Put 0 into a run of whole vectors."""
    nothing = filled(buffer, 0.0)
    for i in range(at, at + size, lanes(buffer)):
        store(buffer, i, nothing)
