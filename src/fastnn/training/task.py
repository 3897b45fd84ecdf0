"""What a trainer has to do: a network, and the numbers by which it is judged."""

from dataclasses import dataclass
from typing import Any

from fastnn import losses
from fastnn import metrics as metric_functions
from fastnn.common.validation import check_real
from fastnn.inputs.data import DataSpec
from fastnn.losses import LossFunction
from fastnn.metrics import Metric
from fastnn.model.network import Network


@dataclass(frozen=True)
class Task:
    """Everything but the data and the optimizer that decides what training does.

    Attributes
    ----------
    network : Network
    loss : LossFunction
    metrics : tuple of Metric
    mixup : float
        Alpha of mixup, 0 for none.
    """

    network: Network
    loss: LossFunction
    metrics: tuple[Metric, ...] = ()
    mixup: float = 0.0

    @classmethod
    def of(cls, network: Network, loss: Any, metrics: Any, mixup: Any) -> "Task":
        """Return what a user asks for, checked, or raise ValueError or TypeError."""
        loss, metrics = losses.get(loss), metric_functions.check_metrics(metrics)
        loss.check_outputs(network.plan.output_activation)
        is_multilabel = loss.name == "log_loss" and network.plan.output_units > 1
        metric_functions.check_suited(metrics, network.plan.output_units, is_multilabel)
        mixup = check_real("mixup", mixup, 0.0)
        if mixup and loss.name not in ("categorical_crossentropy", "log_loss"):
            raise ValueError(
                f"mixup must be 0 unless the loss is categorical_crossentropy or log_loss, got {mixup} with {loss.name}"
            )
        return cls(network, loss, metrics, mixup)

    @property
    def data_spec(self) -> DataSpec:
        """What the task asks of data."""
        return DataSpec.of(self.network, self.loss)
