"""The table of a network's layers, as text for a terminal and as HTML for a notebook."""

from html import escape

from fastnn.layers import Layer
from fastnn.model.core import NetworkCore

_CELL = "padding: 0.2em 0.8em; text-align: right"
_TOTAL = "border-top: 1px solid currentColor; font-weight: bold"
_NAME = "padding: 0.2em 0.8em; text-align: left"


def layer_rows(network: NetworkCore) -> list[tuple[str, str, int, int]]:
    """Return (description, outputs, parameters, flops of a prediction of one sample) of each layer."""
    counts = [0] * len(network.layers)
    for variable in network.plan.variables:
        counts[variable.layer] += variable.size
    names = [_describe(layer) for layer in network.layers]
    shapes = [" x ".join(map(str, shape)) for shape in network.plan.shapes]
    flops = [0] * len(network.layers)
    for layer, n_flops in zip(network.plan.ops["layer"].tolist(), network.plan.op_flops, strict=True):
        flops[layer] += n_flops
    return list(zip(names, shapes, counts, flops, strict=True))


def as_text(network: NetworkCore) -> str:
    """Return the table in columns of characters."""
    rows = layer_rows(network)
    width = max(16, *(len(name) + 1 for name, *_ in rows))
    column = max(6, *(len(shape) for _, shape, *_ in rows))
    last = max(9, len(f"{network.plan.flops:,}"))
    lines = [f"{'layer':<{width}} {'output':>{column}}  {'parameters':>10}  {'flops':>{last}}"]
    lines += [
        f"{name:<{width}} {shape:>{column}}  {count:>10,}  {flops:>{last},}" for name, shape, count, flops in rows
    ]
    lines.append(f"{'total':<{width}} {'':>{column}}  {network.n_parameters:>10,}  {network.plan.flops:>{last},}")
    return "\n".join(lines)


def as_html(network: NetworkCore) -> str:
    """Return the table as HTML without scripts or links, in whatever colours the page has."""

    def row(tag: str, name: str, units: str, count: str, flops: str, style: str = "") -> str:
        cells = zip((name, units, count, flops), (_NAME, _CELL, _CELL, _CELL), strict=True)
        inside = "".join(f'<{tag} style="{cell}">{escape(text)}</{tag}>' for text, cell in cells)
        return f'<tr style="{style}">{inside}</tr>'

    lines = [
        "<div>",
        f"<p>Network, {network.dtype.name}: {network.n_inputs} inputs, {network.n_outputs} outputs</p>",
        '<table style="border-collapse: collapse">',
        row("th", "layer", "output", "parameters", "flops", "border-bottom: 1px solid currentColor"),
        *(row("td", name, shape, f"{count:,}", f"{flops:,}") for name, shape, count, flops in layer_rows(network)),
        row("td", "total", "", f"{network.n_parameters:,}", f"{network.plan.flops:,}", _TOTAL),
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
