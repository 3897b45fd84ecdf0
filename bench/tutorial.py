"""The program of a first tutorial, twice: its plain NumPy listing in float64, and the same in fastnn.

Handwritten digits, one hidden layer of 64 sigmoid units, softmax outputs, 1,000 epochs of full-batch gradient descent
over 1,437 rows, and the loss on the 360 test rows after every epoch. The listing is written to be read, not to be fast;
numpy_baseline.py is the one written to be fast.
"""

import time

import numpy as np

from bench.workloads import digits, initial_weights

EPOCHS, LEARNING_RATE = 1000, 0.5


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def cross_entropy(p, y):
    return -np.log(p[np.arange(len(y)), y]).mean()


def numpy_listing(X, y, X_test, y_test, weights, epochs=EPOCHS):
    W1, b1, W2, b2 = (w.copy() for w in weights)
    Y = np.eye(10)[y]
    losses, test_losses = [], []
    for _ in range(epochs):
        # forward
        a1 = sigmoid(X @ W1 + b1)
        p = softmax(a1 @ W2 + b2)
        losses.append(cross_entropy(p, y))
        # backward
        delta2 = (p - Y) / len(X)
        delta1 = delta2 @ W2.T * a1 * (1 - a1)
        W2 -= LEARNING_RATE * a1.T @ delta2
        b2 -= LEARNING_RATE * delta2.sum(axis=0)
        W1 -= LEARNING_RATE * X.T @ delta1
        b1 -= LEARNING_RATE * delta1.sum(axis=0)
        # test
        test_losses.append(cross_entropy(softmax(sigmoid(X_test @ W1 + b1) @ W2 + b2), y_test))
    return test_losses[-1]


def fastnn_program(X, y, X_test, y_test, weights, epochs=EPOCHS, threads=1):
    import fastnn

    network = fastnn.Network.mlp(64, [64], 10, activation="sigmoid", output="softmax")
    network.set_weights(weights)
    trainer = fastnn.Trainer(
        network, loss="categorical_crossentropy", optimizer=fastnn.optimizers.SGD(learning_rate=LEARNING_RATE)
    )
    history = trainer.fit(X, y, epochs=epochs, batch_size=None, validation_data=(X_test, y_test), n_threads=threads)
    return history.history["val_loss"][-1]


def suite(workload, peer, settings):
    """Seconds for the whole program, data loaded and weights drawn."""
    X, X_test, y, y_test = digits()
    weights = initial_weights(workload)
    if peer == "fastnn":
        kw = {"threads": settings.threads}
        program = fastnn_program
    else:
        weights = [w.astype(np.float64) for w in weights]
        kw, program = {}, numpy_listing
    program(X, y, X_test, y_test, weights, epochs=2, **kw)
    extra = {}

    def action():
        start = time.perf_counter()
        extra["test_loss"] = float(program(X, y, X_test, y_test, weights, **kw))
        return time.perf_counter() - start

    return action, extra
