"""Export to ONNX: plain operators that every runtime has.

Each layer and each activation is one small function in a table, which writes nodes into a `_Graph`. A network alone
needs the onnx package only; estimators and pipelines go through skl2onnx, to which `register_converters` makes the
estimators known.

References
----------
.. [1] ONNX Operator Schemas, https://onnx.ai/onnx/operators/
.. [2] skl2onnx, "Implement a new converter", https://onnx.ai/sklearn-onnx/auto_tutorial/plot_icustom_converter.html
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn import layers
from fastnn.activations import ActivationFunction
from fastnn.common.later import later
from fastnn.engine.plan import make_plan
from fastnn.files.container import replace_file
from fastnn.files.persistence import arrays_by_layer
from fastnn.layers.normalization import BatchNormalization, LayerNormalization
from fastnn.model.network import Network

if TYPE_CHECKING:
    import onnx

OPSET = 17  # of ONNX 1.12, 2022; the first with LayerNormalization
IR_VERSION = 8  # the file format of that release, so that runtimes since then read the file

# Adds a node: (operator, input names, attributes) -> output name.
_AddNode = Callable[[str, list[str], dict[str, Any]], str]
# Adds a constant: (array) -> name.
_AddConstant = Callable[[np.ndarray], str]


class _Graph:
    """What the functions below write into, whoever keeps the nodes; numbers are of `dtype`, float32 or float64."""

    def __init__(self, add_node: _AddNode, add_constant: _AddConstant, dtype: Any = np.float32):
        self._add_node = add_node
        self._add_constant = add_constant
        self.dtype = np.dtype(dtype)

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        return self._add_node(operator, list(inputs), attributes)

    def constant(self, value: Any, dtype: Any = None) -> str:
        """Add a constant, of the graph's dtype unless another is given, and return its name."""
        return self._add_constant(np.asarray(value, self.dtype if dtype is None else dtype))

    def network(self, network: Network, x: str) -> str:
        """Add a network's layers on the rows named x, and return the name of its outputs."""
        for layer, own, shape in zip(network.layers, arrays_by_layer(network), network.plan.shapes, strict=True):
            x = self.layer(layer, x, own, shape)
        return x

    def layer(self, layer: layers.Layer, x: str, weights: "_Weights", shape: tuple[int, ...]) -> str:
        """Add a layer whose outputs have this shape for one sample."""
        if type(layer) not in _LAYERS:
            raise ValueError(f"{layer!r} has no ONNX form yet")
        return _LAYERS[type(layer)](self, layer, x, weights, shape)

    def activation(self, function: ActivationFunction, z: str) -> str:
        """Add an activation."""
        if function.name not in _ACTIVATIONS:
            raise ValueError(f"the activation {function.name!r} has no ONNX form yet")
        return _ACTIVATIONS[function.name](self, z, function.value)


# --- activations ----------------------------------------------------------------------------------------------------

# Klambauer et al., "Self-Normalizing Neural Networks", NIPS 2017.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _gelu(graph: _Graph, z: str, _: float) -> str:
    """z / 2 (1 + erf(z / sqrt(2))); the operator Gelu came later, with opset 20."""
    scaled = graph.node("Mul", z, graph.constant(2**-0.5))
    if graph.dtype == np.float64:  # ONNX Runtime has no Erf for it: the rounding of float32, and no more, comes in
        scaled = graph.node("Cast", scaled, to=_element_type(np.float32))
    erf = graph.node("Erf", scaled)
    if graph.dtype == np.float64:
        erf = graph.node("Cast", erf, to=_element_type(graph.dtype))
    return graph.node("Mul", graph.node("Mul", z, graph.constant(0.5)), graph.node("Add", erf, graph.constant(1.0)))


def _mish(graph: _Graph, z: str, _: float) -> str:
    """z tanh(softplus(z)); the operator Mish came later, with opset 18."""
    return graph.node("Mul", z, graph.node("Tanh", _softplus(graph, z, 0.0)))


