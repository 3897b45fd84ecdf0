"""The table of a network's layers, as text for a terminal and as HTML for a notebook."""

from html import escape

from fastnn.layers import Layer
from fastnn.model.core import NetworkCore

_CELL = "padding: 0.2em 0.8em; text-align: right"
_NAME = "padding: 0.2em 0.8em; text-align: left"


def layer_rows(network: NetworkCore) -> list[tuple[str, str, int]]:
    """Return (description, outputs, parameters) of each layer."""
    counts = [0] * len(network.layers)
    for variable in network.plan.variables:
        counts[variable.layer] += variable.size
    names = [_describe(layer) for layer in network.layers]
    shapes = [" x ".join(map(str, shape)) for shape in network.plan.shapes]
    return list(zip(names, shapes, counts, strict=True))


def as_text(network: NetworkCore) -> str:
    """Return the table in columns of characters."""
    rows = layer_rows(network)
    width = max(16, *(len(name) + 1 for name, _, _ in rows))
    column = max(6, *(len(shape) for _, shape, _ in rows))
    lines = [f"{'layer':<{width}} {'output':>{column}}  {'parameters':>10}"]
    lines += [f"{name:<{width}} {shape:>{column}}  {count:>10,}" for name, shape, count in rows]
    lines.append(f"{'total':<{width}} {'':>{column}}  {network.n_parameters:>10,}")
    return "\n".join(lines)


def as_html(network: NetworkCore) -> str:
    """Return the table as HTML without scripts or links, in whatever colours the page has."""

    def row(tag: str, name: str, units: str, count: str, style: str = "") -> str:
        cells = zip((name, units, count), (_NAME, _CELL, _CELL), strict=True)
        inside = "".join(f'<{tag} style="{cell}">{escape(text)}</{tag}>' for text, cell in cells)
        return f'<tr style="{style}">{inside}</tr>'

    lines = [
        "<div>",
        f"<p>Network, {network.dtype.name}: {network.n_inputs} inputs, {network.n_outputs} outputs</p>",
        '<table style="border-collapse: collapse">',
        row("th", "layer", "output", "parameters", "border-bottom: 1px solid currentColor"),
        *(row("td", name, shape, f"{count:,}") for name, shape, count in layer_rows(network)),
        row("td", "total", "", f"{network.n_parameters:,}", "border-top: 1px solid currentColor; font-weight: bold"),
        "</table>",
        "</div>",
    ]
    return "\n".join(lines)


def _describe(layer: Layer) -> str:
    function = getattr(layer, "activation", None) or getattr(layer, "function", None)
    rate = getattr(layer, "rate", None)
    detail = function.name if function else "" if rate is None else f"{rate:g}"
    frozen = "" if getattr(layer, "trainable", True) else " (not trained)"
    return f"{type(layer).__name__} {detail}".strip() + frozen
