"""Modules that stand between those of PyTorch in a `torch.nn.Sequential`, where its own do not fit together."""

from typing import Any

try:
    from torch import nn

    _Module: Any = nn.Module
except ImportError:  # the classes below are of no use then, but whoever only looks at them is not stopped
    _Module = object


class Permute(_Module):
    """The axes of a tensor in another order, as ``x.permute(order)``: channels to the front or to the end.

    Parameters
    ----------
    *order : int
        All axes, samples first.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> from fastnn.interop.torch.modules import Permute
    >>> Permute(0, 2, 1)(torch.zeros(7, 3, 50)).shape  # doctest: +SKIP
    torch.Size([7, 50, 3])
    """

    def __init__(self, *order: int):
        super().__init__()
        self.order = order

    def forward(self, x: Any) -> Any:
        """Return the tensor with its axes in the order."""
        return x.permute(self.order)

    def extra_repr(self) -> str:
        """What stands in brackets when the module is printed."""
        return ", ".join(map(str, self.order))


class Reverse(_Module):
    """Sequences (n, time, features) from their last step to the first.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> from fastnn.interop.torch.modules import Reverse
    >>> Reverse()(torch.tensor([[[1.0], [2.0]]])).flatten()  # doctest: +SKIP
    tensor([2., 1.])
    """

    def forward(self, x: Any) -> Any:
        """Return the sequences with their steps in reverse."""
        return x.flip(1)


class RecurrentOutput(_Module):
    """What comes behind an `nn.RNN`, `nn.LSTM` or `nn.GRU` in a `Sequential`: of all that it returns, one tensor.

    Parameters
    ----------
    return_sequences : bool, default False
        Whether the states of all steps go on, (n, time, units), or only the last one of each direction, (n, units).
    bidirectional : bool, default False
        Whether the module before has two directions.
    merge_mode : {"concat", "sum"}, default "concat"
        Whether these stand side by side or are added.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> from torch import nn  # doctest: +SKIP
    >>> from fastnn.interop.torch.modules import RecurrentOutput
    >>> module = nn.Sequential(nn.LSTM(3, 8, batch_first=True), RecurrentOutput(), nn.Linear(8, 1))  # doctest: +SKIP
    >>> module(torch.zeros(7, 50, 3)).shape  # doctest: +SKIP
    torch.Size([7, 1])
    """

    def __init__(self, return_sequences: bool = False, bidirectional: bool = False, merge_mode: str = "concat"):
        super().__init__()
        self.return_sequences, self.bidirectional, self.merge_mode = return_sequences, bidirectional, merge_mode

    def forward(self, given: Any) -> Any:
        """Return the outputs of (outputs, last states)."""
        outputs, states = given
        parts: list[Any]
        if self.return_sequences:
            parts = list(outputs.chunk(2, dim=-1)) if self.bidirectional else [outputs]
        else:
            last: Any = states[0] if isinstance(states, tuple) else states  # an LSTM has states and cells
            parts = [last[-2], last[-1]] if self.bidirectional else [last[-1]]
        if len(parts) == 1:
            return parts[0]
        import torch

        return parts[0] + parts[1] if self.merge_mode == "sum" else torch.cat(parts, dim=-1)

    def extra_repr(self) -> str:
        """What stands in brackets when the module is printed."""
        return (
            f"return_sequences={self.return_sequences}, bidirectional={self.bidirectional}, "
            f"merge_mode={self.merge_mode!r}"
        )


class Residual(_Module):
    """x + f(x).

    Parameters
    ----------
    inside : torch.nn.Sequential
        f.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> from torch import nn  # doctest: +SKIP
    >>> from fastnn.interop.torch.modules import Residual
    >>> Residual(nn.Sequential(nn.ReLU()))(torch.tensor([1.0, -1.0]))  # doctest: +SKIP
    tensor([ 2., -1.])
    """

    def __init__(self, inside: Any):
        super().__init__()
        self.inside = inside

    def forward(self, x: Any) -> Any:
        """Return x + f(x)."""
        return x + self.inside(x)


__all__ = ["Permute", "RecurrentOutput", "Residual", "Reverse"]
