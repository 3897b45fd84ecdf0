"""The live page: what it serves, to whom, and what Chromium shows of it."""

import copy
import gc
import http.client
import importlib.machinery
import json
import pickle
import threading
import time
from urllib.parse import urlsplit

import numpy as np
import pytest

import fastnn
from browser import chromium, is_wider_than_its_window, look
from fastnn.callbacks import LiveView
from fastnn.callbacks.live_board import MOST_POINTS, Board

X = np.linspace(-1, 1, 64)[:, None]
Y = X**2


def make_trainer(seed=0):
    return fastnn.Trainer(fastnn.Network.mlp(1, [8], 1, seed=seed), loss="mse", metrics=["mae"])


@pytest.fixture
def view():
    with LiveView(name="squares") as view:
        yield view


def get(view, path, host=None):
    """Return the status and the body of an answer; path None is the page."""
    address = urlsplit(view.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=5)
    try:
        connection.putrequest("GET", address.path if path is None else path, skip_host=True)
        connection.putheader("Host", host or address.netloc)
        connection.endheaders()
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def test_page_needs_the_token_and_this_machine_s_name(view):
    page, body = get(view, None)
    assert page.status == 200 and b"<title>fastnn" in body
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert get(view, "/")[0].status == 404
    assert get(view, "/wrong/")[0].status == 404
    assert get(view, "/wrong/events")[0].status == 404
    assert get(view, None, host="example.org")[0].status == 403
    assert get(view, urlsplit(view.url).path + "../live.py")[0].status == 404
    with LiveView() as other:
        assert urlsplit(other.url).path != urlsplit(view.url).path


@pytest.mark.parametrize("found", [None, importlib.machinery.ModuleSpec("uplot", None, is_package=True)])
def test_extra_is_named_where_it_is_missing(monkeypatch, found):
    monkeypatch.setattr("fastnn.callbacks.live_server.find_spec", lambda name: found)
    with pytest.raises(ImportError, match=r'pip install "fastnn\[live\]"'):
        LiveView()


def test_nothing_can_be_written(view):
    address = urlsplit(view.url)
    for method in ("POST", "PUT", "DELETE"):
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=5)
        connection.request(method, address.path)
        assert connection.getresponse().status == 501
        connection.close()


def test_histograms_are_of_the_run(view):
    trainer = make_trainer()
    trainer.fit(X, Y, epochs=2, callbacks=[view])
    path = urlsplit(view.url).path + "histograms?run="
    found = json.loads(get(view, path + "0")[1])
    counts = [sum(tensor["counts"]) for tensor in found]
    assert counts == [8, 8, 8, 1]
    assert [get(view, path + number)[0].status for number in ("1", "-1", "x", "")] == [404] * 4
    del trainer
    gc.collect()
    assert json.loads(get(view, path + "0")[1]) == found  # as they were at its end


def test_a_long_fit_stays_small():
    board = Board()
    run = board.new_run(None, fastnn.Network.mlp(1, [8], 1, seed=0))
    seen = {}
    for epoch in range(5 * MOST_POINTS):
        board.add(run, epoch, {"loss": 1.0}, {})
    (item,) = board.news(seen)
    assert item["epochs"] == 5 * MOST_POINTS and item["restarts"]
    assert MOST_POINTS / 2 <= len(item["points"]) <= MOST_POINTS
    assert item["points"][0]["epoch"] == 1
    steps = {b["epoch"] - a["epoch"] for a, b in zip(item["points"], item["points"][1:], strict=False)}
    assert steps == {run.stride}
    assert board.news(seen) == []


