"""Bad input: an error that names the parameter, what was given and what is accepted, before anything has changed."""

import re

import numpy as np
import pytest
import scipy.sparse

import fastnn
from fastnn import Activation, Adam, Dense, Dropout, Input, Network, Trainer
from support import rng

X, Y = rng(1).normal(size=(6, 3)), rng(2).normal(size=(6, 2))
LABELS = np.array([0, 1, 1, 0, 1, 0])


def with_(array, at, value):
    changed = np.array(array)
    changed[at] = value
    return changed


VALUE, TYPE = ValueError, TypeError

# (id, what is called, the error, patterns its message must hold)
CONSTRUCTION = [
    ("no layers", lambda: Network([]), VALUE, "layers must start with Input.*got an empty list"),
    ("no Input", lambda: Network([Dense(3)]), VALUE, r"layers must start with Input.*got Dense\(units=3"),
    ("two Inputs", lambda: Network([Input(2), Dense(1), Input(1)]), VALUE, r"one Input.*layers\[2\] is Input"),
    ("Input alone", lambda: Network([Input(2)]), VALUE, "layers must hold at least one layer after Input"),
    ("not a layer", lambda: Network([Input(2), "dense"]), TYPE, r"layers\[1\] must be a fastnn layer.*'dense'"),
    ("not layers", lambda: Network(5), TYPE, "layers must be a sequence of layers, got 5"),
    ("features", lambda: Input(0), VALUE, "n_features must be an integer >= 1, got 0"),
    ("features float", lambda: Input(2.0), TYPE, "n_features must be an integer >= 1, got 2.0"),
    ("features bool", lambda: Input(True), TYPE, "n_features must be an integer >= 1, got True"),
    ("units", lambda: Dense(-1), VALUE, "units must be an integer >= 1, got -1"),
    ("units None", lambda: Dense(None), TYPE, "units must be an integer >= 1, got None"),
    ("activation", lambda: Dense(3, "rleu"), VALUE, "activation must be one of 'linear'.*'rleu'.*mean 'relu'"),
    ("activation case", lambda: Activation("ReLU"), VALUE, "'ReLU'; did you mean 'relu'"),
    (
        "activation type",
        lambda: Dense(3, np.tanh),
        TYPE,
        r"a name such as 'relu', or activations\.Compiled.*got <ufunc 'tanh'>",
    ),
    ("use_bias", lambda: Dense(3, use_bias=1), TYPE, "use_bias must be True or False, got 1"),
    ("initializer", lambda: Dense(3, kernel_initializer="he"), VALUE, "kernel_initializer must be one of.*'he'"),
    ("rate 1", lambda: Dropout(1.0), VALUE, r"rate must be a number in \[0, 1\), got 1.0"),
    ("rate negative", lambda: Dropout(-0.1), VALUE, r"rate must be a number in \[0, 1\), got -0.1"),
    ("rate NaN", lambda: Dropout(float("nan")), VALUE, r"rate must be a number in \[0, 1\), got nan"),
    ("rate text", lambda: Dropout("0.5"), TYPE, r"rate must be a number in \[0, 1\), got '0.5'"),
    ("slope", lambda: fastnn.activations.LeakyReLU(-1), VALUE, "negative_slope must be a number in.*got -1"),
    ("alpha", lambda: fastnn.activations.ELU(0), VALUE, "alpha must be a number in.*got 0"),
    ("delta", lambda: fastnn.losses.Huber(np.inf), VALUE, "delta must be a number in.*got inf"),
    ("dtype", lambda: Network.mlp(2, [], 1, dtype="float16"), VALUE, "dtype must be 'float32' or.*'float16'"),
    ("dtype None", lambda: Network.mlp(2, [], 1, dtype=None), VALUE, "dtype must be 'float32' or.*got None"),
    ("dtype text", lambda: Network.mlp(2, [], 1, dtype="x"), TYPE, "dtype must be 'float32' or.*got 'x'"),
    ("seed", lambda: Network.mlp(2, [], 1, seed=-1), VALUE, "seed must be an integer from 0 to.*got -1"),
    ("seed float", lambda: Network.mlp(2, [], 1, seed=0.5), TYPE, "seed must be an integer.*got 0.5"),
    ("hidden", lambda: Network.mlp(2, 64, 1), TYPE, "hidden must be a sequence of numbers of units, got 64"),
    ("hidden text", lambda: Network.mlp(2, "64", 1), TYPE, "hidden must be a sequence.*got '64'"),
    ("dropout", lambda: Network.mlp(2, [3], 1, dropout=1), VALUE, r"dropout must be a number in \[0, 1\), got 1"),
    ("learning rate", lambda: Adam(0.0), VALUE, r"learning_rate must be a number in \(0, inf\), got 0.0"),
    ("beta", lambda: Adam(beta_1=1.0), VALUE, r"beta_1 must be a number in \[0, 1\), got 1.0"),
    ("epsilon", lambda: Adam(epsilon=-1), VALUE, r"epsilon must be a number in \(0, inf\), got -1"),
    ("momentum", lambda: fastnn.SGD(momentum=2), VALUE, r"momentum must be a number in \[0, 1\), got 2"),
    ("nesterov", lambda: fastnn.SGD(nesterov="no"), TYPE, "nesterov must be True or False, got 'no'"),
    ("network", lambda: Trainer("net", loss="mse"), TYPE, "network must be a fastnn.Network, got 'net'"),
    ("loss", lambda: trainer(loss="mes"), VALUE, "loss must be one of 'mse'.*'mes'; did you mean 'mse'"),
    ("loss type", lambda: trainer(loss=None), TYPE, "loss must be one of 'mse'.*got None"),
    ("optimizer", lambda: trainer(optimizer="adm"), VALUE, "optimizer must be one of.*'adm'; did you mean 'adam'"),
    ("optimizer type", lambda: trainer(optimizer=0.1), TYPE, "optimizer must be one of.*got 0.1"),
    ("metrics", lambda: trainer(metrics=["acuracy"]), VALUE, "metrics must be one of.*mean 'accuracy'"),
    ("metrics type", lambda: trainer(metrics=None), TYPE, "metrics must be a sequence of names.*got None"),
]


