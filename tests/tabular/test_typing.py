"""What columns of a file are, however it spells them: the same in training and, with another file, in prediction."""

import gzip
import json

import numpy as np
import pytest

from support import rng

polars = pytest.importorskip("polars", reason="polars is missing: it comes with the extra 'tables'")

from fastnn.tabular import Preprocessing, read_table  # noqa: E402  (polars first)
from fastnn.tabular.dates import as_days, find_order  # noqa: E402

DAYS = [15341, 18292]  # 2012-01-02, 2020-01-31


def read(tmp_path, text, name="t.csv", encoding="utf-8", **options):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return read_table(path, **options)


# --- how values are written -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells, expected",
    [
        (["1", "2"], [1, 2]),
        ([" 1", "2 "], [1, 2]),
        (["1.5", "2e3"], [1.5, 2000.0]),
        (['"1,234"', '"12,345,678"', "7"], [1234, 12345678, 7]),
        (['"$1,234.50"', "$3", "-$2"], [1234.5, 3.0, -2.0]),
        (["12.5%", "3 %", "0"], [12.5, 3.0, 0.0]),
        (["1.5€", "2€"], [1.5, 2.0]),
        (["True", "false"], [True, False]),
        (["01234", "00501"], ["01234", "00501"]),
        (["0930", "12"], [930, 12]),
        (["99999999999999999999", "1"], [1e20, 1.0]),
        (["1", "x"], ["1", "x"]),
        (['"1,5"', '"2,5"'], ["1,5", "2,5"]),
        (["12.5%", "0.3"], ["12.5%", "0.3"]),
    ],
)
def test_texts_become_what_all_of_them_are(tmp_path, cells, expected):
    table = read(tmp_path, "x,k\n" + "".join(f"{cell},0\n" for cell in cells))
    assert table["x"].to_list() == expected


def test_spaces_after_separators_are_no_part_of_names_and_values(tmp_path):
    table = read(tmp_path, 'y, a, b\n1, 2.5, "u, v"\n0, NA, w\n')
    assert table.columns == ["y", "a", "b"]
    assert table.rows() == [(1, 2.5, "u, v"), (0, None, "w")]


def test_columns_can_stay_as_they_are_written(tmp_path):
    table = read(tmp_path, "zip,label,x\n1,01,2.50\n2,True,NA\n", texts=["label", "x"])
    assert table.rows() == [(1, "01", "2.50"), (2, "True", None)]


@pytest.mark.parametrize(
    "values", [["$1.5", "2.5", "$3"], ["1,5", "2,5", "1,500"], ["1'000", "2'000", "5"], ["12%", "0.3", "0.4"]]
)
def test_numbers_in_several_forms_are_refused_by_name(values):
    table = polars.DataFrame({"x": values, "y": ["a", "b", "a"]})
    with pytest.raises(ValueError, match=r"column 'x' (must hold numbers in one form|mixes).*categorical.*drop"):
        Preprocessing.learn(table, "y")


def test_the_error_about_mixed_columns_says_what_to_do():
    table = polars.DataFrame({"x": ["1", "2", "3", "four"], "y": ["a", "b"] * 2})
    with pytest.raises(ValueError, match=r"'four' in row 4 is not; correct it, .* \(categorical\) .* \(drop\)"):
        Preprocessing.learn(table, "y")


# --- files ------------------------------------------------------------------------------------------------------------

TEXT = "name,x\nZoë,1\nÅsa,2\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(tmp_path, encoding):
    assert read(tmp_path, TEXT, encoding=encoding).rows() == [("Zoë", 1), ("Åsa", 2)]


@pytest.mark.parametrize("name", ["t.tsv", "t.tab", "t.TXT"])
def test_suffixes_of_separated_texts(tmp_path, name):
    assert read(tmp_path, TEXT.replace(",", "\t"), name).rows() == [("Zoë", 1), ("Åsa", 2)]


