"""Job records, which say what a thread works on: their fields by name, and what a plan alone decides of them."""

from typing import Any

import numpy as np

from fastnn.engine.layout import Plan
from fastnn.engine.linking import once_a_plan
from fastnn.kernels import tables
from fastnn.kernels.constraints import add_penalties, hold_norms
from fastnn.kernels.units import Unit


def set_fields(jobs: np.ndarray, dtype: np.dtype, fields: dict[str, Any]) -> None:
    """Set fields of job records; "x.width" is a field of a record within them, a unit becomes its address."""
    for name, value in fields.items():
        if isinstance(value, Unit):
            value = value.address(dtype)
        if "." in name:
            record, name = name.split(".")
            jobs[record][name] = value
        else:
            jobs[name] = value


@once_a_plan
def job_of(plan: Plan, dtype: np.dtype) -> bytes:
    """Return the bytes of a job record in which all is set that depends on the plan alone.

    Bytes, since those are repeated for several threads at once: `numpy.repeat` takes 14 us for a record.
    """
    job = np.zeros(1, tables.JOBS[dtype])
    regions = dict(plan.regions)
    fields = {
        "n_outputs": plan.output_units, "positions": plan.output_positions, "output_steps": plan.output_steps,
        "weights_a_row": 1, "n_parameters": plan.n_parameters, "parameter_stride": plan.parameter_stride,
        "loss_scale": 1.0, "sees_batch": plan.has_batch_statistics,
        "penalty": add_penalties if plan.has_penalties else 0, "constrain": hold_norms if plan.has_constraints else 0,
        "variables": plan.variable_table.ctypes.data, "n_variables": len(plan.variable_table),
        "x.target": regions.pop("input"), "x.width": plan.n_inputs,
        "y.target": regions.pop("targets"), "y.width": plan.n_outputs, "y.positions": plan.output_positions,
        "y.smoothed_to": 0.5 if plan.output_units == 1 else 1.0 / plan.output_units,
    }  # fmt: skip
    set_fields(job, dtype, fields | regions)
    return job.tobytes()
