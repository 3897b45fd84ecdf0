"""Export to ONNX: plain operators that every runtime has.

- `models`: `to_onnx`
- `graph`: nodes, constants, and tensors that know the order of their axes
- `activations`, `layers`, `windows`, `recurrent`: one small function a layer or activation, in a table
- `network`: all layers in one table, and a network as a model
- `estimators`: converters for skl2onnx

To add a layer: its function, and a line in the table `FORMS` of its file.

References
----------
.. [1] ONNX Operator Schemas, https://onnx.ai/onnx/operators/
"""

from fastnn.interop.onnx.estimators import register_converters
from fastnn.interop.onnx.models import to_onnx

__all__ = ["register_converters", "to_onnx"]
