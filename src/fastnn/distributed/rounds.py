"""`fit`: local SGD in rounds. Arguments are checked here; `session` does the work."""

import warnings
from collections.abc import Iterable
from typing import Any

from fastnn.callbacks import Callback
from fastnn.callbacks.progress import ProgressBar
from fastnn.common.validation import check_bool, check_integer
from fastnn.distributed import blocks, carrier
from fastnn.distributed.outer import OuterStep, check_outer
from fastnn.distributed.session import Session
from fastnn.inputs.data import DataSpec, check_data
from fastnn.training.arguments import check_callbacks
from fastnn.training.history import History
from fastnn.training.trainer import Trainer


def fit(
    trainer: Trainer,
    X: Any,
    y: Any,
    *,
    client: Any = None,
    rounds: int = 10,
    epochs_per_round: int = 1,
    rounds_per_epoch: int = 1,
    batch_size: int | None = 32,
    shards: int | None = None,
    outer: Any = None,
    sample_weight: Any = None,
    validation_data: tuple | None = None,
    shuffle: bool = True,
    callbacks: Iterable[Callback] = (),
    seed: int | None = None,
    verbose: int = 0,
) -> History:
    """Train a network on data that lie on the workers of a Dask cluster, by local SGD [1]_.

    In a round every *shard* of the data trains the current parameters for some epochs, and then parameters, running
    statistics and the optimizer's moments are averaged, weighted by rows. The result depends on the shards and the
    seed to the last bit, and not on the number of workers; a single shard gives the bits of ``trainer.fit(...,
    epochs=rounds * epochs_per_round, n_threads=1)`` (where `rounds_per_epoch` and `outer` are left as they are).

    Between several shards parameters and moments travel in few bits, together as many bytes as the parameters have:
    with float32 shards start from parameters of 16 bits and Adam's moments of 8 each, and answer with what they
    changed, rounded alike. The trainer adds that to its own, of which nothing is rounded. This goes for SGD, Adam,
    AdamW, Nadam and Lion; moments of other optimizers, of AMSGrad and of `use_ema` travel whole.

    Parameters
    ----------
    trainer : Trainer
        What is trained, in place, at the end of each round. Calling `fit` again goes on where it stopped.
    X : Dask array of shape (n, n_inputs), Dask data frame, or sequence of delayed blocks or futures
        Features. Data stay where they are; what is not yet on the workers is loaded there, neighbouring chunks on one
        worker, so that their averages need not travel.
    y : as X, of shape (n,) or (n, n_outputs)
        Targets, in as many blocks (Dask arrays of another cut are cut alike).
    client : distributed.Client or None, default None
        None takes the one that was made last.
    rounds : int, default 10
        How often the shards are averaged.
    epochs_per_round : int, default 1
        Passes of each shard over its rows between two averages.
    rounds_per_epoch : int, default 1
        More than 1 averages more often than once a pass: a round trains every k-th row of each shard, from the first
        on, the next round from the second on, and so forth. A shard with fewer rows than that trains all of them.
    batch_size : int or None, default 32
        Samples a step of one shard; None takes all of its rows.
    shards : int or None, default None
        Into how many shards the chunks are put, neighbours together; None makes every chunk one. It decides the
        result. Each thread of the cluster can work at one shard, so let there be as many as threads, or some times
        that; chunks that share a shard are copied together once.
    outer : SGD or None, default None
        Takes the averaged step as a gradient, as DiLoCo does [2]_ with ``SGD(0.7, momentum=0.9, nesterov=True)``.
        None takes the average itself.
    sample_weight : as y, of shape (n,), or None, default None
        Weights of the mean over samples, within each shard.
    validation_data : tuple (X, y) or (X, y, sample_weight), or None, default None
        Evaluated after each round: Dask collections on the workers, NumPy arrays here.
    shuffle : bool, default True
        Whether each epoch of a shard has its own order.
    callbacks : iterable of Callback, default ()
        Hooks, called here in order; an epoch's hooks are called once a round. Hooks of single batches are refused.
    seed : int or None, default None
        As for `Trainer.fit`; each shard has a seed of its own, made from it.
    verbose : int, default 0
        1 shows progress where stdout is a terminal, 2 prints a line for each round anywhere, 0 is silent.

    Returns
    -------
    History
        `trainer.history`, with an entry a round: loss and metrics are means over the round's last epoch. Beside them
        stand "rows_per_second", "bytes_moved" (between workers, as they count them) and "waiting", the share of the
        threads' time in which none of them trained.

    Raises
    ------
    ValueError, TypeError
        If an argument is wrong or a chunk does not suit the network; the error names the chunk.
    FloatingPointError
        If the loss of a shard stops being finite. The trainer keeps the last finished round.
    RuntimeError
        If a worker has another version of fastnn, or data are lost that nobody can make again.

    Notes
    -----
    A worker that dies costs what it had in work: Dask makes its shards again elsewhere. Ctrl-C ends training with the
    last finished round, as does an exception of a callback. A checkpoint of `ModelCheckpoint` goes on bit for bit, on
    a cluster of any size.

    References
    ----------
    .. [1] S. U. Stich, "Local SGD Converges Fast and Communicates Little", ICLR 2019, arXiv 1805.09767.
    .. [2] A. Douillard et al., "DiLoCo: Distributed Low-Communication Training of Language Models", 2023, arXiv
           2311.08105.

    Examples
    --------
    >>> import dask.array, fastnn, fastnn.distributed
    >>> from distributed import Client
    >>> network = fastnn.Network.mlp(2, [8], 1, activation="tanh", seed=0)
    >>> trainer = fastnn.Trainer(network, loss="mse")
    >>> with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=":0") as client:
    ...     X = dask.array.random.default_rng(0).uniform(-1, 1, size=(256, 2), chunks=(64, 2))
    ...     history = fastnn.distributed.fit(trainer, X, X[:, 0] * X[:, 1], rounds=3)
    >>> len(history.history["loss"])
    3
    """
    if not isinstance(trainer, Trainer):
        raise TypeError(f"trainer must be a fastnn.Trainer, got {trainer!r}")
    client = blocks.get_client(client)
    hooks = _check_hooks(callbacks)
    rounds = check_integer("rounds", rounds, 1)
    options: dict[str, Any] = {
        "epochs": check_integer("epochs_per_round", epochs_per_round, 1),
        "parts": check_integer("rounds_per_epoch", rounds_per_epoch, 1),
        "batch_size": None if batch_size is None else check_integer("batch_size", batch_size, 1),
        "shuffle": check_bool("shuffle", shuffle),
    }
    if epochs_per_round > 1 and rounds_per_epoch > 1:
        raise ValueError(
            f"rounds_per_epoch must be 1 where epochs_per_round is more than that, got {rounds_per_epoch} and "
            f"{epochs_per_round}"
        )
    verbose = check_integer("verbose", verbose, 0, 2)
    outer = check_outer(outer)
    if seed is not None:
        check_integer("seed", seed, 0, 2**63 - 1)
    for metric in trainer.metrics:
        if metric.from_sums is None:
            raise ValueError(
                f"metrics must not hold {metric.name!r} while shards train: it takes all rows at once; after training, "
                f"fastnn.distributed.evaluate gives it"
            )
    data = blocks.check_blocks(X, y, sample_weight)
    cuts = blocks.cut(len(data[0]), shards)
    validation = _check_validation(trainer, validation_data)
    check_workers(client)
    if seed is not None:
        trainer.set_seed(seed)
    if outer is not None:
        hooks = [OuterStep(outer), *hooks]
    if verbose:
        hooks.append(ProgressBar(rounds * options["epochs"], verbose))
    hooks.sort(key=lambda hook: hook.runs_last)
    with carrier.alone(trainer), Session(client, trainer, options, hooks) as run:
        run.load(data, cuts, validation)
        run.run(rounds)
    return trainer.history


