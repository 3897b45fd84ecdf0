"""Transposed convolutions, upsampling, and what moves or drops at random."""

import numpy as np
import pytest

import fastnn
import reference as ref
from support import assert_close, rng


def transposed_case(seed):
    r = rng(seed)
    size, strides = (tuple(map(int, r.integers(1, high, 2))) for high in (5, 4))
    shape = (*map(int, r.integers(1, 6, 2)), int(r.integers(1, 6)))
    padding = str(r.choice(["valid", "same"]))
    layer = fastnn.Conv2DTranspose(
        int(r.integers(1, 20)), size, strides=strides, padding=padding, use_bias=bool(r.integers(2))
    )
    return layer, shape, int(r.choice([1, 33, 64]))


@pytest.mark.parametrize("seed", range(25))
def test_transposed_convolutions_are_the_oracles(seed, dtype):
    layer, shape, n = transposed_case(seed)
    network = fastnn.Network([fastnn.Input(shape), layer], dtype=dtype, seed=1)
    network.parameters[:] = rng(2).normal(size=network.n_parameters)
    weights = [w.astype(float) for w in network.get_weights()]
    oracle = ref.TransposedConvolution(*weights, *[None] * (2 - len(weights)), layer.strides, layer.padding)
    X = rng(3).normal(size=(n, *shape)).astype(dtype)
    expected = oracle.forward(X.astype(float))
    assert_close(network.predict(X), expected, 300)
    v = rng(4).normal(size=expected.shape)
    by_inputs, by_parameters = network.vjp(X, v)
    d_x, gradients = oracle.backward(X.astype(float), v)
    assert_close(by_inputs, d_x, 300)
    assert_close(by_parameters, np.concatenate([g.ravel() for g in gradients]), 300 * n)
    flat = fastnn.Network([fastnn.Input(shape), layer, fastnn.Flatten()], dtype=dtype)
    flat.parameters[:] = network.parameters
    assert_close(flat.predict(np.ascontiguousarray(X.reshape(n, -1)[:2])), expected.reshape(n, -1)[:2], 300)


def test_a_transposed_convolution_is_the_gradient_of_a_convolution():
    large, small = (9, 7, 3), (4, 3, 5)
    there = fastnn.Network([fastnn.Input(large), fastnn.Conv2D(5, 3, strides=2, use_bias=False)], dtype="float64")
    back = fastnn.Network([fastnn.Input(small), fastnn.Conv2DTranspose(3, 3, strides=2, use_bias=False)],
                          dtype="float64")  # fmt: skip
    assert there.plan.output_shape == small
    assert back.plan.output_shape == large
    back.set_weights(there.get_weights())
    X, v = rng(0).normal(size=(33, *large)), rng(1).normal(size=(33, *small))
    np.testing.assert_allclose(back.predict(v), there.vjp(X, v)[0], atol=1e-12)


@pytest.mark.parametrize("size", [2, (1, 3), (3, 1)])
def test_upsampling_repeats_and_its_gradient_sums(size, dtype):
    down, across = size if isinstance(size, tuple) else (size, size)
    network = fastnn.Network([fastnn.Input((3, 2, 2)), fastnn.UpSampling2D(size), fastnn.Flatten()], dtype=dtype)
    X = rng(0).normal(size=(40, 3, 2, 2)).astype(dtype)
    expected = X.repeat(down, axis=1).repeat(across, axis=2)
    np.testing.assert_array_equal(network.predict(X).reshape(expected.shape), expected)
    np.testing.assert_array_equal(network.predict(X[:2].reshape(2, -1)), expected[:2].reshape(2, -1))
    v = rng(1).normal(size=expected.shape).astype(dtype)
    sums = v.reshape(40, 3, down, 2, across, 2).sum(axis=(2, 4), dtype=float)
    assert_close(network.vjp(X, v.reshape(40, -1))[0], sums, 10)


