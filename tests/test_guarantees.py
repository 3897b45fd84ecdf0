"""docs/guarantees.md names tests that exist."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "guarantees.md"
NAMES = sorted(set(re.findall(r"`(test_\w+\.py(?:::\w+)?)`", PAGE.read_text(encoding="utf-8"))))


def test_every_line_names_a_test():
    rows = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    rows = [row for row in rows if not re.match(r"\|(---|\s*promise)", row)]
    assert len(rows) > 30
    assert [row for row in rows if "`test_" not in row] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_named_test_exists(name):
    file, _, function = name.partition("::")
    [path] = TESTS.rglob(file)  # names of test files are unique
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert any(found.startswith("test_") for found in functions)
    if function:
        assert function in functions
