"""Progress that draws the learning curves as they grow: in a terminal as text, in a notebook as a picture.

A drawing costs time that training does not get. So each is followed by a pause of at least `_PAUSE` times what it took:
drawing has at most 1 % of a fit.
"""

import base64
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from fastnn.callbacks.base import Callback
from fastnn.callbacks.drawing import STYLES, panels_of, svg_charts, text_chart
from fastnn.callbacks.progress import (
    BAR_AFTER_SECONDS,
    REDRAW_SECONDS,
    ProgressBar,
    format_left,
    format_logs,
    format_seconds,
)

if TYPE_CHECKING:
    from rich.live import Live

_PAUSE = 100
_HEIGHT = 10


class Curves(Callback):
    """What both displays share: when to draw, and the words beside the curves.

    Parameters
    ----------
    epochs : int
        How many are to come.
    """

    def __init__(self, epochs: int):
        self.epochs = epochs

    def on_train_begin(self) -> None:
        self._done = 0
        self._logs: dict[str, float] = {}
        self._history: dict[str, list[float]] = {}
        self._started = time.perf_counter()
        self._next_draw = self._started + BAR_AFTER_SECONDS

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self._done += 1
        self._logs = logs
        for name, value in logs.items():
            self._history.setdefault(name, []).append(value)
        self._draw_if_due()

    def on_progress(self, rows_done: int, n_rows: int) -> None:
        self._draw_if_due()

    def on_train_end(self) -> None:
        if self._done:
            self._draw(is_last=True)

    def _draw_if_due(self) -> None:
        began = time.perf_counter()
        if began >= self._next_draw and self._done:
            self._draw(is_last=False)
            now = time.perf_counter()
            self._next_draw = now + max(REDRAW_SECONDS, _PAUSE * (now - began))

    def _draw(self, is_last: bool) -> None:
        raise NotImplementedError

    def _words(self) -> str:
        seconds = time.perf_counter() - self._started
        left = format_left(seconds * (self.epochs - self._done) / self._done)
        rate = f"{self._done / seconds:,.3g} epochs/s"
        words = [f"epoch {self._done}/{self.epochs}", format_seconds(seconds), rate, left, format_logs(self._logs)]
        return " - ".join(word for word in words if word)


class TerminalCurves(Curves):
    """Draws the loss over epochs as text, redrawn in place while stdout is a terminal; ``fastnn train --live`` has it.

    Where stdout is no terminal, only the last picture is printed.

    Parameters
    ----------
    epochs : int
        How many are to come.
    """

    def on_train_begin(self) -> None:
        super().on_train_begin()
        self._live: Live | None = None

    def _draw(self, is_last: bool) -> None:
        from rich.console import Console, Group
        from rich.live import Live
        from rich.text import Text

        console = Console(file=sys.stdout)
        if not is_last and not console.is_terminal:
            return
        n_epochs = max(self._done if is_last else self.epochs, 1)
        chart = text_chart(self._curves(), n_epochs, min(console.width, 100), _HEIGHT)
        picture = Group(Text.from_markup(chart), Text(self._words()))
        if self._live is None and not is_last:
            self._live = Live(picture, console=console, auto_refresh=False)
            self._live.start(refresh=True)
        elif self._live is not None:
            self._live.update(picture, refresh=True)
        else:
            console.print(picture)
        if is_last and self._live is not None:
            self._live.stop()
            self._live = None

    def _curves(self) -> dict[str, list[float]]:
        return {name: self._history[name] for name in ("loss", "val_loss") if name in self._history}


