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
    """Add pictures/*.png, and the speed chart that lies beside the benchmarks."""
    import matplotlib

    matplotlib.use("Agg")
    program = "\n".join(
        BLOCK.findall((DOCS / "tutorial.md").read_text(encoding="utf-8"))
    )
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.chdir(folder)
        try:
            exec(compile(program, "tutorial.md", "exec"), {"__name__": "__main__"})
        finally:
            os.chdir(here)
        for picture in sorted(Path(folder).glob("*.png")):
            content = picture.read_bytes()
            files.append(
                File.generated(config, f"pictures/{picture.name}", content=content)
            )
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
