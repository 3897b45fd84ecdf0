"""Tables: what becomes of columns, how the task is found, what is refused, and that a saved model predicts alike."""

import copy
import datetime
import json
import math

import numpy as np
import pytest

import fastnn
from support import rng

polars = pytest.importorskip("polars", reason="polars is missing: it comes with the extra 'tables'")

from fastnn.tabular import Preprocessing, TableModel, read_table  # noqa: E402  (polars first)
from fastnn.tabular.columns import MOST_ONE_HOT, NumberColumn, OneHotColumn, RankColumn  # noqa: E402
from fastnn.tabular.dates import PERIODS, DateColumn  # noqa: E402


def learn(target="y", **columns):
    options = {name: columns.pop(name) for name in ("task", "categorical", "drop", "rows", "embeds") if name in columns}
    n = len(next(iter(columns.values())))
    columns.setdefault("y", ["a", "b"] * (n // 2) + ["a"] * (n % 2))
    table = polars.DataFrame(columns)
    return Preprocessing.learn(table, target, **options), table


# --- columns ----------------------------------------------------------------------------------------------------------


def test_numbers_are_scaled_and_missing_ones_are_told():
    preprocessing, table = learn(x=[1.0, 2.0, None, 6.0])
    assert preprocessing.columns == (NumberColumn("x", 3.0, np.std([1, 2, 6]), True),)
    expected = np.array([[-2, 0], [-1, 0], [0, 0], [3, 0]]) / np.std([1, 2, 6])
    expected[2, 1] = 1
    np.testing.assert_allclose(preprocessing.features(table), expected, rtol=1e-6)


def test_without_missing_numbers_there_is_no_second_feature_and_later_ones_are_the_mean():
    preprocessing, _ = learn(x=[1, 2, 3])
    assert preprocessing.n_features == 1
    assert preprocessing.features(polars.DataFrame({"x": [None, 2, float("nan")]}, strict=False)).tolist() == [[0]] * 3


def test_few_categories_have_a_feature_each_and_unseen_ones_are_zero():
    preprocessing, _ = learn(x=["red", "blue", "red", None])
    assert preprocessing.columns == (OneHotColumn("x", ("red", None, "blue")),)
    features = preprocessing.features(polars.DataFrame({"x": ["blue", None, "green", "red"]}))
    assert features.tolist() == [[0, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_many_categories_are_numbers_for_a_learned_vector_or_told_to_be_ranks():
    different = [f"c{i}" for i in range(MOST_ONE_HOT + 1)]
    names = different + different + different[:5] + different[:1]
    embedded, _ = learn(size=[0.5, 1.5] * (len(names) // 2), x=names, embeds=True)
    assert embedded.categories == {1: MOST_ONE_HOT + 1}
    later = polars.DataFrame({"size": [1, 2, 3], "x": ["c0", "c1", "never seen"]})
    assert embedded.features(later)[:, 1].tolist() == [0, 1, MOST_ONE_HOT + 1]
    again = Preprocessing.from_config(json.loads(json.dumps(embedded.config)))
    assert again == embedded and again.categories == embedded.categories
    few, _ = learn(x=["red", "blue"] * 4, embeds=True)
    assert few.categories == {}
    with pytest.warns(UserWarning, match=r"rank by frequency: 'x'; .*embeds=True.*preprocessing\.categories, 16"):
        preprocessing, _ = learn(x=names)
    assert preprocessing.categories == {}
    (column,) = preprocessing.columns
    assert isinstance(column, RankColumn)
    assert column.categories[:2] == ("c0", "c1")
    values = preprocessing.features(polars.DataFrame({"x": ["c0", "c1", "never seen"]}))[:, 0]
    np.testing.assert_allclose(np.diff(values * column.deviation), [1, len(different) - 1], rtol=1e-5)


def test_categories_beyond_those_that_have_a_vector_are_told(monkeypatch):
    monkeypatch.setattr("fastnn.tabular.columns.MOST_EMBEDDED", 203)
    names = [f"c{i}" for i in range(205)] + [f"c{i}" for i in range(203)]
    with pytest.warns(
        UserWarning, match="column 'x' has 205 categories: all but the 203 most frequent are taken for one"
    ):
        preprocessing, _ = learn(x=names, embeds=True)
    later = polars.DataFrame({"x": ["c204", "never seen", "c0"]})
    assert preprocessing.categories == {0: 203} and preprocessing.features(later)[:2, 0].tolist() == [203, 203]


def test_booleans_are_numbers_and_numbers_may_be_called_categories():
    preprocessing, _ = learn(flag=[True, False, True, True], code=[7, 9, 7, 8], categorical=["code"])
    assert [column.kind for column in preprocessing.columns] == ["number", "one-hot"]
    assert preprocessing.columns[1].categories == ("7", "8", "9")


def test_what_says_nothing_is_left_out_and_may_be_missing_later():
    preprocessing, _ = learn(
        x=range(40), constant=[1] * 40, void=[None] * 40, name=[f"n{i}" for i in range(40)], note=["a" * 300] * 40,
        unwanted=range(40), drop=["unwanted"],
    )  # fmt: skip
    assert preprocessing.left_out == {
        "unwanted": "as asked", "constant": "always the same value", "void": "no values",
        "name": "a different text in every row", "note": "always the same value",
    }  # fmt: skip
    assert preprocessing.features(polars.DataFrame({"x": [1], "void": ["now there"]})).shape == (1, 1)


def test_scales_are_learnt_from_the_training_rows_alone():
    preprocessing, table = learn(x=[0.0, 2.0, 1000.0, 1000.0], rows=np.array([0, 1]))
    assert preprocessing.columns == (NumberColumn("x", 1.0, 1.0, False),)
    assert preprocessing.features(table)[2, 0] == 999


def test_each_row_has_the_features_that_it_has_alone():
    r = rng()
    columns = {
        "x": [None if value < -1 else value for value in r.normal(size=200).tolist()],
        "few": r.choice(["a", "b", "c"], 200).tolist(),
        "many": r.choice([f"m{i}" for i in range(60)], 200).tolist(),
    }
    preprocessing, table = learn(**columns)
    together = preprocessing.features(table)
    alone = np.concatenate([preprocessing.features(table[i : i + 1]) for i in range(table.height)])
    np.testing.assert_array_equal(together, alone)


# --- dates ------------------------------------------------------------------------------------------------------------

NOON = datetime.datetime(2024, 2, 29, 12, 0)


def expected_dates(days, mean, deviation, periods):
    angles = [2 * math.pi * days / period for period in periods]
    return [(days - mean) / deviation, *(f(angle) for angle in angles for f in (math.sin, math.cos))]


def test_dates_are_days_and_places_in_year_and_week():
    dates = [datetime.date(1970, 1, 1), datetime.date(1970, 1, 11), None]
    preprocessing, table = learn(day=dates)
    assert preprocessing.columns == (DateColumn("day", 5.0, 5.0, False, True),)
    features = preprocessing.features(table)
    for row, days in enumerate((0.0, 10.0)):
        np.testing.assert_allclose(features[row], [*expected_dates(days, 5.0, 5.0, PERIODS[:2]), 0.0], atol=1e-6)
    assert features[2].tolist() == [0, 0, 0, 0, 0, 1]


def test_times_have_a_place_in_the_day():
    preprocessing, table = learn(at=[NOON, NOON.replace(hour=18), NOON.replace(day=28), NOON])
    (column,) = preprocessing.columns
    assert column.has_time and preprocessing.n_features == 7
    days = (NOON - datetime.datetime(1970, 1, 1)) / datetime.timedelta(days=1)
    expected = expected_dates(days, column.mean, column.deviation, PERIODS)
    np.testing.assert_allclose(preprocessing.features(table)[0], expected, atol=1e-5)


def test_a_time_that_never_varies_is_no_feature():
    assert learn(at=[NOON, NOON.replace(day=28)])[0].n_features == 5


@pytest.mark.parametrize(
    "text",
    ["2024-02-29 12:00", "2024-02-29T12:00:00", "2024-02-29 12:00:00.000", "2024-02-29T12:00:00Z", " 2024-02-29 12:00",
     "2024-02-29T12:00:00+02:00", "2024-02-29 12:00:00 UTC"],
)  # fmt: skip
def test_texts_and_dates_are_the_same(text):
    preprocessing, table = learn(at=[NOON, datetime.datetime(2024, 1, 1)])
    texts = table.with_columns(at=polars.Series([text, "2024-01-01"]))
    np.testing.assert_array_equal(preprocessing.features(texts), preprocessing.features(table))
    assert learn(at=[text, "2024-01-01"])[0] == preprocessing


@pytest.mark.parametrize("unit, zone", [("ms", None), ("ns", None), ("us", "Europe/Rome")])
def test_units_and_zones_change_nothing(unit, zone):
    preprocessing, table = learn(at=[NOON, datetime.datetime(2024, 1, 1)])
    others = table.with_columns(polars.col("at").cast(polars.Datetime(unit)).dt.replace_time_zone(zone))
    np.testing.assert_array_equal(preprocessing.features(others), preprocessing.features(table))


def test_dates_may_be_categories_or_say_nothing():
    dates = [datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)] * 2
    preprocessing, table = learn(day=dates, same=dates[:1] * 4, categorical=["day"])
    assert preprocessing.columns == (OneHotColumn("day", ("2024-01-01", "2024-01-02")),)
    assert preprocessing.left_out == {"same": "always the same value"}
    assert preprocessing.features(table)[:2].tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    "values, message",
    [
        (["2024-01-31", "2024-02-30"], "column 'x' must hold dates such as 2024-01-31 .* got '2024-02-30' in row 2"),
        (
            ["31.1.2024", "1.13.2024"],
            r"got '1\.13\.2024' in row 2; rewrite them year first, or take them for categories",
        ),
        (["1/2/2024", "3/4/2024"], "'x' must show whether the day or the month comes first, got '1/2/2024' and no"),
        (["2024-01-31", "2024-01-30", "soon"], "got 'soon' in row 3"),
        (
            [datetime.time(12), datetime.time(13)],
            r"'x' must hold numbers, texts or dates, got Time; make columns of such",
        ),
    ],
)
def test_dates_that_cannot_be_read_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        learn(x=values)


def test_a_later_table_must_have_dates():
    preprocessing, _ = learn(x=[NOON, datetime.datetime(2024, 1, 1)])
    for wrong in (7, "noon"):
        with pytest.raises(ValueError, match=f"column 'x' must hold dates .* got {wrong!r} in row 1"):
            preprocessing.features(polars.DataFrame({"x": [wrong]}))
    assert not preprocessing.features(polars.DataFrame({"x": [None]})).any()


def test_dates_are_no_target():
    dates = [datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)] * 2
    for values in (dates, [str(date) for date in dates]):
        with pytest.raises(ValueError, match="the target 'y' holds dates, which cannot be predicted; make numbers"):
            learn(x=range(4), y=values)
        assert learn(x=range(4), y=values, task="classification")[0].classes == ("2024-01-01", "2024-01-02")


# --- scores -----------------------------------------------------------------------------------------------------------


def test_a_model_is_evaluated_with_classes_that_are_numbers_of_another_type():
    preprocessing, table = learn(x=range(30), y=[0, 1] * 15)
    network = fastnn.Network.mlp(1, [4], 2, output="softmax", seed=0)
    model = TableModel(network, preprocessing)
    accuracy = model.evaluate(table)["accuracy"]
    predicted = [int(value) for value in model.predict(table)["prediction"]]
    assert accuracy == np.mean(np.array(predicted) == table["y"].to_numpy())
    assert model.evaluate(table.with_columns(polars.col("y").cast(polars.Float64)))["accuracy"] == accuracy
    with pytest.raises(ValueError, match="the table must have values of the target 'y' to be scored, got none"):
        model.evaluate(table.drop("y"))


def test_a_regression_is_evaluated_on_the_target_s_own_scale():
    preprocessing, table = learn(x=[1.0, 2.0, 3.0], y=[100.0, 200.0, 400.0])
    network = fastnn.Network([fastnn.Input(1), fastnn.Dense(1)])
    network.set_weights([np.zeros((1, 1)), np.zeros(1)])  # predicts the mean
    scores = TableModel(network, preprocessing).evaluate(table)
    assert scores["r2"] == pytest.approx(0.0, abs=1e-6)
    assert scores["mae"] == pytest.approx(1000 / 9)
    assert list(TableModel(network, preprocessing).evaluate(table[:1])) == ["mae"]


# --- targets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values, task",
    [
        (["yes", "no"] * 10, "classification"),
        ([True, False] * 10, "classification"),
        ([0, 1, 2, 1] * 5, "classification"),
        ([0.0, 1.0] * 10, "classification"),
        ([0.5, 1.0] * 10, "regression"),
        (list(range(20)), "regression"),
        (list(range(30)) * 10, "regression"),
    ],
)
def test_the_task_is_found(values, task):
    assert learn(x=rng().normal(size=len(values)), y=values)[0].task == task


def test_the_task_can_be_forced():
    assert learn(x=range(20), y=[0, 1] * 10, task="regression")[0].task == "regression"
    assert learn(x=range(40), y=list(range(10)) * 4, task="classification")[0].n_outputs == 10


def test_classes_are_in_the_order_of_numbers():
    preprocessing, table = learn(x=rng().normal(size=60), y=[10, 9, 2] * 20)
    assert preprocessing.classes == ("2", "9", "10")
    assert preprocessing.targets(table)[:3].tolist() == [2, 1, 0]
    columns = preprocessing.predictions(np.array([[0.1, 0.2, 0.7]]))
    assert columns["prediction"] == ["10"]
    assert list(columns) == ["prediction", "probability of 2", "probability of 9", "probability of 10"]


def test_a_regression_predicts_on_the_target_s_own_scale():
    values = [100.5, 300.0, 200.25, 10.0]
    preprocessing, table = learn(x=range(4), y=values)
    scaled = preprocessing.targets(table)
    assert abs(scaled.mean()) < 1e-12 and abs(scaled.std() - 1) < 1e-12
    np.testing.assert_allclose(preprocessing.predictions(scaled[:, None])["prediction"], values)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"x": [1, 2], "target": "z"}, "there is no column 'z' in the table, which has x, y"),
        ({"price": [1, 2], "target": "prise"}, "did you mean 'price'"),
        ({"x": [1, 2], "drop": ["w"]}, "there is no column 'w'"),
        ({"x": [1, 2], "categorical": ["w"]}, "there is no column 'w'"),
        ({"x": [1, 2], "y": ["a", "a"]}, "'y' must have at least two classes, got 'a' in every row"),
        ({"x": [1, 2], "y": [2.5, 2.5]}, "'y' must vary, got 2.5 in every row"),
        ({"x": [1, 2, 3, 4], "y": ["a", "b", "c", "d"]}, "'y' has 4 classes in 4 rows, too many"),
        ({"x": [1, 2], "y": ["a", "b"], "task": "regression"}, "column 'y' must hold numbers, got 'a' in row 1"),
        ({"x": [1, 2], "task": "regresion"}, "task must be one of.*did you mean 'regression'"),
        ({"x": [5, 5]}, r"no column to predict 'y' from \(x: always the same value\)"),
        ({"x": ["1", "2", "3", "four"]}, "'x' mixes numbers and text: 3 of 4 values are numbers, 'four' in row 4"),
        ({"x": [1.0, float("inf")]}, "column 'x' must be finite, got inf in row 2"),
        ({"x": [[1], [2]]}, r"column 'x' must hold numbers, texts or dates, got List\(Int64\)"),
    ],
)
def test_errors_say_which_column_and_what_is_wrong(columns, message):
    with pytest.raises(ValueError, match=message):
        learn(**columns)