def _softplus(graph: _Graph, z: str, _: float) -> str:
    """The operator, or where ONNX Runtime has none, for float64, max(z, 0) + log(1 + exp(-|z|))."""
    if graph.dtype != np.float64:
        return graph.node("Softplus", z)
    small = graph.node("Exp", graph.node("Neg", graph.node("Abs", z)))
    above = graph.node("Max", z, graph.constant(0.0))
    return graph.node("Add", above, graph.node("Log", graph.node("Add", small, graph.constant(1.0))))


def _leaky_relu(graph: _Graph, z: str, slope: float) -> str:
    """The operator, whose slope is a float32, or for float64 max(z, 0) + slope min(z, 0)."""
    if graph.dtype != np.float64:
        return graph.node("LeakyRelu", z, alpha=slope)
    below = graph.node("Mul", graph.node("Min", z, graph.constant(0.0)), graph.constant(slope))
    return graph.node("Add", graph.node("Max", z, graph.constant(0.0)), below)


def _elu(graph: _Graph, z: str, alpha: float) -> str:
    """The operator, or where ONNX Runtime has none, for float64, max(z, 0) + alpha (exp(min(z, 0)) - 1)."""
    if graph.dtype != np.float64:
        return graph.node("Elu", z, alpha=alpha)
    below = graph.node("Sub", graph.node("Exp", graph.node("Min", z, graph.constant(0.0))), graph.constant(1.0))
    above = graph.node("Max", z, graph.constant(0.0))
    return graph.node("Add", above, graph.node("Mul", below, graph.constant(alpha)))


def _selu(graph: _Graph, z: str, _: float) -> str:
    """The operator, or scale ELU(z) with its alpha."""
    if graph.dtype != np.float64:
        return graph.node("Selu", z)
    return graph.node("Mul", _elu(graph, z, _SELU_ALPHA), graph.constant(_SELU_SCALE))


def _element_type(dtype: Any) -> int:
    """ONNX's number for a dtype."""
    from onnx import TensorProto

    return TensorProto.DOUBLE if np.dtype(dtype) == np.float64 else TensorProto.FLOAT


_ACTIVATIONS: dict[str, Callable[[_Graph, str, float], str]] = {
    "linear": lambda graph, z, _: z,
    "sigmoid": lambda graph, z, _: graph.node("Sigmoid", z),
    "tanh": lambda graph, z, _: graph.node("Tanh", z),
    "relu": lambda graph, z, _: graph.node("Relu", z),
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "selu": _selu,
    "softplus": _softplus,
    "gelu": _gelu,
    "silu": lambda graph, z, _: graph.node("Mul", z, graph.node("Sigmoid", z)),
    "mish": _mish,
    "softmax": lambda graph, z, _: graph.node("Softmax", z, axis=-1),
    "exponential": lambda graph, z, _: graph.node("Exp", z),
}


# --- layers ---------------------------------------------------------------------------------------------------------

_Weights = dict[str, np.ndarray]
_Shape = tuple[int, ...]


def _nothing(graph: _Graph, layer: Any, x: str, weights: _Weights, shape: _Shape) -> str:
    """What a layer that only acts in training is at inference."""
    return x


def _dense(graph: _Graph, layer: layers.Dense, x: str, weights: _Weights, shape: _Shape) -> str:
    kernel = graph.constant(weights["kernel"])
    if "bias" in weights and len(shape) == 1:
        z = graph.node("Gemm", x, kernel, graph.constant(weights["bias"]))
    else:
        z = graph.node("MatMul", x, kernel)
        if "bias" in weights:
            z = graph.node("Add", z, graph.constant(weights["bias"]))
    return graph.activation(layer.activation, z)


def _activation(graph: _Graph, layer: layers.Activation, x: str, weights: _Weights, shape: _Shape) -> str:
    return graph.activation(layer.function, x)


