"""What all estimators share: the course of a fit, continuing one, prediction, and files."""

import math
import os
from functools import cache
from typing import Any, ClassVar, Self, cast

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastnn.common.attributes import KnowsKeywords, fitted_alone
from fastnn.common.validation import check_finite
from fastnn.engine.rows import Rows
from fastnn.estimators import parameters
from fastnn.estimators.ensemble import fit_members, mean_outputs
from fastnn.estimators.files import load_estimator, save_estimator
from fastnn.estimators.parts import Parts
from fastnn.estimators.reported_loss import ReportedLoss
from fastnn.estimators.solvers import Samples, fit_stochastic
from fastnn.estimators.tasks import CallbackSupportMixin, FitTasks
from fastnn.model.network import Network
from fastnn.training.trainer import Trainer

_FLOAT_DTYPES = (np.float64, np.float32)

# Attributes that fit learns, and that predictions do not look at one by one.
_LEARNED = {
    "out_activation_": "it is that of network_'s last layer; make a Network with another one from its weights",
    "n_outputs_": "it is the number of network_'s outputs, which y decides",
    "n_layers_": "it is the number of network_'s layers",
    "classes_": "fit learns them; map the labels that predict returns, or fit with other ones",
}


def _need_no_check(X: Any, y: Any) -> bool:
    """Whether scikit-learn's checks would return both arrays as they are: known here in a tenth of their time."""
    return (
        type(X) is np.ndarray
        and X.dtype in _FLOAT_DTYPES
        and X.ndim == 2
        and X.size > 0
        and type(y) is np.ndarray
        and y.dtype.kind in "biufU"
        and y.shape == X.shape[:1]
        and (y.dtype.kind != "f" or bool(np.isfinite(y).all()))
        and Rows.of(X).is_finite(X.dtype)
    )


def _checked_outputs(outputs: np.ndarray) -> np.ndarray:
    """Return outputs, or raise ValueError if one is NaN: the likeliest class would be a guess, and called certain."""
    # Sums are NaN where one of the values is. Of a few numbers Python's is the quickest, of more that of squares.
    total = sum(outputs.ravel().tolist()) if outputs.size <= 32 else np.vdot(outputs, outputs)
    if math.isnan(total) and np.isnan(outputs).any():
        row = int(np.isnan(outputs).any(axis=1).argmax())
        raise ValueError(
            f"X holds values so large that the network's outputs are not a number, first in row {row}; "
            "scale the features"
        )
    return outputs


