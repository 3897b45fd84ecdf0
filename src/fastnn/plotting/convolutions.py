"""What convolutions look for, and what they find: filters and feature maps as pictures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.common.validation import check_integer
from fastnn.layers import Conv2D
from fastnn.model.network import Network
from fastnn.plotting.style import check_matplotlib, grid_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_filters(
    network: Network,
    layer: int | None = None,
    *,
    n_filters: int = 25,
    axes: "Sequence[Axes] | None" = None,
) -> "list[Axes]":
    """Draw the kernels of a convolution, one picture a filter.

    Blue is negative, red positive, white zero; all pictures share one scale. Kernels over three channels are drawn in
    colours, grey being zero; of those over more channels the one with the largest weights is drawn.

    Parameters
    ----------
    network : Network
    layer : int or None, default None
        Which of `network.layers`, a Conv2D; None takes the first.
    n_filters : int, default 25
        How many at most, in their order; >= 1.
    axes : sequence of matplotlib Axes or None, default None
        One for each picture; None makes a pyplot figure with them.

    Returns
    -------
    list of matplotlib Axes
        Those drawn on.

    Raises
    ------
    ValueError
        If the layer is no Conv2D, the network has none, or too few axes were given.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import fastnn
    >>> from matplotlib.figure import Figure
    >>> from fastnn.plotting import plot_filters
    >>> network = fastnn.Network([fastnn.Input((8, 8, 1)), fastnn.Conv2D(4, 3)], seed=0)
    >>> axes = plot_filters(network, axes=Figure().subplots(2, 2).flat)
    >>> axes[3].get_title()
    'filter 3'
    """
    check_matplotlib()
    kernel = _kernel(network, _find_layer(network, layer))
    n_drawn = min(check_integer("n_filters", n_filters, 1), kernel.shape[3])
    axes, is_own_figure = _axes_for(axes, n_drawn)
    limit = float(np.abs(kernel[..., :n_drawn]).max()) or 1.0
    scale: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    for i, ax in enumerate(axes[:n_drawn]):
        filter_ = kernel[..., i]
        title = f"filter {i}"
        if filter_.shape[2] == 3:
            ax.imshow(0.5 + 0.5 * filter_ / limit)
        else:
            channel = int(np.abs(filter_).sum(axis=(0, 1)).argmax())
            image = ax.imshow(filter_[..., channel], **scale)
            title += f", channel {channel}" if filter_.shape[2] > 1 else ""
        _finish(ax, title)
    if is_own_figure and kernel.shape[2] != 3:
        axes[0].figure.colorbar(image, ax=axes, label="weight", shrink=0.8)
    return axes[:n_drawn]


def plot_feature_maps(
    network: Network,
    x: Any,
    layer: int | None = None,
    *,
    n_maps: int = 25,
    axes: "Sequence[Axes] | None" = None,
) -> "list[Axes]":
    """Draw what a layer makes of one image, one picture a channel.

    All pictures share one scale, from the smallest value, dark, to the largest, bright.

    Parameters
    ----------
    network : Network
    x : array-like of shape (height, width, channels) or (n_inputs,)
        One sample.
    layer : int or None, default None
        Which of `network.layers`, one that gives images; None takes the first Conv2D. Dropout is off, and nothing is
        moved or mirrored, as in `predict`.
    n_maps : int, default 25
        How many at most, in their order; >= 1.
    axes : sequence of matplotlib Axes or None, default None
        One for each picture; None makes a pyplot figure with them.

    Returns
    -------
    list of matplotlib Axes
        Those drawn on.

    Raises
    ------
    ValueError
        If the layer gives no images, x has another shape, or too few axes were given.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> from matplotlib.figure import Figure
    >>> from fastnn.plotting import plot_feature_maps
    >>> network = fastnn.Network([fastnn.Input((8, 8, 1)), fastnn.Conv2D(4, 3, activation="relu")], seed=0)
    >>> axes = plot_feature_maps(network, np.zeros((8, 8, 1)), axes=Figure().subplots(2, 2).flat)
    >>> axes[0].images[0].get_array().shape
    (6, 6)
    """
    check_matplotlib()
    number = _find_layer(network, layer) if layer is None else _checked_layer(network, layer)
    shape = network.plan.shapes[number]
    if len(shape) != 3:
        raise ValueError(f"layer must be one that gives images, got layers[{number}], which gives the shape {shape}")
    maps = _outputs_of_layer(network, number, np.asarray(x)[np.newaxis]).reshape(shape)
    n_drawn = min(check_integer("n_maps", n_maps, 1), shape[2])
    axes, is_own_figure = _axes_for(axes, n_drawn)
    drawn = maps[..., :n_drawn]
    for i, ax in enumerate(axes[:n_drawn]):
        image = ax.imshow(drawn[..., i], cmap="viridis", vmin=float(drawn.min()), vmax=float(drawn.max()))
        _finish(ax, f"channel {i}")
    if is_own_figure:
        axes[0].figure.colorbar(image, ax=axes, label="output", shrink=0.8)
    return axes[:n_drawn]


def _find_layer(network: Network, layer: int | None) -> int:
    """Return the number of a Conv2D."""
    if layer is not None:
        number = _checked_layer(network, layer)
        if not isinstance(network.layers[number], Conv2D):
            raise ValueError(f"layer must be a Conv2D, got layers[{number}], {network.layers[number]!r}")
        return number
    for number, one in enumerate(network.layers):
        if isinstance(one, Conv2D):
            return number
    raise ValueError("network must have a Conv2D")


def _checked_layer(network: Network, layer: int) -> int:
    return check_integer("layer", layer, 0, len(network.layers) - 1)


def _kernel(network: Network, number: int) -> np.ndarray:
    pairs = zip(network.plan.variables, network.get_weights(), strict=True)
    return next(array for variable, array in pairs if variable.layer == number and variable.name == "kernel")


def _outputs_of_layer(network: Network, number: int, X: np.ndarray) -> np.ndarray:
    """Return what a layer gives: the outputs of the network that ends with it."""
    if number == 0:
        return X
    part = Network._blank(list(network.layers[: number + 1]), dtype=network.dtype, seed=0)
    n_arrays = len(part.get_weights())
    part.set_weights(network.get_weights()[:n_arrays])
    np.copyto(part.state, network.state[: part.state.size])
    return part.predict(X)


def _axes_for(axes: "Sequence[Axes] | None", n: int) -> "tuple[list[Axes], bool]":
    """Return axes for n pictures, and whether they are in a figure of their own; those beyond n are empty."""
    is_own_figure = axes is None
    found = grid_axes(n) if axes is None else list(axes)
    if len(found) < n:
        raise ValueError(f"axes must hold {n} axes, got {len(found)}")
    for ax in found[n:]:
        ax.set_axis_off()
    return found, is_own_figure


def _finish(ax: "Axes", title: str) -> None:
    ax.set_title(title, fontsize=8, pad=3)
    ax.set(xticks=[], yticks=[])
