"""The oracle itself: against central differences, hand-computed numbers and properties from the papers."""

import math

import numpy as np
import pytest

import reference as ref

N, K = 5, 3  # samples, outputs


def rng(seed=0):
    return np.random.default_rng(seed)


def targets(loss, n=N, k=K, seed=1):
    """Targets that suit the loss, none of them equal to an output."""
    if loss == "poisson":
        return rng(seed).poisson(2.0, (n, k)).astype(float)
    if loss == "msle":
        return rng(seed).uniform(0.0, 3.0, (n, k))
    if loss == "log_loss":
        return rng(seed).integers(0, 2, (n, k)).astype(float)
    if loss == "categorical_crossentropy":
        return np.eye(k)[rng(seed).integers(0, k, n)]
    return rng(seed).normal(size=(n, k))


def assert_gradient(layers, X, y, loss, **options):
    _, gradients = ref.loss_and_gradient(layers, X, y, loss, **options)
    parameters = ref.get_parameters(layers)
    assert [g.shape for g in gradients] == [p.shape for p in parameters]
    for i, gradient in enumerate(gradients):

        def f(p, i=i):
            changed = [*parameters[:i], p, *parameters[i + 1 :]]
            return ref.loss_and_gradient(ref.replace_parameters(layers, changed), X, y, loss, **options)[0]

        np.testing.assert_allclose(gradient, ref.central_difference(f, parameters[i]), rtol=1e-6, atol=1e-8)


# -- activations ------------------------------------------------------------------------------------------------------

PARAMS = {"leaky_relu": [{}, {"negative_slope": 0.3}], "elu": [{}, {"alpha": 0.7}]}


@pytest.mark.parametrize("name", ref.ACTIVATIONS)
def test_activation_derivative_is_the_central_difference(name):
    z = rng().normal(scale=2, size=(4, 3))
    delta = rng(1).normal(size=z.shape)
    for params in PARAMS.get(name, [{}]):
        expected = ref.central_difference(lambda z, p=params: (delta * ref.activate(name, z, **p)).sum(), z)
        np.testing.assert_allclose(ref.activate_backward(name, z, delta, **params), expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in ref.ACTIVATIONS if name != "exponential"])
def test_activation_is_finite_far_out(name):
    z = np.array([[-1e4, -800.0, -40.0, 0.0, 40.0, 800.0, 1e4]])
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert np.isfinite(ref.activate(name, z)).all()
        assert np.isfinite(ref.activate_backward(name, z, np.ones_like(z))).all()


@pytest.mark.parametrize(
    ("name", "z", "value"),
    [
        ("sigmoid", math.log(3), 0.75),
        ("tanh", math.log(2), 0.6),
        ("leaky_relu", -2.0, -0.02),
        ("elu", -math.log(2), -0.5),
        ("selu", 1.0, 1.0507009873554805),
        ("softplus", 0.0, math.log(2)),
        ("gelu", 1.0, 0.8413447460685429),  # Phi(1)
        ("silu", math.log(3), 0.75 * math.log(3)),
        ("mish", math.log(math.e - 1), math.log(math.e - 1) * math.tanh(1)),
        ("exponential", math.log(3), 3.0),
    ],
)
def test_activation_known_value(name, z, value):
    assert ref.activate(name, z) == pytest.approx(value, rel=1e-15)


def test_kinks_take_the_left_derivative():
    assert ref.activate_backward("relu", 0.0, 1.0) == 0.0
    assert ref.activate_backward("leaky_relu", 0.0, 1.0, negative_slope=0.2) == 0.2


def test_selu_keeps_mean_0_and_variance_1():
    """The fixed point of Klambauer et al., 2017: integrals over a standard normal."""
    z = np.linspace(-12, 12, 200_001)
    density = np.exp(-z * z / 2) / np.sqrt(2 * np.pi) * (z[1] - z[0])
    a = ref.activate("selu", z)
    assert (a * density).sum() == pytest.approx(0, abs=1e-8)
    assert (a * a * density).sum() == pytest.approx(1, abs=1e-8)


