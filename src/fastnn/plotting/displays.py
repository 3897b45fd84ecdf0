"""Pictures of a network: where it draws the line, what its first layer looks for, how its numbers are spread.

Each function draws on the axes it is given, or on a new pyplot figure, and returns the axes.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.common.validation import as_array, check_integer
from fastnn.model.network import Network
from fastnn.plotting.style import (
    PALETTE,
    TRAINING_COLOUR,
    VALIDATION_COLOUR,
    check_matplotlib,
    grid_axes,
    new_axes,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARGIN = 0.08  # of the data's range, on each side
_PICTURE_BINS = 40


def plot_decision_boundary(
    model: Any, X: Any, y: Any = None, *, resolution: int = 200, ax: "Axes | None" = None
) -> "Axes":
    """Draw what a model of two features predicts over the plane, with samples on top.

    One output is drawn as a colour scale with the line where it is one half. Several are drawn as the regions of the
    classes, the paler the less sure.

    Parameters
    ----------
    model : Network or estimator
        A network with two inputs, or a fitted classifier with ``predict_proba``.
    X : array-like of shape (n, 2)
        Samples; they also say which part of the plane is drawn.
    y : array-like of shape (n,) or None, default None
        Their classes: numbers from 0 for a network, the estimator's labels for an estimator.
    resolution : int, default 200
        Points along each side; >= 2.
    ax : matplotlib Axes or None, default None
        Where to draw; None makes a pyplot figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If the model or X does not have two features, or y another length.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> from matplotlib.figure import Figure
    >>> from fastnn.plotting import plot_decision_boundary
    >>> X = np.random.default_rng(0).normal(size=(50, 2))
    >>> network = fastnn.Network.mlp(2, [8], 1, output="sigmoid", seed=0)
    >>> ax = plot_decision_boundary(network, X, X[:, 0] > 0, ax=Figure().subplots())
    >>> ax.get_xlabel()
    'feature 0'
    """
    check_matplotlib()
    points = as_array("X", X)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points):
        raise ValueError(f"X must have shape (n, 2), got {points.shape}")
    if isinstance(model, Network) and model.n_inputs != 2:
        raise ValueError(f"model must have 2 inputs, got {model.n_inputs}")
    labels = None if y is None else np.asarray(y).reshape(-1)
    if labels is not None and labels.size != len(points):
        raise ValueError(f"y must have as many samples as X ({len(points)}), got {labels.size}")
    check_integer("resolution", resolution, 2)
    low, high = points.min(axis=0).astype(float), points.max(axis=0).astype(float)
    margin = _MARGIN * np.where(high > low, high - low, 1.0)
    axis_0, axis_1 = (np.linspace(low[i] - margin[i], high[i] + margin[i], resolution) for i in (0, 1))
    grid = np.column_stack([axis.ravel() for axis in np.meshgrid(axis_0, axis_1)])
    outputs = _outputs(model, grid)
    classes = np.asarray(getattr(model, "classes_", np.arange(max(outputs.shape[1], 2))))
    ax = new_axes(1, 5.2, 4.2)[0] if ax is None else ax
    if outputs.shape[1] == 1:
        _draw_scale(ax, axis_0, axis_1, outputs.reshape(resolution, resolution))
    else:
        _draw_regions(ax, axis_0, axis_1, outputs.reshape(resolution, resolution, -1))
    if labels is not None:
        for i, label in enumerate(classes):
            chosen = points[labels == label]
            ax.scatter(
                chosen[:, 0], chosen[:, 1], s=18, color=PALETTE[i % len(PALETTE)], edgecolor="white",
                marker="osD^"[i // len(PALETTE) % 4], linewidth=0.6, label=str(label),
            )  # fmt: skip
        ax.legend(title="class", loc="lower center", bbox_to_anchor=(0.5, 1), ncols=6, frameon=False)
    ax.set(xlabel="feature 0", ylabel="feature 1", xlim=axis_0[[0, -1]], ylim=axis_1[[0, -1]])
    return ax


def _outputs(model: Any, grid: np.ndarray) -> np.ndarray:
    if isinstance(model, Network):
        return model.predict(grid)
    probabilities = np.asarray(model.predict_proba(grid))
    return probabilities[:, 1:] if probabilities.shape[1] == 2 else probabilities


def _draw_scale(ax: "Axes", x: np.ndarray, y: np.ndarray, values: np.ndarray) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    low, high = _pale(np.ones(2), [0, 1])
    colours = LinearSegmentedColormap.from_list("two classes", [low, "white", high])
    limits = min(0.0, float(values.min())), max(1.0, float(values.max()))
    image = ax.imshow(values, cmap=colours, vmin=limits[0], vmax=limits[1], **_placed(x, y))
    if values.min() < 0.5 < values.max():
        ax.contour(x, y, values, levels=[0.5], colors="black", linewidths=1.2)
    ax.figure.colorbar(image, ax=ax, label="output")


def _draw_regions(ax: "Axes", x: np.ndarray, y: np.ndarray, values: np.ndarray) -> None:
    n_classes = values.shape[-1]
    best = values.argmax(axis=-1)
    sureness = np.clip((values.max(axis=-1) - 1 / n_classes) / (1 - 1 / n_classes), 0, 1)
    ax.imshow(_pale(sureness, best), **_placed(x, y))
    for i in range(n_classes):
        lead = values[..., i] - np.delete(values, i, axis=-1).max(axis=-1)
        if lead.min() < 0 < lead.max():
            ax.contour(x, y, lead, levels=[0.0], colors="black", linewidths=0.8)


def _pale(strength: np.ndarray, classes: Any) -> np.ndarray:
    """Colours of classes from white at strength 0 to half their own at 1, on which samples stand out."""
    from matplotlib.colors import to_rgb

    full = np.array([to_rgb(colour) for colour in PALETTE])[np.asarray(classes) % len(PALETTE)]
    return 1 - 0.5 * strength[..., np.newaxis] * (1 - full)


def _placed(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """How imshow puts an image of the plane between the axes."""
    extent = (x[0], x[-1], y[0], y[-1])
    return {"extent": extent, "origin": "lower", "aspect": "auto", "interpolation": "bilinear", "zorder": 0}


def plot_weight_images(
    network: Network,
    *,
    image_shape: tuple[int, int] | None = None,
    n_images: int = 25,
    axes: "Sequence[Axes] | None" = None,
) -> "list[Axes]":
    """Draw what each unit of the first dense layer looks for, as an image of its weights.

    Blue is negative, red positive, white zero; all images share one scale. The units with the largest weights come
    first.

    Parameters
    ----------
    network : Network
        Its first dense layer is drawn.
    image_shape : (height, width) or None, default None
        Of the features; None takes a square.
    n_images : int, default 25
        How many units at most; >= 1.
    axes : sequence of matplotlib Axes or None, default None
        One for each image; None makes a pyplot figure with them.

    Returns
    -------
    list of matplotlib Axes
        Those drawn on.

    Raises
    ------
    ValueError
        If the features are no such image, the network has no dense layer, or too few axes were given.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import fastnn
    >>> from matplotlib.figure import Figure
    >>> from fastnn.plotting import plot_weight_images
    >>> network = fastnn.Network.mlp(64, [16], 10, seed=0)
    >>> axes = plot_weight_images(network, n_images=4, axes=Figure().subplots(2, 2).flat)
    >>> axes[0].get_title().startswith("unit ")
    True
    """
    check_matplotlib()
    kernels = [variable for variable in network.plan.variables if len(variable.shape) == 2]
    if not kernels:
        raise ValueError("network must have a dense layer")
    first = kernels[0]
    weights = network.parameters[first.offset : first.offset + first.size].reshape(first.shape)
    n_features = first.shape[0]
    side = math.isqrt(n_features)
    shape = (side, side) if image_shape is None else tuple(image_shape)
    if len(shape) != 2 or shape[0] * shape[1] != n_features:
        raise ValueError(f"image_shape must be (height, width) with {n_features} pixels, got {image_shape}")
    n_images = min(check_integer("n_images", n_images, 1), first.shape[1])
    units = np.argsort(-np.linalg.norm(weights, axis=0), kind="stable")[:n_images]
    is_own_figure = axes is None
    axes = grid_axes(n_images) if axes is None else list(axes)
    if len(axes) < n_images:
        raise ValueError(f"axes must hold {n_images} axes, got {len(axes)}")
    limit = float(np.abs(weights[:, units]).max()) or 1.0
    for ax, unit in zip(axes, units, strict=False):
        image = ax.imshow(weights[:, unit].reshape(shape), cmap="RdBu_r", vmin=-limit, vmax=limit)
        ax.set_title(f"unit {unit}", fontsize=8, pad=3)
        ax.set(xticks=[], yticks=[])
    for ax in axes[n_images:]:
        ax.set_axis_off()
    if is_own_figure:
        axes[0].figure.colorbar(image, ax=axes, label="weight", shrink=0.8)
    return list(axes[:n_images])


def plot_parameter_histograms(
    network: Network, gradient: np.ndarray | None = None, *, axes: "Sequence[Axes] | None" = None
) -> "list[Axes]":
    """Draw how the weights of each layer are spread, and below them the gradient if one is given.

    Parameters
    ----------
    network : Network
        Whose kernels and biases are drawn, a panel each.
    gradient : ndarray of shape (n_parameters,) or None, default None
        Of the parameters, as `Network.loss_and_gradient` returns it; or any other vector of that length.
    axes : sequence of matplotlib Axes or None, default None
        One for each tensor, then one for the gradient of each; None makes a pyplot figure with them.

    Returns
    -------
    list of matplotlib Axes
        Those drawn on.

    Raises
    ------
    ValueError
        If the gradient has another length, or too few axes were given.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> from matplotlib.figure import Figure
    >>> from fastnn.plotting import plot_parameter_histograms
    >>> network = fastnn.Network.mlp(4, [8], 1, seed=0)
    >>> _, gradient = network.loss_and_gradient(np.ones((3, 4)), np.ones(3), loss="mse")
    >>> axes = plot_parameter_histograms(network, gradient, axes=Figure().subplots(2, 4).flat)
    >>> axes[0].get_title(), axes[4].get_xlabel()
    ('layer 1 kernel', 'gradient')
    """
    check_matplotlib()
    vectors = [("weight", network.parameters, TRAINING_COLOUR)]
    if gradient is not None:
        vectors.append(("gradient", np.asarray(gradient), VALIDATION_COLOUR))
    tensors = [network.unflatten(vector) for _, vector, _ in vectors]  # checks the length
    variables = network.plan.variables
    n_panels = len(vectors) * len(variables)
    if axes is None:
        axes = new_axes(len(variables), 2.6, 2.4, n_rows=len(vectors))
    axes = list(axes)
    if len(axes) < n_panels:
        raise ValueError(f"axes must hold {n_panels} axes, got {len(axes)}")
    for row, (what, _, colour) in enumerate(vectors):
        for column, variable in enumerate(variables):
            ax, values = axes[row * len(variables) + column], tensors[row][column].ravel()
            ax.hist(values, bins=min(_PICTURE_BINS, max(5, math.isqrt(values.size))), color=colour)
            ax.set(xlabel=what)
            ax.set_title(f"layer {variable.layer} {variable.name}" if not row else "", fontsize=9)
            ax.ticklabel_format(axis="x", scilimits=(-2, 3))
            tidy(ax)
        axes[row * len(variables)].set_ylabel("how many")
    return axes[:n_panels]
