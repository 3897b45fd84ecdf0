"""A team of plain Python threads that run one kernel together, for as long as one fit lasts.

The threads meet at barriers inside the kernels (see kernels/team.py). Python hands the helpers the arguments once; they
stay in the kernel, and the caller's next call with the same arguments finds them there.
"""

import _thread
import contextlib
import os
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from types import TracebackType
from typing import Any

import numpy as np

from fastnn.common.cpus import available_cpus, cpus_beside, keep_to
from fastnn.kernels.team import DISMISSED, GENERATION, POLLS, SHARED_SIZE

_POLLS = 400  # of a barrier before it gives the core away: about 20 us


class Team:
    """The calling thread and `n_threads - 1` helpers, which end with the team.

    Parameters
    ----------
    n_threads : int
        All of them, the caller included.
    is_wanted : bool, default False
        Whether a user asked for so many, so that others would be a surprise: bits depend on the number.

    Attributes
    ----------
    n_threads : int
        1 where more cannot be had: where the system lets this process start none, unless they are wanted, and where
        threads are not the system's (`are_real`).
    shared : ndarray of int64
        The barrier's memory, an argument of every kernel that the team runs.

    Raises
    ------
    RuntimeError
        If wanted threads cannot be started.
    """

    def __init__(self, n_threads: int, *, is_wanted: bool = False):
        if n_threads > 1 and not are_real():
            if is_wanted:
                warnings.warn(
                    f"n_threads={n_threads} becomes 1: gevent or eventlet has put its own threads in the place of the "
                    "system's, and those would wait for each other for ever",
                    RuntimeWarning,
                    stacklevel=4,
                )
            n_threads = 1
        try:
            self._set_up(n_threads)
        except RuntimeError as error:  # what Python raises where the system refuses a thread
            if is_wanted:
                raise RuntimeError(
                    f"n_threads={n_threads} threads cannot be started ({error}); n_threads=None takes what there is"
                ) from error
            self._set_up(1)

    def _set_up(self, n_threads: int) -> None:
        self.n_threads = n_threads
        self.shared = np.zeros(SHARED_SIZE, np.int64)
        # Polling helps only while every thread has a core.
        self._has_cores = 1 < n_threads <= available_cpus()
        self.shared[POLLS] = _POLLS if self._has_cores else 0
        self._errors: list[BaseException] = []
        self._start()

    def _start(self) -> None:
        self._process = os.getpid()
        self._call: tuple = ()  # what the helpers are in
        queues: list[SimpleQueue] = [SimpleQueue() for _ in range(1, self.n_threads)]
        self._queues = queues
        self._threads: list[threading.Thread] = []
        if not queues:
            return  # nobody to dismiss
        # Helpers hold no reference to the team: a team that was lost (Ctrl-C at the worst moment) dismisses them.
        self._dismiss = weakref.finalize(self, _dismiss, self.shared, queues)
        self._threads = [
            threading.Thread(
                target=_help, args=(i, queue, self.shared, self._errors), name=f"fastnn-helper-{i}", daemon=True
            )
            for i, queue in enumerate(queues, start=1)
        ]
        try:
            for thread in self._threads:
                thread.start()
        except BaseException:
            self.close()
            raise

    def run(self, kernel: Callable[..., object], jobs: Any, n_steps: int, *arguments: Any) -> None:
        """Call ``kernel(jobs, thread, n_steps, *arguments)`` in every thread; return when the caller's is done.

        The kernel has to end with a barrier, so that the others' are done as well; helpers stay in it for the next
        call with the same arguments, as `fastnn.kernels.train.run` does.

        Raises
        ------
        BaseException
            What the kernel raised in any thread; the team is closed then.
        """
        if self.n_threads == 1:
            kernel(jobs, 0, n_steps, *arguments)
            return
        if self._process != os.getpid():  # after a fork only the calling thread lives on
            self._dismiss.detach()
            self._start()
        call = (kernel, jobs, *arguments)
        try:
            if not _are_same(call, self._call):
                # Helpers in another kernel, or in this one with other arguments, come back for these.
                self.shared[GENERATION] += 1
                self._call = call
                cpus = cpus_beside() if self._has_cores else set()
                for queue in self._queues:
                    queue.put((cpus, *call))
            kernel(jobs, 0, n_steps, *arguments)
            if self._errors:
                raise self._errors[0]
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the helpers. A call that not all threads have entered is given up."""
        if not self._queues:
            return
        # Not by way of the finalizer, which would be spent if Ctrl-C came within it: this may be called again.
        _dismiss(self.shared, self._queues)
        self._dismiss.detach()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def __enter__(self) -> "Team":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def are_real() -> bool:
    """Whether Python's threads are the system's, rather than those that gevent or eventlet put in their place.

    Those take turns in one thread of the system, at places that they know: at a kernel's barrier the first waits.
    """
    return _thread.start_new_thread.__module__.partition(".")[0] not in ("gevent", "eventlet")


def share_out(work: Callable[[Any], object], items: Iterable[Any], n_threads: int) -> None:
    """Call ``work(item)`` for every item, in `n_threads` threads (the caller is one) that each take the next one.

    Parameters
    ----------
    work : callable
        Of one item; should release the GIL.
    items : iterable
        In the order in which they are begun.
    n_threads : int
        Threads; those beyond the caller's end before this returns. Where the system lets this process start fewer,
        those do the work.

    Raises
    ------
    BaseException
        What `work` raised first; items that were not begun then are left undone.

    Examples
    --------
    >>> from fastnn.engine.team import share_out
    >>> done = []
    >>> share_out(done.append, range(4), n_threads=2)
    >>> sorted(done)
    [0, 1, 2, 3]
    """
    waiting = deque(items)
    errors: list[BaseException] = []

    def take_all(cpus: set[int]) -> None:
        try:
            keep_to(cpus)
            while waiting:
                try:
                    item = waiting.popleft()
                except IndexError:  # another thread took the last one just now
                    return
                work(item)
        except BaseException as error:
            waiting.clear()
            errors.append(error)

    n_helpers = min(n_threads, len(waiting)) - 1 if are_real() else 0
    cpus = cpus_beside() if 1 <= n_helpers < available_cpus() else set()
    helpers = [threading.Thread(target=take_all, args=(cpus,), daemon=True) for _ in range(n_helpers)]
    try:
        with contextlib.suppress(RuntimeError):  # that no more can be started
            for helper in helpers:
                helper.start()
        take_all(set())
    finally:
        waiting.clear()
        for helper in helpers:
            if helper.ident is not None:
                helper.join()
    if errors:
        raise errors[0]


def _are_same(one: tuple, other: tuple) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))


def _dismiss(shared: np.ndarray, queues: list[SimpleQueue]) -> None:
    shared[DISMISSED] = 1
    for queue in queues:
        queue.put(None)


def _help(thread: int, queue: SimpleQueue, shared: np.ndarray, errors: list[BaseException]) -> None:
    """Do the calls that come in, until None comes."""
    while (call := queue.get()) is not None:
        cpus, kernel, jobs, *arguments = call
        try:
            keep_to(cpus)
            kernel(jobs, thread, 0, *arguments)
        except BaseException as error:
            # Not swallowed: the caller raises it. It would wait at a barrier otherwise.
            errors.append(error)
            shared[DISMISSED] = 1
            return
        del call, kernel, jobs, arguments