def _layer_normalization(graph: _Graph, layer: LayerNormalization, x: str, weights: _Weights, shape: _Shape) -> str:
    # By the definition a scale of one value would do; ONNX Runtime 1.19, for one, refuses it.
    gamma, beta = weights.get("gamma", np.ones(shape[-1])), weights.get("beta", np.zeros(shape[-1]))
    if graph.dtype != np.float64:
        return graph.node("LayerNormalization", x, graph.constant(gamma), graph.constant(beta), epsilon=layer.epsilon)
    # The operator's epsilon is a float32.
    centred = graph.node("Sub", x, graph.node("ReduceMean", x, axes=[-1]))
    variance = graph.node("ReduceMean", graph.node("Mul", centred, centred), axes=[-1])
    deviation = graph.node("Sqrt", graph.node("Add", variance, graph.constant(layer.epsilon)))
    scaled = graph.node("Mul", graph.node("Div", centred, deviation), graph.constant(gamma))
    return graph.node("Add", scaled, graph.constant(beta))


def _batch_normalization(graph: _Graph, layer: BatchNormalization, x: str, weights: _Weights, shape: _Shape) -> str:
    mean, variance = weights["moving_mean"], weights["moving_variance"]
    gamma, beta = weights.get("gamma", np.ones(shape[-1])), weights.get("beta", np.zeros(shape[-1]))
    if len(shape) > 1 or graph.dtype == np.float64:  # the operator wants channels first, and its epsilon is a float32
        factor = gamma / np.sqrt(variance.astype(np.float64) + layer.epsilon)
        scaled = graph.node("Mul", x, graph.constant(factor))
        return graph.node("Add", scaled, graph.constant(beta - mean * factor))
    values = [graph.constant(array) for array in (gamma, beta, mean, variance)]
    return graph.node("BatchNormalization", x, *values, epsilon=layer.epsilon)


def _reshape(graph: _Graph, layer: Any, x: str, weights: _Weights, shape: _Shape) -> str:
    return graph.node("Reshape", x, graph.constant([0, *shape], np.int64))  # 0: as many samples as there are


def _residual(graph: _Graph, layer: layers.Residual, x: str, weights: _Weights, shape: _Shape) -> str:
    y = x
    for i, inside in enumerate(layer.layers):
        prefix = f"{i}."
        own = {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}
        y = graph.layer(inside, y, own, make_plan([layers.Input(shape), *layer.layers[: i + 1]]).output_shape)
    return graph.node("Add", x, y)


# Adds a layer: (graph, layer, input name, its weights, shape of one sample of its output) -> name of its output.
_LAYERS: dict[type, Callable[[_Graph, Any, str, _Weights, _Shape], str]] = {
    layers.Input: _nothing,
    layers.Dense: _dense,
    layers.Activation: _activation,
    layers.Dropout: _nothing,
    layers.GaussianNoise: _nothing,
    LayerNormalization: _layer_normalization,
    BatchNormalization: _batch_normalization,
    layers.Flatten: _reshape,
    layers.Reshape: _reshape,
    layers.Residual: _residual,
}


# --- networks -------------------------------------------------------------------------------------------------------


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
    model : Network, MLPClassifier, MLPRegressor or sklearn.pipeline.Pipeline
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
        If it is not one of these models, or a network is given `initial_types`.
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
    _require("onnx")
    if isinstance(model, Network):
        if initial_types is not None:
            raise TypeError(f"initial_types must be None for a Network, whose input is 'X', got {initial_types!r}")
        proto = _network_model(model)
    else:
        proto = _estimator_model(model, initial_types)
    if path is not None:
        replace_file(path, [proto.SerializeToString()])
    return proto


def _require(name: str) -> None:
    import importlib

    try:
        importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"to_onnx needs the package {name}: pip install fastnn[onnx]") from error


