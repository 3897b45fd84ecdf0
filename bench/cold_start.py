"""What the first minute costs: importing, the first fit, memory. Each sample is a fresh Python process.

The clock runs inside that process and starts before the import. An empty cache is a new directory in NUMBA_CACHE_DIR
and XDG_CACHE_HOME (and FASTNN_CACHE_DIR, should fastnn read one); the user's own caches are neither used nor touched.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

IMPORTS = {
    "numba": "import numba",
    "fastnn": "import fastnn",
    "sklearn": "from sklearn.neural_network import MLPClassifier",
    "torch": "import torch",
    "jax": "import jax, optax",
    "keras": "import keras",
}

# A program each: set up the network for {sizes} and {batch}, train {epochs} epochs on X, y.
_FASTNN = """
network = fastnn.Network.mlp({sizes}[0], {sizes}[1:-1], {sizes}[-1], output="softmax")
trainer = fastnn.Trainer(network, loss="categorical_crossentropy")
trainer.fit(X, y, epochs={epochs}, batch_size={batch}, n_threads={threads})
"""
_SKLEARN = """
import warnings; warnings.simplefilter("ignore")
MLPClassifier({sizes}[1:-1], batch_size={batch}, max_iter={epochs}).fit(X, y)
"""
_PEER = """
from bench.peers import PEERS
from bench.workloads import Workload, initial_weights
workload = Workload("cold", "train", {sizes}, {batch}, len(X))
runner = PEERS["{peer}"].build(workload, (X, y), {threads})
runner.reset(initial_weights(workload))
runner.train({epochs})
"""
PROGRAMS = {"fastnn": _FASTNN, "sklearn": _SKLEARN, "torch": _PEER, "jax": _PEER, "keras": _PEER}

_CLOCKED = """
import json, time
import numpy as np
rng = np.random.default_rng(0)
X = rng.standard_normal(({rows}, {sizes}[0]), dtype=np.float32)
y = np.arange({rows}) % {sizes}[-1]
start = time.perf_counter()
{importing}
imported = time.perf_counter()
{program}
print(json.dumps({{"import": imported - start, "fit": time.perf_counter() - imported}}))
"""

# VmHWM is the peak of resident memory; writing 5 to clear_refs sets it back to what is resident now (Linux).
_MEMORY = """
import json
import numpy as np
{importing}
def resident(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field)) * 1024
def fit(X, y):
{indented}
rng = np.random.default_rng(0)
X = rng.standard_normal(({rows}, {sizes}[0]), dtype=np.float32)
y = np.arange({rows}) % {sizes}[-1]
fit(X[:{batch}], y[:{batch}])  # libraries and compiled code are loaded before the measuring starts
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
before = resident("VmRSS")
fit(X, y)
print(json.dumps({{"peak_bytes": resident("VmHWM") - before}}))
"""


def run_program(code: str, cache: str | None = None) -> dict:
    """The JSON that ``code`` prints as its last line, run by this interpreter in a new process."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}  # as installed
    root = str(Path(__file__).parents[1])
    env["PYTHONPATH"] = os.pathsep.join([root, *filter(None, [env.get("PYTHONPATH")])])
    if cache:
        env |= dict.fromkeys(("NUMBA_CACHE_DIR", "XDG_CACHE_HOME", "FASTNN_CACHE_DIR"), cache)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"benchmark subprocess failed:\n{code}\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _fill(template: str, workload, peer, settings, rows, epochs=1) -> str:
    values = {
        "sizes": workload.sizes, "batch": workload.batch, "rows": rows, "epochs": epochs, "peer": peer,
        "threads": settings.threads, "importing": IMPORTS[peer],
    }  # fmt: skip
    program = PROGRAMS[peer].format(**values).strip()
    indented = "\n".join("    " + line for line in program.splitlines())
    return template.format(program=program, indented=indented, **values)


def importing(workload, peer, settings):
    """Seconds of the import statement, NumPy (which all of them need) imported before."""
    code = "import json, time, numpy; start = time.perf_counter(); {}; print(json.dumps(time.perf_counter() - start))"
    code = code.format(IMPORTS[peer])
    run_program(code)
    return lambda: run_program(code), {}


def first_fit(workload, peer, settings):
    """Seconds of a new process's first fit (2,048 rows, 1 epoch), import excluded, caches filled by another process."""
    code = _fill(_CLOCKED, workload, peer, settings, rows=2048)
    run_program(code)
    extra = {}

    def action():
        times = run_program(code)
        extra["import_seconds"] = times["import"]
        return times["fit"]

    return action, extra


def first_fit_empty(workload, peer, settings):
    """The same with empty caches, as after installation: every kernel is compiled."""
    code = _fill(_CLOCKED, workload, peer, settings, rows=2048)

    def action():
        cache = tempfile.mkdtemp(prefix="bench-cache-")
        try:
            return run_program(code, cache)["fit"]
        finally:
            shutil.rmtree(cache, ignore_errors=True)

    return action, {}


def memory(workload, peer, settings):
    """Bytes (not seconds) by which peak memory grows in a second, large fit of one process, its data not counted."""
    code = _fill(_MEMORY, workload, peer, settings, rows=workload.n_rows)
    parameters = sum(i * o + o for i, o in zip(workload.sizes, workload.sizes[1:], strict=False))
    extra = {"unit": "bytes", "parameter_bytes": 4 * parameters}
    return lambda: float(run_program(code)["peak_bytes"]), extra
