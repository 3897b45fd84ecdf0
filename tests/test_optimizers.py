"""Every optimizer against its oracle: one table of contracts, a hundred steps each in float64."""

import json

import numpy as np
import pytest

import fastnn
import reference as ref
from fastnn import optimizers
from support import flat, public_names

X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.random.default_rng(1).normal(size=(40, 2))

# name -> (class, arguments): the oracle's classes have the same names and arguments.
CASES = {
    "sgd": ("SGD", {"learning_rate": 0.05}),
    "sgd momentum": ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    "sgd nesterov": ("SGD", {"learning_rate": 0.05, "momentum": 0.8, "nesterov": True}),
    "rmsprop": ("RMSprop", {"learning_rate": 0.01}),
    "rmsprop momentum": ("RMSprop", {"learning_rate": 0.01, "rho": 0.95, "momentum": 0.5}),
    "rmsprop centered": ("RMSprop", {"learning_rate": 0.01, "epsilon": 1e-2, "centered": True}),
    "rmsprop all": ("RMSprop", {"learning_rate": 0.01, "momentum": 0.5, "epsilon": 1e-2, "centered": True}),
    "adagrad": ("Adagrad", {"learning_rate": 0.05}),
    "adagrad from 0": ("Adagrad", {"learning_rate": 0.05, "initial_accumulator_value": 0.0, "epsilon": 1e-3}),
    "adadelta": ("Adadelta", {"learning_rate": 1.0, "rho": 0.9, "epsilon": 1e-4}),
    "adam": ("Adam", {"learning_rate": 0.02}),
    "adam betas": ("Adam", {"learning_rate": 0.02, "beta_1": 0.5, "beta_2": 0.7, "epsilon": 1e-3}),
    "amsgrad": ("Adam", {"learning_rate": 0.02, "beta_2": 0.8, "amsgrad": True}),
    "adamw": ("AdamW", {"learning_rate": 0.02, "weight_decay": 0.1}),
    "adamw amsgrad": ("AdamW", {"learning_rate": 0.02, "beta_2": 0.8, "amsgrad": True, "weight_decay": 0.1}),
    "nadam": ("Nadam", {"learning_rate": 0.02, "beta_1": 0.95}),
    "adamax": ("Adamax", {"learning_rate": 0.02, "beta_2": 0.9}),
    "lion": ("Lion", {"learning_rate": 0.01}),
    "lion decay": ("Lion", {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.95, "weight_decay": 0.1}),
}  # fmt: skip


def make_network(dtype="float64"):
    """3-21-2: 130 parameters, no tensor of whole vectors."""
    network = fastnn.Network([fastnn.Input(3), fastnn.Dense(21, "tanh"), fastnn.Dense(2)], dtype=dtype, seed=3)
    network.parameters[:] = np.random.default_rng(4).normal(size=network.n_parameters)
    return network


def oracle_gradient(network, parameters):
    W1, b1, W2, b2 = network.unflatten(parameters)
    layers = [ref.Dense(W1, b1), ref.Activation("tanh"), ref.Dense(W2, b2)]
    return flat(ref.loss_and_gradient(layers, X, Y, "mse")[1])


def decay_mask(network):
    return np.concatenate([np.full(v.size, v.name == "kernel") for v in network.plan.variables])


