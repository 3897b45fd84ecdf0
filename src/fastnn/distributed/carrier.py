"""The one place that knows what a Trainer consists of: what travels to workers, what comes back, where it goes.

What goes to a shard and comes back are parameters, moments and running statistics. On the wire, parameters and moments
together have the bytes of the parameters: workers start from rounded ones and answer with what they changed, and the
client, which adds that to its own, loses nothing.
"""

import pickle
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fastnn.engine.team import Team
from fastnn.inputs.data import check_data
from fastnn.losses import LossFunction
from fastnn.metrics import Metric
from fastnn.model.network import Network
from fastnn.optimizers import SGD, Adam, AdamW, Lion, Nadam, Optimizer
from fastnn.training.evaluation import Evaluation
from fastnn.training.state import TrainingState
from fastnn.training.trainer import Trainer


@dataclass(frozen=True)
class Start:
    """What a fit starts from, and what its rounds have in common.

    Attributes
    ----------
    version : str
        The client's fastnn.
    network : Network
    loss, optimizer, metrics, mixup
        As for `Trainer`.
    idle : list of Trainer
        Those of this process that train nothing; they stay where they are when this travels.
    """

    version: str
    network: Network
    loss: LossFunction
    optimizer: Optimizer
    metrics: tuple[Metric, ...]
    mixup: float
    idle: list[Trainer] = field(default_factory=list)

    def __sizeof__(self) -> int:  # what Dask asks for before it decides to spill
        return 1000 + self.network.parameters.nbytes

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "idle": []}


def start_of(trainer: Trainer, metrics: tuple[Metric, ...] | None = None) -> Start:
    """Return a trainer's network and settings as a `Start`."""
    from fastnn import __version__

    return Start(
        __version__, trainer.network, trainer.loss, trainer.optimizer,
        trainer.metrics if metrics is None else metrics, trainer.mixup,
    )  # fmt: skip


_NO_HISTORY: dict[str, Any] = {"epoch": (), "seconds": (), "learning_rate": (), "columns": {}, "stop_reason": None}


def trainer_of(start: Start, metrics: tuple[Metric, ...] | None = None) -> Trainer:
    """Return a trainer with the start's settings and a network of its own; `put` gives it the state."""
    network = pickle.loads(pickle.dumps(start.network, protocol=5))
    return Trainer(
        network, loss=start.loss, optimizer=start.optimizer, metrics=start.metrics if metrics is None else metrics,
        mixup=start.mixup,
    )  # fmt: skip


_DECAYS: dict[type[Optimizer], tuple[str, ...]] = {
    SGD: ("momentum",), Lion: ("beta_2",), Adam: ("beta_1", "beta_2"), AdamW: ("beta_1", "beta_2"),
    Nadam: ("beta_1", "beta_2"),
}  # fmt: skip


def decays_of(optimizer: Optimizer) -> tuple[float, ...]:
    """Return which share of each moment a step leaves, () where moments travel whole.

    Whole are those of other optimizers, of AMSGrad and of `use_ema`: they are no sums that fade.
    """
    names = _DECAYS.get(type(optimizer), ())
    return tuple(getattr(optimizer, name) for name in names) if len(names) == optimizer.slots else ()


# Bits of the exponents: parameters or their change, first moment, second. Beside a bias of 10,000 weights may be small,
# and squares span twice as much.
_EXPONENTS = (5, 4, 5)


class Vector(NamedTuple):
    """What travels: parameters, moments and at last what goes along whole; or changes of them.

    Where there are `decays`, all but the last are rounded to so few bits that together they have the bytes of the
    parameters: 16 bits a parameter and 8 a moment of two, with float32. `vector` makes one.
    """

    coded: tuple[tuple[np.ndarray, int], ...]
    whole: tuple[np.ndarray, ...]
    decays: tuple[float, ...]

    @property
    def parts(self) -> list[np.ndarray]:
        """All of it as floats."""
        dtype = self.whole[-1].dtype
        return [*(decode(codes, e, dtype) for codes, e in zip(self.coded, _EXPONENTS, strict=False)), *self.whole]


