"""Which shards are averaged with which.

The averages form a binary tree over the shards in their order. Its shape depends on the number of shards alone, so
the bits do too. A subtree whose shards all lie on one worker is a single task there: this changes how many messages
travel, and no bit.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

Node = TypeVar("Node")


def middle(first: int, last: int) -> int:
    """Return where the range [first, last) of two or more shards is cut: the left half has a power of two.

    Examples
    --------
    >>> from fastnn.distributed.tree import middle
    >>> middle(0, 16), middle(0, 5), middle(4, 6)
    (8, 4, 5)
    """
    return first + (1 << ((last - first - 1).bit_length() - 1))


def fold(first: int, last: int, leaf: Callable[[int], Node], merge: Callable[[Node, Node], Node]) -> Node:
    """Return the root over shards [first, last), computed depth first: few nodes are alive at a time."""
    if last - first == 1:
        return leaf(first)
    cut = middle(first, last)
    return merge(fold(first, cut, leaf, merge), fold(cut, last, leaf, merge))


def groups(owners: Sequence[str], most: Callable[[str], int]) -> list[tuple[int, int]]:
    """Return the largest subtrees [first, last), in order, of one owner and at most `most(owner)` shards each.

    Examples
    --------
    >>> from fastnn.distributed.tree import groups
    >>> groups(["a"] * 8 + ["b"] * 8, lambda owner: 8)
    [(0, 8), (8, 16)]
    >>> groups(["a", "a", "a", "b"], lambda owner: 8)
    [(0, 2), (2, 3), (3, 4)]
    """
    found: list[tuple[int, int]] = []

    def cut(first: int, last: int) -> None:
        inside = set(owners[first:last])
        if last - first == 1 or (len(inside) == 1 and last - first <= most(owners[first])):
            found.append((first, last))
        else:
            at = middle(first, last)
            cut(first, at)
            cut(at, last)

    cut(0, len(owners))
    return found
