"""Curves that are drawn while training runs: in a terminal and in a notebook, at next to no cost."""

import base64
import re
import sys
import threading
import time
import types

import numpy as np
import pytest

import fastnn
from fastnn.callbacks.curves import NotebookCurves, TerminalCurves, progress_display
from fastnn.callbacks.drawing import svg_charts, text_chart, thinned
from fastnn.callbacks.progress import ProgressBar
from fastnn.cli import main

X = np.linspace(-1, 1, 64)[:, None]


def fit(callback, epochs=8):
    trainer = fastnn.Trainer(fastnn.Network.mlp(1, [8], 1, seed=0), loss="mse", metrics=["mae"])
    trainer.fit(X, X**2, epochs=epochs, validation_split=0.2, callbacks=[callback])
    return trainer


@pytest.fixture
def shown(monkeypatch):
    """What a stand-in for IPython's display was given, update by update."""
    bundles = []
    handle = types.SimpleNamespace(update=lambda bundle, raw: bundles.append(bundle))

    def display(bundle, raw, display_id):
        bundles.append(bundle)
        return handle

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return bundles


def test_a_notebook_gets_curves_and_a_terminal_lines(shown, monkeypatch):
    assert isinstance(progress_display(3, 1), NotebookCurves)
    assert isinstance(progress_display(3, 2), ProgressBar)
    sys.modules["IPython"].get_ipython = lambda: types.SimpleNamespace()  # IPython in a terminal
    assert isinstance(progress_display(3, 1), ProgressBar)


def test_the_last_picture_stays_in_the_notebook(shown):
    fit(NotebookCurves(8))
    page = shown[-1]["text/html"]
    svgs = [base64.b64decode(text).decode() for text in re.findall(r"base64,([^\"]+)", page)]
    assert [svg.count("<polyline") for svg in svgs] == [2, 2]  # loss and mae, training and validation
    assert "epoch 8/8" in shown[-1]["text/plain"] and "val_loss" in shown[-1]["text/plain"]


def test_drawing_is_followed_by_a_pause(shown):
    """Cost is bound by rule, not by luck: after a drawing of t seconds there is none for 100 t."""
    slow = NotebookCurves(10)
    slow.on_train_begin()
    slow._next_draw = 0
    slow._draw = lambda is_last: time.sleep(0.02)
    slow.on_epoch_end(0, {"loss": 1.0})
    assert slow._next_draw - time.perf_counter() > 1.9


def test_terminal_prints_the_curve_once_where_it_cannot_redraw(capsys):
    fit(TerminalCurves(8))
    out = capsys.readouterr().out
    assert out.count("epoch 1 to 8") == 1
    assert "━ loss  ━ val_loss" in out and "epoch 8/8" in out


def test_chart_has_the_shape_of_its_curve():
    chart = re.sub(r"\[.*?\]", "", text_chart({"loss": [1.0, 0.5, 0.0]}, 3, width=31, height=3)).splitlines()
    assert chart[0].startswith("        1 │") and chart[2].startswith("        0 │")
    first, last = chart[0].split("│")[1], chart[2].split("│")[1]
    assert first.strip() and last.strip() and first.find(first.strip()[0]) < last.find(last.strip()[0])
    assert text_chart({"loss": [float("nan")]}, 3, 40, 4) == ""
    assert "0.5" in text_chart({"loss": [1.0, 1.0]}, 2, 40, 4)


def test_long_curves_are_thinned_and_keep_their_end():
    points = thinned(list(range(10_000)))
    assert len(points) <= 302 and points[-1] == (10_000, 9_999)
    assert len(svg_charts({"loss": {"training": list(range(10_000))}}, 10_000)) < 10_000


def contrast(colour, page):
    """As the web's guidelines on accessibility define it."""

    def luminance(text):
        parts = [int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    low, high = sorted(luminance(text) + 0.05 for text in (colour, page))
    return high / low


def test_curves_are_readable_on_light_and_on_dark_notebooks():
    """A picture knows what the system prefers, not what the notebook around it looks like."""
    svg = svg_charts({"loss": {"training": [1.0, 0.5], "validation": [1.0, 0.7]}}, 2)
    assert "prefers-color-scheme" not in svg
    colours = [text if len(text) == 6 else "".join(2 * c for c in text) for text in re.findall(r"fill:#(\w+)", svg)]
    assert len(colours) == 3
    assert all(contrast("#" + colour, page) > 4 for colour in colours for page in ("#ffffff", "#111111"))


def test_command_line_draws_and_serves(capsys):
    options = ["--epochs", "2", "--hidden", "8", "--quiet", "--live", "--live-port", "0"]
    assert main(["train", "iris", *options]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^live: http://127.0.0.1:\d+/\S+/$", out, re.MULTILINE)
    assert "epoch 1 to 2" in out
    with pytest.raises(SystemExit):
        main(["train", "iris", "--live-port", "70000"])
    assert "port must be" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", "iris", "--live-port", "0", "--epochs", "-1"])
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("fastnn-live")] == []
