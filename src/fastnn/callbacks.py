"""Hooks into training: what runs before and after it, and around each epoch."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastnn.trainer import Trainer


class Callback:
    """Base of all callbacks; override what you need.

    Attributes
    ----------
    trainer : Trainer
        Set when training begins. Setting ``trainer.stop_training = True`` ends it after the current epoch.

    Examples
    --------
    >>> from fastnn.callbacks import Callback
    >>> class Printer(Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         print(epoch, sorted(logs))
    """

    trainer: "Trainer"

    def set_trainer(self, trainer: "Trainer") -> None:
        """Remember the trainer; called before `on_train_begin`."""
        self.trainer = trainer

    def on_train_begin(self) -> None:
        """Run before the first epoch."""

    def on_train_end(self) -> None:
        """Run after the last epoch, also when training was stopped."""

    def on_epoch_begin(self, epoch: int) -> None:
        """Run before each epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Run after each epoch; `logs` holds its loss and metrics."""
