"""What the tests of the bridges share."""

import numpy as np


def disturbed(network):
    """Every parameter and statistic moved away from where it starts, as training would."""
    rng = np.random.default_rng(2)
    network.parameters[:] += rng.uniform(0.1, 0.5, network.n_parameters) / 2
    network.state[:] += rng.uniform(0.1, 0.5, network.state.size)
    return network


def samples(network, n=7):
    """Samples for a network, of its dtype."""
    return np.random.default_rng(0).normal(size=(n, *network.plan.input_shape)).astype(network.dtype)
