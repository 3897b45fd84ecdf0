"""`fastnn train` and `fastnn predict` on rows that follow each other: sequences, and a series to forecast."""

import json
import re

import numpy as np
import pytest

import fastnn
from fastnn import series
from fastnn.cli import main
from fastnn.files import container
from support import rng

polars = pytest.importorskip("polars")
SMALL = ("--hidden", "4", "--learning-rate", "0.02", "--quiet")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, header, rows):
    path.write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")


def write_waves(folder, n=150, days=None):
    days = np.arange(n) if days is None else days
    rows = [(np.datetime64("2020-01-01") + day, round(float(np.sin(day / 3)), 4)) for day in days]
    write(folder / "waves.csv", "day,level", rows)


def write_visits(folder, n=40, target=("down", "up")):
    """Values that fall or rise; the rows of sequences lie in between each other."""
    rows, draws = [], rng(1)
    for name in range(n):
        sign, length = 2 * (name % 2) - 1, draws.integers(3, 8)
        rows += [(f"p{name}", t, round(sign * t + draws.normal() * 0.3, 3), target[name % 2]) for t in range(length)]
    write(folder / "visits.csv", "who,visit,value,kind", sorted(rows, key=lambda row: row[1]))


def usage_error(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    return capsys.readouterr().err


FORECAST = ("train", "waves.csv", "--target", "level", "--order-by", "day", "--window", "8")
GROUPED = ("train", "visits.csv", "--target", "kind", "--sequence-by", "who", "--order-by", "visit")


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_series_is_forecast_better_than_by_its_last_value(folder, capsys, horizon):
    pytest.importorskip("matplotlib")
    write_waves(folder)
    assert main([*FORECAST, "--horizon", str(horizon), "--epochs", "60", *SMALL, "--plot", "curves.png"]) == 0
    out = capsys.readouterr().out
    error, naive = (float(re.search(rf"{name}: ([\d.e-]+)", out)[1]) for name in ("error", "value alone"))
    assert error < naive / 2
    assert (folder / "curves.png").stat().st_size
    levels = np.sin(np.arange(150 + horizon) / 3)
    n = 150 - 8 - horizon + 1
    test = np.arange(n - int(np.ceil(0.2 * n)), n) + 7
    assert naive == pytest.approx(np.abs(levels[test + horizon] - levels[test]).mean(), rel=1e-2)
    assert main(["predict", "waves-level.safetensors", "waves.csv", "-o", "out.csv"]) == 0
    predicted = polars.read_csv("out.csv")
    assert predicted.columns == ["day", "prediction"]
    assert predicted["day"][0] == "2020-01-08"
    assert predicted.height == 150 - 7  # the last of them for rows that the file does not reach
    assert np.abs(predicted["prediction"].to_numpy() - levels[7 + horizon :]).mean() < 2 * error


@pytest.mark.parametrize("model", ["gru", "lstm"])
def test_sequences_have_one_class_each(folder, capsys, model):
    write_visits(folder)
    assert main([*GROUPED, "--model", model, "--epochs", "40", *SMALL]) == 0
    out = capsys.readouterr().out
    assert "40 sequences of 3 to 7 steps of 1 features; 32 to train, 8 to test" in out
    assert "the most frequent class alone: 50.00 %" in out
    assert f"network: {model.upper()} of 4 units" in out
    assert float(re.search(r"test accuracy: ([\d.]+) %", out)[1]) > 80
    # One sequence, longer than any of training, and without the target.
    write(folder / "new.csv", "who,visit,value", [("a", t, -t) for t in range(12)])
    assert main(["predict", "visits-kind.safetensors", "new.csv"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header == "who,prediction,probability of down,probability of up"
    assert row.startswith("a,down,")


def test_a_sequence_is_predicted_alike_alone_and_among_others_and_numbers_are_numbers(folder, capsys):
    write_visits(folder, target=(1.5, 7.25))
    assert main([*GROUPED, "--task", "regression", "--epochs", "40", *SMALL]) == 0
    out = capsys.readouterr().out
    error, trivial = (float(re.search(rf"{name}: ([\d.]+)", out)[1]) for name in ("error", "mean alone"))
    assert error < trivial / 2
    model = series.SeriesModel.load("visits-kind.safetensors")
    table = polars.read_csv("visits.csv")
    every = model.predict(table)
    assert list(every["who"]) == [f"p{i}" for i in range(40)]
    alone = model.predict(table.filter(table["who"] == "p7"))
    assert alone["prediction"][0] == pytest.approx(every["prediction"][7], rel=1e-5)


@pytest.mark.parametrize(
    ("days", "message"),
    [
        ([*range(50), 60, *range(61, 90)], "the times in 'day' must have no gap, got 2020-03-01 in row 51"),
        ([*range(50), 48, *range(50, 90)], "must rise from row to row, got 2020-02-18 in row 51 after 2020-02-19"),
        ([*range(50), 49, *range(50, 90)], "leave out what is there twice"),
        (range(12), "the series is too short for --window 8 and --horizon 1: about 23 rows are needed"),
    ],
)
def test_series_that_cannot_be_forecast(folder, capsys, days, message):
    write_waves(folder, days=days)
    assert message in usage_error(capsys, *FORECAST)
    assert not (folder / "waves-level.safetensors").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("a", 1, 0, 0), ("b", 1, 0, 1), ("a", 1, 1, 0)], "must rise within the sequence 'a', got 1 in row 3"),
        ([("a", 1, 0, 0), ("a", "", 1, 0)], "the times in 'visit' must all be there, got none in row 2"),
        ([("a", 1, 0, 0), ("", 2, 1, 0)], "'who' must name every row's sequence, got none in row 2"),
        ([("a", 1, 0, 0), ("a", 2, 1, 1)], "'kind' must be one value in all rows of a sequence"),
        ([("a", 1, 0, 0), ("b", 2, 1, 1)], "at least 4 sequences to train and test on, got 2"),
    ],
)
def test_sequences_that_make_no_sense(folder, capsys, rows, message):
    write(folder / "visits.csv", "who,visit,value,kind", rows)
    assert message in usage_error(capsys, *GROUPED)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("train", "visits.csv", "--target", "kind", "--sequence-by", "who"), "--sequence-by needs --order-by"),
        (
            ("train", "visits.csv", "--target", "kind", "--horizon", "2"),
            "--horizon goes with --sequence-by or --window",
        ),
        (("train", "visits.csv", "--target", "kind", "--model", "lstm"), "--model lstm goes with --sequence-by"),
        ((*GROUPED, "--window", "3"), "--window and --horizon go with one series"),
        ((*GROUPED, "--model", "cnn"), "--model must be gru or lstm for sequences, got cnn"),
        ((*GROUPED, "--preset", "best"), "--preset does not go with --sequence-by or --window"),
        ((*GROUPED, "--size", "8"), "--size does not go with --sequence-by or --window"),
        ((*GROUPED[:-1], "visti"), "there is no column 'visti' in the table, which has who, visit, value, kind"),
        ((*GROUPED, "--hidden"), "--hidden must name the units"),
        ((*FORECAST[:-1], "0"), "--window must be"),
        (("train", "digits", "--window", "3"), "--window goes with a file, got 'digits'"),
    ],
)
def test_options_that_do_not_go_together(folder, capsys, arguments, message):
    write_visits(folder)
    write_waves(folder)
    assert message in usage_error(capsys, *arguments)


