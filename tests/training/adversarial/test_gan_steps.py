"""Steps of a GAN against NumPy and central differences."""

import numpy as np
import pytest
from gan_oracle import PHASES, generator_loss, joined, judge_loss, linear_end, noise, shares

import fastnn
from support import flat, rng

LOSSES = ("non_saturating", "least_squares", "wasserstein")
SEED = 7


def networks(n_noise=3, shape=(5,), n_classes=0, output="linear", layers=(), hidden="tanh"):
    """A generator and a discriminator in float64; images are seen by a convolution."""
    dense = fastnn.Dense
    n_sample = int(np.prod(shape))
    generator = [fastnn.Input(n_noise + n_classes), dense(6, hidden), *layers, dense(n_sample)]
    discriminator = [fastnn.Input((*shape[:-1], shape[-1] + n_classes))]
    if len(shape) > 1:
        generator.append(fastnn.Reshape(shape))
        discriminator += [fastnn.Conv2D(3, 2, activation=hidden), fastnn.Flatten()]
    discriminator += [dense(4, hidden), dense(1, output)]
    return (
        fastnn.Network(generator, dtype="float64", seed=1), fastnn.Network(discriminator, dtype="float64", seed=2),
    )  # fmt: skip


def gan_of(generator, discriminator, rate=1.0, **options):
    sgd = fastnn.SGD(rate)
    return fastnn.GAN(generator, discriminator, generator_optimizer=sgd, discriminator_optimizer=sgd, **options)


def one_step(gan, X, y=None, **options):
    """Do one step; return the gradients of both networks, and copies of them as they were before."""
    before = [fastnn.Network(network.layers, dtype="float64") for network in (gan.generator, gan.discriminator)]
    for copy, network in zip(before, (gan.generator, gan.discriminator), strict=True):
        copy.parameters, copy.state = network.parameters, network.state
    history = gan.fit(X, y=y, batch_size=None, seed=SEED, **options)
    changes = [copy.parameters - network.parameters
               for copy, network in zip(before, (gan.generator, gan.discriminator), strict=True)]  # fmt: skip
    return changes, before, {name: column[-1] for name, column in history.history.items()}


