"""What a live page shows, kept small while training runs.

Jobs:
- `Run`: the curves of one fit, at most `MOST_POINTS` epochs of them;
- `Board`: all runs of one page, read by the server's threads while training writes.
"""

import math
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fastnn.model.network import Network

MOST_POINTS = 2000  # of one run: then every second one is dropped, and only every second epoch added
_BINS = 40
_MOST_COUNTED = 5000  # weights of a tensor, at the end of a fit: counting all would cost a short one some per cent


def finite(value: float) -> float | None:
    """Return a number that JSON can write: None for NaN and infinities."""
    value = float(value)
    return value if math.isfinite(value) else None


def layer_norms(network: "Network", vector: np.ndarray) -> dict[str, float | None]:
    """Return the Euclidean norm of each layer's part of a vector of parameters."""
    squares: dict[str, float] = {}
    for variable in network.plan.variables:
        part = vector[variable.offset : variable.offset + variable.size]
        name = f"layer {variable.layer}"
        squares[name] = squares.get(name, 0.0) + float(np.vdot(part, part))
    return {name: finite(math.sqrt(square)) for name, square in squares.items()}


class Run:
    """The curves of one fit.

    Parameters
    ----------
    number : int
        Its place on the board.
    name : str
    network : Network
        Held weakly: a page does not keep networks alive.
    """

    def __init__(self, number: int, name: str, network: "Network"):
        self.number, self.name = number, name
        self.state = "training"
        self.epochs_done = 0
        self.latest: dict[str, float | None] = {}
        self.points: list[dict[str, Any]] = []
        self.stride, self.version = 1, 0
        self.started = time.time()
        self.seconds = 0.0
        self._network = weakref.ref(network)
        self._last: list[tuple[str, np.ndarray, np.ndarray]] = []  # the histograms at its end

    def add(self, epoch: int, values: dict[str, float | None], groups: dict[str, dict[str, float | None]]) -> None:
        """Add the values of an epoch, and norms by layer where they were taken."""
        self.epochs_done += 1
        self._last_epoch, self.latest = epoch + 1, values
        self.seconds = time.time() - self.started
        if (self.epochs_done - 1) % self.stride and not groups:
            return
        self.points.append({"epoch": epoch + 1, "values": values, "groups": groups})
        if len(self.points) > MOST_POINTS:
            self.points = self.points[::2]
            self.stride *= 2
            self.version += 1  # readers begin again

    def end(self, state: str, groups: dict[str, dict[str, float | None]]) -> None:
        """Say how it ended, and add the norms as they are then to the last epoch, which is shown in any case."""
        self.state = state
        self._last = self._counted(_MOST_COUNTED)
        if not self.epochs_done:
            return
        if self.points[-1]["epoch"] == self._last_epoch:
            self.points.pop()
            self.version += 1
        self.points.append({"epoch": self._last_epoch, "values": self.latest, "groups": groups})

    def row(self) -> dict[str, Any]:
        """Return its line of the table."""
        return {
            "run": self.number, "name": self.name, "state": self.state, "epochs": self.epochs_done,
            "seconds": round(self.seconds, 2), "latest": self.latest,
        }  # fmt: skip

    def histograms(self) -> list[dict[str, Any]]:
        """Return how the weights of each layer are spread now; at the end of the fit if the network is gone."""
        return [
            {"name": name, "counts": counts.tolist(), "edges": edges.tolist()}
            for name, counts, edges in self._counted() or self._last
        ]

    def _counted(self, most: int | None = None) -> list[tuple[str, np.ndarray, np.ndarray]]:
        network = self._network()
        if network is None:
            return []
        found = []
        for variable in network.plan.variables:
            part = network.parameters[variable.offset : variable.offset + variable.size].astype(np.float64)
            part = part[np.isfinite(part)][:: 1 if most is None else part.size // most + 1]
            if part.size:
                counts, edges = np.histogram(part, bins=_BINS)
                found.append((f"layer {variable.layer} {variable.name}", counts, edges))
        return found


class Board:
    """All runs that a page shows; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: list[Run] = []
        self._n_named: dict[str | None, int] = {}

    def new_run(self, name: str | None, network: "Network") -> Run:
        """Add a run; those of one name are numbered from the second on, those without a name from the first."""
        with self._lock:
            number = len(self._runs)
            n_before = self._n_named[name] = self._n_named.get(name, 0) + 1
            run = Run(number, name if name and n_before == 1 else f"{name or 'fit'} {n_before}", network)
            self._runs.append(run)
            return run

    def add(self, run: Run, *values: Any) -> None:
        """Add an epoch to a run."""
        with self._lock:
            run.add(*values)

    def end(self, run: Run, *values: Any) -> None:
        """Say how a run ended."""
        with self._lock:
            run.end(*values)

    def run(self, number: int) -> Run | None:
        """Return a run, or None if there is none of that number."""
        with self._lock:
            return self._runs[number] if 0 <= number < len(self._runs) else None

    def news(self, seen: dict[int, tuple[int, int, str]]) -> list[dict[str, Any]]:
        """Return what has come since `seen`, which is brought up to date: rows of runs, and their new points."""
        found = []
        with self._lock:
            for run in self._runs:
                version, n_points, mark = seen.get(run.number, (-1, 0, ""))
                now = f"{run.epochs_done} {run.state}"
                if version == run.version and mark == now:
                    continue
                restarts = version != run.version
                new = run.points if restarts else run.points[n_points:]
                found.append({**run.row(), "restarts": restarts, "points": list(new)})
                seen[run.number] = (run.version, len(run.points), now)
        return found
