"""From what a user passes, collections of Dask or sequences of blocks, to shards that stay on the workers."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from fastnn.common.validation import check_integer
from fastnn.distributed import work
from fastnn.inputs.data import DataSpec

_WANTED = "a Dask array, a Dask data frame or a sequence of delayed blocks"


@dataclass(frozen=True)
class Blocks:
    """Row blocks of one argument, each a `Delayed` or a `Future`, and their numbers of rows where they are known."""

    blocks: list[Any]
    rows: tuple[int, ...] | None


def get_client(client: Any) -> Any:
    """Return the client that was passed, or the one of this process."""
    try:
        from distributed import Client, default_client
    except ImportError as error:
        raise ImportError('fastnn.distributed needs Dask: pip install "fastnn[dask]"') from error
    if client is None:
        try:
            client = default_client()
        except ValueError:
            raise ValueError(
                "client must be a distributed.Client where none was made before, got None; "
                "distributed.Client() makes one with a cluster on this machine"
            ) from None
    if not isinstance(client, Client):
        raise TypeError(f"client must be a distributed.Client or None, got {client!r}")
    if client.status != "running":
        raise ValueError(f"client must be connected to a cluster, got one that is {client.status}")
    if client.asynchronous:
        raise ValueError("client must not be asynchronous: fit, evaluate and predict wait for their results")
    return client


def as_blocks(name: str, values: Any, wanted_rows: tuple[int, ...] | None = None) -> Blocks:
    """Return an argument as row blocks; a Dask array is cut along its rows as `wanted_rows` says, if given."""
    import dask.array
    from dask.base import is_dask_collection
    from dask.delayed import Delayed

    from distributed import Future

    if isinstance(values, dask.array.Array):
        if values.ndim not in (1, 2):
            raise ValueError(f"{name} must be 1-D or 2-D, got a Dask array of shape {values.shape}")
        if values.ndim == 2 and values.numblocks[1] > 1:
            values = values.rechunk({1: -1})  # a row in one block
        rows = values.chunks[0]
        known = None if np.isnan(rows).any() else tuple(int(n) for n in rows)
        if known is not None and wanted_rows is not None and known != wanted_rows and sum(known) == sum(wanted_rows):
            values, known = values.rechunk({0: wanted_rows}), wanted_rows
        return Blocks(list(values.to_delayed().ravel()), known)
    if is_dask_collection(values) and hasattr(values, "_meta") and hasattr(values, "npartitions"):
        # Optimizing more puts partitions of few columns together, and y would have fewer than X.
        return Blocks(list(values.simplify().to_delayed(optimize_graph=False)), None)
    if isinstance(values, (list, tuple)) and values and all(isinstance(v, (Delayed, Future)) for v in values):
        return Blocks(list(values), None)
    if isinstance(values, np.ndarray):
        raise TypeError(f"{name} must be {_WANTED}, got a NumPy array; dask.array.from_array({name}) makes one")
    raise TypeError(f"{name} must be {_WANTED}, got {type(values).__name__}")


def check_blocks(X: Any, y: Any, sample_weight: Any, prefix: str = "") -> tuple[list[Any], list[Any], list[Any]]:
    """Return the blocks of features, targets and weights, as many of each; no weights are no blocks."""
    features = as_blocks(f"{prefix}X", X)
    checked = [features.blocks]
    for name, values in ((f"{prefix}y", y), (f"{prefix}sample_weight", sample_weight)):
        if values is None and name.endswith("sample_weight"):
            checked.append([])
            continue
        others = as_blocks(name, values, features.rows)
        counts = [("blocks", len(features.blocks), len(others.blocks))]
        if features.rows is not None and others.rows is not None:
            counts.insert(0, ("rows", sum(features.rows), sum(others.rows)))
        for what, wanted, got in counts:
            if wanted != got:
                raise ValueError(f"{name} must have as many {what} as {prefix}X ({wanted}), got {got}")
        checked.append(others.blocks)
    return checked[0], checked[1], checked[2]


def cut(n_chunks: int, shards: Any) -> list[range]:
    """Return which chunks each shard has: by default one, else neighbours, shared out evenly."""
    n_shards = n_chunks if shards is None else check_integer("shards", shards, 1, n_chunks)
    ends = [n_chunks * i // n_shards for i in range(n_shards + 1)]
    return [range(first, last) for first, last in pairwise(ends)]


def threads_of(client: Any) -> dict[str, int]:
    """Return the workers by address, each with its number of threads."""
    return dict(client.nthreads())


def place(client: Any, parts: Sequence[Sequence[Any]]) -> list[str]:
    """Return on which worker each shard is to lie: where its data are, else so that neighbours lie together."""
    from distributed import Future, wait

    threads = threads_of(client)
    if not threads:
        return [""] * len(parts)
    order = sorted(threads)
    until = list(accumulate(threads[worker] for worker in order))
    owners = [
        next(w for w, end in zip(order, until, strict=True) if end * len(parts) > i * until[-1])
        for i in range(len(parts))
    ]
    held = [{key: future for block in part for key, future in _sources(block).items()} for part in parts]
    with client.as_current():  # `wait` takes no client
        wait([Future(key, client) for keys in held for key in keys if key in client.futures])
    where, at = client.who_has(), client.scheduler.address
    for i, sources in enumerate(held):
        for key, future in sources.items():
            is_here = future is not None and getattr(future.client.scheduler, "address", None) == at
            if not is_here and key not in where and key not in client.futures:
                raise ValueError(
                    f"X, y and sample_weight must lie on the client's cluster, {at}, got {key!r} of another"
                )
        votes = [worker for key in sources for worker in where.get(key, ())]
        if votes:
            owners[i] = max(sorted(set(votes)), key=votes.count)
    return owners


def _sources(block: Any) -> dict[Any, Any]:
    """Return by key what a block is made of that lies on a cluster already; None where the key is all it knows."""
    from distributed import Future

    if isinstance(block, Future):
        return {block.key: block}
    graph, stack, nodes = block.__dask_graph__(), [block.key], {}
    while stack:
        key = stack.pop()
        if key not in nodes:
            nodes[key] = graph.get(key)
            if nodes[key] is not None and not isinstance(nodes[key], Future):
                stack.extend(getattr(nodes[key], "dependencies", ()))
    return {key: node for key, node in nodes.items() if node is None or isinstance(node, Future)}


def make_shards(
    client: Any,
    spec: DataSpec,
    blocks: tuple[list[Any], list[Any], list[Any]],
    cuts: list[range],
    name: str,
    prefix: str = "",
) -> tuple[list[Any], list[str]]:
    """Have the workers make shards; return their futures and where they lie."""
    from dask import delayed

    xs, ys, ws = blocks
    make = delayed(work.make_shard, pure=False)
    owners = place(client, [[b for source in blocks if source for b in source[c.start : c.stop]] for c in cuts])
    shards = []
    for i, (c, owner) in enumerate(zip(cuts, owners, strict=True)):
        with near(owner):
            shards.append(
                make(
                    spec, c.start, xs[c.start : c.stop], ys[c.start : c.stop], ws[c.start : c.stop], prefix,
                    dask_key_name=f"{name}-shard-{i}",
                )
            )  # fmt: skip
    return client.compute(shards, optimize_graph=False), owners


def near(owner: str) -> Any:
    """Return a context whose delayed calls go to a worker while it is there; "" is any."""
    from dask import annotate

    return annotate(workers=[owner], allow_other_workers=True) if owner else nullcontext()