def check_step(gan, X, y=None, smoothing=0.0, n_threads=1):
    conditions = None if y is None else np.eye(gan.n_conditions)[y]
    changes, (generator, discriminator), logs = one_step(gan, X, y, n_threads=n_threads)
    shape = X.shape[1:]
    z = noise(len(X), gan.n_noise, SEED, 0, PHASES["shown"])
    inputs = z if conditions is None else np.hstack([z, conditions])
    made = joined(generator.predict(inputs).reshape(X.shape), conditions)
    value, gradient = judge_loss(gan.loss, linear_end(discriminator), joined(X, conditions), made, smoothing)
    np.testing.assert_allclose(logs["discriminator_loss"], value, rtol=1e-10)
    np.testing.assert_allclose(changes[1], gradient, rtol=1e-8, atol=1e-10)
    # The discriminator that judges the generator has learnt already.
    z = noise(len(X), gan.n_noise, SEED, 1, PHASES["made"])
    value, gradient = generator_loss(gan.loss, generator, linear_end(gan.discriminator), z, conditions, shape)
    np.testing.assert_allclose(logs["generator_loss"], value, rtol=1e-10)
    np.testing.assert_allclose(changes[0], gradient, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("n", [1, 40, 300])
def test_a_step_is_the_oracle_s(loss, n):
    check_step(gan_of(*networks(), loss=loss), rng().normal(size=(n, 5)))


@pytest.mark.parametrize("output", ["linear", "sigmoid"])
def test_sigmoid_and_logits_are_one_loss_and_smoothing_is_one_sided(output):
    gan = gan_of(*networks(output=output), label_smoothing=0.1)
    check_step(gan, rng().normal(size=(50, 5)), smoothing=0.1)


@pytest.mark.parametrize("shape", [(5,), (4, 4, 2)])
def test_conditions_stand_behind_the_channels_of_every_position(shape):
    gan = gan_of(*networks(shape=shape, n_classes=3))
    check_step(gan, rng().normal(size=(70, *shape)), y=rng(1).integers(3, size=70))


def test_conditions_may_be_rows_of_numbers():
    y = rng(1).integers(3, size=40)
    X = rng().normal(size=(40, 5))
    changes = [one_step(gan_of(*networks(n_classes=3)), X, given)[0] for given in (y, np.eye(3)[y])]
    np.testing.assert_array_equal(flat(changes[0]), flat(changes[1]))


def test_threads_change_a_step_by_rounding_only():
    check_step(gan_of(*networks(n_classes=2)), rng().normal(size=(150, 5)), y=rng(1).integers(2, size=150), n_threads=2)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_the_central_differences(loss):
    """From the losses that the history holds, so without any formula of the test."""
    X = rng().normal(size=(20, 5))
    changes, before, _ = one_step(gan_of(*networks(), loss=loss), X)

    def losses_at(which, i, step):
        pair = networks()
        for network, start in zip(pair, before, strict=True):
            network.parameters = start.parameters
        pair[which].parameters[i] += step
        # Steps too small to matter: the history's losses are those before any update.
        return one_step(gan_of(*pair, rate=1e-300, loss=loss), X)[2]

    own = ("generator_loss", "discriminator_loss")
    after = [network.parameters.copy() for network in before]
    after[1] = before[1].parameters - changes[1]
    for which in (1, 0):
        if which == 0:  # judged by the discriminator after its step
            before[1].parameters = after[1]
        for i in range(0, before[which].n_parameters, 5):
            high, low = (losses_at(which, i, step)[own[which]] for step in (1e-5, -1e-5))
            np.testing.assert_allclose(changes[which][i], (high - low) / 2e-5, rtol=1e-5, atol=1e-8)


def test_several_steps_of_the_discriminator_for_one_of_the_generator():
    X = rng().normal(size=(90, 5))
    gan = gan_of(*networks(), rate=0.1, discriminator_steps=3)
    gan.fit(X, batch_size=10, seed=SEED)
    assert gan.step == 3
    assert gan.state_dict()["discriminator"]["step"] == 9
    # Counting goes on over epochs: four batches each.
    gan = gan_of(*networks(), rate=0.1, discriminator_steps=3)
    gan.fit(X[:40], batch_size=10, epochs=3, seed=SEED)
    assert gan.step == 4


@pytest.mark.parametrize("n_threads", [1, 2])
def test_batch_normalization_has_statistics_of_real_and_of_made_samples(n_threads):
    """In the discriminator each half is a batch of its own, as usual; in the generator the batch is what it makes."""
    X = rng().normal(size=(80, 5))
    dense, normal = fastnn.Dense, fastnn.BatchNormalization
    generator = [fastnn.Input(3), dense(6), normal(), fastnn.Activation("tanh"), dense(5)]
    discriminator = [fastnn.Input(5), dense(4), normal(), fastnn.Activation("tanh"), dense(1)]
    pair = [fastnn.Network(layers, dtype="float64", seed=i) for i, layers in enumerate((generator, discriminator))]
    changes, before, logs = one_step(gan_of(*pair), X, n_threads=n_threads)

    def forward(network, x):
        """In training mode, in NumPy."""
        W, b, gamma, beta, V, c = network.get_weights()
        z = x @ W + b
        z = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-3)
        return np.tanh(z * gamma + beta) @ V + c

    def judge(discriminator):
        made = forward(before[0], noise(80, 3, SEED, 0, PHASES["shown"]))
        real, made = forward(discriminator, X), forward(discriminator, made)
        return 0.5 * (np.logaddexp(0, -real).mean() + np.logaddexp(0, made).mean())

    def generate(generator):
        made = forward(generator, noise(80, 3, SEED, 1, PHASES["made"]))
        return np.logaddexp(0, -forward(pair[1], made)).mean()

    for which, loss, name in ((1, judge, "discriminator_loss"), (0, generate, "generator_loss")):
        network = before[which]
        np.testing.assert_allclose(logs[name], loss(network), rtol=1e-10)
        for i in range(0, network.n_parameters, 3):
            here = network.parameters[i]
            values = []
            for there in (here + 1e-6, here - 1e-6):
                network.parameters[i] = there
                values.append(loss(network))
            network.parameters[i] = here
            np.testing.assert_allclose(changes[which][i], (values[0] - values[1]) / 2e-6, rtol=1e-5, atol=1e-8)


