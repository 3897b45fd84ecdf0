"""What is saved of a GAN, and how it comes back: both networks, both training states, and what it was made with."""

import os
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import numpy as np

from fastnn import optimizers
from fastnn.files import container
from fastnn.files.container import printable, shown
from fastnn.files.persistence import ARRAY, member, network_part, pack, read_config, read_network, unpack
from fastnn.model.network import Network
from fastnn.training.files import check_history

WORDS = ("loss", "noise", "discriminator_steps", "label_smoothing", "gradient_penalty")
_PARTS = ("generator", "discriminator")


class SavedGan(Protocol):
    """What files have to know of a GAN; `fastnn.GAN` is one."""

    @property
    def generator(self) -> Network: ...
    @property
    def discriminator(self) -> Network: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


T = TypeVar("T", bound=SavedGan)


def save_gan(gan: SavedGan, path: str | os.PathLike) -> None:
    """Write a GAN to a file, whole or not at all."""
    network, arrays = network_part(gan.generator)
    other, its_arrays = network_part(gan.discriminator, "gan/network")
    states = gan.state_dict()
    for name in _PARTS:
        if not np.isfinite(states[name]["moments"]).all():
            raise ValueError(f"the moments of the {name}'s optimizer must be finite to be saved, got NaN or infinity")
    part = {name: getattr(gan, name) for name in WORDS}
    part["states"] = pack(states, "gan/states", arrays)
    container.write(path, {"kind": "gan", "network": network, "gan": {"network": other, **part}}, arrays | its_arrays)


def load_gan(make: Callable[..., T], path: str | os.PathLike) -> T:
    """Return the GAN in a file, which continues where it was saved."""
    with container.reading(path) as file:
        if file.document.get("kind") != "gan":
            raise file.error(f"it holds no GAN but a {shown(file.document.get('kind'))}")
        part = member(file, file.document, "gan", dict)
        networks = read_network(Network, file), read_network(Network, file, part, "gan/network")
        states: dict[str, Any] = {}
        own: dict[str, Any] = {}
        packed = member(file, part, "states", dict)
        for name, network in zip(_PARTS, networks, strict=True):
            state = member(file, packed, name, dict)
            optimizer = read_config(file, f"gan.states.{name}.optimizer", optimizers.get, state.get("optimizer"))
            moments = f"gan/states/{name}/moments"
            file.expect(moments, network.dtype, (optimizer.slots, network.n_parameters))
            if state.get("moments") != {ARRAY: moments}:
                raise file.error(f"gan.states.{name}.moments must refer to an array, got {shown(state.get('moments'))}")
            own[f"{name}_optimizer"] = optimizer
        states = unpack(file, packed)
        for name in _PARTS:
            if not np.isfinite(states[name]["moments"]).all():
                raise file.error(f"the array 'gan/states/{name}/moments' holds NaN or infinity")
            check_history(file, f"gan.states.{name}", states[name].get("history"))
        for name in WORDS:
            if name not in part:
                raise file.error(f"{name!r} is missing")
            own[name] = part[name]
        try:
            gan = make(*networks, **own)
            gan.load_state_dict(states)
        except (TypeError, ValueError, KeyError) as error:
            raise file.error(f"gan: {printable(str(error))}") from None
        return gan