def test_mixed_columns_are_taken_as_categories_where_that_is_said():
    preprocessing, _ = learn(x=["1", "2", "3", "four"], categorical=["x"])
    assert preprocessing.columns[0].kind == "one-hot"


@pytest.mark.parametrize(
    "later, message",
    [
        ({"colour": ["red"]}, "there is no column 'x' in the table, which has colour"),
        ({"x": ["tall"], "colour": ["red"]}, "column 'x' must hold numbers, got 'tall' in row 1"),
    ],
)
def test_later_tables_must_have_the_columns_of_training(later, message):
    preprocessing, _ = learn(x=[1, 2, 3], colour=["red", "blue", "red"])
    with pytest.raises(ValueError, match=message):
        preprocessing.features(polars.DataFrame(later))


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_are_found(tmp_path, separator):
    path = tmp_path / "table.csv"
    path.write_text(separator.join(['"a,;b"', "c"]) + "\n" + separator.join(["1", "x"]) + "\n")
    assert read_table(path).rows() == [(1, "x")]


def test_decimal_commas_are_read_where_commas_do_not_separate(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x;y;amount;name;n\n1,5;-2;1,500;a,b;1\n;3,25e2;2,750;1,5;2\n")
    expected = [(1.5, -2.0, "1,500", "a,b", 1), (None, 325.0, "2,750", "1,5", 2)]  # thousands, or not: left as they are
    assert read_table(path).rows() == expected
    path.write_text('x,y\n"1,5",1\n"2,5",2\n')
    assert read_table(path)["x"].to_list() == ["1,5", "2,5"]


def test_csv_and_parquet_are_the_same_table(tmp_path):
    table = polars.DataFrame({"x": [1, None, 3], "name": ["a", "b", None], "flag": [True, False, None]})
    table.write_csv(tmp_path / "t.csv")
    table.write_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.csv").equals(read_table(tmp_path / "t.parquet"))


def test_missing_values_have_many_names(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,y\n1,a\nNA,b\n?,NULL\n-99,c\n")
    assert read_table(path, missing=["-99"])["x"].to_list() == [1, None, None, None]


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "the file is empty"),
        ("\n", "the file is empty"),
        ("x,y\n", "no rows, only the columns x, y"),
        ("x,y\n1,2\n3,4,5\n", "not a table that can be read"),
    ],
)
def test_files_that_are_no_tables(tmp_path, content, message):
    path = tmp_path / "t.csv"
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_table(path)


