"""Handwritten digits out of noise, and how good they are.

Two generative adversarial networks learn from 1,347 images of 8 x 8 pixels: the first is told which digit each image
is, and makes the digit that it is asked for; the second sees images alone. A classifier that was trained on real digits
judges both, and the Frechet distance between what it makes of real and of made ones says how alike they are as a crowd:
the distance that two halves of the real digits have is as good as it gets. The pictures go to gan_digits.png.
"""

import time

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastnn
from fastnn.plotting import plot_samples

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, random_state=0, stratify=y)

# --- a judge, trained on real digits ---------------------------------------------------------------------------------

judge = fastnn.Network.mlp(64, [128, 32], 10, output="softmax", dropout=0.2, seed=0)
fastnn.Trainer(judge, loss="categorical_crossentropy").fit(X_train, y_train, epochs=60, n_threads=1)
accuracy = (judge.predict(X_test).argmax(axis=1) == y_test).mean()
print(f"the judge knows {accuracy:.1%} of held-out digits")

last_hidden = fastnn.Network(judge.layers[:-1])
last_hidden.set_weights(judge.get_weights()[:-2])


def frechet_distance(some, others):
    """Between normal distributions with the means and covariances of both crowds in the judge's last hidden layer."""
    means, roots, covariances = [], [], []
    for images in (some, others):
        features = last_hidden.predict(images).astype(float)
        covariance = np.cov(features.T)
        values, vectors = np.linalg.eigh(covariance)
        means.append(features.mean(axis=0))
        covariances.append(covariance)
        roots.append(vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T)
    common = np.linalg.svd(roots[0] @ roots[1], compute_uv=False).sum()  # the trace of (S T)^(1/2)
    return ((means[0] - means[1]) ** 2).sum() + sum(map(np.trace, covariances)) - 2 * common


# --- two generators --------------------------------------------------------------------------------------------------


def make_gan(n_classes):
    dense, leaky = fastnn.Dense, fastnn.activations.LeakyReLU(0.2)
    generator = [fastnn.Input(32 + n_classes)]  # 32 random numbers, and which digit
    for _ in range(2):
        generator += [dense(128), fastnn.BatchNormalization(), fastnn.Activation("relu")]
    discriminator = [fastnn.Input(64 + n_classes)]
    for _ in range(2):
        discriminator += [dense(128, leaky), fastnn.Dropout(0.3)]
    return fastnn.GAN(
        fastnn.Network([*generator, dense(64, "sigmoid")], seed=0),
        fastnn.Network([*discriminator, dense(1, "sigmoid")], seed=1),
        generator_optimizer=fastnn.Adam(0.001, beta_1=0.5, use_ema=True, ema_momentum=0.995),
        discriminator_optimizer=fastnn.Adam(0.001, beta_1=0.5),
    )


def train(gan, classes, epochs, callbacks=()):
    gan.fit(X_train, y=classes, batch_size=64, n_threads=1, callbacks=callbacks)  # the first loads compiled kernels
    started = time.perf_counter()
    gan.fit(X_train, y=classes, epochs=epochs - 1, batch_size=64, n_threads=1, callbacks=callbacks)
    return time.perf_counter() - started


half = np.random.default_rng(0).permutation(len(X))
print(f"Frechet distance of two halves of the real digits: {frechet_distance(X[half[::2]], X[half[1::2]]):.2f}")

digits = np.arange(10)
by_class = fastnn.callbacks.SampleRecorder(n=10, y=digits, every=50)
gan = make_gan(n_classes=10)
seconds = train(gan, y_train, epochs=200, callbacks=[by_class])
wanted = np.repeat(digits, 100)
samples = gan.generate(len(wanted), y=wanted, seed=1)
recognised = (judge.predict(samples).argmax(axis=1) == wanted).mean()
print(
    f"with classes:    trained in {seconds:.1f} s; {recognised:.1%} recognised as the digit asked for; "
    f"Frechet distance to held-out digits {frechet_distance(samples, X_test):.2f}"
)

free = make_gan(n_classes=0)
seconds = train(free, None, epochs=200)
made = free.generate(1000, seed=1)
counts = np.bincount(judge.predict(made).argmax(axis=1), minlength=10)
print(
    f"without classes: trained in {seconds:.1f} s; of 1000 samples {', '.join(map(str, counts))} are "
    f"0, 1, ..., 9; Frechet distance to held-out digits {frechet_distance(made, X_test):.2f}"
)

# --- pictures --------------------------------------------------------------------------------------------------------

from matplotlib.figure import Figure  # noqa: E402 - the rest does without

figure = Figure(figsize=(6.5, 9), layout="constrained")
top, middle, bottom = figure.subplots(3, gridspec_kw={"height_ratios": [5, 6, 4]})
plot_samples(by_class.samples, rows=by_class.epochs, ax=top)
top.set_title("the same noise, digits 0 to 9, over epochs", fontsize=10)
plot_samples(gan.generate(60, y=np.tile(digits, 6), seed=2).reshape(6, 10, 64), rows=[""] * 6, ax=middle)
middle.set_title("samples of each digit", fontsize=10)
plot_samples(free.generate(40, seed=2).reshape(4, 10, 64), rows=[""] * 4, ax=bottom)
bottom.set_title("made without classes", fontsize=10)
figure.savefig("gan_digits.png", dpi=120)
