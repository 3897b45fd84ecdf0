"""What a person sees while training: on a terminal, in a file, and with thousands of fast epochs."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

import fastnn
from fastnn.callbacks import progress
from fastnn.callbacks.progress import ProgressBar, format_left, format_number, format_seconds, line_interval

pty = pytest.importorskip("pty", reason="pseudo-terminals are a thing of POSIX")

LINE = re.compile(r"epoch +(\d+)/(\d+) - \S+(?:ms|s) - loss: \S+( - \w+: \S+)*")


class Terminal(io.StringIO):
    """A stdout that says it is a terminal."""

    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """For `fit` and `simulate` to write to. (pytest puts its own stdout back between a fixture and its test.)"""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    return Terminal()


def lines_of(text):
    """Return the lines that stay, without what a bar drew and erased."""
    text = text.replace("\r\n", "\n").replace("\x1b[?25l", "").replace("\x1b[?25h", "")
    kept = re.sub(r"[^\r\n]*(\r\x1b\[2K|\n\r\x1b\[1A\x1b\[2K)", "", text)
    return [line for line in kept.split("\n") if line.startswith("epoch")]


X = np.linspace(-1, 1, 64)[:, None]
Y = X[:, 0] ** 2


def make_trainer():
    return fastnn.Trainer(fastnn.Network.mlp(1, [4], 1, seed=0), loss="mse", metrics=["mae"])


def fit(terminal, **options):
    with contextlib.redirect_stdout(terminal):
        make_trainer().fit(X, Y, **options)
    return terminal.getvalue()


def simulate(terminal, monkeypatch, epochs, seconds, steps=1):
    """Run the display through a training whose epochs take exactly so many seconds; return how often it drew a bar."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    draws = []
    original = ProgressBar._draw
    monkeypatch.setattr(
        ProgressBar, "_draw", lambda self, done: (draws.append((clock.now, done)), original(self, done))
    )
    bar = ProgressBar(epochs)
    bar.set_trainer(SimpleNamespace(epochs_done=0))
    with contextlib.redirect_stdout(terminal):
        bar.on_train_begin()
        for epoch in range(epochs):
            bar.on_epoch_begin(epoch)
            for step in range(steps):
                clock.now += seconds / steps
                bar.on_progress(step + 1, steps)
            bar.on_epoch_end(epoch, {"loss": 1.0 / (epoch + 1)})
        bar.on_train_end()
    return draws


# --- where and when it shows ------------------------------------------------------------------------------------------


def test_silent_without_verbose(terminal):
    assert fit(terminal, epochs=3) == ""


def test_quiet_where_stdout_is_no_terminal(capsys):
    make_trainer().fit(X, Y, epochs=3, verbose=1)
    assert capsys.readouterr() == ("", "")


def test_verbose_2_prints_every_epoch_anywhere(capsys):
    history = make_trainer().fit(X, Y, epochs=30, verbose=2, validation_split=0.25)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 30
    assert all(LINE.fullmatch(line) for line in lines)
    last = dict(re.findall(r"(\w+): (\S+)", lines[-1]))
    assert list(last) == ["loss", "mae", "val_loss", "val_mae"]
    assert all(float(value) == pytest.approx(history.history[name][-1], rel=1e-2) for name, value in last.items())


