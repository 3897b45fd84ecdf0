"""The command line, as a person and a shell see it."""

import importlib.util
import os
import re
import signal
import subprocess
import sys

import pytest

import fastnn
from fastnn import datasets
from fastnn.cli import info, main
from fastnn.cli.train import split_and_scale
from fastnn.common.cpus import available_cpus


def run(*arguments, **options):
    """Run `python -m fastnn` in a process of its own."""
    command = [sys.executable, "-m", "fastnn", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def usage_error(capsys, *arguments):
    """Return what stderr says about wrong usage."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    output = capsys.readouterr()
    assert output.err.startswith("usage: fastnn")
    return output.err


# --- train ------------------------------------------------------------------------------------------------------------


# Floors below what the defaults reach with seeds 0 to 3; digits' is promised.
@pytest.mark.parametrize(
    "name, floor", [("digits", 97.0), ("iris", 85.0), ("wine", 94.0), ("breast_cancer", 93.0), ("diabetes", 0.2)]
)
def test_the_defaults_learn_every_data_set(name, floor, capsys):
    assert main(["train", name]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    score = re.search(r"^test (?:accuracy: ([\d.]+) %|R2: ([\d.]+))$", output.out, re.MULTILINE)
    assert float(score[1] or score[2]) >= floor
    assert (score[1] is None) == (name == "diabetes")
    assert re.search(
        r"^time: [\d.]+ s for 100 epochs, [\d.]+ ms an epoch, [\d,]+ samples a second$", output.out, re.MULTILINE
    )


def accuracy_line(capsys, *arguments):
    assert main(["train", "digits", "--epochs", "2", *arguments]) == 0
    return re.search("test accuracy.*", capsys.readouterr().out)[0]


def test_a_seed_gives_the_same_run_again(capsys):
    results = [accuracy_line(capsys, "--seed", seed) for seed in "1121"]
    assert results[0] == results[1] == results[3] != results[2]


def test_options_reach_the_network_and_the_trainer(capsys):
    arguments = (
        "--hidden 20 30 --activation tanh --dropout 0 --epochs 3 --batch-size full --optimizer sgd --learning-rate 0.5 "
        "--threads 1 --scale standard --test-size 0.5 --validation-size 0"
    )
    assert main(["train", "wine", *arguments.split()]) == 0
    out = capsys.readouterr().out
    assert "89 to train, 89 to test" in out
    assert "network: 13-20-30-3 tanh, dropout 0, 1,003 parameters; SGD at 0.5, full batches" in out
    assert "for 3 epochs" in out


def test_no_hidden_layer_is_a_linear_model(capsys):
    assert main(["train", "iris", "--hidden", "--epochs", "2"]) == 0
    assert "network: 4-3 linear, 15 parameters" in capsys.readouterr().out


def test_the_plot_is_a_picture(tmp_path, capsys):
    picture = tmp_path / "curves.png"
    assert main(["train", "iris", "--epochs", "3", "--plot", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"learning curves: {picture}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["digts"], "did you mean 'digits'?"),
        (["iris", "--activation", "rellu"], "did you mean 'relu'?"),
        (["iris", "--optimizer", "adamm"], "did you mean 'adam"),
        (["iris", "--epochs", "0"], "epochs must be an integer >= 1, got 0"),
        (["iris", "--epochs", str(10**20)], "epochs must be an integer from 1 to"),
        (["iris", "--batch-size", "0"], "batch_size must be an integer >= 1, got 0"),
        (["iris", "--batch-size", "some"], "must be an integer or 'full', got 'some'"),
        (["iris", "--hidden", "-3"], "units must be an integer >= 1, got -3"),
        (["iris", "--dropout", "1"], "dropout must be a number in [0, 1), got 1.0"),
        (["iris", "--learning-rate", "-1"], "learning_rate must be"),
        (["iris", "--validation-size", "1"], "validation_split must be"),
        (["iris", "--test-size", "2"], "--test-size must be a number in (0, 1), got 2.0"),
        (["iris", "--threads", "0"], "n_threads must be an integer >= 1, got 0"),
        (["iris", "--seed", "-1"], "seed must be"),
        (["iris", "--plot", "curves.xyz"], "--plot must end in one of"),
        (["iris", "--plot", "no/such/folder/curves.png"], "--plot must lie in a folder that exists"),
        ([""], "argument NAME: must name what to read, got ''"),
        (["iris", "--plot", "x" * 256 + ".png"], "--plot must be a file that may be written, got 'xxx"),
        ([], "NAME"),
    ],
)
def test_wrong_usage_is_told_before_any_training(arguments, message, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert message in usage_error(capsys, "train", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert 'pip install "fastnn[plot]"' in usage_error(capsys, "train", "iris", "--plot", "curves.png")


def test_a_diverging_training_fails_with_a_reason(capsys):
    arguments = ["--optimizer", "sgd", "--learning-rate", "1e30", "--scale", "none", "--epochs", "50"]
    assert main(["train", "diabetes", *arguments]) == 1
    assert re.search("fastnn: error: the loss .*not.*finite|stopped being finite", capsys.readouterr().err)


def test_the_test_samples_have_no_part_in_the_scaling():
    data = datasets.load("wine")
    split = split_and_scale(data, 0.25, "minmax", seed=0)
    assert split.X.min() == 0.0 and split.X.max() == pytest.approx(1.0)
    assert split.X_test.max() > 1.0  # a largest value that training has not seen
    assert len(split.X) + len(split.X_test) == len(data.X)
    counts = [sum(split.y_test == label) / sum(data.y == label) for label in range(3)]
    assert counts == pytest.approx([0.25] * 3, abs=0.02)


# --- info, and the program itself -------------------------------------------------------------------------------------


def test_info(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    rows = dict(line.split(maxsplit=1) for line in out.splitlines() if line[0] != " ")
    assert rows["fastnn"].startswith(fastnn.__version__)
    assert all(f"{name} " in rows["packages"] for name in info.PACKAGES)
    assert rows["extras"].startswith("matplotlib ")
    assert "training uses neither" in out
    assert "compiled for as" in rows["CPU"]
    assert f"up to {available_cpus()} " in rows["threads"]


def test_info_without_an_extra():
    assert info.versions_of(["rich", "no-such-package"]).endswith(", no-such-package not installed")


def test_info_tells_which_kernels_are_compiled(capsys):
    main(["train", "iris", "--epochs", "1"])
    capsys.readouterr()
    main(["info"])
    assert re.search(r"^kernels +compiled: run \(float32", capsys.readouterr().out, re.MULTILINE)


def test_info_in_a_new_cache_folder(tmp_path):
    done = run("info", env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert f"kernel cache    {tmp_path}" in done.stdout
    assert "not compiled yet" in done.stdout


def test_python_m_fastnn():
    done = run("--version")
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, f"fastnn {fastnn.__version__}", "")
    assert run().returncode == 2


@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}], ids=["buffered", "unbuffered"])
def test_a_reader_that_goes_away_is_no_traceback(environment):
    command = [sys.executable, "-m", "fastnn", "info"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "", **environment}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


def test_without_docstrings():
    done = subprocess.run([sys.executable, "-OO", "-m", "fastnn", "info"], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("fastnn ")


@pytest.mark.skipif(os.name == "nt", reason="a POSIX shell closes stdout")
def test_a_closed_stdout_is_no_traceback():
    done = subprocess.run(
        ["sh", "-c", f"{sys.executable} -m fastnn train iris --epochs 1 >&-"], capture_output=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_letters_that_the_terminal_lacks_are_no_traceback(tmp_path):
    pytest.importorskip("polars")
    path = tmp_path / "größe.csv"
    path.write_text("größe,art\n" + "1.5,süß\n2.5,herb\n" * 30, encoding="utf-8")
    environment = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    done = run("train", "größe.csv", "--target", "art", "--epochs", "1", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "numbers: gr\\xf6\\xdfe" in done.stdout
    model = next(iter(tmp_path.glob("*.safetensors"))).name
    command = [sys.executable, "-m", "fastnn", "predict", model, path.name]
    done = subprocess.run(command, capture_output=True, timeout=120, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "süß" in done.stdout.decode()  # data are UTF-8 everywhere
    # A column is found by its name, and a file is called by it, as in any other locale.
    done = run("train", "größe.csv", "--target", "größe", "--epochs", "1", cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "größe-größe.safetensors").exists()


def test_a_network_that_no_memory_holds_is_wrong_usage(capsys):
    assert "--hidden asks for more memory" in usage_error(capsys, "train", "iris", "--hidden", "99999999999")


@pytest.mark.skipif(os.name == "nt", reason="SIGINT cannot be sent to one process there")
def test_an_interrupt_gives_what_there_is():
    command = [sys.executable, "-m", "fastnn", "train", "iris", "--epochs", "100000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if line.startswith("kernels ready"):
                break
        # The line comes just before training begins.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "test accuracy" in out
    assert err == "fastnn train: interrupted; what follows is of the last step\n"
