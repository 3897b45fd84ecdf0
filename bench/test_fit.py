"""Whole fits: digits to 97 %, the tutorial's program, and the scikit-learn estimators."""

import pytest

from bench.replay import CLOCK, cases
from bench.workloads import FIT


@pytest.mark.benchmark(timer=CLOCK)
@pytest.mark.parametrize(("workload", "peer"), cases(FIT))
def test_fit(workload, peer, report):
    report(workload, peer)
