"""Import, first fit with warm and with empty caches, and memory, each in fresh processes."""

import pytest

from bench.replay import CLOCK, cases
from bench.stacks.workloads import COLD
from bench.workloads import COLD_START


@pytest.mark.benchmark(timer=CLOCK)
@pytest.mark.parametrize(("workload", "peer"), cases([*COLD_START, *COLD]))
def test_cold_start(workload, peer, report):
    report(workload, peer)