def follow(optimizer, oracle, n_steps=100):
    """Take steps in both, along gradients that do not depend on the parameters, so that rounding errors do not grow.

    The mean absolute error of targets far away has the gradient -mean(sign(y) x), another one in each batch of 4.
    """
    r = np.random.default_rng(5)
    X, Y = r.normal(size=(4 * n_steps, 7)), 1e6 * r.choice([-1.0, 1.0], (4 * n_steps, 19))
    network = fastnn.Network([fastnn.Input(7), fastnn.Dense(19)], dtype="float64", seed=0)
    if hasattr(oracle, "decay_mask"):
        oracle.decay_mask = None if optimizer.decay_all else decay_mask(network)
    w = network.parameters.copy()
    for i in range(0, 4 * n_steps, 4):
        layers = [ref.Dense(*network.unflatten(w))]
        w = oracle.step(w, flat(ref.loss_and_gradient(layers, X[i : i + 4], Y[i : i + 4], "mae")[1]))
    fastnn.Trainer(network, loss="mae", optimizer=optimizer).fit(X, Y, batch_size=4, shuffle=False)
    np.testing.assert_allclose(network.parameters, w, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", CASES)
def test_a_hundred_steps_follow_the_oracle(case):
    name, arguments = CASES[case]
    follow(getattr(fastnn, name)(**arguments), getattr(ref, name)(**arguments))


@pytest.mark.parametrize("case", CASES)
def test_single_precision_and_threads_follow_the_oracle(case):
    name, arguments = CASES[case]
    network = make_network("float32")
    oracle = getattr(ref, name)(**arguments)
    if "weight_decay" in arguments:
        oracle.decay_mask = decay_mask(network)
    w = network.parameters.astype(float)
    for _ in range(5):
        w = oracle.step(w, oracle_gradient(network, w))
    trainer = fastnn.Trainer(network, loss="mse", optimizer=getattr(fastnn, name)(**arguments))
    trainer.fit(X, Y, epochs=5, batch_size=None, n_threads=2)
    np.testing.assert_allclose(network.parameters, w, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("name", ["AdamW", "Lion"])
def test_decay_all_decays_biases_too(name):
    arguments = {"learning_rate": 0.01, "weight_decay": 0.1}
    follow(getattr(fastnn, name)(**arguments, decay_all=True), getattr(ref, name)(**arguments))


@pytest.mark.parametrize("name", optimizers.NAMES)
def test_defaults_are_those_of_the_oracle(name):
    ours, theirs = optimizers.get(name), ref.OPTIMIZERS[name]()
    for argument, value in vars(theirs).items():
        if argument != "decay_mask":
            assert getattr(ours, argument) == value, argument


@pytest.mark.parametrize("case", CASES)
def test_config_repr_and_slots(case):
    name, arguments = CASES[case]
    optimizer = getattr(fastnn, name)(**arguments, clipnorm=2.0, use_ema=True)
    assert optimizers.get(json.loads(json.dumps(optimizer.config))) == optimizer
    assert eval(repr(optimizer), public_names()) == optimizer
    plain = getattr(fastnn, name)(**arguments)
    assert "clip" not in repr(plain) and "ema" not in repr(plain)
    assert optimizer.slots == plain.slots + 1
    assert len(plain.hyperparameters) <= fastnn.kernels.tables.N_HYPERPARAMETERS


def test_moments_do_not_become_denormal():
    """A feature that is always 0 after the first epoch: the moments of its weights decay to exactly 0."""
    first, later = X.copy(), X.copy()
    later[:, 0] = 0.0
    network = make_network("float32")
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.Nadam(1e-5, beta_1=0.1, beta_2=0.2))
    trainer.fit(first, Y, batch_size=None)
    trainer.fit(later, Y, epochs=300, batch_size=None)
    moments = trainer.moments.reshape(2, -1)[:, :21]
    assert not moments.any()


BAD = [
    ("SGD", {"learning_rate": 0.0}, r"learning_rate must be a number in \(0, inf\), got 0"),
    ("SGD", {"momentum": 1.0}, r"momentum must be a number in \[0, 1\), got 1"),
    ("RMSprop", {"rho": -0.1}, r"rho must be a number in \[0, 1\), got -0.1"),
    ("RMSprop", {"epsilon": 0.0}, r"epsilon must be a number in \(0, inf\), got 0"),
    ("Adagrad", {"initial_accumulator_value": -1.0}, r"initial_accumulator_value must be a number in \[0, inf\)"),
    ("Adadelta", {"rho": 1.5}, r"rho must be a number in \[0, 1\), got 1.5"),
    ("Adam", {"beta_2": 1.0}, r"beta_2 must be a number in \[0, 1\), got 1"),
    ("AdamW", {"weight_decay": -1.0}, r"weight_decay must be a number in \[0, inf\), got -1"),
    ("Lion", {"beta_1": np.inf}, r"beta_1 must be a number in \[0, 1\), got inf"),
    ("Adam", {"clipvalue": 0.0}, r"clipvalue must be a number in \(0, inf\), got 0"),
    ("Adam", {"clipnorm": 1.0, "clipvalue": 1.0}, r"at most one of .* got clipvalue and clipnorm"),
    ("Adam", {"ema_momentum": 1.0}, r"ema_momentum must be a number in \[0, 1\), got 1"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), BAD)
def test_bad_arguments_are_named(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(fastnn, name)(**arguments)


@pytest.mark.parametrize(("name", "flag"), [("SGD", "nesterov"), ("RMSprop", "centered"), ("Adam", "amsgrad"),
                                            ("AdamW", "decay_all"), ("Lion", "use_ema")])  # fmt: skip
def test_flags_are_booleans(name, flag):
    with pytest.raises(TypeError, match=f"{flag} must be True or False, got 1"):
        getattr(fastnn, name)(**{flag: 1})


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'adagrad'"):
        optimizers.get("adagrd")
