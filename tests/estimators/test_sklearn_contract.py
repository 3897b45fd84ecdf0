"""scikit-learn's own checks of an estimator, all of them, for each solver."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastnn import (
    Dense,
    MLPClassifier,
    MLPRegressor,
    NetworkClassifier,
    NetworkRegressor,
)

ESTIMATORS = [
    MLPClassifier(max_iter=100),
    # Without a stronger penalty the multi-label check meets a probability that rounds to 1 (so does scikit-learn).
    MLPClassifier(solver="lbfgs", alpha=0.1),
    MLPClassifier(solver="sgd", learning_rate_init=0.1, max_iter=100),
    MLPRegressor(max_iter=100),
    MLPRegressor(solver="lbfgs"),
    MLPRegressor(solver="sgd", max_iter=100),
    NetworkClassifier([Dense(32, "relu")], dtype="float64"),
    NetworkRegressor([Dense(32, "relu")], epochs=100, dtype="float64"),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(ESTIMATORS)
def test_estimator_passes_sklearns_check(estimator, check):
    check(estimator)