# -- losses -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "params"), [*((name, {}) for name in ref.LOSSES), ("huber", {"delta": 0.3})])
def test_loss_gradient_is_the_central_difference(loss, params):
    y, a = targets(loss), rng().uniform(0.05, 0.95, (N, K))
    value, gradient = ref.LOSSES[loss]
    assert value(y, a, **params).shape == (N,)
    expected = ref.central_difference(lambda a: value(y, a, **params).sum(), a)
    np.testing.assert_allclose(gradient(y, a, **params), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    ("loss", "y", "a", "value"),
    [
        ("mse", [1.0, 2.0], [2.0, 4.0], (1 + 4) / 2),
        ("mae", [1.0, 2.0], [2.0, 4.0], (1 + 2) / 2),
        ("huber", [1.0, 2.0], [1.5, 4.0], (0.125 + 1.5) / 2),
        ("poisson", [1.0, 2.0], [1 - 1e-7, 2 - 1e-7], (1 + 2 - 2e-7 - 2 * math.log(2)) / 2),
        ("mape", [2.0, -4.0], [1.0, -5.0], 100 * (1 / 2 + 1 / 4) / 2),
        ("msle", [math.e - 1, 1.0], [math.e**3 - 1, 3.0], (2**2 + math.log(2) ** 2) / 2),
        ("log_loss", [1.0, 0.0], [0.5, 0.25], (math.log(2) + math.log(4 / 3)) / 2),
        ("categorical_crossentropy", [0.25, 0.75], [0.5, 0.125], 0.25 * math.log(2) + 0.75 * math.log(8)),
    ],
)
def test_loss_known_value(loss, y, a, value):
    assert ref.LOSSES[loss].value(np.array([y]), np.array([a])) == pytest.approx(value, rel=1e-14)


def test_loss_gradient_is_0_where_the_loss_is_flat():
    y = np.array([[1.0, 0.0, 1.0]])
    outside = np.array([[-0.1, 1.1, 1e-8]])  # beyond the clipping limits of probabilities
    assert (ref.LOSSES["log_loss"].gradient(y, outside) == 0).all()
    assert (ref.LOSSES["categorical_crossentropy"].gradient(np.ones((1, 3)), outside) == 0).all()
    assert (ref.LOSSES["mae"].gradient(y, y) == 0).all()
    assert (ref.LOSSES["mape"].gradient(y, y) == 0).all()
    assert (ref.LOSSES["msle"].gradient(y, -np.ones((1, 3))) == 0).all()


@pytest.mark.parametrize(("activation", "loss"), ref.FROM_LOGITS)
def test_loss_from_logits(activation, loss):
    y, z = targets(loss), rng().normal(size=(N, K))
    pair, plain = ref.FROM_LOGITS[activation, loss], ref.LOSSES[loss]
    a = ref.activate(activation, z)
    # poisson has its epsilon inside the logarithm, and from logits none.
    tolerance = 1e-6 if loss == "poisson" else 1e-13
    np.testing.assert_allclose(pair.value(y, z), plain.value(y, a), rtol=tolerance)
    delta = ref.activate_backward(activation, z, plain.gradient(y, a))
    np.testing.assert_allclose(pair.gradient(y, z), delta, rtol=10 * tolerance, atol=tolerance / 100)
    if loss == "poisson":
        np.testing.assert_allclose(pair.gradient(y, z), ref.central_difference(lambda z: pair.value(y, z).sum(), z),
                                   rtol=1e-6)  # fmt: skip
        return
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        wrong = pair.value(np.array([[1.0, 0.0]]), np.array([[-500.0, 500.0]]))  # neither log(0) nor -log(1e-7)
    assert wrong == {"softmax": 1000, "sigmoid": 500}[activation]


def test_make_targets():
    onehot = [[0, 0, 1], [1, 0, 0]]
    assert ref.make_targets([2, 0], 3, "categorical_crossentropy").tolist() == onehot
    assert ref.make_targets(onehot, 3, "categorical_crossentropy").tolist() == onehot
    assert ref.make_targets([0, 1], 1, "log_loss").tolist() == [[0], [1]]
    assert ref.make_targets([0, 1], 1, "binary_crossentropy", 0.2).tolist() == [[0.1], [0.9]]
    np.testing.assert_allclose(
        ref.make_targets([2, 0], 3, "categorical_crossentropy", 0.3), [[0.1, 0.1, 0.8], [0.8, 0.1, 0.1]]
    )


