"""`fastnn.GAN` as an object: what it promises beside right gradients."""

import pickle
import signal
import threading
import warnings

import numpy as np
import pytest

import fastnn
from fastnn.training.adversarial import loop
from support import flat, rng


def ring(n=256, seed=0):
    angle = rng(seed).uniform(0, 2 * np.pi, n)
    return np.column_stack([np.cos(angle), np.sin(angle)])


def make(n_classes=0, n_noise=4, output="sigmoid", seed=0, **options):
    generator = fastnn.Network.mlp(n_noise + n_classes, [16], 2, seed=seed)
    discriminator = fastnn.Network.mlp(2 + n_classes, [16], 1, activation="tanh", output=output, seed=seed + 1)
    return fastnn.GAN(generator, discriminator, **options)


def weights(gan):
    return flat([gan.generator.parameters, gan.discriminator.parameters])


ADAM = fastnn.Adam(0.01, beta_1=0.5)
QUICK = {"generator_optimizer": ADAM, "discriminator_optimizer": ADAM}


# --- what it is for --------------------------------------------------------------------------------------------------


def test_it_learns_a_distribution_and_each_class_of_it():
    X = np.vstack([rng(0).normal(size=(300, 2)) * 0.1 + [1, 0], rng(1).normal(size=(300, 2)) * 0.1 - [1, 0]])
    gan = make(n_classes=2, **QUICK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = gan.fit(X, y=np.repeat([0, 1], 300), epochs=150, batch_size=64, seed=0)
    for label, centre in ((0, 1.0), (1, -1.0)):
        samples = gan.generate(200, y=label, seed=0)
        assert np.abs(samples.mean(axis=0) - [centre, 0.0]).max() < 0.25
    assert set(history.history) == set(gan.log_names)
    assert len(history.epoch) == 150


def test_a_wasserstein_critic_with_a_penalty_learns_a_ring():
    generator = fastnn.Network.mlp(4, [16, 16], 2, seed=0)
    discriminator = fastnn.Network.mlp(2, [16, 16], 1, activation="leaky_relu", seed=1)
    gan = fastnn.GAN(generator, discriminator, loss="wasserstein", gradient_penalty=1.0, discriminator_steps=3, **QUICK)
    gan.fit(ring(1024), epochs=100, batch_size=128, seed=0)
    radius = np.linalg.norm(gan.generate(500, seed=0), axis=1)
    assert abs(np.median(radius) - 1.0) < 0.15
    assert gan.history.history["diversity"][-1] > 0.7
    assert "real_accuracy" not in gan.history.history


@pytest.mark.parametrize("noise", ["normal", "uniform"])
def test_noise_has_the_distribution_that_it_is_called_by(noise, monkeypatch):
    """Of `generate`, and of the kernel: a generator that passes its noise on."""
    monkeypatch.setattr(loop, "_N_PROBES", 1 << 15)
    generator = fastnn.Network([fastnn.Input(2), fastnn.Dense(2)], seed=0)
    generator.set_weights([np.eye(2), np.zeros(2)])
    gan = fastnn.GAN(
        generator, fastnn.Network.mlp(2, [4], 1, seed=1), noise=noise, generator_optimizer=fastnn.SGD(1e-30)
    )
    deviation = 1.0 if noise == "normal" else 3**-0.5
    samples = gan.generate(4000, seed=0)
    assert samples.std(axis=0) == pytest.approx(deviation, rel=0.05)
    assert np.abs(samples.mean(axis=0)).max() < 0.05
    X = rng().uniform(-1.0, 1.0, size=(2000, 2))
    history = gan.fit(X, epochs=2, batch_size=500)
    of_some = X[::2].var(axis=0).sum()  # what real samples are compared by
    assert history.history["diversity"][-1] == pytest.approx(2 * deviation**2 / of_some, rel=0.03)


# --- reproducible ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2])
def test_the_same_seed_gives_the_same_bits(n_threads):
    one, other, third = (make(**QUICK) for _ in range(3))
    for gan, seed in ((one, 3), (other, 3), (third, 4)):
        gan.fit(ring(), epochs=3, batch_size=100, seed=seed, n_threads=n_threads)
    np.testing.assert_array_equal(weights(one), weights(other))
    assert (weights(one) != weights(third)).any()
    np.testing.assert_array_equal(one.generate(5, seed=1), other.generate(5, seed=1))
    assert (one.generate(5) != one.generate(5)).any()


def test_numpy_s_global_random_state_is_untouched():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    make().fit(ring(), seed=0)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_rows_of_any_kind_of_memory_give_the_same_bits():
    X = (ring() > 0).astype(np.uint8)
    given = (X, X.astype(np.float32), np.asfortranarray(X.astype(float)), X[::-1][::-1])
    results = []
    for each in given:
        gan = make(**QUICK)
        gan.fit(each, epochs=2, seed=0)
        results.append(weights(gan))
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


# --- streams ---------------------------------------------------------------------------------------------------------


class Loader:
    """As PyTorch's DataLoader: it has a length, and begins anew each time."""

    def __init__(self, *blocks):
        self.blocks = blocks

    def __len__(self):
        return len(self.blocks)

    def __iter__(self):
        return iter(self.blocks)


def test_a_stream_of_one_block_has_the_bits_of_its_array():
    X, y = ring(100), np.arange(100) % 2
    whole, function, loader = (make(n_classes=2, **QUICK) for _ in range(3))
    history = whole.fit(X, y=y, epochs=3, seed=0).history
    assert function.fit(lambda: iter([(X, y)]), epochs=3, seed=0).history == history
    assert loader.fit(Loader([X, y]), epochs=3, seed=0).history == history
    for gan in (function, loader):
        np.testing.assert_array_equal(weights(gan), weights(whole))


def test_blocks_of_any_size_are_all_trained_on_and_cut_anywhere():
    sizes, seen = (40, 3, 70, 33), []
    X = ring(sum(sizes))
    blocks = np.split(X, np.cumsum(sizes)[:-1])
    hook = fastnn.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    whole, cut = make(**QUICK), make(**QUICK)
    history = whole.fit(Loader(*blocks), epochs=2, batch_size=16, seed=0, callbacks=[hook])
    assert seen == 2 * list(range(3 + 1 + 5 + 3)) and whole.step == 24
    assert np.isfinite(list(history.history.values())).all()
    for _ in range(2):
        cut.fit((block for block in blocks), batch_size=16, seed=0)  # a generator gives its blocks once
    np.testing.assert_array_equal(weights(cut), weights(whole))
    shares = np.array(history.history["real_accuracy"]) * sum(sizes)
    np.testing.assert_allclose(shares, np.round(shares))  # over the rows of all blocks


@pytest.mark.parametrize(
    ("X", "options", "message"),
    [
        (lambda: iter([]), {}, "X must give at least one block"),
        (iter([ring()]), {"epochs": 2}, "epochs must be 1 where X is an iterator"),
        (Loader(ring()), {"batch_size": None}, "batch_size must be an integer and y None where X gives blocks"),
        (Loader(ring()), {"y": [0]}, "batch_size must be an integer and y None where X gives blocks"),
        (Loader((ring(), [0])), {}, "block 0: y must be None: the networks take no condition"),
        (Loader(np.full((2, 2), np.nan)), {}, "block 0: X must be finite"),
    ],
)
def test_streams_are_checked_before_anything_changes(X, options, message):
    gan = make()
    before = weights(gan).copy()
    with pytest.raises(ValueError, match=message):
        gan.fit(X, **options)
    np.testing.assert_array_equal(weights(gan), before)


def test_a_later_block_that_is_wrong_is_named():
    gan = make()
    with pytest.raises(ValueError, match="block 1: X must have 2 features"):
        gan.fit(Loader(ring(64), np.ones((5, 3))))
    assert gan.step == 2 and gan.history.epoch == [] and not gan.is_training


# --- training that is cut in two -------------------------------------------------------------------------------------


def options(ema):
    adam = fastnn.Adam(fastnn.schedules.ExponentialDecay(0.01, 10, 0.9), use_ema=ema)
    return {"generator_optimizer": adam, "discriminator_optimizer": ADAM, "discriminator_steps": 3}


@pytest.mark.parametrize("ema", [False, True])
def test_a_gan_cut_in_two_equals_the_uncut_one(tmp_path, ema):
    X = ring(150)
    whole = make(**options(ema))
    whole.fit(X, epochs=5, seed=3)
    part = make(**options(ema))
    part.fit(X, epochs=2, seed=3)
    part.save(tmp_path / "gan.fastnn")
    again = fastnn.GAN.load(tmp_path / "gan.fastnn")
    history = again.fit(X, epochs=3)
    np.testing.assert_array_equal(weights(again), weights(whole))
    assert history.epoch == [0, 1, 2, 3, 4]
    assert history.history == whole.history.history
    assert (again.step, again.epochs_done, again.seed) == (whole.step, whole.epochs_done, whole.seed)
    np.testing.assert_array_equal(fastnn.Network.load(tmp_path / "gan.fastnn").parameters, part.generator.parameters)


def test_a_checkpoint_of_the_third_epoch_goes_on_from_there(tmp_path):
    checkpoint = fastnn.callbacks.ModelCheckpoint(tmp_path / "epoch-{epoch}.fastnn", save_trainer=True)
    gan = make(n_classes=2, loss="least_squares", label_smoothing=0.2, noise="uniform", **QUICK)
    X, y = ring(100), rng().integers(2, size=100)
    gan.fit(X, y=y, epochs=4, seed=1, callbacks=[checkpoint])
    again = fastnn.GAN.load(tmp_path / "epoch-3.fastnn")
    for name in ("loss", "label_smoothing", "noise", "discriminator_steps", "n_conditions"):
        assert getattr(again, name) == getattr(gan, name)
    again.fit(X, y=y)
    np.testing.assert_array_equal(weights(again), weights(gan))


def test_a_damaged_or_other_file_is_named(tmp_path):
    path = tmp_path / "network.fastnn"
    fastnn.Network.mlp(1, [], 1).save(path)
    with pytest.raises(fastnn.FileFormatError, match="holds no GAN but a 'network'"):
        fastnn.GAN.load(path)
    gan = make()
    gan.fit(ring(), epochs=1)
    gan._judge.moments[0] = np.nan
    with pytest.raises(ValueError, match="moments of the discriminator's optimizer must be finite"):
        gan.save(path)


def test_a_pickle_goes_on_as_well():
    gan, whole = make(**QUICK), make(**QUICK)
    gan.fit(ring(), epochs=1, seed=0)
    again = pickle.loads(pickle.dumps(gan))
    again.fit(ring(), epochs=1)
    whole.fit(ring(), epochs=2, seed=0)
    np.testing.assert_array_equal(weights(again), weights(whole))


def test_a_state_of_another_gan_changes_nothing():
    gan, other = make(**QUICK), make(n_noise=5, **QUICK)
    gan.fit(ring(), epochs=1)
    state = gan.state_dict()
    state["discriminator"]["moments"] = np.zeros((2, 3))
    before = other.state_dict()
    for wrong in (state, {}, {"generator": {}}):
        with pytest.raises(ValueError, match="state"):
            other.load_state_dict(wrong)
    assert other.step == before["generator"]["step"] == 0
    matching = make(**QUICK)
    with pytest.raises(ValueError, match="moments"):
        matching.load_state_dict(state)
    assert matching.step == 0
    assert not matching._maker.moments.any()


def test_the_generator_holds_the_average_of_its_parameters():
    """0.5 of the last average and 0.5 of the parameters, which go on as they would without."""
    average = fastnn.SGD(0.1, use_ema=True, ema_momentum=0.5)
    gan = make(generator_optimizer=average, discriminator_optimizer=fastnn.SGD(0.1))
    plain = make(generator_optimizer=fastnn.SGD(0.1), discriminator_optimizer=fastnn.SGD(0.1))
    expected = None
    for _ in range(3):
        gan.fit(ring(32), batch_size=None, seed=0)
        plain.fit(ring(32), batch_size=None, seed=0)
        now = plain.generator.parameters.copy()
        expected = now if expected is None else 0.5 * expected + 0.5 * now
        np.testing.assert_allclose(gan.generator.parameters, expected, rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(gan.discriminator.parameters, plain.discriminator.parameters)


# --- callbacks, and ends of all kinds --------------------------------------------------------------------------------


def test_callbacks_see_the_generator_and_may_stop_and_change_rates():
    seen = []

    class Watcher(fastnn.Callback):
        def on_epoch_end(self, epoch, logs):
            seen.append((epoch, sorted(logs)))
            logs["extra"] = 1.0
            assert self.trainer.network is gan.generator
            self.trainer.learning_rate = 0.5 * self.trainer.learning_rate
            if epoch == 2:
                self.trainer.stop("enough")

    gan = make(generator_optimizer=fastnn.Adam(0.01), discriminator_optimizer=fastnn.Adam(0.04))
    history = gan.fit(ring(), epochs=9, callbacks=[Watcher()])
    assert history.stop_reason == "enough"
    assert [epoch for epoch, _ in seen] == [0, 1, 2]
    assert seen[0][1] == sorted(gan.log_names)
    assert history.history["extra"] == [1.0, 1.0, 1.0]
    assert history.learning_rate == [0.01, 0.005, 0.0025]
    assert gan.learning_rate == pytest.approx(0.00125)
    assert gan._judge.learning_rate == pytest.approx(0.005)
    gan.learning_rate = None
    assert (gan.learning_rate, gan._judge.learning_rate) == (0.01, 0.04)


def test_batch_hooks_change_no_bit():
    steps = []
    hook = fastnn.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append((batch, len(logs))))
    one, other = make(**QUICK), make(**QUICK)
    one.fit(ring(100), epochs=2, seed=0, callbacks=[hook])
    other.fit(ring(100), epochs=2, seed=0)
    assert [batch for batch, _ in steps] == [0, 1, 2, 3] * 2
    np.testing.assert_array_equal(weights(one), weights(other))


def test_control_c_keeps_the_last_step_and_the_history():
    class Interrupt(fastnn.Callback):
        def on_epoch_end(self, epoch, logs):
            if epoch == 1:
                signal.raise_signal(signal.SIGINT)

    gan, other = make(**QUICK), make(**QUICK)
    with pytest.warns(UserWarning, match="interrupted"):
        history = gan.fit(ring(), epochs=50, seed=0, callbacks=[Interrupt()])
    assert history.stop_reason == "interrupted"
    assert history.epoch == [0, 1]
    other.fit(ring(), epochs=2, seed=0)
    np.testing.assert_array_equal(weights(gan), weights(other))
    for each in (gan, other):  # and goes on
        each.fit(ring(), epochs=1)
    np.testing.assert_array_equal(weights(gan), weights(other))


@pytest.mark.parametrize("which", ["generator", "discriminator"])
def test_divergence_goes_back_to_the_last_good_epoch(which):
    gan = make(output="linear", loss="least_squares", **QUICK)
    gan.fit(ring(), epochs=2, seed=0)
    before = weights(gan)
    worse = make(output="linear", loss="least_squares", **{**QUICK, f"{which}_optimizer": fastnn.SGD(1e39)})
    worse.generator.parameters, worse.discriminator.parameters = gan.generator.parameters, gan.discriminator.parameters
    with pytest.raises(FloatingPointError, match=r"divergence: the .* stopped being finite in epoch 0"):
        worse.fit(ring(), epochs=5, seed=0)
    np.testing.assert_array_equal(weights(worse), before)
    assert worse.history.epoch == []
    assert worse.history.stop_reason.startswith("divergence")
    told = []
    quiet = fastnn.callbacks.LambdaCallback()
    quiet.on_divergence = lambda epoch, message: told.append(message) or True
    worse.fit(ring(), epochs=5, seed=0, callbacks=[quiet])
    assert "divergence" in told[0]


def test_a_discriminator_that_is_always_right_is_named():
    gan = make(generator_optimizer=fastnn.SGD(1e-30), discriminator_optimizer=ADAM)
    gan.generator.parameters[:] = 0.0
    with pytest.warns(UserWarning) as caught:
        history = gan.fit(ring() + 5.0, epochs=60)
    names = sorted(str(warning.message).partition(":")[0] for warning in caught)
    assert names == ["collapse", "discriminator always right"]
    assert history.history["diversity"][-1] == 0.0
    assert "label_smoothing" in str(caught[0].message) + str(caught[1].message)
    assert caught[0].filename == __file__


def test_a_second_fit_at_once_is_refused():
    gan = make()
    errors = []

    class Nested(fastnn.Callback):
        def on_epoch_end(self, epoch, logs):
            for act in (lambda: gan.fit(ring()), lambda: gan.load_state_dict(gan.state_dict()),
                        lambda: setattr(gan, "history", fastnn.History())):  # fmt: skip
                try:
                    act()
                except RuntimeError as error:
                    errors.append(str(error))

            def train_other():
                try:
                    fastnn.GAN(gan.generator, fastnn.Network.mlp(2, [], 1)).fit(ring())
                except RuntimeError as error:
                    errors.append(str(error))

            thread = threading.Thread(target=train_other)
            thread.start()
            thread.join()

    gan.fit(ring(), callbacks=[Nested()])
    assert len(errors) == 4
    assert "another thread trains one of these networks" in errors[-1]
    gan.fit(ring())


def test_attributes_refuse_and_callbacks_name_what_there_is():
    gan = make()
    for name in ("optimizer", "generator_optimizer", "discriminator", "loss", "n_noise"):
        with pytest.raises(AttributeError, match=f"GAN.{name} cannot be assigned: make a new GAN"):
            setattr(gan, name, "sgd")
    with pytest.raises(ValueError, match=r"'diversity', got 'val_loss'$"):  # there is no validation to be asked for
        gan.fit(ring(), callbacks=[fastnn.callbacks.EarlyStopping("val_loss")])


# --- clear errors ----------------------------------------------------------------------------------------------------

mlp = fastnn.Network.mlp


def sequence_judge(shape, layer):
    return fastnn.Network([fastnn.Input(shape), layer, fastnn.Flatten(), fastnn.Dense(1)])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("generator", mlp(2, [], 1)), "generator must be a fastnn.Network, got 'generator'"),
        ((mlp(4, [], 2, dtype="float64"), mlp(2, [], 1)), "must have the same dtype"),
        ((mlp(4, [], 2), mlp(2, [], 3)), "discriminator must have one output, got 3"),
        ((mlp(4, [], 2), mlp(2, [], 1, output="tanh")), "must end in activation 'linear' or 'sigmoid'"),
        ((mlp(4, [], 3), mlp(2, [], 1)), "discriminator must take what the generator makes, 3 numbers"),
        ((mlp(4, [], 2), mlp(9, [], 1)), "generator must take noise and the 7 numbers of a condition"),
        ((fastnn.Network([fastnn.Input(2), fastnn.Activation("relu")]), mlp(2, [], 1)), "generator must have a layer"),
        # Made samples are no integers: as numbers of rows they would be read from anywhere.
        (
            (mlp(4, [], 5), sequence_judge(5, fastnn.Embedding(9, 4))),
            "discriminator must have no stateful layer, .*Embed",
        ),
        ((sequence_judge(5, fastnn.Embedding(9, 1)), mlp(1, [], 1)), "generator must have no stateful layer"),
        (
            (mlp(4, [], 10), sequence_judge((5, 2), fastnn.LSTM(4, stateful=True))),
            "discriminator must have no stateful",
        ),
    ],
)
def test_networks_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fastnn.GAN(*arguments)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "wgan"}, "did you mean 'wasserstein'"),
        ({"loss": "wasserstein"}, "must end in activation 'linear' for loss 'wasserstein', got 'sigmoid'"),
        ({"noise": "gaussian"}, "did you mean 'normal'"),
        ({"discriminator_steps": 0}, "discriminator_steps must be an integer >= 1"),
        ({"label_smoothing": 1.0}, "label_smoothing must be a number in"),
        ({"gradient_penalty": -1.0}, "gradient_penalty must be a number in"),
        ({"generator_optimizer": "adamm"}, "adam"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)
    with pytest.raises(ValueError, match="label_smoothing must be 0 for loss 'wasserstein'"):
        make(output="linear", loss="wasserstein", label_smoothing=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": np.ones((5, 3))}, "X must have 2 features"),
        ({"X": np.full((5, 2), np.nan)}, "X must be finite"),
        ({"X": np.empty((0, 2))}, "at least one sample"),
        ({"y": np.zeros(5, int)}, "y must be None: the networks take no condition"),
        ({"epochs": 0}, "epochs must be an integer >= 1"),
        ({"batch_size": 0}, "batch_size must be"),
        ({"callbacks": [1]}, "callbacks"),
        ({"seed": -1}, "seed must be"),
        ({"n_threads": 0}, "n_threads must be"),
    ],
)
def test_bad_arguments_of_fit_change_nothing(arguments, message):
    gan = make()
    before = weights(gan).copy()
    with pytest.raises((ValueError, TypeError), match=message):
        gan.fit(**{"X": ring(), **arguments})
    np.testing.assert_array_equal(weights(gan), before)
    assert gan.history.epoch == []


