"""Loss and gradient over fixed data: the same as checked anew each time, and nothing of the network is touched."""

import numpy as np
import pytest
from scipy.optimize import minimize

import fastnn


@pytest.fixture
def problem():
    generator = np.random.default_rng(0)
    network = fastnn.Network.mlp(3, [5], 2, activation="tanh", dtype="float64", seed=0)
    return network, generator.normal(size=(150, 3)), generator.normal(size=(150, 2)), generator.uniform(size=150)


def test_equals_loss_and_gradient_at_any_parameters(problem):
    network, X, y, weights = problem
    objective = fastnn.Objective(network, X, y, loss="mse", sample_weight=weights)
    for scale in (1.0, 0.5, 2.0):
        point = network.parameters * scale
        loss, gradient = objective(point)
        other = fastnn.Network.mlp(3, [5], 2, activation="tanh", dtype="float64", seed=0)
        other.parameters[:] = point
        expected_loss, expected_gradient = other.loss_and_gradient(X, y, loss="mse", sample_weight=weights)
        assert loss == expected_loss
        np.testing.assert_array_equal(gradient, expected_gradient)


def test_calls_leave_the_network_and_earlier_gradients_alone(problem):
    network, X, y, _ = problem
    before = network.parameters.copy()
    objective = fastnn.Objective(network, X, y, loss="mse")
    _, first = objective()
    kept = first.copy()
    objective(np.zeros(network.n_parameters))
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(network.parameters, before)


def test_lbfgs_finds_a_minimum(problem):
    network, X, _, _ = problem
    y = np.stack([np.sin(X[:, 0]), X[:, 1]], axis=1)
    objective = fastnn.Objective(network, X, y, loss="mse")
    result = minimize(objective, network.parameters, jac=True, method="L-BFGS-B", options={"maxiter": 300})
    assert result.fun < 0.01 * objective()[0]


def test_a_vector_of_another_length_is_refused(problem):
    network, X, y, _ = problem
    with pytest.raises(ValueError, match=r"parameters must have shape \(32,\), got \(3,\)"):
        fastnn.Objective(network, X, y, loss="mse")(np.zeros(3))
