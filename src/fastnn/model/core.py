"""What every part of the package knows of a network: its layers, their plan, and the memory of its parameters."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Self

import numpy as np

from fastnn import initializers
from fastnn.activations import Compiled
from fastnn.common.attributes import Guarded
from fastnn.common.records import as_plain, from_plain
from fastnn.common.validation import as_array, check_dtype, check_finite, check_integer
from fastnn.engine.layout import Plan, Variable, are_variances_sound
from fastnn.engine.linking import LinkedOps, link
from fastnn.engine.memory import aligned_zeros, parameter_buffer
from fastnn.engine.plan import make_plan
from fastnn.kernels.gemm import PANEL
from fastnn.layers import Layer, check_layers, from_config

_NEW = "make a new Network"

_shared_plan = lru_cache(maxsize=64)(make_plan)


def _plan_of(layers: tuple[Layer, ...]) -> Plan:
    """Return the plan of layers. Networks of equal layers share one, and what is made once for each plan.

    A search or a cross-validation makes the same network hundreds of times.
    """
    return _shared_plan(layers) if _is_own(layers) else make_plan(layers)


def _is_own(part: Any) -> bool:
    """Whether a layer, or what it is made of, is fastnn's; parts that users write may be equal and yet not the same."""
    if isinstance(part, tuple):
        return all(map(_is_own, part))
    if isinstance(part, Layer):
        return type(part).__module__.startswith("fastnn.") and all(map(_is_own, vars(part).values()))
    return not isinstance(part, Compiled)


