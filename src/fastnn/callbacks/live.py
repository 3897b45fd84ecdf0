"""A page in the browser that follows training."""

import copy
import time
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, cast

from fastnn.callbacks.base import Callback
from fastnn.callbacks.live_board import Board, Run, finite, layer_norms
from fastnn.common.attributes import Checked
from fastnn.common.validation import check_integer

if TYPE_CHECKING:
    from fastnn.callbacks.live_server import LiveServer

_NORMS_SECONDS = 0.25  # between two looks at the norms of layers, or a hundred times what one takes


def _serve(board: Board, port: int) -> "LiveServer":
    from fastnn.callbacks.live_server import LiveServer  # the web server is imported when there is a page

    return LiveServer(board, port)


def _check_name(name: str, value: Any) -> str | None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"{name} must be a string or None, got {value!r}")
    return value


def _check_sample(name: str, value: Any) -> tuple[Any, Any] | None:
    if value is not None and (not isinstance(value, tuple) or len(value) != 2):
        raise TypeError(f"{name} must be a tuple (X, y) or None, got {type(value).__name__}")
    return value


class LiveView(Callback):
    """Shows training in a browser: loss, metrics, learning rate and the norms of layers, as they come.

    It needs the extra: ``pip install "fastnn[live]"``. The page is served on 127.0.0.1 under an address with a random
    token, and loads nothing from anywhere else. It only shows: nothing can be changed through it, and closing it
    changes nothing. The view can follow many fits, one after the other or side by side (`fit_many`, a search in
    threads): each copy of it is a row of the page's table.

    Parameters
    ----------
    port : int, default 0
        Of 127.0.0.1, 0 to 65535; 0 takes a free one.
    name : str or None, default None
        What the page calls its fits; several are numbered.
    sample : tuple (X, y) or None, default None
        A few rows on which the gradient is taken four times a second at most, to show its norm in each layer.

    Attributes
    ----------
    url : str
        The page's address.

    Raises
    ------
    ValueError, TypeError
        If an argument is wrong.
    ImportError
        If the extra is not installed.
    OSError
        If the port is taken.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> X = np.linspace(-1, 1, 64)[:, None]
    >>> trainer = fastnn.Trainer(fastnn.Network.mlp(1, [8], 1, seed=0), loss="mse")
    >>> with fastnn.callbacks.LiveView() as view:
    ...     history = trainer.fit(X, X**2, epochs=3, callbacks=[view])
    ...     view.url.startswith("http://127.0.0.1:")
    True
    """

    _is_strict: ClassVar[bool] = True

    name = Checked(_check_name)
    sample = Checked(_check_sample)

    def __init__(self, port: int = 0, *, name: str | None = None, sample: tuple[Any, Any] | None = None):
        check_integer("port", port, 0, 65535)
        self.name, self.sample = name, sample
        self._board = Board()
        self._server: LiveServer = _serve(self._board, port)
        self._run: Run | None = None

    @property
    def url(self) -> str:
        return self._server.url

    def close(self) -> None:
        """Stop serving the page; it happens by itself when the process ends."""
        self._server.close()

    def __enter__(self) -> "LiveView":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __deepcopy__(self, memo: dict) -> "LiveView":
        """Return a view of another fit on the same page: what `fit_many` and scikit-learn's `clone` ask for."""
        other = object.__new__(LiveView)
        other.name, other.sample = self.name, self.sample
        other._board, other._server, other._run = self._board, self._server, None
        return other

    def copy_for(self, name: str, epochs: int) -> "LiveView":
        other = copy.deepcopy(self)
        other.name = f"{self.name}: {name}" if self.name else name
        return other

    def __reduce__(self) -> NoReturn:
        raise TypeError("a LiveView cannot go to another process: search with threads, or with n_jobs=1")

    def on_train_begin(self) -> None:
        self._run = self._board.new_run(self.name, self.trainer.network)
        self._next_norms = 0.0
        self._diverged = False

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        values = {name: finite(value) for name, value in logs.items()}
        values["learning rate"] = finite(self.trainer.learning_rate)
        groups: dict[str, dict[str, float | None]] = {}
        began = time.monotonic()
        if began >= self._next_norms:
            groups = self._norms()
            now = time.monotonic()
            self._next_norms = now + max(_NORMS_SECONDS, 100 * (now - began))
        assert self._run is not None
        self._board.add(self._run, epoch, values, groups)

    def _norms(self) -> dict[str, dict[str, float | None]]:
        network = self.trainer.network
        groups = {"norm of weights": layer_norms(network, network.parameters)}
        if self.sample is not None:
            _, gradient = network.loss_and_gradient(*self.sample, loss=cast(Any, self.trainer).loss)
            groups["norm of gradients"] = layer_norms(network, gradient)
        return groups

    def on_divergence(self, epoch: int, message: str) -> bool:
        self._diverged = True
        return False

    def on_train_end(self) -> None:
        if self._run is not None:
            reason = self.trainer.history.stop_reason
            norms = self._norms() if self._run.epochs_done else {}
            self._board.end(self._run, "diverged" if self._diverged else reason or "done", norms)