def trainer(loss="mse", **options):
    return Trainer(Network.mlp(3, [4], 2, output="softmax", seed=0), loss=loss, **options)


@pytest.mark.parametrize(
    ("call", "error", "message"), [case[1:] for case in CONSTRUCTION], ids=[c[0] for c in CONSTRUCTION]
)
def test_bad_arguments_of_constructors(call, error, message):
    with pytest.raises(error, match=message):
        call()


# (id, arguments of fit, loss, the error, pattern)
FIT = [
    ("features", {"X": X[:, :2]}, "mse", VALUE, r"X must have 3 features.*got shape \(6, 2\)"),
    ("1-D", {"X": X[0]}, "mse", VALUE, r"X must be 2-D.*got shape \(3,\); one sample is X.reshape\(1, -1\)"),
    ("3-D", {"X": X[None]}, "mse", VALUE, r"X must be 2-D \(samples, features\), got shape \(1, 6, 3\)"),
    ("scalar", {"X": 3.0}, "mse", VALUE, r"X must be 2-D.*got shape \(\)"),
    ("empty", {"X": X[:0], "y": Y[:0]}, "mse", VALUE, r"X must have at least one sample, got shape \(0, 3\)"),
    ("NaN", {"X": with_(X, (4, 1), np.nan)}, "mse", VALUE, "X must be finite, got nan in row 4, column 1"),
    ("inf", {"X": with_(X, (5, 2), np.inf)}, "mse", VALUE, "X must be finite, got inf in row 5, column 2"),
    ("too large", {"X": with_(X, (0, 2), 1e39)}, "mse", VALUE, r"X must be finite in float32, got 1e\+39 in row 0"),
    ("text", {"X": [["a", "b", "c"]]}, "mse", TYPE, "X must hold real numbers, got an array of dtype <U1"),
    ("objects", {"X": [[1, None, 2]]}, "mse", TYPE, "X must hold real numbers, got an array of dtype object"),
    ("complex", {"X": X + 1j}, "mse", TYPE, "X must hold real numbers, got an array of dtype complex128"),
    ("ragged", {"X": [[1, 2, 3], [4, 5]]}, "mse", VALUE, "X must be an array of real numbers: .*inhomogeneous"),
    ("sparse y", {"y": scipy.sparse.csr_matrix(Y)}, "mse", TYPE, "y must be dense, got a sparse matrix; pass"),
    ("length", {"y": Y[:5]}, "mse", VALUE, r"y must have as many samples as its X \(6\), got shape \(5, 2\)"),
    ("outputs", {"y": X}, "mse", VALUE, r"y must have shape \(6, 2\), got \(6, 3\)"),
    ("labels for mse", {"y": LABELS}, "mse", VALUE, r"shape \(6, 2\) for loss 'mse'.*got \(6,\); class numbers go"),
    ("y NaN", {"y": with_(Y, (3, 0), np.nan)}, "mse", VALUE, "y must be finite, got nan in row 3, column 0"),
    ("y text", {"y": ["a"] * 6}, "mse", TYPE, "y must hold real numbers, got an array of dtype <U1"),
    ("label 2", {"y": LABELS + 1}, "cce", VALUE, "y must hold class numbers from 0 to 1, got 2"),
    ("label -1", {"y": LABELS - 1}, "cce", VALUE, "y must hold class numbers from 0 to 1, got -1"),
    ("label 1e30", {"y": with_(LABELS.astype(float), 0, 1e30)}, "cce", VALUE, r"from 0 to 1, got 1e\+30"),
    ("label 2^64-1", {"y": with_(LABELS.astype("uint64"), 0, 2**64 - 1)}, "cce", VALUE, "got 18446744073709551615"),
    ("label 0.5", {"y": LABELS * 0.5}, "cce", VALUE, "y must hold integral class numbers, got 0.5"),
    ("label NaN", {"y": with_(LABELS.astype(float), 2, np.nan)}, "cce", VALUE, "y must be finite, got nan in row 2"),
    ("probability", {"y": 2.0 * np.eye(2)[LABELS]}, "cce", VALUE, r"y must lie in \[0, 1\].*got 2.0"),
    ("probability < 0", {"y": -np.eye(2)[LABELS]}, "log_loss", VALUE, r"y must lie in \[0, 1\].*got -1.0"),
    ("log of < 0", {"y": Y}, "msle", VALUE, "y must not be negative for loss 'msle', got -"),
    ("share of 0", {"y": with_(Y, (3, 1), 0.0)}, "mape", VALUE, "y must not be 0 for loss 'mape', .* in row 3"),
    ("count < 0", {"y": Y}, "poisson", VALUE, "y must not be negative for loss 'poisson', got -"),
    ("epochs", {"epochs": 0}, "mse", VALUE, "epochs must be an integer >= 1, got 0"),
    ("epochs float", {"epochs": 1.5}, "mse", TYPE, "epochs must be an integer >= 1, got 1.5"),
    ("batch_size", {"batch_size": 0}, "mse", VALUE, "batch_size must be an integer >= 1, got 0"),
    ("batch_size text", {"batch_size": "all"}, "mse", TYPE, "batch_size must be an integer >= 1, got 'all'"),
    ("split 1", {"validation_split": 1.0}, "mse", VALUE, r"validation_split must be a number in \[0, 1\), got 1.0"),
    ("split leaves none", {"validation_split": 0.9}, "mse", VALUE, "validation_split=0.9 leaves no sample of 6"),
    ("split and data", {"validation_split": 0.5, "validation_data": (X, Y)}, "mse", VALUE, "split must be 0.*0.5"),
    ("validation list", {"validation_data": [X, Y, 1, 2, 3]}, "mse", TYPE, "validation_data must be a.*list of 5"),
    ("validation of 5", {"validation_data": (X, Y, 1, 2, 3)}, "mse", TYPE, "validation_data must be a.*tuple of 5"),
    ("validation X", {"validation_data": (X[:, :1], Y)}, "mse", VALUE, r"validation_data\[0\] must have 3 features"),
    ("validation y", {"validation_data": (X, Y[:2])}, "mse", VALUE, r"validation_data\[1\] must have as many"),
    ("validation weight", {"validation_data": (X, Y, [1])}, "mse", VALUE, r"validation_data\[2\] must have shape"),
    ("weight shape", {"sample_weight": [1, 2]}, "mse", VALUE, r"sample_weight must have shape \(6,\).*got \(2,\)"),
    ("weight < 0", {"sample_weight": [1, 1, -2, 1, 1, 1]}, "mse", VALUE, "sample_weight must not be neg.*got -2.0"),
    ("weight NaN", {"sample_weight": [1, 1, 1, np.nan, 1, 1]}, "mse", VALUE, "sample_weight must be.*nan in row 3"),
    ("weight 0", {"sample_weight": np.zeros(6)}, "mse", VALUE, "sample_weight must not be all zero"),
    ("class_weight list", {"class_weight": [1, 2]}, "mse", TYPE, r"class_weight must be a dict.*got \[1, 2\]"),
    ("class_weight key", {"class_weight": {"a": 1}}, "mse", TYPE, "key of class_weight must be an integer.*'a'"),
    ("class_weight class", {"class_weight": {2: 1}}, "mse", VALUE, "key of class_weight.* from 0 to 1, got 2"),
    ("class_weight value", {"class_weight": {1: -1}}, "mse", VALUE, r"class_weight\[1\] must be a number.*got -1"),
    (
        "class_weight 0",
        {"class_weight": {0: 0, 1: 0}, "y": np.eye(2)[LABELS]},
        "mse",
        VALUE,
        "class_weight must leave some sample a weight",
    ),
    ("shuffle", {"shuffle": "yes"}, "mse", TYPE, "shuffle must be True or False, got 'yes'"),
    ("callbacks", {"callbacks": [print]}, "mse", TYPE, r"callbacks\[0\] must be a fastnn.callbacks.Callback"),
    ("verbose", {"verbose": 3}, "mse", VALUE, "verbose must be an integer from 0 to 2, got 3"),
    ("n_threads", {"n_threads": 0}, "mse", VALUE, "n_threads must be an integer >= 1, got 0"),
    ("seed", {"seed": -1}, "mse", VALUE, "seed must be an integer from 0 to.*got -1"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "loss", "error", "message"), [case[1:] for case in FIT], ids=[c[0] for c in FIT])
