"""The part of RESULTS.md on threads is made of measurements alone, and its JSON is a results file."""

import pytest

from bench.results import Table
from bench.threads_model import Model
from bench.threads_report import Measured, figures, report


def measured(stacks):
    sizes, times = (64, 256, 10), {"one": (10.0, 9.0), "all": (6.0, 5.0), "none": (6.5, 5.5)}
    by_threads = {1: (10.0, 9.0), 2: (6.0, 5.0)}
    return Measured(
        k=2,
        workloads=[("64-256-10/256", 2, times)],
        table={(sizes, 256): by_threads},
        crowds={1: (10.0, 9.0), 64: (12.0, 11.0)},
        barrier=0.1,
        models=[Model(sizes, 1.0, 2.0, 0.5, 0.01, 0.1, 2)],
        many={"alone": (20.0, 19.0), "one": (20.0, 19.0), "all": (11.0, 10.0)},
        short_fits={1: by_threads},
        peers={"64-256-10/256": {"fastnn": 6e-6, "torch": 12e-6}},
        stacks=stacks,
        machine={
            "cpu_model": "a processor",
            "system": "Linux",
            "cpus_used": 2,
            "cpus_present": 2,
            "threads": 2,
            "versions": {},
        },
        load=0.1,
    )


def test_the_part_and_its_json():
    found = measured([("LeNet-5/32", {"one": (100.0, 99.0), "all": (50.0, 49.0)})])
    document = figures(found)
    table = Table(document)
    assert table.median("64-256-10/256", "one") == pytest.approx(1e-5)
    assert table.median("LeNet-5/32", "all") == pytest.approx(5e-5)
    assert table.load == 0.1
    text = report(found, document)
    assert "| 64-256-10/256 | 10.0 | 6.0 | 1.67 | 1.80 | 2 | 6.5 | 1.54 |" in text
    assert "| LeNet-5/32 | 100.0 | 50.0 | 2.00 | 2.02 |" in text
    assert "| LeNet-5/32, all threads against 1 | 2 x | ≥ 1.7 | ≥ 1.9 | aim |" in text


def test_without_the_layers_there_is_no_table_of_them():
    found = measured([])
    text = report(found, figures(found))
    assert "### Convolutions and recurrence" not in text
    assert "| LeNet-5/32, all threads against 1 |  | ≥ 1.7 | ≥ 1.9 | not measured |" in text
