"""The estimators for tables: any kind of frame, the same bits for the same seed, files, and a choice that helps."""

import _thread
import pickle
import time

import joblib
import numpy as np
import pytest

import fastnn
from support import rng

polars = pytest.importorskip("polars", reason="polars is missing: it comes with the extra 'tables'")
pandas = pytest.importorskip("pandas")

from fastnn import TabularClassifier, TabularRegressor  # noqa: E402  (polars first)
from fastnn.tabular import TableModel, judging, recipes  # noqa: E402

N = 240


def shop(n=N, seed=0):
    """Purchases that follow from age and city; a row number, an identifier, and values that are missing."""
    r = rng(seed)
    age, city = r.integers(18, 80, n).astype(float), r.choice(["Oslo", "Rome", "Paris"], n)
    frame = polars.DataFrame(
        {
            "Unnamed: 0": np.arange(n), "age": age, "income": r.normal(50, 10, n), "city": city,
            "day": polars.Series(np.datetime64("2024-01-01") + r.integers(0, 300, n)),
            "flag": r.random(n) < 0.5, "user": [f"u{i}" for i in range(n)],
        }
    )  # fmt: skip
    frame = frame.with_columns(income=polars.when(polars.int_range(n) % 9 == 0).then(None).otherwise("income"))
    return frame, np.where((age > 45) & (city != "Rome"), "yes", "no")


@pytest.fixture(scope="module")
def fitted():
    X, y = shop()
    return TabularClassifier(random_state=0, n_threads=2).fit(X, y)


def test_columns_are_typed_and_say_nothing_of_rows(fitted):
    assert fitted.columns_ == {
        "age": "quantile", "income": "quantile", "city": "one-hot", "day": "date", "flag": "number",
        "Unnamed: 0": "left out: a saved row number", "user": "left out: a different text in every row",
    }  # fmt: skip
    X, y = shop(seed=1)
    assert fitted.score(X, y) > 0.9
    assert fitted.predict(X[:3]).dtype.kind == "U"
    np.testing.assert_allclose(fitted.predict_proba(X).sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "advice"),
    [("columns_", "set categorical"), ("model_", "a TableModel of your own"), ("recipe_", "as recipe")],
)
def test_what_fit_learns_is_not_assigned(fitted, name, advice):
    with pytest.raises(AttributeError, match=rf"TabularClassifier\.{name} cannot be assigned: .*{advice}"):
        setattr(fitted, name, None)
    again = pickle.loads(pickle.dumps(fitted))
    before = getattr(again, name)
    again.set_params(preset="fast").fit(*shop(40))  # which assigns it anew
    assert getattr(again, name) is not before


def test_many_categories_have_a_learned_vector_each(tmp_path):
    effect, codes = rng(1).normal(size=230), rng(2).integers(0, 230, 1800)
    x = rng(3).normal(size=1800)
    X, y = polars.DataFrame({"x": x, "shop": [f"s{i}" for i in codes]}), effect[codes] + 0.3 * x
    recipe = recipes.Recipe("small", encodes=False, hidden=(32,), epochs=60)
    model = TabularRegressor(recipe=recipe, n_estimators=1, random_state=0, n_threads=1).fit(X[:1500], y[:1500])
    assert model.columns_ == {"x": "quantile", "shop": "category"}
    n_seen = len(np.unique(codes[:1500]))
    assert n_seen > 200
    # Its place among the features that the recipe sees, which are without the encoding.
    assert model.model_.network.layers[1] == fastnn.CategoryEmbedding({1: n_seen}, recipes.CATEGORY_UNITS)
    assert model.score(X[1500:], y[1500:]) > 0.9  # by rank 0.1
    assert model.permutation_importance_[1] > model.permutation_importance_[0] > 0
    model.save(tmp_path / "model.safetensors")
    new = polars.DataFrame({"x": [0.1, 0.1, 0.1], "shop": ["s3", "never seen", None]})
    loaded = TabularRegressor.load(tmp_path / "model.safetensors").predict(new)
    np.testing.assert_array_equal(loaded, model.predict(new))
    assert loaded[1] == loaded[2] != loaded[0]


