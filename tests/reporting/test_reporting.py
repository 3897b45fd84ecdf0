"""Reports: one page that loads nothing, for every kind of model and table, light and dark, on wide and on narrow."""

import re
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import fastnn
from browser import chromium, is_wider_than_its_window, look
from fastnn.cli import main
from fastnn.reporting import pictures
from fastnn.reporting.scores import dependence, importances
from fastnn.reporting.subject import Rows, Subject
from support import rng

pytest.importorskip("jinja2", reason="jinja2 is missing: it comes with the extra 'report'")
polars = pytest.importorskip("polars", reason="polars is missing: it comes with the extra 'tables'")
pandas = pytest.importorskip("pandas", reason="pandas is missing")


class Page(HTMLParser):
    """The headings, cells and ids of a page, and what it would load."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.ids, self.loaded, self._open = {}, [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self._open.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        for name in ("src", "href", "xlink:href"):
            if name in found and not found[name].startswith(("data:", "#")):
                self.loaded.append(found[name])

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if data.strip() and self._open:
            self.texts.setdefault(self._open[-1], []).append(data.strip())


def data(n=120):
    r = rng()
    X = r.normal(size=(n, 3))
    return X, X[:, 1] + 0.1 * r.normal(size=n)


def test_a_classifier_of_an_array():
    X, signal = data()
    y = np.where(signal > 0, "up", "down")
    report = fastnn.report(LogisticRegression().fit(X, y), X, y, title="<Signs>")
    page = Page(report.html)
    assert page.loaded == [] and "<script" not in report.html
    assert len(set(page.ids)) == len(page.ids)
    assert page.texts["h1"] == ["<Signs>"]
    captions = page.texts["figcaption"]
    assert captions[:5] == [
        "Confusion matrix", "ROC", "Precision and recall", "Calibration", "Importance of columns",
    ]  # fmt: skip
    assert "Partial dependence on x1" in captions
    assert any("joblib.load" in text for text in page.texts["pre"])
    assert "#0072b2" not in re.sub(r"<style>.*?</style>", "", report.html, count=1, flags=re.DOTALL)
    assert report.html == fastnn.report(LogisticRegression().fit(X, y), X, y, title="<Signs>").html
    assert "srcdoc" in report._repr_html_() and "<Report" in repr(report)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_a_regressor_of_a_frame(kind):
    X, y = data()
    names = ["a $b$", "<i>", "c"]
    frame = {"pandas": pandas, "polars": polars}[kind].DataFrame(dict(zip(names, X.T, strict=True)))
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(frame, y)
    page = Page(fastnn.report(model, frame, y).html)
    assert page.texts["figcaption"][:2] == ["True values over predictions", "Errors over predictions"]
    assert "<i>" in page.texts["th"]
    assert "i" not in page.texts


def test_importances_find_the_column_that_matters():
    X, y = data()
    found = importances(Subject(LinearRegression().fit(X, y)), Rows(X), y, rng())
    assert found[0].name == "x1"
    assert found[0].mean == pytest.approx(2 * np.var(y), rel=0.3)
    assert abs(found[1].mean) < 0.01


def test_dependence_of_a_line_is_the_line():
    X, y = data()
    model = LinearRegression().fit(X, y)
    found = dependence(Subject(model), Rows(X), 1)
    slopes = np.diff(found.outputs[:, 0]) / np.diff(found.values)
    np.testing.assert_allclose(slopes, model.coef_[1], rtol=1e-9)


@pytest.mark.parametrize("form", [pandas.DataFrame, polars.DataFrame])
def test_dependence_of_kinds_of_columns(form):
    n = 40
    times = np.datetime64("2020-01-01", "ms") + np.arange(n) * np.timedelta64(86_400_000, "ms")
    columns = {
        "time": times,
        "word": [f"text {i}" for i in range(n)],
        "same": np.ones(n),
        "city": ["A", "B"] * (n // 2),
    }
    rows = Rows(form(columns))
    subject = Subject(DummyClassifier(strategy="prior").fit(np.zeros((n, 1)), ["x", "y"] * (n // 2)))
    found = [dependence(subject, rows, place) for place in range(4)]
    assert found[0].is_number and found[0].values.dtype.kind == "M"
    assert found[1] is None and found[2] is None
    assert found[3].values.tolist() == ["A", "B"]
    pictures.draw(0, (4, 3), lambda ax: pictures.dependence(ax, subject, found[0]))


def test_thirty_classes_and_three_hundred_columns():
    r = rng()
    X, y = r.normal(size=(300, 300)), np.arange(300) % 30
    page = Page(fastnn.report(DummyClassifier(strategy="stratified", random_state=0).fit(X, y), X, y).html)
    assert sum(text in {str(i) for i in range(30)} for text in page.texts["th"]) == 30
    assert "x299" in page.texts["th"]


def test_a_classifier_without_probabilities_has_no_curves_of_them():
    X, signal = data()
    page = Page(fastnn.report(LinearSVC().fit(X, signal > 0), X, signal > 0).html)
    assert "ROC" not in page.texts["figcaption"]
    assert "Confusion matrix" in page.texts["figcaption"]


def test_a_class_that_no_row_has():
    X, signal = data()
    model = LogisticRegression().fit(X, np.digitize(signal, [-1, 1]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fastnn.report(model, X[:20], np.ones(20, int)).html


def test_wrong_use_is_told():
    X, y = data()
    model = LinearRegression().fit(X, y)
    with pytest.raises(TypeError, match="estimator must be a fitted classifier or regressor, got StandardScaler"):
        fastnn.report(StandardScaler().fit(X), X, y)
    with pytest.raises(ValueError, match="as many rows, at least one; got 120 and 119"):
        fastnn.report(model, X, y[1:])
    with pytest.raises(ValueError, match="y must be finite"):
        fastnn.report(model, X, np.full(120, np.nan))
    with pytest.raises(ValueError, match="y must hold classes that the estimator knows, got 7"):
        fastnn.report(LogisticRegression().fit(X, y > 0), X, np.full(120, 7))
    with pytest.raises(ValueError, match="X must have rows and columns"):
        fastnn.report(model, X[0], y)


@pytest.mark.parametrize("options", [["--preset", "fast"], ["--hidden", "8", "--epochs", "3"]])
def test_the_command_line_writes_one(tmp_path, monkeypatch, capsys, options):
    monkeypatch.chdir(tmp_path)
    X, y = data()
    polars.DataFrame({"a": X[:, 0], "b": X[:, 1], "up": np.where(y > 0, "yes", "no")}).write_csv("t.csv")
    command = ["train", "t.csv", "--target", "up", "--quiet", "--threads", "1", *options]
    assert main([*command, "--report", "report.html"]) == 0
    assert "page: report.html" in capsys.readouterr().out
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.texts["h1"] == ["t.csv: up"]
    assert "t-up.safetensors" in page.texts["pre"][-1]
    assert "Loss over the epochs" in page.texts["figcaption"]
    with pytest.raises(SystemExit):
        main([*command, "--report", "nowhere/report.html"])
    assert "--report must be a file in a folder that exists" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", "iris", "--report", "report.html"])
    assert "--report goes with a file" in capsys.readouterr().err


def test_in_chromium(tmp_path):
    from axe_selenium_python import Axe

    X, signal = data()
    reports = {
        "classes": fastnn.report(LogisticRegression().fit(X, signal > 0), X, signal > 0),
        "numbers": fastnn.report(LinearRegression().fit(X, signal), X, signal),
    }
    problems = []
    with chromium() as driver:
        for name, report in reports.items():
            path = tmp_path / f"{name}.html"
            report.save(path)
            for width, dark in ((1280, False), (1280, True), (400, False), (400, True)):
                look(driver, width, 900, dark)
                driver.get(path.as_uri())
                driver.save_screenshot(str(tmp_path / f"{name}-{width}-{dark}.png"))
                if is_wider_than_its_window(driver):
                    problems.append((name, width, "is wider than its window"))
                ink = driver.execute_script("return getComputedStyle(document.querySelector('figure svg text')).fill")
                if (ink == "rgb(230, 233, 237)") != dark:
                    problems.append((name, dark, ink))
                axe = Axe(driver)
                axe.inject()
                found = axe.run(options={"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa"]}})
                problems += [(name, width, dark, violation["id"]) for violation in found["violations"]]
            assert [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert problems == []
