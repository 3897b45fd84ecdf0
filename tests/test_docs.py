"""Every Python block of README.md and docs/ runs, page by page, as one program, and so does every fastnn command.

A block that needs a package which is not there (PyTorch, say) is left out, and the test says so.
"""

import hashlib
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fastnn.cli import main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
IMPORT = re.compile(r"^\s*(?:import|from) (\w+)", re.MULTILINE)
OPTIONAL = ("dask", "jax", "keras", "matplotlib", "onnxruntime", "optuna", "polars", "torch")
OWN_PROCESS = "extending.md"  # it adds to the registries of the package
WITH_CODE = [page for page in PAGES if BLOCK.search(page.read_text(encoding="utf-8"))]


def test_pages_are_found():
    assert {"README.md", "neuron.md", "gan.md", "keras.md", "onnx.md", "tables.md"} <= {page.name for page in WITH_CODE}


def missing_packages(kind, code):
    """The packages that a block needs and that are not there."""
    names = IMPORT.findall(code) if kind == "python" else ["polars"] if re.search(r"^\$ fastnn", code, re.M) else []
    if "fastnn.to_onnx" in code or "fastnn.tabular" in code:
        names.append("skl2onnx" if "to_onnx" in code else "polars")
    wanted = set(names) & {*OPTIONAL, "skl2onnx"}
    return {name for name in wanted if importlib.util.find_spec(name) is None}


def run_commands(text):
    for line in text.splitlines():
        if line.startswith("$ fastnn "):
            assert main(shlex.split(line)[2:]) == 0, line


FENCED = re.compile(r"^```(python|console|sh|json|text)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_is_not_cut(page):
    """Pages show 88 columns of code without scrolling."""
    code = "".join(block for _, block in FENCED.findall(page.read_text(encoding="utf-8")))
    assert [line for line in code.splitlines() if len(line) > 88] == []


def run_apart(text, folder):
    """Run a page's Python blocks in a process of its own, at the line numbers that they have on the page."""
    lines = [""] * (text.count("\n") + 1)
    for match in BLOCK.finditer(text):
        first = text.count("\n", 0, match.start(2))
        code = match.group(2).splitlines()
        lines[first : first + len(code)] = code
    code = "\n".join(lines)
    # Kernels outside the package are kept by their file's name, which therefore changes with what is in it.
    path = folder / f"page_{hashlib.sha256(code.encode()).hexdigest()[:12]}.py"
    path.write_text(code, encoding="utf-8")
    done = subprocess.run([sys.executable, "-W", "error", path], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def keep_pictures(page, text, folder):
    """Leave what a chapter drew where the docs look for it before they run it again: `.ci/run` says where."""
    if "FASTNN_PICTURES" not in os.environ:
        return
    key = f"{page.stem}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"  # as chapter_key of docs/hooks.py
    kept = Path(os.environ["FASTNN_PICTURES"], key)
    kept.mkdir(parents=True, exist_ok=True)
    for picture in [*folder.glob("*.png"), *folder.glob("*.webp")]:
        shutil.copy(picture, kept)


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_runs(page, tmp_path, monkeypatch):
    text = page.read_text(encoding="utf-8")
    if page.name == OWN_PROCESS:
        run_apart(text, tmp_path)
        return
    if "matplotlib" in text and importlib.util.find_spec("matplotlib"):
        import matplotlib

        matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    missing = set()
    for match in BLOCK.finditer(text):
        kind, code = match.groups()
        lacking = missing_packages(kind, code)
        missing |= lacking
        if lacking:
            continue
        if kind == "console":
            run_commands(code)
            continue
        line = text.count("\n", 0, match.start(2))
        code = "\n" * line + code  # so that a traceback shows the page's line
        exec(compile(code, os.fspath(page), "exec"), namespace)
    if "plt" in namespace:
        namespace["plt"].close("all")
    if page.parent.name == "tutorial" and not missing:
        keep_pictures(page, text, tmp_path)
    if missing:
        pytest.skip(f"the blocks that need {', '.join(sorted(missing))} were left out")
