"""What users of Keras and PyTorch type works, where it means the same, or the error says the right word."""

import numpy as np
import pytest

import fastnn
from fastnn import callbacks, losses, metrics
from fastnn.callbacks import EarlyStopping, LambdaCallback, ModelCheckpoint

X = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
Y = (X.sum(axis=1) > 0).astype(int)
KEYWORD = "got an unexpected keyword argument"


def make_trainer(names=(), **options):
    network = fastnn.Network.mlp(3, [4], 1, activation="tanh", output="sigmoid", seed=0)
    return fastnn.Trainer(network, loss="binary_crossentropy", optimizer="sgd", metrics=names, **options)


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("mean_squared_error", "mse"),
        ("MeanAbsoluteError", "mae"),
        ("mean_absolute_percentage_error", "mape"),
        ("MSLE", "msle"),
        ("binary_crossentropy", "log_loss"),
        ("sparse_categorical_crossentropy", "categorical_crossentropy"),
    ],
)
def test_keras_s_names_of_losses(word, name):
    assert losses.get(word).name == name


@pytest.mark.parametrize(
    ("word", "suggestion"),
    [
        ("cross_entropy", "categorical_crossentropy"),
        ("CrossEntropyLoss", "categorical_crossentropy"),
        ("BCEWithLogitsLoss", "log_loss"),
        ("binary_cross_entropy", "log_loss"),
        ("MSELoss", "mse"),
        ("l1", "mae"),
        ("smooth_l1_loss", "huber"),
        ("poison", "poisson"),
        ("mean_squared_log_error", "msle"),
        ("log_cosh", None),
    ],
)
def test_other_words_for_losses_get_the_right_suggestion(word, suggestion):
    hint = "$" if suggestion is None else f"; did you mean '{suggestion}'?"
    with pytest.raises(ValueError, match=f"got '{word}'{hint}"):
        losses.get(word)


def test_keras_s_names_of_metrics_are_names_in_the_logs(tmp_path):
    names = ["acc", "AUC", "mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error", "MSLE"]
    trainer = make_trainer(names)
    history = trainer.fit(X, Y, validation_data=(X, Y), callbacks=[EarlyStopping("val_acc")]).history
    same = make_trainer(["accuracy", "roc_auc", "mse", "mae", "mape", "msle"])
    same.fit(X, Y)
    assert list(history)[:5] == ["loss", "acc", "auc", "mean_squared_error", "mean_absolute_error"]
    assert list(trainer.evaluate(X, Y).values()) == list(same.evaluate(X, Y).values())
    trainer.save(tmp_path / "file")
    assert fastnn.Trainer.load(tmp_path / "file").metrics == trainer.metrics


