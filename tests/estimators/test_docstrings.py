"""Each class has its whole documentation in its own docstring, for editors; what two classes share reads the same."""

import inspect
import re

import pytest

from fastnn import MLPClassifier, MLPRegressor, NetworkClassifier, NetworkRegressor

PAIRS = [(MLPClassifier, MLPRegressor), (NetworkClassifier, NetworkRegressor)]
DIFFER = {"scoring"}  # whose default is each class's own score


def entries_of(cls):
    """Names and texts of the parameters and attributes, without the name of the class."""
    text = inspect.getdoc(cls).replace(cls.__name__, "CLASS")
    found = {}
    for section in ("Parameters", "Attributes"):
        (body,) = re.findall(rf"^{section}\n-+\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
        for names, description in re.findall(r"^(\w[\w, ]*) : (.*(?:\n    .*)+|.*)", body, re.MULTILINE):
            found[section, names] = description
    return found


@pytest.mark.parametrize("cls", [cls for pair in PAIRS for cls in pair])
def test_all_parameters_are_described_in_their_order(cls):
    described = [name for section, names in entries_of(cls) if section == "Parameters" for name in names.split(", ")]
    assert described == list(inspect.signature(cls).parameters)


@pytest.mark.parametrize("pair", PAIRS, ids=["MLP", "Network"])
def test_what_both_have_reads_the_same(pair):
    first, second = map(entries_of, pair)
    shared = first.keys() & second.keys()
    assert len(shared) > 20
    assert {key for key in shared if first[key] != second[key]} <= {("Parameters", name) for name in DIFFER}


@pytest.mark.parametrize("cls", [cls for pair in PAIRS for cls in pair])
@pytest.mark.parametrize("method", ["fit", "partial_fit", "predict", "score", "get_params", "set_params", "save"])
def test_methods_are_described_wherever_they_come_from(cls, method):
    assert inspect.getdoc(getattr(cls, method))
