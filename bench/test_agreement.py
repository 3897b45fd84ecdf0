"""All peers do the same work: from the same weights they reach the same loss; none is fast by leaving something out."""

from dataclasses import replace

import pytest

from bench.workloads import EVERY_TRAINER, TRAIN

PEERS = [peer for peer in EVERY_TRAINER if peer != "gemm"]
BY_NAME = {workload.name: workload for workload in TRAIN}


@pytest.mark.parametrize("peer", [peer for peer in PEERS if peer != "numpy"])
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("64-64-10/32", 0.02), ("64-64-10/256", 0.02), ("784-32-32-10/16", 0.1), ("24-8-2/200", 1e-4)],
)
def test_agreement(name, tolerance, peer, crew):
    """Each peer shuffles differently, hence 2 % (batches of 16 rows: 10 %); a full batch leaves only rounding."""
    workload = replace(BY_NAME[name], kind="agreement")
    result = crew.measure(workload, ["numpy", peer])
    if peer in result.skipped:
        pytest.skip(f"{peer}: {result.skipped[peer]}")
    assert result.samples[peer][0] == pytest.approx(result.samples["numpy"][0], rel=tolerance)
