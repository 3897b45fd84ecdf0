"""Fixtures that every test may use, and the one compilation that parallel workers share."""

import signal

import hypothesis
import numpy as np
import pytest

import fastnn

# The same examples in every run, and no verdict on a busy machine's speed.
hypothesis.settings.register_profile("fastnn", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("fastnn")


def pytest_configure(config):
    """Listen to SIGINT, and fill the kernels' disk cache once: xdist's workers would all compile the same."""
    # Started in a script's background, a process ignores SIGINT, and so does all that it starts: tests of Ctrl-C would
    # wait for ever.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    is_worker = hasattr(config, "workerinput")
    if not is_worker and config.getoption("numprocesses", default=None):
        for dtype in ("float32", "float64"):
            network = fastnn.Network.mlp(1, [], 1, dtype=dtype, seed=0)
            fastnn.Trainer(network, loss="mse").fit(np.zeros((1, 1)), np.zeros(1))
            for n in (1, 100):  # a few rows have a kernel of their own
                network.predict(np.zeros((n, 1), dtype))
            network.explain([0.0], 0.0, loss="mse")


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """Both precisions, by name."""
    return request.param
