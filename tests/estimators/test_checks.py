"""The short way past scikit-learn's checks of data: only for arrays that they would return as they are."""

import numpy as np
import pytest
from sklearn.utils import check_X_y

import fastnn
from fastnn.estimators.base import _need_no_check
from support import rng

X = rng(1).normal(size=(12, 3))
Y = np.arange(12) % 3


class Subclass(np.ndarray):
    """Not a plain array."""


def with_value(array, value):
    changed = array.copy()
    changed.flat[5] = value
    return changed


PLAIN = [
    (X, Y),
    (X.astype("float32"), Y.astype(str)),
    (np.asfortranarray(X), Y > 1),
    (X[::-2], Y[::-2].astype("uint8")),
    (X, X[:, 0]),
]
OTHERS = [
    (with_value(X, np.nan), Y),
    (with_value(X, np.inf), Y),
    (with_value(X.astype("float32"), np.nan), Y),
    (X, with_value(X[:, 0], np.nan)),
    (X.astype(">f8"), Y),
    (X.astype("float16"), Y),
    (X.astype(int), Y),
    (X.view(Subclass), Y),
    (X, Y.view(Subclass)),
    (X, Y.astype(object)),
    (X, Y * 1j),
    (X, np.column_stack([Y, Y])),
    (X, Y[:-1]),
    (X[:0], Y[:0]),
    (X[:, :0], Y),
    (X[:, 0], Y),
    (X.tolist(), Y),
    (X, Y.tolist()),
]


@pytest.mark.parametrize(("features", "targets"), PLAIN)
def test_arrays_that_are_not_checked_would_pass(features, targets):
    assert _need_no_check(features, targets)
    checked = check_X_y(features, targets, dtype=(np.float64, np.float32), multi_output=True)
    assert checked[0] is features and checked[1] is targets


@pytest.mark.parametrize(("features", "targets"), OTHERS)
def test_all_others_are_checked(features, targets):
    assert not _need_no_check(features, targets)


def test_columns_are_looked_at_either_way():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    clf = fastnn.MLPClassifier(solver="lbfgs", max_iter=2, tol=1e9).fit(frame, Y)
    assert clf.feature_names_in_.tolist() == ["a", "b", "c"]
    clf.fit(X[:, :2], Y)
    assert not hasattr(clf, "feature_names_in_") and clf.n_features_in_ == 2
    clf = fastnn.MLPClassifier(max_iter=2).partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="X has 2 features, but MLPClassifier is expecting 3"):
        clf.partial_fit(X[:, :2], Y)


def test_a_subclass_has_its_own_parameters():
    class Narrow(fastnn.MLPRegressor):
        def __init__(self, width=3):
            super().__init__(hidden_layer_sizes=(width,))
            self.width = width

    assert Narrow(5).get_params() == {"width": 5}
    assert "alpha" in fastnn.MLPRegressor().get_params()
