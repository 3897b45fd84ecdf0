"""Predictions of 1, 32 and 100,000 rows."""

import pytest

from bench.replay import CLOCK, cases
from bench.workloads import PREDICT


@pytest.mark.benchmark(timer=CLOCK)
@pytest.mark.parametrize(("workload", "peer"), cases(PREDICT))
def test_predict(workload, peer, report):
    report(workload, peer)
