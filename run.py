#!/usr/bin/env python3
"""Run a command in this project's own virtual environment, which the first run makes.

    python3 run.py fastnn train digits
    python3 run.py pytest

Needs Python >= 3.11 and a connection to PyPI, nothing else: no pip, no venv package, no write access to the system's
Python. The environment is the folder .venv beside this file, or the one that FASTNN_VENV names; it is made anew when
pyproject.toml changes, and is yours to delete.
"""

import hashlib
import json
import os
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent
FOLDER = Path(os.environ.get("FASTNN_VENV") or ROOT / ".venv").resolve()
SCRIPTS = FOLDER / ("Scripts" if os.name == "nt" else "bin")
PYTHON = SCRIPTS / ("python.exe" if os.name == "nt" else "python")
STAMP = FOLDER / "fastnn-installed.json"
INDEX = "https://pypi.org/simple/pip/"  # PEP 691

# What a command needs beside fastnn itself, as an extra of pyproject.toml.
EXTRAS = {"fastnn": "plot", "python": "plot", "pytest": "test", "mkdocs": "docs"}


def install_pip_from_pypi():
    """Install pip into the environment from its wheel. A wheel of pip can be run as it is.

    Debian takes the pip that Python brings along out of it, so that `python3 -m venv` fails until an administrator
    installs python3-venv.
    """
    request = urllib.request.Request(INDEX, headers={"Accept": "application/vnd.pypi.simple.v1+json"})
    with urllib.request.urlopen(request) as answer:
        files = json.load(answer)["files"]
    # Final releases only: pip-26.3-py3-none-any.whl, but no pip-26.3b1.
    wheels = {
        tuple(map(int, match[1].split("."))): file
        for file in files
        if (match := re.fullmatch(r"pip-([0-9.]+)-py3-none-any\.whl", file["filename"])) and not file.get("yanked")
    }
    wheel = wheels[max(wheels)]
    url = urllib.parse.urljoin(INDEX, wheel["url"])
    with urllib.request.urlopen(url) as answer:
        content = answer.read()
    if hashlib.sha256(content).hexdigest() != wheel["hashes"]["sha256"]:
        raise SystemExit(f"run.py: {url} is not the file that PyPI describes; try again")
    path = FOLDER / wheel["filename"]
    path.write_bytes(content)
    subprocess.run([PYTHON, path / "pip", "install", "--quiet", "--no-index", path], check=True)
    path.unlink()


def make_environment():
    import venv

    print(f"run.py: making a virtual environment in {FOLDER}", file=sys.stderr, flush=True)
    venv.EnvBuilder(clear=True, symlinks=os.name != "nt").create(FOLDER)
    bundled = subprocess.run([PYTHON, "-m", "ensurepip", "--default-pip"], capture_output=True)
    if bundled.returncode != 0:
        install_pip_from_pypi()


def install(extra):
    """Install fastnn in place, with what the extra asks for."""
    print(f"run.py: installing fastnn[{extra}] and what it needs, a minute or two", file=sys.stderr, flush=True)
    subprocess.run(
        [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--editable", f"{ROOT}[{extra}]"],
        check=True,
    )


def prepare(command):
    """Bring the environment to where it has `command`; quick when it has already."""
    pyproject = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    extra = EXTRAS.get(command, "dev")
    done = json.loads(STAMP.read_text()) if STAMP.exists() else {}
    if done.get("pyproject") != pyproject:
        make_environment()
        done = {"pyproject": pyproject, "extras": []}
    if extra not in done["extras"]:
        install(extra)
        done["extras"].append(extra)
        STAMP.write_text(json.dumps(done))


def main():
    if sys.version_info < (3, 11):  # noqa: UP036 - this file also runs where fastnn was not installed
        raise SystemExit("run.py: fastnn needs Python >= 3.11, this is " + sys.version.split()[0])
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    command, arguments = sys.argv[1], sys.argv[2:]
    try:
        prepare(command)
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"run.py: {' '.join(map(str, error.cmd))} failed, see above") from None
    except OSError as error:
        raise SystemExit(f"run.py: {error}; is there a connection to PyPI?") from None
    environment = {
        **os.environ,
        "VIRTUAL_ENV": str(FOLDER),
        "PATH": f"{SCRIPTS}{os.pathsep}{os.environ.get('PATH', '')}",
    }
    try:
        return subprocess.run([SCRIPTS / command, *arguments], env=environment).returncode
    except FileNotFoundError:
        raise SystemExit(f"run.py: there is no command {command!r} in {SCRIPTS}") from None
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