def test_compressed_json_and_feather(tmp_path):
    expected = [("Zoë", 1), ("Åsa", 2)]
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(TEXT.encode()))
    assert read_table(tmp_path / "t.csv.gz").rows() == expected
    frame = read(tmp_path, TEXT)
    frame.write_ndjson(tmp_path / "t.jsonl")
    frame.write_json(tmp_path / "t.json")
    frame.write_ipc(tmp_path / "t.feather")
    for name in ("t.jsonl", "t.json", "t.feather"):
        assert read_table(tmp_path / name).rows() == expected
    (tmp_path / "t.json").write_bytes((tmp_path / "t.jsonl").read_bytes())
    assert read_table(tmp_path / "t.json").rows() == expected


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("t.csv.gz", b"x,y\n1,2\n", "not a compressed file"),
        ("t.csv.gz", gzip.compress(b"x,y\n1,2\n", mtime=0)[:-9], "not a compressed file"),
        ("t.csv", "x,y\n1,2\n".encode("utf-16-le"), "holds bytes of zero; save it as UTF-8"),
        ("t.csv", "x,y\n1,2\n".encode("utf-16")[:-1], "utf-16 ends or breaks at byte"),
        ("t.parquet", b"", "the file is empty"),
        ("t.feather", b"ARROW1 and nothing more", "not a table that can be read"),
        ("t.jsonl", b"no json\n", "not a table that can be read"),
    ],
)
def test_files_that_cannot_be_read_say_why(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path / name)


# --- dates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "texts",
    [
        ["2012/01/02", "2020/1/31"], ["2/1/2012", "31/1/2020"], ["1/2/2012", "1/31/2020"], ["2.1.2012", "31.01.2020"],
        ["2 Jan 2012", "31 January 2020"], ["02-Jan-2012", "31-JAN-2020"], ["Jan 2, 2012", "January 31, 2020"],
    ],
)  # fmt: skip
def test_dates_in_many_forms(texts):
    values = polars.Series("x", texts)
    assert as_days(values, find_order(values)).tolist() == DAYS


def test_clocks_in_other_forms():
    values = polars.Series("x", ["1/2/2012 6:00", "1/31/2020 12:30:00"])
    assert as_days(values, find_order(values)).tolist() == [DAYS[0] + 0.25, DAYS[1] + 12.5 / 24]


def test_an_order_that_the_dates_do_not_show_has_to_be_said():
    table = polars.DataFrame({"x": ["1/2/2012", "3/4/2012"] * 2, "y": ["a", "b"] * 2})
    with pytest.raises(ValueError, match="whether the day or the month comes first, got '1/2/2012'"):
        Preprocessing.learn(table, "y")
    columns = [Preprocessing.learn(table, "y", dayfirst=said).columns[0] for said in (True, False)]
    assert [column.order for column in columns] == ["dmy", "mdy"]
    assert columns[0].mean > columns[1].mean  # 1 February and 3 April; 2 January and 4 March
    # Later tables are read in the order of training, whatever they show.
    later = Preprocessing.learn(table, "y", dayfirst=True).features(polars.DataFrame({"x": ["5/6/2012", "2012-06-05"]}))
    np.testing.assert_array_equal(later[0], later[1])


# --- types are learnt once --------------------------------------------------------------------------------------------


def features_of(preprocessing, values, **options):
    return preprocessing.features(polars.DataFrame({"x": polars.Series(values, **options)})).tolist()


def test_a_category_is_itself_in_every_spelling():
    table = polars.DataFrame({"x": ["1", "2", "3", "4"], "y": ["a", "b"] * 2})
    preprocessing = Preprocessing.learn(table, "y", categorical=["x"])
    expected = np.eye(4)[[0, 1, 3]].tolist()
    for values in (["1", "2", "4"], ["1.0", "2.0", "4.0"], [1.0, 2.0, 4.0], [1, 2, 4], ["01", " 2", "4e0"]):
        assert features_of(preprocessing, values) == expected
    mixed = Preprocessing.learn(
        table.with_columns(x=polars.Series(["2.50", "3e2", "word", "01"])), "y", categorical=["x"]
    )
    assert (
        features_of(mixed, [2.5, 300.0, 1.0], strict=False)
        == np.eye(4)[[mixed.columns[0].categories.index(text) for text in ("2.50", "3e2", "01")]].tolist()
    )


def test_spellings_that_training_told_apart_stay_apart():
    table = polars.DataFrame({"x": ["1", "01", "1", "01"], "y": ["a", "b"] * 2})
    preprocessing = Preprocessing.learn(table, "y", categorical=["x"])
    assert preprocessing.columns[0].categories == ("01", "1")
    with pytest.warns(UserWarning, match="holds no value that training saw"):
        assert features_of(preprocessing, [1.0]) == [[0, 0]]
    assert features_of(preprocessing, ["01", "1"]) == [[1, 0], [0, 1]]


def test_a_column_of_nothing_but_unknown_values_is_told():
    preprocessing = Preprocessing.learn(polars.DataFrame({"x": ["u", "v"] * 3, "y": ["a", "b"] * 3}), "y")
    with pytest.warns(
        UserWarning, match="column 'x' holds no value that training saw: there it had 'u', 'v', here 'w'"
    ):
        preprocessing.features(polars.DataFrame({"x": ["w", None]}))
    preprocessing.features(polars.DataFrame({"x": ["w", "u"]}))  # warnings are errors
    with pytest.warns(UserWarning, match="columns that the model was trained without are ignored: more"):
        preprocessing.features(polars.DataFrame({"x": ["u"], "more": [1]}))