def _network_model(network: Network) -> "onnx.ModelProto":
    from onnx import helper, numpy_helper

    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def add_node(operator: str, inputs: list[str], attributes: dict[str, Any]) -> str:
        name = f"{operator.lower()}_{len(nodes)}"
        nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def add_constant(array: np.ndarray) -> str:
        name = f"constant_{len(constants)}"
        constants.append(numpy_helper.from_array(array, name))
        return name

    last = _Graph(add_node, add_constant, network.dtype).network(network, "X")
    kind = _element_type(network.dtype)
    nodes.append(helper.make_node("Identity", [last], ["output"], name="output"))
    graph = helper.make_graph(
        nodes,
        "fastnn",
        [helper.make_tensor_value_info("X", kind, [None, *network.plan.input_shape])],
        [helper.make_tensor_value_info("output", kind, [None, *network.plan.output_shape])],
        constants,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="fastnn"
    )


# --- estimators and pipelines ---------------------------------------------------------------------------------------


def _columns_by_name(model: Any) -> list[Any]:
    """The column transformers of a pipeline that select by name, from its first step on."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline

    if isinstance(model, Pipeline):
        return _columns_by_name(model.steps[0][1])
    if not isinstance(model, ColumnTransformer):
        return []
    selected = [columns for _, _, columns in model.transformers if not isinstance(columns, (int, slice))]
    # A function selects by dtype, and gives names.
    by_name = any(callable(part) or isinstance(part, str) or any(isinstance(c, str) for c in part) for part in selected)
    return [model] if by_name else []


def _takes_text(transformer: Any, at: int) -> bool:
    """Whether a fitted transformer's column number `at` holds texts."""
    steps = [step for _, step in transformer.steps] if hasattr(transformer, "steps") else [transformer]
    for step in steps:
        if hasattr(step, "categories_"):
            return np.asarray(step.categories_[at]).dtype.kind in "OUS"
        if hasattr(step, "statistics_"):  # of an imputer
            return np.asarray(step.statistics_).dtype.kind in "OUS"
    return False


def _initial_types(model: Any) -> list[tuple[str, Any]]:
    """The inputs of an estimator or a pipeline: one matrix, or a column each where columns are selected by name."""
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    by_name, names = _columns_by_name(model), getattr(model, "feature_names_in_", None)
    if not by_name or names is None:
        return [("X", FloatTensorType([None, model.n_features_in_]))]
    texts: set[str] = set()
    for _, transformer, columns in by_name[0].transformers_:
        if not isinstance(transformer, str):  # "drop", "passthrough"
            chosen = [columns] if isinstance(columns, str) else list(columns)
            texts.update(name for at, name in enumerate(chosen) if _takes_text(transformer, at))
    return [(name, (StringTensorType if name in texts else FloatTensorType)([None, 1])) for name in names]


def _estimator_model(model: Any, initial_types: Any) -> "onnx.ModelProto":
    from sklearn.base import BaseEstimator, is_classifier
    from sklearn.utils.validation import check_is_fitted

    if not isinstance(model, BaseEstimator):
        raise TypeError(f"model must be a fastnn.Network, an estimator or a pipeline, got {model!r}")
    check_is_fitted(model)
    _require("skl2onnx")
    import skl2onnx

    register_converters()
    options = {id(model): {"zipmap": False}} if is_classifier(model) else None
    return skl2onnx.to_onnx(
        model, initial_types=_initial_types(model) if initial_types is None else initial_types, options=options,
        target_opset={"": OPSET, "ai.onnx.ml": 3},
    )  # fmt: skip


def register_converters() -> None:
    """Make the estimators known to skl2onnx, so that its own `to_onnx` and `convert_sklearn` take them too.

    `fastnn.to_onnx` calls this; calling it again changes nothing.

    Raises
    ------
    ImportError
        If skl2onnx is missing.

    Examples
    --------
    >>> from fastnn.interop.onnx import register_converters
    >>> register_converters()  # doctest: +SKIP
    """
    _require("skl2onnx")
    from skl2onnx import update_registered_converter

    update_registered_converter(
        later("MLPClassifier"), "FastnnMLPClassifier", _classifier_shapes, _convert_classifier,
        options={"zipmap": [True, False, "columns"], "nocl": [True, False], "output_class_labels": [False, True]},
    )  # fmt: skip
    update_registered_converter(
        later("MLPRegressor"), "FastnnMLPRegressor", _regressor_shapes, _convert_regressor
    )  # fmt: skip


