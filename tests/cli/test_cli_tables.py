"""`fastnn train FILE` and `fastnn predict`, as a person sees them."""

import csv
import io
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn.cli import main
from support import rng

polars = pytest.importorskip("polars", reason="polars is missing: it comes with the extra 'tables'")

from fastnn.tabular import TableModel  # noqa: E402  (polars first)


def table(n=400):
    """Purchases that follow from age, city and income, with some values missing."""
    r = rng()
    age, income = r.integers(18, 80, n), r.normal(50, 10, n).round(2)
    city, code = r.choice(["Oslo", "Rome", "Paris"], n), r.choice([f"Z{i}" for i in range(50)], n)
    bought = np.where((age > 45) & (city != "Rome"), "yes", "no")
    return polars.DataFrame(
        {
            "id": [f"u{i}" for i in range(n)],
            "age": [None if r.random() < 0.05 else int(value) for value in age],
            "city": [None if r.random() < 0.05 else str(value) for value in city],
            "income": income,
            "code": code,
            "spent": 3.0 * income + age,
            "bought": bought,
        }
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table().write_csv("shop.csv")
    table().write_parquet("shop.parquet")
    table(20).drop("bought").write_csv("new.csv")
    return tmp_path


def usage_error(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_a_classification_from_csv_to_predictions(folder, capsys):
    assert main(["train", "shop.csv", "--target", "bought", "--drop", "spent", "--quiet"]) == 0
    out = capsys.readouterr().out
    assert "numbers: age, income\ncategories: city, code\n" in out
    assert "left out: id (a different text in every row)" in out
    assert "shop.csv: 400 samples of 56 features, 2 classes; 320 to train, 80 to test" in out
    assert float(re.search(r"^test accuracy: ([\d.]+) %$", out, re.MULTILINE)[1]) > 85
    assert out.endswith("model: shop-bought.safetensors\n")

    assert main(["predict", "shop-bought.safetensors", "new.csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 20
    assert list(rows[0]) == ["prediction", "probability of no", "probability of yes"]
    truth = table(20)["bought"].to_list()
    assert np.mean([row["prediction"] == label for row, label in zip(rows, truth, strict=True)]) > 0.8
    assert all(abs(float(row["probability of no"]) + float(row["probability of yes"]) - 1) < 1e-5 for row in rows)


def test_a_regression_from_parquet_to_a_file(folder, capsys):
    arguments = "--target spent --drop bought --epochs 60 --dropout 0 -o m.safetensors --seed 1"
    assert main(["train", "shop.parquet", *arguments.split()]) == 0
    assert float(re.search(r"test R2: ([\d.]+)", capsys.readouterr().out)[1]) > 0.9
    assert main(["predict", "m.safetensors", "shop.parquet", "--output", "out.csv"]) == 0
    out = capsys.readouterr().out
    assert re.fullmatch(
        r"400 predictions: out.csv\nR2: 0\.9\d+, mean absolute error: [\d.]+ \(400 rows\)\n"
        r"the model was trained on 80 % of these rows: the score flatters it\n", out,
    )  # fmt: skip
    predicted, spent = polars.read_csv("out.csv")["prediction"].to_numpy(), table()["spent"].to_numpy()
    assert np.corrcoef(predicted, spent)[0, 1] > 0.95
    assert abs(predicted.mean() - spent.mean()) < 5


def test_csv_and_parquet_and_a_seed_give_the_same_model(folder, capsys):
    for name in ("shop.csv", "shop.parquet"):
        assert main(["train", name, "--target", "bought", "--epochs", "2", "-o", f"{name}.model", "--seed", "3"]) == 0
    one, other = (fastnn.Network.load(f"{name}.model").parameters for name in ("shop.csv", "shop.parquet"))
    np.testing.assert_array_equal(one, other)


def test_rows_without_a_target_are_not_used(folder, capsys):
    data = table()
    data = data.with_columns(bought=polars.when(polars.int_range(400) < 7).then(None).otherwise(polars.col("bought")))
    data.write_csv("holes.csv")
    assert main(["train", "holes.csv", "--target", "bought", "--epochs", "1"]) == 0
    out = capsys.readouterr().out
    assert "left out: 7 rows without bought" in out
    assert "393 samples" in out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["shop.csv"], "--target must name the column to predict"),
        (["shop.csv", "--target", "bougth"], "no column 'bougth' in shop.csv, which has.*did you mean 'bought'"),
        (["shop.csv", "--target", "bought", "--drop", "x"], "there is no column 'x'"),
        (["shop.csv", "--target", "city", "--task", "regression"], "column 'city' must hold numbers"),
        (["shop.csv", "--target", "id"], "'id' has 400 classes in 400 rows"),
        (["shop.csv", "--target", "bought", "--scale", "minmax"], "--scale goes with the data sets"),
        (["shop.csv", "--target", "bought", "--test-size", "0.999"], "leaves none of 400 rows to train on"),
        (["shop.csv", "--target", "bought", "-o", "nowhere/m"], "--output must be a file in a folder that exists"),
        (["iris", "--target", "species"], "--target goes with a file that ends in .csv"),
        (["constant.csv", "--target", "y"], "'y' must have at least two classes, got 'a' in every row"),
        (["empty.csv", "--target", "y"], "empty.csv: the file is empty"),
        (["mixed.csv", "--target", "y"], "column 'x' mixes numbers and text: 3 of 4 values are numbers, 'four' in row"),
        (["void.csv", "--target", "y"], "the target 'y' must have values, got none"),
    ],
)
def test_usage_errors_are_clear(folder, capsys, arguments, message):
    (folder / "constant.csv").write_text("x,y\n" + "1,a\n2,a\n" * 10)
    (folder / "empty.csv").write_text("")
    (folder / "mixed.csv").write_text("x,y\n1,a\n2,b\n3,a\nfour,b\n" + "")
    (folder / "void.csv").write_text("x,y\n1,\n2,\n")
    assert re.search(message, usage_error(capsys, "train", *arguments))
    assert not list(folder.glob("*.safetensors"))


def test_a_file_that_is_not_there(folder, capsys):
    assert main(["train", "none.csv", "--target", "y"]) == 1
    assert "none.csv" in capsys.readouterr().err


def test_errors_of_predict(folder, capsys):
    assert main(["train", "shop.csv", "--target", "bought", "--drop", "spent", "--epochs", "1"]) == 0
    capsys.readouterr()
    table(5).drop("age").write_csv("short.csv")
    assert "there is no column 'age'" in usage_error(capsys, "predict", "shop-bought.safetensors", "short.csv")
    table(5).with_columns(extra=1).write_csv("long.csv")
    assert main(["predict", "shop-bought.safetensors", "long.csv"]) == 0
    warning = "fastnn predict: warning: columns that the model was trained without are ignored: extra\n"
    assert capsys.readouterr().err.startswith(warning)
    assert "not a fastnn file" in usage_error(capsys, "predict", "shop.csv", "new.csv")
    assert main(["predict", "none.safetensors", "new.csv"]) == 1


# --- scores -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop_model(folder, capsys):
    assert main(["train", "shop.csv", "--target", "bought", "--drop", "spent", "--epochs", "20"]) == 0
    capsys.readouterr()


def score_line(capsys, data):
    """What predict says on stderr, and the predictions that it writes to stdout."""
    data.write_csv("scored.csv")
    assert main(["predict", "shop-bought.safetensors", "scored.csv"]) == 0
    captured = capsys.readouterr()
    predictions = [row["prediction"] for row in csv.DictReader(io.StringIO(captured.out))]
    assert len(predictions) == data.height
    return captured.err, predictions


def test_predictions_are_scored_where_the_target_is_there(shop_model, capsys):
    data = table(200)
    line, predictions = score_line(capsys, data)
    accuracy = np.mean([one == other for one, other in zip(predictions, data["bought"], strict=True)])
    assert line == f"accuracy: {100 * accuracy:.2f} % (200 rows)\n"
    assert score_line(capsys, data.drop("bought"))[0] == ""

    some = data.with_columns(bought=polars.when(polars.int_range(200) < 150).then(None).otherwise(polars.col("bought")))
    line, predictions = score_line(capsys, some)
    accuracy = np.mean([one == other for one, other in zip(predictions[150:], data["bought"][150:], strict=True)])
    assert line == f"accuracy: {100 * accuracy:.2f} % (the 50 of 200 rows that have a target)\n"


def test_an_unknown_class_counts_as_wrong_and_nothing_but_unknown_ones_is_not_scored(shop_model, capsys):
    data = table(200)
    right, _ = score_line(capsys, data)
    renamed = data.with_columns(
        bought=polars.when(polars.col("bought") == "yes").then(polars.lit("maybe")).otherwise(polars.lit("no"))
    )
    wrong, _ = score_line(capsys, renamed)
    assert float(wrong.split()[1]) < float(right.split()[1])
    line, _ = score_line(capsys, data.with_columns(bought=polars.lit("maybe")))
    assert line == (
        "not scored: column 'bought' must hold classes that the model knows (no, yes), got 'maybe' in row 1\n"
    )


def test_a_target_that_is_no_number_is_not_scored(folder, capsys):
    assert main(["train", "shop.csv", "--target", "spent", "--epochs", "1", "--drop", "bought"]) == 0
    capsys.readouterr()
    table(5).with_columns(spent=polars.lit("much")).write_csv("scored.csv")
    assert main(["predict", "shop-spent.safetensors", "scored.csv", "-o", "out.csv"]) == 0
    expected = "5 predictions: out.csv\nnot scored: column 'spent' must hold numbers, got 'much' in row 1\n"
    assert capsys.readouterr().out == expected


# --- dates ------------------------------------------------------------------------------------------------------------


def test_dates_are_features_and_csv_and_parquet_give_the_same_model(folder, capsys):
    """Sales that follow from the weekday: without the date there would be nothing to learn from."""
    days = polars.date_range(polars.date(2023, 1, 1), polars.date(2024, 12, 31), eager=True)
    sales = 100.0 + 50.0 * (days.dt.weekday() >= 6)
    data = polars.DataFrame({"day": days, "noise": rng().normal(size=len(days)), "sales": sales})
    data.write_csv("days.csv")
    data.write_parquet("days.parquet")
    for name in ("days.csv", "days.parquet"):
        assert (
            main(["train", name, "--target", "sales", "--task", "regression", "--dropout", "0", "-o", f"{name}.m"]) == 0
        )
        out = capsys.readouterr().out
        assert "dates: day\n" in out
        assert float(re.search(r"test R2: ([\d.]+)", out)[1]) > 0.9
    one, other = (fastnn.Network.load(f"{name}.m").parameters for name in ("days.csv", "days.parquet"))
    np.testing.assert_array_equal(one, other)


def test_errors_about_dates(folder, capsys):
    table(20).with_columns(day=polars.lit("1/2/2024")).write_csv("dates.csv")
    message = "column 'day' must show whether the day or the month comes first, got '1/2/2024'"
    assert re.search(message, usage_error(capsys, "train", "dates.csv", "--target", "bought"))
    assert main(["train", "dates.csv", "--target", "bought", "--categorical", "day", "--epochs", "1"]) == 0
    assert main(["train", "dates.csv", "--target", "bought", "--drop", "day", "--epochs", "1"]) == 0
    capsys.readouterr()
    table(20).with_columns(bought=polars.lit("2024-01-31")).write_csv("dates.csv")
    assert "the target 'bought' holds dates" in usage_error(capsys, "train", "dates.csv", "--target", "bought")


# --- nothing lost, nothing silent -------------------------------------------------------------------------------------


def test_two_targets_of_a_file_have_a_model_each(folder, capsys):
    for target in ("bought", "city"):
        assert main(["train", "shop.csv", "--target", target, "--epochs", "1"]) == 0
    assert sorted(path.name for path in folder.glob("*.safetensors")) == [
        "shop-bought.safetensors", "shop-city.safetensors",
    ]  # fmt: skip


def test_the_trivial_answer_stands_beside_the_score(folder, capsys):
    assert main(["train", "shop.csv", "--target", "bought", "--epochs", "1"]) == 0
    assert re.search(r"^the most frequent class alone: \d+\.\d\d %$", capsys.readouterr().out, re.MULTILINE)
    assert main(["train", "shop.csv", "--target", "spent", "--epochs", "1"]) == 0
    assert re.search(r"^the mean alone: -?0\.\d{4}$", capsys.readouterr().out, re.MULTILINE)


def test_a_reader_that_goes_away_loses_no_model(folder):
    command = [sys.executable, "-m", "fastnn", "train", "shop.csv", "--target", "bought", "--epochs", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1
    assert (folder / "shop-bought.safetensors").is_file()


@pytest.mark.parametrize("option", ["--plot", "--output"])
def test_files_that_could_not_be_written_are_told_before_training(folder, capsys, option, monkeypatch):
    (folder / "there.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    arguments = ["train", "shop.csv", "--target", "bought", option]
    assert f"{option} must be a file in a folder that exists" in usage_error(capsys, *arguments, "there.png")
    assert f"{option} must be a file, got 'pipe.png', which is a device or a pipe" in usage_error(
        capsys, *arguments, "pipe.png"
    )
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    assert f"{option} must be a file that may be written" in usage_error(capsys, *arguments, "new.png")


def test_a_read_only_file_is_told_before_training_for_root_too(folder, capsys):
    (folder / "kept.bin").write_bytes(b"kept")
    (folder / "kept.bin").chmod(0o444)
    message = usage_error(capsys, "train", "shop.csv", "--target", "bought", "--output", "kept.bin")
    assert "--output must be a file that may be written, got 'kept.bin'" in message


def test_a_target_beyond_float64_is_told_before_training(folder, capsys):
    table(60).with_columns(spent=polars.Series([1e300] + [1.5] * 59)).write_csv("huge.csv")
    message = "the target 'spent' must have numbers whose squares float64 holds"
    assert message in usage_error(capsys, "train", "huge.csv", "--target", "spent")


def test_predictions_are_written_as_the_suffix_says_with_columns_to_keep(shop_model, folder, capsys):
    for name, read in (("out.parquet", polars.read_parquet), ("out.csv", polars.read_csv)):
        assert main(["predict", "shop-bought.safetensors", "shop.csv", "-o", name, "--keep", "id", "age"]) == 0
        written = read(name)
        assert written.columns == ["id", "age", "prediction", "probability of no", "probability of yes"]
        assert written["id"].to_list() == table()["id"].to_list()
    arguments = ["predict", "shop-bought.safetensors", "shop.csv", "-o"]
    assert "--output must end in .csv" in usage_error(capsys, *arguments, "out.xlsx")
    assert "no column 'idd' in shop.csv" in usage_error(capsys, *arguments, "out.csv", "--keep", "idd")


def test_the_score_of_rows_that_were_trained_on_is_said_to_flatter(shop_model, folder, capsys):
    main(["predict", "shop-bought.safetensors", "shop.csv"])
    assert "the model was trained on 80 % of these rows: the score flatters it" in capsys.readouterr().err
    table(200).write_csv("other.csv")
    main(["predict", "shop-bought.safetensors", "other.csv"])
    assert "flatters" not in capsys.readouterr().err


def test_types_and_missing_values_travel_with_the_model(folder, capsys):
    """Files that spell categories and labels in other ways give the same predictions."""
    r = rng(1)
    store, x = r.integers(1, 5, 300), r.normal(size=300).round(3)
    label = np.where(store % 2 == 0, "01", "02")
    data = polars.DataFrame({"store": store, "x": np.where(r.random(300) < 0.1, -999.0, x), "label": label})
    data.write_csv("stores.csv")
    options = "--target label --categorical store --missing -999 --epochs 40 --quiet"
    assert main(["train", "stores.csv", *options.split()]) == 0
    capsys.readouterr()
    data.with_columns(polars.col("store").cast(polars.Float64)).write_csv("floats.csv")  # 1.0, as pandas writes
    data.with_columns(x=polars.when(polars.col("x") > -999).then("x")).write_csv("empty.csv")
    outputs = []
    for name in ("stores.csv", "floats.csv", "empty.csv"):
        assert main(["predict", "stores-label.safetensors", name]) == 0
        captured = capsys.readouterr()
        assert float(re.search(r"accuracy: ([\d.]+)", captured.err)[1]) > 90
        outputs.append(captured.out)
    assert outputs[0] == outputs[1] == outputs[2]
    assert {row["prediction"] for row in csv.DictReader(io.StringIO(outputs[0]))} == {"01", "02"}
    data.with_columns(store=polars.lit("x")).write_csv("strange.csv")
    assert main(["predict", "stores-label.safetensors", "strange.csv"]) == 0
    assert "warning: column 'store' holds no value that training saw" in capsys.readouterr().err


@pytest.mark.parametrize("n_categories", [200, 201, 300])
def test_the_plain_network_learns_a_vector_for_each_of_many_categories(folder, capsys, n_categories):
    """Where it took one number, their rank, for more than 200, R2 fell to a fifth at the 201st."""
    effect, codes = rng(1).normal(size=n_categories), rng(2).permutation(np.arange(3000) % n_categories)
    x = rng(3).normal(size=3000)
    y = effect[codes] + 0.3 * x
    polars.DataFrame({"x": x, "shop": [f"s{code}" for code in codes], "y": y}).write_csv("many.csv")
    options = ("--hidden", "16", "--dropout", "0", "--epochs", "30", "--learning-rate", "0.01", "--quiet")
    assert main(["train", "many.csv", "--target", "y", "--preset", "plain", *options]) == 0
    out = capsys.readouterr().out
    assert ("categories with a learned vector each: shop" in out) == (n_categories > 200)
    assert float(re.search(r"test R2: ([\d.]+)", out)[1]) > 0.9
    assert main(["predict", "many-y.safetensors", "many.csv"]) == 0


def test_a_model_of_ranks_of_before_predicts_as_it_did():
    folder = pathlib.Path(__file__).parents[1] / "files" / "data"
    model = TableModel.load(folder / "ranks-0.1.safetensors")
    assert [column.kind for column in model.preprocessing.columns] == ["number", "rank"]
    new = polars.DataFrame({"x": [0.1, -1.0, 2.0, 0.0], "shop": ["s3", "s200", "never seen", None]})
    expected = [float(line) for line in (folder / "ranks-0.1.txt").read_text().split()]
    np.testing.assert_allclose(model.predict(new)["prediction"], expected, rtol=1e-5)
