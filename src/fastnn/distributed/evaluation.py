"""`evaluate`: loss and metrics over data that lie on the workers; `predict`: outputs as a lazy collection."""

import copy
import pickle
import warnings
from typing import Any

import numpy as np

from fastnn.distributed import blocks, carrier, rounds, session, work
from fastnn.inputs.data import DataSpec
from fastnn.model.network import Network
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


def predict(network: Network, X: Any) -> Any:
    """Return the outputs for rows of features as a lazy Dask collection; nothing is computed yet.

    Parameters
    ----------
    network : Network
        Its present parameters are taken: training it further changes no prediction that was asked for before.
    X : Dask array of shape (n, n_inputs) or Dask data frame
        Features.

    Returns
    -------
    Dask array of shape (n, n_outputs), or Dask series or data frame
        With X's chunks along rows. For a data frame a series named "prediction" where the network has one output, else
        a data frame with a column an output; both have X's index.

    Raises
    ------
    ValueError, TypeError
        If an argument is wrong.

    Examples
    --------
    >>> import dask.array, fastnn, fastnn.distributed
    >>> network = fastnn.Network.mlp(4, [8], 3, output="softmax", seed=0)
    >>> outputs = fastnn.distributed.predict(network, dask.array.ones((100, 4), chunks=(30, 4)))
    >>> outputs
    dask.array<predict_block, shape=(100, 3), dtype=float32, chunksize=(30, 3), chunktype=numpy.ndarray>
    >>> outputs.argmax(axis=1).compute(scheduler="threads").shape
    (100,)
    """
    try:
        import dask.array
        from dask import delayed
        from dask.base import tokenize
    except ImportError as error:
        raise ImportError('fastnn.distributed needs Dask: pip install "fastnn[dask]"') from error
    if not isinstance(network, Network):
        raise TypeError(f"network must be a fastnn.Network, got {network!r}")
    # Once in the graph, not once a chunk; a copy, so that later training changes nothing.
    held = delayed(copy.deepcopy(network), name=f"fastnn-network-{tokenize(pickle.dumps(network))}")
    if isinstance(X, dask.array.Array):
        if X.ndim != 2 or X.shape[1] != network.n_inputs:
            raise ValueError(f"X must have shape (n, {network.n_inputs}), got {X.shape}")
        X = X.rechunk({1: -1}) if X.numblocks[1] > 1 else X
        return X.map_blocks(
            predict_block, held, dtype=network.dtype, chunks=(X.chunks[0], (network.n_outputs,)),
            meta=np.empty((0, network.n_outputs), network.dtype),
        )  # fmt: skip
    if hasattr(X, "map_partitions") and hasattr(X, "columns"):
        import pandas as pd

        if len(X.columns) != network.n_inputs:
            raise ValueError(f"X must have {network.n_inputs} columns, got {len(X.columns)}")
        empty = np.empty((0, network.n_outputs), network.dtype)
        meta: Any = pd.Series(empty[:, 0], name="prediction") if network.n_outputs == 1 else pd.DataFrame(empty)
        meta.index = X._meta.index[:0]
        return X.map_partitions(predict_frame, held, meta=meta)
    raise TypeError(f"X must be a Dask array or a Dask data frame, got {type(X).__name__}")


def predict_block(X: Any, network: Network) -> np.ndarray:
    """Return the outputs for one block."""
    return work.predict_rows(network, X)


def predict_frame(frame: Any, network: Network) -> Any:
    """Return the outputs for one partition of a data frame, with its index."""
    import pandas as pd

    outputs = work.predict_rows(network, frame)
    if network.n_outputs == 1:
        return pd.Series(outputs[:, 0], index=frame.index, name="prediction")
    return pd.DataFrame(outputs, index=frame.index)
