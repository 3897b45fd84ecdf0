"""Imports point one way: from later packages to earlier ones, at run time, in functions and for type checking alike."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

import fastnn

SOURCE = Path(fastnn.__file__).parent
# Each package or module may import what stands in its own line or above.
ORDER = (
    ("common",),
    ("kernels",),
    ("activations", "losses", "metrics", "initializers", "regularizers", "constraints", "schedules", "datasets",
     "optimizers"),
    ("engine",),
    ("layers",),
    ("inputs",),
    ("files",),
    ("model",),
    ("callbacks",),
    ("training",),
    ("interop", "plotting"),
    ("estimators", "tabular", "pictures", "series"),
    ("distributed", "reporting", ""),  # the last is fastnn itself, which imports almost everything
    ("benchmark", "cli", "__main__"),
)  # fmt: skip
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}


def module_name(path):
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(SOURCE.rglob("*.py"))}


def imports_of(path):
    """All modules of fastnn that a module imports anywhere: (line, name without "fastnn.")."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "fastnn":
                # Either a module, or a name in one.
                imported = rest if rest in MODULES else rest.rpartition(".")[0]
                yield node.lineno, imported


def test_every_module_has_its_place_in_the_order():
    assert {name.partition(".")[0] for name in MODULES} <= set(RANK)


def test_imports_point_one_way():
    wrong = []
    for name, path in MODULES.items():
        rank = RANK[name.partition(".")[0]]
        for line, imported in imports_of(path):
            if RANK[imported.partition(".")[0]] > rank:
                wrong.append(f"{name}:{line} imports {imported or 'fastnn'}")
    assert wrong == []


def test_no_modules_import_each_other():
    """Within a package as well: no chain of imports leads back to where it began."""
    graph = {name: {imported for _, imported in imports_of(path)} for name, path in MODULES.items() if name}
    done: set[str] = set()

    def follow(name, chain):
        assert name not in chain, " -> ".join([*chain[chain.index(name) :], name])
        if name in done or name not in graph:
            return
        for imported in graph[name]:
            follow(imported, [*chain, name])
        done.add(name)

    for name in graph:
        follow(name, [])


def test_the_one_way_around_the_order_is_for_doors_only():
    """`common.later` hands out functions of later packages; only `fastnn` itself may name what is imported late."""
    users = {name for name, path in MODULES.items() for _, imported in imports_of(path) if imported == "common.later"}
    doors = {"model.exchange", "training.history", "training.many", "interop.onnx.estimators", "tabular.tuning"}
    assert users <= {"", *doors}
    late = {name for name, path in MODULES.items() if "import_module" in path.read_text(encoding="utf-8")}
    # Layers import their own modules when they are asked for, and the ONNX export packages of others.
    assert late <= {"", "common.moved", "layers", "interop.onnx.graph"}


def files_with_stars(module):
    """The files of which a module takes all names over: that is where type checkers and editors find them."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {node.module.removeprefix("fastnn.") for node in imports if node.names[0].name == "*"}


def test_editors_know_every_layer_and_optimizer():
    """Layers are imported when they are first asked for, so nothing would miss them here."""
    layers = {f"layers.{module}": set(names) for module, names in fastnn.layers._MODULES.items()}
    optimizers = {cls.__module__.removeprefix("fastnn.") for cls in fastnn.optimizers.BY_NAME.values()}
    assert files_with_stars("layers.kinds") == set(layers)
    assert files_with_stars("optimizers.algorithms") == optimizers
    assert files_with_stars("layers") == {"layers.kinds"}
    assert files_with_stars("optimizers") == {"optimizers.algorithms"}
    assert files_with_stars("") == {"layers.kinds", "optimizers.algorithms"}
    for module, names in layers.items():
        assert set(import_module(f"fastnn.{module}").__all__) == names, module


@pytest.mark.parametrize("module", ["", "layers", "optimizers"])
def test_what_a_package_imports_for_users_is_marked_so(module):
    """``import A as A`` says that A is there for others: else it is hidden from type checkers."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    aliases = [alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    public = import_module(f"fastnn.{module}".rstrip(".")).__all__
    hidden = [alias.name for alias in aliases if alias.name in public and alias.asname != alias.name]
    assert not hidden


def test_a_star_imports_every_layer_and_optimizer():
    optimizers = {cls.__name__ for cls in fastnn.optimizers.BY_NAME.values()}
    assert {"SGD", "Adam", "Lion"} <= optimizers
    for package, names in ((fastnn.layers, set(fastnn.layers.LAYERS)), (fastnn.optimizers, optimizers)):
        for module in (package, fastnn):
            assert names <= set(module.__all__)
            assert all(getattr(module, name).__name__ == name for name in names)