@pytest.mark.parametrize(
    ("word", "suggestion"), [("Precision", "precision"), ("f1_score", "f1"), ("acuracy", "accuracy")]
)
def test_other_words_for_metrics_get_the_right_suggestion(word, suggestion):
    with pytest.raises(ValueError, match=f"got '{word}'; did you mean '{suggestion}'?"):
        metrics.check_metrics([word])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fastnn.Adam(lr=0.1), rf"Adam\(\) {KEYWORD} 'lr'; did you mean 'learning_rate'"),
        (lambda: fastnn.Adam(weight_decay=0.1), rf"{KEYWORD} 'weight_decay'; did you mean AdamW\(weight_decay"),
        (lambda: fastnn.Adam(betas=(0.9, 0.99)), f"{KEYWORD} 'betas'; did you mean 'beta_1' and 'beta_2'"),
        (lambda: fastnn.SGD(0.1, momentun=0.9), f"{KEYWORD} 'momentun'; did you mean 'momentum'"),
        (lambda: fastnn.Dense(3, bias=False), f"{KEYWORD} 'bias'; did you mean 'use_bias'"),
        (lambda: fastnn.Dense(out_features=3), f"{KEYWORD} 'out_features'; did you mean 'units'"),
        (lambda: fastnn.Dropout(p=0.1), f"{KEYWORD} 'p'; did you mean 'rate'"),
        (lambda: ModelCheckpoint("x", save_freq=3), f"{KEYWORD} 'save_freq'; did you mean 'every'"),
        (lambda: EarlyStopping(verbose=1), rf"{KEYWORD} 'verbose'; did you mean fit\(verbose=...\)"),
        (lambda: EarlyStopping(patient=3), f"{KEYWORD} 'patient'; did you mean 'patience'"),
        (lambda: make_trainer().fit(X, Y, n_epochs=3), rf"Trainer.fit\(\) {KEYWORD} 'n_epochs'; did you mean 'epochs'"),
        (lambda: make_trainer().fit(X, Y, max_iter=3), "did you mean 'epochs'"),
        (lambda: make_trainer().fit(X, Y, others=3), f"{KEYWORD} 'others'$"),
        (lambda: make_trainer().fit(X, Y, val_data=(X, Y)), "did you mean 'validation_data'"),
        (lambda: make_trainer().evaluate(X, Y, sample_weights=Y), "did you mean 'sample_weight'"),
        (lambda: fastnn.MLPClassifier(epochs=3), rf"MLPClassifier\(\) {KEYWORD} 'epochs'; did you mean 'max_iter'"),
        (lambda: fastnn.MLPClassifier(lr=0.1), "did you mean 'learning_rate_init'"),
        (lambda: fastnn.MLPRegressor(hidden=[3], seed=0), "did you mean 'hidden_layer_sizes'"),
        (lambda: fastnn.MLPRegressor(optimizer="adam"), "did you mean 'solver'"),
        (lambda: fastnn.MLPRegressor(weight_decay=0.1), "did you mean 'alpha'"),
        (lambda: fastnn.NetworkClassifier([], max_iter=3), "did you mean 'epochs'"),
        (lambda: fastnn.NetworkClassifier([], seed=3), "did you mean 'random_state'"),
        (lambda: fastnn.NetworkRegressor([], lr=0.1), r"that of the optimizer, as in Adam\(learning_rate="),
        (lambda: fastnn.NetworkRegressor([], nothing_like_it=3), f"{KEYWORD} 'nothing_like_it'$"),
        (lambda: fastnn.TabularClassifier(n_jobs=2), "did you mean 'n_threads'"),
        (lambda: fastnn.TabularRegressor(seed=2), "did you mean 'random_state'"),
        (
            lambda: make_trainer(lr=0.1),
            r"Trainer\(\) .*did you mean that of the optimizer, as in Adam\(learning_rate=",
        ),
        (lambda: make_trainer(random_state=0), f"{KEYWORD} 'random_state'$"),
        (
            lambda: fastnn.Network.mlp(3, [4], 1, hidden_activation="relu"),
            r"Network.mlp\(\) .*did you mean 'activation'",
        ),
        (lambda: fastnn.Network([fastnn.Input(1)], random_state=0), "did you mean 'seed'"),
        (lambda: losses.CategoricalCrossentropy(from_logit=True), "did you mean 'from_logits'"),
        (lambda: ModelCheckpoint(), "exactly one of path and filepath"),
        (lambda: ModelCheckpoint("x", filepath="y"), "exactly one of path and filepath"),
    ],
)
def test_keywords_of_others(make, message):
    with pytest.raises(TypeError, match=message):
        make()


# --- fit ------------------------------------------------------------------------------------------------------------


def test_initial_epoch_numbers_epochs_as_keras_does():
    trainer = make_trainer()
    seen = []
    hook = LambdaCallback(on_epoch_begin=seen.append)
    assert trainer.fit(X, Y, epochs=10, initial_epoch=7, callbacks=[hook]).epoch == [7, 8, 9] == seen
    assert trainer.fit(X, Y, epochs=2).epoch == [7, 8, 9, 10, 11] and trainer.epochs_done == 12
    with pytest.raises(ValueError, match=r"initial_epoch must be less than epochs \(3\)"):
        trainer.fit(X, Y, epochs=3, initial_epoch=3)


def test_initial_epoch_continues_the_bits_of_an_uncut_run():
    whole, cut = make_trainer(), make_trainer()
    whole.fit(X, Y, epochs=4)
    cut.fit(X, Y, epochs=2)
    cut.fit(X, Y, epochs=4, initial_epoch=2)
    np.testing.assert_array_equal(whole.network.parameters, cut.network.parameters)