def test_prediction_refuses_what_it_cannot_do(folder, capsys):
    write_waves(folder)
    assert main([*FORECAST, "--epochs", "1", *SMALL]) == 0
    write_waves(folder, n=7)
    predict = ("predict", "waves-level.safetensors", "waves.csv")
    assert "must have at least 8 rows, the window, got 7" in usage_error(capsys, *predict)
    assert "--keep goes with a prediction for every row" in usage_error(capsys, *predict, "--keep", "day")
    write(folder / "waves.csv", "day,level", [("2020-01-01", 1), ("2020-01-02", "")])
    assert "the series 'level' must have no gap, got no value in row 2" in usage_error(capsys, *predict)


def test_files_are_checked(folder):
    write_waves(folder)
    assert main([*FORECAST, "--epochs", "1", *SMALL]) == 0
    with container.reading("waves-level.safetensors") as file:
        document = json.loads(json.dumps(file.document))
    assert document["series"] == {
        "by": None, "order": "day", "window": 8, "horizon": 1, "scale": document["series"]["scale"], "dayfirst": None,
    }  # fmt: skip
    model = series.SeriesModel.load("waves-level.safetensors")
    for change, message in (
        ({"scale": -1.0}, "series must say"),
        ({"window": 9}, "takes 8 steps, not the window 9"),
        ({"by": "a"}, "either by and order, or window and horizon"),
    ):
        wrong = series.SeriesModel(**{**vars(model), **change})
        wrong.save("wrong")
        with pytest.raises(container.FileFormatError, match=message):
            series.SeriesModel.load("wrong")
    fastnn.Network.mlp(2, [2], 1).save("plain")
    with pytest.raises(container.FileFormatError, match="no model of series"):
        series.SeriesModel.load("plain")