def vector(parts: Sequence[np.ndarray], decays: tuple[float, ...]) -> Vector:
    """Return arrays as a vector."""
    if not decays:
        return Vector((), tuple(parts), ())
    half = parts[0].itemsize // 2
    widths = (half, *[half // len(decays)] * len(decays))
    forms = zip(parts, widths, _EXPONENTS, strict=False)
    return Vector(tuple(encode(*form) for form in forms), (parts[-1],), decays)


def encode(values: np.ndarray, width: int, exponent: int) -> tuple[np.ndarray, int]:
    """Return floats as codes of `width` bytes, of which `exponent` bits count from the largest down, and its place.

    Rounded to nearest; what is too small gets the smallest code and not 0: a second moment of 0 makes long steps.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.distributed.carrier import decode, encode
    >>> codes = encode(np.float32([1.0, -0.3, 0.001, 0.0]), 1, 4)
    >>> decode(codes, 4, np.float32).tolist()
    [1.0, -0.3125, 0.0009765625, 0.0]
    """
    bits = values.view(f"i{values.itemsize}")
    shift, sign = _shift(values.dtype, width, exponent), 8 * width - 1
    codes = bits & np.iinfo(bits.dtype).max
    is_some = codes > 0
    codes += 1 << (shift - 1)
    codes >>= shift
    lowest = max(0, int(codes.max(initial=0)) - (1 << sign) + 1)
    codes -= lowest
    np.maximum(codes, is_some, out=codes)
    codes |= (bits < 0).astype(bits.dtype) << sign
    return codes.astype(f"u{width}"), lowest


def decode(coded: tuple[np.ndarray, int], exponent: int, dtype: Any) -> np.ndarray:
    """Return what `encode` was given, rounded."""
    codes, lowest = coded
    dtype = np.dtype(dtype)
    sign = 8 * codes.itemsize - 1
    bits = codes.astype(f"i{dtype.itemsize}")
    signs = bits >> sign << (8 * dtype.itemsize - 1)
    bits &= (1 << sign) - 1
    bits += (bits > 0) * bits.dtype.type(lowest)
    bits <<= _shift(dtype, codes.itemsize, exponent)
    bits |= signs
    return bits.view(dtype)


def _shift(dtype: np.dtype, width: int, exponent: int) -> int:
    return np.finfo(dtype).nmant - (8 * width - 1 - exponent)


def vector_of(trainer: Trainer, decays: tuple[float, ...] = ()) -> Vector:
    """Return parameters, moments and running statistics: copies."""
    return vector(_parts_of(trainer), decays)


def _parts_of(trainer: Trainer) -> list[np.ndarray]:
    network = trainer.network
    return [network.parameters.copy(), *trainer.state_dict()["moments"], network.state.copy()]


def change_of(trainer: Trainer, now: "Now") -> Vector:
    """Return what a shard has made of `now`: a vector, or what a round adds to one.

    To the parameters their change is added, to each moment what is left of it without its decayed start; how far it
    decayed goes along, for shards of few rows take fewer steps.
    """
    decays = now.vector.decays
    if not decays:
        return vector_of(trainer)
    steps = trainer.step - now.state["step"]
    kept = [1.0, *(decay**steps for decay in decays)]
    *after, statistics = _parts_of(trainer)
    changes = [new - share * old for new, old, share in zip(after, now.vector.parts, kept, strict=False)]
    for squares in changes[2:]:
        np.maximum(squares, 0, out=squares)  # what is below is a rounding error
    return vector([*changes, np.concatenate([statistics, np.array(kept[1:], statistics.dtype)])], decays)


def mean_of(left: Vector, right: Vector, share: float) -> Vector:
    """Return the mean of two vectors; `share` is the weight of the second."""
    parts = []
    for a, b in zip(left.parts, right.parts, strict=True):
        mean = b - a
        mean *= share
        mean += a
        parts.append(mean)
    return vector(parts, left.decays)


def total_of(trainer: Trainer, change: Vector) -> list[np.ndarray]:
    """Return what a trainer becomes by what the shards have made together."""
    if not change.decays:
        return change.parts
    *changes, whole = change.parts
    statistics, kept = np.split(whole, [-len(change.decays)])
    own = zip(changes, _parts_of(trainer), (1.0, *kept), strict=False)
    return [*(new + share * old for new, old, share in own), statistics]


def take(trainer: Trainer, parts: Sequence[np.ndarray], step: int, epochs_done: int) -> None:
    """Give a trainer what a round has made; its history and callbacks stay."""
    network, state = trainer.network, trainer._state
    moments = state.moments.reshape(-1, network.plan.parameter_stride)[:, : network.parameters.size]  # without padding
    network.parameters[:], *made, network.state[:] = parts
    for row, new in zip(moments, made, strict=True):
        row[:] = new
    state.step, state.epochs_done = step, epochs_done
    state.holds_average = state.optimizer.use_ema and step > 0


def state_of(trainer: Trainer) -> TrainingState:
    """Return what training changes beside the network, for who conducts it in place of `Trainer.fit`."""
    return trainer._state


def alone(trainer: Trainer) -> AbstractContextManager[None]:
    """Let nobody else train with this trainer meanwhile."""
    return trainer._alone()


def evaluate_alone(trainer: Trainer, X: Any, y: Any, sample_weight: np.ndarray | None) -> dict[str, float]:
    """Return what ``trainer.evaluate`` does, in one thread: Dask has given its task no more."""
    data = check_data(trainer._task.data_spec, X, y, sample_weight)
    with Team(1) as team:
        return Evaluation(trainer._task, data, team).run()


class Now(NamedTuple):
    """Where a trainer stands at the start of a round: `vector_of` it, and numbers of its state."""

    vector: Vector
    state: dict[str, Any]


def now_of(trainer: Trainer, decays: tuple[float, ...]) -> Now:
    """Return what `begin` gives to a copy of a trainer."""
    state = {**trainer.state_dict(), "history": _NO_HISTORY, "callbacks": [], "moments": None}
    return Now(vector_of(trainer, decays), state)


def without_moments(now: Now) -> Now:
    """Return what evaluation needs of `now`."""
    parts = now.vector.parts
    return now._replace(vector=vector([parts[0], parts[-1]], ()))


def begin(trainer: Trainer, now: Now, **changes: Any) -> None:
    """Bring a trainer to the start of a round."""
    trainer.network.parameters[:], *moments, trainer.network.state[:] = now.vector.parts
    if not moments:  # those of another fit are as good where nothing is trained
        moments = trainer.state_dict()["moments"]
    trainer.load_state_dict({**now.state, "moments": moments, **changes})


def put(trainer: Trainer, trained: dict[str, Any]) -> None:
    """Give a trainer all that a copy of it became elsewhere; see `taken`."""
    trainer.network.parameters[:] = trained["parameters"]
    trainer.network.state[:] = trained["statistics"]
    trainer.load_state_dict(trained["state"])


def taken(trainer: Trainer) -> dict[str, Any]:
    """Return all that `put` gives to the original of a copy."""
    network = trainer.network
    return {"parameters": network.parameters.copy(), "statistics": network.state.copy(), "state": trainer.state_dict()}


__all__ = [
    "Now", "Start", "Vector", "alone", "begin", "change_of", "decays_of", "evaluate_alone", "mean_of", "now_of", "put",
    "start_of", "state_of", "take", "taken", "total_of", "trainer_of", "vector", "vector_of", "without_moments",
]  # fmt: skip
