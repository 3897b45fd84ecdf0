"""Pictures of samples and of what a network looks at."""

import numpy as np
import pytest
from matplotlib.figure import Figure

import fastnn
from fastnn.plotting import plot_saliency, plot_samples
from support import rng


def picture(ax):
    return ax.get_images()[0].get_array()


def test_samples_stand_side_by_side_with_a_gap():
    images = np.arange(3.0)[:, None] * np.ones(4)
    canvas = picture(plot_samples(images, ax=Figure().subplots()))
    assert canvas.shape == (5, 5)
    np.testing.assert_array_equal(canvas[:2, :2], 0.0)
    np.testing.assert_array_equal(canvas[:2, 3:], 1.0)
    np.testing.assert_array_equal(canvas[3:, :2], 2.0)


def test_a_recorder_s_samples_have_a_row_an_epoch():
    gan = fastnn.GAN(fastnn.Network.mlp(3, [], 4, seed=0), fastnn.Network.mlp(4, [], 1, seed=1))
    recorder = fastnn.callbacks.SampleRecorder(n=3, every=2, seed=5)
    gan.fit(rng().normal(size=(40, 4)), epochs=4, callbacks=[recorder])
    assert recorder.epochs == [1, 2, 4]
    np.testing.assert_array_equal(recorder.samples[-1], gan.generate(3, seed=5))
    ax = plot_samples(recorder.samples, rows=recorder.epochs, ax=Figure().subplots())
    assert picture(ax).shape == (8, 8)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "2", "4"]
    assert picture(plot_samples(recorder.samples, ax=Figure().subplots())).shape == (8, 8)


def test_colours_and_flat_images():
    assert picture(plot_samples(rng().uniform(size=(2, 4, 5, 3)), ax=Figure().subplots())).shape == (4, 11, 3)
    assert picture(plot_samples(np.zeros((1, 6)), image_shape=(2, 3), ax=Figure().subplots())).shape == (2, 3)
    assert plot_samples(np.zeros((2, 4, 4, 1))).figure is not None


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        (np.zeros(4), {}, "samples must have shape"),
        (np.zeros((0, 4)), {}, "samples must have shape"),
        (np.zeros((2, 5)), {}, "image_shape must be"),
        (np.zeros((2, 4)), {"image_shape": (3, 2)}, "image_shape must be"),
        (np.zeros((2, 3, 4)), {"rows": [1]}, "rows must have 2 members"),
    ],
)
def test_what_is_no_grid_of_images_is_refused(samples, options, message):
    with pytest.raises(ValueError, match=message):
        plot_samples(samples, **options)


def test_saliency_is_drawn_below_each_image():
    network = fastnn.Network.mlp(4, [], 2, output="softmax", seed=0)
    X = rng().normal(size=(3, 4))
    axes = plot_saliency(network, X, axes=Figure().subplots(2, 3).flat)
    np.testing.assert_array_equal(picture(axes[4]).ravel(), fastnn.saliency(network, X)[1])
    assert axes[0].get_title() == f"output {network.predict(X).argmax(axis=1)[0]}"
    with pytest.raises(ValueError, match="axes must hold 6 axes, got 2"):
        plot_saliency(network, X, axes=Figure().subplots(1, 2))


def test_a_recorder_of_another_trainer_is_refused():
    trainer = fastnn.Trainer(fastnn.Network.mlp(1, [], 1, seed=0), loss="mse")
    with pytest.raises(TypeError, match="SampleRecorder needs a GAN, got a Trainer"):
        trainer.fit(np.ones((4, 1)), np.ones(4), callbacks=[fastnn.callbacks.SampleRecorder()])
