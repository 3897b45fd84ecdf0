"""Layers over images (n, height, width, channels), by loops: forward(x) beside backward(x, delta) as in `layers`."""

import math
from dataclasses import dataclass

import numpy as np

from .layers import Layer


def before_and_after(size, taps, stride, dilation, padding):
    """Zeros before and after an axis, as Keras's "same" has them: half of what is missing, the odd one behind."""
    if padding == "valid":
        return 0, 0
    missing = max((math.ceil(size / stride) - 1) * stride + (taps - 1) * dilation + 1 - size, 0)
    return missing // 2, missing - missing // 2


def pad(x, taps, strides, dilation, padding, value=0.0):
    """The image with its margins, and how much of it is margin before each axis."""
    margins = [
        before_and_after(size, *axis, padding)
        for size, *axis in zip(x.shape[1:3], taps, strides, dilation, strict=True)
    ]
    return np.pad(x, [(0, 0), *margins, (0, 0)], constant_values=value), [before for before, _ in margins]


def windows(padded, taps, strides, dilation):
    """(y, x, the slices of what the window at row y, column x of the output sees), one after the other."""
    spans = [(k - 1) * d + 1 for k, d in zip(taps, dilation, strict=True)]
    counts = [
        (size - span) // s + 1 for size, span, s in zip(padded.shape[1:3], spans, strides, strict=True)
    ]  # fmt: skip
    for y, x in np.ndindex(*counts):
        top, left = y * strides[0], x * strides[1]
        yield y, x, (slice(None), slice(top, top + spans[0], dilation[0]), slice(left, left + spans[1], dilation[1]))


def crop(gradient, margins, shape):
    top, left = margins
    return gradient[:, top : top + shape[1], left : left + shape[2]]


@dataclass
class Convolution(Layer):
    """W of shape (height, width, channels / groups, filters)."""

    W: np.ndarray
    b: np.ndarray | None = None
    strides: tuple = (1, 1)
    dilation: tuple = (1, 1)
    padding: str = "valid"
    groups: int = 1
    trainable = ("W", "b")

    def _of_groups(self, channels):
        """(the channels, the filters) of each group."""
        c, f = channels // self.groups, self.W.shape[3] // self.groups
        return [(slice(g * c, g * c + c), slice(g * f, g * f + f)) for g in range(self.groups)]

    def forward(self, x, training=False):
        taps = self.W.shape[:2]
        padded, _ = pad(x, taps, self.strides, self.dilation, self.padding)
        seen = list(windows(padded, taps, self.strides, self.dilation))
        out = np.zeros((len(x), seen[-1][0] + 1, seen[-1][1] + 1, self.W.shape[3]))
        for i, j, window in seen:
            for c, f in self._of_groups(x.shape[3]):
                out[:, i, j, f] = np.tensordot(padded[window][..., c], self.W[..., f], 3)
        return out if self.b is None else out + self.b

    def backward(self, x, delta, training=False):
        taps = self.W.shape[:2]
        padded, margins = pad(x, taps, self.strides, self.dilation, self.padding)
        d_padded, d_W = np.zeros_like(padded), np.zeros_like(self.W)
        for i, j, window in windows(padded, taps, self.strides, self.dilation):
            for c, f in self._of_groups(x.shape[3]):
                d_W[..., f] += np.tensordot(padded[window][..., c], delta[:, i, j, f], (0, 0))
                d_padded[window][..., c] += np.tensordot(delta[:, i, j, f], self.W[..., f], (1, 3))
        gradients = [d_W] if self.b is None else [d_W, delta.sum(axis=(0, 1, 2))]
        return crop(d_padded, margins, x.shape), gradients


@dataclass
class TransposedConvolution(Layer):
    """Every place of the image adds its block; W of shape (height, width, filters, channels)."""

    W: np.ndarray
    b: np.ndarray | None = None
    strides: tuple = (1, 1)
    padding: str = "valid"
    trainable = ("W", "b")

    def _blocks(self, shape):
        """The size of the output with its margins, those margins, and the slices of each place's block."""
        whole = [(n - 1) * s + max(k, s) for n, s, k in zip(shape, self.strides, self.W.shape, strict=False)]
        kept = [
            n * s if self.padding == "same" else size for n, s, size in zip(shape, self.strides, whole, strict=True)
        ]
        margins = [(size - n) // 2 for size, n in zip(whole, kept, strict=True)]
        blocks = []
        for y, x in np.ndindex(*shape):
            top, left = y * self.strides[0], x * self.strides[1]
            blocks.append((y, x, np.s_[:, top : top + self.W.shape[0], left : left + self.W.shape[1]]))
        return whole, kept, margins, blocks

    def forward(self, x, training=False):
        whole, kept, margins, blocks = self._blocks(x.shape[1:3])
        out = np.zeros((len(x), *whole, self.W.shape[2]))
        for i, j, block in blocks:
            out[block] += np.tensordot(x[:, i, j], self.W, (1, 3))
        out = crop(out, margins, (len(x), *kept))
        return out if self.b is None else out + self.b

    def backward(self, x, delta, training=False):
        whole, kept, margins, blocks = self._blocks(x.shape[1:3])
        padded = np.zeros((len(x), *whole, self.W.shape[2]))
        crop(padded, margins, (len(x), *kept))[...] = delta
        d_x, d_W = np.zeros_like(x), np.zeros_like(self.W)
        for i, j, block in blocks:
            d_x[:, i, j] = np.tensordot(padded[block], self.W, ((1, 2, 3), (0, 1, 2)))
            d_W += np.tensordot(padded[block], x[:, i, j], (0, 0))
        return d_x, [d_W] if self.b is None else [d_W, delta.sum(axis=(0, 1, 2))]


@dataclass
class Pooling(Layer):
    """The largest number of a window, or the mean of those within the image."""

    kind: str
    pool_size: tuple
    strides: tuple
    padding: str = "valid"

    def _padded(self, x):
        return pad(x, self.pool_size, self.strides, (1, 1), self.padding, np.nan)

    def forward(self, x, training=False):
        padded, _ = self._padded(x)
        seen = list(windows(padded, self.pool_size, self.strides, (1, 1)))
        out = np.zeros((len(x), seen[-1][0] + 1, seen[-1][1] + 1, x.shape[3]))
        for i, j, window in seen:
            out[:, i, j] = (np.nanmax if self.kind == "max" else np.nanmean)(padded[window], axis=(1, 2))
        return out

    def backward(self, x, delta, training=False):
        """To the first of the largest, row by row; or in equal shares."""
        padded, margins = self._padded(x)
        d_padded = np.zeros_like(padded)
        for i, j, window in windows(padded, self.pool_size, self.strides, (1, 1)):
            values = padded[window]
            if self.kind == "mean":
                inside = ~np.isnan(values)
                d_padded[window] += inside * (delta[:, i, j] / inside.sum(axis=(1, 2)))[:, np.newaxis, np.newaxis]
                continue
            flat = values.reshape(len(x), -1, x.shape[3])
            first = np.nanargmax(flat, axis=1)
            shares = np.arange(flat.shape[1])[:, np.newaxis] == first[:, np.newaxis]
            d_padded[window] += (shares * delta[:, i, j][:, np.newaxis]).reshape(values.shape)
        return crop(d_padded, margins, x.shape), []
