"""Training data that come block by block, so that only one block need be in memory at a time."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from fastnn.inputs.data import Data, DataSpec, check_batches, check_data
from fastnn.inputs.splits import apply_class_weights, class_numbers, class_weights
from fastnn.training.arguments import CheckedFit, FitOptions, check_fit
from fastnn.training.evaluation import Task


class Stream:
    """Blocks of an iterable, each checked before it is trained on; iterating it is one epoch.

    Parameters
    ----------
    source : iterable, or callable that returns one
        Of tuples or lists (X, y) or (X, y, sample_weight).
    epochs : int
        How often it will be iterated.
    parts : callable, optional
        What makes of a block the arguments of a check.
    """

    def __init__(self, source: Any, epochs: int, parts: Callable[[Any], tuple] | None = None):
        self._source, self._parts = source, parts or _parts
        self._check: Callable[..., Any] | None = None
        if not callable(source) and not isinstance(source, Iterable):
            raise TypeError(f"y must be given, unless X is an iterable of blocks (X, y), got {type(source).__name__}")
        self._begun: Iterator[Any] | None = self._open()
        if self._begun is source and epochs > 1:
            raise ValueError(
                f"epochs must be 1 where X is an iterator, which gives its blocks once, got {epochs}; "
                "pass the function that makes it, or an iterable that starts anew"
            )
        block = next(self._begun, None)
        if block is None:
            raise ValueError("X must give at least one block (X, y), got none")
        self._first: Any = block

    def _open(self) -> Iterator[Any]:
        return iter(self._source() if callable(self._source) else self._source)

    def check_first(self, check: Callable[..., Any]) -> Any:
        """Return what a function makes of the first block's X, y and weights."""
        return _numbered(0, check)(*self._parts(self._first))

    def set_check(self, first: Any, check: Callable[..., Any]) -> None:
        """Take the first block as it was checked, and the function that checks the parts of the others."""
        self._first, self._check = first, check

    def __iter__(self) -> Iterator[Any]:
        assert self._check is not None, "set_check comes first"
        blocks, self._begun = self._begun, None
        if blocks is not None:
            number = 0
            first, self._first = self._first, None
            yield first
            del first  # it is not held while others come
        else:
            number = -1
            blocks = self._open()
        for block in blocks:
            number += 1
            yield _numbered(number, self._check)(*self._parts(block))
            del block
        if number < 0:
            raise ValueError("X must give blocks anew in every epoch, got none in a later one")


def _parts(block: Any) -> tuple[Any, Any, Any, Any]:
    # Lists too, as PyTorch's DataLoader has them; but not rows of numbers, which are data without y.
    is_block = isinstance(block, tuple | list) and len(block) in (2, 3, 4) and not any(map(np.isscalar, block))
    if not is_block:
        raise TypeError(
            "X must give blocks that are tuples (X, y) or (X, y, sample_weight), where y is not given, "
            f"got {type(block).__name__}"
        )
    return (*block, None, None)[:4]


def _numbered(number: int, check: Callable[..., Any]) -> Callable[..., Any]:
    """Return the check, with the block's number before what it says."""

    def checked(*arguments: Any, **options: Any) -> Any:
        try:
            return check(*arguments, **options)
        except (ValueError, TypeError) as error:
            raise type(error)(f"block {number}: {error}") from None

    return checked


def check_fit_stream(task: Task, source: Any, options: FitOptions) -> CheckedFit:
    """Return what `fit` was given for a stream, checked together with its first block."""
    if options.lengths is not None:
        raise ValueError(
            "lengths must be None where X gives blocks, which have their own: (X, y, sample_weight, lengths)"
        )
    if options.sample_weight is not None:
        raise ValueError("sample_weight must be None where X gives blocks, which have their own: (X, y, sample_weight)")
    if options.validation_split:
        raise ValueError(
            f"validation_split must be 0 where X gives blocks, got {options.validation_split}; keep rows out of the "
            "blocks and pass them as validation_data=(X, y)"
        )
    if isinstance(options.class_weight, str):
        raise ValueError(
            f"class_weight must be a dict or None where X gives blocks, got {options.class_weight!r}; count the "
            "classes and give each the weight n_samples / (n_classes * samples of the class)"
        )
    for metric in task.metrics:
        if metric.from_sums is None:
            raise ValueError(
                f"metrics must not hold {metric.name!r} where X gives blocks: it takes all rows at once; after "
                f"training, Trainer(network, loss=..., metrics=[{metric.name!r}]).evaluate(X, y) gives it"
            )
    # The options are checked before the first block is asked for: an iterator loses nothing to a wrong one.
    stream = Stream(source, options.n_epochs)
    spec = task.data_spec

    def check_all(X: Any, y: Any, sample_weight: Any, lengths: Any) -> CheckedFit:
        return check_fit(spec, X, y, replace(options, sample_weight=sample_weight, lengths=lengths))

    checked = stream.check_first(check_all)

    def check(X: Any, y: Any, sample_weight: Any, lengths: Any) -> Data:
        return _check_block(spec, options, X, y, sample_weight, lengths)

    first = replace(checked.data, weights=checked.training_weights)
    stream.set_check(first, check)
    return replace(checked, data=first, options=options, blocks=stream)


def _check_block(spec: DataSpec, options: FitOptions, X: Any, y: Any, sample_weight: Any, lengths: Any) -> Data:
    data = check_data(spec, X, y, sample_weight, lengths=lengths)
    check_batches(spec, data.n_rows, options.batch_size)
    if options.class_weight is not None:
        classes = class_numbers(data.y, spec.loss, math.prod(spec.steps))
        weight_of = class_weights(options.class_weight, classes, spec.n_outputs)
        data.weights = apply_class_weights(weight_of, classes, data.weights)
    return data
