"""Learning rates as functions of the step, evaluated once a step.

To add a schedule: write its formula here, give it a number in `tables.Schedule`, call it in `rate_at`, and declare it
in `fastnn/schedules.py`.
"""

from fastnn.kernels.jit import inner


@inner
def rate_at(job, step):
    """The learning rate of update number `step` (from 0)."""
    return job.learning_rate
