"""Kernels treat numbers too small to be normal as 0, and leave the caller's arithmetic as it was."""

import platform

import numpy as np
import pytest

import fastnn

TINY = np.float32(1e-42)  # denormal: float32 is normal down to 1.2e-38
NOT_X86 = platform.machine().lower() not in ("x86_64", "amd64", "i386", "i686")


def _identity() -> fastnn.Network:
    network = fastnn.Network([fastnn.Input(1), fastnn.Dense(1, use_bias=False)])
    network.set_weights([np.ones((1, 1))])
    return network


@pytest.mark.skipif(NOT_X86, reason="only x86 has the mode that kernels switch on")
def test_kernels_flush_denormals():
    x = np.full((3, 1), TINY)
    assert x[0, 0] > 0
    loss, gradient = _identity().loss_and_gradient(x, np.zeros((3, 1)), loss="mae")
    assert loss == 0.0
    assert gradient[0] == 0.0


def test_the_callers_denormals_survive_kernel_calls():
    network = _identity()
    x = np.full((40, 1), TINY)
    network.predict(x)
    network.predict(x[:1])
    network.loss_and_gradient(x, np.zeros((40, 1)), loss="mse")
    fastnn.Trainer(network, loss="mse").fit(x, np.zeros((40, 1)), epochs=2)
    half = np.array([TINY]) * np.float32(0.5)
    assert half[0] > 0
