"""What training on a Dask cluster costs and gains: writes bench/DISTRIBUTED.md.

Run as ``python -m bench.distributed`` with some of speed, overhead, loss-digits, loss-table, kills and report, or with
none for all. All processes are on this machine and talk over loopback. Speed alternates between one worker process and
two, so that other load hits both alike.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np

import fastnn
from fastnn import distributed as fd

HERE = pathlib.Path(__file__).parent
RAW = HERE / "distributed.json"
PAGE = HERE / "DISTRIBUTED.md"
ROWS, CHUNKS = 1_000_000, 16


def trainer_of(layers: tuple[int, ...], loss: str = "categorical_crossentropy", **options: Any) -> fastnn.Trainer:
    output = "softmax" if loss == "categorical_crossentropy" else "linear"
    network = fastnn.Network.mlp(layers[0], layers[1:-1], layers[-1], output=output, seed=0)
    return fastnn.Trainer(network, loss=loss, **options)


def clusters(*sizes: int) -> list[Any]:
    from distributed import Client, LocalCluster

    made = []
    for n in sizes:
        cluster = LocalCluster(n_workers=n, threads_per_worker=1, dashboard_address=":0", memory_limit=0)
        made.append(Client(cluster, set_as_default=False))
    return made


def close(clients: list[Any]) -> None:
    for client in clients:
        cluster = client.cluster
        client.close()
        cluster.close()


def make_chunk(number: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """A chunk of a table of 64 columns whose class a small random network decides."""
    rng = np.random.default_rng(number)
    X = rng.normal(size=(rows, 64)).astype(np.float32)
    W = np.random.default_rng(10_000).normal(size=(64, 10)).astype(np.float32)
    return X, np.argmax(np.tanh(X) @ W + rng.gumbel(size=(rows, 10)).astype(np.float32), axis=1)


def table_on(client: Any, rows: int = ROWS, chunks: int = CHUNKS) -> tuple[list[Any], list[Any]]:
    """The table as futures in runs of neighbours: made on the workers, the first worker's first."""
    workers = sorted(client.nthreads())
    xs, ys = [], []
    for i in range(chunks):
        where = {"workers": workers[i * len(workers) // chunks], "allow_other_workers": True}
        pair = client.submit(make_chunk, i, rows // chunks, **where)
        xs.append(client.submit(lambda p: p[0], pair, **where))
        ys.append(client.submit(lambda p: p[1], pair, **where))
    client.gather(client.map(len, xs))
    return xs, ys


def plain_process(go: Any, results: Any, fits: int) -> None:
    """Train a chunk of the table again and again, as a worker does, in a process without Dask; tell the seconds."""
    X, y = make_chunk(0, ROWS // CHUNKS)
    trainer = trainer_of((64, 256, 10))
    trainer.fit(X, y, n_threads=1)
    while True:
        results.put("ready")
        go.wait()
        go.clear()
        began = time.perf_counter()
        for _ in range(fits):
            trainer.fit(X, y, n_threads=1)
        results.put(time.perf_counter() - began)


def plain(turns: int, fits: int = 16) -> list[float]:
    """What two processes without Dask gain over one, in turns: twice the work in the time of the slower."""
    context = multiprocessing.get_context("spawn")
    results, signs = context.Queue(), [context.Event() for _ in range(2)]
    processes = [context.Process(target=plain_process, args=(go, results, fits), daemon=True) for go in signs]
    for process in processes:
        process.start()

    def seconds(signs: list[Any]) -> float:
        for go in signs:
            go.set()
        found = [results.get() for _ in range(2 * len(signs))]
        return max(value for value in found if value != "ready")

    for _ in processes:
        results.get()
    gains = [2 * seconds(signs[:1]) / seconds(signs) for _ in range(turns)]
    for process in processes:
        process.terminate()
        process.join()
    return gains


def speed(turns: int, rounds: int = 10) -> dict[str, Any]:
    """Wall time of rounds of one worker process and of two, in turns."""
    load = os.getloadavg()
    gains = plain(turns)
    clients = clusters(1, 2)
    data = [table_on(client) for client in clients]
    seconds: list[list[float]] = [[], []]
    waiting: list[list[float]] = [[], []]
    moved = 0.0
    for turn in range(-1, turns):
        for i, client in enumerate(clients):
            trainer = trainer_of((64, 256, 10))
            history = fd.fit(trainer, *data[i], rounds=rounds if turn >= 0 else 1, client=client)
            if turn >= 0:
                seconds[i].append(sum(history.seconds))
                waiting[i].append(statistics.median(history.history["waiting"]))
                moved = max(moved, *history.history["bytes_moved"][1:])
    close(clients)
    return {"plain": gains, "one": seconds[0], "two": seconds[1], "waiting": waiting, "moved": moved,
            "parameters": trainer.network.parameters.nbytes, "load": load}  # fmt: skip


# What a round of few rows is, by name: optimizer, rows a batch of the 256 of a shard.
OVERHEADS = {
    "SGD": (fastnn.SGD(0.01), 32),
    "Adam, 128 steps a round": (fastnn.Adam(), 2),
    "Adam, 8 steps a round": (fastnn.Adam(), 32),
}


def overhead(rounds: int) -> dict[str, Any]:
    """Time of a round beside its compute: two workers, parameters of 1 MB, few rows; the forms in turns."""
    result: dict[str, Any] = {"load": os.getloadavg()}
    [client] = clusters(2)
    X, y = table_on(client, 2 * 256, 2)
    trainers = {name: trainer_of((64, 3334, 10), optimizer=OVERHEADS[name][0]) for name in OVERHEADS}  # 250,060 each
    result["forms"] = {name: {"beside": []} for name in OVERHEADS}
    for _ in range(3):
        for name, trainer in trainers.items():
            history = fd.fit(trainer, X, y, rounds=rounds, batch_size=OVERHEADS[name][1], client=client)
            # Both train at once; `waiting` is the share of the two threads' time in which they did not.
            columns = history.history
            beside = [s * w for s, w in zip(history.seconds, columns["waiting"], strict=True)][2 - rounds :]
            found = result["forms"][name]
            found["beside"] += beside
            found["moved"] = statistics.median(columns["bytes_moved"]) / trainer.network.parameters.nbytes
    close([client])
    return result


def in_this_process(
    make: Any, X: np.ndarray, y: np.ndarray, rounds: int, parts: int, outer: Any, *, keeps: bool
) -> fastnn.Trainer:
    """Local SGD in this process, as `fit` but for the moments: averaged whole, or kept by each shard."""
    from fastnn.distributed import carrier, work
    from fastnn.distributed.outer import OuterStep

    trainer = make()
    step = None if outer is None else OuterStep(outer)
    shards = list(zip(np.array_split(X, CHUNKS), np.array_split(y, CHUNKS), strict=True))
    kept: list[Any] = [None] * CHUNKS
    member = carrier.trainer_of(carrier.start_of(trainer))
    for turn in range(rounds):
        now = carrier.now_of(trainer, ())
        results = []
        for i, (a, b) in enumerate(shards):
            carrier.begin(member, now, seed=work.shard_seed(now.state["seed"], i))
            if keeps and kept[i] is not None:
                member.moments[:] = kept[i]
            member.fit(a[turn % parts :: parts], b[turn % parts :: parts], n_threads=1)
            kept[i] = member.moments.copy()
            results.append(carrier.vector_of(member))
        vectors = zip(*(result.parts for result in results), strict=True)
        means = [np.mean(parts, axis=0, dtype=np.float64).astype(parts[0].dtype) for parts in vectors]
        if step is not None:
            means[0] = step.step(trainer.network.parameters, means[0])
        carrier.take(trainer, means, member.step, trainer.epochs_done + 1)
    return trainer


def digits() -> tuple[np.ndarray, ...]:
    """1,437 digits, 50 noisy copies of each; the other 360 as a test."""
    from fastnn import datasets

    found = datasets.load("digits")
    order = np.random.default_rng(0).permutation(len(found.X))
    X, y = (found.X / 16).astype(np.float32)[order], found.y[order]
    cut = 1437
    rng = np.random.default_rng(1)
    copies = [X[:cut] + rng.normal(scale=0.05, size=(cut, 64)).astype(np.float32) for _ in range(50)]
    return np.concatenate(copies), np.tile(y[:cut], 50), X[cut:], y[cut:]


def table(rows: int) -> tuple[np.ndarray, ...]:
    """The table of the other figures, and a seventeenth chunk as a test."""
    chunks = [make_chunk(i, rows // CHUNKS) for i in range(CHUNKS + 1)]
    X, y = (np.concatenate(part) for part in zip(*chunks[:CHUNKS], strict=True))
    return X, y, *chunks[CHUNKS]


def nesterov(momentum: float) -> fastnn.SGD:
    return fastnn.SGD(0.7, momentum=momentum, nesterov=True)


# Rows a batch, rate, rounds a pass, momentum of `outer` (0: none).
FORMS = [
    (32, 1e-3, 1, 0), (32, 4e-3, 1, 0), (32, 1e-3, 1, 0.9), (32, 4e-3, 4, 0.9), (32, 4e-3, 16, 0), (32, 1e-3, 16, 0.9),
    (32, 4e-3, 16, 0.9), (8, 8e-3, 1, 0.5), (2, 4e-3, 4, 0), (2, 4e-3, 4, 0.5), (2, 4e-3, 4, 0.7),
]  # fmt: skip
# By data: the form of the table's rows, of several seeds; for data that a network learns by heart, and for others.
BEST = {"digits": ((2, 4e-3, 4, 0.7), 12), "table": ((32, 4e-3, 16, 0.9), 3)}


def losses(data: tuple[np.ndarray, ...], kind: str, passes: int = 10) -> dict[str, list[float]]:
    """Training and test loss after equal passes: plain fit, and 16 shards in several forms."""
    import dask.array as da

    from distributed import Client

    X, y, test_X, test_y = data
    order = np.random.default_rng(2).permutation(len(X))
    X, y = X[order], y[order]
    found: dict[str, list[float]] = {}
    best, seeds = BEST[kind]

    def make(rate: float = 1e-3, seed: int = 0) -> fastnn.Trainer:
        network = fastnn.Network.mlp(64, [64], 10, output="softmax", seed=seed)
        return fastnn.Trainer(network, loss="categorical_crossentropy", optimizer=fastnn.Adam(rate))

    def note(label: str, trainer: fastnn.Trainer) -> None:
        found[label] = [trainer.evaluate(X, y)["loss"], trainer.evaluate(test_X, test_y)["loss"]]
        print(label, found[label], flush=True)

    for seed in range(seeds):
        plain = make(seed=seed)
        plain.fit(X, y, epochs=passes, n_threads=1)
        note(seeded("plain fit", seed), plain)
    plain = make(4e-3)
    plain.fit(X, y, epochs=passes, batch_size=32 * CHUNKS, n_threads=1)
    note("plain fit, batches of 512, rate 0.004", plain)
    chunks = -(-len(X) // CHUNKS)
    # Bits depend on shards alone, so that one process stands for any cluster.
    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0") as client:
        a, b = client.persist([da.from_array(X, chunks=(chunks, 64)), da.from_array(y, chunks=chunks)])
        for form in FORMS if kind == "digits" else FORMS[:7]:  # steps of few rows take long, and lose there
            batch, rate, parts, momentum = form
            for seed in range(seeds if form == best else 1):
                trainer = make(rate, seed)
                fd.fit(
                    trainer, a, b, rounds=passes * parts, rounds_per_epoch=parts, batch_size=batch, client=client,
                    outer=nesterov(momentum) if momentum else None,
                )  # fmt: skip
                note(seeded(label_of(*form), seed), trainer)
    for how, keeps in (("averaged whole", False), ("kept by shards", True)):
        note(
            f"{label_of(32, 4e-3, 16, 0.9)}, moments {how}",
            in_this_process(lambda: make(4e-3), X, y, passes * 16, 16, nesterov(0.9), keeps=keeps),
        )
    return found


def label_of(batch: int, rate: float, parts: int, momentum: float) -> str:
    """Name a form of `losses`."""
    words = ["1 round a pass" if parts == 1 else f"{parts} rounds a pass", f"rate {rate:g}"]
    if batch != 32:
        words.insert(0, f"batches of {batch}")
    if momentum:
        words.append(f"outer Nesterov {momentum:g}")
    return ", ".join(words)


def seeded(label: str, seed: int) -> str:
    """Name a form with a seed; the first has no name."""
    return f"{label}, seed {seed}" if seed else label


def kills(times: int, phase: str) -> dict[str, Any]:
    """The test that kills workers in a phase of a fit, as often as asked."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", "tests/distributed/test_faults.py", "-k", f"any_phase and {phase}"]
    environment = {**os.environ, "FASTNN_KILLS": str(times)}
    done = subprocess.run(command, cwd=HERE.parent, env=environment, capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    return {
        "times": times, "passed": done.returncode == 0, "last": lines[-1], "seconds": time.perf_counter() - began,
        "errors": [line for line in lines if line.startswith(("E  ", "FAILED"))][:20],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "what", nargs="*", default=["speed", "overhead", "loss-digits", "loss-table", "kills", "report"]
    )
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--phases", nargs="+", default=["load", "start", "train", "average"])
    arguments = parser.parse_args()
    raw = json.loads(RAW.read_text()) if RAW.exists() else {}
    for what in arguments.what:
        if what == "speed":
            raw["speed"] = speed(arguments.turns)
        elif what == "overhead":
            raw["overhead"] = overhead(20)
        elif what == "loss-digits":
            raw.setdefault("losses", {})["digits x 50"] = losses(digits(), "digits")
        elif what == "loss-table":
            raw.setdefault("losses", {})[f"table of {arguments.rows:,} rows"] = losses(table(arguments.rows), "table")
        elif what == "kills":
            for phase in arguments.phases:
                raw.setdefault("kills", {})[phase] = kills(arguments.times, phase)
        elif what == "report":
            from bench.distributed_report import report

            PAGE.write_text(report(raw), encoding="utf-8")
        raw["machine"] = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
        RAW.write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
