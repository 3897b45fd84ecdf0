"""What a generator makes of the same noise, epoch by epoch."""

from typing import Any, ClassVar

import numpy as np

from fastnn.callbacks.base import Callback
from fastnn.common.attributes import Checked
from fastnn.common.validation import check_integer


class SampleRecorder(Callback):
    """Keeps samples of a `GAN` as it trains, always of the same noise; `fastnn.plotting.plot_samples` draws them.

    Parameters
    ----------
    n : int, default 10
        How many samples an epoch; >= 1.
    y : int or array-like of shape (n,) or (n, n_conditions), or None, default None
        What they are to be, as for `GAN.generate`.
    every : int, default 1
        Look at every so many epochs, and at the first; >= 1.
    seed : int, default 0
        Of the noise.

    Attributes
    ----------
    epochs : list of int
        The epochs that were kept, counted from 1 over all calls of fit.
    samples : list of ndarray of shape (n, *sample)
        What was made after each of them.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of its range; when training begins, if the trainer is no GAN or y does not suit it.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> gan = fastnn.GAN(fastnn.Network.mlp(3, [8], 2, seed=0), fastnn.Network.mlp(2, [8], 1, seed=1))
    >>> recorder = fastnn.callbacks.SampleRecorder(n=5, every=2)
    >>> history = gan.fit(np.eye(2), epochs=4, callbacks=[recorder])
    >>> recorder.epochs, recorder.samples[-1].shape
    ([1, 2, 4], (5, 2))
    """

    _is_strict: ClassVar[bool] = True

    n = Checked(lambda name, value: check_integer(name, value, 1))
    every = Checked(lambda name, value: check_integer(name, value, 1))
    seed = Checked(lambda name, value: check_integer(name, value, 0, 2**63 - 1))
    y: Any = None
    epochs: list[int] = []  # noqa: RUF012 - each instance has its own; named here for `_is_strict`
    samples: list[np.ndarray] = []  # noqa: RUF012

    def __init__(self, n: int = 10, *, y: Any = None, every: int = 1, seed: int = 0):
        self.n, self.y, self.every, self.seed = n, y, every, seed
        self.epochs, self.samples = [], []

    def on_train_begin(self) -> None:
        if not hasattr(self.trainer, "generate"):
            raise TypeError(f"SampleRecorder needs a GAN, got a {type(self.trainer).__name__}")
        self._make()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if not self.epochs or (epoch + 1) % self.every == 0:
            made = self._make()
            self.epochs.append(epoch + 1)
            self.samples.append(made)

    def _make(self) -> np.ndarray:
        gan: Any = self.trainer
        return gan.generate(self.n, y=self.y, seed=self.seed)
