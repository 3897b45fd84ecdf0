"""What tests of hostile files share: how a file is cut and put together, and values to put into it."""

import json

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

FUZZ = settings(
    max_examples=800, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
NUMBERS = st.one_of(
    st.sampled_from([-1, 0, 1, 2, 3, 4, 5, 2**31, 2**31 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64, 10**30, 10**400]),
    st.integers(-10, 100),
    st.floats(allow_nan=False, allow_infinity=False),
)
TEXTS = st.one_of(
    st.sampled_from(["", "F32", "F64", "BOOL", "float64", "Dense", "Input", "Dropout", "Layer", "relu", "elu",
                     "softmax", "layer", "units", "x" * 10_000, "\ud800", "\0", "network/1/kernel"]),
    st.text(max_size=5),
)  # fmt: skip
VALUES = st.recursive(
    st.one_of(NUMBERS, TEXTS, st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)


def split(content):
    """(header as a dict, document as a dict, data)"""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    return header, json.loads(header["__metadata__"]["fastnn"]), content[8 + size :]


def join(header, document, data):
    header = {**header, "__metadata__": {"fastnn": json.dumps(document)}}
    encoded = json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + data


def places(tree):
    """Every (container, key) within nested dicts and lists."""
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        yield tree, key
        if isinstance(value, (dict, list)):
            yield from places(value)
