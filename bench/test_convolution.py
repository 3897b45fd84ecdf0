"""Convolutions: training steps and predictions."""

import pytest

from bench.replay import CLOCK, cases
from bench.stacks.workloads import CONVOLUTION


@pytest.mark.benchmark(timer=CLOCK)
@pytest.mark.parametrize(("workload", "peer"), cases(CONVOLUTION))
def test_convolution(workload, peer, report):
    report(workload, peer)
