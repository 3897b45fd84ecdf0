"""Recurrence and embeddings: training steps."""

import pytest

from bench.replay import CLOCK, cases
from bench.stacks.workloads import RECURRENT


@pytest.mark.benchmark(timer=CLOCK)
@pytest.mark.parametrize(("workload", "peer"), cases(RECURRENT))
def test_recurrent(workload, peer, report):
    report(workload, peer)
