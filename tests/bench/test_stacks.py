"""The networks of bench/stacks: shapes and parameters are Keras's, and the arithmetic is that of the issues."""

import numpy as np
import pytest

import fastnn
from bench.stacks.gan import GANS
from bench.stacks.layers import (
    Conv,
    ConvTranspose,
    Dense,
    Embed,
    Flatten,
    MaxPool,
    Mean,
    Recurrent,
    Reshape,
    forward_flops,
    initial_weights,
    output_shape,
    walk,
)
from bench.stacks.workloads import STACKS, make_data

BY_NAME = {stack.name: stack for stack in STACKS}


@pytest.mark.parametrize(
    ("layer", "shape", "output", "parameters", "flops"),
    [
        (Dense(5), (3, 4), (3, 5), [(4, 5), (5,)], 2 * 3 * 4 * 5),
        (Conv(6, 5), (28, 28, 1), (24, 24, 6), [(5, 5, 1, 6), (6,)], 2 * 24 * 24 * 6 * 25),
        (Conv(4, 3, 2, "same"), (7, 8, 2), (4, 4, 4), [(3, 3, 2, 4), (4,)], 2 * 16 * 4 * 18),
        (Conv(6, 3, groups=3), (5, 5, 3), (3, 3, 6), [(3, 3, 1, 6), (6,)], 2 * 9 * 6 * 9),
        (Conv(4, 3), (10, 9), (8, 4), [(3, 9, 4), (4,)], 2 * 8 * 4 * 27),
        (ConvTranspose(16, 4, 2), (4, 4, 32), (8, 8, 16), [(4, 4, 16, 32), (16,)], 2 * 4 * 4 * 32 * 16 * 16),
        (MaxPool(), (5, 4, 3), (2, 2, 3), [], 0),
        (Mean(), (5, 4, 3), (3,), [], 0),
        (Flatten(), (5, 4, 3), (60,), [], 0),
        (Reshape((3, 2)), (6,), (3, 2), [], 0),
        (Embed(10, 4), (7,), (7, 4), [(10, 4)], 0),
        (Recurrent("SimpleRNN", 4), (7, 3), (4,), [(3, 4), (4, 4), (4,)], 2 * 7 * 7 * 4),
        (Recurrent("LSTM", 4), (7, 3), (4,), [(3, 16), (4, 16), (16,)], 2 * 7 * 7 * 16),
        (Recurrent("GRU", 4), (7, 3), (4,), [(3, 12), (4, 12), (2, 12)], 2 * 7 * 7 * 12),
    ],
)
def test_layers(layer, shape, output, parameters, flops):
    assert layer.output(shape) == output
    assert layer.parameters(shape) == parameters
    assert layer.flops(shape) == flops
    weights = initial_weights((layer,), shape)
    assert [w.shape for w in weights] == parameters
    assert all(w.any() == (k == 0 or k < len(weights) - 1) for k, w in enumerate(weights))


@pytest.mark.parametrize(
    ("name", "microseconds"),
    [
        ("LeNet-5/32", 492),
        ("LeNet-5/128", 1966),
        ("digits CNN/32", 147),
        ("Keras's MNIST CNN/128", 17_042),
        ("Conv1D 128 x 9/32", 3733),
        ("LSTM 64 on 28 x 28/32", 1152),
        ("LSTM 64 on 28 x 28/128", 4609),
        ("LSTM 32 on 50 x 1/32", 369),
        ("GRU 64 on 128 x 9/64", 6264),
        ("SimpleRNN 64 on 28 x 28/32", 289),
        ("LSTM 128 on 100 x 32/64", 28_600),
    ],
)
def test_steps_cost_what_the_design_says(name, microseconds):
    """Its table has the step's flops at 110 GFLOP/s."""
    assert BY_NAME[name].call_flops / 110e3 == pytest.approx(microseconds, rel=2e-3)


@pytest.mark.parametrize("stack", STACKS, ids=str)
def test_data_fit_the_network(stack):
    n = min(stack.n_rows, 64)
    X, y = make_data(stack, n)
    assert X.shape == (n, *stack.shape)
    assert len(y) == n
    assert stack.n_rows % stack.step_rows == 0
    if stack.loss == "mse":
        assert y.shape == (n, stack.n_outputs)
        assert y.dtype == np.float32
    else:
        assert y.dtype == np.int64
        assert y.min() >= 0
        assert y.max() < stack.n_outputs


@pytest.mark.parametrize("gan", GANS, ids=str)
def test_gans_fit_together(gan):
    assert output_shape(gan.generator, gan.noise) == gan.sample
    assert output_shape(gan.discriminator, gan.sample) == (1,)
    assert gan.data().shape == (gan.n_rows, *gan.sample)
    assert gan.n_rows % gan.batch == 0
    weights = gan.weights()
    for layers, shape, own in zip((gan.generator, gan.discriminator), (gan.noise, gan.sample), weights, strict=True):
        assert [w.shape for w in own] == [p for layer, before in walk(layers, shape) for p in layer.parameters(before)]


def test_a_gan_step_counts_what_a_step_does():
    """Two batches are made and one learnt from; three are judged, two learnt from, one passed back."""
    gan = next(gan for gan in GANS if gan.sample == (2,))
    generator, discriminator = forward_flops(gan.generator, (16,)), forward_flops(gan.discriminator, (2,))
    assert generator == 2 * (16 * 64 + 64 * 2)
    assert discriminator == 2 * (2 * 64 + 64 * 64 + 64)
    assert gan.call_flops == 256 * (4 * generator + 8 * discriminator)


def test_fastnn_builds_them_or_says_what_is_missing():
    """Dense networks exist already; each of the others is built, or skipped with a layer's name."""
    from bench.peers import Unsupported
    from bench.stacks import fastnn_stack

    for gan in GANS[:2]:
        network = fastnn.Network(fastnn_stack.layers(gan.generator, gan.noise, gan.output), seed=0)
        assert [w.shape for w in network.get_weights()] == [w.shape for w in gan.weights()[0]]
        network = fastnn.Network(fastnn_stack.layers(gan.discriminator, gan.sample, "sigmoid"), seed=0)
        network.set_weights(gan.weights()[1])
    for stack in STACKS:
        try:
            network = fastnn.Network(fastnn_stack.layers(stack.layers, stack.shape, "softmax"), seed=0)
        except Unsupported as reason:
            assert str(reason).startswith("fastnn")
            continue
        weights = initial_weights(stack.layers, stack.shape)
        assert [w.shape for w in network.get_weights()] == [w.shape for w in weights]