class BaseNetworkEstimator(CallbackSupportMixin, KnowsKeywords, BaseEstimator, Parts):
    """A network that is fitted; subclasses provide the `Parts`."""

    # What X may hold without being converted.
    _dtypes_read: ClassVar[tuple[Any, ...]] = _FLOAT_DTYPES

    estimators_: "list[BaseNetworkEstimator]"
    n_iter_: int
    n_outputs_: int
    t_: int
    loss_curve_: list[float]
    best_loss_: float | None
    validation_scores_: list[float] | None
    validation_loss_curve_: list[float] | None
    best_validation_score_: float | None

    # What a continued fit needs beside the public attributes.
    _trainer: Trainer
    _seed: int
    _no_improvement_count: int
    _best_parameters: np.ndarray
    _best_state: np.ndarray

    # --- the fit ----------------------------------------------------------------------------------------------------

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, validation_set: tuple | None, is_incremental: bool,
        lengths: Any = None,
    ) -> Self:  # fmt: skip
        with fitted_alone(self):
            return self._fit_alone(X, y, sample_weight, validation_set, is_incremental, lengths)

    def _fit_alone(
        self, X: Any, y: Any, sample_weight: Any, validation_set: tuple | None, is_incremental: bool, lengths: Any
    ) -> Self:
        self._check_parameters()
        is_first = not hasattr(self, "network_") or not (self.warm_start or is_incremental)
        if not is_first:
            how = "partial_fit" if is_incremental else "warm_start=True"
            parameters.check_members(self, how)
            self._check_goes_on(how)
        X, lengths = self._as_padded(X, lengths, is_first)
        X, y = self._check_X_y(X, y, is_first)
        self._learn_targets(y, is_first, is_incremental)
        if self.n_estimators > 1 or self.bootstrap:
            if is_first:
                self.estimators_ = []
            fit_members(self, X, y, sample_weight, validation_set, is_incremental, lengths)
            return self
        self.__dict__.pop("estimators_", None)
        samples = self._make_samples(X, y, sample_weight, lengths)
        held_out = self._check_validation_set(validation_set)
        random_state = self._random_state = check_random_state(self.random_state)
        if self.early_stopping and held_out is None:
            self._check_share_held_out(samples, is_incremental)
        if is_first:
            self._initialize(samples, random_state)
        elif not is_incremental:
            self._rebuild(samples)
        tasks = None
        if FitTasks.wanted(self):
            metadata = None if sample_weight is None else {"sample_weight": sample_weight}
            most = 1 if is_incremental else self._most_epochs()
            tasks = FitTasks(self, {"X": X, "y": y, "metadata": metadata}, most)
        if self._is_stochastic():
            self._fit_stochastic(samples, held_out, random_state, is_incremental, tasks)
        else:
            self._fit_at_once(samples, tasks)
        if tasks is not None:
            tasks.finish()
        return self

    def _fit_stochastic(
        self,
        samples: Samples,
        held_out: Samples | None,
        random_state: np.random.RandomState,
        is_incremental: bool,
        tasks: FitTasks | None,
    ) -> None:
        if self.early_stopping and held_out is None:
            samples, held_out = self._hold_out(samples, random_state)
        reported_loss = self._reported_loss(samples.y, samples.weights)
        if not is_incremental or not hasattr(self, "_trainer"):
            self._seed = int(random_state.randint(2**31 - 1))
            self._trainer = self._make_trainer(reported_loss)
        else:
            self._follow_parameters(samples, reported_loss)
        if held_out is not None and self.validation_scores_ is None:
            self.validation_scores_, self.validation_loss_curve_ = [], []
        callbacks = parameters.as_callbacks(self.callbacks) + ([] if tasks is None else [tasks])
        course = self._how_to_train(len(samples), is_incremental)
        fit_stochastic(self, self._trainer, samples, held_out, reported_loss, callbacks, course)

    def _check_X_y(self, X: Any, y: Any, is_first: bool) -> tuple[Any, Any]:
        X = self._as_rows(X, is_first)
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=not is_classifier(self),
            dtype=self._dtypes_read, reset=is_first, skip_check_array=_need_no_check(X, y),
        )  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _make_samples(self, X: Any, y: Any, sample_weight: Any, lengths: np.ndarray | None) -> Samples:
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        return Samples(X.tocsr() if scipy.sparse.issparse(X) else X, self._encode(y), weights, y, weights, lengths)

    def _check_validation_set(self, validation_set: tuple | None) -> Samples | None:
        if validation_set is None:
            return None
        X, y, sample_weight, lengths = (*validation_set, None)[:4]
        if X is None and y is None:
            return None
        if X is None or y is None:
            raise ValueError("X_val and y_val must be given together")
        X, lengths = self._as_padded(X, lengths, is_first=False)
        X, y = self._check_X_y(X, y, is_first=False)
        self._learn_targets(y, is_first=False, is_incremental=True)
        return self._make_samples(X, y, sample_weight, lengths).for_validation()

    def _initialize(self, samples: Samples, random_state: np.random.RandomState) -> None:
        """Make the network, and set all attributes that a continued fit goes on from."""
        output = self._reported_loss(samples.y, samples.weights).output
        self.__dict__["network_"] = self._make_network(samples, output, random_state)
        self.__dict__.pop("_has_assigned_network", None)
        self.__dict__["out_activation_"] = parameters.sklearn_name(output)
        self.n_iter_ = 0
        self.t_ = 0
        if self._is_stochastic():
            self.loss_curve_ = []
            self.validation_scores_ = [] if self.early_stopping else None
            self.validation_loss_curve_ = [] if self.early_stopping else None
            self.best_loss_ = None if self.early_stopping else math.inf
            self.best_validation_score_ = -math.inf if self.early_stopping else None
            self._best_parameters = self.network_.parameters.copy()
            self._best_state = self.network_.state.copy()
            self._no_improvement_count = 0

    def _rebuild(self, samples: Samples) -> None:
        """Let rates, penalties and activations that were changed count in a fit that goes on with its weights."""
        if getattr(self, "_has_assigned_network", False):
            return
        network, output = self.network_, self._reported_loss(samples.y, samples.weights).output
        layers = self._make_layers(network.n_inputs, output)
        if tuple(layers) != network.layers:
            rebuilt = Network._blank(layers, dtype=network.dtype, seed=network.seed)
            np.copyto(rebuilt.parameters, network.parameters)
            np.copyto(rebuilt.state, network.state)
            self.__dict__["network_"] = rebuilt

    def _follow_parameters(self, samples: Samples, reported_loss: ReportedLoss) -> None:
        """Let parameters that were changed count in `partial_fit`; another optimizer begins with fresh moments."""
        before = self._trainer
        if before.network is self.network_:
            self._rebuild(samples)
        trainer = self._make_trainer(reported_loss)
        if trainer.optimizer != before.optimizer:
            before.optimizer = trainer.optimizer
        if self.network_ is not before.network:
            trainer.load_state_dict(before.state_dict())
            self._trainer = trainer

    def _check_share_held_out(self, samples: Samples, is_incremental: bool) -> None:
        """Raise ValueError if early stopping could not hold out its samples; before anything is changed."""
        if not self._is_stochastic():
            return
        if is_incremental:
            raise ValueError("partial_fit does not support early_stopping=True without X_val and y_val")
        if is_classifier(self) and self.n_outputs_ == 1:  # each class gives its share
            labels, counts = np.unique(samples.targets, return_counts=True)
            if counts.min() < 2:
                raise ValueError(
                    "The least populated classes in y have only 1 member, which is too few for early stopping to hold "
                    f"out a share of each. Classes with too few members are: {labels[counts < 2].tolist()}"
                )
        if math.ceil(self.validation_fraction * len(samples)) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )

    def _hold_out(self, samples: Samples, random_state: np.random.RandomState) -> tuple[Samples, Samples]:
        """Return the samples to train on and those held out for early stopping: scikit-learn's own choice of them."""
        is_binary = is_classifier(self) and self.n_outputs_ == 1
        rows = np.arange(len(samples))
        train, held_out = train_test_split(
            rows, test_size=self.validation_fraction, random_state=random_state,
            stratify=samples.y if is_binary else None,
        )  # fmt: skip
        return samples.take(train), samples.take(held_out).for_validation()

    def _score_samples(self, samples: Samples) -> float:
        """Return the score by which early stopping decides."""
        if self.scoring is None:
            outputs = self.network_.predict(samples.X, lengths=samples.lengths)
            return self._score_outputs(outputs, samples.y, samples.weights)
        scorer = check_scoring(self, self.scoring)
        options = {} if samples.weights is None else {"sample_weight": samples.weights}
        return float(scorer(self, self._as_given(samples), samples.targets, **options))

    # --- the fitted network -------------------------------------------------------------------------------------------

    @property
    def network_(self) -> Network:
        """The network that was fitted; of several that of the first member, which may have been assigned since."""
        members = self.__dict__.get("estimators_")
        network = members[0].network_ if members else self.__dict__.get("network_")
        if network is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute 'network_': it is not fitted yet")
        return network

    @network_.setter
    def network_(self, network: Network) -> None:
        self.__dict__["network_"] = network

    def __setattr__(self, name: str, value: Any) -> None:
        if value is self.__dict__.get(name, self):
            return  # wrappers such as Dask-ML's give an estimator its own attributes
        if name in _LEARNED and name in self.__dict__:
            raise AttributeError(f"{type(self).__name__}.{name} cannot be assigned: {_LEARNED[name]}")
        if name == "network_":
            self._check_network(value)
            if value is not self.__dict__.get("network_"):
                self.__dict__.pop("_trainer", None)  # a continued fit begins with a new optimizer for this network
                self._best_parameters, self._best_state = value.parameters.copy(), value.state.copy()
                self._has_assigned_network = True  # the constructor's parameters no longer describe it
        super().__setattr__(name, value)

    def _check_network(self, network: Any) -> None:
        """Raise TypeError, ValueError or AttributeError if this cannot be the fitted estimator's network."""
        if not isinstance(network, Network):
            raise TypeError(f"network_ must be a fastnn.Network, got {network!r}")
        if "estimators_" in self.__dict__:
            raise AttributeError("network_ cannot be assigned where n_estimators > 1: assign those of estimators_")
        own = self.__dict__.get("network_")
        if own is not None and (own.n_inputs, own.n_outputs) != (network.n_inputs, network.n_outputs):
            raise ValueError(
                f"network_ must have {own.n_inputs} inputs and {own.n_outputs} outputs as in fit, got "
                f"{network.n_inputs} and {network.n_outputs}"
            )

    # --- prediction -------------------------------------------------------------------------------------------------

    def _outputs(self, X: Any, lengths: Any = None) -> np.ndarray:
        """Return the network's outputs for rows of X, of shape (n, n_outputs_).

        An array that needs neither conversion nor a word about its columns goes to the kernel as it is; everything
        else through scikit-learn's checks first.
        """
        own = self.__dict__
        network: Network | None = own.get("network_")
        if network is None:
            check_is_fitted(self)
            network = self.network_
        if (
            type(X) is np.ndarray
            and X.dtype == network.dtype
            and X.ndim == 2
            and X.shape[1] == network.n_inputs
            and X.flags.c_contiguous
            and X.size
            and lengths is None
            and "estimators_" not in own
            and "feature_names_in_" not in own
            # The sum of squares is finite only if all values are; where it overflows, the checks below decide.
            and math.isfinite(np.vdot(X, X))
        ):
            outputs = network.predict(X)
            first = outputs.item(0)
            if first == first and len(outputs) == 1 and network.plan.output_activation == "softmax":
                return outputs  # a softmax is NaN in a whole row or nowhere
            return _checked_outputs(outputs)
        X, lengths = self._as_padded(X, lengths, is_first=False)
        X = validate_data(self, self._as_rows(X, is_first=False), accept_sparse=["csr", "csc"], reset=False)
        if X.dtype.kind == "f" and X.dtype.itemsize > network.dtype.itemsize:
            check_finite("X", X, network.dtype, network.plan.input_shape)
        is_mean = "estimators_" in self.__dict__
        return _checked_outputs(mean_outputs(self, X, lengths) if is_mean else self._outputs_of_checked(X, lengths))

    def _outputs_of_checked(self, X: Any, lengths: np.ndarray | None) -> np.ndarray:
        network = self.network_
        outputs = network.predict(X, lengths=lengths)
        if self.dtype == "auto":
            # float64 and integer features give float64, as scikit-learn's products of arrays do.
            outputs = outputs.astype(np.result_type(X.dtype, network.dtype), copy=False)
        return outputs

    # --- files ------------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike) -> None:
        """Write the fitted estimator to a file: parameters, classes, network, curves, and the optimizer's state.

        The file holds arrays and JSON in the safetensors format, no code. It is written whole or not at all.
        `callbacks`, a callable `scoring` and a RandomState are not in it, and come back as None.

        Parameters
        ----------
        path : str or path-like
            Where to write; an existing file is replaced.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If it is not fitted.
        ValueError
            If a parameter cannot be saved; nothing is written then.
        OSError
            If the file cannot be written; an existing file stays as it was.

        Examples
        --------
        >>> import fastnn, pathlib, tempfile
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]] * 10, ["low", "low", "high", "high"] * 10
        >>> model = fastnn.MLPClassifier(solver="lbfgs", random_state=0).fit(X, y)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "model.safetensors")
        ...     model.save(path)
        ...     loaded = fastnn.MLPClassifier.load(path)
        >>> loaded.predict([[0.5], [2.5]]).tolist()
        ['low', 'high']
        """
        check_is_fitted(self)
        save_estimator(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Return the estimator that a file holds; `partial_fit` goes on where it was saved.

        Parameters
        ----------
        path : str or path-like
            A file written by `save` of the same class.

        Returns
        -------
        estimator
            Of this class.

        Raises
        ------
        FileFormatError
            If the file is damaged, of another kind or class, or of a later version of fastnn.
        OSError
            If it cannot be opened.

        Examples
        --------
        >>> import fastnn
        >>> fastnn.MLPClassifier.load("missing.safetensors")
        Traceback (most recent call last):
        FileNotFoundError: [Errno 2] No such file or directory: 'missing.safetensors'
        """
        return cast("Self", load_estimator(cls, path))

    # --- scikit-learn's questions -----------------------------------------------------------------------------------

    @classmethod
    @cache
    def _get_param_names(cls) -> list[str]:
        """Return the names of the parameters; scikit-learn would read the signature again in each fit and clone."""
        return super()._get_param_names()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # An empty array comes out of a pickle with other strides than NumPy gives to one, and joblib.hash sees them.
        if (best_state := self.__dict__.get("_best_state")) is not None:
            self._best_state = best_state.copy()

    def __sklearn_is_fitted__(self) -> bool:
        return "network_" in self.__dict__

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
