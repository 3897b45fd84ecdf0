"""`fastnn train FILE` without options: the estimators for tables, and what is reported about them."""

import _thread
import contextlib
import json
import re
import time

import numpy as np
import pytest

from fastnn.callbacks import LiveView
from fastnn.callbacks.curves import FitsInTerminal
from fastnn.cli import main
from support import rng

polars = pytest.importorskip("polars", reason="polars is missing: it comes with the extra 'tables'")

from fastnn.tabular import TableModel  # noqa: E402  (polars first)


def table(n=240):
    r = rng()
    age, city = r.integers(18, 80, n), r.choice(["Oslo", "Rome", "Paris"], n)
    return polars.DataFrame(
        {
            "age": age, "city": city, "shop": np.arange(n) // 12, "day": np.arange(n)[::-1] * 3,
            "price": 2.0 * age + r.normal(size=n), "bought": np.where((age > 45) & (city != "Rome"), "yes", "no"),
        }
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table().write_csv("shop.csv")
    return tmp_path


def usage_error(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    assert stop.value.code == 2
    return capsys.readouterr().err


def test_a_classification_is_reported_in_full_and_described(folder, capsys):
    options = ["--target", "bought", "--drop", "price", "--json", "report.json", "--threads", "2"]
    assert main(["train", "shop.csv", *options]) == 0
    out = capsys.readouterr().out
    for pattern in (
        r"^test accuracy: \d+\.\d\d %$", r"^log loss: \d\.\d{4}, ROC AUC: \d\.\d{4}$",
        r"^the most frequent class alone: \d+\.\d\d %$", r"^yes +\d\.\d{3}", r"^columns by importance: (age|city) ",
        r"^time: [\d.]+ s, recipe: (encoded|plain|small)$", r"^report: report\.json$", r"^model: shop-bought\.saf",
    ):  # fmt: skip
        assert re.search(pattern, out, re.MULTILINE), pattern
    report = json.loads((folder / "report.json").read_text())
    assert report["test"]["accuracy"] > 0.9 > report["trivial"]["accuracy"]
    assert np.sum(report["confusion"]) == 48
    assert report["importance"]["age"] > report["importance"]["shop"]

    assert main(["describe", "shop-bought.safetensors"]) == 0
    described = capsys.readouterr().out
    assert described.startswith("predicts bought: classification of no, yes\n  age: quantile")
    assert (
        "price: left out (as asked)" in described
        and f"test accuracy: {100 * report['test']['accuracy']:.2f} %" in described
    )
    assert main(["predict", "shop-bought.safetensors", "shop.csv"]) == 0
    assert "trained on 80 % of these rows" in capsys.readouterr().err


def test_a_regression_is_reported_with_folds(folder, capsys):
    assert main(["train", "shop.csv", "--target", "price", "--preset", "fast", "--cv", "2", "--quiet", "-o", "m"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^cross-validation: R2 0\.\d{4} \+- \d\.\d{4}, MAE ", out, re.MULTILINE)
    assert float(re.search(r"test R2: ([\d.]+)", out)[1]) > 0.8
    assert re.search(r"^MAE: [\d.]+, RMSE: [\d.]+$", out, re.MULTILINE)
    assert re.search(r"^the mean alone: -?0\.\d+, MAE: [\d.]+, RMSE: [\d.]+$", out, re.MULTILINE)


def test_groups_stay_together_and_time_goes_on(folder, capsys):
    options = "train shop.csv --target bought --drop price --preset fast -o m --quiet"
    assert main([*options.split(), "--group", "shop"]) == 0
    assert "left out: shop (as asked)" in capsys.readouterr().out
    model = TableModel.load("m")
    data = table()
    shares = {shop: model.share_trained_on(rows) for (shop,), rows in data.group_by("shop")}
    assert set(shares.values()) == {0.0, 1.0} and sum(shares.values()) == 16
    assert main([*options.split(), "--time", "day"]) == 0
    model = TableModel.load("m")
    assert model.share_trained_on(data[:48]) == 0.0 and model.share_trained_on(data[48:]) == 1.0
    assert "no column 'shp'" in usage_error(capsys, *options.split(), "--group", "shp")


def test_the_fits_of_a_preset_are_drawn_and_served(folder, capsys, monkeypatch):
    views = []
    monkeypatch.setattr(LiveView, "close", lambda view: views.append(view) or view._server.close())
    options = "train shop.csv --target bought --drop price --preset fast -o m --quiet --threads 1 --cv 2 --live"
    assert main([*options.split(), "--live-port", "0"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^live: http://127.0.0.1:\d+/\S+/$", out, re.MULTILINE)
    assert "━ encoded, all rows 1" in out and "12 networks trained" in out
    rows = views[0]._board.news({})
    assert [row["name"] for row in rows][::4] == [
        "fold 1: encoded, part 1",
        "fold 2: encoded, part 1",
        "encoded, part 1",
    ]
    assert rows[-1]["name"] == "encoded, all rows 1" and rows[-1]["state"] == "done"
    assert set(rows[-1]["points"][-1]["groups"]) == {"norm of weights", "norm of gradients"}


def test_ctrl_c_saves_what_there_is(folder, capsys, monkeypatch):
    def add(display, fit):
        if fit.name == "encoded, all rows 1" and len(fit.losses) == 1:
            _thread.interrupt_main()
            time.sleep(0.3)  # until the main thread has heard of it

    monkeypatch.setattr(FitsInTerminal, "add", add)
    options = "train shop.csv --target bought --drop price --preset fast -o m --quiet --threads 1 --live"
    assert main(options.split()) == 130
    out, err = capsys.readouterr()
    assert "test accuracy" in out and "was interrupted" in err
    assert TableModel.load("m").network.n_parameters > 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("--preset best --epochs 3", "--epochs goes with the preset plain, not best"),
        ("--preset plain --cv 3", "--cv goes with the preset best and fast, not plain"),
        (
            "--hidden 8 --time-limit 3",
            "--time-limit goes with the preset best and fast, not plain since --hidden is given",
        ),
        ("--cv 1", "--cv must be an integer"),
        ("--json nowhere/report.json", "--json must be a file in a folder that exists"),
        ("--time-limit -1", "time_limit must be a number"),
    ],
)
def test_options_that_do_not_go_together(folder, capsys, arguments, message):
    assert message in usage_error(capsys, "train", "shop.csv", "--target", "bought", *arguments.split())


def test_describe_refuses_what_is_no_model(folder, capsys):
    assert "not a fastnn file" in usage_error(capsys, "describe", "shop.csv")
    assert main(["describe", "none"]) == 1


def test_a_search_is_shown_saved_and_drawn(folder, capsys):
    pytest.importorskip("matplotlib")
    options = "--target bought --drop price --trials 4 --threads 1 --plot search.png --json report.json --quiet"
    assert main(["tune", "shop.csv", *options.split()]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^4 configurations, \d on the highest rung; by log_loss the best are$", out, re.MULTILINE)
    assert float(re.search(r"^test accuracy: ([\d.]+) %$", out, re.MULTILINE)[1]) > 85
    assert (folder / "search.png").read_bytes().startswith(b"\x89PNG")
    trials = json.loads((folder / "report.json").read_text())["trials"]
    assert len(trials) == 4
    assert len(re.findall(r"^  [\d.]+  8 members of ", out, re.MULTILINE)) == sum(t["members"] == 8 for t in trials) > 0
    assert main(["predict", "shop-bought.safetensors", "shop.csv"]) == 0
    capsys.readouterr()
    assert "metric must be one of" in usage_error(capsys, "tune", "shop.csv", "--target", "bought", "--metric", "r2")
    assert "--target must name the column" in usage_error(capsys, "tune", "shop.csv")
    assert "FILE must end in .csv" in usage_error(capsys, "tune", "iris", "--target", "x")


def test_a_search_whose_picture_fails_has_saved_its_model(folder, monkeypatch):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    def fail(*arguments, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    options = ("--time-limit", "1", "--trials", "3", "--quiet", "--plot", "search.png", "-o", "model.safetensors")
    with contextlib.suppress(OSError, SystemExit):
        main(["tune", "shop.csv", "--target", "bought", *options])
    assert TableModel.load("model.safetensors").report["preset"] == "tune"
