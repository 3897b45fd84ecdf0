"""From one epoch to the next, inside a kernel call.

What Python does between two epochs takes some 5 us and, where several fits run in one process, Python's lock, for which
a thread may have to sleep. Where nobody wants to be told of single epochs, the kernel goes on by itself and keeps a
record of those it ended.

Jobs
----
- `begin_next_epoch`: end an epoch and begin the next
"""

from fastnn.kernels.jit import inner
from fastnn.kernels.random import permute
from fastnn.kernels.simd import filled, lanes, load, total
from fastnn.kernels.tables import N_SUMS, Failure
from fastnn.kernels.team import wait_for_all
from fastnn.kernels.views import array_at, jobs_of, order_of, parameters_of, shared_of, sums_of

PARAMETERS = int(Failure.PARAMETERS)


@inner
def _are_finite(parameters):
    """x - x is 0 for finite x and NaN otherwise. Zeros lie behind the last parameter."""
    differences = filled(parameters, 0.0)
    for i in range(0, parameters.size, lanes(parameters)):
        x = load(parameters, i)
        differences = differences + (x - x)
    return total(differences) == 0.0


@inner
def begin_next_epoch(job):
    """Record the epoch's sums, keep the parameters that it ended with, shuffle, and go to the first row again.

    All threads of the team come here together. False if the team was dismissed, or if a parameter is not finite:
    the job has failed then, and is still at the epoch's end.
    """
    shared = shared_of(job)
    if not wait_for_all(shared, job.n_threads):
        return False
    if job.thread == 0:
        parameters = parameters_of(job)
        if _are_finite(parameters):
            sums = sums_of(job)
            record = array_at(job.records + job.epochs_fused * N_SUMS * 8, N_SUMS, job.rate)
            for column in range(N_SUMS):
                record[column] = 0.0
                for other in range(job.n_threads):
                    record[column] += sums[other * N_SUMS + column]
                    sums[other * N_SUMS + column] = 0.0
            job.snapshot = 1 - job.snapshot
            snapshots = array_at(job.snapshots, 2 * parameters.size, job.element)
            for i in range(parameters.size):
                snapshots[job.snapshot * parameters.size + i] = parameters[i]
            if job.shuffles:
                permute(order_of(job), job.order_seed, job.epoch + 1)
        else:
            jobs = jobs_of(job)
            for other in range(job.n_threads):
                jobs[other].failed = PARAMETERS
    if not wait_for_all(shared, job.n_threads) or job.failed:
        return False
    job.epoch += 1
    job.epochs_fused += 1
    job.epochs_left -= 1
    job.position = 0
    return True