def test_conditions_are_checked_by_fit_and_generate():
    gan = make(n_classes=3)
    for y, message in (
        (None, "y must be given"), (np.full(256, 3), "class numbers from 0 to 2"), ([0], "as many samples"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            gan.fit(ring(), y=y)
    with pytest.raises(ValueError, match="y must be given"):
        gan.generate(3)
    with pytest.raises(ValueError, match="class numbers from 0 to 2"):
        gan.generate(3, y=3)
    with pytest.raises(ValueError, match="n must be an integer >= 1"):
        gan.generate(0, y=1)
    for y in (1, [1, 1], np.eye(3)[[1, 1]]):
        np.testing.assert_array_equal(gan.generate(2, y=y, seed=0), gan.generate(2, y=1, seed=0))


def test_samples_outside_the_generator_s_range_are_refused():
    generator = fastnn.Network.mlp(4, [16], 2, output="sigmoid", seed=0)
    gan = fastnn.GAN(generator, fastnn.Network.mlp(2, [16], 1, seed=1))
    with pytest.raises(ValueError, match=r"X must lie in \[0, 1\].*sigmoid.*got 16"):
        gan.fit(np.full((5, 2), 16.0))


def test_batches_of_one_are_refused_where_a_variance_is_needed():
    layers = [fastnn.Input(4), fastnn.Dense(8), fastnn.BatchNormalization(), fastnn.Dense(2)]
    gan = fastnn.GAN(fastnn.Network(layers, seed=0), fastnn.Network.mlp(2, [16], 1, seed=1))
    with pytest.raises(ValueError, match="last batch with one sample"):
        gan.fit(ring(33), batch_size=32)


def test_attributes_refuse_with_a_sentence():
    gan = make()
    for name in ("generator", "loss", "generator_optimizer", "step", "log_names"):
        with pytest.raises(AttributeError, match=f"GAN.{name} cannot be assigned"):
            setattr(gan, name, None)
    with pytest.raises(AttributeError, match="no attribute 'epoch'"):
        gan.epoch = 3
    with pytest.raises(TypeError, match="cannot be evaluated"):
        gan.evaluate(ring(), None)
    gan.seed = 5
    assert gan.seed == 5
