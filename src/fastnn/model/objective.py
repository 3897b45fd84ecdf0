"""Loss and gradient over fixed data as a function of the parameters: what L-BFGS and its like minimise."""

import threading
from typing import Any

import numpy as np

from fastnn import losses
from fastnn.common.validation import as_sample_weight, check_bool, check_not_empty
from fastnn.engine.memory import aligned_zeros
from fastnn.engine.python_loss import make_workspace
from fastnn.inputs.data import DataSpec
from fastnn.inputs.sequences import take_sequences
from fastnn.inputs.targets import as_targets, finite_rows
from fastnn.kernels import tables
from fastnn.losses import LossFunction
from fastnn.model.core import NetworkCore

_WEIGHT, _LOSS = int(tables.Sum.WEIGHT), int(tables.Sum.LOSS)  # members of an enum are slower to find and to use


class Objective:
    """Loss and gradient of a network over all rows of some data, which are checked once.

    Several threads may call it; they take turns.

    Parameters
    ----------
    network : Network
        Its layers and dtype; its parameters are the default argument of a call, and are never changed.
    X, y, loss, sample_weight, penalties, lengths
        As for `Network.loss_and_gradient`.

    Raises
    ------
    ValueError, TypeError
        If a shape, dtype, name or value is wrong.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> from scipy.optimize import minimize
    >>> X = np.linspace(-1, 1, 50).reshape(-1, 1)
    >>> network = fastnn.Network.mlp(1, [8], 1, activation="tanh", dtype="float64", seed=0)
    >>> objective = fastnn.Objective(network, X, np.sin(3 * X), loss="mse")
    >>> result = minimize(objective, network.parameters, jac=True, method="L-BFGS-B")
    >>> network.parameters[:] = result.x
    >>> bool(result.fun < 1e-3)
    True
    """

    def __init__(
        self,
        network: NetworkCore,
        X: Any,
        y: Any,
        *,
        loss: "str | LossFunction",
        sample_weight: Any = None,
        penalties: bool = True,
        lengths: Any = None,
    ):
        function = losses.get(loss)
        function.check_outputs(network.plan.output_activation, network.plan.output_units)
        spec = DataSpec.of(network, function)
        array, lengths = take_sequences(("X", "lengths"), X, spec, network.dtype, lengths)
        check_not_empty("X", array)
        # Rows hold the arrays, and with them the addresses that the kernel reads.
        self._y = as_targets(
            "y", y, array.shape[0], network.plan.output_shape, function, network.dtype, lengths=lengths
        )
        self._x = finite_rows("X", array, network.dtype, are_indices=spec.n_categories > 0)
        self._weights = as_sample_weight(sample_weight, array.shape[0], steps=spec.steps)
        self._network = network
        self._workspace = make_workspace(function, network.plan, network.dtype, n_rows=array.shape[0])
        self._workspace.set_data(self._x, self._y, lengths)
        self._workspace.set(
            mode=tables.Mode.GRADIENT, batch_size=array.shape[0], **function.job_fields(network.plan.output_activation)
        )
        if not check_bool("penalties", penalties):
            self._workspace.set(penalty=0)
        self._lock = threading.Lock()
        self._no_moments = np.empty(0, network.dtype)
        self._own_parameters = aligned_zeros(network.parameter_buffer.size, network.dtype)

    def __call__(self, parameters: np.ndarray | None = None) -> tuple[float, np.ndarray]:
        """Return the loss and its gradient at `parameters`, by default the network's own.

        Parameters
        ----------
        parameters : ndarray of shape (n_parameters,) or None, default None
            A flat vector in the layout of `Network.parameters`.

        Returns
        -------
        loss : float
            Weighted mean over samples, plus the penalties.
        gradient : ndarray of shape (n_parameters,)
            In the network's dtype; the caller's to keep.

        Raises
        ------
        ValueError
            If the vector has another length.
        """
        n_parameters = self._network.plan.n_parameters
        if parameters is not None and np.shape(parameters) != (n_parameters,):
            raise ValueError(f"parameters must have shape ({n_parameters},), got {np.shape(parameters)}")
        network, workspace = self._network, self._workspace
        buffer = network.parameter_buffer
        with self._lock:  # threads that call it at once take turns
            if parameters is not None:
                np.copyto(self._own_parameters, buffer)  # running statistics are the network's
                buffer = self._own_parameters
                buffer[:n_parameters] = parameters
            workspace.begin()
            workspace.run(1, buffer, self._no_moments, sample_weight=self._weights)
            sums = workspace.totals()
            return sums[_LOSS] / sums[_WEIGHT], workspace.gradients[:n_parameters].copy()
