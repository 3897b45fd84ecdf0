"""Random numbers of the kernels: uniform, unbiased, and functions of what they are said to be functions of."""

import itertools

import numpy as np
import pytest
from scipy import stats

import fastnn
import reference as ref
from fastnn.engine.rows import Rows
from fastnn.engine.workspace import Workspace
from fastnn.kernels import sources, tables
from fastnn.kernels.random import mix, normal_pair, shuffle, uniform
from fastnn.kernels.simd import lanes, store
from support import flat, oracle_of, rng, test_kernel

UNLIKELY = 1e-5  # p-values below this fail; the numbers are the same in every run


@test_kernel
def fill_counters(out, key, first):
    """out[i] = the uniform of counter first + i."""
    for i in range(0, out.size, lanes(out)):
        store(out, i, uniform(out, key, first + i))


@test_kernel
def fill_keys(out, key):
    """out[i] = the first uniform under the i-th key derived from one."""
    buffer = out[:16].copy()
    for i in range(out.size):
        store(buffer, 0, uniform(out, mix(key, i), 0))
        out[i] = buffer[0]


def assert_uniform(values):
    assert (values >= 0).all()
    assert (values < 1).all()
    for bins in (16, 1000):
        counts = np.histogram(values, bins, (0, 1))[0]
        assert stats.chisquare(counts).pvalue > UNLIKELY
    assert stats.kstest(values, "uniform").pvalue > UNLIKELY


@test_kernel
def fill_pairs(out, key):
    """out[0] and out[1] = the pairs of counters 0, 1, ..."""
    one, other = out[0], out[1]
    for i in range(0, one.size, lanes(one)):
        a, b = normal_pair(one, key, i)
        store(one, i, a)
        store(other, i, b)


def test_pairs_are_normal_and_independent(dtype):
    pairs = np.empty((2, 1 << 17), dtype)
    fill_pairs(pairs, np.uint64(3))
    for values in (*pairs, pairs.sum(axis=0) / np.sqrt(2)):
        assert stats.kstest(values, "norm").pvalue > UNLIKELY
    limit = 5 / np.sqrt(pairs.shape[1])
    assert abs(np.corrcoef(pairs)[0, 1]) < limit
    assert abs(np.corrcoef(pairs**2)[0, 1]) < limit
    assert abs(np.corrcoef(pairs[0][:-1], pairs[1][1:])[0, 1]) < limit


@pytest.mark.parametrize("key", [0, 1, 2**63, 0x9E3779B97F4A7C15])
def test_uniforms_of_consecutive_counters(key, dtype):
    values = np.empty(1 << 18, dtype)
    fill_counters(values, np.uint64(key), 0)
    assert_uniform(values)
    for lag in (1, 2, 16, 32, 1000):
        assert abs(np.corrcoef(values[:-lag], values[lag:])[0, 1]) < 5 / np.sqrt(values.size)


def test_uniforms_of_consecutive_keys(dtype):
    """As one sample sees them: a key a step, a layer and a unit."""
    values = np.empty(1 << 17, dtype)
    fill_keys(values, np.uint64(7))
    assert_uniform(values)
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 5 / np.sqrt(values.size)


def test_a_uniform_depends_on_its_counter_alone(dtype):
    together, apart = np.empty(256, dtype), np.empty(256, dtype)
    fill_counters(together, np.uint64(3), 1000)
    for first in range(0, 256, 32):
        fill_counters(apart[first : first + 32], np.uint64(3), 1000 + first)
    np.testing.assert_array_equal(together, apart)


# -- the order of rows -------------------------------------------------------------------------------------------------


def permutation(n, seed=0, epoch=0):
    order = np.empty(n, np.int64)
    shuffle(order, np.uint64(seed), epoch)
    return order


@pytest.mark.parametrize("n", [0, 1, 2, 3, 10, 1000])
def test_shuffle_gives_a_permutation(n):
    for epoch in range(5):
        np.testing.assert_array_equal(np.sort(permutation(n, 1, epoch)), np.arange(n))


def test_shuffle_is_a_function_of_seed_and_epoch():
    np.testing.assert_array_equal(permutation(100, 3, 4), permutation(100, 3, 4))
    assert not np.array_equal(permutation(100, 3, 4), permutation(100, 3, 5))
    assert not np.array_equal(permutation(100, 3, 4), permutation(100, 4, 4))


def test_every_permutation_is_as_likely_over_epochs_and_over_seeds():
    number = {p: i for i, p in enumerate(itertools.permutations(range(4)))}
    for draws in (
        [permutation(4, 5, epoch) for epoch in range(24_000)],
        [permutation(4, seed, 0) for seed in range(24_000)],
    ):
        counts = np.bincount([number[tuple(draw.tolist())] for draw in draws], minlength=24)
        assert stats.chisquare(counts).pvalue > UNLIKELY


