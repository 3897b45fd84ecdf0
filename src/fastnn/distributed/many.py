"""`fit_many` on a cluster: a task a network, the data once on each worker."""

import copy
import pickle
import uuid
import warnings
from collections.abc import Sequence
from typing import Any

from fastnn.callbacks import Callback
from fastnn.distributed import blocks, carrier, session, work
from fastnn.distributed.rounds import check_workers
from fastnn.training.arguments import FitOptions
from fastnn.training.trainer import Trainer

_FIT_OPTIONS = (
    "epochs", "batch_size", "validation_data", "validation_split", "validation_freq", "sample_weight", "class_weight",
    "shuffle", "initial_epoch", "seed",
)  # fmt: skip


def fit_on_workers(
    client: Any, members: Sequence[Trainer], X: Any, y: Any, options: FitOptions, callbacks: list[Callback]
) -> dict[int, FloatingPointError]:
    """Fit every member in a task of its own, and give it what it became; return the errors of those that diverged.

    Parameters
    ----------
    client : distributed.Client
    members : sequence of Trainer
    X, y : array-like
        As for `fastnn.fit_many`, checked.
    options : FitOptions
        Checked.
    callbacks : list of Callback
        Copied for each member; they run on the workers, so what they keep stays there.
    """
    client = blocks.get_client(client)
    check_workers(client)
    name = f"fastnn-{uuid.uuid4().hex[:12]}"
    given = {key: getattr(options, key) for key in _FIT_OPTIONS}
    # The largest first, so that nobody is left with a large one when the others are done.
    order = sorted(range(len(members)), key=lambda index: -members[index].network.n_parameters)
    futures: list[Any] = []
    diverged: dict[int, FloatingPointError] = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sending large graph")
        data = client.submit(_open, session.dumps((X, y, given, callbacks)), key=f"{name}-data", pure=False)
    try:
        for index in order:
            blob = session.dumps((carrier.start_of(members[index]), members[index].state_dict()))
            futures.append(client.submit(_fit_one, blob, data, name, key=f"{name}-{index}", pure=False))
        for index, (trained, error) in zip(order, client.gather(futures), strict=True):
            carrier.put(members[index], trained)
            if error is not None:
                diverged[index] = error
    except BaseException as error:
        client.run(work.stop_here, name, on_error="ignore")
        client.cancel([*futures, data])
        if not isinstance(error, KeyboardInterrupt):
            raise
        for member in members:
            member.history.stop_reason = "interrupted"
        warnings.warn("Training was interrupted; the networks are as they were.", stacklevel=3)
    finally:
        for future in (*futures, data):
            future.release()
    return diverged


def _open(blob: bytes) -> Any:
    return pickle.loads(blob)


def _fit_one(blob: bytes, data: Any, name: str) -> tuple[dict[str, Any], FloatingPointError | None]:
    """Train one network, as in a thread of `fit_many`."""
    start, state = pickle.loads(blob)
    X, y, options, callbacks = data
    work.check_version(start.version)
    work.compile_once(start)
    trainer = carrier.trainer_of(start)
    trainer.load_state_dict(state)
    found = None
    try:
        trainer.fit(X, y, callbacks=[*copy.deepcopy(callbacks), work.Watch(name)], n_threads=1, **options)
    except FloatingPointError as error:
        found = error
    trained = carrier.taken(trainer)
    entries = trained["state"]["callbacks"]
    trained["state"]["callbacks"] = entries[: len(callbacks)]  # without the watch
    return trained, found