def test_the_same_seed_gives_the_same_bits(fitted):
    X, y = shop()
    again = TabularClassifier(random_state=0, n_threads=2).fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(X))
    other = TabularClassifier(random_state=1, n_threads=2).fit(X, y)
    assert (other.predict_proba(X) != fitted.predict_proba(X)).any()


def test_pandas_polars_pyarrow_and_arrays_are_the_same(fitted):
    X, y = shop()
    probabilities = fitted.predict_proba(X)
    as_pandas = pandas.DataFrame({name: X[name].to_list() for name in X.columns})
    as_pandas["city"] = as_pandas["city"].astype("category")
    as_pandas["day"] = pandas.to_datetime(as_pandas["day"])
    frames = [as_pandas, as_pandas.assign(income=as_pandas["income"].astype("Float64"))]
    if pytest.importorskip("pyarrow"):
        frames.append(X.to_arrow())
    for frame in frames:
        np.testing.assert_array_equal(fitted.predict_proba(frame), probabilities)
    learnt = TabularClassifier(preset="fast", random_state=0, n_threads=1).fit(as_pandas, pandas.Series(y))
    same = TabularClassifier(preset="fast", random_state=0, n_threads=1).fit(X, y)
    np.testing.assert_array_equal(learnt.predict_proba(X), same.predict_proba(X))


def test_what_is_no_table_is_refused():
    clf = TabularClassifier(preset="fast")
    for X, error in (
        ([1, 2], ValueError), (np.ones((2, 2), complex), ValueError), (np.ones((0, 2)), ValueError),
        (np.array([[{}], [{}]]), TypeError), ([["a", [1]], ["b", [2]]], (TypeError, ValueError)),
    ):  # fmt: skip
        with pytest.raises(error):
            clf.fit(X, [0, 1])
    with pytest.raises(ValueError, match="X must have columns of different names, got a, a"):
        clf.fit(pandas.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]), [0, 1])


@pytest.mark.parametrize(
    "parameters, error, message",
    [
        ({"preset": "bst"}, ValueError, "preset must be one of.*did you mean 'best'"),
        ({"n_estimators": 0}, ValueError, "n_estimators must be an integer >= 1, got 0"),
        ({"time_limit": 0}, ValueError, "time_limit must be a number"),
        ({"categorical": "city"}, TypeError, "categorical must be a sequence of texts, got 'city'"),
        ({"drop": ["citty"]}, ValueError, "there is no column 'citty' in X"),
    ],
)
def test_wrong_parameters_are_told(parameters, error, message):
    with pytest.raises(error, match=message):
        TabularClassifier(**parameters).fit(*shop(40))


def test_a_saved_estimator_predicts_the_same(fitted, tmp_path):
    path = tmp_path / "shop.safetensors"
    fitted.save(path)
    X, _ = shop(seed=2)
    loaded = TabularClassifier.load(path)
    np.testing.assert_array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert loaded.predict(X).tolist() == fitted.predict(X).tolist()
    assert loaded.get_params() == fitted.get_params()
    assert loaded.columns_ == fitted.columns_ and loaded.recipe_losses_ == fitted.recipe_losses_
    assert loaded.loss_curve_ == fitted.loss_curve_ and loaded.loss_curve_[-1] < loaded.loss_curve_[0]
    np.testing.assert_array_equal(loaded.permutation_importance_, fitted.permutation_importance_)
    assert len(TableModel.load(path).predict(X)["prediction"]) == N
    with pytest.raises(fastnn.FileFormatError, match="it holds no TabularRegressor"):
        TabularRegressor.load(path)
    fitted.model_.save(path)
    with pytest.raises(fastnn.FileFormatError, match="it holds no TabularClassifier"):
        TabularClassifier.load(path)


def test_joblib_s_hash_stays_after_pickling(fitted):
    copied = pickle.loads(pickle.dumps(fitted))
    assert joblib.hash(copied) == joblib.hash(fitted)
    X, _ = shop(seed=2)
    np.testing.assert_array_equal(copied.predict_proba(X), fitted.predict_proba(X))


