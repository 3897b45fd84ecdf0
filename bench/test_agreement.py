"""All peers do the same work: from the same weights they reach the same loss; none is fast by leaving something out."""

from dataclasses import replace

import pytest

from bench.stacks.workloads import STACKS
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


CHOSEN = (
    "digits CNN/32",
    "Conv1D 128 x 9/32",
    "LSTM 64 on 28 x 28/32",
    "LSTM 64 on 28 x 28/8",
    "LSTM 32 on 50 x 1/32",
    "Embedding 10000 x 32, mean over 100/64",
    "GRU 64 on 128 x 9/64",
    "SimpleRNN 64 on 28 x 28/32",
)


@pytest.mark.parametrize("peer", ["fastnn", "jax", "keras", "torch-compile"])
@pytest.mark.parametrize("stack", [s for s in STACKS if s.name in CHOSEN], ids=str)
def test_agreement_of_stacks(stack, peer, crew):
    """As above, beside PyTorch; three steps of one batch that is all the data, so that only rounding is left."""
    rows = min(stack.batch, 32)
    workload = replace(stack, kind="stack-agreement", batch=rows, n_rows=rows)
    result = crew.measure(workload, ["torch", peer])
    for name in ("torch", peer):
        if name in result.skipped:
            pytest.skip(f"{name}: {result.skipped[name]}")
    assert result.samples[peer][0] == pytest.approx(result.samples["torch"][0], rel=1e-3)
