"""Epochs of one tiny step: what the loop and each callback add to the kernel's time."""

import pytest

from bench.replay import CLOCK, cases
from bench.workloads import EPOCHS


@pytest.mark.benchmark(timer=CLOCK)
@pytest.mark.parametrize(("workload", "peer"), cases(EPOCHS))
def test_epoch(workload, peer, report):
    report(workload, peer)
