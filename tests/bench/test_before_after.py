"""bench/before_after.py: two sides in turns, each with its own package and cache."""

import shutil
import subprocess

import pytest

from bench import before_after
from bench.before_after import SIDES, Side, in_turns, row


@pytest.fixture
def sides(tmp_path):
    """Two folders, each with a package `which` that says where it came from."""
    made = {}
    for name in SIDES:
        source = tmp_path / name / "src"
        (source / "which").mkdir(parents=True)
        (source / "which" / "__init__.py").write_text(f"name = {name!r}\n")
        (tmp_path / name / "cache").mkdir()
        made[name] = Side(source, tmp_path / name / "cache")
    return made


PROGRAM = """
import json, os, pathlib, which
cache = pathlib.Path(os.environ["NUMBA_CACHE_DIR"])
print(json.dumps({"own": which.name, "cache": str(cache), "files": len(list(cache.iterdir()))}))
(cache / "kernel").touch()
"""


def test_each_side_imports_its_own_package_and_keeps_its_own_kernels(sides):
    for name, side in sides.items():
        assert side.measure(PROGRAM) == {"own": name, "cache": str(side.cache), "files": 0}
        assert side.measure(PROGRAM)["files"] == 1
        copy = side.in_copy(PROGRAM.replace('"kernel"', '"another"'))
        assert copy["cache"] != str(side.cache)
        assert copy["files"] == 1
        assert side.in_copy(PROGRAM, empty=True)["files"] == 0
        assert [path.name for path in side.cache.iterdir()] == ["kernel"]


def test_a_program_that_fails_is_told(sides):
    with pytest.raises(RuntimeError, match=r"(?s)failed under .*before.*ZeroDivisionError"):
        sides["before"].measure("1 / 0")


def test_sides_take_turns():
    calls = []

    def measure(side):
        calls.append(side)
        return {"what": float(len(calls))}

    table = in_turns({"before": "b", "after": "a"}, 3, measure)
    assert calls == ["b", "a", "a", "b", "b", "a"]
    assert table == {"what": {"before": [1.0, 4.0, 5.0], "after": [2.0, 3.0, 6.0]}}


def test_a_row_has_medians_and_ratios():
    samples = {"before": [2e-6, 1e-6, 9e-6], "after": [1e-6, 1e-6, 8e-6]}
    assert row("step", samples) == "| step | 2 µs | 1 µs | 0.500 | 1.000 |"
    assert row("first use", {"before": [-1e-3], "after": [1.5]}).endswith("| 1.5 s |  |  |")


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_commit_is_checked_out_and_gone_afterwards(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", "-C", tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True)

    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "file").write_text("old")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "old")
    (tmp_path / "src" / "file").write_text("new")
    monkeypatch.setattr(before_after, "ROOT", tmp_path)
    with before_after.checkout("HEAD") as source:
        assert (source / "file").read_text() == "old"
    assert not source.exists()


def test_every_first_use_is_a_program():
    program = before_after._FIRST_USES.format(
        uses=[("first use of sgd", {"optimizer": ("SGD", {"learning_rate": 0.01})})]
    )
    compile(program, "first uses", "exec")
    assert "{{" not in program
