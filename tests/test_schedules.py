"""Every schedule against its oracle: called from Python, and followed by the training kernel step by step."""

import json

import numpy as np
import pytest

import fastnn
import reference as ref
from fastnn import schedules

# name -> (class, oracle, arguments of both after the rate)
CASES = {
    "constant": ("Constant", "constant", {}),
    "step": ("StepDecay", "step_decay", {"drop": 0.3, "every": 7}),
    "step of 49": ("StepDecay", "step_decay", {"drop": 0.5, "every": 49}),
    "exponential": ("ExponentialDecay", "exponential", {"decay_steps": 30, "decay_rate": 0.5}),
    "exponential stairs": ("ExponentialDecay", "exponential", {"decay_steps": 7, "decay_rate": 0.8, "staircase": True}),
    "inverse time": ("InverseTimeDecay", "inverse_time", {"decay_steps": 10, "decay_rate": 0.7}),
    "inverse stairs": ("InverseTimeDecay", "inverse_time", {"decay_steps": 49, "decay_rate": 2.0, "staircase": True}),
    "polynomial": ("PolynomialDecay", "polynomial", {"decay_steps": 80}),
    "polynomial power": ("PolynomialDecay", "polynomial", {"decay_steps": 60, "end_learning_rate": 0.02, "power": 2.5}),
    "cosine": ("CosineDecay", "cosine", {"decay_steps": 90}),
    "cosine alpha": ("CosineDecay", "cosine", {"decay_steps": 60, "alpha": 0.1}),
    "warm-up": ("WarmupCosineDecay", "warmup_cosine", {"warmup_steps": 20, "decay_steps": 60}),
    "warm-up from": (
        "WarmupCosineDecay", "warmup_cosine",
        {"warmup_steps": 5, "decay_steps": 70, "alpha": 0.05, "initial_learning_rate": 0.01},
    ),
    "no warm-up": ("WarmupCosineDecay", "warmup_cosine", {"warmup_steps": 0, "decay_steps": 70}),
    "one cycle": ("OneCycle", "one_cycle", {"total_steps": 90}),
    "one cycle options": (
        "OneCycle", "one_cycle", {"total_steps": 80, "pct_start": 0.0, "div_factor": 5.0, "final_div_factor": 10.0},
    ),
}  # fmt: skip
RATE = 0.1


def make(case):
    cls, oracle, arguments = CASES[case]
    schedule = getattr(schedules, cls)(RATE, **arguments)
    return schedule, lambda step: getattr(ref, oracle)(step, RATE, **arguments)


@pytest.mark.parametrize("case", CASES)
def test_calls_follow_the_oracle(case):
    schedule, oracle = make(case)
    for step in (*range(200), 10**6):
        assert schedule(step) == pytest.approx(oracle(step), rel=1e-12, abs=1e-16)


@pytest.mark.parametrize("case", CASES)
def test_a_hundred_steps_of_training_follow_the_oracle(case):
    """One weight without a gradient but through its rate: loss (w x - y)^2 with x = 1, so w -= 2 rate (w - y)."""
    schedule, oracle = make(case)
    network = fastnn.Network([fastnn.Input(1), fastnn.Dense(1, use_bias=False)], dtype="float64", seed=0)
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(schedule))
    w = float(network.parameters[0])
    for step in range(100):
        assert trainer.learning_rate == pytest.approx(oracle(trainer.step), rel=1e-12, abs=1e-16)
        w -= 2 * oracle(step) * (w - 3.0)
        if step % 10 == 0:  # several steps in one kernel call
            trainer.fit(np.ones((step + 1 - trainer.step, 1)), np.full(step + 1 - trainer.step, 3.0), batch_size=1)
            assert network.parameters[0] == pytest.approx(w, rel=1e-10)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "Lion", "RMSprop", "Adagrad", "Adadelta", "Nadam", "Adamax", "SGD"])
