"""Vectors in place of integers: words, characters, categories."""

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
        known = ("uniform", *(name for name in initializers.NAMES if name != "auto"))
        check_choice("embeddings_initializer", self.embeddings_initializer, known)
        regularizer = regularizers.get("embeddings_regularizer", self.embeddings_regularizer)
        object.__setattr__(self, "embeddings_regularizer", regularizer)
        constraint = constraints.get("embeddings_constraint", self.embeddings_constraint)
        object.__setattr__(self, "embeddings_constraint", constraint)
        object.__setattr__(self, "trainable", check_bool("trainable", self.trainable))

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
        table = plan.add_variable(
            "embeddings", (self.input_dim, self.output_dim), self.embeddings_initializer, is_kernel=True,
            regularizer=self.embeddings_regularizer, constraint=self.embeddings_constraint,
        )  # fmt: skip
        # Whole blocks are written past the last unit of the last position.
        plan.add_op(
            EMBEDDING, (*shape, self.output_dim), weights=table, needs_input=True, extra_units=4,
            details={"n_rows": self.input_dim},
        )  # fmt: skip


__all__ = ["MOST_ROWS", "Embedding"]
