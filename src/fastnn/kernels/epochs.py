"""From one epoch to the next, inside a kernel call.

What Python does between two epochs takes some 5 us and, where several fits run in one process, Python's lock, for which
a thread may have to sleep. Where nobody wants to be told of single epochs, the kernel goes on by itself and keeps a
record of those it ended.

Jobs
----
- `turn_epoch`: end an epoch and begin the next
"""

from fastnn.kernels.jit import inner
from fastnn.kernels.random import permute
from fastnn.kernels.simd import filled, lanes, load, total
from fastnn.kernels.tables import Failure
from fastnn.kernels.team import wait_for_all

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
def turn_epoch(jobs, thread, order, parameters, snapshots, records, sums, shared):
    """Record the epoch's sums, keep the parameters that it ended with, shuffle, and go to the first row again.

    All threads of the team come here together. False if the team was dismissed, or if a parameter is not finite:
    the job has failed then, and is still at the epoch's end.
    """
    job = jobs[thread]
    if not wait_for_all(shared, job.n_threads):
        return False
    if thread == 0:
        if _are_finite(parameters):
            record = records[job.epochs_turned]
            for column in range(record.size):
                record[column] = 0.0
                for other in range(job.n_threads):
                    record[column] += sums[other, column]
                    sums[other, column] = 0.0
            job.snapshot = 1 - job.snapshot
            snapshot = snapshots[job.snapshot]
            for i in range(parameters.size):
                snapshot[i] = parameters[i]
            if job.shuffles:
                permute(order, job.order_seed, job.epoch + 1)
        else:
            for other in range(job.n_threads):
                jobs[other].failed = PARAMETERS
    if not wait_for_all(shared, job.n_threads) or job.failed:
        return False
    job.epoch += 1
    job.epochs_turned += 1
    job.epochs_left -= 1
    job.position = 0
    return True
