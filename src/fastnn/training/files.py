"""What is saved of a trainer or a GAN, and how it comes back. `fastnn.files.persistence` does the same for networks."""

import os
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np

from fastnn import losses, optimizers
from fastnn.files import container
from fastnn.files.container import SavedFile, printable, shown
from fastnn.files.persistence import ARRAY, member, network_part, pack, read_config, read_network, unpack
from fastnn.losses import LossFunction
from fastnn.metrics import Metric, check_metrics, saved_names
from fastnn.model.network import Network
from fastnn.optimizers import Optimizer


class SavedTrainer(Protocol):
    """What files have to know of a trainer; `fastnn.Trainer` is one."""

    @property
    def network(self) -> Network: ...
    @property
    def loss(self) -> LossFunction: ...
    @property
    def metrics(self) -> tuple[Metric, ...]: ...
    @property
    def mixup(self) -> float: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


_WORDS = ("loss", "noise", "discriminator_steps", "label_smoothing", "gradient_penalty")
_PARTS = ("generator", "discriminator")


class SavedGan(Protocol):
    """What files have to know of a GAN; `fastnn.GAN` is one."""

    @property
    def generator(self) -> Network: ...
    @property
    def discriminator(self) -> Network: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


T = TypeVar("T", bound=SavedTrainer)
G = TypeVar("G", bound=SavedGan)


