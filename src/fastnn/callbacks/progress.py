"""What a person sees while a network trains: a line an epoch, and a bar on a terminal when it takes long.

Drawing must not slow training, and thousands of fast epochs must not scroll the terminal: an epoch has its line if it
took long enough to be read, if it is one of about twenty evenly spaced ones, or if it is the last. The bar is redrawn
ten times a second at most, and comes only after a moment.
"""

import sys
import time
from typing import TYPE_CHECKING, Any

from fastnn.callbacks.base import Callback

if TYPE_CHECKING:
    from rich.progress import Progress

REDRAW_SECONDS = 0.1
BAR_AFTER_SECONDS = 0.5
MOST_LINES = 20  # of epochs that are faster than a redraw


def format_number(value: float) -> str:
    """Return four decimals, or an exponent where they would say little: "0.1234", "1.234e-05".

    Examples
    --------
    >>> from fastnn.callbacks.progress import format_number
    >>> format_number(0.98765), format_number(1.2345e-5)
    ('0.9877', '1.234e-05')
    """
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3e}"


def format_seconds(seconds: float) -> str:
    """Return a duration of about three digits: "0.52ms", "31ms", "2.75s", "3m08s", "2h05m".

    Examples
    --------
    >>> from fastnn.callbacks.progress import format_seconds
    >>> format_seconds(0.031), format_seconds(188)
    ('31ms', '3m08s')
    """
    if seconds < 0.00995:
        return f"{1e3 * seconds:.2f}ms"
    if seconds < 0.9995:
        return f"{1e3 * seconds:.0f}ms"
    if seconds < 59.995:
        return f"{seconds:.2f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    return f"{minutes // 60}h{minutes % 60:02d}m"


def format_left(seconds: float) -> str:
    """Return "6s left" or "3m08s left", and nothing for the last moment."""
    if seconds < 1:
        return ""
    return f"{seconds:.0f}s left" if seconds < 59.5 else f"{format_seconds(max(seconds, 60.0))} left"


def format_logs(logs: dict[str, float]) -> str:
    """Return "loss: 0.1234 - accuracy: 0.9876"."""
    return " - ".join(f"{name}: {format_number(value)}" for name, value in logs.items())


def line_interval(epochs: int) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, 50, ... that leaves at most `MOST_LINES` lines of `epochs`.

    Examples
    --------
    >>> from fastnn.callbacks.progress import line_interval
    >>> line_interval(20), line_interval(100), line_interval(1500)
    (1, 5, 100)
    """
    power = 1
    while True:
        for step in (power, 2 * power, 5 * power):
            if epochs <= step * MOST_LINES:
                return step
        power *= 10


class ProgressBar(Callback):
    """Shows the progress of `Trainer.fit`; ``verbose`` makes one.

    Parameters
    ----------
    epochs : int
        How many are to come.
    verbose : int, default 1
        1 shows lines and a bar where stdout is a terminal, and nothing elsewhere. 2 prints a plain line for each
        epoch, wherever stdout leads.
    """

    def __init__(self, epochs: int, verbose: int = 1):
        self.epochs = epochs
        self.verbose = verbose

    def on_train_begin(self) -> None:
        self._prints_all = self.verbose == 2
        self._shows = self._prints_all or (self.verbose == 1 and sys.stdout is not None and sys.stdout.isatty())
        self._first = self.trainer.epochs_done
        self._interval = line_interval(self.epochs)
        self._bar: Progress | None = None
        self._unprinted: tuple[int, float, dict[str, float]] | None = None
        self._done = 0
        self._latest = ""
        self._train_started = time.perf_counter()
        self._next_draw = self._train_started + BAR_AFTER_SECONDS

    def on_epoch_begin(self, epoch: int) -> None:
        self._epoch_started = time.perf_counter()

    def on_progress(self, rows_done: int, n_rows: int) -> None:
        """Move the bar within an epoch; the trainer calls this after each kernel call."""
        if self._shows and not self._prints_all and time.perf_counter() >= self._next_draw:
            self._draw(self._done + rows_done / n_rows)

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if not self._shows:
            return
        now = time.perf_counter()
        self._done = done = epoch - self._first + 1
        seconds = now - self._epoch_started
        is_due = self._prints_all or seconds >= REDRAW_SECONDS or done % self._interval == 0 or done == self.epochs
        if is_due or now >= self._next_draw:
            # The line has all of them; a bar has room for two.
            self._latest = format_logs({name: logs[name] for name in ("loss", "val_loss") if name in logs})
        if is_due:
            self._unprinted = None
            self._print(self._line(done, seconds, logs))
        else:
            self._unprinted = (done, seconds, logs)
        if not self._prints_all and now >= self._next_draw:
            self._draw(done)

    def on_train_end(self) -> None:
        if not self._shows:
            return
        if self._unprinted is not None:
            self._print(self._line(*self._unprinted))
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _line(self, done: int, seconds: float, logs: dict[str, float]) -> str:
        width = len(str(self.epochs))
        return f"epoch {done:>{width}}/{self.epochs} - {format_seconds(seconds)} - {format_logs(logs)}"

    def _print(self, line: str) -> None:
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _draw(self, epochs_done: float) -> None:
        elapsed = time.perf_counter() - self._train_started
        state: dict[str, Any] = {
            "completed": epochs_done,
            "epoch": min(int(epochs_done) + 1, self.epochs),
            "left": format_left(elapsed * (self.epochs - epochs_done) / epochs_done) if epochs_done > 0 else "",
            "logs": self._latest,
        }
        if self._bar is None:
            self._bar = _make_bar()
            self._bar.add_task("training", total=self.epochs, **state)
            self._bar.start()
        else:
            self._bar.update(self._bar.task_ids[0], refresh=True, **state)
        self._next_draw = time.perf_counter() + REDRAW_SECONDS


def _make_bar() -> "Progress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
    from rich.table import Column

    # Drawn by us alone: a thread of rich's own would take time from training.
    return Progress(
        TextColumn("epoch {task.fields[epoch]}/{task.total:.0f}"),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}", style="progress.remaining"),
        TextColumn("{task.fields[logs]}", markup=False, table_column=Column(no_wrap=True)),
        console=Console(file=sys.stdout),
        redirect_stderr=sys.stderr.isatty(),  # above the bar, unless it leads elsewhere
        auto_refresh=False,
        transient=True,
    )