def _classifier_shapes(operator: Any) -> None:
    from skl2onnx.common.data_types import FloatTensorType
    from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

    calculate_linear_classifier_output_shapes(operator)
    n_rows = operator.inputs[0].get_first_dimension()
    operator.outputs[1].type = FloatTensorType([n_rows, _n_probabilities(operator.raw_operator)])


def _n_probabilities(classifier: Any) -> int:
    """How many probabilities a sample gets: two from one output unit, also where only one class was seen."""
    return max(2, classifier.network_.n_outputs)


def _regressor_shapes(operator: Any) -> None:
    from skl2onnx.common.data_types import FloatTensorType

    n_outputs = operator.raw_operator.network_.n_outputs
    operator.outputs[0].type = FloatTensorType([operator.inputs[0].get_first_dimension(), n_outputs])


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    graph = _graph_in(scope, container)
    outputs = _mean_outputs(graph, operator)
    container.add_node("Identity", [outputs], [operator.outputs[0].full_name])


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    """Label and probabilities; with one output unit the classes are two, or the only one twice."""
    from onnx import TensorProto

    classifier = operator.raw_operator
    graph = _graph_in(scope, container)
    outputs = _mean_outputs(graph, operator)
    is_binary = classifier.network_.n_outputs == 1
    if is_binary:
        outputs = graph.node("Concat", graph.node("Sub", graph.constant(1.0), outputs), outputs, axis=1)
    if classifier.out_activation_ == "logistic" and not is_binary:  # any number of labels a sample
        above = graph.node("Greater", outputs, graph.constant(0.5))
        label = graph.node("Cast", above, to=TensorProto.INT64)
    else:
        classes = np.asarray(classifier.classes_)
        is_text = classes.dtype.kind in "OUS"
        known = graph.constant(np.resize(classes, _n_probabilities(classifier)), object if is_text else np.int64)
        label = graph.node("Gather", known, graph.node("ArgMax", outputs, axis=1, keepdims=0))
    container.add_node("Identity", [label], [operator.outputs[0].full_name])
    container.add_node("Identity", [outputs], [operator.outputs[1].full_name])


def _mean_outputs(graph: _Graph, operator: Any) -> str:
    """The outputs of an estimator's network, or the mean over its networks where it has several."""
    x = _float_input(graph, operator)
    estimator = operator.raw_operator
    members = getattr(estimator, "estimators_", [estimator])
    outputs = [graph.network(member.network_, x) for member in members]
    return graph.node("Mean", *outputs) if len(outputs) > 1 else outputs[0]


def _float_input(graph: _Graph, operator: Any) -> str:
    """The features as float32, from whatever the step before gives."""
    from onnx import TensorProto
    from skl2onnx.common.data_types import FloatTensorType

    features = operator.inputs[0]
    if isinstance(features.type, FloatTensorType):
        return features.full_name
    return graph.node("Cast", features.full_name, to=TensorProto.FLOAT)


def _graph_in(scope: Any, container: Any) -> _Graph:
    """A graph whose nodes a converter's container keeps."""
    from onnx import TensorProto

    types = {"f": TensorProto.FLOAT, "i": TensorProto.INT64, "O": TensorProto.STRING}

    def add_node(operator: str, inputs: list[str], attributes: dict[str, Any]) -> str:
        output = scope.get_unique_variable_name(operator.lower())
        name = scope.get_unique_operator_name(operator)
        container.add_node(operator, inputs, [output], name=name, **attributes)
        return output

    def add_constant(array: np.ndarray) -> str:
        name = scope.get_unique_variable_name("constant")
        values = array.reshape(-1)
        if array.dtype.kind == "O":
            values = np.array([str(value).encode() for value in values])
        container.add_initializer(name, types[array.dtype.kind], array.shape, values)
        return name

    return _Graph(add_node, add_constant)


__all__ = ["register_converters", "to_onnx"]
