"""Generative adversarial networks: one object that trains a generator and a discriminator against each other."""

import secrets
import threading
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Never

import numpy as np

from fastnn import optimizers
from fastnn.callbacks import Callback
from fastnn.callbacks.curves import progress_display
from fastnn.common.cpus import FLOPS_A_STEP, threads_for
from fastnn.common.interrupts import InterruptGate
from fastnn.common.validation import check_integer, is_sparse
from fastnn.common.words import check_keywords
from fastnn.engine.rows import Rows
from fastnn.engine.team import Team
from fastnn.kernels.gemm import PANEL
from fastnn.model.network import Network
from fastnn.optimizers import Optimizer
from fastnn.training.adversarial.core import GanCore
from fastnn.training.adversarial.loop import AdversarialLoop, GanData
from fastnn.training.adversarial.task import GanTask
from fastnn.training.arguments import check_callbacks
from fastnn.training.history import History
from fastnn.training.state import TrainingState
from fastnn.training.stream import Stream

_LARGEST_SEED = 2**63 - 1


def _is_stream(X: Any) -> bool:
    is_data = isinstance(X, Sequence) or hasattr(X, "__array__") or is_sparse(X)
    return callable(X) or (isinstance(X, Iterable) and not is_data)


def _parts(block: Any) -> tuple[Any, ...]:
    """Return the samples of a block and, where it is a pair, their conditions."""
    is_pair = isinstance(block, tuple | list) and len(block) in (1, 2) and np.ndim(block[0]) > 1
    return tuple(block) if is_pair else (block,)


