"""Splitting and scaling without scikit-learn give what scikit-learn gives; and nothing heavy is imported."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from fastnn import metrics
from fastnn.cli import splitting
from support import rng


@pytest.mark.parametrize("by_class", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_the_rows_are_those_of_scikit_learn(by_class, seed):
    n = 40 + 7 * seed
    y = rng(seed).choice(4, n, p=[0.5, 0.25, 0.15, 0.1])
    y[:8] = [0, 1, 2, 3] * 2
    expected = train_test_split(np.arange(n), test_size=0.23, random_state=seed, stratify=y if by_class else None)
    for rows, theirs in zip(splitting.test_rows(y, 0.23, seed, by_class=by_class), expected, strict=True):
        np.testing.assert_array_equal(rows, theirs)


def test_parts_that_would_lack_classes_are_refused():
    with pytest.raises(
        ValueError, match=r"at least a row for each of 3 classes in both parts, got 28 .* and 2 to test"
    ):
        splitting.test_rows(np.arange(30) % 3, 0.05, 0, by_class=True)
    with pytest.raises(ValueError, match="leaves none of 3 rows"):
        splitting.test_rows(np.arange(3), 0.9, 0, by_class=False)


@pytest.mark.parametrize("kind, scaler", [("minmax", MinMaxScaler), ("standard", StandardScaler)])
def test_scaling_is_scikit_learn_s(kind, scaler):
    X, other = rng(1).normal(5, 3, (50, 4)), rng(2).normal(5, 3, (9, 4))
    X[:, 2] = 0.1  # constant
    theirs = scaler().fit(X)
    for array, expected in zip(splitting.scale(kind, X, other), (X, other), strict=True):
        np.testing.assert_allclose(array, theirs.transform(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("weights", [None, rng(3).random(20)])
def test_r2_is_scikit_learn_s(weights):
    y, predictions = rng(1).normal(size=(20, 3)), rng(2).normal(size=(20, 3))
    y[:, 1] = 2.0
    predictions[:, 1] = [2.0] * 20
    outputs = metrics.Outputs(y, predictions, weights, is_multilabel=False)
    assert metrics._r2(outputs) == pytest.approx(r2_score(y, predictions, sample_weight=weights), rel=1e-12)
    predictions[0, 1] = 3.0
    assert metrics._r2(outputs) == pytest.approx(r2_score(y, predictions, sample_weight=weights), rel=1e-12)


@pytest.mark.parametrize("name", ["digits", "diabetes"])
def test_training_on_a_bundled_set_imports_nothing_heavy(name):
    program = (
        "import sys; from fastnn.cli import main; main(['train', sys.argv[1], '--epochs', '1']); "
        "print([name for name in ('sklearn', 'scipy.stats', 'pandas', 'matplotlib', 'polars') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, name], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
