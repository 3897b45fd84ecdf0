"""The built documentation: links lead somewhere, nothing is fetched from elsewhere, and axe finds nothing to mend.

Building takes a while, so `.ci/run` does it once and says where in FASTNN_SITE.
"""

import os
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from browser import chromium, is_wider_than_its_window, look

SITE = Path(os.environ.get("FASTNN_SITE", ""))
pytestmark = pytest.mark.skipif(
    "FASTNN_SITE" not in os.environ, reason="needs a built site: mkdocs build --site-dir FOLDER; FASTNN_SITE=FOLDER"
)
LOOKED_AT = (
    "index.html", "tutorial/optimizers.html", "tutorial/backpropagation.html", "which-network.html",
    "how-to/watching.html", "reference/callbacks.html",
)  # fmt: skip
LATER_CONTENTS = ".md-sidebar--secondary .md-nav__item ~ .md-nav__item ~ .md-nav__item"
CODE_SCROLLS = """return [...document.querySelectorAll('[class*=language-] pre > code')].some(
    code => code.scrollWidth > code.clientWidth)"""

MISSING_PICTURES = "return [...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"


class Page(HTMLParser):
    """The links and anchors of a page, and what it loads."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.anchors, self.without_text = [], [], {""}, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors |= {found[name] for name in ("id", "name") if found.get(name)}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in ("img", "script") and "src" in found:
            self.loaded.append(found["src"])
        if tag == "source" and "srcset" in found:
            self.loaded.append(found["srcset"])
        if tag == "img" and "alt" not in found:
            self.without_text.append(found.get("src"))
        if tag == "link" and found.get("rel") in ("stylesheet", "icon"):
            self.loaded.append(found["href"])


def pages():
    return {path: Page(path.read_text(encoding="utf-8")) for path in sorted(SITE.rglob("*.html"))}


def test_links_lead_somewhere_and_nothing_comes_from_elsewhere():
    found = pages()
    assert len(found) > 10
    broken = []
    for path, page in found.items():
        if path.name == "404.html":  # served from any folder, with addresses from the root
            continue
        broken += [(path.name, src) for src in page.loaded if urlsplit(src).scheme not in ("", "data")]
        broken += [(path.name, "a picture without words", src) for src in page.without_text]
        for link in [*page.links, *page.loaded]:
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            target = target / "index.html" if target.is_dir() else target
            anchor = unquote(address.fragment)
            has_anchor = target not in found or anchor in found[target].anchors
            if not target.is_file() or not has_anchor:
                broken.append((path.name, link))
    assert broken == []


def test_the_reference_has_public_names_only():
    texts = [path.read_text(encoding="utf-8") for path in sorted((SITE / "reference").glob("*.html"))]
    anchors = set().union(*(Page(text).anchors for text in texts))
    assert not any(".. [1]" in text or "[1]_" in text for text in texts)  # as numpydoc writes it
    assert {"fastnn.Trainer", "fastnn.Trainer.fit", "fastnn.callbacks.LiveView"} <= anchors
    for name in ("MLPClassifier", "MLPRegressor", "NetworkClassifier", "NetworkRegressor"):  # inherited
        assert {f"fastnn.estimators.{name}.{method}" for method in ("fit", "predict", "save", "load")} <= anchors
    internal = (
        "rate_that_was_set",
        "check_layers",
        "hold_average",
        "add_op",
        "job_fields",
        "saved_names",
        "__deepcopy__",
        "as_features",
        "import_pillow",
    )
    assert [anchor for anchor in anchors if anchor.rpartition(".")[2] in internal] == []


def test_every_page_fits_a_phone():
    with chromium(400) as driver:
        problems = []
        for path in sorted(SITE.rglob("*.html")):
            driver.get(path.as_uri())
            if is_wider_than_its_window(driver):
                problems.append((path.name, "is wider than its window"))
            problems += [(path.name, "has no", src) for src in driver.execute_script(MISSING_PICTURES)]
    assert problems == []


def test_pages_in_chromium(tmp_path):
    """From a folder, without a network, at two widths, light and dark."""
    from axe_selenium_python import Axe

    problems = []
    with chromium() as driver:
        for name in LOOKED_AT:
            for width in (1280, 400):
                for dark in (False, True):
                    look(driver, width, 900, dark)
                    driver.get((SITE / name).as_uri())
                    driver.execute_script("localStorage.clear()")  # the theme remembers the last scheme
                    driver.get((SITE / name).as_uri())
                    label = f"{name} {width} {'dark' if dark else 'light'}"
                    driver.save_screenshot(str(tmp_path / f"{label.replace(' ', '-').replace('/', '-')}.png"))
                    if is_wider_than_its_window(driver):
                        problems.append((label, "is wider than its window"))
                    if width == 1280 and driver.execute_script(CODE_SCROLLS):
                        problems.append((label, "has code that scrolls sideways"))
                    if name == "tutorial/backpropagation.html":
                        assert driver.execute_script("return document.querySelectorAll('.katex').length") > 10
                        assert driver.execute_script("return document.querySelectorAll('.katex-error').length") == 0
                    if width == 1280:
                        axe = Axe(driver)
                        axe.inject()
                        options = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa"]}}
                        # The theme's own switch of schemes has its label outside its form. Of a long list of objects
                        # and of its contents the first ones are looked at: the others are made of the same parts.
                        context = {"exclude": [[".md-option"], [".doc-object ~ .doc-object"], [LATER_CONTENTS]]}
                        found = axe.run(context=context, options=options)
                        for violation in found["violations"]:
                            nodes = [node["html"][:160] for node in violation["nodes"][:3]]
                            problems.append((label, violation["id"], len(violation["nodes"]), *nodes))
    assert problems == []