def test_what_stands_for_no_value_is_kept():
    table = polars.DataFrame({"x": [1.0, 2.0, -999.0, 3.0], "c": ["u", "v", "none", "u"], "y": ["a", "b"] * 2})
    preprocessing = Preprocessing.learn(table, "y", missing=["-999", "none"])
    assert preprocessing.columns[0].mean == 2.0 and preprocessing.columns[0].tells_missing
    later = preprocessing.features(polars.DataFrame({"x": [-999.0, None], "c": ["none", None]}))
    np.testing.assert_array_equal(later[0], later[1])
    config = json.loads(json.dumps(preprocessing.config))
    assert Preprocessing.from_config(config) == preprocessing
    older = {name: value for name, value in config.items() if name != "missing"}
    assert Preprocessing.from_config(older).missing == ()


def test_classes_keep_their_spelling_and_later_files_mean_the_same():
    table = polars.DataFrame({"x": rng().normal(size=60), "y": ["01", "2", "10"] * 20})
    preprocessing = Preprocessing.learn(table, "y", task="classification")
    assert preprocessing.classes == ("01", "2", "10")
    assert preprocessing.targets(polars.DataFrame({"y": [1.0, 2.0, 10.0]})).tolist() == [0, 1, 2]


# --- what says nothing about a row ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, values, reason",
    [
        ("", range(100), "a saved row number"),
        ("Unnamed: 0", range(5, 605, 6), "a saved row number"),
        ("customer_id", np.arange(100) * 7919 % 100_003, "a different integer in every row: an identifier"),
        ("PassengerId", range(1, 101), "a different integer in every row: an identifier"),
        ("n", np.arange(100) * 37 % 100, "a number for each row"),
        ("n", [f"t{i}" for i in range(100)], "a different text in every row"),
        ("n", [f"t{i % 97}" for i in range(100)], "a different text in nearly every row"),
    ],
)
def test_identifiers_are_left_out_with_the_reason(name, values, reason):
    table = polars.DataFrame({name: values, "x": rng().normal(size=100), "y": ["a", "b"] * 50})
    preprocessing = Preprocessing.learn(table, "y")
    assert preprocessing.left_out == {name: reason}
    if "row number" not in reason:
        assert name in [column.name for column in Preprocessing.learn(table, "y", keep=[name]).columns]


@pytest.mark.parametrize(
    "name, values",
    [
        ("year", range(1900, 2000)), ("price", np.arange(100) * 7919 % 100_003), ("valid", np.arange(100) % 50),
        ("id", np.arange(100) % 50), ("x1", np.arange(100) / 8), ("paid", np.arange(100) * 37 + 5),
    ],
)  # fmt: skip
def test_quantities_are_no_identifiers(name, values):
    table = polars.DataFrame({name: values, "y": ["a", "b"] * 50})
    assert [column.name for column in Preprocessing.learn(table, "y").columns] == [name]


def test_two_hundred_categories_have_a_feature_each():
    table = polars.DataFrame({"x": [f"c{i % 200}" for i in range(600)], "y": ["a", "b"] * 300})
    assert Preprocessing.learn(table, "y").n_features == 200


# --- extremes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("numbers", ["standard", "quantile", "encoded"])
def test_numbers_beyond_all_measure_are_finite_features_or_refused(numbers):
    table = polars.DataFrame({"x": [1.0, 2.0, 3.0, 1e30], "y": ["a", "b"] * 2})
    preprocessing = Preprocessing.learn(table, "y", numbers=numbers)
    later = polars.DataFrame({"x": [-1e30, 5e-324, 1e30]})
    assert np.isfinite(preprocessing.features(later)).all()
    huge = table.with_columns(x=polars.Series([-1.7e308, 1.0, 2.0, 1.7e308]))
    with pytest.raises(ValueError, match=r"column 'x' must have numbers"):
        Preprocessing.learn(huge, "y", numbers=numbers)


def test_a_target_beyond_all_measure_is_refused():
    table = polars.DataFrame({"x": rng().normal(size=4), "y": [1.0, 2.0, 3.0, 1e300]})
    with pytest.raises(ValueError, match=r"the target 'y' must have numbers whose squares float64 holds, got 1e\+300"):
        Preprocessing.learn(table, "y", task="regression")