@pytest.mark.parametrize("arguments", [("--sequence-by", "who"), ("--window", "3")])
def test_many_categories_have_a_learned_vector_at_every_step(folder, capsys, arguments):
    """Whose sum over the steps is the class; by rank they say next to nothing."""
    effect, draws, rows = rng(0).normal(size=220), rng(1), []
    if arguments[0] == "--window":
        codes = draws.integers(0, 220, 3000)
        level = [0.0, *effect[codes[:-1]]]  # a code tells the next level
        rows = [(t, f"c{code}", round(value, 4)) for t, (code, value) in enumerate(zip(codes, level, strict=True))]
        write(folder / "visits.csv", "visit,code,kind", rows)
    else:
        for name in range(1200):
            codes = draws.integers(0, 220, draws.integers(2, 4))
            rows += [(f"p{name}", t, f"c{code}", ["down", "up"][int(effect[codes].sum() > 0)])
                     for t, code in enumerate(codes)]  # fmt: skip
        write(folder / "visits.csv", "who,visit,code,kind", rows)
    options = ("--hidden", "8", "--epochs", "15", "--learning-rate", "0.01", "--quiet", "-o", "model")
    assert main(["train", "visits.csv", "--target", "kind", "--order-by", "visit", *arguments, *options]) == 0
    out = capsys.readouterr().out
    network = fastnn.Network.load("model")
    assert isinstance(network.layers[1], fastnn.CategoryEmbedding)
    if arguments[0] == "--window":
        error, naive = (float(re.search(rf"{name}: ([\d.e-]+)", out)[1]) for name in ("error", "value alone"))
        assert error < naive / 2
    else:
        assert float(re.search(r"test accuracy: ([\d.]+) %", out)[1]) > 80
    assert main(["predict", "model", "visits.csv", "-o", "out.csv"]) == 0


def test_a_sequence_without_any_value_is_told(folder, capsys):
    write_visits(folder)
    assert main([*GROUPED, "--epochs", "1", *SMALL]) == 0
    write(folder / "new.csv", "who,visit,value", [("a", 1, 0.5), ("b", 1, ""), ("b", 2, ""), ("a", 2, "")])
    assert main(["predict", "visits-kind.safetensors", "new.csv"]) == 0
    assert "1 sequence has no value in any column that the model uses (the first: 'b')" in capsys.readouterr().err


def test_numbers_too_large_to_predict_are_refused(folder, capsys):
    write_visits(folder)
    assert main([*GROUPED, "--epochs", "1", *SMALL]) == 0
    write(folder / "new.csv", "who,visit,value", [("a", 1, 0.5), ("b", 1, 1e39)])
    error = usage_error(capsys, "predict", "visits-kind.safetensors", "new.csv")
    assert "the features of the table must be finite, got inf in row 1" in error
    model = series.SeriesModel.load("visits-kind.safetensors")
    model.network.parameters[-6:] = np.nan  # as what overflows inside
    with pytest.raises(ValueError, match="values so large that sequence 0 has no prediction"):
        model.predict(polars.DataFrame({"who": ["a"], "visit": [1], "value": [0.5]}))