class FitsInTerminal(TerminalCurves):
    """Draws the losses of fits that run side by side, in one picture; ``fastnn train FILE --live`` has it.

    `copy_for` returns the callback of one fit; `close` draws the last picture.
    """

    def __init__(self) -> None:
        super().__init__(0)
        super().on_train_begin()
        self._lock = threading.Lock()
        self._n_done = 0
        self._shown: list[_Fit] = []
        self._latest: _Fit | None = None

    def copy_for(self, name: str, epochs: int) -> "_Fit":
        return _Fit(self, name, epochs)

    def close(self) -> None:
        """Draw the losses of the fits that ran last, which stay on the terminal."""
        with self._lock:
            self.on_train_end()

    def begin(self, fit: "_Fit") -> None:
        """Draw a fit from now on, and no longer the oldest ones that have ended."""
        with self._lock:
            ended = [shown for shown in self._shown if shown.has_ended]
            if len(ended) == len(self._shown) or len(self._shown) == len(STYLES):
                for shown in ended or self._shown[:1]:
                    self._shown.remove(shown)
            self._shown.append(fit)
            self.epochs = max(shown.epochs for shown in self._shown)

    def add(self, fit: "_Fit") -> None:
        """Draw, if that is due, what has come."""
        if self._lock.acquire(blocking=False):  # one thread draws, the others train on
            try:
                self._latest = fit
                self._done = max(len(shown.losses) for shown in self._shown)
                self._draw_if_due()
            finally:
                self._lock.release()

    def end(self) -> None:
        """Count a fit that has ended."""
        with self._lock:
            self._n_done += 1

    def _curves(self) -> dict[str, list[float]]:
        return {fit.name: list(fit.losses) for fit in self._shown if fit.losses}

    def _words(self) -> str:
        words = f"{self._n_done} networks trained - {format_seconds(time.perf_counter() - self._started)}"
        if self._latest is None or self._latest.has_ended:
            return words
        fit = self._latest
        return f"{words} - {fit.name}: epoch {len(fit.losses)}/{fit.epochs} - {format_logs({'loss': fit.losses[-1]})}"


class _Fit(Callback):
    """One of the fits of a `FitsInTerminal`."""

    def __init__(self, display: FitsInTerminal, name: str, epochs: int):
        self.display, self.name, self.epochs = display, name, epochs
        self.losses: list[float] = []
        self.has_ended = False

    def copy_for(self, name: str, epochs: int) -> "_Fit":
        return _Fit(self.display, f"{self.name}: {name}", epochs)

    def on_train_begin(self) -> None:
        self.display.begin(self)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.losses.append(logs["loss"])
        self.display.add(self)

    def on_train_end(self) -> None:
        self.has_ended = True
        self.display.end()


class NotebookCurves(Curves):
    """Draws the learning curves in a notebook's cell; ``verbose=1`` does so in Jupyter.

    One display is updated while training runs, and stays as a picture in the saved notebook.

    Parameters
    ----------
    epochs : int
        How many are to come.
    """

    def on_train_begin(self) -> None:
        super().on_train_begin()
        self._handle: Any = None

    def _draw(self, is_last: bool) -> None:
        from IPython.display import display

        n_epochs = self._done if is_last else self.epochs
        words, pictures = self._words(), ""
        for name, curves in panels_of(self._history).items():  # a picture each: a narrow page has them below each other
            svg = base64.b64encode(svg_charts({name: curves}, n_epochs).encode()).decode()
            address = f"data:image/svg+xml;base64,{svg}"
            pictures += f'<img style="max-width:100%;display:inline" alt="learning curves" src="{address}">'
        share = 100 * self._done / self.epochs
        page = (
            f'<progress value="{self._done}" max="{self.epochs}" aria-label="epochs">{share:.0f} %</progress> '
            f"{words}<br>{pictures}"
        )
        bundle = {"text/html": page, "text/plain": words}
        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        else:
            self._handle.update(bundle, raw=True)


def is_notebook() -> bool:
    """Whether this program runs in a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def progress_display(epochs: int, verbose: int) -> Callback:
    """Return what shows the progress of a fit: curves in a notebook, lines and a bar elsewhere."""
    return NotebookCurves(epochs) if verbose == 1 and is_notebook() else ProgressBar(epochs, verbose)