class GAN(GanCore):
    """A generative adversarial network: a generator makes samples, a discriminator learns to tell them from real ones,
    and the generator to be taken for real [1]_.

    Both are trained in turn inside compiled code: a step draws noise, makes samples, gathers real rows where they lie,
    updates the discriminator, and then the generator with the gradient that the discriminator hands back.

    Parameters
    ----------
    generator : Network
        Its inputs are noise, and behind it the condition if there is one; its outputs are a sample.
    discriminator : Network
        Takes a sample and has one output: how real it looks. With classes (or other conditions) of k numbers its last
        axis is k longer than a sample's: every position has the condition behind its channels.
    loss : "non_saturating", "wasserstein" or "least_squares", default "non_saturating"
        With D the discriminator's output, x real and m made samples, and means over a batch:

        - non_saturating [1]_: the cross-entropy of D, an activation "sigmoid" or logits, over x and m; the generator
          minimises -log D(m).
        - wasserstein [2]_: D(m) - D(x), and -D(m) for the generator; D is linear, and has to be kept smooth, by
          `gradient_penalty` or by ``kernel_constraint=MaxNorm(...)`` on its layers.
        - least_squares [3]_: ((D(x) - 1)^2 + D(m)^2) / 2, and (D(m) - 1)^2 / 2 for the generator.
    generator_optimizer, discriminator_optimizer : str or Optimizer, default Adam(0.0002, beta_1=0.5)
        With ``use_ema=True`` the generator holds the moving average of its parameters between epochs and after `fit`,
        so `generate` uses it; training goes on with the parameters themselves.
    noise : "normal" or "uniform", default "normal"
        Standard normal numbers, or from -1 to 1.
    discriminator_steps : int, default 1
        Steps of the discriminator, each with a batch of its own, for one of the generator; >= 1.
    label_smoothing : float, default 0.0
        What real samples should be given is 1 less this; in [0, 1). Not for "wasserstein".
    gradient_penalty : float, default 0.0
        Factor of a penalty on the discriminator's loss [4]_: the mean of (|g| - 1)^2, where g is the gradient of D (of
        its logits, if it ends in a sigmoid that the loss takes them of) by a random blend of a real and a made sample;
        >= 0. It needs the gradient of a gradient, which is exact for discriminators of `Dense`, `Conv1D`, `Conv2D`,
        `Flatten`, `Reshape`, `Dropout` and average pooling with linear, relu and leaky_relu; others are refused.

    Attributes
    ----------
    generator, discriminator : Network
    loss, noise, discriminator_steps, label_smoothing, gradient_penalty
        As given.
    n_noise : int
        How many random numbers make a sample.
    n_conditions : int
        How many numbers a condition has: the number of classes, 0 without.
    generator_optimizer, discriminator_optimizer : Optimizer
    history : History
        Over all calls of `fit`: "generator_loss", "discriminator_loss", "real_accuracy" and "made_accuracy" (shares of
        samples that the discriminator took for what they are; not for "wasserstein", whose outputs have no such
        meaning), and "diversity", the variance of made samples over that of real ones. The rate is the generator's.
    learning_rate : float
        Of the generator's next step. Assigning a number, as callbacks do, changes the discriminator's by the same
        factor; None gives both optimizers' own back.
    step, epochs_done : int
        Updates of the generator, and epochs.
    seed : int
        Key of all random numbers of training: fit's seed, else the generator's, else a fresh one that stays.

    Raises
    ------
    ValueError, TypeError
        If the networks do not fit together, or an argument is out of its range.

    References
    ----------
    .. [1] I. Goodfellow et al., "Generative Adversarial Nets", NeurIPS 2014.
    .. [2] M. Arjovsky, S. Chintala, L. Bottou, "Wasserstein GAN", ICML 2017.
    .. [3] X. Mao et al., "Least Squares Generative Adversarial Networks", ICCV 2017.
    .. [4] I. Gulrajani et al., "Improved Training of Wasserstein GANs", NeurIPS 2017.
    .. [5] M. Mirza, S. Osindero, "Conditional Generative Adversarial Nets", arXiv:1411.1784.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> angle = np.random.default_rng(0).uniform(0, 2 * np.pi, 512)
    >>> ring = np.column_stack([np.cos(angle), np.sin(angle)])
    >>> generator = fastnn.Network.mlp(4, [32], 2, seed=0)
    >>> discriminator = fastnn.Network.mlp(2, [32], 1, activation="leaky_relu", output="sigmoid", seed=1)
    >>> gan = fastnn.GAN(generator, discriminator)
    >>> history = gan.fit(ring, epochs=2, batch_size=64)
    >>> sorted(history.history)
    ['discriminator_loss', 'diversity', 'generator_loss', 'made_accuracy', 'real_accuracy']
    >>> gan.generate(5, seed=0).shape
    (5, 2)
    """

    _is_strict: ClassVar[bool] = True

    def __init__(
        self,
        generator: Network,
        discriminator: Network,
        *,
        loss: str = "non_saturating",
        generator_optimizer: "str | Optimizer | None" = None,
        discriminator_optimizer: "str | Optimizer | None" = None,
        noise: str = "normal",
        discriminator_steps: int = 1,
        label_smoothing: float = 0.0,
        gradient_penalty: float = 0.0,
    ):
        self._task = GanTask.of(
            generator, discriminator, loss, noise, discriminator_steps, label_smoothing, gradient_penalty
        )
        usual = optimizers.Adam(2e-4, beta_1=0.5)
        chosen = [
            usual if given is None else optimizers.get(given)
            for given in (generator_optimizer, discriminator_optimizer)
        ]
        self._maker, self._judge = TrainingState(generator, chosen[0]), TrainingState(discriminator, chosen[1])
        self._is_busy = threading.Lock()

    def fit(
        self,
        X: Any,
        *,
        y: Any = None,
        epochs: int = 1,
        batch_size: int | None = 32,
        callbacks: Iterable[Callback] = (),
        verbose: int = 0,
        seed: int | None = None,
        n_threads: int | None = None,
        **others: Never,
    ) -> History:
        """Train both networks for a number of epochs; calling it again goes on where it stopped.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, *sample) or (n, numbers of a sample), or iterable of blocks
            Real samples; float32, float64 and uint8 are read in place. A stream, that is an iterable which is no
            sequence (such as a DataLoader or a generator) or a function that returns one, gives blocks of samples, or
            (X, y) for conditional networks, which are trained on as those of `Trainer.fit`; "diversity" then compares
            with the first block. There is no validation: the losses on other samples say as little as those of
            training about how good samples are; compare `generate` with samples that were held back.
        y : array-like of shape (n,) or (n, n_conditions), or None, default None
            What each sample is, for conditional networks [5]_ of `GAN`: class numbers from 0, or rows of numbers. Made
            samples of a step are given the conditions of its real ones.
        epochs : int, default 1
            Passes over X, >= 1.
        batch_size : int or None, default 32
            Real samples a step, and as many made ones; None is all, and not for a stream.
        callbacks : iterable of Callback, default ()
            Hooks, called in order. Their trainer is this object, and its `network` the generator;
            `ModelCheckpoint` with ``save_trainer=True`` saves all of the GAN.
        verbose : int, default 0
            1 shows progress where stdout is a terminal, 2 prints a line for each epoch anywhere, 0 is silent.
        seed : int or None, default None
            For noise, shuffling and dropout; None takes the generator's seed, or a fresh one if it has none.
        n_threads : int or None, default None
            Threads that share each batch, at most one for every 32 of its real samples; None takes as many as pay.

        Returns
        -------
        History
            `self.history`: all epochs so far.

        Raises
        ------
        ValueError, TypeError
            If an argument is wrong; nothing is changed then.
        FloatingPointError
            If a loss stops being finite. The networks keep the parameters of their last good epoch.
        RuntimeError
            If one of the networks is being trained already.

        Warns
        -----
        UserWarning
            "discriminator always right" or "collapse" (samples without variance), once for each call, where it has
            lasted for at least three epochs and 300 steps; and where training was interrupted.

        Examples
        --------
        >>> import numpy as np, fastnn
        >>> X, y = np.random.default_rng(0).normal(size=(64, 2)), np.arange(64) % 3
        >>> generator = fastnn.Network.mlp(4 + 3, [8], 2, seed=0)  # 4 random numbers, 3 classes
        >>> discriminator = fastnn.Network.mlp(2 + 3, [8], 1, seed=1)
        >>> gan = fastnn.GAN(generator, discriminator)
        >>> gan.fit(X, y=y, epochs=2).epoch
        [0, 1]
        >>> gan.generate(4, y=2).shape
        (4, 2)
        """
        if others:
            check_keywords(GAN.fit, others)
        self._refuse_second_fit()
        hooks = check_callbacks(callbacks)
        check_integer("epochs", epochs, 1)
        check_integer("verbose", verbose, 0, 2)
        if batch_size is not None:
            check_integer("batch_size", batch_size, 1)
        if seed is not None:
            check_integer("seed", seed, 0, _LARGEST_SEED)
        if n_threads is not None:
            check_integer("n_threads", n_threads, 1)
        task = self._task

        def check(X: Any, y: Any = None) -> tuple[Rows, Rows | None]:
            x = task.check_samples(X)
            task.check_batches(x.n_rows, batch_size)
            return x, task.check_conditions(y, x.n_rows)

        blocks = None
        if _is_stream(X):
            if batch_size is None or y is not None:
                raise ValueError("batch_size must be an integer and y None where X gives blocks, which are X or (X, y)")
            blocks = Stream(X, epochs, _parts)
            x, conditions = blocks.check_first(check)
            blocks.set_check((x, conditions), check)
            size = batch_size
        else:
            x, conditions = check(X, y)
            size = x.n_rows if batch_size is None else min(batch_size, x.n_rows)
        with self._alone():
            if seed is not None:
                self.seed = seed
            if verbose:
                hooks = [*hooks, progress_display(epochs, verbose)]
            data = GanData(x, conditions, epochs, size, blocks)
            with (
                InterruptGate() as gate,
                Team(self._threads_for(size, n_threads), is_wanted=n_threads is not None) as team,
            ):
                loop = AdversarialLoop(task, self._maker, self._judge, data, hooks, team)
                for hook in hooks:
                    hook.set_trainer(self)
                loop.run(gate)
        return self.history

    def _threads_for(self, batch_size: int, wanted: int | None) -> int:
        n_panels = -(-batch_size // PANEL)
        if wanted is not None:
            return min(wanted, n_panels)
        task = self._task
        # Forward and backward: the generator makes two batches, the discriminator sees three.
        flops = (4 * task.generator.plan.flops + 8 * task.discriminator.plan.flops) * batch_size
        return threads_for(flops * task.dtype.itemsize / 4, n_parts=n_panels // 2, least=2 * FLOPS_A_STEP)

    def generate(self, n: int, *, y: Any = None, seed: int | None = None) -> np.ndarray:
        """Return samples that the generator makes of fresh noise.

        Parameters
        ----------
        n : int
            How many, >= 1.
        y : int or array-like of shape (n,) or (n, n_conditions), or None, default None
            What they should be, for a conditional GAN: a class for all, a class each, or rows of numbers.
        seed : int or None, default None
            Of the noise; None draws other noise each time.

        Returns
        -------
        ndarray of shape (n, *sample)
            In the networks' dtype.

        Raises
        ------
        ValueError, TypeError
            If n or seed is out of its range, or y does not suit the networks.

        Examples
        --------
        >>> import fastnn
        >>> generator, discriminator = fastnn.Network.mlp(3, [8], 2, seed=0), fastnn.Network.mlp(2, [8], 1, seed=1)
        >>> gan = fastnn.GAN(generator, discriminator)
        >>> bool((gan.generate(4, seed=1) == gan.generate(4, seed=1)).all())
        True
        """
        n = check_integer("n", n, 1)
        key = secrets.randbits(63) if seed is None else check_integer("seed", seed, 0, _LARGEST_SEED)
        conditions = self._task.condition_rows(y, n)
        return self._task.make(self._task.draw(n, np.random.default_rng(key)), conditions)

    def predict(
        self, X: Any, out: np.ndarray | None = None, *, verbose: int = 0, batch_size: int | None = None
    ) -> np.ndarray:
        """Return the generator's outputs for noise of your own: the same as ``gan.generator.predict(X, out)``.

        Parameters
        ----------
        X, out, verbose, batch_size
            As for `Network.predict`; rows of X are noise, and behind it the condition.

        Returns
        -------
        ndarray of shape (n, *sample)

        Examples
        --------
        >>> import numpy as np, fastnn
        >>> gan = fastnn.GAN(fastnn.Network.mlp(3, [8], 2, seed=0), fastnn.Network.mlp(2, [8], 1, seed=1))
        >>> gan.predict(np.zeros((1, 3))).shape
        (1, 2)
        """
        return self.generator.predict(X, out, verbose=verbose, batch_size=batch_size)
