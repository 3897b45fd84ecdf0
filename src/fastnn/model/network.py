"""The network: layers, a plan, one flat vector of parameters."""

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Never

import numpy as np

from fastnn.common.validation import (
    as_gatherable,
    check_integer,
    check_real,
    is_sparse,
    overlaps,
)
from fastnn.common.words import check_keywords
from fastnn.engine.memory import PLAIN, RowWorkspace
from fastnn.engine.rows import index_source_of
from fastnn.engine.team import share_out
from fastnn.engine.workspace import Workspace, threads_to_infer
from fastnn.inputs.sequences import NO_LENGTHS, Ragged, take_sequences
from fastnn.kernels.rows import predict_rows
from fastnn.layers import Dense, Dropout, Input, Layer
from fastnn.losses import LossFunction
from fastnn.model import summary
from fastnn.model.exchange import Exchange
from fastnn.model.explain import vjp
from fastnn.model.objective import Objective

if TYPE_CHECKING:
    from fastnn.model.explain import Explanation

# Rows for which predict keeps one workspace: enough for the kernel's micro-batch.
_PREDICT_ROWS = 128
# Rows of one kernel call: 1 to 50 ms for usual networks.
_ROWS_A_CALL = 4096

# Up to so many rows, one row after the other is faster than a panel of them.
_FEW_ROWS = 8
# Convolutions have less to gain: a row of LeNet-5 takes a third of the time of a panel.
_FEW_IMAGES = 2