def test_bad_arguments_of_fit_change_nothing(changes, loss, error, message):
    loss = {"cce": "categorical_crossentropy"}.get(loss, loss)
    subject = trainer(loss)
    suited = np.abs(Y) / 10 if loss != "mse" else Y
    subject.fit(X, suited, seed=5)
    parameters, moments = subject.network.parameters.copy(), subject.moments.copy()
    history, step, seed = dict(subject.history.history), subject.step, subject.seed
    with pytest.raises(error, match=message):
        subject.fit(**{"X": X, "y": suited, "epochs": 3, **changes})
    np.testing.assert_array_equal(subject.network.parameters, parameters)
    np.testing.assert_array_equal(subject.moments, moments)
    assert (subject.history.history, subject.step, subject.seed) == (history, step, seed)


DATA_CASES = [case for case in FIT if set(case[1]) <= {"X", "y", "sample_weight"}]


@pytest.mark.parametrize("call", ["evaluate", "loss_and_gradient"])
@pytest.mark.parametrize(
    ("changes", "loss", "error", "message"), [case[1:] for case in DATA_CASES], ids=[c[0] for c in DATA_CASES]
)
def test_the_same_data_are_refused_everywhere(call, changes, loss, error, message):
    loss = {"cce": "categorical_crossentropy"}.get(loss, loss)
    subject = trainer(loss)
    arguments = {"X": X, "y": np.abs(Y) / 10 if loss != "mse" else Y, **changes}
    with pytest.raises(error, match=message):
        if call == "evaluate":
            subject.evaluate(**arguments)
        else:
            subject.network.loss_and_gradient(**arguments, loss=loss)


