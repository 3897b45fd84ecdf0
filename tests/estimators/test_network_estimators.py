"""NetworkClassifier and NetworkRegressor: any layers, samples of any shape, in scikit-learn's places."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import fastnn
from fastnn import (
    LSTM,
    BatchNormalization,
    Bidirectional,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePooling2D,
    Input,
    MaxPooling2D,
    NetworkClassifier,
    NetworkRegressor,
    Residual,
)

CNN = [Conv2D(8, 3, padding="same", activation="relu"), MaxPooling2D(2), Conv2D(8, 3, activation="relu")]
FAST = {"epochs": 15, "optimizer": fastnn.Adam(0.01), "random_state": 0}


@pytest.fixture(scope="module")
def images(digits):
    X, y = digits
    return X.reshape(-1, 8, 8, 1).astype(np.float32), y


@pytest.fixture(scope="module")
def model(images):
    return NetworkClassifier(CNN, **FAST).fit(images[0][:500], images[1][:500])


@pytest.fixture(scope="module")
def signals():
    X = np.random.default_rng(0).normal(size=(128, 12, 2))
    return X, X[:, -3:, 0].sum(axis=1)


class TestWhatIsBuilt:
    def test_a_cnn_learns_digits(self, model, images):
        X, y = images
        assert model.score(X[500:], y[500:]) > 0.85
        assert model.network_.layers[0] == Input((8, 8, 1))
        assert model.network_.layers[-2:] == (fastnn.Flatten(), Dense(10, "softmax"))

    @pytest.mark.parametrize(
        ("labels", "output"),
        [
            (["a", "b"], Dense(1, "sigmoid")),
            (["a", "b", "c"], Dense(3, "softmax")),
            (np.eye(3, dtype=int), Dense(3, "sigmoid")),
        ],
    )
    def test_the_output_layer_follows_from_y(self, images, labels, output):
        y = np.asarray(labels)[np.arange(60) % len(labels)]
        model = NetworkClassifier([GlobalAveragePooling2D()], epochs=1).fit(images[0][:60], y)
        assert model.network_.layers[-1] == output
        assert model.predict(images[0][:60]).shape == y.shape
        assert set(np.unique(model.predict(images[0][:60]))) <= set(np.unique(y))

    @pytest.mark.parametrize(
        ("loss", "activation"), [("mse", "linear"), ("poisson", "exponential"), (fastnn.losses.Huber(2.0), "linear")]
    )
    def test_a_regressors_output_follows_from_the_loss(self, signals, loss, activation):
        X, y = signals
        model = NetworkRegressor([LSTM(4)], loss=loss, epochs=1, random_state=0).fit(X, y**2)
        assert model.network_.layers[-1] == Dense(1, activation)
        assert model.predict(X).shape == y.shape

    def test_several_numbers_a_sample(self, signals):
        X, y = signals
        model = NetworkRegressor([LSTM(8)], epochs=30, optimizer=fastnn.Adam(0.02), random_state=0)
        Y = np.column_stack([y, -2 * y])
        assert model.fit(X, Y).score(X, Y) > 0.8
        assert model.predict(X).shape == Y.shape

    def test_a_function_of_ours_as_loss(self, signals):
        X, y = signals

        def squared(y, predictions):
            error = predictions - y
            return (error**2).mean(axis=1), 2 * error / error.shape[1]

        own = NetworkRegressor([LSTM(4)], loss=squared, epochs=2, random_state=0).fit(X, y).predict(X)
        known = NetworkRegressor([LSTM(4)], epochs=2, random_state=0).fit(X, y).predict(X)
        np.testing.assert_allclose(own, known, atol=1e-5)

    def test_without_layers_it_is_linear(self, signals):
        X, y = signals
        assert NetworkRegressor(**{**FAST, "epochs": 60}).fit(X, y).score(X, y) > 0.99

    def test_the_fit_is_that_of_a_trainer(self, images):
        X, y = images
        model = NetworkClassifier(CNN, epochs=2, random_state=3, label_smoothing=0.1, metrics=["accuracy"]).fit(X, y)
        seeds = np.random.RandomState(3)
        layers = [Input((8, 8, 1)), *CNN, fastnn.Flatten(), Dense(10, "softmax")]
        network = fastnn.Network(layers, seed=seeds.randint(2**31 - 1))
        loss = fastnn.losses.CategoricalCrossentropy(0.1)
        trainer = fastnn.Trainer(network, loss=loss, metrics=["accuracy"])
        history = trainer.fit(X, y, epochs=2, n_threads=1, seed=seeds.randint(2**31 - 1))
        np.testing.assert_array_equal(model.network_.parameters, network.parameters)
        assert model.history_.history == history.history
        assert model.loss_curve_ == history.history["loss"]


class TestShapesOfX:
    def test_rows_and_images_give_the_same(self, images):
        X, y = images
        rows = NetworkClassifier([Input((8, 8, 1)), *CNN], epochs=1, random_state=0).fit(X.reshape(-1, 64), y)
        of_images = NetworkClassifier(CNN, epochs=1, random_state=0).fit(X, y)
        np.testing.assert_array_equal(rows.predict_proba(X), of_images.predict_proba(X.reshape(-1, 64)))
        assert rows.n_features_in_ == 64

    @pytest.mark.parametrize("change", [np.ndarray.tolist, np.asfortranarray, lambda X: X.astype(np.float64)])
    def test_lists_other_orders_and_dtypes(self, model, images, change):
        X = images[0][:40]
        np.testing.assert_allclose(model.predict_proba(change(X)), model.predict_proba(X), atol=1e-6)

    def test_bytes_are_read_in_place(self, images):
        X, y = images
        pictures = (X * 255).astype(np.uint8)
        seen = []
        model = NetworkClassifier(CNN, epochs=1, random_state=0)
        model._make_samples = lambda X, *rest: seen.append(X) or NetworkClassifier._make_samples(model, X, *rest)
        model.fit(pictures, y)
        assert seen[0].dtype == np.uint8
        assert np.may_share_memory(seen[0], pictures)

    def test_channels_first_is_refused_with_the_way_out(self, images):
        X, y = images
        with pytest.raises(ValueError, match=r"channels come last here: X.transpose\(0, 2, 3, 1\)"):
            NetworkClassifier([Input((8, 8, 1)), *CNN]).fit(X.transpose(0, 3, 1, 2), y)

    def test_another_shape_than_in_fit(self, model, images):
        with pytest.raises(ValueError, match=r"X must have shape \(n, 8, 8, 1\) or \(n, 64\), got \(2, 9, 8, 1\)"):
            model.predict(np.zeros((2, 9, 8, 1)))
        with pytest.raises(ValueError, match="X has 63 features, but NetworkClassifier is expecting 64"):
            model.predict(np.zeros((2, 63)))

    def test_an_input_that_differs_from_x(self, images):
        X, y = images
        with pytest.raises(ValueError, match=r"X must have 81 features as Input\(n_features=\(9, 9, 1\)\) says"):
            NetworkClassifier([Input((9, 9, 1)), *CNN]).fit(X.reshape(-1, 64), y)
        with pytest.raises(ValueError, match=r"begin layers with Input\(\(8, 8, 1\)\) or leave it out"):
            NetworkClassifier([Input(64), Dense(4)]).fit(X, y)

    def test_a_missing_value_in_an_image(self, model, images):
        X, y = images
        X = X.copy()
        X[3, 2, 1, 0] = np.nan
        with pytest.raises(ValueError, match="X contains NaN"):
            NetworkClassifier(CNN).fit(X, y)
        with pytest.raises(ValueError, match="X contains NaN"):
            model.predict(X)

    def test_layers_that_do_not_fit_the_samples(self, images):
        X, y = images
        with pytest.raises(ValueError, match=r"Conv2D takes images of shape \(height, width, channels\)"):
            NetworkClassifier(CNN).fit(X.reshape(-1, 64), y)


class TestParameters:
    def test_an_output_layer_among_the_layers_is_refused(self, images):
        with pytest.raises(ValueError, match=r"layers must end before the output layer.*leave out Dense\(units=10"):
            NetworkClassifier([*CNN, Dense(10, "softmax")]).fit(*images)

    @pytest.mark.parametrize(
        ("layers", "error", "message"),
        [
            ([Dense(3), "relu"], TypeError, r"layers\[1\] must be a fastnn layer such as Dense, got 'relu'"),
            ([Dense(3), Input(4)], ValueError, r"layers must hold at most one Input, the first; layers\[1\]"),
            (Dense(3), ValueError, "The 'layers' parameter of NetworkClassifier must be"),
        ],
    )
    def test_layers_are_checked(self, images, layers, error, message):
        with pytest.raises(error, match=message):
            NetworkClassifier(layers).fit(*images)

    @pytest.mark.parametrize("begins", [[], [Input((8, 8, 1))]])
    def test_errors_count_the_layers_that_were_given(self, images, begins):
        X, y = images
        number = len(begins) + 1
        with pytest.raises(ValueError, match=rf"Conv2D at layers\[{number}\] looks at windows 9 long"):
            NetworkClassifier([*begins, Conv2D(4, 3), Conv2D(4, 9)]).fit(X.reshape(-1, 8, 8, 1), y)
        with pytest.raises(ValueError, match=rf"groups must divide the 4 channels .* layers\[{number}\], got 3"):
            NetworkClassifier([*begins, Conv2D(4, 3), Conv2D(6, 3, groups=3)]).fit(X.reshape(-1, 8, 8, 1), y)

    def test_channels_first_are_refused(self, images):
        X = np.zeros((10, 3, 8, 8), np.float32)
        with pytest.raises(
            ValueError, match=r"they come last here, X\.transpose\(0, 2, 3, 1\); if this is none, begin"
        ):
            NetworkClassifier([Conv2D(4, 3)]).fit(X, images[1][:10])
        layers = [Input((3, 8, 8)), Conv2D(4, 3)]
        assert NetworkClassifier(layers, epochs=1).fit(X, images[1][:10]).network_.plan.input_shape == (3, 8, 8)

    def test_arguments_of_layers_and_optimizer(self):
        layers = [Conv2D(4, 3), Residual([Dense(4), Dropout(0.5)]), Bidirectional(LSTM(8))]
        model = NetworkClassifier(layers)
        model.set_params(
            layers__0__filters=8, layers__1__layers__1__rate=0.1, layers__2__layer__units=3, optimizer__beta_1=0.8,
            epochs=7,
        )  # fmt: skip
        assert model.layers == [Conv2D(8, 3), Residual([Dense(4), Dropout(0.1)]), Bidirectional(LSTM(3))]
        assert model.optimizer == fastnn.Adam(beta_1=0.8)
        assert layers[0] == Conv2D(4, 3)  # the caller's list is as it was
        parameters = model.get_params()
        assert parameters["layers__0__filters"] == 8
        assert parameters["layers__2__layer__units"] == 3
        assert parameters["optimizer__beta_1"] == 0.8
        assert model.get_params(deep=False).keys() < parameters.keys()
        assert model.set_params(layers__0=Dense(2)).layers[0] == Dense(2)
        assert clone(model).get_params() == model.get_params()

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("layers__0__units", "no parameter 'layers__0__units'; within layers__0 there are: 'layers__0__filters'"),
            ("layers__9__rate", "no parameter 'layers__9'; within layers there are: 'layers__0', 'layers__1'"),
            ("optimizer__rate", "no parameter 'optimizer__rate'; within optimizer there are: 'optimizer__learning"),
            ("epoch", "Invalid parameter 'epoch' for estimator NetworkClassifier"),
        ],
    )
    def test_unknown_names(self, name, message):
        with pytest.raises(ValueError, match=message):
            NetworkClassifier(CNN).set_params(**{name: 1})

    def test_an_argument_out_of_range(self):
        model = NetworkClassifier(CNN)
        with pytest.raises(ValueError, match="filters must be an integer >= 1, got 0"):
            model.set_params(layers__0__filters=0)
        assert model.layers == CNN


class TestTraining:
    def test_early_stopping_keeps_the_best_epoch(self, images):
        X, y = images
        model = NetworkClassifier(CNN, early_stopping=True, n_iter_no_change=2, **{**FAST, "epochs": 60}).fit(X, y)
        assert model.n_iter_ < 60
        assert model.best_validation_score_ == max(model.validation_scores_)
        assert "val_loss" in model.history_.history
        given = NetworkClassifier(CNN, early_stopping=True, **{**FAST, "epochs": 3})
        given.fit(X[:500], y[:500], X_val=X[500:], y_val=y[500:])
        assert given.score(X[500:], y[500:]) == max(given.validation_scores_)

    def test_all_epochs_are_done_without(self, model):
        assert model.n_iter_ == len(model.loss_curve_) == 15

    def test_weights_of_samples_and_classes(self, images):
        X, y = images
        is_small = y < 2
        weighted = NetworkClassifier(CNN, **FAST).fit(X, is_small, sample_weight=np.where(is_small, 1.0, 1e-6))
        assert weighted.predict(X).all()
        by_class = NetworkClassifier(CNN, class_weight={True: 1.0, False: 1e-6}, **FAST).fit(X, is_small)
        np.testing.assert_array_equal(weighted.predict(X), by_class.predict(X))

    def test_several_networks(self, images):
        X, y = images
        model = NetworkClassifier(CNN, n_estimators=2, bootstrap=True, **{**FAST, "epochs": 4}).fit(X, y)
        mean = np.mean([member.predict_proba(X) for member in model.estimators_], axis=0)
        np.testing.assert_allclose(model.predict_proba(X), mean, atol=1e-6)
        assert model.history_.history["loss"] == model.estimators_[0].loss_curve_

    def test_going_on(self, images):
        X, y = images
        model = NetworkClassifier(CNN, warm_start=True, **{**FAST, "epochs": 2}).fit(X, y)
        first = model.loss_curve_[0]
        model.fit(X, y)
        assert len(model.loss_curve_) == 4
        assert model.loss_curve_[2] < first
        with pytest.raises(ValueError, match=r"layers must stay .* where warm_start=True goes on"):
            model.set_params(layers__0__filters=4).fit(X, y)
        with pytest.raises(ValueError, match="dtype must stay 'float32'"):
            model.set_params(layers=CNN, dtype="float64").fit(X, y)

    def test_partial_fit_is_one_epoch(self, images):
        X, y = images
        model = NetworkClassifier(CNN, random_state=0)
        for _ in range(3):
            model.partial_fit(X, y, classes=np.arange(10))
        assert len(model.loss_curve_) == 3
        assert model.loss_curve_[2] < model.loss_curve_[0]

    def test_mixup_and_metrics(self, images):
        model = NetworkClassifier(CNN, mixup=0.3, metrics=["accuracy"], epochs=2, random_state=0).fit(*images)
        assert len(model.history_.history["accuracy"]) == 2

    def test_progress_is_the_trainers(self, images, capsys):
        NetworkClassifier(CNN, epochs=2, verbose=2).fit(*images)
        assert capsys.readouterr().out.count("loss") == 2

    def test_a_callback(self, images):
        calls = []

        class Note(fastnn.Callback):
            def on_epoch_end(self, epoch, logs):
                calls.append(logs["loss"])

        NetworkClassifier(CNN, epochs=2, callbacks=Note()).fit(*images)
        assert len(calls) == 2


class TestPlacesOfScikitLearn:
    def test_a_pipeline_of_rows(self, digits):
        X, y = digits
        layers = [Input((8, 8, 1)), *CNN]
        pipeline = make_pipeline(StandardScaler(), NetworkClassifier(layers, **FAST))
        assert cross_val_score(pipeline, X, y, cv=2).min() > 0.65

    def test_a_search_over_arguments_of_layers(self, images):
        X, y = images
        pipeline = make_pipeline(FunctionTransformer(), NetworkClassifier(CNN, **{**FAST, "epochs": 5}))
        grid = {"networkclassifier__layers__0__filters": [1, 8], "networkclassifier__optimizer__learning_rate": [0.01]}
        search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
        assert search.best_params_["networkclassifier__layers__0__filters"] == 8
        assert search.predict(X).shape == y.shape

    def test_a_regressor_of_sequences(self, signals):
        X, y = signals
        model = NetworkRegressor([LSTM(8)], **{**FAST, "epochs": 80})
        assert cross_val_score(model, X, y, cv=2).min() > 0.5

    def test_clones_repr_and_pickles(self, model, images):
        X = images[0][:20]
        assert "Conv2D(filters=8" in repr(model)
        assert not hasattr(clone(model), "network_")
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))

    def test_what_is_not_fitted(self, images):
        model = NetworkClassifier(CNN)
        with pytest.raises(AttributeError, match="not fitted yet"):
            model.history_  # noqa: B018
        with pytest.raises(ValueError, match="not fitted yet"):
            model.predict(images[0])


class TestFiles:
    @pytest.mark.parametrize("n_estimators", [1, 2])
    def test_a_file_gives_it_back(self, images, tmp_path, n_estimators):
        X, y = images
        layers = [Conv2D(4, 3, kernel_regularizer=0.01), BatchNormalization(), Residual([Dense(4)])]
        model = NetworkClassifier(
            layers, epochs=2, metrics=["accuracy"], optimizer=fastnn.AdamW(0.01), n_estimators=n_estimators,
            random_state=0,
        ).fit(X, y.astype(str))  # fmt: skip
        model.save(tmp_path / "model")
        loaded = NetworkClassifier.load(tmp_path / "model")
        assert loaded.get_params() == model.get_params()
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
        assert loaded.predict(X[:3]).tolist() == model.predict(X[:3]).tolist()
        for one in (model, loaded):
            one.partial_fit(X, y.astype(str))
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))

    def test_a_regressor(self, signals, tmp_path):
        X, y = signals
        model = NetworkRegressor([LSTM(4)], loss=fastnn.losses.Huber(2.0), epochs=1).fit(X, y)
        model.save(tmp_path / "model")
        np.testing.assert_array_equal(NetworkRegressor.load(tmp_path / "model").predict(X), model.predict(X))
        with pytest.raises(fastnn.FileFormatError, match="of class 'NetworkRegressor', not NetworkClassifier"):
            NetworkClassifier.load(tmp_path / "model")
        assert fastnn.Network.load(tmp_path / "model").layers == model.network_.layers


class TestSequencesOfDifferentLengths:
    """The class is the sign of the last step that counts; what stands behind it says the contrary."""

    LENGTHS = np.random.default_rng(1).integers(2, 7, 160)
    X = np.random.default_rng(2).normal(size=(160, 6, 2)).astype(np.float32)
    LAST = X[np.arange(160), LENGTHS - 1, 0]
    X[np.arange(6) >= LENGTHS[:, np.newaxis]] = -7.0 * np.sign(LAST).repeat(6 - LENGTHS)[:, np.newaxis]
    Y = np.where(LAST > 0, "up", "down")
    RAGGED = [one[:n] for one, n in zip(X, LENGTHS, strict=True)]  # noqa: RUF012
    OPTIONS = {"epochs": 20, "optimizer": fastnn.Adam(0.02), "random_state": 0}  # noqa: RUF012

    def test_lengths_and_lists_of_arrays_are_the_same(self):
        X, y, lengths = self.X, self.Y, self.LENGTHS
        padded = NetworkClassifier([LSTM(8)], **self.OPTIONS).fit(X, y, lengths=lengths)
        ragged = NetworkClassifier([LSTM(8)], **self.OPTIONS).fit(self.RAGGED, y)
        np.testing.assert_array_equal(padded.network_.parameters, ragged.network_.parameters)
        np.testing.assert_array_equal(padded.predict_proba(X, lengths), ragged.predict_proba(self.RAGGED))
        assert (padded.predict(X, lengths=lengths) == y).mean() == ragged.score(self.RAGGED, y) > 0.9
        assert padded.score(X, y) < 0.9  # with all steps counted
        shorter = ragged.predict(self.RAGGED[:1])  # alone, and not as long as those of training
        assert shorter[0] == ragged.predict(self.RAGGED)[0]

    @pytest.mark.parametrize("scoring", [None, "accuracy"])
    def test_early_stopping_holds_out_sequences_with_their_lengths(self, scoring):
        model = NetworkClassifier([LSTM(8)], early_stopping=True, scoring=scoring, **self.OPTIONS)
        model.fit(self.RAGGED, self.Y)
        assert model.best_validation_score_ > 0.8
        given = NetworkClassifier([LSTM(8)], early_stopping=True, scoring=scoring, **self.OPTIONS)
        given.fit(self.RAGGED, self.Y, X_val=self.X[:40], y_val=self.Y[:40], lengths_val=self.LENGTHS[:40])
        assert given.best_validation_score_ > 0.8

    def test_members_regression_and_partial_fit(self):
        y = self.LAST.astype(float)
        model = NetworkRegressor([LSTM(8)], n_estimators=2, bootstrap=True, **self.OPTIONS).fit(self.RAGGED, y)
        assert model.score(self.RAGGED, y) > 0.7
        np.testing.assert_array_equal(model.predict(self.X, self.LENGTHS), model.predict(self.RAGGED))
        parts = [NetworkRegressor([LSTM(8)], **self.OPTIONS) for _ in range(2)]
        for _ in range(2):
            parts[0].partial_fit(self.X, y, lengths=self.LENGTHS)
            parts[1].partial_fit(self.RAGGED, y)
        np.testing.assert_array_equal(parts[0].network_.parameters, parts[1].network_.parameters)

    def test_words_as_lists_of_numbers_and_cross_validation(self):
        words = [(10 * (1 + np.abs(one[:, 0]))).astype(int) % 20 for one in self.RAGGED]
        y = np.array([(one == 12).any() for one in words])
        layers = [Input(6), fastnn.Embedding(20, 4), fastnn.GRU(8)]
        model = NetworkClassifier(layers, **self.OPTIONS)
        assert cross_val_score(model, words, y, cv=2).shape == (2,)
        assert model.fit([one.tolist() for one in words], y).score(words, y) > 0.8

    def test_what_makes_no_sense_is_refused(self):
        model = NetworkClassifier([LSTM(4)], epochs=1, random_state=0)
        for arguments, message in (
            ((self.X, self.Y, self.LENGTHS[:3]), r"lengths must have shape \(160,\), one length a sample, got \(3,\)"),
            ((self.X, self.Y, self.LENGTHS + 2), "lengths must hold integers from 1 to 6"),
            ((self.RAGGED, self.Y, self.LENGTHS), "lengths must be None where X is a list of sequences"),
        ):
            with pytest.raises(ValueError, match=message):
                model.fit(arguments[0], arguments[1], lengths=arguments[2])
        with pytest.raises(ValueError, match=r"lengths must be None because .*side by side"):
            NetworkClassifier([Dense(3)], epochs=1).fit(self.X, self.Y, lengths=self.LENGTHS)
        model.fit(self.RAGGED, self.Y)
        with pytest.raises(ValueError, match=r"X\[0\] must have 1 to 6 steps \(the Input's\), got a sequence of 9"):
            model.predict([np.zeros((9, 2))])
