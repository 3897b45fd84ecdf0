"""What mkdocs does beside its own work: it runs the tutorial and keeps its pictures."""

import os
import re
import sys
import tempfile
import warnings
from pathlib import Path

from mkdocs.structure.files import File

DOCS = Path(__file__).parent
# Parts of bench/RESULTS.md, and the headings whose first table the site shows.
SHOWN = {
    "One thread": (
        "Training, time per step", "Prediction, called from Python", "Whole fits",
        "MLPClassifier (fit: time per epoch; predict: per call)",
    ),
    "Convolutions": ("Convolutions",),
    "Sequences": ("Sequences",),
}  # fmt: skip
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def on_files(files, config):
    """Add what the chapters draw, and the speed chart that lies beside the figures."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.chdir(folder)
        try:
            for chapter in sorted((DOCS / "tutorial").glob("*.md")):
                blocks = BLOCK.findall(chapter.read_text(encoding="utf-8"))
                program = compile("\n".join(blocks), chapter.name, "exec")
                exec(program, {"__name__": "__main__"})
                pyplot.close("all")
        finally:
            os.chdir(here)
        drawn = [*Path(folder).glob("*.png"), *Path(folder).glob("*.webp")]
        for picture in sorted(drawn):
            address, content = f"tutorial/pictures/{picture.name}", picture.read_bytes()
            files.append(File.generated(config, address, content=content))
    chart = (DOCS.parent / "bench" / "results.svg").read_bytes()
    files.append(File.generated(config, "assets/results.svg", content=chart))
    files.append(
        File.generated(config, "assets/results-narrow.svg", content=narrow_chart())
    )
    return files


def narrow_chart():
    """Draw the speed chart for a phone, where letters of the wide one are tiny."""
    if os.fspath(DOCS.parent) not in sys.path:
        sys.path.insert(0, os.fspath(DOCS.parent))
    from bench.chart import draw
    from bench.report import ONE_THREAD
    from bench.results import Table

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "narrow.svg")
        draw(Table.read(ONE_THREAD), path, is_narrow=True)
        return path.read_bytes()


def on_page_markdown(markdown, page, config, files):
    """Show the main tables of the last measurements on the page about benchmarks."""
    return (
        markdown.replace("<!-- tables -->", measured())
        if page.file.src_uri == "benchmarks.md"
        else markdown
    )


def measured():
    """Return tables of bench/RESULTS.md, with headings and the machines measured on."""
    text = (DOCS.parent / "bench" / "RESULTS.md").read_text(encoding="utf-8")
    parts = dict(
        re.findall(r"^##+ ([^\n]+)\n(.*?)(?=^##+ )", text, re.MULTILINE | re.DOTALL)
    )
    found = []
    for part, headings in SHOWN.items():
        machine = re.search(
            r"`\. (.*?); (\d+ threads? .*?); .*?(\d{4}-\d\d-\d\d)T", parts[part]
        )
        for heading in headings:
            table = re.search(
                r"^\|.*?(?=\n\n|\Z)", parts[heading], re.MULTILINE | re.DOTALL
            )
            found += [f"### {heading.partition(' (')[0]}", table[0]]
        found.append(f"*{machine[1]}; {machine[2]}; {machine[3]}.*")
    return "\n\n".join(found)


def on_post_page(output, page, config):
    """Take the script that search from a folder needs from the site itself."""
    depth = page.url.count("/")
    return output.replace(
        "https://unpkg.com/iframe-worker/shim",
        "../" * depth + "assets/iframe-worker.js",
    )