def test_the_end_of_a_fit_is_shown_whole(view):
    """The last epoch, also one that thinning left out, with the norms of the network as it is then."""
    run = view._board.new_run("long", fastnn.Network.mlp(1, [8], 1, seed=0))
    for epoch in range(MOST_POINTS + 2):
        view._board.add(run, epoch, {"loss": float(epoch)}, {})
    assert run.points[-1]["epoch"] < MOST_POINTS + 2
    view._board.end(run, "done", {"norm of weights": {"layer 1": 2.0}})
    assert run.points[-1] == {
        "epoch": MOST_POINTS + 2, "values": {"loss": MOST_POINTS + 1.0}, "groups": {"norm of weights": {"layer 1": 2.0}}
    }  # fmt: skip
    trainer, seen = make_trainer(), {}
    watch = fastnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: view._board.news(seen))
    trainer.fit(X, Y, epochs=3, callbacks=[view, watch])
    row = view._board.news(seen)[-1]  # a page that has seen all epochs gets the last one again
    assert row["restarts"] and [point["epoch"] for point in row["points"]] == [1, 2, 3]
    weights = trainer.network.get_weights()
    layers = zip(weights[::2], weights[1::2], strict=True)
    norms = [np.linalg.norm([*kernel.ravel(), *bias]) for kernel, bias in layers]
    assert list(row["points"][-1]["groups"]["norm of weights"].values()) == pytest.approx(norms, rel=1e-5)


def test_fits_of_one_name_are_numbered(view):
    network = fastnn.Network.mlp(1, [8], 1, seed=0)
    named = [view._board.new_run(name, network).name for name in ("a", None, "a", "b", None)]
    assert named == ["a", "fit 1", "a 2", "b", "fit 2"]
    other = view.copy_for("part 1", 10)
    assert (other.name, other.url) == ("squares: part 1", view.url)


def test_a_copy_is_another_fit_of_the_same_page(view):
    fastnn.fit_many([make_trainer(0), make_trainer(1)], X, Y, epochs=2, callbacks=[view])
    rows = view._board.news({})
    assert [row["state"] for row in rows] == ["done", "done"]
    assert copy.deepcopy(view).url == view.url
    with pytest.raises(TypeError, match="another process"):
        pickle.dumps(view)


def test_gradients_of_a_sample():
    with LiveView(sample=(X[:8], Y[:8])) as view:
        trainer = make_trainer()
        trainer.fit(X, Y, epochs=1, callbacks=[view])
        (row,) = view._board.news({})
        norms = row["points"][0]["groups"]["norm of gradients"]
        _, gradient = trainer.network.loss_and_gradient(X[:8], Y[:8], loss="mse")
    assert np.sqrt(sum(norm**2 for norm in norms.values())) == pytest.approx(np.linalg.norm(gradient), rel=1e-5)


def test_training_is_the_same_with_a_page(view):
    alone, watched = make_trainer(), make_trainer()
    alone.fit(X, Y, epochs=5)
    watched.fit(X, Y, epochs=5, callbacks=[view])
    np.testing.assert_array_equal(alone.network.parameters, watched.network.parameters)


@pytest.mark.parametrize(("options", "error"), [({"port": 70000}, ValueError), ({"port": "x"}, TypeError),
                                                ({"name": 3}, TypeError), ({"sample": X}, TypeError)])  # fmt: skip
def test_wrong_arguments(options, error):
    with pytest.raises(error, match=next(iter(options))):
        LiveView(**options)


def wait_for(condition, what, seconds=10):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return found


def epochs_shown(driver):
    text = driver.execute_script("return document.getElementById('runs').innerText")
    return int(text.split()[2]) if "squares" in text else 0


def assert_legends_and_norms_are_those_of(driver, trainer):
    """Each panel names its curves, in colours that are apart; the last norms are those of the network at its end."""
    wait_for(
        lambda: driver.execute_script(
            "return [...charts.values()].every(c => c.plot.data[0].at(-1) === arguments[0])", trainer.epochs_done
        ),
        "the last epoch is not drawn",
    )
    legends = driver.execute_script(
        """return Object.fromEntries([...charts].map(([title, {card}]) => [title,
        [...card.querySelectorAll('.u-series')].slice(1).map(row => ({
          label: row.querySelector('.u-label').textContent, value: row.querySelector('.u-value').textContent,
          colour: getComputedStyle(row.querySelector('.u-marker')).borderColor}))]))"""
    )
    names = {title: [line["label"] for line in lines] for title, lines in legends.items()}
    assert names == {
        "loss": ["training", "validation"], "mae": ["training", "validation"], "learning rate": ["rate"],
        "norm of weights": ["layer 1", "layer 2"], "norm of gradients": ["layer 1", "layer 2"],
    }  # fmt: skip
    for lines in legends.values():
        assert len({line["colour"] for line in lines}) == len(lines)
    weights = trainer.network.get_weights()
    norms = [np.linalg.norm([*kernel.ravel(), *bias]) for kernel, bias in (weights[:2], weights[2:])]
    shown = [float(line["value"]) for line in legends["norm of weights"]]
    assert shown == pytest.approx(norms, rel=1e-3)
    # The curves are one under the other, the legend below them and not on them.
    assert driver.execute_script(
        """return [...charts.values()].every(({card}) => card.querySelector('.u-legend').getBoundingClientRect().top
        >= card.querySelector('.u-over').getBoundingClientRect().bottom)"""
    )


