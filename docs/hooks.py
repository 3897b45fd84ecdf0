"""What mkdocs does beside its own work: it runs the tutorial and keeps its pictures."""

import hashlib
import os
import re
import shutil
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
                text = chapter.read_text(encoding="utf-8")
                kept = Path(
                    os.environ.get("FASTNN_PICTURES", "nowhere"),
                    chapter_key(chapter, text),
                )
                if kept.is_dir():  # the tests have run this very text
                    shutil.copytree(kept, folder, dirs_exist_ok=True)
                    continue
                program = compile("\n".join(BLOCK.findall(text)), chapter.name, "exec")
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


def chapter_key(chapter, text):
    """Return the folder, in FASTNN_PICTURES, of what a chapter of this text draws."""
    return f"{chapter.stem}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


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
            rows = re.sub(r"(\d) (µs|ms|s)\b", "\\1\u00a0\\2", table[0])
            found += [f"### {heading.partition(' (')[0]}", rows]
        found.append(f"*{machine[1]}; {machine[2]}; {machine[3]}.*")
    return "\n\n".join(found)


def on_post_page(output, page, config):
    """Take the script that search from a folder needs from the site itself."""
    depth = page.url.count("/")
    # What numpydoc writes of the literature: marks in the text, and entries behind it.
    output = re.sub(r"(?<=\w|[)\] ])\[(\d)\]_", r"[\1]", output)
    output = re.sub(r"<p>\.\. \[(\d)\] ", r"<p>[\1] ", output)
    output = re.sub(r"\n *\.\. \[(\d)\] ", r"<br>[\1] ", output)
    # A dash before nothing.
    nothing = r"\u2013\s*(<div class=\"doc-md-description\">\s*</div>)"
    output = re.sub(nothing, r"\1", output)
    return output.replace(
        "https://unpkg.com/iframe-worker/shim",
        "../" * depth + "assets/iframe-worker.js",
    )