def outputs_in_training(layer, X, dtype="float64", seed=0):
    """What a layer makes of each sample in training, read off the step that weights behind it take."""
    shape = X.shape[1:]
    size = int(np.prod(shape))
    network = fastnn.Network(
        [fastnn.Input(shape), layer, fastnn.Flatten(), fastnn.Dense(size, use_bias=False)], dtype=dtype
    )  # fmt: skip
    network.parameters[:] = 0
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(size / 2))
    # With one sample, a target of 1 and outputs of 0 the gradient of W[i, j] is -x[i] * 2 / size.
    seen = []
    for i in range(len(X)):
        network.parameters[:] = 0
        trainer.fit(X[i : i + 1], np.ones((1, size)), seed=seed + i)
        seen.append(network.get_weights()[0][:, 0].reshape(shape).copy())
    return np.array(seen)


@pytest.mark.parametrize("mode", ["horizontal", "vertical", "horizontal_and_vertical"])
def test_flips_mirror_whole_images_in_training_only(mode):
    X = rng(0).normal(size=(24, 4, 3, 2))
    layer = fastnn.RandomFlip(mode)
    seen = outputs_in_training(layer, X)
    wanted = {
        "horizontal": [X, X[:, :, ::-1]], "vertical": [X, X[:, ::-1]],
        "horizontal_and_vertical": [X, X[:, :, ::-1], X[:, ::-1], X[:, ::-1, ::-1]],
    }[mode]  # fmt: skip
    is_one = np.array([[np.allclose(s, w[i]) for w in wanted] for i, s in enumerate(seen)])
    assert is_one.sum(axis=1).tolist() == [1] * 24
    assert is_one.any(axis=0).all()  # each of them happens
    np.testing.assert_allclose(outputs_in_training(layer, X), seen)
    network = fastnn.Network([fastnn.Input((4, 3, 2)), layer], dtype="float64")
    np.testing.assert_array_equal(network.predict(X), X)


def test_translations_move_whole_images_in_training_only():
    X = rng(0).uniform(1, 2, size=(40, 5, 4, 2))
    layer = fastnn.RandomTranslation(0.4, 0.25)  # two up or down, one to the side
    seen = outputs_in_training(layer, X)
    shifts = set()
    for image, moved in zip(X, seen, strict=True):
        matches = []
        for down in range(-2, 3):
            for right in range(-1, 2):
                expected = np.zeros_like(image)
                rows, columns = (
                    (slice(max(0, s), n + min(0, s)), slice(max(0, -s), n + min(0, -s)))
                    for s, n in ((down, 5), (right, 4))
                )
                expected[rows[0], columns[0]] = image[rows[1], columns[1]]
                if np.allclose(expected, moved):
                    matches.append((down, right))
        assert len(matches) == 1
        shifts.update(matches)
    assert {down for down, _ in shifts} == {-2, -1, 0, 1, 2}
    assert {right for _, right in shifts} == {-1, 0, 1}
    network = fastnn.Network([fastnn.Input((5, 4, 2)), layer], dtype="float64")
    np.testing.assert_array_equal(network.predict(X), X)


def test_spatial_dropout_drops_whole_channels():
    X = np.ones((60, 3, 2, 4))
    seen = outputs_in_training(fastnn.SpatialDropout2D(0.25), X)
    per_channel = seen.reshape(60, 6, 4)
    assert (per_channel == per_channel[:, :1]).all()
    assert set(np.unique(per_channel.round(6))) == {0.0, round(4 / 3, 6)}
    assert 0.1 < (per_channel[:, 0] == 0).mean() < 0.4
    sequence = outputs_in_training(fastnn.SpatialDropout1D(0.5), np.ones((20, 6, 3)))
    assert (sequence == sequence[:, :1]).all()


