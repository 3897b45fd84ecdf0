"""Pictures of samples: what a generator makes, and what a network looks at."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.common.validation import as_array
from fastnn.model.network import Network
from fastnn.model.saliency import saliency
from fastnn.plotting.style import check_matplotlib, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GAP = 1  # pixels between images


def _image_shape(size: int, shape: tuple[int, ...], given: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return (height, width) or (height, width, channels) of samples of a shape, or raise ValueError."""
    if given is None:
        if len(shape) > 1:
            given = shape[:2] if len(shape) == 3 and shape[2] == 1 else shape
        else:
            side = math.isqrt(size)
            given = (side, side)
    given = tuple(given)
    if len(given) not in (2, 3) or math.prod(given) != size or (len(given) == 3 and given[2] not in (3, 4)):
        raise ValueError(
            f"image_shape must be (height, width) or (height, width, 3) of {size} numbers in all, got {given}"
        )
    return given


def plot_samples(
    samples: Any,
    *,
    rows: Sequence[Any] | None = None,
    image_shape: tuple[int, ...] | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw a grid of images, such as a generator's samples, or those of the same noise over epochs.

    Parameters
    ----------
    samples : array-like of shape (n, *sample), or sequence of such
        Images, or rows of their numbers. A sequence of arrays, as `SampleRecorder` keeps them, has a row for each.
    rows : sequence or None, default None
        What stands beside each row, such as the recorder's `epochs`; with it samples are a sequence of rows.
    image_shape : (height, width) or (height, width, 3), or None, default None
        Of one sample; None takes a square where samples are rows of numbers.
    ax : matplotlib Axes or None, default None
        Where to draw; None makes a pyplot figure.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    ValueError
        If samples are no such images, or `rows` has another length.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from fastnn.plotting import plot_samples
    >>> epochs = [np.zeros((5, 64)), np.ones((5, 64))]
    >>> ax = plot_samples(epochs, rows=[1, 100], ax=Figure().subplots())
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['1', '100']
    """
    check_matplotlib()
    images = as_array("samples", samples)
    if rows is None and not (isinstance(samples, list | tuple) and images.ndim > 2):
        n_columns = math.ceil(math.sqrt(len(images))) if images.ndim > 1 and len(images) else 0
        shape, n_images = images.shape[1:], len(images)
    else:
        n_columns = images.shape[1] if images.ndim > 2 else 0
        shape, n_images = images.shape[2:], len(images) * n_columns
    if not n_columns or not n_images:
        raise ValueError(f"samples must have shape (n, *sample), or with rows (rows, n, *sample), got {images.shape}")
    n_rows = -(-n_images // n_columns)
    if rows is not None and len(rows) != n_rows:
        raise ValueError(f"rows must have {n_rows} members, one a row of images, got {len(rows)}")
    size = math.prod(shape)
    own = _image_shape(size, shape, image_shape)
    images = images.reshape(n_images, *own)
    height, width = own[0] + _GAP, own[1] + _GAP
    low, high = float(images.min()), float(images.max())
    if len(own) == 3 or images.dtype.kind == "b":  # colours, which imshow wants from 0 to 1
        images, low, high = (images - low) / ((high - low) or 1.0), 0.0, 1.0
    between = high if len(own) == 3 else 0.75 * low + 0.25 * high
    canvas = np.full((n_rows * height - _GAP, n_columns * width - _GAP, *own[2:]), between)
    for i, image in enumerate(images):
        top, left = i // n_columns * height, i % n_columns * width
        canvas[top : top + own[0], left : left + own[1]] = image
    if ax is None:
        ax = new_axes(1, 0.6 * n_columns + (0.6 if rows is not None else 0.0), 0.6 * n_rows + 0.1)[0]
    ax.imshow(canvas, cmap="gray_r" if len(own) == 2 else None, vmin=low, vmax=high, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    if rows is not None:
        ax.set_yticks([(i + 0.5) * height - 1 for i in range(n_rows)], [str(row) for row in rows])
        ax.tick_params(length=0)
    return ax


def plot_saliency(
    network: Network,
    X: Any,
    *,
    output: Any = None,
    image_shape: tuple[int, int] | None = None,
    axes: "Sequence[Axes] | None" = None,
) -> "list[Axes]":
    """Draw images and, below each, how an output of a network depends on its pixels.

    Red pixels raise the output where they get brighter, blue ones lower it, white ones do not matter. Each image has a
    scale of its own.

    Parameters
    ----------
    network : Network
        Takes images, or rows of their numbers.
    X : array-like of shape (n, *sample)
        The images, of one channel.
    output : int, array-like of shape (n,) or None, default None
        Which output, as for `fastnn.saliency`; None is the largest of each image.
    image_shape : (height, width) or None, default None
        Of one image; None takes a square where they are rows of numbers.
    axes : sequence of matplotlib Axes or None, default None
        n for the images, then n for what the network looks at; None makes a pyplot figure with them.

    Returns
    -------
    list of matplotlib Axes
        Those drawn on.

    Raises
    ------
    ValueError
        If X are no such images, an output does not exist, or too few axes were given.
    ImportError
        If matplotlib is missing.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> from matplotlib.figure import Figure
    >>> from fastnn.plotting import plot_saliency
    >>> network = fastnn.Network.mlp(64, [16], 10, output="softmax", seed=0)
    >>> axes = plot_saliency(network, np.ones((3, 64)), output=[1, 2, 3], axes=Figure().subplots(2, 3).flat)
    >>> axes[0].get_title()
    'output 1'
    """
    check_matplotlib()
    images = as_array("X", X)
    gradient = saliency(network, images, output=output)
    n = len(images)
    shape = images.shape[1:]
    own = _image_shape(math.prod(shape), shape, image_shape)
    if len(own) != 2:
        raise ValueError(f"X must be images of one channel, got shape {images.shape}")
    axes = new_axes(n, 1.3, 1.4, n_rows=2) if axes is None else list(axes)
    if len(axes) < 2 * n:
        raise ValueError(f"axes must hold {2 * n} axes, got {len(axes)}")
    chosen = network.predict(images).reshape(n, -1).argmax(axis=1) if output is None else np.broadcast_to(output, n)
    for i in range(n):
        limit = float(np.abs(gradient[i]).max()) or 1.0
        axes[i].imshow(images[i].reshape(own), cmap="gray_r")
        axes[n + i].imshow(gradient[i].reshape(own), cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes[i].set_title(f"output {chosen[i]}", fontsize=8, pad=3)
        for ax in (axes[i], axes[n + i]):
            ax.set(xticks=[], yticks=[])
    return axes[: 2 * n]
