"""Training steps of every network, width, activation and optimizer, and the loss-and-gradient kernel."""

import pytest

from bench.replay import CLOCK, cases
from bench.workloads import TRAIN


@pytest.mark.benchmark(timer=CLOCK)
@pytest.mark.parametrize(("workload", "peer"), cases(TRAIN))
def test_train_step(workload, peer, report):
    report(workload, peer)
