"""The bundled data sets: what a network needs to hold, under any name."""

import numpy as np
import pytest

from fastnn import datasets

SHAPES = {"digits": (1797, 64), "iris": (150, 4), "wine": (178, 13), "breast_cancer": (569, 30), "diabetes": (442, 10)}


@pytest.mark.parametrize("name", datasets.NAMES)
def test_shapes_and_dtypes(name):
    data = datasets.load(name)
    assert data.name == name
    assert data.X.shape == SHAPES[name]
    assert data.X.dtype == np.float64 and data.X.flags.c_contiguous
    assert data.y.shape == (len(data.X),)
    assert np.isfinite(data.X).all() and np.isfinite(data.y).all()
    assert len(data.feature_names) == data.X.shape[1]


@pytest.mark.parametrize("name", [name for name in datasets.NAMES if name != "diabetes"])
def test_classes_count_from_zero(name):
    data = datasets.load(name)
    assert data.task == "classification"
    assert data.y.dtype == np.int64
    assert np.array_equal(np.unique(data.y), np.arange(data.n_outputs))
    assert len(data.class_names) == data.n_outputs


def test_diabetes_is_as_measured():
    data = datasets.load("diabetes")
    assert data.task == "regression"
    assert data.n_outputs == 1 and data.class_names == ()
    age = data.X[:, data.feature_names.index("age")]
    assert 18 <= age.min() < age.max() < 100  # years, where scikit-learn's default would be centred and of unit norm


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        datasets.load("digit")


def test_every_load_is_the_callers_own():
    first, second = datasets.load("iris"), datasets.load("iris")
    first.X[:] = 0.0
    assert second.X.any()


@pytest.mark.parametrize("name", datasets.NAMES)
def test_what_is_read_from_the_files_is_what_scikit_learn_gives(name, monkeypatch):
    from sklearn import datasets as theirs

    bunch = theirs.load_diabetes(scaled=False) if name == "diabetes" else getattr(theirs, f"load_{name}")()
    read = datasets.load(name)
    monkeypatch.setattr(datasets, "_read", lambda name: (_ for _ in ()).throw(FileNotFoundError(name)))
    for data in (read, datasets.load(name)):
        np.testing.assert_array_equal(data.X, bunch.data)
        np.testing.assert_array_equal(data.y, bunch.target)
        assert data.feature_names == tuple(map(str, bunch.feature_names))
        assert data.class_names == tuple(map(str, getattr(bunch, "target_names", ())))
