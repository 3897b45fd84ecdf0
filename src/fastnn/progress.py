"""What a person sees while a network trains: a line an epoch and a bar, on a terminal."""

import sys
import time

from fastnn.callbacks import Callback


def format_logs(logs: dict[str, float]) -> str:
    """Return "loss: 0.1234 - accuracy: 0.9876"."""
    return " - ".join(f"{name}: {value:.4g}" for name, value in logs.items())


class ProgressBar(Callback):
    """A Keras-like line an epoch, quiet where the output is not a terminal.

    Parameters
    ----------
    epochs : int
        How many are to come.
    """

    def __init__(self, epochs: int):
        self.epochs = epochs

    def on_train_begin(self) -> None:
        self._shows = sys.stdout.isatty()
        self._first = self.trainer.epochs_done

    def on_epoch_begin(self, epoch: int) -> None:
        self._started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if self._shows:
            seconds = time.perf_counter() - self._started
            print(f"epoch {epoch - self._first + 1}/{self.epochs} - {seconds:.3f}s - {format_logs(logs)}", flush=True)
