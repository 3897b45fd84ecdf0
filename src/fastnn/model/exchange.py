"""How a network leaves and enters: the part of `Network` that is about files, compiled code and other libraries."""

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Self

from fastnn.common.later import later
from fastnn.common.own_parts import parts_at_hand
from fastnn.common.validation import check_integer
from fastnn.common.words import meant_by
from fastnn.engine.memory import row_sizes
from fastnn.files import persistence
from fastnn.kernels.rows import make_predictor
from fastnn.model.core import NetworkCore

if TYPE_CHECKING:
    from torch import nn

    from fastnn.model.stepper import Stepper

# Compiled code holds the addresses of these networks' parameters, and nobody can know when that code is gone.
_COMPILED: list[NetworkCore] = []


class Exchange(NetworkCore):
    """Base of `Network`: its methods that hand it to others and take it from them."""

    _predictor: Callable[[Any, Any], None] | None = None

    def __getattr__(self, name: str) -> Any:
        hint = "" if name.startswith("_") else meant_by(name, [])
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")

    def save(self, path: str | os.PathLike) -> None:
        """Write the network to a file: architecture, dtype, seed and parameters.

        The file holds arrays and JSON in the safetensors format, no code. It is written whole or not at all: a process
        that is killed at any point leaves the old file or the new one.

        Parameters
        ----------
        path : str or path-like
            Where to write; an existing file is replaced.

        Raises
        ------
        ValueError
            If a parameter is NaN or infinite; nothing is written then.
        OSError
            If the file cannot be written; an existing file stays as it was.

        See Also
        --------
        Network.load

        Examples
        --------
        >>> import fastnn, pathlib, tempfile
        >>> network = fastnn.Network.mlp(4, [8], 2, seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "model.safetensors")
        ...     network.save(path)
        ...     loaded = fastnn.Network.load(path)
        >>> bool((loaded.parameters == network.parameters).all())
        True
        """
        persistence.save_network(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike, *, parts: Iterable[Any] = ()) -> Self:
        """Return the network that a file holds; one of a Trainer or an estimator holds one too.

        Nothing in the file is trusted: it is checked before memory is allocated, and no code in it is run.

        Parameters
        ----------
        path : str or path-like
            A file written by `save`.
        parts : iterable of parts, default ()
            Activations and losses of your own (`fastnn.activations.Compiled` and so on) that the file names: it holds
            their names, never code.

        Returns
        -------
        Network

        Raises
        ------
        FileFormatError
            If the file is damaged, of another kind, or of a later version of fastnn.
        OSError
            If it cannot be opened.

        Examples
        --------
        >>> import fastnn
        >>> fastnn.Network.load("missing.safetensors")
        Traceback (most recent call last):
        FileNotFoundError: [Errno 2] No such file or directory: 'missing.safetensors'
        """
        with parts_at_hand(parts):
            return persistence.load_network(cls, path)

    def compile_predictor(self) -> Callable[[Any, Any], None]:
        """Return ``predict(x, out)``, a Numba function for one sample, to be called inside your own ``@njit`` code.

        It checks nothing: x must hold n_inputs numbers, out have room for n_outputs. x may be a 1-D array of any real
        dtype and strides, or a tuple; out is a 1-D array. The function sees the network's parameters where they lie,
        so training or `set_weights` after this call shows in its outputs. It is thread-safe, and releases the GIL
        when Python calls it.

        Returns
        -------
        function
            The same one for every call. The network then stays in memory until the process ends, since compiled code
            refers to it; for the same reason Numba does not cache functions that call this one on disk.

        Raises
        ------
        ValueError
            If a layer works on batches only, as recurrent ones do.

        Examples
        --------
        >>> import numba, numpy as np, fastnn
        >>> network = fastnn.Network.mlp(2, [8], 1, activation="tanh", seed=0)
        >>> predict = network.compile_predictor()
        >>> @numba.njit
        ... def simulate(x, v, n_steps):
        ...     force = np.empty(1, np.float32)
        ...     for _ in range(n_steps):
        ...         predict((x, v), force)
        ...         v += 0.01 * force[0]
        ...         x += 0.01 * v
        ...     return x
        >>> bool(np.isfinite(simulate(1.0, 0.0, 100)))
        True
        """
        if self._predictor is None:
            if not self.plan.has_rows:
                names = ", ".join(sorted({kind.name for kind in self.plan.kinds if kind.row is None}))
                raise ValueError(f"compile_predictor needs layers that work on one sample; {names} do not: use predict")
            self._predictor = make_predictor(
                self.parameter_buffer, self.row_ops.table, *row_sizes(self.plan, self.dtype), self.n_inputs,
                self.n_outputs,
            )  # fmt: skip
            _COMPILED.append(self)
        return self._predictor

    def stepper(self, n: int = 1) -> "Stepper":
        """Return a compiled object that takes one step of time a call, and keeps the state in between.

        For services, controllers and the generation of text. A call costs a few microseconds for small networks, and
        allocates nothing within compiled code. Any number of steps can be taken, whatever the Input's time is.

        Parameters
        ----------
        n : int, default 1
            How many sequences go side by side.

        Returns
        -------
        Stepper
            ``stepper(x)`` is the outputs at the next step; `fastnn.model.stepper.Stepper` says the rest. It may be
            called from your own ``@numba.njit`` code, too: ``stepper(x, out)``.

        Raises
        ------
        ValueError, TypeError
            If n is no integer >= 1, or a layer needs all steps at once.

        Examples
        --------
        >>> import numpy as np, fastnn
        >>> layers = [fastnn.Input((20, 3)), fastnn.GRU(8), fastnn.Dense(1)]
        >>> network = fastnn.Network(layers, seed=0)
        >>> X = np.random.default_rng(0).normal(size=(1, 20, 3)).astype("float32")
        >>> stepper = network.stepper()
        >>> for x in X[0]:
        ...     output = stepper(x)
        >>> np.array_equal(output, network.predict(X)[0])
        True
        >>> stepper.reset()
        """
        from fastnn.model.stepper import Stepper  # with the kernels of recurrent layers

        n = check_integer("n", n, 1)
        return Stepper(self.layers, self.plan, self.dtype, self.parameter_buffer, n)

    @classmethod
    def from_torch(cls, module: "nn.Sequential", *, input_shape: int | tuple[int, ...] | None = None) -> Self:
        """Return a network with the layers and trained parameters of a PyTorch module.

        Parameters
        ----------
        module : torch.nn.Sequential
            Of Linear, convolutions, pooling, recurrent modules, Dropout, normalizations, Flatten and activations;
            nested ones are taken apart. The parameters are copied. Behind a recurrent module stands
            `fastnn.interop.torch.modules.RecurrentOutput`, which says what of its results goes on.
        input_shape : int, tuple of int or None, default None
            The shape of one sample as the network takes it, channels last: (height, width, channels) or
            (time, features). PyTorch's modules do not know sizes of images and sequences. None: a row of features, as
            many as the first module that knows says.

        Returns
        -------
        Network
            Of dtype float64 if all parameters are, else float32. `predict` gives what ``module.eval()`` gives, where
            modules with channels first take and give samples with their channels moved to the front.

        Raises
        ------
        ImportError
            If PyTorch is missing.
        ValueError, TypeError
            If a module has no equal in fastnn, with its name and those that have one, or the size of samples is not
            known.

        Examples
        --------
        >>> import fastnn
        >>> from torch import nn  # doctest: +SKIP
        >>> fastnn.Network.from_torch(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)))  # doctest: +SKIP
        Network([Input(4), Dense(8, 'relu'), Dense(1)], dtype='float32', seed=None)
        """
        return later("from_torch")(cls, module, input_shape)

    def to_torch(self) -> "nn.Sequential":
        """Return the network as a PyTorch module in evaluation mode, with copies of the parameters.

        Convolutions and what goes with them take samples with channels first in PyTorch: so does the module, if its
        first layer is one of them. Between layers, modules of `fastnn.interop.torch.modules` move axes where they must.

        Returns
        -------
        torch.nn.Sequential
            Of the network's dtype.

        Raises
        ------
        ImportError
            If PyTorch is missing.
        ValueError
            If a layer or an activation has no equal among PyTorch's modules.

        Examples
        --------
        >>> import fastnn
        >>> fastnn.Network.mlp(4, [8], 1, seed=0).to_torch()  # doctest: +SKIP
        Sequential(
          (0): Linear(in_features=4, out_features=8, bias=True)
          (1): ReLU()
          (2): Linear(in_features=8, out_features=1, bias=True)
        )
        """
        return later("to_torch")(self)

    @classmethod
    def from_keras(cls, model: Any) -> Self:
        """Return a network with the layers and trained parameters of a Keras model.

        Parameters
        ----------
        model : keras.Model
            Sequential, or a functional model that is a chain, with ways around by Add([x, f(x)]): Dense, convolutions,
            pooling, recurrent layers, dropout, noise, normalizations, shapes and activations. The parameters are
            copied, and layers that are not trained there are not trained here.

        Returns
        -------
        Network
            Of dtype float64 if all parameters are, else float32. `predict` gives what ``model.predict`` gives.

        Raises
        ------
        ImportError
            If Keras is missing.
        ValueError, TypeError
            If a layer has no equal in fastnn, with its name and those that have one, or the model is not a chain.

        Examples
        --------
        >>> import fastnn
        >>> import keras  # doctest: +SKIP
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])  # doctest: +SKIP
        >>> fastnn.Network.from_keras(model)  # doctest: +SKIP
        Network([Input(4), Dense(1)], dtype='float32', seed=None)
        """
        return later("from_keras")(cls, model)

    def to_keras(self) -> Any:
        """Return the network as a Keras model with copies of the parameters.

        Penalties and constraints, which belong to training here, stay behind.

        Returns
        -------
        keras.Sequential or keras.Model
            Of the network's dtype; the second where the network holds a `Residual`.

        Raises
        ------
        ImportError
            If Keras is missing.
        ValueError
            If a layer or an activation has no equal in Keras.

        Examples
        --------
        >>> import fastnn
        >>> fastnn.Network.mlp(4, [8], 1, seed=0).to_keras()  # doctest: +SKIP
        <Sequential name=sequential, built=True>
        """
        return later("to_keras")(self)