def test_dropout_is_drawn_anew_for_each_purpose():
    """The discriminator has other masks as it learns and as the generator does."""
    generator, _ = networks()
    discriminator = fastnn.Network(
        [fastnn.Input(5), fastnn.Dropout(0.5), fastnn.Dense(1)], dtype="float64", seed=2
    )  # fmt: skip
    gan = gan_of(generator, discriminator)
    changes, _, _ = one_step(gan, np.ones((64, 5)))
    assert np.isfinite(flat(changes)).all()
    first, again = (one_step(gan_of(*networks()), np.ones((64, 5)))[0] for _ in range(2))
    np.testing.assert_array_equal(flat(first), flat(again))


def test_optimizers_clip_and_penalties_count():
    X = rng().normal(size=(40, 5))
    generator, _ = networks()
    discriminator = fastnn.Network(
        [fastnn.Input(5), fastnn.Dense(4, "tanh", kernel_regularizer=fastnn.L2(0.1)), fastnn.Dense(1)],
        dtype="float64", seed=2,
    )  # fmt: skip
    kernel = discriminator.get_weights()[0].copy()
    z = noise(40, 3, SEED, 0, PHASES["shown"])
    value, gradient = judge_loss("non_saturating", discriminator, X, generator.predict(z))
    gradient[: kernel.size] += 0.2 * kernel.ravel()
    clipped = fastnn.SGD(1.0, global_clipnorm=0.01)
    gan = fastnn.GAN(
        generator, discriminator, discriminator_optimizer=clipped, generator_optimizer=fastnn.SGD(1.0, clipvalue=1e-3)
    )
    changes, _, logs = one_step(gan, X)
    np.testing.assert_allclose(logs["discriminator_loss"], value + 0.1 * (kernel**2).sum(), rtol=1e-10)
    np.testing.assert_allclose(changes[1], gradient * 0.01 / np.linalg.norm(gradient), rtol=1e-8, atol=1e-12)
    assert np.abs(changes[0]).max() == pytest.approx(1e-3)


# --- the gradient penalty ---------------------------------------------------------------------------------------------


def penalty_of(discriminator, real, made, share, factor, n_conditions):
    """The penalty from gradients by `vjp`, which are exact."""
    blends = real + share.reshape(-1, *(1,) * (real.ndim - 1)) * (made - real)
    g = discriminator.vjp(blends, np.ones((len(blends), 1)))[0].reshape(blends.shape)
    g = g[..., : g.shape[-1] - n_conditions].reshape(len(blends), -1)
    return factor * ((np.sqrt((g**2).sum(axis=1)) - 1.0) ** 2).mean()


