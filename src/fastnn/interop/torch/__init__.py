"""PyTorch: `torch.nn.Sequential` to a network and back.

- `reading`, `writing`: what follows the axes of a sample through modules and layers, and dense layers, normalizations
  and shapes
- `windows`, `recurrent`: convolutions and pooling, recurrent layers; both directions in one file
- `shared`: activations in both directions, and where channels lie
- `modules`: modules of our own, where PyTorch's do not fit together

To add a layer: its functions, and a line in the tables `READ` and `WRITE`, to which each file adds its own.
"""

from fastnn.interop.torch import recurrent, windows
from fastnn.interop.torch.reading import from_torch
from fastnn.interop.torch.writing import to_torch

__all__ = ["from_torch", "recurrent", "to_torch", "windows"]