def test_few_points_have_markers_and_the_page_follows_what_trains(view):
    with chromium() as driver:
        driver.get(view.url)
        make_trainer().fit(X, Y, epochs=4, callbacks=[view])
        wait_for(lambda: epochs_shown(driver) == 4, "no epochs")
        has_markers = "return charts.get('loss').plot.series[1].points.show(charts.get('loss').plot, 1)"
        assert driver.execute_script(has_markers)
        stop = threading.Event()
        trainer = make_trainer()
        watch = fastnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: stop.is_set() and trainer.stop())
        options = {"epochs": 10**9, "callbacks": [copy.deepcopy(view), watch], "n_threads": 1}
        thread = threading.Thread(target=trainer.fit, args=(X, Y), kwargs=options)
        thread.start()
        try:
            wait_for(lambda: driver.execute_script("return selected") == 1, "the second fit is not shown")
            wait_for(lambda: not driver.execute_script(has_markers), "long curves have markers")
            press = "document.querySelector('button[data-run=\"0\"]').dispatchEvent(new PointerEvent('pointerdown'))"
            driver.execute_script(press)
            time.sleep(0.5)
            assert driver.execute_script("return selected") == 0  # chosen, so it stays
        finally:
            stop.set()
            thread.join()


def test_in_chromium(tmp_path):
    """The curve grows, a second tab works, a closed page changes nothing, no request leaves the machine."""
    trainer = make_trainer()
    stop = threading.Event()
    watch = fastnn.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: stop.is_set() and trainer.stop("enough"))
    with LiveView(name="squares", sample=(X[:8], Y[:8])) as view, chromium() as driver:
        thread = threading.Thread(
            target=trainer.fit, args=(X, Y),
            kwargs={"epochs": 10**9, "validation_split": 0.2, "callbacks": [view, watch], "n_threads": 1},
        )  # fmt: skip
        thread.start()
        try:
            driver.get(view.url)
            first = wait_for(lambda: epochs_shown(driver), "no epoch")
            wait_for(lambda: epochs_shown(driver) > first, "the curve does not grow")
            wait_for(lambda: driver.execute_script("return document.querySelectorAll('canvas').length >= 4"), "charts")
            before = driver.execute_script("return charts.get('loss').plot.data[0].length")
            assert 0 < before <= MOST_POINTS + 1000
            driver.switch_to.new_window("tab")
            driver.get(view.url)
            wait_for(lambda: epochs_shown(driver), "the second tab is empty")
            driver.close()
            driver.switch_to.window(driver.window_handles[0])
            reached = trainer.epochs_done
            wait_for(lambda: trainer.epochs_done > reached, "a closed page stopped training")
            driver.execute_script("document.getElementById('histograms').click()")
            wait_for(lambda: driver.execute_script("return document.querySelectorAll('#bars svg').length == 4"), "bars")
        finally:
            stop.set()
            thread.join()
        wait_for(lambda: "ended" in driver.find_element("id", "status").text, "the end is not shown")
        assert_legends_and_norms_are_those_of(driver, trainer)
        head = driver.find_element("css selector", "th[data-name='loss'] button")
        head.click()
        assert driver.find_element("css selector", "th[data-name='loss']").get_attribute("aria-sort") == "ascending"
        addresses = driver.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
        assert addresses and all(address.startswith(view.url) for address in addresses)
        assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
        for width in (1280, 400):
            for dark in (False, True):
                look(driver, width, 1100, dark)
                time.sleep(0.3)
                assert not is_wider_than_its_window(driver), width
                driver.save_screenshot(str(tmp_path / f"live-{width}-{'dark' if dark else 'light'}.png"))