# -- networks ---------------------------------------------------------------------------------------------------------


def two_layers(hidden, output, seed=0, positive=False):
    """2-4-K; positive: output logits above 0, where every activation is above 0 (softmax is anyway)."""
    r = rng(seed)
    W2 = r.normal(size=(4, K))
    return [
        ref.Dense(r.normal(size=(2, 4)), r.normal(size=4)),
        ref.Activation(hidden),
        ref.Dense(W2 * 0.1 if positive else W2, np.full(K, 2.0) if positive else r.normal(size=K)),
        ref.Activation(output),
    ]


@pytest.mark.parametrize("loss", ref.LOSSES)
@pytest.mark.parametrize("output", ref.ACTIVATIONS)
def test_gradient_of_every_output_activation_and_loss(output, loss):
    layers = two_layers("tanh", output, positive=loss in ("poisson", "msle"))
    assert_gradient(layers, rng(2).normal(size=(N, 2)), targets(loss), loss, sample_weight=[1, 0, 2, 0.5, 3])


@pytest.mark.parametrize("hidden", ref.ACTIVATIONS)
def test_gradient_of_every_hidden_activation(hidden):
    layers = two_layers(hidden, "linear")
    assert_gradient(layers, rng(2).normal(size=(N, 2)), targets("mse"), "mse")


def batch_norm(seed=0, **affine):
    r = rng(seed)
    gamma, beta = affine.get("gamma", r.normal(size=4)), affine.get("beta", r.normal(size=4))
    return ref.BatchNormalization(gamma, beta, moving_mean=r.normal(size=4), moving_variance=r.uniform(1, 2, 4))


MIDDLE = {
    "nothing": [],
    "dense without bias": [ref.Dense(rng(9).normal(size=(4, 4)))],
    "dense with penalties": [ref.Dense(rng(9).normal(size=(4, 4)), rng(8).normal(size=4), 0.1, 0.2, 0.3, 0.4)],
    "leaky_relu": [ref.Activation("leaky_relu", {"negative_slope": 0.4})],
    "dropout": [ref.Dropout(0.5, rng(9).random((N, 4)) < 0.5)],
    "gaussian noise": [ref.GaussianNoise(rng(9).normal(size=(N, 4)))],
    "layer normalization": [ref.LayerNormalization(rng(9).normal(size=4), rng(8).normal(size=4))],
    "layer normalization, not affine": [ref.LayerNormalization(None, None)],
    "batch normalization": [batch_norm()],
    "batch normalization without gamma": [batch_norm(gamma=None)],
    "batch normalization without beta": [batch_norm(beta=None)],
}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("middle", MIDDLE)
def test_gradient_through_every_layer(middle, training):
    first, act, last, output = two_layers("tanh", "softmax")
    layers = [first, *MIDDLE[middle], act, last, output]
    X, y = rng(2).normal(size=(N, 2)), targets("categorical_crossentropy")
    assert_gradient(layers, X, y, "categorical_crossentropy", training=training, label_smoothing=0.1)


def test_gradient_of_a_batch_of_one():
    X, y = rng(2).normal(size=(1, 2)), targets("huber", n=1)
    assert_gradient(two_layers("silu", "linear"), X, y, "huber", loss_params={"delta": 0.5})


def test_loss_is_the_weighted_mean():
    layers, X, y = two_layers("tanh", "linear"), rng(2).normal(size=(N, 2)), targets("mse")
    repeated, _ = ref.loss_and_gradient(layers, X[[0, 1, 1, 1]], y[[0, 1, 1, 1]], "mse")
    weighted, _ = ref.loss_and_gradient(layers, X[:2], y[:2], "mse", sample_weight=[1, 3])
    assert weighted == pytest.approx(repeated, rel=1e-14)
    zero, gradients = ref.loss_and_gradient(layers, X, y, "mse", sample_weight=np.zeros(N))
    assert zero == 0 and not any(g.any() for g in gradients)


