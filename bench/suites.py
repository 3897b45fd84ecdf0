"""How each kind of workload is timed in one peer.

A kind is a function (workload, peer name, settings) -> (action, extra_info): the action is ready to run, compiled and
warm, and returns its own seconds per unit; extra_info may still grow with every run. SUITES at the end lists them.
"""

import time
from dataclasses import replace

import numpy as np

from bench import callbacks, cold_start, estimators, tutorial
from bench.measure import repeated
from bench.peers import PEERS
from bench.stacks import suite as stacks
from bench.workloads import digits, initial_weights, make_data


def _runner(workload, peer, settings, data=None):
    runner = PEERS[peer].build(workload, data or make_data(workload), settings.threads)
    runner.reset(initial_weights(workload))
    return runner


def train(workload, peer, settings):
    """Seconds per training step; every sample starts from the same weights."""
    runner = _runner(workload, peer, settings)
    train_on, n_epochs = repeated(runner.train, workload.steps_per_epoch, settings.seconds)
    weights = initial_weights(workload)

    def action():
        runner.reset(weights)
        return train_on()

    return action, {"epochs_per_sample": n_epochs} | getattr(runner, "extra", {})


def _repeat(call):
    def run(n):
        for _ in range(n):
            call()

    return run


def gradient(workload, peer, settings):
    """Seconds per loss and gradient of all rows, called from Python."""
    runner = _runner(workload, peer, settings)
    action, n = repeated(getattr(runner, "gradients", None) or _repeat(runner.gradient), 1, settings.seconds)
    return action, {"calls_per_sample": n} | getattr(runner, "extra", {})


def predict(workload, peer, settings):
    """Seconds per prediction of all rows, NumPy in, NumPy out, called from Python."""
    X, _ = make_data(workload)
    runner = _runner(workload, peer, settings, make_data(replace(workload, n_rows=2048)))
    action, n = repeated(_repeat(lambda: runner.predict(X)), 1, settings.seconds)
    return action, {"calls_per_sample": n}


def digits_to_quality(workload, peer, settings, goal=0.97, max_epochs=200):
    """Seconds until 97 % of the test digits are right, tested after every epoch; another seed every time."""
    X, X_test, y, y_test = (a.astype(workload.dtype) if a.ndim == 2 else a for a in digits())
    runner = _runner(workload, peer, settings, (X, y))
    runner.train(1)
    runner.predict(X_test)  # compiled before the clock starts
    epochs = []

    def action():
        runner.reset(initial_weights(workload, seed=1 + len(epochs)))
        start = time.perf_counter()
        accuracy, epoch = 0.0, 0
        while accuracy < goal and epoch < max_epochs:
            runner.train(1)
            accuracy = np.mean(np.argmax(runner.predict(X_test), axis=1) == y_test)
            epoch += 1
        elapsed = time.perf_counter() - start
        epochs.append(epoch if accuracy >= goal else -1)
        return elapsed

    return action, {"epochs_to_goal": epochs, "goal": goal}  # -1: not reached in max_epochs


def agreement(workload, peer, settings, n_epochs=5):
    """Not a time: the mean training loss of the fifth epoch, to show that all peers do the same work."""
    runner = _runner(workload, peer, settings)

    def action():
        runner.reset(initial_weights(workload))
        return float(runner.train(n_epochs))

    return action, {}


SUITES = {
    "train": train,
    "gradient": gradient,
    "predict": predict,
    "digits": digits_to_quality,
    "tutorial": tutorial.suite,
    "estimator": estimators.fit,
    "estimator-predict": estimators.predict,
    "import": cold_start.importing,
    "first-fit": cold_start.first_fit,
    "first-fit-empty": cold_start.first_fit_empty,
    "memory": cold_start.memory,
    "agreement": agreement,
    "epoch": callbacks.epoch,
    "stack-train": stacks.train,
    "stack-predict": stacks.predict,
    "stack-agreement": stacks.agreement,
    "stack-first-fit-empty": stacks.first_fit_empty,
    "gan": stacks.gan,
}
