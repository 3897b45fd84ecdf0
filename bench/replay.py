"""What the test files share: their parameters, and a clock that shows recorded time."""

import pytest


class Clock:
    """A timer for pytest-benchmark that stands still until a recorded sample moves it on."""

    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


CLOCK = Clock()


def cases(workloads):
    """Parameters for ``@pytest.mark.parametrize(("workload", "peer"), ...)``: workload by workload, peer by peer."""
    return [pytest.param(w, peer, id=f"{w.name}-{peer}") for w in workloads for peer in w.peers]
