"""Hooks into training: what runs before and after it, around each epoch, and on request around each batch."""

from fastnn.callbacks.base import Callback, LambdaCallback
from fastnn.callbacks.live import LiveView
from fastnn.callbacks.loggers import MLflow, TensorBoard
from fastnn.callbacks.progress import ProgressBar
from fastnn.callbacks.pruning import OptunaPruning
from fastnn.callbacks.rates import LearningRateScheduler, ReduceLROnPlateau
from fastnn.callbacks.recording import CSVLogger, ModelCheckpoint
from fastnn.callbacks.samples import SampleRecorder
from fastnn.callbacks.stopping import EarlyStopping, TerminateOnNaN, TimeLimit

__all__ = [
    "CSVLogger", "Callback", "EarlyStopping", "LambdaCallback", "LearningRateScheduler", "LiveView", "MLflow",
    "ModelCheckpoint", "OptunaPruning", "ProgressBar", "ReduceLROnPlateau", "SampleRecorder", "TensorBoard",
    "TerminateOnNaN", "TimeLimit",
]  # fmt: skip