def test_a_line_an_epoch_on_a_terminal(terminal):
    lines = lines_of(fit(terminal, epochs=3, verbose=1))
    assert [line.split(" - ")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert all(LINE.fullmatch(line) for line in lines)


def test_a_second_fit_counts_from_one_again(terminal):
    trainer = make_trainer()
    trainer.fit(X, Y, epochs=2)
    with contextlib.redirect_stdout(terminal):
        trainer.fit(X, Y, epochs=2, verbose=1)
    assert [line.split(" - ")[0] for line in lines_of(terminal.getvalue())] == ["epoch 1/2", "epoch 2/2"]


def test_training_that_ends_early_shows_its_last_epoch(terminal):
    class Stop(fastnn.Callback):
        def on_epoch_end(self, epoch, logs):
            self.trainer.stop_training = epoch == 6

    lines = lines_of(fit(terminal, epochs=100, verbose=1, callbacks=[Stop()]))
    assert [line.split(" - ")[0] for line in lines] == ["epoch   5/100", "epoch   7/100"]


# --- many epochs, long epochs -----------------------------------------------------------------------------------------


def test_thousands_of_fast_epochs_leave_twenty_lines_and_ten_draws_a_second(terminal, monkeypatch):
    draws = simulate(terminal, monkeypatch, epochs=4000, seconds=0.001)
    assert len(lines_of(terminal.getvalue())) == 20
    assert 25 <= len(draws) <= 36  # 4 s, the first half second without a bar
    assert min(np.diff([now for now, _ in draws])) >= 0.0999


def test_slow_epochs_have_a_line_each_and_a_bar_that_moves_within_them(terminal, monkeypatch):
    draws = simulate(terminal, monkeypatch, epochs=30, seconds=2.0, steps=40)
    assert len(lines_of(terminal.getvalue())) == 30
    within_first = [done for _, done in draws if done < 1]
    assert len(within_first) >= 10
    assert within_first == sorted(within_first)
    assert "s left" in terminal.getvalue()


def test_a_short_training_has_no_bar(terminal, monkeypatch):
    assert simulate(terminal, monkeypatch, epochs=100, seconds=0.004) == []
    assert "━" not in terminal.getvalue()


def test_the_bar_is_erased_and_the_cursor_is_back(terminal, monkeypatch):
    simulate(terminal, monkeypatch, epochs=4, seconds=1.0, steps=10)
    text = terminal.getvalue()
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
    assert text.endswith("\x1b[2K")
    assert "━" not in "".join(lines_of(text))


def test_the_cursor_is_back_when_training_fails(terminal, monkeypatch):
    monkeypatch.setattr(progress, "BAR_AFTER_SECONDS", 0.0)

    class Fail(fastnn.Callback):
        def on_epoch_end(self, epoch, logs):
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fit(terminal, epochs=3, verbose=1, callbacks=[Fail()])
    text = terminal.getvalue()
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1


# --- a real terminal --------------------------------------------------------------------------------------------------


def run_on_a_terminal(program, interrupt_after=None):
    """Run a program on a pseudo-terminal; return what it wrote. Ctrl-C comes when the text appears."""
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=follower, stderr=subprocess.PIPE, env=environment
    )
    os.close(follower)
    watchdog = threading.Timer(120, process.kill)
    watchdog.start()
    text = ""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # the other side is closed
            break
        text += piece.decode(errors="replace")
        if interrupt_after is not None and interrupt_after in text:
            process.send_signal(signal.SIGINT)
            interrupt_after = None
    errors = process.communicate()[1].decode()
    watchdog.cancel()
    os.close(leader)
    return process.returncode, text, errors


PROGRAM = """
import numpy as np, fastnn
from fastnn.callbacks import progress
progress.BAR_AFTER_SECONDS = 0.05
X = np.zeros((20_000, 8), np.float32)
trainer = fastnn.Trainer(fastnn.Network.mlp(8, [32], 1, seed=0), loss="mse")
history = trainer.fit(X, X[:, 0], epochs={epochs}, verbose=1)
print("afterwards", history.stop_reason)
"""


def test_on_a_pseudo_terminal():
    code, text, errors = run_on_a_terminal(PROGRAM.format(epochs=30))
    assert code == 0, errors
    assert "━" in text
    lines = lines_of(text)
    assert LINE.fullmatch(lines[-1].strip()) and "epoch 30/30" in lines[-1]
    assert "afterwards None" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")


def test_ctrl_c_leaves_a_clean_terminal():
    started = time.perf_counter()
    code, text, errors = run_on_a_terminal(PROGRAM.format(epochs=1_000_000), interrupt_after="━")
    assert code == 0, errors
    assert "afterwards interrupted" in text
    assert "Training was interrupted" in errors
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert time.perf_counter() - started < 100


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value, text",
    [(0.0, "0.0000"), (0.98765, "0.9877"), (-0.5, "-0.5000"), (1.2345e-5, "1.234e-05"), (123456.0, "1.235e+05"),
     (float("nan"), "nan"), (float("inf"), "inf")],
)  # fmt: skip
def test_format_number(value, text):
    assert format_number(value) == text


@pytest.mark.parametrize(
    "seconds, text",
    [(0.00052, "0.52ms"), (0.00999, "10ms"), (0.0314, "31ms"), (0.9996, "1.00s"), (2.754, "2.75s"), (59.999, "1m00s"),
     (188, "3m08s"), (7500, "2h05m")],
)  # fmt: skip
def test_format_seconds(seconds, text):
    assert format_seconds(seconds) == text


def test_format_left():
    assert [format_left(seconds) for seconds in (0.4, 6.2, 59.4, 59.6, 188)] == [
        "", "6s left", "59s left", "1m00s left", "3m08s left",
    ]  # fmt: skip


@pytest.mark.parametrize("epochs", [1, 7, 20, 21, 100, 999, 1000, 12345, 10**6])
def test_line_interval_is_the_smallest_round_one(epochs):
    interval = line_interval(epochs)
    assert epochs / interval <= progress.MOST_LINES
    assert str(interval).rstrip("0") in ("1", "2", "5")
    smaller = max((step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)
                   if step < interval), default=None)  # fmt: skip
    assert smaller is None or epochs / smaller > progress.MOST_LINES
