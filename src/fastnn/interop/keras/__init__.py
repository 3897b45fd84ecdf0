"""Keras: models that are chains of layers to a network, and a network to a model.

- `reading`, `writing`: the tables of layers, and how they are put together
- `windows`, `recurrent`: convolutions, pooling and recurrent layers from Keras
- `activations`: both directions

To add a layer: its function in the table `READ` of its file, and a line in the table `WRITE` of `writing`.
"""

from fastnn.interop.keras.reading import from_keras
from fastnn.interop.keras.writing import to_keras

__all__ = ["from_keras", "to_keras"]
