"""scikit-learn's own checks of the estimators for tables, all of them."""

import pytest

pytest.importorskip("polars", reason="polars is missing: it comes with the extra 'tables'")

from sklearn.utils.estimator_checks import parametrize_with_checks

from fastnn import TabularClassifier, TabularRegressor

_WEIGHTS = "A row of weight k is drawn into batches once, and k rows k times: the networks differ by chance"
_EXPECTED = {"check_sample_weight_equivalence_on_dense_data": _WEIGHTS}
ESTIMATORS = [
    TabularClassifier(n_threads=2),
    TabularRegressor(n_threads=2),
    TabularClassifier(preset="fast", n_threads=1),
    TabularRegressor(preset="fast", n_threads=1),
]


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda estimator: _EXPECTED)
def test_estimator_passes_sklearns_check(estimator, check):
    check(estimator)
