"""Sequences: a sum that has to be remembered for a hundred steps, and text that is written one character at a time."""

import this  # the Zen of Python, which this module holds in a code of its own

import numpy as np

import fastnn
from fastnn import GRU, LSTM, Dense, Embedding, Input, SimpleRNN

# --- The adding problem: numbers come with a mark, 0 or 1; wanted is the sum of the two numbers that are marked. ------
rng = np.random.default_rng(0)


def sequences(n, time=100):
    X = np.stack([rng.uniform(size=(n, time)), np.zeros((n, time))], axis=2).astype(np.float32)
    lengths = rng.integers(time - 20, time + 1, n)  # what is behind a sequence's end counts for nothing
    for row, length in enumerate(lengths):
        X[row, [rng.integers(length // 2), rng.integers(length // 2, length)], 1] = 1
    return X, (X[..., 0] * X[..., 1]).sum(axis=1), lengths


X, y, lengths = sequences(2000)
X_test, y_test, lengths_test = sequences(500)
print(f"always saying the mean: mse {np.var(y_test):.4f}")
for cell in (SimpleRNN, GRU):
    network = fastnn.Network([Input((100, 2)), cell(32), Dense(1)], seed=0)
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.Adam(0.005, clipnorm=1.0))
    trainer.fit(X, y, lengths=lengths, epochs=12)
    score = trainer.evaluate(X_test, y_test, lengths=lengths_test)["loss"]
    print(f"{cell.__name__}: mse {score:.4f}")

# --- Text by characters: the class at every step is the next character. -----------------------------------------------
text = "".join(this.d.get(character, character) for character in this.s)
characters = sorted(set(text))
numbers = np.array([characters.index(character) for character in text], np.uint8)
windows = np.lib.stride_tricks.sliding_window_view(numbers, 33)
layers = [Input(32), Embedding(len(characters), 16), LSTM(64, return_sequences=True)]
network = fastnn.Network([*layers, Dense(len(characters), "softmax")], seed=0)
trainer = fastnn.Trainer(
    network, loss="categorical_crossentropy", optimizer=fastnn.Adam(0.01), metrics=["accuracy"]
)  # fmt: skip
logs = trainer.fit(windows[:, :-1], windows[:, 1:], epochs=20).history
print(f"next character: {logs['accuracy'][-1]:.3f} right")

stepper = network.stepper()  # one character at a time; the state stays in it
written = "Beautiful"
for character in written:
    probabilities = stepper([characters.index(character)])
for _ in range(60):
    best = int(probabilities.argmax())
    written += characters[best]
    probabilities = stepper([best])
print(written)