class Network(Exchange):
    """A feed-forward network.

    Parameters
    ----------
    layers : sequence of Layer
        Starts with `Input`; any layers after it.
    dtype : "float32" or "float64", default "float32"
        Of parameters, activations and outputs.
    seed : int or None, default None
        For the initial parameters; None draws fresh ones each time.

    Attributes
    ----------
    parameters : ndarray of shape (n_parameters,)
        The parameters themselves, writable: kernels of shape (fan_in, units) and biases in the order of the layers.
        Assigning a vector copies it in after the checks of `set_weights`.
    state : ndarray of shape (n_states,)
        What is kept but not trained, writable: the running mean and variance of each `BatchNormalization`, in the
        order of the layers. `get_weights` and `set_weights` leave it out. Assigning copies, as for parameters.
    layers : tuple of Layer
    n_parameters, n_inputs, n_outputs : int
    dtype : numpy.dtype
        Not to be assigned, and neither are layers and sizes: they belong to one network for its whole life.

    Raises
    ------
    ValueError, TypeError
        If the first layer is not an `Input`, another one is, or an argument is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn
    >>> network = fastnn.Network([fastnn.Input(2), fastnn.Dense(3, "relu"), fastnn.Dense(1)], seed=0)
    >>> network.n_parameters
    13
    >>> network.predict(np.zeros((5, 2))).shape
    (5, 1)
    """

    _is_strict: ClassVar[bool] = True

    def __init__(self, layers: Iterable[Layer], *, dtype: Any = "float32", seed: int | None = None):
        self._set_up(layers, dtype, seed)
        self._initialize()

    def _set_up(self, layers: Iterable[Layer], dtype: Any, seed: int | None) -> None:
        super()._set_up(layers, dtype, seed)
        self._idle_workspaces: list[Workspace] = []
        self._idle_rows: list[RowWorkspace] = []
        self._few_rows = 0
        is_plain = self.plan.has_rows and len(self.plan.output_shape) == 1 and not self.plan.n_categories
        if is_plain and not self.plan.carried_units:
            self._few_rows = _FEW_IMAGES if len(self.plan.input_shape) == 3 else _FEW_ROWS

    @classmethod
    def mlp(
        cls,
        n_inputs: int,
        hidden: Sequence[int],
        n_outputs: int,
        *,
        activation: Any = "relu",
        output: Any = "linear",
        dropout: float = 0.0,
        dtype: Any = "float32",
        seed: int | None = None,
        **others: Never,
    ) -> "Network":
        """Return a multilayer perceptron: dense hidden layers and a dense output.

        Parameters
        ----------
        n_inputs : int
            Number of features.
        hidden : sequence of int
            Units of each hidden layer; may be empty.
        n_outputs : int
            Number of outputs.
        activation : str or ActivationFunction, default "relu"
            Of the hidden layers.
        output : str or ActivationFunction, default "linear"
            Of the output layer.
        dropout : float, default 0.0
            Rate of a `Dropout` after each hidden layer; 0 adds none.
        dtype, seed
            As for `Network`.

        Returns
        -------
        Network

        Examples
        --------
        >>> import fastnn
        >>> fastnn.Network.mlp(64, [64], 10, output="softmax", seed=0).n_parameters
        4810
        """
        if others:
            check_keywords(cls.mlp, others)
        if isinstance(hidden, str) or not isinstance(hidden, Iterable):
            raise TypeError(f"hidden must be a sequence of numbers of units, got {hidden!r}")
        dropout = check_real("dropout", dropout, 0.0, 1.0, closed="left")
        layers: list[Layer] = [Input(n_inputs)]
        for units in hidden:
            layers.append(Dense(units, activation))
            if dropout:
                layers.append(Dropout(dropout))
        layers.append(Dense(n_outputs, output))
        return cls(layers, dtype=dtype, seed=seed)

    def predict(
        self, X: Any, out: np.ndarray | None = None, *, lengths: Any = None, verbose: int = 0,
        batch_size: int | None = None,
    ) -> np.ndarray:  # fmt: skip
        """Return the outputs for rows of features, after the output activation.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n, n_inputs)
            Any real dtype and memory order; float32, float64 and uint8 are read in place, and so are sparse CSR rows
            of float32 and float64.
        out : ndarray of shape (n, n_outputs) or None, default None
            Where to write; of the network's dtype. It may overlap X.
        lengths : array-like of shape (n,) or None, default None
            How many steps of each sequence count, where the others only fill it up: from 1 to the Input's. Outputs at
            every step are 0 behind the end. X may also be a list of arrays of different lengths.
        verbose : int, default 0
            1 and 2 print how many rows were predicted in which time, 0 is silent.
        batch_size : int or None, default None
            Taken as Keras takes it, and changes nothing: any number of rows is predicted piece by piece.

        Returns
        -------
        ndarray of shape (n, n_outputs)
            `out` if given. Rows with NaN or infinity give NaN rather than an error.

        Raises
        ------
        ValueError, TypeError
            If X or out has a wrong shape or dtype.

        Examples
        --------
        >>> import numpy as np, fastnn
        >>> network = fastnn.Network.mlp(3, [8], 2, output="softmax", seed=1)
        >>> probabilities = network.predict(np.zeros((4, 3)))
        >>> probabilities.shape
        (4, 2)
        """
        if verbose or batch_size is not None:
            return self._predict_loudly(X, out, lengths, verbose, batch_size)
        plan, dtype = self.plan, self.dtype
        # A few plain rows take the short way: no address is asked for (0.7 us each), and the checks are the cheapest
        # that leave no doubt.
        if type(X) is np.ndarray and X.dtype is dtype and X.flags.num & PLAIN == PLAIN and lengths is None:
            shape = X.shape
            if len(shape) > 2 and 0 < shape[0] <= self._few_rows and shape[1:] == plan.input_shape:
                X = X.reshape(shape[0], plan.n_inputs)
                shape = X.shape
            if len(shape) == 2 and shape[1] == plan.n_inputs and 0 < shape[0] <= self._few_rows:
                fits = out is None
                if out is None:
                    out = np.empty((shape[0], plan.n_outputs), dtype)
                elif (
                    type(out) is np.ndarray and out.dtype is dtype and out.flags.num & PLAIN == PLAIN
                    and out.shape == (shape[0], plan.n_outputs)
                ):  # fmt: skip
                    fits = True
                    # Two arrays that own their memory share none; to look at addresses takes as long as a small layer.
                    if (X.base is not None or out.base is not None or X is out) and np.may_share_memory(X, out):
                        X = X.copy()
                if fits:
                    try:
                        work = self._idle_rows.pop()
                    except IndexError:
                        work = RowWorkspace(plan, dtype, self.parameter_buffer, self.row_ops)
                    predict_rows(X, out, work.rows)
                    self._idle_rows.append(work)
                    return out
        if (
            type(X) is not np.ndarray or X.dtype != dtype or X.ndim != 2 or X.shape[1] != plan.n_inputs
            or not X.flags.aligned or lengths is not None or plan.n_categories
        ):  # fmt: skip
            X, taken = take_sequences(("X", "lengths"), X, plan, dtype, lengths, lazily=True)
        else:
            taken = NO_LENGTHS
        n_rows = X.shape[0]
        shape = (n_rows, *plan.output_shape)
        if out is None:
            out = np.empty(shape, dtype)
        elif not isinstance(out, np.ndarray):
            raise TypeError(f"out must be a NumPy array or None, got {out!r}")
        elif out.shape != shape or out.dtype != dtype or not out.flags.writeable:
            kind = "" if out.flags.writeable else "read-only "
            raise ValueError(
                f"out must be a writable {dtype} array of shape {shape}, got a {kind}{out.dtype} array of shape "
                f"{out.shape}"
            )
        elif out.ndim > 2 and not out.flags.c_contiguous:
            raise ValueError(f"out must be C-contiguous where outputs have the shape {plan.output_shape}")
        elif not isinstance(X, Ragged) and overlaps(X, out):
            X = X.copy()
        if plan.carried_units and n_rows:
            self.carried_for(n_rows)
        rows = out.reshape(n_rows, plan.n_outputs)
        if n_rows <= _ROWS_A_CALL:
            self._predict_rows(X, 0, rows, taken)
            return out
        # Cut, so that Ctrl-C works; over several threads if that pays.
        starts = range(0, n_rows, _ROWS_A_CALL)
        n_threads = threads_to_infer(plan, self.dtype, n_rows)
        share_out(
            lambda first: self._predict_rows(X, first, rows[first : first + _ROWS_A_CALL], taken), starts, n_threads
        )
        return out

    def _predict_loudly(
        self, X: Any, out: np.ndarray | None, lengths: Any, verbose: int, batch_size: int | None
    ) -> np.ndarray:
        check_integer("verbose", verbose, 0, 2)
        if batch_size is not None:
            check_integer("batch_size", batch_size, 1)
        started = time.perf_counter()
        out = self.predict(X, out, lengths=lengths)
        if verbose:
            print(f"{len(out)} rows - {time.perf_counter() - started:.3g}s", flush=True)
        return out

    def _predict_rows(self, X: Any, first: int, out: np.ndarray, lengths: np.ndarray) -> None:
        """Write the outputs for as many rows as `out` has, from number `first` on."""
        # Each call takes a workspace of its own, so that threads may predict at once; list.pop is atomic.
        try:
            workspace = self._idle_workspaces.pop()
        except IndexError:
            workspace = Workspace(self.plan, self.dtype, n_rows=_PREDICT_ROWS, with_gradient=False)
        if type(X) is not np.ndarray and is_sparse(X):
            workspace.predict_csr(self.parameter_buffer, X, first, out)
        else:
            if len(out) < X.shape[0] or type(X) is not np.ndarray:
                X = X[first : first + len(out)]
                lengths = lengths[first : first + len(out)]
            index_source = None
            if X.dtype is not self.dtype:
                if self.plan.n_categories and X.dtype.kind in "iu":
                    index_source = index_source_of(X.dtype)
                else:
                    X = as_gatherable(X, self.dtype)
            if self.plan.carried_units:
                assert self._carried is not None
                workspace.carry(self._carried, first)
            workspace.predict(self.parameter_buffer, X, out, lengths, index_source)
        self._idle_workspaces.append(workspace)

    def vjp(self, X: Any, v: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return the gradients of sum(v * outputs) with respect to X and to the parameters.

        This is the product of a vector with the Jacobian of the network, by which gradients of whatever comes behind
        the network go through it [1]_: into SciPy, JAX or PyTorch code, or another network. As for `predict`, layers
        are in inference mode: dropout is off, and batch normalisation uses its running statistics.

        Parameters
        ----------
        X : array-like of shape (n, *input_shape) or (n, n_inputs)
            Features.
        v : array-like of shape (n, *output_shape) or (n, n_outputs)
            The derivative of something by the outputs.

        Returns
        -------
        by_inputs : ndarray of the shape of X
            In the network's dtype.
        by_parameters : ndarray of shape (n_parameters,)
            In the network's dtype, in the layout of `parameters`; penalties of layers take no part.

        Raises
        ------
        ValueError, TypeError
            If a shape or value is wrong.

        References
        ----------
        .. [1] A. Griewank, A. Walther, "Evaluating Derivatives", 2nd ed., SIAM 2008, section 3.2.

        Examples
        --------
        >>> import numpy as np, fastnn
        >>> network = fastnn.Network([fastnn.Input(2), fastnn.Dense(1)], dtype="float64")
        >>> network.set_weights([[[3.0], [4.0]], [0.0]])
        >>> by_inputs, by_parameters = network.vjp([[1.0, 2.0]], [[10.0]])
        >>> by_inputs, by_parameters
        (array([[30., 40.]]), array([10., 20., 10.]))
        """
        return vjp(self.plan, self.dtype, self.parameter_buffer, X, v)

    def loss_and_gradient(
        self,
        X: Any,
        y: Any,
        *,
        loss: "str | LossFunction",
        sample_weight: Any = None,
        penalties: bool = True,
        lengths: Any = None,
    ) -> tuple[float, np.ndarray]:
        """Return the loss over all rows and its gradient with respect to `parameters`.

        Parameters
        ----------
        X : array-like of shape (n, n_inputs)
            Features.
        y : array-like of shape (n,) or (n, n_outputs)
            Targets, as the loss takes them.
        loss : str or LossFunction
            Name from `fastnn.losses.NAMES` or an object.
        sample_weight : array-like of shape (n,) or None, default None
            Weights of the mean over samples.
        penalties : bool, default True
            Whether the layers' L1 and L2 penalties belong to the loss.
        lengths : array-like of shape (n,) or None, default None
            How many steps of each sequence count, as for `predict`.

        Returns
        -------
        loss : float
            Weighted mean over samples, plus the penalties.
        gradient : ndarray of shape (n_parameters,)
            In the network's dtype; dropout is off.

        Raises
        ------
        ValueError, TypeError
            If a shape, dtype, name or value is wrong.

        Examples
        --------
        >>> import numpy as np, fastnn
        >>> network = fastnn.Network.mlp(2, [], 1, dtype="float64", seed=0)
        >>> loss, gradient = network.loss_and_gradient(np.eye(2), np.zeros(2), loss="mse")
        >>> gradient.shape
        (3,)
        """
        return Objective(self, X, y, loss=loss, sample_weight=sample_weight, penalties=penalties, lengths=lengths)()

    def explain(self, x: Any, y: Any, *, loss: "str | LossFunction") -> "Explanation":
        """Return every intermediate value of one sample's forward and backward pass.

        Parameters
        ----------
        x : array-like of shape (n_inputs,)
            One sample.
        y : scalar or array-like of shape (n_outputs,)
            Its target.
        loss : str or LossFunction
            What is differentiated.

        Returns
        -------
        Explanation
            Prints as a step-by-step account; its attributes hold the numbers, in float64.

        Raises
        ------
        ValueError
            If a shape or name is wrong.

        Examples
        --------
        >>> import fastnn
        >>> network = fastnn.Network.mlp(2, [2], 1, output="sigmoid", seed=0)
        >>> explanation = network.explain([1.0, 0.5], 1.0, loss="mse")
        >>> len(explanation.steps)
        4
        """
        from fastnn.model.explain import explain

        return explain(self, x, y, loss)

    def summary(self) -> str:
        """Return a table of the layers, their output shapes, parameters, and the flops of predicting one sample.

        Flops are those of products, a multiplication and an addition being two; a training step has three times as
        many a sample.

        Examples
        --------
        >>> import fastnn
        >>> print(fastnn.Network.mlp(2, [3], 1, seed=0).summary())
        layer            output  parameters      flops
        Input                 2           0          0
        Dense relu            3           9         12
        Dense linear          1           4          6
        total                            13         18
        """
        return summary.as_text(self)

    def _repr_html_(self) -> str:
        """Return the same table for a notebook."""
        return summary.as_html(self)

    def __repr__(self) -> str:
        inside = ", ".join(map(repr, self.layers))
        return f"Network([{inside}], dtype={self.dtype.name!r}, seed={self.seed})"
