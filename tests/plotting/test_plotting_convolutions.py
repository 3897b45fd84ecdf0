"""Pictures of filters and feature maps: the right numbers, on titled axes."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

import fastnn
from fastnn import BatchNormalization, Conv2D, Dense, Flatten, Input, MaxPooling2D
from fastnn.plotting import plot_feature_maps, plot_filters

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    from matplotlib import pyplot

    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def network():
    layers = [
        Input((8, 8, 1)), Conv2D(5, 3, activation="relu"), BatchNormalization(), MaxPooling2D(2), Conv2D(2, 2),
        Flatten(), Dense(3),
    ]  # fmt: skip
    network = fastnn.Network(layers, seed=0)
    network.state[:] = np.linspace(0.5, 1.5, network.state.size)
    return network


X = np.random.default_rng(0).random((8, 8, 1))


def values(ax):
    return np.asarray(ax.images[0].get_array())


def test_filters_are_the_kernels(network):
    axes = plot_filters(network)
    kernel = network.get_weights()[0]
    assert [ax.get_title() for ax in axes] == [f"filter {i}" for i in range(5)]
    for i, ax in enumerate(axes):
        np.testing.assert_array_equal(values(ax), kernel[:, :, 0, i])
        assert ax.images[0].get_clim() == (-np.abs(kernel).max(), np.abs(kernel).max())
    axes[0].figure.canvas.draw()


def test_of_many_channels_the_strongest_is_drawn(network):
    axes = plot_filters(network, 4, n_filters=1)
    kernel = network.get_weights()[4]
    strongest = np.abs(kernel[..., 0]).sum(axis=(0, 1)).argmax()
    assert [ax.get_title() for ax in axes] == [f"filter 0, channel {strongest}"]
    np.testing.assert_array_equal(values(axes[0]), kernel[:, :, strongest, 0])


def test_three_channels_are_colours():
    network = fastnn.Network([Input((4, 4, 3)), Conv2D(2, 3)], seed=0)
    kernel = network.get_weights()[0]
    axes = plot_filters(network, axes=Figure().subplots(1, 3))
    assert len(axes) == 2
    np.testing.assert_allclose(values(axes[1]), 0.5 + 0.5 * kernel[..., 1] / np.abs(kernel).max())


def test_feature_maps_are_what_the_layer_gives(network):
    first = fastnn.Network(network.layers[:2])
    first.set_weights(network.get_weights()[:2])
    maps = first.predict(X[np.newaxis])[0]
    for i, ax in enumerate(plot_feature_maps(network, X)):
        np.testing.assert_allclose(values(ax), maps[..., i], rtol=1e-5)
    scaled = plot_feature_maps(network, X.ravel(), 2, n_maps=2)  # after the normalization, from a row
    gamma, beta = network.get_weights()[2:4]
    mean, variance = network.state.reshape(2, -1)
    expected = gamma * (maps - mean) / np.sqrt(variance + network.layers[2].epsilon) + beta
    np.testing.assert_allclose(values(scaled[1]), expected[..., 1], rtol=1e-4, atol=1e-5)
    assert [ax.get_title() for ax in scaled] == ["channel 0", "channel 1"]


def test_the_input_is_a_map(network):
    (ax,) = plot_feature_maps(network, X, 0)
    np.testing.assert_array_equal(values(ax), X[..., 0])


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda net: plot_filters(net, 3), r"layer must be a Conv2D, got layers\[3\], MaxPooling2D"),
        (lambda net: plot_filters(net, 9), "layer must be an integer from 0 to 6, got 9"),
        (lambda net: plot_filters(net, n_filters=0), "n_filters must be an integer >= 1, got 0"),
        (lambda net: plot_filters(net, axes=[]), "axes must hold 5 axes, got 0"),
        (lambda net: plot_filters(fastnn.Network.mlp(2, [], 1)), "network must have a Conv2D"),
        (lambda net: plot_feature_maps(net, X, 6), r"layers\[6\], which gives the shape \(3,\)"),
        (lambda net: plot_feature_maps(net, X[:4]), r"X must have shape \(n, 8, 8, 1\) or \(n, 64\)"),
    ],
)
def test_wrong_arguments(network, draw, message):
    with pytest.raises(ValueError, match=message):
        draw(network)
