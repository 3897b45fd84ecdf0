"""`coefs_` and `intercepts_` can be assigned as in scikit-learn; what cannot be assigned says so."""

import copy
import pickle

import numpy as np
import pytest

import fastnn
from fastnn import MLPClassifier, MLPRegressor

X = np.random.default_rng(0).normal(size=(60, 3))
Y = X.sum(axis=1)


def fitted(**options):
    return MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", max_iter=5, random_state=0, **options).fit(X, Y)


pytestmark = pytest.mark.filterwarnings("ignore:lbfgs failed to converge")


def by_hand(model):
    hidden = np.maximum(X @ model.coefs_[0] + model.intercepts_[0], 0)
    return (hidden @ model.coefs_[1] + model.intercepts_[1])[:, 0]


def test_assigned_items_are_those_that_predict_uses():
    model = fitted()
    model.coefs_[-1] = np.arange(4.0).reshape(4, 1)
    model.intercepts_[0] = [1, 2, 3, 4]
    np.testing.assert_allclose(model.predict(X), by_hand(model))
    assert model.coefs_[1].tolist() == [[0], [1], [2], [3]]
    model.coefs_[0] += 1
    model.coefs_[0] = model.coefs_[0][::-1]  # its own memory
    np.testing.assert_allclose(model.predict(X), by_hand(model))


def test_whole_lists_can_be_assigned():
    model, other = fitted(), fitted()
    other.network_.parameters *= 2
    model.coefs_, model.intercepts_ = other.coefs_, copy.deepcopy(other.intercepts_)
    np.testing.assert_array_equal(model.predict(X), other.predict(X))


@pytest.mark.parametrize(
    ("index", "value", "error", "message"),
    [
        (0, np.zeros((4, 3)), ValueError, r"coefs_\[0\] must have shape \(3, 4\), got \(4, 3\)"),
        (-1, np.full((4, 1), np.inf), ValueError, r"coefs_\[1\] must be finite"),
        (slice(None), [np.zeros((3, 4)), np.zeros(4)], ValueError, r"coefs_\[1\] must have shape \(4, 1\)"),
        (slice(None), [np.zeros((3, 4))], TypeError, "coefs_ has one array for each layer"),
        (5, 0, IndexError, "index out of range"),
    ],
)
def test_what_does_not_fit_changes_nothing(index, value, error, message):
    model = fitted()
    before = model.network_.parameters.copy()
    with pytest.raises(error, match=message):
        model.coefs_[index] = value
    np.testing.assert_array_equal(model.network_.parameters, before)


def test_items_do_not_come_or_go():
    model = fitted()
    for change in (
        lambda c: c.append(0), lambda c: c.pop(), lambda c: c.clear(), lambda c: c.__delitem__(0), lambda c: c.reverse()
    ):  # fmt: skip
        with pytest.raises(TypeError, match="coefs_ has one array for each layer"):
            change(model.coefs_)


def test_copies_are_plain_lists():
    model = fitted()
    for copied in (copy.deepcopy(model.coefs_), pickle.loads(pickle.dumps(model.coefs_)), list(model.coefs_)):
        assert type(copied) is list and copied[0].tolist() == model.coefs_[0].tolist()


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("out_activation_", "tanh", "last layer"),
        ("classes_", np.array([0, 1]), "fit learns them"),
        ("n_outputs_", 7, "number of network_'s outputs"),
        ("n_layers_", 9, "number of network_'s layers"),
    ],
)
@pytest.mark.parametrize("n_estimators", [1, 2])
def test_what_fit_learns_is_not_assigned(name, value, advice, n_estimators):
    model = MLPClassifier((4,), max_iter=1, n_estimators=n_estimators, random_state=0)
    with pytest.warns(match="Maximum iterations"):
        model.fit(X, Y > 0)
    with pytest.raises(AttributeError, match=f"MLPClassifier.{name} cannot be assigned: .*{advice}"):
        setattr(model, name, value)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_an_assigned_network_is_the_one_that_predicts_and_goes_on_training():
    model = MLPRegressor(hidden_layer_sizes=(4,), max_iter=2, random_state=0).fit(X, Y)
    other = fastnn.Network.mlp(3, [5], 1, dtype="float64", seed=1)
    model.network_ = other
    np.testing.assert_array_equal(model.predict(X), other.predict(X)[:, 0])
    before = other.parameters.copy()
    model.partial_fit(X, Y)
    assert not np.array_equal(other.parameters, before)
    np.testing.assert_array_equal(model.predict(X), other.predict(X)[:, 0])
    with pytest.raises(ValueError, match="network_ must have 3 inputs and 1 outputs as in fit, got 2 and 1"):
        model.network_ = fastnn.Network.mlp(2, [5], 1)
    with pytest.raises(TypeError, match=r"network_ must be a fastnn\.Network"):
        model.network_ = None
    several = MLPRegressor(hidden_layer_sizes=(4,), max_iter=1, n_estimators=2, random_state=0).fit(X, Y)
    with pytest.raises(AttributeError, match="assign those of estimators_"):
        several.network_ = other


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_a_network_assigned_to_a_member_is_that_of_the_average(tmp_path):
    model = MLPRegressor(hidden_layer_sizes=(4,), max_iter=1, n_estimators=2, random_state=0).fit(X, Y)
    other = fastnn.Network.mlp(3, [4], 1, dtype="float64", seed=1)
    model.estimators_[0].network_ = other
    assert model.network_ is other and np.shares_memory(model.coefs_[0], other.parameters)
    mean = (other.predict(X)[:, 0] + model.estimators_[1].predict(X)) / 2
    np.testing.assert_allclose(model.predict(X), mean)
    model.save(tmp_path / "file")
    np.testing.assert_array_equal(MLPRegressor.load(tmp_path / "file").predict(X), model.predict(X))