def trainer_part(trainer: SavedTrainer, name: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return a trainer without its network as a part of a document called `name`, and put its arrays into `arrays`.

    Raises
    ------
    ValueError
        If a moment is NaN or infinite.
    """
    state = trainer.state_dict()
    _check_to_save("the optimizer's moments", state)
    part: dict[str, Any] = {"loss": trainer.loss.config, "metrics": saved_names(trainer.metrics), "state": state}
    if trainer.mixup:
        part["mixup"] = trainer.mixup
    return pack(part, name, arrays)


def save_trainer(trainer: SavedTrainer, path: str | os.PathLike) -> None:
    """Write a trainer and its network to a file, whole or not at all."""
    network, arrays = network_part(trainer.network)
    document = {"kind": "trainer", "network": network, "trainer": trainer_part(trainer, "trainer", arrays)}
    container.write(path, document, arrays)


def load_trainer(make: Callable[..., T], path: str | os.PathLike) -> T:
    """Return the trainer in a file, which continues where it was saved."""
    with container.reading(path) as file:
        if "trainer" not in file.document:
            raise file.error(f"it holds no trainer but a {shown(file.document.get('kind'))}")
        part = member(file, file.document, "trainer", dict)
        return read_trainer(make, file, "trainer", part, read_network(Network, file))


def read_trainer(make: Callable[..., T], file: SavedFile, name: str, part: dict[str, Any], network: Network) -> T:
    """Return the trainer that a part of the document called `name` describes, around a network."""
    state = member(file, part, "state", dict)
    loss = read_config(file, f"{name}.loss", losses.get, part.get("loss"))
    optimizer = read_config(file, f"{name}.optimizer", optimizers.get, state.get("optimizer"))
    metrics = read_config(file, f"{name}.metrics", check_metrics, part.get("metrics"))
    _check_moments(file, f"{name}/state", state, optimizer, network)
    state = unpack(file, state)
    _check_unpacked(file, f"{name}/state", "trainer.state", state)
    try:
        trainer = make(network, loss=loss, optimizer=optimizer, metrics=metrics, mixup=part.get("mixup", 0.0))
    except (TypeError, ValueError) as error:
        raise file.error(f"{name}: {printable(str(error))}") from None
    try:
        trainer.load_state_dict(state)
    except (TypeError, ValueError, KeyError) as error:
        raise file.error(f"{name}.state: {printable(str(error))}") from None
    return trainer


def save_gan(gan: SavedGan, path: str | os.PathLike) -> None:
    """Write a GAN to a file, whole or not at all."""
    network, arrays = network_part(gan.generator)
    other, its_arrays = network_part(gan.discriminator, "gan/network")
    states = gan.state_dict()
    for name in _PARTS:
        _check_to_save(f"the moments of the {name}'s optimizer", states[name])
    part = {name: getattr(gan, name) for name in _WORDS}
    part["states"] = pack(states, "gan/states", arrays)
    container.write(path, {"kind": "gan", "network": network, "gan": {"network": other, **part}}, arrays | its_arrays)


def load_gan(make: Callable[..., G], path: str | os.PathLike) -> G:
    """Return the GAN in a file, which continues where it was saved."""
    with container.reading(path) as file:
        if file.document.get("kind") != "gan":
            raise file.error(f"it holds no GAN but a {shown(file.document.get('kind'))}")
        part = member(file, file.document, "gan", dict)
        networks = read_network(Network, file), read_network(Network, file, part, "gan/network")
        own: dict[str, Any] = {}
        packed = member(file, part, "states", dict)
        for name, network in zip(_PARTS, networks, strict=True):
            state = member(file, packed, name, dict)
            optimizer = read_config(file, f"gan.states.{name}.optimizer", optimizers.get, state.get("optimizer"))
            _check_moments(file, f"gan/states/{name}", state, optimizer, network)
            own[f"{name}_optimizer"] = optimizer
        states = unpack(file, packed)
        for name in _PARTS:
            _check_unpacked(file, f"gan/states/{name}", f"gan.states.{name}", states[name])
        for name in _WORDS:
            if name not in part:
                raise file.error(f"{name!r} is missing")
            own[name] = part[name]
        try:
            gan = make(*networks, **own)
            gan.load_state_dict(states)
        except (TypeError, ValueError, KeyError) as error:
            raise file.error(f"gan: {printable(str(error))}") from None
        return gan


def _check_to_save(what: str, state: dict[str, Any]) -> None:
    if not np.isfinite(state["moments"]).all():
        raise ValueError(f"{what} must be finite to be saved, got NaN or infinity")
    if not np.isfinite(state.get("carried", 0.0)).all():
        raise ValueError("the states that stateful layers carry must be finite to be saved, got NaN or infinity")


def _check_moments(file: SavedFile, name: str, state: dict[str, Any], optimizer: Optimizer, network: Network) -> None:
    """Raise FileFormatError unless a packed state has this optimizer's moments, before memory is taken for them."""
    file.expect(f"{name}/moments", network.dtype, (optimizer.slots, network.n_parameters))
    if state.get("moments") != {ARRAY: f"{name}/moments"}:
        where = name.replace("/", ".")
        raise file.error(f"{where}.moments must refer to an array, got {shown(state.get('moments'))}")


def _check_unpacked(file: SavedFile, name: str, where: str, state: dict[str, Any]) -> None:
    if not np.isfinite(state["moments"]).all():
        raise file.error(f"the array {f'{name}/moments'!r} holds NaN or infinity")
    _check_history(file, where, state.get("history"))


def _check_history(file: SavedFile, where: str, history: Any) -> None:
    """Raise FileFormatError unless this is the history of a training state called `where`."""
    if not isinstance(history, dict) or not isinstance(history.get("columns"), dict):
        raise file.error(f"{where}.history must hold columns, got {shown(history)}")
    columns = [history.get(name) for name in ("epoch", "seconds", "learning_rate")] + list(history["columns"].values())
    shapes = {column.shape if isinstance(column, np.ndarray) else () for column in columns}
    if any(len(shape) != 1 for shape in shapes):
        raise file.error(f"{where}.history must hold arrays of one dimension")
    if len(shapes) > 1:
        raise file.error(f"{where}.history must hold columns of one length")
    kinds = [column.dtype.kind for column in columns if isinstance(column, np.ndarray)]
    if kinds != ["i"] + ["f"] * (len(columns) - 1):
        raise file.error(f"{where}.history must hold integers in epoch, and floats in all other columns")
    reason = history.get("stop_reason")
    if reason is not None and not isinstance(reason, str):
        raise file.error(f"{where}.history.stop_reason must be null or a text, got {shown(reason)}")