class NetworkCore(Guarded):
    """Base of `Network`: everything but predictions, files and exchange with other libraries.

    Attributes
    ----------
    parameter_buffer : ndarray
        Parameters and state in one block of memory, as kernels take it.
    plan : Plan
        The tables that kernels walk.
    training_lock : threading.RLock
        Held by the thread that trains the network.
    """

    layers: tuple[Layer, ...]
    dtype: np.dtype
    seed: int | None
    plan: Plan
    parameter_buffer: np.ndarray
    training_lock: Any

    _refused: ClassVar[Mapping[str, str]] = {
        "layers": _NEW,
        "dtype": f"{_NEW}(layers, dtype=...) and give it the weights by set_weights",
        "seed": f"parameters were drawn from it; {_NEW}(layers, seed=...), or pass fit(seed=...)",
        "plan": f"it follows from the layers; {_NEW}",
        "parameter_buffer": "write to network.parameters or call set_weights",
        "training_lock": "fit takes and releases it",
        **{
            name: f"it follows from the layers; {_NEW}" for name in ("n_parameters", "n_inputs", "n_outputs", "row_ops")
        },
    }

    def _set_up(self, layers: Iterable[Layer], dtype: Any, seed: int | None) -> None:
        """Check the arguments and make everything but the initial kernels."""
        checked = check_layers(layers)
        own = self.__dict__
        own["dtype"] = check_dtype(dtype)
        own["seed"] = None if seed is None else check_integer("seed", seed, 0, 2**63 - 1)
        own["layers"] = checked
        own["plan"] = _plan_of(checked)
        own["training_lock"] = threading.RLock()
        self._row_ops: LinkedOps | None = None  # linked when a single row comes
        self._carried: np.ndarray | None = None  # made by the first batch
        self._n_carried = 0
        own["parameter_buffer"], self._parameters, self._state = parameter_buffer(self.plan, self.dtype)
        for vector, tensors in ((self._parameters, self.plan.variables), (self._state, self.plan.states)):
            for tensor in tensors:
                if tensor.values:
                    vector[tensor.offset : tensor.offset + tensor.size] = _as_dtype(tensor, self.dtype)
                elif tensor.initializer == "ones":  # the memory is zero
                    vector[tensor.offset : tensor.offset + tensor.size] = 1.0
                elif tensor.initializer == "unit_forget":  # of the second of an LSTM's four gates
                    units = tensor.size // 4
                    vector[tensor.offset + units : tensor.offset + 2 * units] = 1.0

    def _initialize(self) -> None:
        generator = np.random.default_rng(self.seed)
        for variable, view in zip(self.plan.variables, self.get_weights(), strict=True):
            if variable.initializer == initializers.SIGNS:
                view[...] = generator.choice((-1.0, 1.0), variable.shape)
            elif variable.initializer.startswith(initializers.NORMAL):
                deviation = float(variable.initializer.removeprefix(initializers.NORMAL))
                view[...] = generator.normal(0.0, deviation, variable.shape)
            elif variable.initializer == initializers.ANGLES:
                view[...] = generator.uniform(-np.pi, np.pi, variable.shape)
            elif variable.initializer.startswith(initializers.EACH):
                name = variable.initializer.removeprefix(initializers.EACH)
                for part in view:
                    part[...] = initializers.draw(name, part.shape, generator)
            elif variable.is_kernel:
                view[...] = initializers.draw(variable.initializer, variable.shape, generator)

    @classmethod
    def _blank(cls, layers: Iterable[Layer], *, dtype: Any, seed: int | None) -> Self:
        """Return a network whose kernels are zero: they come from elsewhere, so none are drawn."""
        network = cls.__new__(cls)
        network._set_up(layers, dtype, seed)
        return network

    def __getstate__(self) -> dict[str, Any]:
        layers = [as_plain(layer, from_config) for layer in self.layers]
        return {
            "layers": layers, "dtype": self.dtype.name, "seed": self.seed, "parameters": self.parameters.copy(),
            "state": self.state.copy(), "carried": self.carried,
        }  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        layers = [from_plain(layer, from_config) for layer in state["layers"]]  # layers, in pickles of before
        self._set_up(layers, state["dtype"], state["seed"])
        self._parameters[:] = state["parameters"]
        self._state[:] = state["state"]
        self.carry(state.get("carried"))  # pickles of before have none

    @property
    def carried(self) -> np.ndarray | None:
        """What stateful layers carry to the next batch: a copy of shape (sequences, units); None before the first."""
        if self._carried is None:
            return None
        panels = self._carried.reshape(-1, self.plan.carried_units, PANEL)
        return np.swapaxes(panels, 1, 2).reshape(-1, self.plan.carried_units)[: self._n_carried].copy()

    def carry(self, states: Any, name: str = "states") -> None:
        """Take back what `carried` was.

        Raises
        ------
        ValueError
            If it is not of such layers, and finite; nothing is changed then.
        """
        self.check_carried(states, name)
        self.reset_state()
        if states is not None:
            panels = self.carried_for(len(states)).reshape(-1, self.plan.carried_units, PANEL)
            for i, row in enumerate(states):
                panels[i // PANEL, :, i % PANEL] = row

    def check_carried(self, states: Any, name: str) -> None:
        """Raise ValueError unless `carry` takes these states."""
        units = self.plan.carried_units
        if states is None:
            return
        states = np.asarray(states)
        if states.ndim != 2 or not len(states) or states.shape[1] != units or states.dtype.kind != "f":
            raise ValueError(f"{name} must be floats of shape (sequences, {units}), got {states.dtype} {states.shape}")
        if not np.isfinite(states).all():
            raise ValueError(f"{name} must be finite, got NaN or infinity")

    def reset_state(self) -> None:
        """Let stateful recurrent layers begin with a state of 0 again, and with any number of sequences.

        Examples
        --------
        >>> import numpy as np, fastnn
        >>> layers = [fastnn.Input((5, 1)), fastnn.GRU(4, stateful=True), fastnn.Dense(1)]
        >>> network = fastnn.Network(layers, seed=0)
        >>> first, second = network.predict(np.ones((1, 5, 1))), network.predict(np.ones((1, 5, 1)))
        >>> network.reset_state()
        >>> bool(first != second), bool(first == network.predict(np.ones((1, 5, 1))))
        (True, True)
        """
        self._carried = None

    def carried_for(self, n: int) -> np.ndarray:
        """Return the states that n sequences carry from batch to batch, in panels.

        Raises
        ------
        ValueError
            If those of another number of sequences are there.
        """
        if self._carried is None:
            panels = -(-n // PANEL)
            self._carried, self._n_carried = aligned_zeros(panels * self.plan.carried_units * PANEL, self.dtype), n
        elif n != self._n_carried:
            raise ValueError(
                f"the network holds the states of {self._n_carried} sequences, since it has stateful layers, got {n}: "
                "call network.reset_state() to begin anew"
            )
        return self._carried

    @property
    def row_ops(self) -> LinkedOps:
        """The ops with the compiled units for single rows."""
        if self._row_ops is None:
            self._row_ops = link(self.plan, self.dtype, for_rows=True)
        return self._row_ops

    @property
    def n_parameters(self) -> int:
        return self.plan.n_parameters

    @property
    def n_inputs(self) -> int:
        return self.plan.n_inputs

    @property
    def n_outputs(self) -> int:
        return self.plan.n_outputs

    @property
    def parameters(self) -> np.ndarray:
        return self._parameters.view()

    @parameters.setter
    def parameters(self, values: Any) -> None:
        self._copy_into(self._parameters, "parameters", values)

    @property
    def state(self) -> np.ndarray:
        return self._state.view()

    @state.setter
    def state(self, values: Any) -> None:
        if self._is_own(self._state, values):
            return
        array = as_array("state", values)
        for tensor in self.plan.states if array.shape == self._state.shape else ():
            part = array[tensor.offset : tensor.offset + tensor.size]
            if not are_variances_sound(tensor.name, part):
                raise ValueError(f"state must not hold negative variances, nor 0 in Normalization, got {part.min()}")
        self._copy_into(self._state, "state", array)

    @staticmethod
    def _is_own(own: np.ndarray, values: Any) -> bool:
        """Whether this is the vector itself, which ``network.parameters *= 2`` assigns after it was changed."""
        return isinstance(values, np.ndarray) and values.base is own.base and (
            values.__array_interface__ == own.__array_interface__
        )  # fmt: skip

    def _copy_into(self, own: np.ndarray, name: str, values: Any) -> None:
        if self._is_own(own, values):
            return
        array = as_array(name, values)
        if array.shape != own.shape:
            raise ValueError(f"{name} must have shape {own.shape}, got {array.shape}")
        check_finite(name, array, self.dtype)
        own[...] = array

    def unflatten(self, vector: np.ndarray) -> list[np.ndarray]:
        """Return views into a flat vector, shaped as `get_weights`.

        Parameters
        ----------
        vector : ndarray of shape (n_parameters,)
            Parameters, a gradient, or one moment of an optimizer.

        Returns
        -------
        list of ndarray
            [W1, b1, W2, b2, ...] with W of shape (fan_in, units).

        Raises
        ------
        ValueError
            If the vector has another length.

        Examples
        --------
        >>> import fastnn
        >>> network = fastnn.Network.mlp(4, [3], 2)
        >>> [w.shape for w in network.unflatten(network.parameters)]
        [(4, 3), (3,), (3, 2), (2,)]
        """
        if vector.shape != (self.n_parameters,):
            raise ValueError(f"vector must have shape ({self.n_parameters},), got {vector.shape}")
        return [vector[v.offset : v.offset + v.size].reshape(v.shape) for v in self.plan.variables]

    def get_weights(self) -> list[np.ndarray]:
        """Return [W1, b1, W2, b2, ...]: views, so that writing to them changes the network.

        Examples
        --------
        >>> import fastnn
        >>> W, b = fastnn.Network.mlp(4, [], 2).get_weights()
        >>> W.shape, b.shape
        ((4, 2), (2,))
        """
        return self.unflatten(self._parameters)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Copy arrays in the form of `get_weights` into the network.

        Parameters
        ----------
        weights : sequence of array-like
            As many arrays, of the same shapes, as `get_weights` returns.

        Raises
        ------
        ValueError
            If number, shape or finiteness is wrong; nothing is changed then.

        Examples
        --------
        >>> import numpy as np, fastnn
        >>> network = fastnn.Network.mlp(2, [], 1)
        >>> network.set_weights([np.ones((2, 1)), np.zeros(1)])
        >>> float(network.predict(np.array([[1.0, 2.0]]))[0, 0])
        3.0
        """
        views = self.get_weights()
        if len(weights) != len(views):
            raise ValueError(f"weights must be a list of {len(views)} arrays, got {len(weights)}")
        arrays = [as_array(f"weights[{i}]", w) for i, w in enumerate(weights)]
        # Those that are the network's own, as where two layers swap theirs, are read before anything is written.
        arrays = [array.copy() if np.may_share_memory(array, self.parameter_buffer) else array for array in arrays]
        for i, (view, array) in enumerate(zip(views, arrays, strict=True)):
            if array.shape != view.shape:
                raise ValueError(f"weights[{i}] must have shape {view.shape}, got {array.shape}")
            check_finite(f"weights[{i}]", array, self.dtype)
        for view, array in zip(views, arrays, strict=True):
            view[...] = array


def _as_dtype(tensor: Variable, dtype: np.dtype) -> np.ndarray:
    """Return the numbers that a state begins with, or raise ValueError if they are out of the range of `dtype`."""
    with np.errstate(over="ignore", under="ignore"):
        values = np.array(tensor.values, dtype)
    limits = np.finfo(dtype)
    is_out = np.abs(values) > limits.max
    if tensor.name.endswith("variance"):
        is_out |= values < limits.tiny
    if is_out.any():
        i = int(np.argmax(is_out))
        raise ValueError(
            f"{tensor.name}[{i}] = {tensor.values[i]} of layer {tensor.layer} is out of the range of {dtype}; "
            "give the feature another unit, or take dtype='float64'"
        )
    return values
