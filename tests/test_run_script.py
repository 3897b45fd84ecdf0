"""run.py's own logic: what it installs, and pip from PyPI where Python has none. (.ci/run runs it for real.)"""

import hashlib
import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The module, with its environment in a folder of the test's own."""
    monkeypatch.setenv("FASTNN_VENV", str(tmp_path / "venv"))
    spec = importlib.util.spec_from_file_location("run_script", ROOT / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.FOLDER.mkdir()
    return module


@pytest.fixture
def pypi(script, monkeypatch):
    """An index with four files of pip; returns the addresses asked for and the commands run."""
    content = {version: f"pip {version}".encode() for version in ("9.0", "26.3", "27.0b1", "26.10")}
    files = [
        {"filename": f"pip-{version}-py3-none-any.whl", "url": f"../../files/{version}.whl",
         "hashes": {"sha256": hashlib.sha256(data).hexdigest()}}
        for version, data in content.items()
    ]  # fmt: skip
    files.append({"filename": "pip-99.0.tar.gz", "url": "../../files/99.0.tar.gz", "hashes": {}})
    files.append({**files[0], "filename": "pip-30.0-py3-none-any.whl", "yanked": "broken"})
    asked, commands = [], []

    def urlopen(request):
        address = getattr(request, "full_url", request)
        asked.append(address)
        if address == script.INDEX:
            return io.BytesIO(json.dumps({"files": files}).encode())
        return io.BytesIO(content[address.rsplit("/", 1)[1].removesuffix(".whl")])

    monkeypatch.setattr(script.urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(script.subprocess, "run", lambda command, **options: commands.append(list(map(str, command))))
    return files, asked, commands


def test_the_newest_final_pip_is_taken(script, pypi):
    _, asked, commands = pypi
    script.install_pip_from_pypi()
    assert asked == [script.INDEX, "https://pypi.org/files/26.10.whl"]
    wheel = str(script.FOLDER / "pip-26.10-py3-none-any.whl")
    assert commands == [[str(script.PYTHON), f"{wheel}/pip", "install", "--quiet", "--no-index", wheel]]
    assert list(script.FOLDER.iterdir()) == []


def test_a_changed_file_is_refused(script, pypi):
    files, _, commands = pypi
    files[3]["hashes"]["sha256"] = "0" * 64
    with pytest.raises(SystemExit, match="not the file that PyPI describes"):
        script.install_pip_from_pypi()
    assert commands == []


def test_each_extra_is_installed_once_and_anew_when_pyproject_changes(script, monkeypatch):
    done = []
    monkeypatch.setattr(script, "make_environment", lambda: done.append("made"))
    monkeypatch.setattr(script, "install", done.append)
    for command in ("fastnn", "fastnn", "pytest", "fastnn", "mypy", "ruff"):
        script.prepare(command)
    assert done == ["made", "plot", "test", "dev"]
    script.STAMP.write_text(json.dumps({"pyproject": "another", "extras": ["plot"]}))
    script.prepare("fastnn")
    assert done[4:] == ["made", "plot"]


def test_an_old_python_is_told(script, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 4))
    with pytest.raises(SystemExit, match=r"needs Python >= 3\.11"):
        script.main()


def test_without_a_command_it_explains_itself():
    done = subprocess.run([sys.executable, ROOT / "run.py"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "python3 run.py pytest" in done.stderr