def test_validation_freq_validates_every_nth_epoch(tmp_path):
    trainer = make_trainer()
    log = tmp_path / "log.csv"
    hooks = [
        EarlyStopping("val_loss", patience=50), ModelCheckpoint(tmp_path / "best", save_best_only=True),
        ModelCheckpoint(tmp_path / "{epoch}-{val_loss:.1f}"), callbacks.CSVLogger(log),
        callbacks.ReduceLROnPlateau("val_loss"),
    ]  # fmt: skip
    history = trainer.fit(X, Y, epochs=5, validation_data=[X, Y], validation_freq=2, callbacks=hooks).history
    assert np.isnan(history["val_loss"]).tolist() == [True, False, True, False, True]
    assert hooks[0].best_epoch in (1, 3) and (tmp_path / "1-nan").exists()
    assert [line.split(",")[2] == "" for line in log.read_text().splitlines()[1:]] == [True, False, True, False, True]
    with pytest.raises(ValueError, match="validation_freq must be an integer >= 1"):
        trainer.fit(X, Y, validation_freq=0)


def test_train_on_batch_is_a_step_and_no_epoch():
    one, other = make_trainer(["mae"]), make_trainer(["mae"])
    for _ in range(3):
        logs = one.train_on_batch(X, Y, class_weight={1: 2.0})
        history = other.fit(X, Y, batch_size=None, class_weight={1: 2.0}).history
        assert logs == {name: column[-1] for name, column in history.items()}
    np.testing.assert_array_equal(one.network.parameters, other.network.parameters)
    assert one.step == 3 and one.epochs_done == 0 and one.history.epoch == []


def test_trainer_predict_and_verbose(capsys):
    trainer = make_trainer(["acc"])
    np.testing.assert_array_equal(trainer.predict(X), trainer.network.predict(X, verbose=0))
    trainer.evaluate(X, Y)
    assert capsys.readouterr().out == ""
    trainer.evaluate(X, Y, verbose=1)
    trainer.predict(X, verbose=2)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("loss: ") and "acc: " in first and second.startswith("64 rows - ")
    for batch_size in (1, 7, None):
        np.testing.assert_array_equal(trainer.predict(X, batch_size=batch_size), trainer.network.predict(X))
        assert trainer.evaluate(X, Y, batch_size=batch_size) == trainer.evaluate(X, Y)
    assert capsys.readouterr().out == ""
    for method in (trainer.predict, trainer.network.predict, lambda X, **options: trainer.evaluate(X, Y, **options)):
        with pytest.raises(ValueError, match="batch_size must be an integer >= 1, got 0"):
            method(X, batch_size=0)
    for method in (lambda: trainer.evaluate(X, Y, verbose=3), lambda: trainer.predict(X, verbose=-1)):
        with pytest.raises(ValueError, match="verbose must be an integer from 0 to 2"):
            method()


def test_a_loader_of_lists_is_a_stream():
    def blocks(kind):
        return [kind((X[i : i + 16], Y[i : i + 16])) for i in range(0, 64, 16)]

    tuples, lists = make_trainer(), make_trainer()
    tuples.fit(blocks(tuple), epochs=2)
    lists.fit(blocks(list), epochs=2)
    np.testing.assert_array_equal(tuples.network.parameters, lists.network.parameters)
    with pytest.raises(TypeError, match="X must give blocks that are tuples"):
        lists.fit([[1.0, 2.0], [3.0, 4.0]])  # rows without y


def test_numbers_that_a_callback_adds_to_the_logs_reach_history_and_csv(tmp_path):
    def add(epoch, logs):
        logs["score"] = 10 * epoch
        logs["loss"] = np.float32(epoch + 0.5)
        if epoch:
            logs["late"] = 1.0

    trainer, log = make_trainer(), tmp_path / "log.csv"
    history = trainer.fit(X, Y, callbacks=[callbacks.CSVLogger(log), LambdaCallback(on_epoch_end=add)])
    assert history.history == {"loss": [0.5], "score": [0.0]}
    assert [line.split(",")[:3] for line in log.read_text().splitlines()] == [
        ["epoch", "loss", "score"],
        ["0", "0.5", "0"],
    ]
    with pytest.warns(UserWarning, match="CSVLogger leaves out 'late'"):
        trainer.fit(X, Y, callbacks=[callbacks.CSVLogger(log, append=True), LambdaCallback(on_epoch_end=add)])
    assert history.history["score"] == [0.0, 10.0] and history.history["late"][1] == 1.0
    assert len(log.read_text().splitlines()) == 3
    assert make_trainer().fit(X, Y, epochs=2).history.keys() == {"loss"}


