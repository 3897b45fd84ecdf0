"""`fastnn bench`: the peers train the same thing, and the table, the JSON and the chart hold what was measured."""

import json

import numpy as np
import pytest

import fastnn
from fastnn import benchmark
from fastnn.benchmark.numpy_baseline import Network as Baseline
from fastnn.cli import main

SMALL = benchmark.Workload((5, 6, 3), 8, n_rows=32, dtype="float64")


def test_the_numpy_baseline_trains_as_fastnn_does():
    generator = np.random.default_rng(0)
    X, y = generator.normal(size=(8, 5)), generator.integers(0, 3, 8)  # one batch: the order of rows does not count
    network = fastnn.Network.mlp(5, [6], 3, output="softmax", dtype="float64", seed=0)
    baseline = Baseline(SMALL, (X, y), 8)
    baseline.reset(network.get_weights())
    baseline.train(20)
    optimizer = fastnn.Adam(epsilon=1e-8)  # the baseline's
    trainer = fastnn.Trainer(network, loss="categorical_crossentropy", optimizer=optimizer)
    trainer.fit(X, y, epochs=20, batch_size=8)
    np.testing.assert_allclose(baseline.parameters, network.parameters, rtol=1e-8, atol=1e-10)


def test_bench_writes_what_it_shows(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(benchmark, "WORKLOADS", (SMALL,))
    measured = benchmark.measure(SMALL, turns=3, seconds=0.001)
    monkeypatch.setattr(benchmark, "measure", lambda workload: measured)
    code = main(["bench", "--json", str(tmp_path / "b.json"), "--plot", str(tmp_path / "b.png")])
    assert code == 0
    output = capsys.readouterr().out
    assert f"{measured.median('NumPy') * 1e6:.1f}" in output
    written = json.loads((tmp_path / "b.json").read_text())
    assert written["workloads"][0]["samples"] == measured.samples
    assert all(len(samples) == 3 for samples in measured.samples.values())
    assert (tmp_path / "b.png").stat().st_size > 5000


def test_a_chart_of_no_known_format_is_refused_before_the_work(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "measure", lambda workload: pytest.fail("measured"))
    assert main(["bench", "--plot", "chart.xyz"]) == 2
    assert "--plot must end in one of" in capsys.readouterr().err