def test_other_suffixes_damaged_parquet_and_no_file(tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.csv, .*, got 'table\.xlsx'; save a spreadsheet as CSV"):
        read_table("table.xlsx")
    (tmp_path / "t.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(ValueError, match="not a table that can be read"):
        read_table(tmp_path / "t.parquet")
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "none.csv")


# --- models -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def model():
    preprocessing, table = learn(
        x=[1.0, None, 3.5] * 14, colour=["red", "blue", None] * 14, many=[f"m{i}" for i in range(41)] + ["m0"],
        day=["2024-01-01", "2024-01-02 12:00", None] * 14,
    )  # fmt: skip
    network = fastnn.Network.mlp(preprocessing.n_features, [5], preprocessing.n_outputs, output="softmax", seed=0)
    return TableModel(network, preprocessing), table


def test_a_saved_model_predicts_the_same_and_its_network_loads_alone(model, tmp_path):
    model, table = model
    path = tmp_path / "model.safetensors"
    model.save(path)
    loaded = TableModel.load(path)
    assert loaded.preprocessing == model.preprocessing
    assert loaded.predict(table)["prediction"] == model.predict(table)["prediction"]
    np.testing.assert_array_equal(
        fastnn.Network.load(path).parameters, model.network.parameters
    )  # fmt: skip


def test_the_preprocessing_is_json(model):
    preprocessing = model[0].preprocessing
    assert Preprocessing.from_config(json.loads(json.dumps(preprocessing.config))) == preprocessing


def test_other_files_are_refused(model, tmp_path):
    path = tmp_path / "network.safetensors"
    model[0].network.save(path)
    with pytest.raises(fastnn.FileFormatError, match="it holds no model of a table"):
        TableModel.load(path)


def test_a_network_of_another_size_is_refused(model, tmp_path):
    model, _ = model
    path = tmp_path / "model.safetensors"
    TableModel(fastnn.Network.mlp(3, [], 2, seed=0), model.preprocessing).save(path)
    with pytest.raises(fastnn.FileFormatError, match="its network has 3 inputs and 2 outputs, and its table"):
        TableModel.load(path)


def mutations(config):
    """Every member of a config, replaced by values of other kinds, or left out."""
    for name in config:
        for value in (None, True, -1, 0, "x", [], {}, [None], [[1]], {"kind": "number"}, ["a", "a"]):
            if value != config[name]:
                yield {**config, name: value}
        yield {key: value for key, value in config.items() if key != name}
    for i, column in enumerate(config["columns"]):
        for name in column:
            for value in (None, 7, "x", [], {}, [None, None], [1, 2], -1.0, 10**400):
                changed = copy.deepcopy(config)
                changed["columns"][i][name] = value
                yield changed
            changed = copy.deepcopy(config)
            del changed["columns"][i][name]
            yield changed
    yield {**config, "more": 1}


def test_a_changed_preprocessing_is_refused_or_sound(model):
    preprocessing, table = model[0].preprocessing, model[1]
    n_refused = 0
    for config in mutations(preprocessing.config):
        try:
            other = Preprocessing.from_config(config)
        except ValueError:
            n_refused += 1
        else:  # another name or number: it must still be a preprocessing
            assert Preprocessing.from_config(json.loads(json.dumps(other.config))) == other
            names = [column.name for column in other.columns]
            if set(names) <= set(table.columns):
                assert other.features(table.select(names)).shape == (table.height, other.n_features)
    assert n_refused > 100


def test_numbers_too_large_to_predict_are_refused(model):
    """The likeliest class of NaN is the first one."""
    fitted, table = model
    name = next(name for name in table.columns if table[name].dtype == polars.Float64)
    large = table.with_columns(polars.lit(1e300).alias(name))
    with pytest.raises(ValueError, match=r"features of the table must be finite, got inf in row 0"):
        fitted.predict(large)


# --- rows of nothing --------------------------------------------------------------------------------------------------


def test_predictions_that_rest_on_nothing_are_told(model):
    model, table = model
    used = [column.name for column in model.preprocessing.columns]
    some = table.head(6).with_columns(polars.when(polars.int_range(polars.len()) < 2).then(None)
                                      .otherwise(polars.col(used)).name.keep())  # fmt: skip
    with pytest.warns(UserWarning, match=r"2 rows have no value in any column .*\(the first: row 1\)"):
        model.predict(some)
    with pytest.warns(UserWarning, match=r"1 row has no value .*first: row 2.*rests on nothing"):
        model.predict(some[2:3].vstack(some[:1]))
    model.predict(some[2:])  # warnings are errors here
