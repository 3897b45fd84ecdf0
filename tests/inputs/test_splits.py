"""Splits and class weights: exact proportions, determinism, no copies, hand-computed weights."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

import fastnn
from fastnn.engine.rows import Rows
from fastnn.inputs.splits import class_numbers, split_off, train_validation_test_split

RNG = np.random.default_rng(0)


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=5), share=st.floats(0.01, 0.9), seed=st.integers(0, 2**63)
)
def test_each_class_gives_its_share(counts, share, seed):
    classes = np.repeat(np.arange(len(counts)), counts)
    n = classes.size
    n_off = min(max(1, round(n * share)), n - 1)
    if n_off < 1:
        return
    stay, off = split_off(n, n_off, classes, seed)
    np.testing.assert_array_equal(np.sort(np.concatenate([stay, off])), np.arange(n))
    assert off.size == n_off
    assert (np.diff(stay) > 0).all() and (np.diff(off) > 0).all()
    n_reluctant = sum(math.ceil(count * n_off / n) >= count for count in counts)
    for label, count in enumerate(counts):
        given_off = (classes[off] == label).sum()
        # To within one row, and one more for each class that would have to give its last.
        assert abs(given_off - count * n_off / n) < 1 + n_reluctant
        if count > 1 and n_off <= n - len(counts):
            assert given_off < count


def test_exact_proportions():
    classes = np.array([0] * 60 + [1] * 30 + [2] * 10)
    stay, off = split_off(100, 20, classes, 0)
    assert np.bincount(classes[off]).tolist() == [12, 6, 2]
    assert np.bincount(classes[stay]).tolist() == [48, 24, 8]


def test_the_split_is_a_function_of_the_seed():
    classes = RNG.integers(0, 3, 50)
    first, again, other = (split_off(50, 10, classes, seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_it_is_a_random_draw():
    held_back = np.zeros(40)
    for seed in range(300):
        held_back[split_off(40, 10, None, seed)[1]] += 1
    assert abs(held_back - 75).max() < 5 * np.sqrt(300 * 0.25 * 0.75)


@pytest.mark.parametrize(
    "y, loss, expected",
    [
        (np.array([0, 2, 1]), "categorical_crossentropy", [0, 2, 1]),
        (np.eye(3)[[0, 2, 1]], "categorical_crossentropy", [0, 2, 1]),
        (np.array([[0.2, 0.8], [0.9, 0.1]]), "categorical_crossentropy", [1, 0]),
        (np.array([[0.0], [1.0]]), "log_loss", [0, 1]),
        (np.array([[0.0], [1.0]]), "mse", [0, 1]),
        (np.eye(3)[[0, 2, 1]], "mse", [0, 2, 1]),
        (np.eye(3)[[0, 2, 1]], "log_loss", None),
        (np.array([[0.0], [0.5]]), "log_loss", None),
        (np.array([[1.0, 1.0], [1.0, 0.0]]), "mse", None),
        (np.array([[3.0], [1.0]]), "mse", None),
    ],
)
def test_which_targets_are_classes(y, loss, expected):
    numbers = class_numbers(Rows.of(y), fastnn.losses.get(loss))
    assert numbers is None if expected is None else numbers.tolist() == expected


# --- fit ------------------------------------------------------------------------------------------------------------


def spy(seen):
    def rows(y, predictions):
        seen.append(np.array(y).reshape(-1))
        return 0.0

    return rows


def make_classifier(metrics=(), seed=0):
    network = fastnn.Network.mlp(2, [5], 3, output="softmax", dtype="float64", seed=seed)
    return fastnn.Trainer(network, loss="categorical_crossentropy", metrics=metrics)


def test_validation_split_is_stratified():
    seen = []
    y = np.array([0] * 60 + [1] * 30 + [2] * 10)  # sorted: the last rows alone would be one class
    X = RNG.normal(size=(100, 2))
    make_classifier(spy(seen)).fit(X, y, validation_split=0.2)
    assert [np.bincount(part).tolist() for part in seen] == [[48, 24, 8], [12, 6, 2]]


def test_validation_split_of_numbers_is_a_random_draw():
    seen = []
    y = np.linspace(0, 1, 100)
    trainer = fastnn.Trainer(fastnn.Network.mlp(1, [], 1, seed=0), loss="mse", metrics=spy(seen))
    trainer.fit(y[:, np.newaxis], y, validation_split=0.3)
    trainer.fit(y[:, np.newaxis], y, validation_split=0.3)
    training, validation, training_again, validation_again = seen
    np.testing.assert_array_equal(np.sort(np.concatenate([training, validation])), y)
    assert validation.size == 30 and 0.2 < validation.mean() < 0.8
    np.testing.assert_array_equal(training, training_again)
    np.testing.assert_array_equal(validation, validation_again)


def test_networks_fitted_together_split_as_they_do_alone():
    X, y = RNG.normal(size=(60, 2)), RNG.integers(0, 3, 60)
    together, alone = ([make_classifier(seed=seed) for seed in (0, 1)] for _ in range(2))
    fastnn.fit_many(together, X, y, epochs=2, validation_split=0.2)
    for trainer, twin in zip(together, alone, strict=True):
        assert trainer.history.history == twin.fit(X, y, epochs=2, validation_split=0.2, n_threads=1).history


def test_nothing_is_copied():
    X = np.zeros((1000, 2))
    y = np.arange(1000) % 3
    addresses = []

    class Look(fastnn.Callback):
        def on_train_begin(self):
            X[:] = 1.0  # seen by a training that reads where the data lie

        def on_epoch_end(self, epoch, logs):
            addresses.append(logs["val_loss"])

    trainer = make_classifier()
    trainer.fit(X, y, epochs=1, validation_split=0.2, callbacks=[Look()])
    _, off = split_off(1000, 200, y, 0)
    assert addresses == [trainer.evaluate(np.ones((200, 2)), y[off])["loss"]]


@pytest.mark.parametrize("split", [-0.1, 1.0, 1.5])
def test_wrong_validation_split(split):
    with pytest.raises(ValueError, match=r"validation_split must be a number in \[0, 1\), got"):
        make_classifier().fit(np.zeros((5, 2)), np.zeros(5, int), validation_split=split)


def test_a_split_that_leaves_nothing():
    with pytest.raises(ValueError, match=r"validation_split=0\.9 leaves no sample of 5 to train on"):
        make_classifier().fit(np.zeros((5, 2)), np.zeros(5, int), validation_split=0.9)


# --- class weights --------------------------------------------------------------------------------------------------


def test_class_weights_by_hand():
    """Two samples with mse 1 and 9; class 1 counts three times: (1 * 1 + 3 * 9) / (1 + 3)."""
    network = fastnn.Network.mlp(1, [], 1, dtype="float64", seed=0)
    network.set_weights([np.zeros((1, 1)), np.array([-2.0])])
    trainer = fastnn.Trainer(network, loss="mse", optimizer=fastnn.SGD(0.125), metrics=["mae"])
    X, y = np.zeros((2, 1)), np.array([0, 1])
    history = trainer.fit(X, y, batch_size=None, class_weight={0: 1.0, 1: 3.0}, validation_data=(X, y)).history
    assert history["loss"] == [(1 * 4 + 3 * 9) / 4]
    assert history["mae"] == [(1 * 2 + 3 * 3) / 4]
    # b -= 0.125 * (1 * 2 * (-2) + 3 * 2 * (-3)) / 4
    bias = -2 + 0.125 * 22 / 4
    assert network.get_weights()[1][0] == pytest.approx(bias, rel=1e-15)
    # Validation data weigh what they say.
    assert history["val_loss"] == [pytest.approx((bias**2 + (bias - 1) ** 2) / 2, rel=1e-14)]
    assert history["val_mae"] == [pytest.approx((-bias + (1 - bias)) / 2, rel=1e-14)]


def test_class_weights_are_sample_weights_of_training_alone():
    X, y = RNG.normal(size=(80, 2)), RNG.integers(0, 3, 80)
    weights, class_weight = RNG.uniform(0.5, 2, 80), {0: 0.5, 2: 3.0}
    factors = np.array([0.5, 1.0, 3.0])[y]
    by_class, by_sample = make_classifier(["accuracy", "f1"]), make_classifier(["accuracy", "f1"])
    options = {"epochs": 3, "batch_size": 16}
    a = by_class.fit(
        X,
        y,
        sample_weight=weights,
        class_weight=class_weight,
        validation_data=(X[:30], y[:30], weights[:30]),
        **options,
    )
    b = by_sample.fit(
        X, y, sample_weight=weights * factors,
        validation_data=(X[:30], y[:30], weights[:30]), **options
    )  # fmt: skip
    assert a.history == b.history
    np.testing.assert_array_equal(by_class.network.parameters, by_sample.network.parameters)


def test_class_weights_leave_the_validation_split_as_it_is():
    X, y, weights = RNG.normal(size=(80, 2)), RNG.integers(0, 3, 80), RNG.uniform(0.5, 2, 80)
    for sample_weight in (None, weights):
        trainer = make_classifier()
        history = trainer.fit(X, y, validation_split=0.25, class_weight={1: 4.0}, sample_weight=sample_weight).history
        _, off = split_off(80, 20, y, 0)
        own = None if sample_weight is None else weights[off]
        assert history["val_loss"][-1] == trainer.evaluate(X[off], y[off], sample_weight=own)["loss"]


@pytest.mark.parametrize("as_labels", [True, False])
def test_balanced(as_labels):
    X, y = RNG.normal(size=(60, 2)), RNG.choice(3, 60, p=[0.6, 0.3, 0.1])
    weight = compute_class_weight("balanced", classes=np.arange(3), y=y)
    balanced, by_hand = make_classifier(), make_classifier()
    targets = y if as_labels else np.eye(3)[y]
    a = balanced.fit(X, targets, epochs=2, class_weight="balanced", validation_data=(X[:9], targets[:9])).history
    b = by_hand.fit(
        X, targets, epochs=2, class_weight=dict(enumerate(weight)), validation_data=(X[:9], targets[:9])
    ).history  # fmt: skip
    assert a == b


@pytest.mark.parametrize(
    "class_weight, error, message",
    [
        ("even", TypeError, "class_weight must be a dict of class number to weight or 'balanced', got 'even'"),
        ([1, 2], TypeError, "class_weight must be a dict"),
        ({"a": 1}, TypeError, "a key of class_weight must be an integer from 0 to 2, got 'a'"),
        ({3: 1}, ValueError, "a key of class_weight must be an integer from 0 to 2, got 3"),
        ({0: -1}, ValueError, r"class_weight\[0\] must be a number in \[0, inf\), got -1"),
        ({0: 0, 1: 0, 2: 0}, ValueError, "class_weight must leave some sample a weight"),
    ],
)
def test_wrong_class_weights(class_weight, error, message):
    trainer = make_classifier()
    before = trainer.network.parameters.copy()
    with pytest.raises(error, match=message):
        trainer.fit(np.ones((6, 2)), [0, 1, 2, 0, 1, 2], class_weight=class_weight)
    np.testing.assert_array_equal(trainer.network.parameters, before)


def test_class_weights_without_classes():
    trainer = fastnn.Trainer(fastnn.Network.mlp(1, [], 1, seed=0), loss="mse")
    with pytest.raises(ValueError, match="class_weight must be None where targets are no classes, got 'balanced'"):
        trainer.fit(np.ones((3, 1)), [0.5, 1.5, 2.5], class_weight="balanced")


# --- the helper -----------------------------------------------------------------------------------------------------


def test_three_parts_of_every_array():
    X, y = np.arange(100).reshape(50, 2), np.repeat([0, 1], [30, 20])
    frame = pd.DataFrame({"a": np.arange(50)}, index=np.arange(50) + 1000)
    parts = train_validation_test_split(
        X, y, frame, list(range(50)), validation_size=0.2, test_size=0.1, stratify=y, seed=3
    )  # fmt: skip
    x_parts, y_parts, frame_parts, list_parts = (parts[i : i + 3] for i in range(0, 12, 3))
    assert [len(part) for part in x_parts] == [35, 10, 5]
    assert [np.bincount(part).tolist() for part in y_parts] == [[21, 14], [6, 4], [3, 2]]
    for x_part, frame_part, list_part in zip(x_parts, frame_parts, list_parts, strict=True):
        np.testing.assert_array_equal(x_part[:, 0] // 2, list_part)
        np.testing.assert_array_equal(frame_part["a"], list_part)
        assert frame_part.index.tolist() == [row + 1000 for row in list_part]
    assert sorted(np.concatenate(list_parts).tolist()) == list(range(50))
    again = train_validation_test_split(X, validation_size=0.2, test_size=0.1, stratify=y, seed=3)
    for part, same in zip(x_parts, again, strict=True):
        np.testing.assert_array_equal(part, same)


def test_no_validation_part():
    train, validation, test = train_validation_test_split(np.arange(10), validation_size=0.0, test_size=0.3, seed=0)
    assert (train.size, validation.size, test.size) == (7, 0, 3)


@pytest.mark.parametrize(
    "arrays, options, message",
    [
        ((np.arange(5),), {"test_size": 1.0}, r"test_size must be a number in \[0, 1\), got 1.0"),
        ((np.arange(5),), {"validation_size": -0.1}, r"validation_size must be a number in \[0, 1\), got -0.1"),
        ((np.arange(5), np.arange(4)), {}, r"must have the same length, got \[5, 4\]"),
        ((np.arange(5),), {"stratify": np.arange(3)}, "must have the same length"),
        ((np.arange(5),), {"stratify": np.eye(5)}, r"stratify must be 1-D, got shape \(5, 5\)"),
        ((np.arange(5),), {"validation_size": 0.5, "test_size": 0.5}, "leave no row of 5 to train on"),
        ((), {}, "arrays must be given"),
        ((np.arange(5),), {"seed": -1}, "seed must be an integer >= 0, got -1"),
    ],
)
def test_wrong_arguments(arrays, options, message):
    with pytest.raises(ValueError, match=message):
        train_validation_test_split(*arrays, **options)
