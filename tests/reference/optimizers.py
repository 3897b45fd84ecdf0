"""Optimizers: one update rule a class, .step(w, g) -> new w. Argument names and defaults are Keras's.

t counts the steps from 1, as in the papers. States start at 0 unless the class says otherwise. A learning rate given
to step() (by a schedule) stands in for the optimizer's own in that step.
"""

from dataclasses import dataclass

import numpy as np


class Optimizer:
    t = 0

    def step(self, w, g, learning_rate=None):
        w, g = np.asarray(w, dtype=float), np.asarray(g, dtype=float)
        if self.t == 0:
            self.start(w)
        self.t += 1
        return self.update(w, g, self.learning_rate if learning_rate is None else learning_rate)

    def start(self, w):
        pass


@dataclass
class SGD(Optimizer):
    """Momentum: Polyak, 1964, as in Sutskever et al., 2013, equations 1 and 2; Nesterov: their equations 3 and 4.

    Nesterov in the variables of Bengio et al., 2013, section 3.5: g is taken at w itself. The learning rate is inside
    the velocity, as in Keras and scikit-learn (in PyTorch it is outside: different once the rate changes).
    """

    learning_rate: float = 0.01
    momentum: float = 0.0
    nesterov: bool = False

    def start(self, w):
        self.v = np.zeros_like(w)

    def update(self, w, g, lr):
        self.v = self.momentum * self.v - lr * g
        if self.nesterov:
            return w + self.momentum * self.v - lr * g
        return w + self.v


@dataclass
class RMSprop(Optimizer):
    """Hinton, 2012, lecture 6e; centered: Graves, 2013, equations 38 to 41.

    epsilon outside the root, as in PyTorch (Graves and Keras: inside). The learning rate is inside the momentum, as
    in Keras (PyTorch: outside).
    """

    learning_rate: float = 0.001
    rho: float = 0.9
    momentum: float = 0.0
    epsilon: float = 1e-7
    centered: bool = False

    def start(self, w):
        self.v, self.mean, self.velocity = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)

    def update(self, w, g, lr):
        self.v = self.rho * self.v + (1 - self.rho) * g**2
        variance = self.v
        if self.centered:
            self.mean = self.rho * self.mean + (1 - self.rho) * g
            variance = np.maximum(self.v - self.mean**2, 0)  # never negative but for rounding
        self.velocity = self.momentum * self.velocity + lr * g / (np.sqrt(variance) + self.epsilon)
        return w - self.velocity


@dataclass
class Adagrad(Optimizer):
    """Duchi, Hazan and Singer, 2011, figure 1, diagonal form. epsilon (there: delta) outside the root (Keras: inside).

    The accumulator starts at Keras's 0.1 (paper and PyTorch: 0).
    """

    learning_rate: float = 0.001
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7

    def start(self, w):
        self.accumulator = np.full_like(w, self.initial_accumulator_value)

    def update(self, w, g, lr):
        self.accumulator = self.accumulator + g**2
        return w - lr * g / (np.sqrt(self.accumulator) + self.epsilon)


@dataclass
class Adadelta(Optimizer):
    """Zeiler, 2012, algorithm 1, with RMS[x] = sqrt(E[x^2] + epsilon), equation 9. The paper's learning rate is 1."""

    learning_rate: float = 0.001
    rho: float = 0.95
    epsilon: float = 1e-7

    def start(self, w):
        self.mean_g2, self.mean_dx2 = np.zeros_like(w), np.zeros_like(w)

    def update(self, w, g, lr):
        self.mean_g2 = self.rho * self.mean_g2 + (1 - self.rho) * g**2
        dx = -np.sqrt(self.mean_dx2 + self.epsilon) / np.sqrt(self.mean_g2 + self.epsilon) * g
        self.mean_dx2 = self.rho * self.mean_dx2 + (1 - self.rho) * dx**2
        return w + lr * dx