def test_network_by_hand():
    """x = 2, relu(2 * 1 - 1) = 1, sigmoid(1 * 0 + 0) = 1/2, log loss of y = 1: log 2; delta at the output -1/2."""
    layers = [
        ref.Dense(np.array([[1.0]]), np.array([-1.0])),
        ref.Activation("relu"),
        ref.Dense(np.array([[4.0]]), np.array([-4.0])),
        ref.Activation("sigmoid"),
    ]
    assert ref.forward(layers, [[2.0]]).item() == 0.5
    loss, (dW1, db1, dW2, db2) = ref.loss_and_gradient(layers, [[2.0]], [1], "binary_crossentropy")
    assert loss == pytest.approx(math.log(2))
    assert (dW1.item(), db1.item(), dW2.item(), db2.item()) == (-4.0, -2.0, -0.5, -0.5)


def test_penalty_is_keras_s():
    layer = ref.Dense(np.array([[1.0, -2.0]]), np.array([3.0, 0.0]), kernel_l1=0.1, kernel_l2=0.01, bias_l1=1.0)
    assert ref.penalty([layer]) == pytest.approx(0.1 * 3 + 0.01 * 5 + 3)
    dW, db = layer.penalty_gradient()
    np.testing.assert_allclose(dW, [[0.12, -0.14]])
    np.testing.assert_allclose(db, [1, 0])


def test_normalization_layers():
    x = rng().normal(3, 2, size=(50, 4))
    bn = ref.BatchNormalization(np.full(4, 2.0), np.full(4, 5.0), np.zeros(4), np.ones(4), epsilon=0)
    out = bn.forward(x, training=True)
    np.testing.assert_allclose(out.mean(axis=0), 5)
    np.testing.assert_allclose(out.std(axis=0), 2)
    np.testing.assert_allclose(bn.forward(x), 2 * x + 5)  # inference: moving mean 0, moving variance 1
    [(mean, variance)] = ref.moving_statistics([bn], x)
    np.testing.assert_allclose(mean, 0.01 * x.mean(axis=0))
    np.testing.assert_allclose(variance, 0.99 + 0.01 * x.var(axis=0))
    out = ref.LayerNormalization(np.ones(4), np.zeros(4), epsilon=0).forward(x)
    np.testing.assert_allclose(out.mean(axis=1), 0, atol=1e-14)
    np.testing.assert_allclose(out.std(axis=1), 1)


# -- optimizers -------------------------------------------------------------------------------------------------------


def run(optimizer, w, gradients):
    for g in gradients:
        w = optimizer.step(w, g)
    return np.asarray(w)


# Two steps from w = 1 with gradients 2 and then -1, computed by hand with learning rate 0.1 and epsilon 0.
TWO_STEPS = [
    (ref.SGD(0.1), 1 - 0.2 + 0.1),
    (ref.SGD(0.1, momentum=0.5), 1 - 0.2 + (-0.1 + 0.1)),
    (ref.SGD(0.1, momentum=0.5, nesterov=True), (1 - 0.1 - 0.2) + (0.0 + 0.1)),
    (ref.RMSprop(0.1, rho=0.5, epsilon=0), 1 - 0.2 / math.sqrt(2) + 0.1 / math.sqrt(1.5)),
    (ref.RMSprop(0.1, rho=0.5, epsilon=0, centered=True), 1 - 0.2 / 1 + 0.1 / math.sqrt(1.5)),
    (ref.RMSprop(0.1, rho=0.5, epsilon=0, momentum=0.5), 1 - 1.5 * 0.2 / math.sqrt(2) + 0.1 / math.sqrt(1.5)),
    (ref.Adagrad(0.1, initial_accumulator_value=0, epsilon=0), 1 - 0.1 + 0.1 / math.sqrt(5)),
    # m = 1, 0; m_hat = 2, 0; v = 1, 1; v_hat = 4, 16 / 7
    (ref.Adam(0.1, beta_1=0.5, beta_2=0.75, epsilon=0), 1 - 0.1 * 2 / 2 - 0),
    # m = 1.5, -0.375; m_hat = 2, -0.375 / 0.9375 = -0.4; v = 2, 1.5; v_hat = 4, 2
    (ref.Adam(0.1, beta_1=0.25, beta_2=0.5, epsilon=0), 1 - 0.1 + 0.1 * 0.4 / math.sqrt(2)),
    (ref.Adam(0.1, beta_1=0.25, beta_2=0.5, epsilon=0, amsgrad=True), 1 - 0.1 + 0.1 * 0.4 / math.sqrt(2 / 0.75)),
    (
        ref.AdamW(0.1, beta_1=0.25, beta_2=0.5, epsilon=0, weight_decay=0.5),
        (0.95 - 0.1) * 0.95 + 0.1 * 0.4 / math.sqrt(2),
    ),
    # m as before; u = 2, max(0.5 * 2, 1) = 1
    (ref.Adamax(0.1, beta_1=0.25, beta_2=0.5, epsilon=0), 1 - 0.1 * 2 / 2 + 0.1 * 0.4 / 1),
    # c = 1.5, then 0.25 * 1 - 0.75 < 0
    (ref.Lion(0.1, beta_1=0.25, beta_2=0.5), 1 - 0.1 + 0.1),
    (ref.Lion(0.1, beta_1=0.25, beta_2=0.5, weight_decay=0.5), (0.95 - 0.1) * 0.95 + 0.1),
]


