"""Export to ONNX: plain operators that every runtime has.

- `to_onnx`, here: what is behind it is imported when it is first used
- `graph`: nodes, constants, and tensors that know the order of their axes
- `activations`, `layers`, `windows`, `recurrent`: one small function a layer or activation, in a table
- `network`: all layers in one table, and a network as a model
- `estimators`: converters for skl2onnx

To add a layer: its function, and a line in the table `FORMS` of its file.

References
----------
.. [1] ONNX Operator Schemas, https://onnx.ai/onnx/operators/
"""

import os
from typing import TYPE_CHECKING, Any

from fastnn.files.container import replace_file
from fastnn.interop.onnx.estimators import register_converters
from fastnn.interop.onnx.graph import require
from fastnn.model.network import Network

if TYPE_CHECKING:
    import onnx


def to_onnx(
    model: Any, path: str | os.PathLike | None = None, *, initial_types: "list[tuple[str, Any]] | None" = None
) -> "onnx.ModelProto":
    """Return a network, a fitted estimator, or a fitted pipeline that ends in one, as an ONNX model.

    The input of the model is "X", of shape (n, n_features), or (n, *shape) for a network that has `Input(shape)`: in a
    network's dtype, or float32 for estimators. A network has one output, "output" of shape (n, n_outputs) or
    (n, *shape); a regressor "variable"; a classifier "label" of shape (n,) and "probabilities" of shape (n, n_classes),
    as skl2onnx gives them without its ZipMap. A pipeline with a
    `ColumnTransformer` that selects columns by name has an input of shape (n, 1) for each column, of its name.

    Parameters
    ----------
    model : Network, MLPClassifier, MLPRegressor, NetworkClassifier, NetworkRegressor or sklearn.pipeline.Pipeline
        What is exported. Anything that skl2onnx has a converter for may stand in a pipeline before it.
    path : str, path-like or None, default None
        Where to write the model as well; whole or not at all.
    initial_types : list of (name, type), or None, default None
        For estimators and pipelines, the inputs as skl2onnx takes them. None: "X", or the columns of
        `feature_names_in_` where they are selected by name; those that go to an encoder of texts are texts, all others
        float32.

    Returns
    -------
    onnx.ModelProto

    Raises
    ------
    ImportError
        If the packages of the extra `onnx` are missing.
    ValueError
        If a layer has no ONNX form.
    TypeError
        If it is not one of these models, a step of a pipeline has no converter, or a network is given `initial_types`.
    sklearn.exceptions.NotFittedError
        If an estimator is not fitted.

    Examples
    --------
    >>> import fastnn
    >>> network = fastnn.Network.mlp(4, [8], 3, output="softmax", seed=0)
    >>> model = fastnn.to_onnx(network)  # doctest: +SKIP
    >>> [node.op_type for node in model.graph.node]  # doctest: +SKIP
    ['Gemm', 'Relu', 'Gemm', 'Softmax', 'Identity']
    """
    require("onnx")
    if isinstance(model, Network):
        if initial_types is not None:
            raise TypeError(f"initial_types must be None for a Network, whose input is 'X', got {initial_types!r}")
        from fastnn.interop.onnx.network import network_model

        proto = network_model(model)
    else:
        from fastnn.interop.onnx.estimators import estimator_model

        proto = estimator_model(model, initial_types)
    if path is not None:
        replace_file(path, [proto.SerializeToString()])
    return proto


__all__ = ["register_converters", "to_onnx"]
