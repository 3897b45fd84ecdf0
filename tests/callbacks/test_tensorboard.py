"""What the TensorBoard callback writes, read back by TensorBoard."""

import warnings

import numpy as np
import pytest

import fastnn

pytest.importorskip("tensorboardX")

X = np.linspace(-1, 1, 64)[:, None]


def test_tensorboard_reads_it_back(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TensorBoard's own imports
        accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
        from tensorboard.plugins.hparams import plugin_data_pb2

    trainer = fastnn.Trainer(fastnn.Network.mlp(1, [8], 1, seed=0), loss="mse", metrics=["mae"])
    board = fastnn.callbacks.TensorBoard(tmp_path / "runs" / "first", histogram_freq=2)
    history = trainer.fit(X, X**2, epochs=4, validation_split=0.2, callbacks=[board]).history

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        events = accumulator.EventAccumulator(
            str(tmp_path / "runs" / "first"), size_guidance={"histograms": 0}
        ).Reload()
    for tag, name in (("loss/training", "loss"), ("loss/validation", "val_loss"), ("mae/training", "mae")):
        scalars = events.Scalars(tag)
        assert [event.step for event in scalars] == [0, 1, 2, 3]
        np.testing.assert_allclose([event.value for event in scalars], history[name], rtol=1e-6)
    assert {event.value for event in events.Scalars("learning_rate")} == {np.float32(0.001)}
    histograms = events.Histograms("layer_1/kernel")
    assert [event.step for event in histograms] == [1, 3]
    assert histograms[0].histogram_value.num == 8
    (text,) = events.Tensors("plan/text_summary")
    assert b"25" in text.tensor_proto.string_val[0]  # parameters
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    values = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert values["optimizer"].string_value == "Adam"
    assert values["learning_rate"].number_value == 0.001


def test_a_gan_is_shown_with_both_networks(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
        from tensorboard.plugins.hparams import plugin_data_pb2

    generator, discriminator = fastnn.Network.mlp(3, [8], 1, seed=0), fastnn.Network.mlp(1, [8], 1, seed=1)
    gan = fastnn.GAN(generator, discriminator, discriminator_optimizer=fastnn.SGD(0.01))
    board = fastnn.callbacks.TensorBoard(tmp_path, histogram_freq=1)
    history = gan.fit(X, epochs=2, callbacks=[board]).history

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        events = accumulator.EventAccumulator(str(tmp_path), size_guidance={"histograms": 0}).Reload()
    losses = [event.value for event in events.Scalars("generator_loss/training")]
    np.testing.assert_allclose(losses, history["generator_loss"], rtol=1e-6)
    assert len(events.Histograms("generator_layer_1/kernel")) == 2
    assert events.Histograms("discriminator_layer_1/kernel")[0].histogram_value.num == 8
    assert {"generator_plan/text_summary", "discriminator_plan/text_summary"} <= set(events.Tags()["tensors"])
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    values = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert values["loss"].string_value == "non_saturating"
    assert values["generator_optimizer"].string_value == "Adam"
    assert values["discriminator_learning_rate"].number_value == 0.01
    assert values["discriminator_steps"].number_value == 1


def test_wrong_arguments_are_refused_before_training(tmp_path):
    with pytest.raises(ValueError, match="histogram_freq"):
        fastnn.callbacks.TensorBoard(tmp_path, histogram_freq=-1)
    assert list(tmp_path.iterdir()) == []
