"""How training scales with threads: ``python -m bench.threads [--rounds N] [--write]``.

Measures steps with one thread and with all CPUs, alternately; batches too small for the threads and threads too many
for the cores; many networks at once. Fits a model of a step to the measurements and says what 16 and 64 cores would
give on paper. ``--write`` puts all of it into bench/THREADS.md.
"""

import argparse
import inspect
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import fastnn
from bench.measure import alternate
from bench.results import Table
from bench.workloads import TRAIN, Workload, digits, make_data
from fastnn.cpus import available_cpus
from fastnn.engine import threads_to_train
from fastnn.kernels.gemm import PANEL
from fastnn.team import Team

HERE = Path(__file__).parent
NETWORKS = ((784, 512, 512, 10), (784, 256, 10), (64, 256, 10), (64, 64, 10))
BATCHES = (32, 64, 128, 256, 512, 1024)
CORE = [workload for workload in TRAIN if workload.section == "core" and workload.dtype == "float32"]
FIT_EPOCHS = (1, 5, 25, 100, 400)
CUT = ("784-512-512-10/128", "64-256-10/256")  # what two threads have to gain by
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
    """Seconds a step of fastnn, PyTorch and JAX, each with all CPUs: one run of the suite, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.json"
        command = [sys.executable, "-m", "bench.run", "--threads", str(available_cpus()), "-o", str(path)]
        for workload in CUT:
            command += ["-k", workload]
        for peer in PEERS:
            command += ["-p", peer]
        subprocess.run(command, check=True)
        table = Table.read(path)
        return {w: {p: table.median(w, p) for p in PEERS if table.median(w, p) is not None} for w in CUT}


def measure_many(rounds):
    """Seconds for 64 networks 64-64-10 on digits, one at a time and on all CPUs; and for one trained alone."""
    X, _, y, _ = digits()
    X = X.astype(np.float32)

    def trainer(seed):
        network = fastnn.Network.mlp(64, [64], 10, output="softmax", seed=seed)
        return fastnn.Trainer(network, loss="categorical_crossentropy")

    def alone():
        started = time.perf_counter()
        for seed in range(64):
            trainer(seed).fit(X, y, epochs=20, n_threads=1)
        return (time.perf_counter() - started) / 64

    def together(n_jobs):
        trainers = [trainer(seed) for seed in range(64)]
        started = time.perf_counter()
        fastnn.fit_many(trainers, X, y, n_jobs=n_jobs, epochs=20)
        return (time.perf_counter() - started) / 64

    together(None)
    times = medians({"alone": alone, "n_jobs=1": lambda: together(1), "all": lambda: together(None)}, rounds)
    print_row("64 networks, us a network", times)
    return times


def print_row(name, times):
    print(
        f"{name:28}",
        "  ".join(f"{key} {median:.1f} us (min {low:.1f})" for key, (median, low) in times.items()),
        flush=True,
    )


# --- the model ------------------------------------------------------------------------------------------------------


@dataclass
class Model:
    """Microseconds of a step with k threads.

        step(k) = row * rows of the busiest thread + fixed + update / k + 2 barrier(k) + line * lines * 2 (k - 1) / k

    `fixed` is what every thread does whatever its share (it writes a gradient of full size, and reads all weights
    afresh); `line` moves one cache line from another core: each thread takes (k - 1) / k of the gradients, once summed
    up, and of the new parameters. A barrier is one atomic addition after the other on one line, so it grows as k.
    From 100,000 parameters on no gradients are exchanged, but activations and deltas; `line` then stands for those too.
    """

    sizes: tuple[int, ...]
    row: float
    fixed: float
    update: float
    line: float
    barrier: float  # of the measured number of threads
    measured_threads: int

    @property
    def lines(self):
        return sum((i + 1) * o for i, o in zip(self.sizes, self.sizes[1:], strict=False)) / 16

    def step(self, k, batch):
        k = min(k, -(-batch // PANEL))
        if k == 1:
            return self.row * batch + self.fixed + self.update
        rows = -(-(-(-batch // PANEL)) // k) * PANEL
        barrier = self.barrier * k / self.measured_threads
        moved = self.line * self.lines * 2 * (k - 1) / k
        return self.row * min(rows, batch) + self.fixed + self.update / k + 2 * barrier + moved


def fit_model(sizes, table, update, barrier):
    """Least squares: row and fixed from the steps of one thread, line from what is left of those of k."""
    k = available_cpus()
    batches = [batch for batch in BATCHES if batch >= 2 * PANEL]
    ones = np.array([table[sizes, batch][1][0] for batch in batches])
    design = np.stack([np.array(batches, float), np.ones(len(batches))], axis=1) / ones[:, None]
    row, rest = np.linalg.lstsq(design, np.ones(len(batches)), rcond=None)[0]  # relative errors
    update = max(0.0, min(update, rest))
    model = Model(sizes, row, max(0.0, rest - update), update, 0.0, barrier, k)
    left = [table[sizes, batch][k][0] - model.step(k, batch) for batch in batches if -(-batch // PANEL) % k == 0]
    model.line = max(0.0, statistics.median(left)) / (model.lines * 2 * (k - 1) / k)
    return model


# --- the report -----------------------------------------------------------------------------------------------------


def markdown(header, rows):
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def report(workloads, table, crowds, barrier, models, many, short_fits, peers, load):
    k = available_cpus()
    name = {sizes: "-".join(map(str, sizes)) for sizes in NETWORKS}
    parts = [
        f"# Threads\n\nWritten by `python -m bench.threads --write`: {os.cpu_count()} CPUs, load average "
        f"{load:.1f} at the "
        f"start, NumPy {np.__version__}. Medians of alternating turns, microseconds a step, Adam, float32.\n",
        f"## One thread, {k} threads, and the automatic choice\n",
        markdown(
            ["network/batch", "1 thread", f"{k} threads", "speedup", "None takes", "None", "against 1 thread"],
            [
                [
                    workload, f"{t['one'][0]:.1f}", f"{t['all'][0]:.1f}", f"{t['one'][0] / t['all'][0]:.2f}", chosen,
                    f"{t['none'][0]:.1f}", f"{t['one'][0] / t['none'][0]:.2f}",
                ]
                for workload, chosen, t in workloads
            ],
        ),
        "## Whole fits of 64-256-10 at 256 rows, by the number of their epochs of 8 steps\n\nStarting and ending a team "
        "costs some tenths of a millisecond a fit, and the first steps find nothing in the caches.\n",
        markdown(
            ["epochs", *short_fits],
            [
                ["1 thread, ms", *(f"{t[1][0] / 1e3:.2f}" for t in short_fits.values())],
                [f"{k} threads, ms", *(f"{t[k][0] / 1e3:.2f}" for t in short_fits.values())],
                ["speedup", *(f"{t[1][0] / t[k][0]:.2f}" for t in short_fits.values())],
            ],
        ),
        f"## Against PyTorch and JAX with {k} threads\n\nFrom `python -m bench.run --threads {k}`, set up as "
        "[README.md](README.md) says; in brackets how many times fastnn's time.\n",
        markdown(
            ["network/batch", *PEERS],
            [
                [
                    w,
                    *(
                        f"{1e6 * times[p]:.1f} ({times[p] / times['fastnn']:.2f}x)" if p in times else "not installed"
                        for p in PEERS
                    ),
                ]
                for w, times in peers.items()
            ],
        ),
        f"## Efficiency as threads outnumber the batch\n\nSpeedup with {k} threads over {k}: 1 would be "
        "perfect. A batch "
        f"is cut by panels of {PANEL} rows, so one of {PANEL} stays with one thread.\n",
        markdown(
            ["network", *(f"{batch} rows" for batch in BATCHES)],
            [
                [name[s], *(f"{table[s, b][1][0] / table[s, b][k][0] / min(k, -(-b // PANEL)):.2f}" for b in BATCHES)]
                for s in NETWORKS
            ],
        ),
        f"784-256-10 at 2,048 rows with far more threads than the {k} cores: they share the cores without a "
        "livelock.\n",
        markdown(
            ["threads", *crowds],
            [["time over 1 thread's", *(f"{crowds[n][0] / crowds[1][0]:.2f}" for n in crowds)]],
        ),
        f"## On paper: 16 and 64 cores\n\n{inspect.cleandoc(Model.__doc__)}\n\nA barrier of {k} threads took "
        f"{barrier:.2f} us. Fitted:\n",
        markdown(
            ["network", "row, us", "fixed, us", "update, us", "line, ns", "largest error"],
            [
                [
                    name[m.sizes], f"{m.row:.3f}", f"{m.fixed:.1f}", f"{m.update:.1f}", f"{1e3 * m.line:.1f}",
                    f"{max(abs(m.step(n, b) / table[m.sizes, b][n][0] - 1) for b in BATCHES for n in (1, k)):.0%}",
                ]
                for m in models
            ],
        ),
        "Speedup over one thread that the model gives (not measured: no such machine was at hand). It "
        "assumes that a line "
        "costs the same from every core, which sockets do not.\n",
        markdown(
            ["network", *(f"{n} cores, {b} rows" for n in (16, 64) for b in (128, 512, 2048, 8192))],
            [
                [
                    name[m.sizes],
                    *(f"{m.step(1, b) / m.step(n, b):.1f}" for n in (16, 64) for b in (128, 512, 2048, 8192)),
                ]
                for m in models
            ],
        ),
        "So beyond a few cores one small network is the wrong thing to cut: `fit_many` has no barrier and "
        "moves no lines.\n",
        "## Many networks: 64 of 64-64-10 on digits, 20 epochs at 32\n",
        markdown(
            ["", "ms a network"],
            [
                ["`Trainer.fit`, one after the other", f"{many['alone'][0] / 1e3:.2f}"],
                ["`fit_many`, n_jobs=1", f"{many['n_jobs=1'][0] / 1e3:.2f}"],
                [f"`fit_many`, {k} CPUs", f"{many['all'][0] / 1e3:.2f} ({many['alone'][0] / many['all'][0]:.2f}x)"],
            ],
        ),
    ]  # fmt: skip
    return "\n".join(parts)


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.threads", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="turns of each (default 9)")
    parser.add_argument("--write", action="store_true", help="write bench/THREADS.md")
    parser.add_argument("--only", choices=("workloads", "many", "short"), help="one part, printed")
    arguments = parser.parse_args(argv)
    rounds, load = arguments.rounds, os.getloadavg()[0]
    if available_cpus() == 1:
        print("only one CPU is available to this process: nothing to compare")
        return 1
    if arguments.only:
        {"workloads": measure_workloads, "many": measure_many, "short": measure_short_fits}[arguments.only](rounds)
        return 0
    workloads, table, crowds = measure_workloads(rounds), measure_batches(rounds), measure_crowds(rounds)
    barrier, updates = measure_barrier(rounds), measure_updates(rounds)
    models = [fit_model(sizes, table, updates[sizes], barrier) for sizes in NETWORKS]
    many, short_fits, peers = measure_many(rounds), measure_short_fits(rounds), measure_peers()
    text = report(workloads, table, crowds, barrier, models, many, short_fits, peers, load)
    if arguments.write:
        (HERE / "THREADS.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
