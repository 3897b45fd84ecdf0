"""What mkdocs does beside its own work: it runs the tutorial and keeps its pictures."""

import os
import re
import tempfile
import warnings
from pathlib import Path

from mkdocs.structure.files import File

DOCS = Path(__file__).parent
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
    return files


def on_post_page(output, page, config):
    """Take the script that search from a folder needs from the site itself."""
    depth = page.url.count("/")
    return output.replace(
        "https://unpkg.com/iframe-worker/shim",
        "../" * depth + "assets/iframe-worker.js",
    )