OUT = np.empty((6, 2), "float32")
READ_ONLY = OUT.copy()
READ_ONLY.setflags(write=False)
CALLS = [
    ("predict X", lambda n: n.predict(X[:, :2]), VALUE, r"X must have 3 features.*got shape \(6, 2\)"),
    ("predict 1-D", lambda n: n.predict(X[0]), VALUE, r"X must be 2-D.*X.reshape\(1, -1\)"),
    ("predict text", lambda n: n.predict([["a"]]), TYPE, "X must hold real numbers"),
    ("out shape", lambda n: n.predict(X, out=OUT[:5]), VALUE, r"out must be.*\(6, 2\), got.*\(5, 2\)"),
    ("out dtype", lambda n: n.predict(X, out=np.empty((6, 2))), VALUE, "out must be a writable float32.*float64"),
    ("out read-only", lambda n: n.predict(X, out=READ_ONLY), VALUE, "out must be a writable.*got a read-only"),
    ("out list", lambda n: n.predict(X, out=[[0.0] * 2] * 6), TYPE, "out must be a NumPy array"),
    ("unflatten", lambda n: n.unflatten(np.zeros(3)), VALUE, r"vector must have shape \(26,\), got \(3,\)"),
    ("too few weights", lambda n: n.set_weights([]), VALUE, "weights must be a list of 4 arrays, got 0"),
    ("weights shape", lambda n: n.set_weights([X, X, X, X]), VALUE, r"weights\[0\] must have shape \(3, 4\)"),
    ("weights NaN", lambda n: n.set_weights(nan_weights(n)), VALUE, r"weights\[3\] must be finite, got nan in row 1"),
    ("loss name", lambda n: n.loss_and_gradient(X, Y, loss="msee"), VALUE, "'msee'; did you mean 'mse'"),
    ("explain x", lambda n: n.explain(X, Y[0], loss="mse"), VALUE, r"x must be one sample of shape \(3,\)"),
    ("explain features", lambda n: n.explain(X[0, :2], Y[0], loss="mse"), VALUE, "x must have 3 features"),
    ("explain NaN", lambda n: n.explain([1, np.nan, 2], Y[0], loss="mse"), VALUE, "x must be finite, got nan"),
    ("explain y", lambda n: n.explain(X[0], Y[0, :1], loss="mse"), VALUE, "y must have shape"),
]  # fmt: skip


