"""The part of RESULTS.md on threads is made of measurements alone, and its JSON is a results file."""

import pytest

from bench.results import Table
from bench.threads_model import Model
from bench.threads_report import Measured, figures, report


def measured():
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
    found = measured()
    document = figures(found)
    table = Table(document)
    assert table.median("64-256-10/256", "one") == pytest.approx(1e-5)
    assert table.load == 0.1
    text = report(found, document)
    assert "| 64-256-10/256 | 10.0 | 6.0 | 1.67 | 1.80 | 2 | 6.5 | 1.54 |" in text
