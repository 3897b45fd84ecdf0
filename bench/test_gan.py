"""GANs: steps of both networks."""

import pytest

from bench.replay import CLOCK, cases
from bench.stacks.gan import GANS


@pytest.mark.benchmark(timer=CLOCK)
@pytest.mark.parametrize(("workload", "peer"), cases(GANS))
def test_gan(workload, peer, report):
    report(workload, peer)