@pytest.mark.parametrize("labels", [[3, 7], [1.0, 2.0], [True, False], ["a", "b"]])
def test_labels_of_any_kind_come_back(labels, tmp_path):
    X, y = shop(60)
    y = np.array(labels)[(y == "yes").astype(int)]
    clf = TabularClassifier(preset="fast", n_threads=1, random_state=0).fit(X, y)
    assert clf.predict(X).dtype == y.dtype and set(clf.predict(X)) <= set(labels)
    clf.save(tmp_path / "m")
    assert TabularClassifier.load(tmp_path / "m").predict(X).tolist() == clf.predict(X).tolist()


def test_a_regression_keeps_its_scale_and_its_logarithm_where_that_helps(tmp_path):
    r = rng(3)
    X = polars.DataFrame({"a": r.normal(size=N), "b": r.normal(size=N)})
    y = np.exp(2 * X["a"].to_numpy() + 0.1 * r.normal(size=N)) + 100
    reg = TabularRegressor(random_state=0, n_threads=2).fit(X, y - 100)
    assert any("logarithm" in name for name in reg.recipe_losses_)
    assert reg.score(X, y - 100) > 0.8
    reg.save(tmp_path / "m")
    np.testing.assert_array_equal(TabularRegressor.load(tmp_path / "m").predict(X), reg.predict(X))


def test_an_ensemble_of_the_best_network_is_compared_with_it(fitted):
    names = set(fitted.recipe_losses_)
    assert sum(name.endswith(" ensemble") for name in names) == 1
    assert any(name + " ensemble" in names for name in names)
    best = min(fitted.recipe_losses_, key=fitted.recipe_losses_.__getitem__)
    assert (
        fitted.recipe_.name == best or fitted.recipe_losses_[fitted.recipe_.name] < 1.01 * fitted.recipe_losses_[best]
    )


@pytest.mark.parametrize("task", ["classes", "numbers"])
def test_members_learn_for_themselves_and_their_mean_predicts(tmp_path, task):
    X, y = shop()
    recipe = fastnn.tabular.Recipe("own", encodes=False, hidden=(32,), members=3, epochs=60)
    cls = TabularClassifier if task == "classes" else TabularRegressor
    targets = y if task == "classes" else X["age"].to_numpy() * 2.0 + 1.0
    estimator = cls(recipe=recipe, n_estimators=1, random_state=0, n_threads=1).fit(X, targets)
    assert estimator.score(X, targets) > 0.8
    layer = estimator.model_.network.layers[-1]
    assert isinstance(layer, fastnn.Ensemble) and layer.k == 3 and layer.average
    estimator.save(tmp_path / "m")
    loaded = cls.load(tmp_path / "m")
    assert loaded.recipe_ == recipe
    np.testing.assert_array_equal(loaded.predict(X), estimator.predict(X))


def test_members_have_the_targets_of_all():
    recipe = fastnn.tabular.Recipe("own", members=2)
    np.testing.assert_array_equal(
        recipes.targets_of_members(recipe, np.array([1, 0]), 3), [[[0, 1, 0]] * 2, [[1, 0, 0]] * 2]
    )
    np.testing.assert_array_equal(
        recipes.targets_of_members(recipe, np.array([1.5, 0.0]), 0), [[[1.5]] * 2, [[0.0]] * 2]
    )


def test_importance_finds_the_columns_that_matter(fitted):
    importance = dict(zip(fitted.feature_names_, fitted.permutation_importance_, strict=True))
    assert min(importance["age"], importance["city"]) > 5 * max(importance["flag"], importance["day"], 1e-9)
    assert importance["user"] == importance["Unnamed: 0"] == 0


def test_rows_of_no_weight_and_classes_of_much(fitted):
    X, y = shop()
    weights = np.where(X["city"] == "Paris", 0.0, 1.0)
    clf = TabularClassifier(preset="fast", random_state=0, n_threads=1).fit(X, y, weights)
    assert (clf.predict(X) == "yes").sum() != (fitted.predict(X) == "yes").sum()
    heavy = TabularClassifier(preset="fast", random_state=0, n_threads=1, class_weight={"yes": 50.0, "no": 1.0})
    assert heavy.fit(X, y).predict_proba(X)[:, 1].mean() > fitted.predict_proba(X)[:, 1].mean()
    with pytest.raises(ValueError, match=r"(sample_weight must leave|Sample weights must contain)"):
        clf.fit(X, y, np.zeros(N))


