"""Learning curves drawn without matplotlib: as text for a terminal, as SVG for a notebook.

Both are drawn while a network trains, so they have to be cheap: a curve is thinned to a few hundred points first.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

_MOST_POINTS = 300
_BRAILLE = 0x2800
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))  # of a cell, by column and row
STYLES = ("bright_blue", "bright_yellow", "bright_magenta", "bright_green", "bright_cyan", "bright_white")
_COLOURS = ("#1A80C8", "#C45A00")  # more than 4 to 1 on white and on near black: notebooks do not say which they are


def thinned(values: Sequence[float]) -> list[tuple[int, float]]:
    """Return a curve's (epoch, value), finite ones, at most some hundred of them, the last among them.

    Examples
    --------
    >>> from fastnn.callbacks.drawing import thinned
    >>> thinned([0.5, float("nan"), 0.25])
    [(1, 0.5), (3, 0.25)]
    """
    step = max(1, -(-len(values) // _MOST_POINTS))
    places = [*range(0, len(values), step)]
    if places and places[-1] != len(values) - 1:
        places.append(len(values) - 1)
    return [(place + 1, values[place]) for place in places if math.isfinite(values[place])]


def _range(curves: Sequence[list[tuple[int, float]]]) -> tuple[float, float]:
    values = [value for curve in curves for _, value in curve]
    low, high = min(values), max(values)
    if high - low < 1e-12 * max(1.0, abs(high)):
        return low - 0.5, high + 0.5
    return low, high


def text_chart(curves: Mapping[str, Sequence[float]], n_epochs: int, width: int, height: int) -> str:
    """Return curves over `n_epochs` as lines of braille dots with marks of rich's markup; "" before any is finite.

    Examples
    --------
    >>> from fastnn.callbacks.drawing import text_chart
    >>> len(text_chart({"loss": [1.0, 0.5]}, n_epochs=2, width=40, height=4).splitlines())
    6
    """
    drawn = {name: points for name, values in curves.items() if (points := thinned(values))}
    if not drawn:
        return ""
    low, high = _range(list(drawn.values()))
    columns = max(width - 11, 8)
    cells = [[0] * columns for _ in range(height)]
    owner = [[0] * columns for _ in range(height)]
    for number, points in enumerate(drawn.values()):
        before: tuple[int, int] | None = None
        for epoch, value in points:
            x = round((epoch - 1) / max(n_epochs - 1, 1) * (2 * columns - 1))
            y = round((high - value) / (high - low) * (4 * height - 1))
            start = before or (x, y)
            n_steps = max(abs(x - start[0]), abs(y - start[1]), 1)
            for step in range(n_steps + 1):
                i = start[0] + round((x - start[0]) * step / n_steps)
                j = start[1] + round((y - start[1]) * step / n_steps)
                cells[j // 4][i // 2] |= _DOTS[i % 2][j % 4]
                owner[j // 4][i // 2] = number
            before = (x, y)
    lines = []
    for row, (dots, owners) in enumerate(zip(cells, owner, strict=True)):
        label = f"{high:.4g}" if row == 0 else f"{low:.4g}" if row == height - 1 else ""
        line = "".join(
            f"[{STYLES[who % len(STYLES)]}]{chr(_BRAILLE + dot)}[/]" if dot else " "
            for dot, who in zip(dots, owners, strict=True)
        )
        lines.append(f"{label:>9} │{line}")
    lines.append(" " * 10 + "└" + "─" * columns)
    names = "  ".join(f"[{STYLES[i % len(STYLES)]}]━[/] {name}" for i, name in enumerate(drawn))
    return "\n".join([*lines, f"{' ' * 11}epoch 1 to {n_epochs}   {names}"])


def svg_charts(panels: Mapping[str, Mapping[str, Sequence[float]]], n_epochs: int) -> str:
    """Return panels of curves, side by side, as one SVG that is readable on light and on dark pages.

    Examples
    --------
    >>> from fastnn.callbacks.drawing import svg_charts
    >>> svg_charts({"loss": {"training": [1.0, 0.5]}}, 2).count("<polyline")
    1
    """
    width, height, left, top = 340, 220, 58, 30
    colours = "".join(f".s{i}{{stroke:{colour};fill:{colour}}}" for i, colour in enumerate(_COLOURS))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width * len(panels)} {height}" '
        f'width="{width * len(panels)}" role="img" aria-label="learning curves: {escape(", ".join(panels))}">'
        "<style>text{font:12px sans-serif;fill:#777}.g{stroke:#8886}polyline{fill:none!important;stroke-width:1.8}"
        f"text.s0,text.s1{{stroke:none}}{colours}</style>"
    ]
    plot_width, plot_height = width - left - 14, height - top - 42
    for number, (title, curves) in enumerate(panels.items()):
        drawn = {name: points for name, values in curves.items() if (points := thinned(values))}
        if not drawn:
            continue
        low, high = _range(list(drawn.values()))
        x0 = number * width + left
        parts.append(f'<text x="{x0}" y="18" font-weight="bold">{escape(title)}</text>')
        for share in (0, 0.5, 1):
            y, value = top + plot_height * (1 - share), low + share * (high - low)
            parts.append(f'<path class="g" d="M{x0} {y:.1f}h{plot_width}"/>')
            parts.append(f'<text x="{x0 - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
        for index, (name, points) in enumerate(drawn.items()):
            path = " ".join(
                f"{x0 + (epoch - 1) / max(n_epochs - 1, 1) * plot_width:.1f},"
                f"{top + (high - value) / (high - low) * plot_height:.1f}"
                for epoch, value in points
            )
            dashes = ' stroke-dasharray="6 3"' if index else ""
            parts.append(f'<polyline class="s{index % 2}" points="{path}"{dashes}/>')
            parts.append(
                f'<text class="s{index % 2}" x="{x0 + 66 + 80 * index}" y="18">{"╌╌" if index else "──"} '
                f"{escape(name)}</text>"
            )
        bottom = top + plot_height + 16
        parts.append(f'<text x="{x0}" y="{bottom}">1</text>')
        parts.append(f'<text x="{x0 + plot_width}" y="{bottom}" text-anchor="end">{n_epochs}</text>')
        parts.append(f'<text x="{x0 + plot_width / 2}" y="{bottom + 14}" text-anchor="middle">epoch</text>')
    return "".join([*parts, "</svg>"])


def panels_of(history: Mapping[str, Sequence[float]], most: int = 3) -> dict[str, dict[str, Sequence[float]]]:
    """Return the curves of a history by panel: "loss" and the metrics, training beside validation.

    Examples
    --------
    >>> from fastnn.callbacks.drawing import panels_of
    >>> panels_of({"loss": [1.0], "val_loss": [2.0]})
    {'loss': {'training': [1.0], 'validation': [2.0]}}
    """
    names = [name for name in history if not name.startswith("val_")][:most]
    found: dict[str, dict[str, Sequence[float]]] = {}
    for name in names:
        found[name] = {"training": history[name]}
        if f"val_{name}" in history:
            found[name]["validation"] = history[f"val_{name}"]
    return found