@dataclass
class Adam(Optimizer):
    """Kingma and Ba, 2015, algorithm 1 (also PyTorch); Keras takes the form before section 2.1, whose epsilon differs.

    amsgrad: Reddi, Kale and Kumar, 2018, algorithm 2: the largest v so far. As in PyTorch and Keras it is the largest
    uncorrected v, divided by 1 - beta_2^t afterwards (the paper corrects nothing).
    epsilon_hat: the form before section 2.1, lr sqrt(1 - beta_2^t) / (1 - beta_1^t) m / (sqrt(v) + epsilon).
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    amsgrad: bool = False
    epsilon_hat: bool = False

    def start(self, w):
        self.m, self.v, self.v_max = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)

    def update(self, w, g, lr):
        self.m = self.beta_1 * self.m + (1 - self.beta_1) * g
        self.v = self.beta_2 * self.v + (1 - self.beta_2) * g**2
        self.v_max = np.maximum(self.v_max, self.v)
        if self.epsilon_hat:
            v = self.v_max if self.amsgrad else self.v
            rate = lr * np.sqrt(1 - self.beta_2**self.t) / (1 - self.beta_1**self.t)
            return w - rate * self.m / (np.sqrt(v) + self.epsilon)
        m_hat = self.m / (1 - self.beta_1**self.t)
        v_hat = (self.v_max if self.amsgrad else self.v) / (1 - self.beta_2**self.t)
        return w - lr * m_hat / (np.sqrt(v_hat) + self.epsilon)


@dataclass
class AdamW(Adam):
    """Loshchilov and Hutter, 2019, algorithm 2. The decay is multiplied by the learning rate, as in PyTorch and Keras.

    decay_mask (booleans, shape of w) says which weights decay; None: all of them.
    """

    weight_decay: float = 0.004
    decay_mask: np.ndarray | None = None

    def update(self, w, g, lr):
        return super().update(w, g, lr) - lr * decay(w, self.weight_decay, self.decay_mask)


@dataclass
class Adamax(Optimizer):
    """Kingma and Ba, 2015, algorithm 2. epsilon is added to u, as in Keras (PyTorch: to |g|; the paper has none)."""

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def start(self, w):
        self.m, self.u = np.zeros_like(w), np.zeros_like(w)

    def update(self, w, g, lr):
        self.m = self.beta_1 * self.m + (1 - self.beta_1) * g
        self.u = np.maximum(self.beta_2 * self.u, np.abs(g))
        return w - lr / (1 - self.beta_1**self.t) * self.m / (self.u + self.epsilon)


@dataclass
class Nadam(Optimizer):
    """Dozat, 2016, algorithm 2, with the momentum schedule of Keras 3: mu_t = beta_1 (1 - 0.96^t / 2).

    PyTorch and tf.keras of TensorFlow 2.0 warm up 250 times slower, with 0.96^(0.004 t): PyTorch's NAdam equals this
    class for momentum_decay=1.
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7

    def start(self, w):
        self.m, self.v = np.zeros_like(w), np.zeros_like(w)
        self.mu_product = 1.0

    def mu(self, t):
        return self.beta_1 * (1 - 0.5 * 0.96**t)

    def update(self, w, g, lr):
        self.m = self.beta_1 * self.m + (1 - self.beta_1) * g
        self.v = self.beta_2 * self.v + (1 - self.beta_2) * g**2
        mu_t, mu_next = self.mu(self.t), self.mu(self.t + 1)
        self.mu_product *= mu_t  # mu_1 mu_2 ... mu_t
        m_bar = mu_next * self.m / (1 - self.mu_product * mu_next) + (1 - mu_t) * g / (1 - self.mu_product)
        v_hat = self.v / (1 - self.beta_2**self.t)
        return w - lr * m_bar / (np.sqrt(v_hat) + self.epsilon)


@dataclass
class Lion(Optimizer):
    """Chen et al., 2023, algorithm 2: the sign of an average; the average that is kept has a rate of its own.

    sign(0) = 0. decay_mask as in AdamW.
    """

    learning_rate: float = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.99
    weight_decay: float = 0.0
    decay_mask: np.ndarray | None = None

    def start(self, w):
        self.m = np.zeros_like(w)

    def update(self, w, g, lr):
        c = self.beta_1 * self.m + (1 - self.beta_1) * g
        self.m = self.beta_2 * self.m + (1 - self.beta_2) * g
        return w - lr * (np.sign(c) + decay(w, self.weight_decay, self.decay_mask))


def decay(w, weight_decay, mask):
    return weight_decay * (w if mask is None else np.where(mask, w, 0.0))


OPTIMIZERS = {
    "sgd": SGD,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "adam": Adam,
    "adamw": AdamW,
    "adamax": Adamax,
    "nadam": Nadam,
    "lion": Lion,
}
