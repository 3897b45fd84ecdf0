"""What runs in a peer's process. Imports nothing numerical before the process is held to its CPUs (see limits.py)."""

import gc
import sys
import traceback

from bench.limits import limit_threads
from bench.measure import Settings


class LocalWorker:
    """Does a peer's work in this process."""

    def __init__(self, peer: str, settings: Settings):
        self.peer, self.settings = peer, settings
        self.action, self.extra = None, {}

    def prepare(self, workload) -> None:
        from bench.suites import SUITES

        self.action, self.extra = SUITES[workload.kind](workload, self.peer, self.settings)

    def sample(self) -> float:
        return self.action()

    def finish(self) -> dict:
        """What was noted beside the times; the workload's memory is given back."""
        extra, self.action = self.extra, None
        gc.collect()
        return extra

    def close(self) -> None:
        self.action = None


def serve(pipe, peer: str, settings: Settings, source: str | None = None) -> None:
    """Answer requests from the pipe, each the name of a method of LocalWorker and its arguments, until it closes."""
    limit_threads(settings.threads)
    if source:
        sys.path.insert(0, source)
    from bench.peers import Unsupported

    worker = LocalWorker(peer, settings)
    gc.disable()
    while True:
        try:
            method, arguments = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            pipe.send(("done", getattr(worker, method)(*arguments)))
        except Unsupported as reason:
            pipe.send(("unsupported", str(reason)))
        except KeyboardInterrupt:
            return
        except Exception:
            pipe.send(("error", traceback.format_exc()))
