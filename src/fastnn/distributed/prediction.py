"""`predict`: a network's outputs as a lazy collection, chunk by chunk."""

from typing import Any

import numpy as np

from fastnn.distributed import work
from fastnn.model.network import Network


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
    except ImportError as error:
        raise ImportError('fastnn.distributed needs Dask: pip install "fastnn[dask]"') from error
    if not isinstance(network, Network):
        raise TypeError(f"network must be a fastnn.Network, got {network!r}")
    if isinstance(X, dask.array.Array):
        if X.ndim != 2 or X.shape[1] != network.n_inputs:
            raise ValueError(f"X must have shape (n, {network.n_inputs}), got {X.shape}")
        X = X.rechunk({1: -1}) if X.numblocks[1] > 1 else X
        # Once in the graph, not once a chunk; a copy, so that later training changes nothing.
        held = delayed(_copy(network), name=f"fastnn-network-{dask.base.tokenize(network.parameters, network.state)}")
        return X.map_blocks(
            predict_block, held, dtype=network.dtype, chunks=(X.chunks[0], (network.n_outputs,)),
            meta=np.empty((0, network.n_outputs), network.dtype),
        )  # fmt: skip
    if hasattr(X, "map_partitions") and hasattr(X, "columns"):
        import pandas as pd

        if len(X.columns) != network.n_inputs:
            raise ValueError(f"X must have {network.n_inputs} columns, got {len(X.columns)}")
        held = _copy(network)
        empty = np.empty((0, network.n_outputs), network.dtype)
        meta: Any = pd.Series(empty[:, 0], name="prediction") if network.n_outputs == 1 else pd.DataFrame(empty)
        meta.index = X._meta.index[:0]
        return X.map_partitions(predict_frame, held, meta=meta)
    raise TypeError(f"X must be a Dask array or a Dask data frame, got {type(X).__name__}")


def _copy(network: Network) -> Network:
    import copy

    return copy.deepcopy(network)


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