def nan_weights(network):
    return [*network.get_weights()[:3], np.array([1.0, np.nan])]


@pytest.mark.parametrize(("call", "error", "message"), [case[1:] for case in CALLS], ids=[c[0] for c in CALLS])
def test_bad_arguments_of_a_network_s_methods_change_nothing(call, error, message):
    network = trainer().network
    before = network.parameters.copy()
    with pytest.raises(error, match=message):
        call(network)
    np.testing.assert_array_equal(network.parameters, before)


def test_rows_that_are_not_finite_predict_nan_beside_others_that_are_right():
    network = trainer().network
    expected = network.predict(X)
    result = network.predict(with_(X, (2, 0), np.nan))
    assert np.isnan(result[2]).all()
    np.testing.assert_array_equal(np.delete(result, 2, 0), np.delete(expected, 2, 0))


@pytest.mark.parametrize("names", [fastnn.activations.NAMES, fastnn.losses.NAMES])
def test_an_unknown_name_lists_the_known_ones(names):
    get = fastnn.activations.get if "relu" in names else fastnn.losses.get
    with pytest.raises(ValueError, match=re.escape(", ".join(map(repr, names)))):
        get("nothing like it")


@pytest.mark.parametrize(
    "make",
    [
        lambda: fastnn.Network([fastnn.Input(3), fastnn.Dense(2**70)]),
        lambda: fastnn.Network([fastnn.Input(2**70), fastnn.Dense(1)]),
        lambda: fastnn.Network([fastnn.Input((4, 2**70)), fastnn.Flatten(), fastnn.Dense(1)]),
        lambda: fastnn.Network([fastnn.Input((8, 8, 2)), fastnn.Conv2D(2, 3, strides=2**70)]),
        lambda: fastnn.Network([fastnn.Input((8, 8, 2)), fastnn.Conv2DTranspose(2, 2**70)]),
        lambda: fastnn.Network([fastnn.Input((8, 8, 2)), fastnn.UpSampling2D(2**40)]),
        lambda: fastnn.Network([fastnn.Input((5, 2)), fastnn.GRU(2**70)]),
        lambda: fastnn.Network([fastnn.Input(2**40), fastnn.Dense(2**40)]),
    ],
)
def test_sizes_beyond_any_memory_are_refused_by_name(make):
    """They overflowed in the plan's tables, with an OverflowError that named nothing."""
    with pytest.raises(ValueError, match=r"must be .*, got|layers\[\d\] would have"):
        make()