@pytest.mark.parametrize(("optimizer", "expected"), TWO_STEPS, ids=lambda x: repr(x) if isinstance(x, float) else None)
def test_two_steps_by_hand(optimizer, expected):
    assert run(optimizer, 1.0, [2.0, -1.0]) == pytest.approx(expected, rel=1e-14)


def test_adadelta_first_step_by_hand():
    """E[g2] = 0.5 * 4 = 2, dx = -sqrt(1) / sqrt(2 + 1) * 2 with epsilon = 1."""
    assert ref.Adadelta(0.1, rho=0.5, epsilon=1.0).step(1.0, 2.0) == pytest.approx(1 - 0.1 * 2 / math.sqrt(3))


def test_nadam_first_step_by_hand():
    """mu_1 = 0.9 * 0.52 = 0.468, mu_2 = 0.9 * 0.5392 = 0.48528; m = 0.2, v_hat = g^2 = 4."""
    m_bar = 0.48528 * 0.2 / (1 - 0.468 * 0.48528) + (1 - 0.468) * 2 / (1 - 0.468)
    assert ref.Nadam(0.1, epsilon=0).step(1.0, 2.0) == pytest.approx(1 - 0.1 * m_bar / 2, rel=1e-14)


def test_adam_first_step_is_the_learning_rate():
    """At t = 1, m_hat = g and v_hat = g^2, so the step is lr * g / (|g| + epsilon): epsilon is outside the root."""
    np.testing.assert_allclose(ref.Adam(0.5, epsilon=3.0).step([0.0, 0.0], [1.0, -2.0]), [-0.5 / 4, 0.5 * 2 / 5])


def test_decay_mask():
    for cls in ref.AdamW, ref.Lion:
        w = cls(0.1, weight_decay=0.5, decay_mask=np.array([True, False])).step([1.0, 1.0], [0.0, 0.0])
        np.testing.assert_allclose(w, [0.95, 1.0])


@pytest.mark.parametrize("name", ref.OPTIMIZERS)
def test_optimizer_contract(name):
    """A zero gradient moves nothing but what decays; a given rate replaces the optimizer's; inputs stay as they are."""
    make = ref.OPTIMIZERS[name]
    w, g = rng().normal(size=7), rng(1).normal(size=7)
    w_before, g_before = w.copy(), g.copy()
    np.testing.assert_array_equal(make(0.01).step(w, g, learning_rate=0.5), make(0.5).step(w, g))
    assert (w == w_before).all() and (g == g_before).all()
    if name != "adamw":
        np.testing.assert_array_equal(make().step(w, np.zeros(7)), w)
    rate, x = (2.0 if name == "adadelta" else 0.02), np.array([1.0, -1.0])
    optimizer = make(rate)
    for _ in range(200):
        x = optimizer.step(x, 2 * x)  # the gradient of sum(x^2)
    assert np.abs(x).max() < 0.6


