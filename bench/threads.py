"""How training scales with threads; what ``python -m bench threads`` measures.

Steps with one thread and with all CPUs, alternately; batches too small for the threads and threads too many for the
cores; many networks at once. A model of a step is fitted to the measurements and says what 16 and 64 cores would give
on paper.
"""

import statistics
import time

import numpy as np

import fastnn
from bench.crew import Crew
from bench.measure import Settings, alternate
from bench.results import load_average, machine
from bench.targets import CUT
from bench.threads_model import fit_model
from bench.threads_report import Measured
from bench.workloads import TRAIN, Workload, digits, make_data
from fastnn.common.cpus import available_cpus
from fastnn.engine.team import Team
from fastnn.engine.workspace import threads_to_train

NETWORKS = ((784, 512, 512, 10), (784, 256, 10), (64, 256, 10), (64, 64, 10))
BATCHES = (32, 64, 128, 256, 512, 1024)
CORE = [workload for workload in TRAIN if workload.section == "core" and workload.dtype == "float32"]
FIT_EPOCHS = (1, 5, 25, 100, 400)
PEERS = ("fastnn", "torch", "torch-compile", "jax")
SECONDS = 0.25  # of one turn, a whole fit: what starting a team of threads costs is in it


def stepper(sizes, batch, n_threads, data=None, **options):
    """A function that trains for about SECONDS and returns the seconds of one step."""
    name = "-".join(map(str, sizes))
    n_rows = max(2048, 4 * batch)
    X, y = data or make_data(Workload(f"{name}/{batch}", "train", sizes, batch, n_rows))
    linear = y.ndim == 2
    network = fastnn.Network.mlp(sizes[0], sizes[1:-1], sizes[-1], output="linear" if linear else "softmax", seed=0)
    trainer = fastnn.Trainer(network, loss="mse" if linear else "categorical_crossentropy", **options)
    steps = -(-len(X) // batch)

    def run(epochs):
        started = time.perf_counter()
        trainer.fit(X, y, epochs=epochs, batch_size=batch, n_threads=n_threads, seed=0)
        return (time.perf_counter() - started) / (epochs * steps)

    run(3)
    epochs = max(3, round(SECONDS / (run(3) * steps)))
    return lambda: run(epochs)


def medians(actions, rounds):
    """Medians and minima of alternating samples, in microseconds."""
    samples = alternate(actions, rounds)
    return {key: (1e6 * statistics.median(s), 1e6 * min(s)) for key, s in samples.items()}


# --- the parts ------------------------------------------------------------------------------------------------------


def measure_workloads(rounds):
    """One thread, all CPUs, and what `n_threads=None` takes, for the core workloads."""
    k = available_cpus()
    rows = []
    for workload in CORE:
        batch = workload.step_rows
        make = [stepper(workload.sizes, batch, n, make_data(workload)) for n in (1, k, None)]
        times = medians(dict(zip(("one", "all", "none"), make, strict=True)), rounds)
        plan = fastnn.Network.mlp(workload.sizes[0], workload.sizes[1:-1], workload.sizes[-1]).plan
        rows.append((workload.name, threads_to_train(plan, np.dtype(np.float32), batch, None), times))
        print_row(workload.name, times)
    return rows


def measure_batches(rounds):
    """Seconds a step for every network and batch with 1 and k threads: how much of a batch a thread needs."""
    k = available_cpus()
    table = {}
    for sizes in NETWORKS:
        for batch in BATCHES:
            actions = {n: stepper(sizes, batch, n) for n in (1, k)}
            table[sizes, batch] = medians(actions, rounds)
            print_row(f"{sizes}/{batch}", table[sizes, batch])
    return table


def measure_crowds(rounds):
    """Far more threads than cores, 784-256-10 at 2,048 rows (64 panels)."""
    counts = (1, 2, 4, 8, 16, 64)
    times = medians({n: stepper((784, 256, 10), 2048, n) for n in counts}, rounds)
    print_row("threads beyond cores", times)
    return times


def measure_barrier(rounds):
    """Microseconds of a barrier for all CPUs: steps of a network so small that little else is left."""
    from numba import njit

    from fastnn.kernels.jit import FLAGS
    from fastnn.kernels.team import wait_for_all

    @njit(**FLAGS)
    def meet(jobs, thread, n_steps, shared, n_threads, times):
        for _ in range(times):
            wait_for_all(shared, n_threads)

    with Team(available_cpus()) as team:

        def run(times):
            started = time.perf_counter()
            team.run(meet, np.empty(0), 1, team.shared, team.n_threads, times)  # other arguments: a new call
            return (time.perf_counter() - started) / times

        run(10)
        return 1e6 * min(run(20_000) for _ in range(max(3, rounds)))


def measure_updates(rounds):
    """Microseconds of an optimizer's pass over the parameters: a step with Adam less one with plain SGD, and more."""
    times = {}
    for sizes in NETWORKS:
        adam = stepper(sizes, 32, 1)
        sgd = stepper(sizes, 32, 1, optimizer=fastnn.SGD(1e-3))
        found = medians({"adam": adam, "sgd": sgd}, rounds)
        times[sizes] = found["adam"][0] - found["sgd"][0]
    return times


def measure_short_fits(rounds):
    """Seconds of whole fits of 64-256-10 at 256 rows, 8 steps an epoch, by the number of their epochs."""
    sizes, batch = (64, 256, 10), 256
    X, y = make_data(Workload("64-256-10/256", "train", sizes, batch, 2048))

    def fit(n_threads, epochs):
        network = fastnn.Network.mlp(sizes[0], sizes[1:-1], sizes[-1], output="softmax", seed=0)
        trainer = fastnn.Trainer(network, loss="categorical_crossentropy")

        def run():
            started = time.perf_counter()
            trainer.fit(X, y, epochs=epochs, batch_size=batch, n_threads=n_threads, seed=0)
            return time.perf_counter() - started

        run()
        return run

    table = {}
    for epochs in FIT_EPOCHS:
        table[epochs] = medians({n: fit(n, epochs) for n in (1, available_cpus())}, 3 * rounds)
        print_row(f"fit of {epochs} epochs", table[epochs])
    return table


def measure_peers():
    """Seconds a step of fastnn, PyTorch and JAX, each with all CPUs and in a process of its own."""
    by_workload = {}
    with Crew(Settings(threads=available_cpus())) as crew:
        for workload in TRAIN:
            if workload.name in CUT:
                result = crew.measure(workload, [p for p in PEERS if p in workload.peers])
                by_workload[workload.name] = {p: result.median(p) for p in result.samples}
    return by_workload


def measure_many(rounds):
    """Seconds a network for 64 of 64-64-10 on digits: fits one after the other, `fit_many` in one thread and in all."""
    X, _, y, _ = digits()
    X = X.astype(np.float32)

    def timed(train):
        networks = [fastnn.Network.mlp(64, [64], 10, output="softmax", seed=seed) for seed in range(64)]
        trainers = [fastnn.Trainer(network, loss="categorical_crossentropy") for network in networks]
        started = time.perf_counter()
        train(trainers)
        return (time.perf_counter() - started) / 64

    def alone(trainers):
        for trainer in trainers:
            trainer.fit(X, y, epochs=20, n_threads=1)

    def together(n_jobs):
        return lambda: timed(lambda trainers: fastnn.fit_many(trainers, X, y, n_jobs=n_jobs, epochs=20))

    together(None)()
    times = medians({"alone": lambda: timed(alone), "one": together(1), "all": together(None)}, rounds)
    print_row("64 networks, us a network", times)
    return times


def print_row(name, times):
    print(
        f"{name:28}",
        "  ".join(f"{key} {median:.1f} us (min {low:.1f})" for key, (median, low) in times.items()),
        flush=True,
    )


PARTS = {"workloads": measure_workloads, "many": measure_many, "short": measure_short_fits}


def measure(rounds: int) -> Measured:
    """All parts."""
    k, conditions, load = available_cpus(), machine(available_cpus()), load_average() or 0.0
    workloads, table, crowds = measure_workloads(rounds), measure_batches(rounds), measure_crowds(rounds)
    barrier, updates = measure_barrier(rounds), measure_updates(rounds)
    models = [fit_model(sizes, table, updates[sizes], barrier, k) for sizes in NETWORKS]
    many, short_fits, peers = measure_many(rounds), measure_short_fits(rounds), measure_peers()
    return Measured(k, workloads, table, crowds, barrier, models, many, short_fits, peers, conditions, load)
