"""The loss that is minimised, and the value of it that scikit-learn reports.

fastnn's losses average over outputs, scikit-learn's sum (its squared error sums in the gradient and averages in the
reported value); factors and constants here translate.
"""

from dataclasses import dataclass

from fastnn.losses import LossFunction, Scaled


@dataclass(frozen=True)
class ReportedLoss:
    """A loss, its output activation, and what turns its value into the one that scikit-learn reports.

    Attributes
    ----------
    loss : LossFunction
        What the Trainer minimises.
    output : str
        The output activation that goes with it.
    constant : float
        Added to the training loss.
    excess : float
        The training loss sums squared errors over outputs where scikit-learn reports their mean: it is too large by
        `excess` times the mean squared error, which is subtracted.
    """

    loss: LossFunction
    output: str
    constant: float = 0.0
    excess: float = 0.0

    @property
    def metrics(self) -> tuple[str, ...]:
        """What the Trainer has to measure for `reported`."""
        return ("mse",) if self.excess else ()

    def reported(self, logs: dict[str, float], prefix: str = "") -> float:
        """Return scikit-learn's value of the loss for the logs of an epoch."""
        value = logs[prefix + "loss"] + self.constant
        return value - self.excess * logs[prefix + "mse"] if self.excess else value


def summed_over_outputs(loss: "str | LossFunction", n_outputs: int, factor: float = 1.0) -> LossFunction:
    """Return `factor` times a loss, summed over outputs where fastnn's averages; penalties as scikit-learn has them."""
    return Scaled(loss, factor * n_outputs, penalty_per_sample=True)