# -- schedules --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("constant", {}, {0: 1, 99: 1}),
        ("step_decay", {"drop": 0.5, "every": 3}, {0: 1, 2: 1, 3: 0.5, 5: 0.5, 6: 0.25}),
        ("exponential", {"decay_steps": 2, "decay_rate": 0.25}, {0: 1, 1: 0.5, 2: 0.25, 4: 0.0625}),
        ("exponential", {"decay_steps": 2, "decay_rate": 0.25, "staircase": True}, {0: 1, 1: 1, 2: 0.25, 3: 0.25}),
        ("inverse_time", {"decay_steps": 2, "decay_rate": 2}, {0: 1, 1: 1 / 2, 2: 1 / 3, 3: 1 / 4}),
        ("inverse_time", {"decay_steps": 2, "decay_rate": 2, "staircase": True}, {1: 1, 2: 1 / 3, 3: 1 / 3}),
        ("polynomial", {"decay_steps": 4, "end_learning_rate": 0.2, "power": 2}, {0: 1, 2: 0.4, 4: 0.2, 9: 0.2}),
        ("cosine", {"decay_steps": 4, "alpha": 0.2}, {0: 1, 2: 0.6, 4: 0.2, 9: 0.2}),
        ("warmup_cosine", {"warmup_steps": 2, "decay_steps": 4}, {0: 0, 1: 0.5, 2: 1, 4: 0.5, 6: 0, 9: 0}),
        ("warmup_cosine", {"warmup_steps": 0, "decay_steps": 4}, {0: 1, 2: 0.5, 4: 0}),
        (
            "one_cycle",  # the peak is at 0.5 * 10 - 1 = 4, the end at 9
            {"total_steps": 10, "pct_start": 0.5, "div_factor": 5, "final_div_factor": 2},
            {0: 0.2, 2: 0.6, 4: 1, 9: 0.1, 20: 0.1},
        ),
        ("one_cycle", {"total_steps": 3, "pct_start": 0.0, "div_factor": 2, "final_div_factor": 1}, {2: 0.5}),
    ],
)
def test_schedule_known_values(name, params, expected):
    for t, rate in expected.items():
        assert ref.SCHEDULES[name](t, 1.0, **params) == pytest.approx(rate, abs=1e-15)


# -- tools ------------------------------------------------------------------------------------------------------------


def test_clipping():
    g, h = np.array([3.0, -4.0]), np.array([[12.0]])
    assert ref.clip_by_value(g, 3.5).tolist() == [3.0, -3.5]
    np.testing.assert_allclose(ref.clip_by_norm(g, 1.0), [0.6, -0.8])
    assert ref.clip_by_norm(g, 5.0).tolist() == g.tolist()
    assert ref.clip_by_norm(np.zeros(2), 1.0).tolist() == [0.0, 0.0]
    small_g, small_h = ref.clip_by_global_norm([g, h], 6.5)  # the global norm is 13
    np.testing.assert_allclose(small_g, g / 2)
    np.testing.assert_allclose(small_h, h / 2)


def test_max_norm_holds_columns():
    W = np.array([[3.0, 0.3, 0.0], [4.0, 0.4, 0.0]])
    np.testing.assert_allclose(ref.max_norm(W, 1.0), [[0.6, 0.3, 0.0], [0.8, 0.4, 0.0]])


def test_ema_starts_at_the_weights():
    average = ref.ema(None, np.array([1.0]), 0.9)
    assert ref.ema(average, np.array([2.0]), 0.9) == pytest.approx(1.1)


def test_mixup():
    X, Y = np.array([[1.0], [3.0]]), np.eye(2)
    mixed_X, mixed_Y = ref.mixup(X, Y, [1, 0], 0.75)
    assert mixed_X.tolist() == [[1.5], [2.5]]
    assert mixed_Y.tolist() == [[0.75, 0.25], [0.25, 0.75]]
    assert ref.mixup(X, Y, [1, 0], [1.0, 0.0])[0].tolist() == [[1.0], [1.0]]


def test_central_difference_of_a_cubic():
    x = np.array([1.0, -2.0])
    np.testing.assert_allclose(ref.central_difference(lambda x: (x**3).sum(), x), 3 * x**2, rtol=1e-8)
    assert x.tolist() == [1.0, -2.0]
