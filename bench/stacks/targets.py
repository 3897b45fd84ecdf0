"""The figures of issues 16, 17 and 18: PyTorch and JAX over fastnn, and fastnn over its flops at sgemm's rate."""

from bench.targets import Target, absolute, faster, ratio


def over_flops(workload: str, must: float, aim: float) -> Target:
    return Target(f"{workload} over its flops", ratio((workload, "fastnn"), (workload, "sgemm")), must, aim, "x")


def _first_fit(name: str) -> Target:
    return absolute(f"first fit, empty cache, {name}", 12, 8, "s", 1)


ISSUE_16 = [
    *(
        target
        for workload, torch, flops in (
            ("LeNet-5/32", (3, 4), (1.7, 1.4)),
            ("LeNet-5/128", (3, 4), (1.7, 1.4)),
            ("digits CNN/32", (4, 5.5), (1.8, 1.5)),
            ("Keras's MNIST CNN/128", (2.3, 2.8), (1.6, 1.3)),
            ("Conv1D 128 x 9/32", (1.5, 1.8), (1.4, 1.2)),
        )
        for target in (faster(workload, "torch", *torch), over_flops(workload, *flops))
    ),
    faster("depthwise 3 x 3, then 1 x 1/64", "torch", 2, 4),
    faster("predict LeNet-5, 1 row", "torch", 3, 6),
    faster("predict LeNet-5, 10000 rows", "torch", 2, 3),
    faster("LeNet-5/128 on two threads", "fastnn-one", 1.7, 1.9),
    _first_fit("LeNet-5"),
]

ISSUE_17 = [
    *(
        target
        for workload, torch, jax, flops in (
            ("LSTM 64 on 28 x 28/32", (1.5, 1.7), (1.4, 1.6), (1.45, 1.25)),
            ("LSTM 64 on 28 x 28/128", (1.25, 1.4), (1.6, 1.8), (1.45, 1.25)),
            ("LSTM 32 on 50 x 1/32", (2.5, 3.2), (2.3, 2.8), (1.65, 1.3)),
            ("GRU 64 on 128 x 9/64", (3, 3.8), (2.5, 3.2), (1.6, 1.3)),
            ("SimpleRNN 64 on 28 x 28/32", (3.8, 5), (1.25, 1.6), (1.7, 1.35)),
            ("LSTM 128 on 100 x 32/64", (1.45, 1.6), (1.45, 1.6), (1.4, 1.25)),
        )
        for target in (
            faster(workload, "torch", *torch), faster(workload, "jax", *jax), over_flops(workload, *flops),
        )
    ),
    faster("Embedding 10000 x 32, mean over 100/64", "torch", 3, 6),
    *(
        faster(f"LSTM 64 on 28 x 28/{rows}", peer, must, aim)
        for rows in (1, 8)
        for peer, must, aim in (("torch", 3, 5), ("jax", 1, 1.5))
    ),
    faster("LSTM 64 on 28 x 28/128 on two threads", "fastnn-one", 1.6, 1.85),
    _first_fit("LSTM 64"),
]  # fmt: skip

ISSUE_18 = [
    target
    for workload, torch, jax in (
        ("GAN 32-128-128-64 against 64-128-128-1/64", (6, 10), (1.3, 1.8)),
        ("GAN 16-64-2 against 2-64-64-1/256", (6, 10), (1.3, 1.8)),
        ("DCGAN on 8 x 8 digits/64", (3, 4), (3, 5)),
    )
    for target in (faster(workload, "torch", *torch), faster(workload, "jax", *jax))
]

TARGETS = {16: ISSUE_16, 17: ISSUE_17, 18: ISSUE_18}
