"""`evaluate`: loss and metrics over data that lie on the workers."""

import warnings
from typing import Any

from fastnn.distributed import blocks, carrier, rounds, session, work
from fastnn.inputs.data import DataSpec
from fastnn.training.trainer import Trainer


def evaluate(trainer: Trainer, X: Any, y: Any, *, client: Any = None, sample_weight: Any = None) -> dict[str, float]:
    """Return the loss and the metrics over all rows, dropout off.

    Means are summed exactly over the chunks, so they do not depend on how rows are cut beyond the rounding of each
    chunk's mean. Metrics that take all rows at once, such as ROC AUC, get them: targets and predictions, not the
    features, meet on one worker, whose memory has to hold them.

    Parameters
    ----------
    trainer : Trainer
        Whose network, loss and metrics are taken.
    X, y, sample_weight
        As for `fastnn.distributed.fit`.
    client : distributed.Client or None, default None
        None takes the one that was made last.

    Returns
    -------
    dict of str to float
        "loss" and each metric.

    Raises
    ------
    ValueError, TypeError
        If an argument is wrong or a chunk does not suit the network; the error names the chunk.
    RuntimeError
        If a worker has another version of fastnn.

    Examples
    --------
    >>> import dask.array, fastnn, fastnn.distributed
    >>> from distributed import Client
    >>> trainer = fastnn.Trainer(fastnn.Network.mlp(2, [], 1, seed=0), loss="mse", metrics=["r2"])
    >>> with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0") as client:
    ...     X = dask.array.ones((64, 2), chunks=(16, 2))
    ...     sorted(fastnn.distributed.evaluate(trainer, X, X[:, 0]))
    ['loss', 'r2']
    """
    from dask import delayed

    if not isinstance(trainer, Trainer):
        raise TypeError(f"trainer must be a fastnn.Trainer, got {trainer!r}")
    client = blocks.get_client(client)
    xs, ys, ws = blocks.check_blocks(X, y, sample_weight)
    rounds.check_workers(client)
    spec = DataSpec.of(trainer.network, trainer.loss)
    start = delayed(work.open_start, pure=False)(session.dumps(carrier.start_of(trainer)))
    one = delayed(work.evaluate_chunk, pure=False)
    parts = [one(start, spec, i, xs[i], ys[i], ws[i] if ws else None) for i in range(len(xs))]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")
        future = client.compute(delayed(work.total_up, pure=False)(start, parts))
    try:
        return future.result()
    except BaseException:
        client.cancel([future])
        raise
    finally:
        future.release()
