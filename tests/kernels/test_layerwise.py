"""Networks of many parameters are updated layer by layer, without a gradient vector: to the same bits.

With several threads too, however many: each sums over the samples of all.

A limit that no gradient reaches makes the trainer look at the whole gradient first, which is the other way.
"""

import numpy as np
import pytest

import fastnn
from fastnn.kernels.layerwise import LEAST_PARAMETERS, area_size

NOTHING_REACHES = 1e30
ODD = (501, 223, 7, 3)  # no layer begins or ends at a cache line
NARROW = (7200, 14, 1)  # blocks of many rows
WIDE = (17, 1801, 40)  # blocks of one row of tiles


def layers(sizes, kind="plain"):
    result = [fastnn.Input(sizes[0])]
    for units in sizes[1:-1]:
        if kind == "no bias":
            result.append(fastnn.Dense(units, activation="relu", use_bias=False))
        else:
            result.append(fastnn.Dense(units, activation="tanh"))
        if kind == "layer norm":
            result.append(fastnn.LayerNormalization())
        if kind == "batch norm":
            result.append(fastnn.BatchNormalization())
    if kind == "norm first":
        result.insert(1, fastnn.LayerNormalization())
    return [*result, fastnn.Dense(sizes[-1], activation="linear")]


def trained(sizes, kind="plain", optimizer=fastnn.optimizers.Adam, dtype="float32", n=50, batch_size=32,
            n_threads=1, **options):  # fmt: skip
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, sizes[0])).astype(dtype), rng.normal(size=(n, sizes[-1])).astype(dtype)
    network = fastnn.Network(layers(sizes, kind), dtype=dtype, seed=0)
    assert network.n_parameters >= LEAST_PARAMETERS
    trainer = fastnn.Trainer(network, loss="mse", optimizer=optimizer(**options))
    trainer.fit(X, y, epochs=3, batch_size=batch_size, n_threads=n_threads, seed=0)
    return network.parameters.copy(), trainer.history.history["loss"]


def both_ways(*args, **options):
    by_layer, losses = trained(*args, **options)
    at_once, losses_at_once = trained(*args, **options, clipvalue=NOTHING_REACHES)
    np.testing.assert_array_equal(by_layer, at_once)
    assert losses == losses_at_once
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("sizes", [ODD, NARROW, WIDE], ids=["odd", "narrow", "wide"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_shape(sizes, dtype):
    both_ways(sizes, dtype=dtype)


@pytest.mark.parametrize("kind", ["no bias", "layer norm", "batch norm", "norm first"])
def test_every_layer_with_parameters(kind):
    both_ways(ODD, kind)


@pytest.mark.parametrize("name", ["SGD", "AdamW", "RMSprop", "Adagrad", "Adadelta", "Nadam", "Adamax", "Lion"])
def test_every_optimizer(name):
    both_ways(ODD, optimizer=getattr(fastnn.optimizers, name))


@pytest.mark.parametrize("sizes", [ODD, NARROW, WIDE], ids=["odd", "narrow", "wide"])
@pytest.mark.parametrize("n_threads", [2, 3])
def test_any_number_of_threads_gives_the_same_bits(sizes, n_threads):
    alone, losses = trained(sizes, n=220, batch_size=110)
    together, losses_together = trained(sizes, n=220, batch_size=110, n_threads=n_threads)
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(losses_together, losses, rtol=1e-6)  # sums of the threads' sums


@pytest.mark.parametrize("kind", ["layer norm", "batch norm"])
def test_normalisation_with_threads_sums_up_gradients(kind):
    alone, _ = trained(ODD, kind, n=128, batch_size=128, dtype="float64")
    together, _ = trained(ODD, kind, n=128, batch_size=128, dtype="float64", n_threads=2)
    np.testing.assert_allclose(together, alone, rtol=1e-6, atol=1e-9)


def test_a_small_last_batch_with_more_threads_than_panels():
    alone, _ = trained(ODD, n=130, batch_size=128)
    together, _ = trained(ODD, n=130, batch_size=128, n_threads=4)
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 33, 128])
def test_partial_batches(batch_size):
    both_ways(ODD, n=130, batch_size=batch_size)


def test_average_of_the_parameters():
    both_ways(ODD, use_ema=True)


def test_a_loss_that_is_not_finite_updates_nothing():
    network = fastnn.Network(layers(ODD), seed=0)
    before = network.parameters.copy()
    trainer = fastnn.Trainer(network, loss="mse")
    X = np.zeros((4, ODD[0]), np.float32)
    with pytest.raises(FloatingPointError, match="the loss stopped being finite"):
        trainer.fit(X, np.full((4, ODD[-1]), 3e38, np.float32), epochs=1, n_threads=1)
    np.testing.assert_array_equal(network.parameters, before)


def test_the_area_is_small():
    assert area_size(10) < 10_000
    assert area_size(100_000) < 16 * 100_000