@pytest.mark.parametrize(
    ("loss", "shape", "n_classes", "n", "n_threads"),
    [
        ("wasserstein", (5,), 0, 40, 1), ("wasserstein", (5,), 3, 130, 2), ("least_squares", (4, 4, 2), 2, 70, 1),
        ("non_saturating", (4, 4, 2), 0, 33, 1),
    ],
)  # fmt: skip
def test_the_gradient_penalty_is_exact(loss, shape, n_classes, n, n_threads):
    """Value and gradient by all parameters of the discriminator, against central differences in float64."""
    output = "sigmoid" if loss == "non_saturating" else "linear"
    generator, discriminator = networks(shape=shape, n_classes=n_classes, hidden="leaky_relu", output=output)
    for network in (generator, discriminator):
        network.parameters *= 1.5
        for bias in network.get_weights()[1::2]:
            bias[...] = rng(5).normal(size=bias.shape) * 0.3
    X = rng().normal(size=(n, *shape))
    y = None if not n_classes else rng(1).integers(n_classes, size=n)
    conditions = None if y is None else np.eye(n_classes)[y]
    results = []
    for penalty in (0.0, 2.0):
        pair = networks(shape=shape, n_classes=n_classes, hidden="leaky_relu", output=output)
        for network, start in zip(pair, (generator, discriminator), strict=True):
            network.parameters = start.parameters
        results.append(one_step(gan_of(*pair, loss=loss, gradient_penalty=penalty), X, y, n_threads=n_threads))
    (without, _, logs_without), (changes, _, logs) = results
    z = noise(n, 3, SEED, 0, PHASES["shown"])
    made = generator.predict(z if conditions is None else np.hstack([z, conditions])).reshape(X.shape)
    plain = linear_end(discriminator)
    share = shares(n, SEED, 0)
    arguments = joined(X, conditions), joined(made, conditions), share, 2.0, n_classes
    expected = penalty_of(plain, *arguments)
    assert expected > 0.01
    np.testing.assert_allclose(logs["discriminator_loss"] - logs_without["discriminator_loss"], expected, rtol=1e-9)
    found = changes[1] - without[1]
    for i in range(plain.n_parameters):
        here = plain.parameters[i]
        values = []
        for there in (here + 1e-7, here - 1e-7):
            plain.parameters[i] = there
            values.append(penalty_of(plain, *arguments))
        plain.parameters[i] = here
        np.testing.assert_allclose(found[i], (values[0] - values[1]) / 2e-7, rtol=1e-5, atol=1e-7)


def test_a_penalty_with_dropout_and_pooling_has_a_mask_for_both_of_its_passes():
    """One sample and four means: the penalty is that of one of the sixteen masks."""
    layers = [fastnn.Input((4, 4, 1)), fastnn.AveragePooling2D(2), fastnn.Flatten(), fastnn.Dropout(0.5)]
    generator = fastnn.Network([fastnn.Input(3), fastnn.Dense(16), fastnn.Reshape((4, 4, 1))], dtype="float64", seed=1)
    discriminator = fastnn.Network([*layers, fastnn.Dense(1)], dtype="float64", seed=2)
    w = discriminator.get_weights()[0][:, 0].copy()
    X = rng().normal(size=(1, 4, 4, 1))
    results = [
        one_step(gan_of(generator, discriminator, rate=1e-300, loss="wasserstein", gradient_penalty=penalty), X)[2]
        for penalty in (0.0, 1.0)
    ]
    found = results[1]["discriminator_loss"] - results[0]["discriminator_loss"]
    # Each of the four means has 4 pixels, a quarter each; what is kept counts twice.
    masks = np.array(list(np.ndindex(2, 2, 2, 2)))
    possible = (np.sqrt(((2.0 * masks * w) ** 2).sum(axis=1) / 4) - 1.0) ** 2
    assert np.abs(possible - found).min() < 1e-12


@pytest.mark.parametrize(
    "layers",
    [
        [fastnn.Dense(4, "tanh"), fastnn.Dense(1)],
        [fastnn.Dense(4), fastnn.BatchNormalization(), fastnn.Dense(1)],
        [fastnn.Dense(4), fastnn.GaussianNoise(0.1), fastnn.Dense(1)],
        [fastnn.Dense(4, "relu"), fastnn.Dense(1, "sigmoid")],
    ],
)
def test_a_penalty_that_would_not_be_exact_is_refused(layers):
    discriminator = fastnn.Network([fastnn.Input(5), *layers], dtype="float64", seed=2)
    loss = "least_squares"
    gan_of(networks()[0], discriminator, loss=loss)
    with pytest.raises(ValueError, match="gradient_penalty must be 0 for this discriminator, got 10"):
        gan_of(networks()[0], discriminator, loss=loss, gradient_penalty=10)