def _check_hooks(callbacks: Iterable[Callback]) -> list[Callback]:
    hooks = check_callbacks(callbacks)
    for i, hook in enumerate(hooks):
        for name in ("on_train_batch_begin", "on_train_batch_end"):
            if hook.overrides(name):
                raise ValueError(
                    f"callbacks[{i}] must not have {name}: batches are trained on workers, got {type(hook).__name__}"
                )
    return hooks


def _check_validation(trainer: Trainer, validation_data: Any) -> tuple | None:
    """Return what to validate on: ("here", arrays), or ("there", blocks)."""
    from dask.base import is_dask_collection

    if validation_data is None:
        return None
    if not isinstance(validation_data, tuple) or len(validation_data) not in (2, 3):
        raise TypeError(f"validation_data must be a tuple (X, y) or (X, y, sample_weight), got {validation_data!r}")
    X, y, *weights = validation_data
    if not is_dask_collection(X) and not isinstance(X, list):
        names = ("validation X", "validation y", "validation sample_weight")
        check_data(DataSpec.of(trainer.network, trainer.loss), X, y, weights[0] if weights else None, names)
        return "here", validation_data
    return "there", blocks.check_blocks(X, y, weights[0] if weights else None, "validation ")


def check_workers(client: Any) -> None:
    """Raise RuntimeError unless every worker has this version of fastnn."""
    from fastnn import __version__

    def version() -> str:  # within a function, so that it travels by value to a worker without this module
        try:
            import fastnn
        except ImportError:
            return "none"
        return fastnn.__version__

    versions = client.run(version, on_error="return")
    if not versions:
        warnings.warn("The cluster has no worker; waiting until one comes.", stacklevel=3)
    for worker, found in versions.items():
        if isinstance(found, str) and found != __version__:
            raise RuntimeError(
                f"workers must have the client's version of fastnn: the worker at {worker} has {found}, "
                f"the client {__version__}"
            )
