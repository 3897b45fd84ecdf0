"""Training data that come block by block, so that only one block need be in memory at a time."""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from fastnn.common.validation import check_real
from fastnn.inputs.data import Data, check_data
from fastnn.inputs.splits import apply_class_weights, class_numbers, class_weights
from fastnn.losses import LossFunction
from fastnn.metrics import Metric
from fastnn.training.arguments import OPTIONS, FitOptions, check_batches, check_fit, check_options

if TYPE_CHECKING:
    from fastnn.model.network import Network


class Stream:
    """Blocks of an iterable, each checked when its turn comes; iterating it is one epoch.

    Parameters
    ----------
    source : iterable, or callable that returns one
        Of tuples (X, y) or (X, y, sample_weight).
    epochs : int
        How often it will be iterated.
    """

    def __init__(self, source: Any, epochs: int):
        self._source = source
        self._check: Callable[[Any, Any, Any], Data] | None = None
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
        return _numbered(0, check)(*_parts(self._first))

    def set_check(self, first: Data, check: Callable[[Any, Any, Any], Data]) -> None:
        """Take the first block as it was checked, and the function that checks X, y and weights of the others."""
        self._first, self._check = first, check

    def take_first(self) -> Data:
        """Return the first block, which the first iteration gives again."""
        return self._first

    def __iter__(self) -> Iterator[Data]:
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
            yield _numbered(number, self._check)(*_parts(block))
            del block
        if number < 0:
            raise ValueError("X must give blocks anew in every epoch, got none in a later one")


def _parts(block: Any) -> tuple[Any, Any, Any]:
    if not isinstance(block, tuple) or len(block) not in (2, 3):
        raise TypeError(
            "X must give blocks that are tuples (X, y) or (X, y, sample_weight), where y is not given, "
            f"got {type(block).__name__}"
        )
    return block if len(block) == 3 else (*block, None)


def _numbered(number: int, check: Callable[..., Any]) -> Callable[..., Any]:
    """Return the check, with the block's number before what it says."""

    def checked(*arguments: Any, **options: Any) -> Any:
        try:
            return check(*arguments, **options)
        except (ValueError, TypeError) as error:
            raise type(error)(f"block {number}: {error}") from None

    return checked


def check_fit_stream(
    network: "Network", loss: LossFunction, metrics: Iterable[Metric], source: Any, **options: Any
) -> tuple[Stream, Data | None, FitOptions]:
    """Return what `fit` was given for a stream, checked together with its first block."""
    if options["sample_weight"] is not None:
        raise ValueError("sample_weight must be None where X gives blocks, which have their own: (X, y, sample_weight)")
    if check_real("validation_split", options["validation_split"], 0.0, 1.0, closed="left"):
        raise ValueError(
            f"validation_split must be 0 where X gives blocks, got {options['validation_split']}; keep rows out of the "
            "blocks and pass them as validation_data=(X, y)"
        )
    class_weight = options["class_weight"]
    if isinstance(class_weight, str):
        raise ValueError(
            f"class_weight must be a dict or None where X gives blocks, got {class_weight!r}; count the classes and "
            "give each the weight n_samples / (n_classes * samples of the class)"
        )
    for metric in metrics:
        if metric.from_sums is None:
            raise ValueError(
                f"metrics must not hold {metric.name!r} where X gives blocks: it takes all rows at once; after "
                f"training, Trainer(network, loss=..., metrics=[{metric.name!r}]).evaluate(X, y) gives it"
            )
    # Before the first block is asked for: an iterator loses nothing to a wrong argument.
    stream = Stream(source, check_options(**{name: options[name] for name in OPTIONS}).epochs)

    def check_all(X: Any, y: Any, sample_weight: Any) -> tuple[Data, Data | None, FitOptions]:
        return check_fit(network, loss, X, y, **{**options, "sample_weight": sample_weight})

    first, validation, checked = stream.check_first(check_all)

    def check(X: Any, y: Any, sample_weight: Any) -> Data:
        data = check_data(network, loss, X, y, sample_weight)
        check_batches(network.plan, data.n_rows, checked.batch_size)
        if class_weight is not None:
            classes = class_numbers(data.y, loss)
            weight_of = class_weights(class_weight, classes, network.n_outputs)
            data.weights = apply_class_weights(weight_of, classes, data.weights)
        return data

    stream.set_check(first, check)
    return stream, validation, checked
