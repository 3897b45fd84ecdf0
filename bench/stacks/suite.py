"""How stacks and GANs are timed in one peer, and the arithmetic that a time is compared with."""

import importlib
import tempfile
import time
from functools import partial

from bench.cold_start import run_program
from bench.measure import repeated
from bench.peers import PEERS, Unsupported
from bench.stacks.layers import initial_weights
from bench.stacks.workloads import make_data

MODULES = {
    "fastnn": ("fastnn_stack", "build"),
    "fastnn-one": ("fastnn_stack", "build_one"),
    "torch": ("torch_stack", "build"),
    "torch-compile": ("torch_stack", "build_compiled"),
    "jax": ("jax_stack", "build"),
    "keras": ("keras_stack", "build"),
}
GAN_MODULES = {
    "fastnn": ("fastnn_stack", "build_gan"),
    "torch": ("torch_gan", "build"),
    "torch-compile": ("torch_gan", "build_compiled"),
    "jax": ("jax_gan", "build"),
}


def _build(modules, workload, peer, data, threads):
    if peer not in modules:
        raise Unsupported(f"{PEERS[peer].title} is not set up for this")
    module, builder = modules[peer]
    return getattr(importlib.import_module(f"bench.stacks.{module}"), builder)(workload, data, threads)


def _arithmetic(workload, settings):
    """Seconds that the products would take at the rate of sgemm, which is measured anew each turn.

    The rate is that of square products of the size that was best when it was tried out.
    """
    from bench.peers import gemm

    best = gemm.best_size(workload.dtype)

    def action():
        return workload.call_flops / (1e9 * gemm.rate(best, workload.dtype, settings.seconds))

    return action, {"flops": workload.call_flops, "size": best}


def train(workload, peer, settings):
    """Seconds per training step; every sample starts from the same weights."""
    if peer == "sgemm":
        return _arithmetic(workload, settings)
    runner = _build(MODULES, workload, peer, make_data(workload), settings.threads)
    weights = initial_weights(workload.layers, workload.shape)
    runner.reset(weights)
    train_on, n_epochs = repeated(runner.train, workload.steps_per_epoch, settings.seconds)

    def action():
        runner.reset(weights)
        return train_on()

    return action, {"epochs_per_sample": n_epochs} | getattr(runner, "extra", {})


def predict(workload, peer, settings):
    """Seconds per prediction of all rows, NumPy in, NumPy out, called from Python."""
    if peer == "sgemm":
        return _arithmetic(workload, settings)
    X, _ = make_data(workload)
    runner = _build(MODULES, workload, peer, make_data(workload, 64), settings.threads)
    runner.reset(initial_weights(workload.layers, workload.shape))

    def run(n):
        for _ in range(n):
            runner.predict(X)

    action, n = repeated(run, 1, settings.seconds)
    return action, {"calls_per_sample": n} | getattr(runner, "extra", {})


def agreement(workload, peer, settings, n_epochs=3):
    """Not a time: the mean training loss of the third epoch, to show that all peers do the same work."""
    runner = _build(MODULES, workload, peer, make_data(workload), settings.threads)

    def action():
        runner.reset(initial_weights(workload.layers, workload.shape))
        return float(runner.train(n_epochs))

    return action, {}


def gan(workload, peer, settings):
    """Seconds per step of both networks; every sample starts from the same weights."""
    if peer == "sgemm":
        return _arithmetic(workload, settings)
    runner = _build(GAN_MODULES, workload, peer, workload.data(), settings.threads)
    weights = workload.weights()
    runner.reset(weights)
    train_on, n_epochs = repeated(runner.train, workload.steps_per_epoch, settings.seconds)

    def action():
        runner.reset(weights)
        return train_on()

    return action, {"epochs_per_sample": n_epochs}


_FIRST_FIT = """
import json, time
from bench.stacks.workloads import STACKS, make_data
stack = next(stack for stack in STACKS if stack.name == {name!r})
X, y = make_data(stack)
import fastnn
from bench.stacks.fastnn_stack import Model
model = Model(stack, (X, y), {threads})
model.reset(model.network.get_weights())
start = time.perf_counter()
model.train(1)
first = time.perf_counter() - start
start = time.perf_counter()
model.train(1)
print(json.dumps(first - (time.perf_counter() - start)))
"""


def first_fit_empty(workload, peer, settings):
    """Seconds that compiling adds to a new process's first fit with an empty cache."""
    _build(MODULES, workload, peer, make_data(workload), settings.threads)  # or Unsupported, before any process starts
    code = _FIRST_FIT.format(name=workload.name, threads=settings.threads)

    def action():
        with tempfile.TemporaryDirectory(prefix="bench-cache-") as cache:
            return run_program(code, cache)

    return action, {}


class Fastest:
    """Several ways to do the same work in one library; the one that is fastest at what is timed is the peer."""

    def __init__(self, workload, ways):
        X = make_data(workload)[0] if workload.kind == "stack-predict" else None
        weights, times = initial_weights(workload.layers, workload.shape), {}
        for name, way in ways.items():
            way.reset(weights)
            run = partial(way.train, 2) if X is None else partial(way.predict, X)
            run()
            start = time.perf_counter()
            for _ in range(3):
                run()
            times[name] = time.perf_counter() - start
        name = min(times, key=times.get)
        self.extra = {"method": name}
        self.reset, self.train, self.predict = ways[name].reset, ways[name].train, ways[name].predict
