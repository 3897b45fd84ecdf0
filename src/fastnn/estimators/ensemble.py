"""Several networks as one estimator: members that differ in their random numbers, trained side by side, averaged."""

from typing import Any

import numpy as np
import scipy.sparse
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight

from fastnn.common.cpus import available_cpus
from fastnn.engine.team import share_out
from fastnn.training.many import Run, in_background

_LARGEST_SEED = 2**31 - 1


def fit_members(
    estimator: Any, X: Any, y: Any, sample_weight: Any, validation_set: tuple | None, is_incremental: bool,
    lengths: np.ndarray | None = None,
) -> None:  # fmt: skip
    """Fit `n_estimators` copies of an estimator to checked data, as many at once as there are CPUs.

    Ctrl-C ends all of them; those that have done an epoch by then are kept.

    A bootstrap draws as many rows as there are, with replacement [1]_. A row that was drawn k times weighs k times as
    much, which is what training on a copy of the rows comes to; X itself is shared by all members.

    References
    ----------
    .. [1] L. Breiman, "Bagging Predictors", Machine Learning 24, 1996.
    """
    random_state = check_random_state(estimator.random_state)
    goes_on = (is_incremental or estimator.warm_start) and len(estimator.estimators_) == estimator.n_estimators
    members = estimator.estimators_ if goes_on else [_member(estimator) for _ in range(estimator.n_estimators)]
    seeds = random_state.randint(_LARGEST_SEED, size=2 * len(members)).reshape(-1, 2)
    if scipy.sparse.issparse(X):
        X = X.toarray()
    samples = estimator._as_samples(X)

    run = Run()

    def fit(index: int) -> None:
        if run.is_stopped:
            return
        member, (seed, bootstrap_seed) = members[index], seeds[index]
        if goes_on:
            member.set_params(**_shared_parameters(estimator))
        else:
            member.set_params(random_state=int(seed))
        weights = sample_weight
        if estimator.bootstrap:
            rows = np.random.RandomState(bootstrap_seed).randint(X.shape[0], size=X.shape[0])
            weights = np.bincount(rows, minlength=X.shape[0]) * _check_sample_weight(sample_weight, X)
        member._fit(samples, y, weights, validation_set, is_incremental, lengths)

    def stop() -> None:
        for member in members:
            if hasattr(member, "_trainer"):
                member._trainer.stop("interrupted")

    in_background(lambda: share_out(fit, range(len(members)), available_cpus()), run, stop=stop)
    if run.is_stopped:
        members = [member for member in members if hasattr(member, "loss_")]
        if not members:
            raise KeyboardInterrupt
    estimator.estimators_ = members
    first = members[0]
    estimator.__dict__.update(network_=first.network_, out_activation_=first.out_activation_, n_layers_=first.n_layers_)
    estimator.n_iter_ = max(member.n_iter_ for member in members)
    estimator.t_ = first.t_
    estimator.loss_ = float(np.mean([member.loss_ for member in members]))


def _shared_parameters(estimator: Any) -> dict[str, Any]:
    """Return the parameters that members have as the ensemble has them now."""
    own = ("n_estimators", "bootstrap", "n_threads", "random_state")
    given = estimator.get_params(deep=False)
    return {name: clone(value, safe=False) for name, value in given.items() if name not in own}


def _member(estimator: Any) -> Any:
    member = clone(estimator).set_params(n_estimators=1, bootstrap=False, n_threads=1)
    if hasattr(estimator, "_labels"):  # a classifier knows its labels by now; partial_fit was told all of them
        member.__dict__.update(_labels=estimator._labels, classes_=estimator.classes_)
    return member


def mean_outputs(estimator: Any, X: Any, lengths: np.ndarray | None = None) -> np.ndarray:
    """Return the mean of the members' outputs for checked rows, of shape (n, n_outputs_)."""
    total = estimator.estimators_[0]._outputs_of_checked(X, lengths)
    for member in estimator.estimators_[1:]:
        total = total + member._outputs_of_checked(X, lengths)
    return total / len(estimator.estimators_)