def test_rows_to_choose_on_may_be_given():
    X, y = shop()
    other, labels = shop(80, seed=4)
    clf = TabularClassifier(random_state=0, n_threads=2).fit(X, y, eval_set=(other, labels))
    assert clf.recipe_losses_
    with pytest.raises(TypeError, match=r"eval_set must be a tuple \(X, y\)"):
        clf.fit(X, y, eval_set=[other])
    with pytest.raises(ValueError, match="eval_set must have classes that y has, got 'maybe'"):
        clf.fit(X, y, eval_set=(other, ["maybe"] * 80))


def test_a_time_limit_is_kept():
    X, y = shop(5000)
    TabularClassifier(preset="fast", random_state=0).fit(*shop(40))  # compiles
    started = time.monotonic()
    clf = TabularClassifier(random_state=0, time_limit=1.0).fit(X, y)
    assert time.monotonic() - started < 5.0  # a busy machine, and encoding, have some time beside it
    assert clf.score(X, y) > 0.7  # 0.64 for the majority; how many epochs fit the time is up to the machine


def test_the_temperature_is_that_of_the_least_log_loss():
    r = rng(5)
    logits = r.normal(size=(2000, 3))
    probabilities = judging.soften(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), 1.0)
    y = np.array([r.choice(3, p=p) for p in probabilities])
    flat = judging.soften(probabilities, 2.0)
    assert judging.find_temperature(flat, y, None) == pytest.approx(0.5, rel=0.15)
    np.testing.assert_allclose(judging.soften(flat, 0.5), probabilities, rtol=1e-6)


@pytest.mark.parametrize("n, batch", [(10, 32), (1000, 32), (1600, 64), (6000, 256), (10**6, 256)])
def test_batches_grow_with_the_table(n, batch):
    assert recipes.batch_size(n) == batch
    assert recipes.batch_size(n, members=8) == min(2 * batch, 256)


class Watch(fastnn.Callback):
    """Remembers the fits that it was copied for, and in one of them asks for an end as Ctrl-C does."""

    def __init__(self, interrupt_in=None, name="", seen=None):
        self.interrupt_in, self.name, self.seen = interrupt_in, name, [] if seen is None else seen

    def copy_for(self, name, epochs):
        return Watch(self.interrupt_in, name, self.seen)

    def on_epoch_end(self, epoch, logs):
        if epoch == 0:
            self.seen.append(self.name)
        if self.name == self.interrupt_in and epoch == 0:
            _thread.interrupt_main()
            time.sleep(0.3)  # until the main thread has heard of it


def test_every_training_has_copies_of_the_callbacks_and_the_same_bits():
    X, y = shop(60)
    watch = Watch()
    watched = TabularClassifier(preset="fast", random_state=0, n_threads=1).fit(X, y, callbacks=[watch])
    alone = TabularClassifier(preset="fast", random_state=0, n_threads=1).fit(X, y)
    assert watch.seen == ["encoded, part 1", "encoded, part 2", "encoded, part 3", "encoded, all rows 1"]
    np.testing.assert_array_equal(watched.predict_proba(X), alone.predict_proba(X))
    with pytest.raises(TypeError, match=r"callbacks\[0\] must be a fastnn.callbacks.Callback"):
        alone.fit(X, y, callbacks=[print])


@pytest.mark.parametrize("stage", ["encoded, part 1", "encoded, all rows 1"])
def test_ctrl_c_leaves_the_network_that_there_is(stage, tmp_path):
    """Also while recipes are compared: then the target's scale is that of the rows which that network saw."""
    X, _ = shop(60)
    y = np.arange(60.0) + 1000.0
    reg = TabularRegressor(preset="fast", random_state=0, n_threads=1)
    with pytest.warns(UserWarning, match="was interrupted"):
        reg.fit(X, y, callbacks=[Watch(interrupt_in=stage)])
    assert reg._was_interrupted
    assert abs(reg.predict(X).mean() - y.mean()) < 20
    reg.save(tmp_path / "model")
    np.testing.assert_array_equal(TabularRegressor.load(tmp_path / "model").predict(X), reg.predict(X))
    reg.fit(X, y)
    assert not reg._was_interrupted
