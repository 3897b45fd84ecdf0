"""Sparse rows: the bits that the same rows give when they are dense, and nothing is made dense as a whole."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import fastnn
from support import rng

FORMATS = ("csr_matrix", "csr_array", "csc_matrix", "coo_array", "lil_matrix")
N_ROWS, N_FEATURES = 777, 53  # neither a whole number of panels nor of vectors


def sparse(dtype="float64", index=np.int32, n=N_ROWS, width=N_FEATURES, density=0.1):
    matrix = scipy.sparse.random(n, width, density, format="csr", random_state=1, dtype=np.dtype(dtype))
    matrix.indices, matrix.indptr = matrix.indices.astype(index), matrix.indptr.astype(index)
    return matrix


def wide(n, width, entries=20):
    """A matrix of a few entries a row, made without anything of the size that it would have when dense."""
    columns = rng(3).integers(0, width, n * entries).astype(np.int32)
    values = rng(4).normal(size=n * entries).astype(np.float32)
    return scipy.sparse.csr_array((values, columns, np.arange(0, n * entries + 1, entries)), shape=(n, width))


def labels(n=N_ROWS):
    return rng(2).integers(0, 3, n)


def trained(X, dtype, **options):
    network = fastnn.Network.mlp(X.shape[1], [17], 3, output="softmax", dtype=dtype, seed=0)
    trainer = fastnn.Trainer(network, loss="categorical_crossentropy", metrics=["accuracy"])
    trainer.fit(X, labels(X.shape[0]), **{"epochs": 2, "batch_size": 50, "seed": 1, **options})
    return trainer


def assert_same(one, other, X, dense):
    np.testing.assert_array_equal(one.network.parameters, other.network.parameters)
    assert one.history.history == other.history.history
    assert one.evaluate(X, labels()) == other.evaluate(dense, labels())
    np.testing.assert_array_equal(one.network.predict(X), other.network.predict(dense))


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("source", ["float32", "float64"])
def test_training_evaluation_and_prediction_give_the_bits_of_dense_rows(dtype, source, index):
    X = sparse(source, index)
    assert X.indptr.dtype == index
    assert_same(trained(X, dtype), trained(X.toarray(), dtype), X, X.toarray())


@pytest.mark.parametrize(
    "options", [{"validation_split": 0.2}, {"n_threads": 2, "batch_size": 100}, {"shuffle": False}]
)
def test_splits_threads_and_order_are_those_of_dense_rows(options):
    X = sparse()
    assert_same(trained(X, "float32", **options), trained(X.toarray(), "float32", **options), X, X.toarray())


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_of_scipy_is_taken(name):
    X = sparse("float32")
    network = trained(X, "float32").network
    np.testing.assert_array_equal(network.predict(getattr(scipy.sparse, name)(X)), network.predict(X.toarray()))


@pytest.mark.parametrize("kind", [np.uint8, np.int32, bool])
def test_other_dtypes_are_converted(kind):
    X = sparse()
    X.data = np.ceil(3 * X.data).astype(kind)
    network = fastnn.Network.mlp(N_FEATURES, [], 2, seed=0)
    np.testing.assert_array_equal(network.predict(X), network.predict(X.toarray()))


def test_entries_of_one_place_add_up_as_in_scipy():
    X = scipy.sparse.csr_array((np.array([1.0, 2.0, 4.0]), np.array([1, 1, 0]), np.array([0, 3])), shape=(1, 2))
    network = fastnn.Network.mlp(2, [], 1, dtype="float64", seed=0)
    np.testing.assert_array_equal(network.predict(X), network.predict(np.array([[4.0, 3.0]])))


def test_rows_without_entries_are_zero_rows():
    X = scipy.sparse.csr_array((40, 4))
    network = fastnn.Network.mlp(4, [3], 2, seed=0)
    np.testing.assert_array_equal(network.predict(X), network.predict(np.zeros((40, 4))))


def test_many_rows_are_predicted_in_pieces():
    X = sparse("float32", n=9000)
    network = trained(X, "float32", epochs=1).network
    np.testing.assert_array_equal(network.predict(X), network.predict(X.toarray()))


def test_loss_and_gradient_takes_sparse_rows():
    X = sparse()
    network = fastnn.Network.mlp(N_FEATURES, [5], 3, output="softmax", dtype="float64", seed=0)
    results = [network.loss_and_gradient(rows, labels(), loss="categorical_crossentropy") for rows in (X, X.toarray())]
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_fit_many_takes_sparse_rows():
    X = sparse("float32")
    networks = [fastnn.Network.mlp(N_FEATURES, [4], 3, output="softmax", seed=seed) for seed in (0, 0)]
    trainers = [fastnn.Trainer(network, loss="categorical_crossentropy") for network in networks]
    fastnn.fit_many(trainers[:1], X, labels(), epochs=1, seed=0)
    fastnn.fit_many(trainers[1:], X.toarray(), labels(), epochs=1, seed=0)
    np.testing.assert_array_equal(networks[0].parameters, networks[1].parameters)


def test_nothing_is_made_dense_as_a_whole():
    n, width = 8000, 20_000
    X = wide(n, width)
    network = fastnn.Network.mlp(width, [2], 3, output="softmax", seed=0)
    trainer = fastnn.Trainer(network, loss="categorical_crossentropy")
    tracemalloc.start()
    trainer.fit(X, labels(n), batch_size=64, validation_split=0.1)
    trainer.evaluate(X, labels(n))
    network.predict(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    dense = n * width * 4
    assert peak < dense / 4, f"{peak / 1e6:.0f} MB were taken; dense rows would take {dense / 1e6:.0f} MB"


def test_the_estimators_do_not_make_it_dense_either():
    n, width = 8000, 20_000
    X = wide(n, width)
    model = fastnn.MLPClassifier([2], max_iter=1, random_state=0, early_stopping=True, batch_size=64)
    tracemalloc.start()
    with pytest.warns(ConvergenceWarning):
        model.fit(X, labels(n)).predict(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < n * width * 4 / 4


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_estimators_learn_the_same_from_sparse_rows(solver):
    X = sparse()
    models = [
        fastnn.MLPRegressor(hidden_layer_sizes=[5], solver=solver, max_iter=400, tol=0.01, random_state=0).fit(
            rows, labels()
        )
        for rows in (X, X.toarray(), X.tocsc())
    ]
    for model in models[1:]:
        np.testing.assert_array_equal(model.predict(X), models[0].predict(X.toarray()))


def test_a_pipeline_of_one_hot_categories():
    colours = np.array(["red", "green", "blue"])[rng().integers(0, 3, 300)][:, None]
    is_red = (colours[:, 0] == "red").astype(int)
    model = make_pipeline(OneHotEncoder(), fastnn.MLPClassifier([4], solver="lbfgs", random_state=0))
    assert model.fit(colours, is_red).score(colours, is_red) == 1.0


# --- what is refused ------------------------------------------------------------------------------------------------


def broken(**parts):
    """A CSR matrix one part of which was overwritten, as SciPy lets one do."""
    X = sparse("float32")
    for name, (at, value) in parts.items():
        getattr(X, name)[at] = value
    return X


@pytest.mark.parametrize(
    "parts",
    [
        {"indices": (3, N_FEATURES)},
        {"indices": (3, -1)},
        {"indptr": (-1, 10**6)},
        {"indptr": (0, -5)},
        {"indptr": (5, 10**6)},
    ],
    ids=lambda parts: "{}[{}]".format(*next((name, at) for name, (at, _) in parts.items())),
)
@pytest.mark.parametrize("method", ["fit", "predict"])
def test_indices_that_lead_out_of_the_matrix_are_found_before_a_kernel_follows_them(parts, method):
    trainer = trained(sparse("float32"), "float32", epochs=1)
    before = trainer.network.parameters.copy()
    X = broken(**parts)
    with pytest.raises(ValueError, match="X is a sparse matrix whose indices do not fit its shape"):
        trainer.fit(X, labels()) if method == "fit" else trainer.network.predict(X)
    np.testing.assert_array_equal(trainer.network.parameters, before)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_what_is_not_finite_is_named_by_row_and_column(value):
    X = sparse()
    entry = X.indptr[600]
    X.data[entry:] = value  # the first of them is meant
    with pytest.raises(ValueError, match=rf"X must be finite.*row 600, column {X.indices[entry]}$"):
        trained(X, "float32")


def test_wrong_width_complex_numbers_and_no_rows():
    network = fastnn.Network.mlp(4, [], 1, seed=0)
    with pytest.raises(ValueError, match=r"X must have 4 features \(the network's inputs\), got shape \(2, 3\)"):
        network.predict(scipy.sparse.csr_array((2, 3)))
    with pytest.raises(TypeError, match="X must hold real numbers, got a sparse matrix of dtype complex128"):
        network.predict(scipy.sparse.csr_array((2, 4), dtype=complex))
    with pytest.raises(ValueError, match="X must have at least one sample"):
        fastnn.Trainer(network, loss="mse").fit(scipy.sparse.csr_array((0, 4)), np.empty(0))
