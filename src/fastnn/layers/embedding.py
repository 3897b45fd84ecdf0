"""Vectors in place of integers: words, characters, categories."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any

from fastnn import constraints, initializers, regularizers
from fastnn.common.validation import check_bool, check_choice, check_integer
from fastnn.engine.plan import PlanBuilder
from fastnn.kernels.ops.embedding import EMBEDDING
from fastnn.layers.base import Layer

# Integers go to the layer as numbers of the network's dtype: those of float32 are exact up to here.
MOST_ROWS = 2**24


@dataclass(frozen=True, repr=False)
class Embedding(Layer):
    """A learned vector in place of every integer: row i of a table for the integer i.

    It follows the `Input`, whose shape is that of a sample of integers: ``Input(100)`` for sequences of 100 words,
    which become (100, output_dim). X may be of any integer dtype, which is read in place, or hold whole numbers. An
    integer that is out of range is an error before training starts. Rows that a batch does not name have a gradient of
    0, and the optimizer updates them as it does any parameter with such a gradient (Adam's moments go on).

    Parameters
    ----------
    input_dim : int
        How many rows the table has: integers are from 0 to input_dim - 1. At most 2^24.
    output_dim : int
        Size of the vectors, >= 1.
    embeddings_initializer : str, default "uniform"
        "uniform" (from -0.05 to 0.05, as in Keras), or one of `fastnn.initializers.NAMES` but "auto".
    embeddings_regularizer : L1L2, float or None, default None
        Penalty on the table; a number means L2.
    embeddings_constraint : MaxNorm or None, default None
        Limit of the norm of each column of the table.
    trainable : bool, default True
        Whether training changes the table.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type; when the network is made, if the layer does not follow its
        `Input`.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> layers = [fastnn.Input(5), fastnn.Embedding(1000, 8), fastnn.GRU(16), fastnn.Dense(1)]
    >>> network = fastnn.Network(layers, seed=0)
    >>> network.predict(np.array([[3, 999, 0, 0, 7]])).shape
    (1, 1)
    """

    input_dim: int
    output_dim: int
    _: KW_ONLY
    embeddings_initializer: str = "uniform"
    embeddings_regularizer: Any = None
    embeddings_constraint: Any = None
    trainable: bool = True

    def __post_init__(self):
        object.__setattr__(self, "input_dim", check_integer("input_dim", self.input_dim, 1, MOST_ROWS))
        object.__setattr__(self, "output_dim", check_integer("output_dim", self.output_dim, 1))
        _check_table(self)

    def build(self, plan: PlanBuilder) -> None:
        if not plan.is_input:
            raise ValueError(
                f"Embedding must follow the Input, since it takes integers, but is layers[{plan.layer}]; other layers "
                "put out numbers"
            )
        shape = plan.shape
        plan.n_categories = self.input_dim
        plan.reshape((*shape, 1))
        plan.set_steps(shape[0])
        _add_table(self, plan, "embeddings", self.input_dim)


@dataclass(frozen=True, repr=False)
class CategoryEmbedding(Layer):
    """A learned vector in place of some features, which are the numbers of categories; the others are passed on [1]_.

    For tables with columns of many categories: the vectors stand where the numbers stood. A category is a whole number
    from 0; what is none of a column's, such as -1 for one that training did not see, has a row of the table of its own,
    the last, which learns from the rows of data that have such a number.

    Parameters
    ----------
    columns : mapping of int to int, or sequence of such pairs
        How many categories each of these features has, at most 2^24 - 1.
    output_dim : int
        Size of the vectors, >= 1.
    embeddings_initializer : str, default "uniform"
        "uniform" (from -0.05 to 0.05), or one of `fastnn.initializers.NAMES` but "auto".
    embeddings_regularizer : L1L2, float or None, default None
        Penalty on the tables; a number means L2.
    embeddings_constraint : MaxNorm or None, default None
        Limit of the norm of each column of a table.
    trainable : bool, default True
        Whether training changes the tables.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type; when the network is made, if there is no such feature.

    References
    ----------
    .. [1] C. Guo, F. Berkhahn, "Entity Embeddings of Categorical Variables", 2016, arXiv:1604.06737.

    Examples
    --------
    >>> import numpy as np, fastnn
    >>> layer = fastnn.CategoryEmbedding({1: 300}, 8)
    >>> network = fastnn.Network([fastnn.Input(3), layer, fastnn.Dense(1)], seed=0)
    >>> [array.shape for array in network.get_weights()]  # 8 numbers in place of one of three features
    [(301, 8), (10, 1), (1,)]
    >>> X = np.array([[0.5, 299.0, -0.1], [0.5, -1.0, -0.1], [0.5, 300.0, -0.1]])  # the last two: no category
    >>> len(np.unique(network.predict(X)))
    2
    """

    columns: Any
    output_dim: int
    _: KW_ONLY
    embeddings_initializer: str = "uniform"
    embeddings_regularizer: Any = None
    embeddings_constraint: Any = None
    trainable: bool = True

    def __post_init__(self):
        given = self.columns.items() if isinstance(self.columns, Mapping) else self.columns
        try:
            pairs = [(feature, n) for feature, n in given]
        except (TypeError, ValueError):
            raise TypeError(f"columns must map features to numbers of categories, got {self.columns!r}") from None
        columns = tuple(
            (check_integer("a feature in columns", i, 0), check_integer(f"columns[{i}]", n, 1, MOST_ROWS - 1))
            for i, n in pairs
        )
        if not columns or len(dict(columns)) < len(columns):
            raise ValueError(f"columns must name one or more features, each once, got {self.columns!r}")
        object.__setattr__(self, "columns", columns)
        object.__setattr__(self, "output_dim", check_integer("output_dim", self.output_dim, 1))
        _check_table(self)

    def build(self, plan: PlanBuilder) -> None:
        n_features = plan.units
        if max(dict(self.columns)) >= n_features:
            raise ValueError(f"columns must be features from 0 to {n_features - 1}, got {max(dict(self.columns))}")
        for i, (feature, n_categories) in enumerate(self.columns):
            n_moved = sum(other < feature for other, _ in self.columns[:i])
            place = feature + n_moved * (self.output_dim - 1)
            _add_table(self, plan, f"embeddings_{feature}", n_categories + 1, place)


def _check_table(layer: Embedding | CategoryEmbedding) -> None:
    known = ("uniform", *(name for name in initializers.NAMES if name != "auto"))
    check_choice("embeddings_initializer", layer.embeddings_initializer, known)
    regularizer = regularizers.get("embeddings_regularizer", layer.embeddings_regularizer)
    object.__setattr__(layer, "embeddings_regularizer", regularizer)
    constraint = constraints.get("embeddings_constraint", layer.embeddings_constraint)
    object.__setattr__(layer, "embeddings_constraint", constraint)
    object.__setattr__(layer, "trainable", check_bool("trainable", layer.trainable))


def _add_table(layer: Embedding | CategoryEmbedding, plan: PlanBuilder, name: str, n_rows: int, place: int = 0) -> None:
    """Add a table, and the op that puts its rows in place of one number of every position."""
    table = plan.add_variable(
        name, (n_rows, layer.output_dim), layer.embeddings_initializer, is_kernel=True,
        regularizer=layer.embeddings_regularizer, constraint=layer.embeddings_constraint,
    )  # fmt: skip
    # Whole blocks are written past the last unit of the last position.
    plan.add_op(
        EMBEDDING, (*plan.shape[:-1], plan.units - 1 + layer.output_dim), weights=table, needs_input=True,
        extra_units=4, details={"n_rows": n_rows, "column": place},
    )  # fmt: skip


__all__ = ["CategoryEmbedding", "Embedding"]