# -- dropout -----------------------------------------------------------------------------------------------------------


def training_outputs(network, X, *, seed=1, step=0, panels=4):
    """Outputs in training mode, through a workspace that holds some number of panels at once."""
    X = np.ascontiguousarray(X, network.dtype)
    out = np.empty((len(X), network.n_outputs), network.dtype)
    workspace = Workspace(network.plan, network.dtype, n_rows=32 * panels, with_gradient=False)
    workspace.set_data(Rows.of(X), Rows.of(out))
    scatter = sources.SCATTERS[tables.Source[network.dtype.name.upper()]]
    workspace.set(mode=tables.Mode.OUTPUTS, batch_size=len(X), seed=seed, step=step, **{"y.gather": scatter})
    workspace.run(1, network.parameter_buffer, np.empty(0, network.dtype))
    return out


def mask_of(n, units, rate, dtype="float32", layer=1, **options):
    """What dropout does to ones, as the layer of that number."""
    before = [fastnn.Activation("linear")] * (layer - 1)
    network = fastnn.Network([fastnn.Input(units), *before, fastnn.Dropout(rate)], dtype=dtype)
    return training_outputs(network, np.ones((n, units)), **options)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_dropout_drops_its_rate_and_scales_the_rest(rate, dtype):
    mask = mask_of(2000, 50, rate, dtype)
    kept = mask != 0
    np.testing.assert_array_equal(mask[kept], np.array(1 / (1 - rate), dtype))
    spread = np.sqrt(rate * (1 - rate))
    assert abs(kept.mean() - (1 - rate)) <= 5 * spread / np.sqrt(mask.size)
    for axis in (0, 1):  # no unit and no sample is favoured
        means = kept.mean(axis=axis)
        assert np.abs(means - (1 - rate)).max() <= 6 * spread / np.sqrt(mask.shape[axis])


def test_neighbours_are_dropped_independently():
    kept = (mask_of(4000, 40, 0.5) != 0) - 0.5
    limit = 5 * 0.25 / np.sqrt(kept.size)
    assert abs((kept[1:] * kept[:-1]).mean()) < limit
    assert abs((kept[:, 1:] * kept[:, :-1]).mean()) < limit


@pytest.mark.parametrize("other", [{"seed": 2}, {"step": 1}, {"layer": 2}])
def test_seed_step_and_layer_each_give_another_mask(other):
    first, second = mask_of(500, 40, 0.5) != 0, mask_of(500, 40, 0.5, **other) != 0
    assert abs((first == second).mean() - 0.5) < 5 * 0.5 / np.sqrt(first.size)


def test_a_mask_does_not_depend_on_how_a_batch_is_cut(dtype):
    """Nor on how many samples follow, nor on the precision."""
    expected = mask_of(300, 9, 0.4, dtype, panels=4)
    for panels in (1, 2, 3):
        np.testing.assert_array_equal(mask_of(300, 9, 0.4, dtype, panels=panels), expected)
    for n in (1, 17, 45, 128):
        np.testing.assert_array_equal(mask_of(n, 9, 0.4, dtype), expected[:n])
    np.testing.assert_array_equal(mask_of(300, 9, 0.4, "float64") != 0, expected != 0)


@pytest.mark.parametrize("n", [5, 40, 300])
def test_a_training_step_with_dropout_is_the_oracle_s(n, dtype):
    """The same mask forward and backward, also where a batch is several micro-batches."""
    layers = [
        fastnn.Input(5), fastnn.Dense(9, "tanh"), fastnn.Dropout(0.4), fastnn.Dense(8, "gelu"), fastnn.Dropout(0.2),
        fastnn.Dense(3),
    ]  # fmt: skip
    network = fastnn.Network(layers, dtype=dtype, seed=0)
    X, y = rng(1).normal(size=(n, 5)), rng(2).normal(size=(n, 3))
    oracle = oracle_of(network)
    dropouts = [layer for layer in oracle if isinstance(layer, ref.Dropout)]
    dropouts[0].mask = mask_of(n, 9, 0.4, layer=2) != 0
    dropouts[1].mask = mask_of(n, 8, 0.2, layer=4) != 0
    _, gradients = ref.loss_and_gradient(oracle, X, y, "mse", training=True)
    expected = network.parameters - 0.1 * flat(gradients)
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(0.1))
    trainer.fit(X, y, batch_size=None, shuffle=False, seed=1)
    np.testing.assert_allclose(network.parameters, expected, rtol=0, atol=1e-14 if dtype == "float64" else 1e-6)


def test_inference_drops_nothing(dtype):
    network = fastnn.Network([fastnn.Input(3), fastnn.Dropout(0.9)], dtype=dtype)
    X = rng(1).normal(size=(50, 3)).astype(dtype)
    np.testing.assert_array_equal(network.predict(X), X)