def test_every_optimizer_takes_a_schedule(name):
    X, y = np.ones((6, 1)), np.zeros(6)
    results = []
    for rate in (schedules.StepDecay(0.1, drop=1e-30, every=3), 0.1):
        network = fastnn.Network([fastnn.Input(1), fastnn.Dense(1)], dtype="float64", seed=0)
        trainer = fastnn.Trainer(network, loss="mse", optimizer=getattr(fastnn, name)(rate))
        trainer.fit(X if rate != 0.1 else X[:3], y if rate != 0.1 else y[:3], batch_size=1)
        results.append(network.parameters.copy())
    np.testing.assert_allclose(*results, rtol=1e-15)  # after 3 steps the rate is nothing


def test_a_rate_that_is_set_stands_in_for_the_schedule_until_none_is():
    schedule = schedules.ExponentialDecay(0.5, decay_steps=1, decay_rate=0.5)
    network = fastnn.Network([fastnn.Input(1), fastnn.Dense(1, use_bias=False)], dtype="float64", seed=0)
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(schedule))
    one = np.ones((1, 1)), np.zeros(1)

    def change():
        before = float(network.parameters[0])
        trainer.fit(*one)
        return 1 - float(network.parameters[0]) / before  # 2 * rate

    network.parameters[0] = 1.0
    trainer.learning_rate = 0.125
    assert trainer.learning_rate == 0.125
    assert change() == pytest.approx(0.25)
    assert change() == pytest.approx(0.25)
    trainer.learning_rate = None
    assert trainer.learning_rate == 0.125  # 0.5 * 0.5^2
    assert change() == pytest.approx(0.25)
    assert change() == pytest.approx(0.125)


def test_a_rate_that_is_set_must_be_a_number():
    trainer = fastnn.Trainer(fastnn.Network.mlp(1, [], 1), loss="mse")
    with pytest.raises(ValueError, match=r"learning_rate must be a number in \[0, inf\), got -1"):
        trainer.learning_rate = -1.0
    assert trainer.learning_rate == 0.001


@pytest.mark.parametrize("case", CASES)
def test_config_and_repr(case):
    schedule, _ = make(case)
    assert schedules.get("learning_rate", json.loads(json.dumps(schedule.config))) == schedule
    assert eval(repr(schedule), vars(schedules)) == schedule
    optimizer = fastnn.AdamW(schedule)
    assert fastnn.optimizers.get(json.loads(json.dumps(optimizer.config))) == optimizer


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("CosineDecay", (0.0, 10), r"initial_learning_rate must be a number in \(0, inf\), got 0"),
        ("CosineDecay", (0.1, 0), r"decay_steps must be an integer >= 1, got 0"),
        ("CosineDecay", (0.1, 10, -1.0), r"alpha must be a number in \[0, inf\), got -1"),
        ("StepDecay", (0.1, 0.0), r"drop must be a number in \(0, inf\), got 0"),
        ("StepDecay", (0.1, 0.5, 0), r"every must be an integer >= 1, got 0"),
        ("ExponentialDecay", (0.1, 10, -0.5), r"decay_rate must be a number in \(0, inf\), got -0.5"),
        ("PolynomialDecay", (0.1, 10, 0.0, 0.0), r"power must be a number in \(0, inf\), got 0"),
        ("WarmupCosineDecay", (0.1, -1, 10), r"warmup_steps must be an integer >= 0, got -1"),
        ("OneCycle", (0.1, 1), r"total_steps must be an integer >= 2, got 1"),
        ("OneCycle", (0.1, 10, 1.0), r"pct_start must be a number in \[0, 1\), got 1"),
        ("Constant", (-0.1,), r"learning_rate must be a number in \[0, inf\), got -0.1"),
    ],
)
def test_bad_arguments_are_named(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        getattr(schedules, name)(*arguments)


def test_staircase_is_a_boolean():
    with pytest.raises(TypeError, match="staircase must be True or False, got 1"):
        schedules.ExponentialDecay(0.1, 10, 0.5, 1)