@pytest.mark.parametrize(
    "layer", [fastnn.RandomFlip("horizontal_and_vertical"), fastnn.RandomTranslation(0.3, 0.3),
              fastnn.SpatialDropout2D(0.3)], ids=repr,
)  # fmt: skip
def test_the_gradient_passes_what_was_moved_or_dropped(layer):
    """The delta behind the layer comes back to where each number came from.

    A bias of every place before the layer takes a step of plain gradient descent, which shows its delta.
    """
    shape = (4, 3, 2)
    v = rng(1).normal(size=24)
    layers = [fastnn.Input(1), fastnn.Dense(24), fastnn.Reshape(shape), layer, fastnn.Flatten(),
              fastnn.Dense(1, use_bias=False, trainable=False)]  # fmt: skip
    n_kept = 0
    for seed in range(5):
        network = fastnn.Network(layers, dtype="float64", seed=0)
        network.set_weights([np.zeros((1, 24)), np.zeros(24), v[:, np.newaxis]])
        trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(0.5))
        trainer.fit(np.zeros((1, 1)), np.ones((1, 1)), seed=seed)
        # dL/da = -2 v behind the layer; what reaches the bias is moved back, so forward again it is v where kept.
        gradient = network.get_weights()[1].reshape(shape)
        again = outputs_in_training_like(layers, gradient, seed)
        kept = again != 0
        n_kept += kept.sum()
        if isinstance(layer, fastnn.SpatialDropout2D):
            np.testing.assert_allclose(again[kept], v.reshape(shape)[kept] / 0.7**2)
        else:
            np.testing.assert_allclose(again[kept], v.reshape(shape)[kept])
    assert n_kept > 24


def outputs_in_training_like(layers, image, seed):
    """What the random layer of `layers` makes of an image in the first step with a seed, at the same place."""
    network = fastnn.Network(
        [*layers[:5], fastnn.Dense(image.size, use_bias=False)], dtype="float64", seed=0
    )  # fmt: skip
    network.set_weights([np.zeros((1, image.size)), image.ravel(), np.zeros((image.size, image.size))])
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(image.size / 2))
    trainer.fit(np.zeros((1, 1)), np.ones((1, image.size)), seed=seed)
    return network.get_weights()[2][:, 0].reshape(image.shape)


def test_normalization_over_channels(dtype):
    X = rng(0).normal(3.0, 2.0, size=(64, 5, 4, 3)).astype(dtype)
    layers = [fastnn.Input((5, 4, 3)), fastnn.BatchNormalization(momentum=0.0, epsilon=1e-9), fastnn.Flatten(),
              fastnn.Dense(1)]  # fmt: skip
    network = fastnn.Network(layers, dtype=dtype, seed=0)
    assert [w.shape for w in network.get_weights()[:2]] == [(3,), (3,)]
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(0.0001))
    trainer.fit(X, np.zeros(64), batch_size=64)
    expected = [X.mean(axis=(0, 1, 2), dtype=float), X.var(axis=(0, 1, 2), dtype=float)]
    assert_close(network.state, np.concatenate(expected), 200)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fastnn.UpSampling2D(0), ValueError, "size must be"),
        (lambda: fastnn.SpatialDropout2D(1.0), ValueError, "rate must be"),
        (lambda: fastnn.RandomFlip("diagonal"), ValueError, "mode must be one of"),
        (lambda: fastnn.RandomTranslation(-0.1, 0), ValueError, "height_factor must be"),
        (lambda: fastnn.RandomTranslation(0.1, "x"), TypeError, "width_factor must be"),
        (lambda: fastnn.Conv2DTranspose(2, 3, strides=0), ValueError, "strides must be"),
        (lambda: fastnn.Network([fastnn.Input(4), fastnn.RandomFlip()]), ValueError, "RandomFlip takes images"),
        (lambda: fastnn.Network([fastnn.Input(4), fastnn.Conv2DTranspose(1, 1)]), ValueError, "takes images"),
        (lambda: fastnn.Network([fastnn.Input((4, 4, 1)), fastnn.SpatialDropout1D(0.1)]), ValueError, "sequences"),
    ],
)
def test_bad_arguments_are_refused_by_name(make, error, message):
    with pytest.raises(error, match=message):
        make()
