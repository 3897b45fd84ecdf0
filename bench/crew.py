"""A worker for each peer, and the measuring of one workload by all of them in turn.

Each peer has a process of its own for the whole run, because libraries are not good neighbours: PyTorch eager took
208 us a step on 64-64-10 alone, 222 once torch.compile had run in its process, and 230 beside TensorFlow. All workers
inherit the same CPU; only the one whose turn it is works, the others wait on a pipe.
"""

import multiprocessing
import sys

from bench.measure import Measurement, Settings, alternate
from bench.peers import PEERS, Unsupported
from bench.worker import serve


class PeerFailure(Exception):
    """A peer broke down; the others go on without it."""

    def __init__(self, peer: str, text: str):
        super().__init__(text)
        self.peer = peer


class Worker:
    """A peer's work in a process of its own; ``source`` is a folder to import from before all others."""

    def __init__(self, peer: str, settings: Settings, source: str | None = None):
        self.peer = peer
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, peer, settings, source), daemon=False)
        self.process.start()
        other.close()

    def _ask(self, method, *arguments):
        try:
            self.pipe.send((method, arguments))
            kind, answer = self.pipe.recv()
        except (EOFError, OSError) as end:
            raise PeerFailure(self.peer, f"its process ended: {end!r}") from None
        if kind == "unsupported":
            raise Unsupported(answer)
        if kind == "error":
            raise PeerFailure(self.peer, answer)
        return answer

    def prepare(self, workload) -> None:
        self._ask("prepare", workload)

    def sample(self) -> float:
        return self._ask("sample")

    def finish(self) -> dict:
        return self._ask("finish")

    def close(self) -> None:
        self.pipe.close()  # the worker sees the end of the pipe and returns
        self.process.join(timeout=20)
        if self.process.is_alive():
            self.process.kill()


class Crew:
    """The workers of a run; a context manager that ends them."""

    def __init__(self, settings: Settings, worker=Worker):
        self.settings, self.make_worker, self.workers = settings, worker, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self.workers.values():
            worker.close()
        self.workers.clear()

    def measure(self, workload, peers=None) -> Measurement:
        """Measure one workload in those of ``peers`` (default: all it names) that are installed and can do it."""
        ready, skipped = [], {}
        for peer in peers or workload.peers:
            if missing := PEERS[peer].missing():
                skipped[peer] = f"{', '.join(missing)} not installed"
                continue
            if peer not in self.workers:
                self.workers[peer] = self.make_worker(peer, self.settings)
            try:
                self.workers[peer].prepare(workload)
                ready.append(peer)
            except Unsupported as reason:
                skipped[peer] = str(reason)
            except PeerFailure as failure:
                self._dismiss(failure, skipped)
        turns = self.settings.rounds_for(workload.kind)
        while True:
            try:
                samples = alternate({peer: self.workers[peer].sample for peer in ready}, turns)
                break
            except PeerFailure as failure:  # once more from the start, without it
                ready.remove(failure.peer)
                self._dismiss(failure, skipped)
        extra = {peer: self.workers[peer].finish() for peer in ready}
        result = Measurement(workload, self.settings.threads, samples, skipped, extra)
        for peer in ready:
            extra[peer] |= _describe(result, peer)
        return result

    def _dismiss(self, failure: PeerFailure, skipped: dict[str, str]) -> None:
        print(f"{failure.peer} failed:\n{failure}", file=sys.stderr)
        skipped[failure.peer] = f"FAILED: {str(failure).splitlines()[-1]}"
        self.workers.pop(failure.peer).close()  # the next workload gets a new process


def _describe(result: Measurement, peer: str) -> dict:
    """What stands beside a time: which workload, and where the step has matrix products, the distance to the limit."""
    workload, median = result.workload, result.median(peer)
    info = {
        "workload": workload.name,
        "peer": peer,
        "kind": workload.kind,
        "section": workload.section,
        "threads": result.threads,
        "seconds": median,
    }
    if "gemm" in result.samples:  # the limit of dense networks
        info["gemm_seconds"] = result.median("gemm")
        info["over_gemm"] = median / info["gemm_seconds"]
        info["gflops"] = workload.gemm_flops / median * 1e-9
        info["peak_gflops"] = result.extra["gemm"]["peak_gflops"]
        info["share_of_peak"] = info["gflops"] / info["peak_gflops"]
    if "sgemm" in result.samples:
        info["flops"] = result.extra["sgemm"]["flops"]
        info["gflops"] = info["flops"] / median * 1e-9
        if info["flops"]:  # an embedding has next to none
            info["over_flops"] = median / result.median("sgemm")
    return info