@pytest.mark.parametrize(
    ("name", "value"), [("note", "text"), ("loss", None), ("grid", [1.0, 2.0]), (3, 4.0), ("loss", 10**400)]
)
def test_what_is_no_number_in_the_logs_ends_training(name, value):
    trainer = make_trainer()
    hook = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update({name: value}))
    with pytest.raises(TypeError, match=f"logs must hold numbers by name, but a callback put {name!r}: .* in"):
        trainer.fit(X, Y, epochs=3, callbacks=[hook])
    assert trainer.epochs_done == 1 and trainer.history.history.keys() == {"loss"}
    trainer.fit(X, Y)


# --- layers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("MaxPool2D", r"MaxPooling2D\?"),
        ("DepthwiseConv2D", r"Conv2D\(filters, kernel_size, groups=channels\)\?"),
        ("Sequential", r"Network\(\[Input"),
        ("Conv2d", r"Conv2D\?"),
        ("BatchNorm2d", r"BatchNormalization\?"),
    ],
)
def test_names_of_layers_elsewhere(name, meant):
    with pytest.raises(AttributeError, match=f"module 'fastnn' has no attribute '{name}'; did you mean {meant}"):
        getattr(fastnn, name)


def test_a_name_that_is_near_nothing():
    with pytest.raises(AttributeError, match=r"no attribute 'nothing_like_it'$"):
        fastnn.nothing_like_it  # noqa: B018


@pytest.mark.parametrize(
    ("make", "meant"),
    [
        (lambda: fastnn.Input(shape=(28, 28, 1)), r"Input\(\(28, 28, 1\)\), the shape without a name"),
        (lambda: fastnn.Conv2D(4, 3, dilation_rate=2), "'dilation'"),
        (lambda: fastnn.Conv2D(4, 3, stride=2), "'strides'"),
        (lambda: fastnn.Conv2D(4, 3, data_format="channels_first"), "channels last, which is all there is"),
        (lambda: fastnn.Conv2D(4, 3, input_shape=(8, 8, 1)), r"Input\(shape\) as the first layer"),
        (lambda: fastnn.Conv2D(4, 3, bias_initializer="zeros"), "'use_bias', since a bias begins at 0"),
        (lambda: fastnn.Conv2D(4, 3, name="first"), "no name, since layers go by their places"),
    ],
)
def test_keywords_of_layers_elsewhere(make, meant):
    with pytest.raises(TypeError, match=f"{KEYWORD} .*did you mean {meant}"):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: fastnn.Input(8, 8, 1),
            r"Input\(\) takes n_features .*, got \(8, 8, 1\); did you mean Input\(\(8, 8, 1\)\)",
        ),
        (
            lambda: fastnn.Conv2D(32, 3, 2),
            r"Conv2D\(\) takes filters and kernel_size .*; the others have names: strides, ",
        ),
        (
            lambda: fastnn.Conv2D(32, 3)(fastnn.Input((8, 8, 1))),
            r"Conv2D is not called: list the layers, as in Network",
        ),
        (
            lambda: fastnn.Conv2D(4, 3, activation=np.tanh),
            r"a name such as 'relu', or activations\.Compiled\(function, slope",
        ),
        (
            lambda: fastnn.Conv2D(4, 3, kernel_regularizer="l2"),
            r"kernel_regularizer must be L1, L2 or .* fastnn\.L2\(0\.01\)",
        ),
    ],
)
def test_values_of_layers_elsewhere(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_swish_is_silu():
    with pytest.raises(ValueError, match=r"got 'swish'; did you mean 'silu'\?"):
        fastnn.Dense(4, "swish")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("compile", "Trainer"), ("fit", r"Trainer\(network, loss"), ("add", r"Network\(\[\*network\.layers")],
)
def test_methods_of_models_elsewhere(name, meant):
    with pytest.raises(AttributeError, match=f"'Network' object has no attribute '{name}'; did you mean {meant}"):
        getattr(make_trainer().network, name)
    assert not hasattr(make_trainer().network, "_nothing")


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([fastnn.Conv2D(4, 3)], r"layers must start with .* or Input\(\(height, width, channels\)\) for images"),
        (
            [fastnn.Input((8, 8)), fastnn.Conv2D(4, 3)],
            r"start with Input\(\(8, 8, 1\)\) and give X\[\.\.\., numpy\.newaxis\]",
        ),
        ([fastnn.Input(64), fastnn.Conv2D(4, 3)], r"start with Input\(\(height, width, channels\)\) or put a Reshape"),
    ],
)
def test_images_without_their_axes(layers, message):
    with pytest.raises(ValueError, match=message):
        fastnn.Network(layers)
