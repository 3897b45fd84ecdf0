"""What callbacks know when training is cut in two, and to which callback it is given back."""

from collections.abc import Sequence
from typing import Any

from fastnn import callbacks as own_callbacks
from fastnn.callbacks import Callback
from fastnn.model.network import Network


class CallbackStates:
    """The states of the callbacks: live ones while fit runs, then those it ended with.

    The first fit after a state was loaded gives each callback the state of the one that it stands for: of the same
    class and the same `identity` (what it watches, where it writes), the first such that is left. States without an
    identity, as fastnn 0.1 saved them, go by class alone.
    """

    def __init__(self) -> None:
        self._live: Sequence[Callback] = ()
        self._saved: list[dict[str, Any]] = []
        self._is_loaded = False

    def begin(self, callbacks: Sequence[Callback]) -> None:
        """Hand out a loaded state, and look at these callbacks from now on."""
        left = list(self._saved) if self._is_loaded else []
        for callback in callbacks:
            name, identity = _name_of(callback), callback.identity()
            match = next(
                (entry for entry in left if entry["name"] == name and entry.get("identity", identity) == identity), None
            )
            if match is not None:
                left = [entry for entry in left if entry is not match]
                try:
                    callback.load_state_dict(match["state"])
                except Exception as error:  # of a callback of the user's, whose state nothing could check before
                    raise ValueError(
                        f"the state that was loaded does not suit the callback {name}: {error!r}"
                    ) from error
        self._is_loaded = False
        self._live = callbacks

    def end(self) -> None:
        """Keep the states and let go of the callbacks."""
        self._saved = self.get()
        self._live = ()

    def get(self) -> list[dict[str, Any]]:
        """Return the states, each with the name of its class and what tells its callback from others of the class."""
        if not self._live:
            return list(self._saved)
        return [_entry(callback) for callback in self._live]

    @property
    def are_loaded(self) -> bool:
        """Whether the next fit hands them out."""
        return self._is_loaded

    def restore(self, states: list[dict[str, Any]], *, are_loaded: bool) -> None:
        """Take what `get` and `are_loaded` said."""
        self._saved, self._is_loaded = list(states), are_loaded

    def load(self, states: list[dict[str, Any]]) -> None:
        """Take states for the next fit."""
        self._saved = list(states)
        self._is_loaded = True


def _entry(callback: Callback) -> dict[str, Any]:
    identity = callback.identity()
    own = {"identity": identity} if identity else {}
    return {"name": _name_of(callback), **own, "state": callback.state_dict()}


def _own_class(name: str) -> type[Callback] | None:
    """Return fastnn's own callback of a name."""
    return getattr(own_callbacks, name) if name in own_callbacks.__all__ else None


def _name_of(callback: Callback) -> str:
    """Return what a callback's state is filed under: its class's name, with the module where fastnn's own has it."""
    cls = type(callback)
    own = _own_class(cls.__name__)
    return cls.__name__ if own is None or own is cls else f"{cls.__module__}.{cls.__qualname__}"


def check_callback_states(states: Any, network: Network) -> None:
    """Raise ValueError or TypeError unless these are names and states; those of fastnn's callbacks are looked into."""
    is_sound = isinstance(states, list) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and isinstance(entry.get("state"), dict)
        and isinstance(entry.get("identity", {}), dict)
        for entry in states
    )
    if not is_sound:
        raise ValueError("state['callbacks'] must be a list of names and states")
    for i, entry in enumerate(states):
        own = _own_class(entry["name"])
        if own is not None:
            try:
                own.check_state(entry["state"], network)
            except (ValueError, TypeError) as error:
                raise ValueError(f"state['callbacks'][{i}], of {entry['name']}: {error}") from None
