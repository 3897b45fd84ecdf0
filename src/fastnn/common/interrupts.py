"""Ctrl-C at moments when it does no harm: what has to be tidied up after the first is left in peace by the next."""

import signal
import threading
from collections.abc import Callable
from typing import Any


class InterruptGate:
    """Lets one Ctrl-C through, and holds others back until the clean-up that follows it is done.

    Within the ``with`` block the gate is closed until `open` is called. The Ctrl-C that passes closes it again, and so
    does ``gate.is_closed = True``; those that come while it is closed are kept, and the last of them is delivered when
    the block ends (or when `open` is called). Only the main thread has anything to do with Ctrl-C: elsewhere, or where
    it is handled by something else than a Python function, the gate does nothing.

    Examples
    --------
    >>> from fastnn.common.interrupts import InterruptGate
    >>> with InterruptGate() as gate:
    ...     gate.open()
    ...     try:
    ...         pass  # what may be interrupted
    ...     finally:
    ...         gate.is_closed = True
    ...         # what has to be done in any case
    """

    def __init__(self) -> None:
        self.is_closed = True
        self._handler: Callable[[int, Any], Any] | None = None
        self._is_waiting = False

    def __enter__(self) -> "InterruptGate":
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            if callable(handler):
                self._handler = handler
                try:
                    signal.signal(signal.SIGINT, self._handle)
                except ValueError:  # the main thread of an interpreter beside the main one
                    self._handler = None
        return self

    def _handle(self, number: int, frame: Any) -> None:
        if self.is_closed:
            self._is_waiting = True
            return
        self.is_closed = True
        assert self._handler is not None
        self._handler(number, frame)  # raises KeyboardInterrupt, unless the program has a handler of its own
        self.is_closed = False

    def open(self) -> None:
        """Let the next Ctrl-C pass, or the one that waits."""
        self.is_closed = False
        self._deliver()

    def _deliver(self) -> None:
        if self._is_waiting and self._handler is not None:
            self._is_waiting = False
            self.is_closed = True
            self._handler(signal.SIGINT, None)
            self.is_closed = False

    def __exit__(self, *error: object) -> None:
        if self._handler is None:
            return
        if signal.getsignal(signal.SIGINT) == self._handle:  # nobody has put another one in its place meanwhile
            signal.signal(signal.SIGINT, self._handler)
        self._deliver()
