"""The example programs run from top to bottom and end where their texts say."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


def run(name, capsys, monkeypatch, tmp_path):
    """Run an example in an empty folder; return what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    (path,) = [example for example in EXAMPLES if example.stem == name]
    runpy.run_path(str(path), run_name="__main__")
    output = capsys.readouterr()
    assert output.err == ""
    return output.out


@pytest.fixture
def example(capsys, monkeypatch, tmp_path):
    return lambda name: run(name, capsys, monkeypatch, tmp_path)


def test_digits_in_20_lines(example):
    results = re.findall(r"epochs in ([\d.]+) s: test accuracy ([\d.]+) %", example("digits_in_20_lines"))
    (seconds_before, accuracy_before), (seconds_after, accuracy_after) = [tuple(map(float, pair)) for pair in results]
    assert accuracy_after >= 97.0 > accuracy_before > 90.0
    assert seconds_after < seconds_before


def test_keras_style(example):
    out = example("keras_style")
    assert len(re.findall(r"^epoch .*val_accuracy", out, re.MULTILINE)) == 40
    assert float(re.search(r"test: loss [\d.]+, accuracy ([\d.]+)", out)[1]) > 0.96
    assert len(re.findall(r"^label (\d): predicted \1 ", out, re.MULTILINE)) == 5


def test_images(example):
    out = example("images")
    assert "38,282" in out
    assert float(re.search(r"^29 epochs in ([\d.]+) s$", out, re.MULTILINE)[1]) > 0
    assert float(re.search(r"^test accuracy ([\d.]+)$", out, re.MULTILINE)[1]) > 0.98
    assert float(re.search(r"^cross-validation: ([\d.]+)$", out, re.MULTILINE)[1]) > 0.95


def test_sequences(example):
    out = example("sequences")
    mean, simple, gru = (float(number) for number in re.findall(r"mse ([\d.]+)$", out, re.MULTILINE))
    assert gru < 0.02 < 0.1 < simple < 2 * mean  # a simple layer does not remember so long
    assert float(re.search(r"^next character: ([\d.]+) right$", out, re.MULTILINE)[1]) > 0.8
    assert out.splitlines()[-1]


def test_one_step_by_hand(example):
    out = example("one_step_by_hand")
    for part in ("forward", "loss", "backward", "update"):
        assert re.search(rf"^{part}\b", out, re.MULTILINE)
    before, after = map(float, re.search(r"loss: +([\d.]+) before, ([\d.]+) after", out).groups())
    assert after < before
    assert "plain NumPy gives the same weights" in out


def test_search_hyperparameters(example):
    results = re.findall(
        r"^(\S.*?) +cross-validated ([\d.]+), test ([\d.]+), ([\d.]+) s", example("search_hyperparameters"), re.M
    )
    (_, default, _, _), *searches = results
    assert searches[0][0] == "successive halving"
    for name, score, test, seconds in searches:
        assert float(score) > float(default), name
        assert float(test) > 0.97
        assert float(seconds) < 60


def test_on_a_cluster(monkeypatch, tmp_path):
    """With real processes, which import the program: so it runs as one."""
    monkeypatch.chdir(tmp_path)
    (path,) = [example for example in EXAMPLES if example.stem == "on_a_cluster"]
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, timeout=300, check=True)
    assert float(re.search(r"^20 rounds on 4 shards: accuracy ([\d.]+)$", done.stdout, re.MULTILINE)[1]) > 0.95
    assert int(re.search(r"^(\d+) of 1797 digits are right$", done.stdout, re.MULTILINE)[1]) > 1700


def test_gan_digits(example, tmp_path):
    """Digits that a judge of real ones recognises, of all ten classes, about as alike as real ones are."""
    out = example("gan_digits")
    halves = float(re.search(r"two halves of the real digits: ([\d.]+)", out)[1])
    recognised, distance = re.search(r"([\d.]+)% recognised .* held-out digits ([\d.]+)", out).groups()
    assert float(recognised) >= 90.0
    assert float(distance) < 4 * halves
    counts, distance = re.search(r"of 1000 samples ([\d, ]+) are 0, .* held-out digits ([\d.]+)", out).groups()
    assert min(map(int, counts.split(", "))) >= 30
    assert float(distance) < 6 * halves
    assert (tmp_path / "gan_digits.png").stat().st_size > 10_000


README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
README_PROGRAMS = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("program", README_PROGRAMS, ids=[f"block {i}" for i in range(1, len(README_PROGRAMS) + 1)])
def test_readmes_programs(program, capsys):
    exec(compile(program, "README.md", "exec"), {})
    output = capsys.readouterr()
    assert output.err == ""
    accuracies = [float(number) for number in re.findall(r"0\.\d+", output.out)]
    assert max(accuracies) > 0.9


def test_readmes_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert "docs/assets/digits.png" in links
    local = [link for link in links if not link.startswith("http")]
    assert [link for link in local if not (Path(__file__).parent.parent / link).exists()] == []
