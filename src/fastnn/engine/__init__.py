"""Python's side of a kernel call: plans, workspaces, compiled entry points, teams of threads. Nothing here computes."""

from fastnn.engine import forking as forking
