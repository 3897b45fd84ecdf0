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
