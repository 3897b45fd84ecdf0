"""Estimators and pipelines go through skl2onnx, to which `register_converters` makes the estimators known.

References
----------
.. [1] skl2onnx, "Implement a new converter", https://onnx.ai/sklearn-onnx/auto_tutorial/plot_icustom_converter.html
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn.common.later import later
from fastnn.interop.onnx.graph import OPSET, Graph, require
from fastnn.interop.onnx.network import write_network

if TYPE_CHECKING:
    import onnx


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


def estimator_model(model: Any, initial_types: Any) -> "onnx.ModelProto":
    """Return a fitted estimator, or a pipeline that ends in one, as a model."""
    from sklearn.base import BaseEstimator, is_classifier
    from sklearn.utils.validation import check_is_fitted

    if not isinstance(model, BaseEstimator):
        raise TypeError(f"model must be a fastnn.Network, an estimator or a pipeline, got {model!r}")
    _refuse_tables(model)
    check_is_fitted(model)
    require("skl2onnx")
    import skl2onnx
    from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator

    register_converters()
    options = {id(model): {"zipmap": False}} if is_classifier(model) else None
    try:
        return skl2onnx.to_onnx(
            model, initial_types=_initial_types(model) if initial_types is None else initial_types, options=options,
            target_opset={"": OPSET, "ai.onnx.ml": 3},
        )  # fmt: skip
    except (MissingConverter, MissingShapeCalculator) as error:
        raise TypeError(
            f"a step of the model has no converter in skl2onnx: {str(error).splitlines()[0]} Exchange it for one that "
            "has, or export the network alone: to_onnx(model.network_) of a fastnn estimator"
        ) from error


def _refuse_tables(model: Any) -> None:
    """Raise TypeError for an estimator of tables, alone or behind other steps: ONNX has no form of its columns."""
    from sklearn.pipeline import Pipeline

    while isinstance(model, Pipeline):
        model = model.steps[-1][1]
    if any(cls.__module__.startswith("fastnn.tabular.") for cls in type(model).__mro__):
        raise TypeError(
            f"{type(model).__name__} cannot become an ONNX model, since there is no ONNX form of what it does to "
            "columns (dates, categories, quantiles). Export model.model_.network, which takes "
            "model.model_.preprocessing.features(table) and knows neither the scale of the target, nor "
            "model.model_.others and temperature; or a pipeline of a ColumnTransformer and an MLPClassifier or "
            "MLPRegressor"
        )


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
    require("skl2onnx")
    from skl2onnx import update_registered_converter

    for name in ("MLPClassifier", "NetworkClassifier"):
        update_registered_converter(
            later(name), f"Fastnn{name}", _classifier_shapes, _convert_classifier,
            options={"zipmap": [True, False, "columns"], "nocl": [True, False], "output_class_labels": [False, True]},
        )  # fmt: skip
    for name in ("MLPRegressor", "NetworkRegressor"):
        update_registered_converter(later(name), f"Fastnn{name}", _regressor_shapes, _convert_regressor)


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


def _mean_outputs(graph: Graph, operator: Any) -> str:
    """The outputs of an estimator's network, or the mean over its networks where it has several."""
    x = _float_input(graph, operator)
    estimator = operator.raw_operator
    shape = estimator.network_.plan.input_shape
    if len(shape) > 1:  # scikit-learn's rows become samples again
        x = graph.node("Reshape", x, graph.constant([-1, *shape], np.int64))
    members = getattr(estimator, "estimators_", [estimator])
    outputs = [write_network(graph, member.network_, x) for member in members]
    return graph.node("Mean", *outputs) if len(outputs) > 1 else outputs[0]


def _float_input(graph: Graph, operator: Any) -> str:
    """The features as float32, from whatever the step before gives."""
    from onnx import TensorProto
    from skl2onnx.common.data_types import FloatTensorType

    features = operator.inputs[0]
    if isinstance(features.type, FloatTensorType):
        return features.full_name
    return graph.node("Cast", features.full_name, to=TensorProto.FLOAT)


def _graph_in(scope: Any, container: Any) -> Graph:
    """A graph whose nodes a converter's container keeps."""
    from onnx import TensorProto

    types = {"f": TensorProto.FLOAT, "i": TensorProto.INT64, "O": TensorProto.STRING}

    def add_node(operator: str, inputs: list[str], attributes: dict[str, Any], skip: int) -> str:
        output = scope.get_unique_variable_name(operator.lower())
        name = scope.get_unique_operator_name(operator)
        container.add_node(operator, inputs, [""] * skip + [output], name=name, **attributes)
        return output

    def add_constant(array: np.ndarray) -> str:
        name = scope.get_unique_variable_name("constant")
        values = array.reshape(-1)
        if array.dtype.kind == "O":
            values = np.array([str(value).encode() for value in values])
        container.add_initializer(name, types[array.dtype.kind], array.shape, values)
        return name

    return Graph(add_node, add_constant)


__all__ = ["estimator_model", "register_converters"]
