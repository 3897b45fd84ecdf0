"""Layers that move the places of an image or drop its channels."""

from dataclasses import dataclass
from typing import Any, ClassVar

from fastnn.common.validation import check_choice, check_real
from fastnn.engine.plan import PlanBuilder
from fastnn.kernels.ops.spatial import RANDOM_FLIP, RANDOM_TRANSLATION, SPATIAL_DROPOUT, UPSAMPLING
from fastnn.layers.base import Layer
from fastnn.layers.windows import both, check_sizes, image_shape

FLIPS = ("horizontal", "vertical", "horizontal_and_vertical")


@dataclass(frozen=True, repr=False)
class UpSampling2D(Layer):
    """Every place of an image as a block of equal ones.

    Parameters
    ----------
    size : int or tuple of two int, default 2
        Height and width of a block.

    Raises
    ------
    ValueError, TypeError
        If size is no integer >= 1; when the network is made, if a sample is no image.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> network = fastnn.Network([fastnn.Input((1, 2, 1)), fastnn.UpSampling2D((1, 2))])
    >>> network.predict(np.array([[3.0, 4.0]])).ravel()
    array([3., 3., 4., 4.], dtype=float32)
    """

    size: Any = 2

    def __post_init__(self):
        object.__setattr__(self, "size", check_sizes("size", self.size, 2))

    def build(self, plan: PlanBuilder) -> None:
        height, width, channels = image_shape(plan, "UpSampling2D", 2)
        down, across = both(self.size)
        plan.add_op(
            UPSAMPLING, (height * down, width * across, channels),
            details={"in_y": height, "in_x": width, "amount_y": down, "amount_x": across},
        )  # fmt: skip


@dataclass(frozen=True, repr=False)
class _SpatialDropout(Layer):
    _n_axes: ClassVar[int]

    rate: float

    def __post_init__(self):
        object.__setattr__(self, "rate", check_real("rate", self.rate, 0.0, 1.0, closed="left"))

    def build(self, plan: PlanBuilder) -> None:
        image_shape(plan, type(self).__name__, self._n_axes)
        plan.add_op(SPATIAL_DROPOUT, value=self.rate, in_place=True)


@dataclass(frozen=True, repr=False)
class SpatialDropout2D(_SpatialDropout):
    """Sets whole channels of an image to 0 while training: neighbouring places would tell what one of them was [1]_.

    Parameters
    ----------
    rate : float
        Probability that a channel is dropped, in [0, 1); the others are scaled by 1 / (1 - rate).

    Raises
    ------
    ValueError
        If rate is outside [0, 1); when the network is made, if a sample is no image.

    References
    ----------
    .. [1] J. Tompson et al., "Efficient Object Localization Using Convolutional Networks", CVPR 2015, section 3.2.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.SpatialDropout2D(0.2)
    SpatialDropout2D(rate=0.2)
    """

    _n_axes = 2


@dataclass(frozen=True, repr=False)
class SpatialDropout1D(_SpatialDropout):
    """Sets whole channels of a sequence to 0 while training.

    Parameters
    ----------
    rate : float
        As for `SpatialDropout2D`.

    Raises
    ------
    ValueError
        If rate is outside [0, 1); when the network is made, if a sample is no sequence.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.SpatialDropout1D(0.2)
    SpatialDropout1D(rate=0.2)
    """

    _n_axes = 1


@dataclass(frozen=True, repr=False)
class RandomFlip(Layer):
    """Mirrors half of the images while training, each drawn anew at every step.

    Parameters
    ----------
    mode : "horizontal", "vertical" or "horizontal_and_vertical", default "horizontal"
        Left to right, upside down, or both, each with probability 1/2.

    Raises
    ------
    ValueError
        If mode is unknown; when the network is made, if a sample is no image.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.RandomFlip()
    RandomFlip(mode='horizontal')
    """

    mode: str = "horizontal"

    def __post_init__(self):
        check_choice("mode", self.mode, FLIPS)

    def build(self, plan: PlanBuilder) -> None:
        height, width, _ = image_shape(plan, "RandomFlip", 2)
        details: dict[str, float] = {
            "in_y": height, "in_x": width, "amount_y": "vertical" in self.mode, "amount_x": "horizontal" in self.mode,
        }  # fmt: skip
        plan.add_op(RANDOM_FLIP, details=details, in_place=True)


@dataclass(frozen=True, repr=False)
class RandomTranslation(Layer):
    """Moves each image by whole places while training, drawn anew at every step; what comes in is 0.

    Parameters
    ----------
    height_factor, width_factor : float
        The largest shift as a share of height and width, in [0, 1): up or down, left or right, rounded to whole places.

    Raises
    ------
    ValueError
        If a factor is outside [0, 1); when the network is made, if a sample is no image.

    Examples
    --------
    >>> import fastnn
    >>> fastnn.RandomTranslation(0.1, 0.1)
    RandomTranslation(height_factor=0.1, width_factor=0.1)
    """

    height_factor: float
    width_factor: float

    def __post_init__(self):
        for name in ("height_factor", "width_factor"):
            object.__setattr__(self, name, check_real(name, getattr(self, name), 0.0, 1.0, closed="left"))

    def build(self, plan: PlanBuilder) -> None:
        height, width, _ = image_shape(plan, "RandomTranslation", 2)
        details: dict[str, float] = {
            "in_y": height, "in_x": width, "amount_y": round(self.height_factor * height),
            "amount_x": round(self.width_factor * width),
        }  # fmt: skip
        plan.add_op(RANDOM_TRANSLATION, details=details)


__all__ = ["RandomFlip", "RandomTranslation", "SpatialDropout1D", "SpatialDropout2D", "UpSampling2D"]
