"""ONNX Runtime, for prediction: Gemm, activation, Softmax; CPU provider, all graph optimizations (its default).

``session.run`` (5.4 us for one row) was faster than I/O binding (8.8) and than OrtValues (6.8).
"""

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from bench.peers import lookup

OPERATORS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "elu": "Elu", "selu": "Selu", "softplus": "Softplus"}


def _model(workload, weights):
    operator = lookup(OPERATORS, workload.hidden, "activation", "onnxruntime_peer.py")
    nodes, initializers, last = [], [], "x"
    for k, (W, b) in enumerate(zip(weights[0::2], weights[1::2], strict=True)):
        initializers += [numpy_helper.from_array(W, f"W{k}"), numpy_helper.from_array(b, f"b{k}")]
        final = k == len(weights) // 2 - 1
        name = ("Softmax" if workload.loss != "mse" else "Identity") if final else operator
        nodes.append(helper.make_node("Gemm", [last, f"W{k}", f"b{k}"], [f"z{k}"]))
        nodes.append(helper.make_node(name, [f"z{k}"], [f"a{k}"]))
        last = f"a{k}"
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(workload.dtype))
    inputs = [helper.make_tensor_value_info("x", kind, ["n", workload.sizes[0]])]
    outputs = [helper.make_tensor_value_info(last, kind, ["n", workload.sizes[-1]])]
    graph = helper.make_graph(nodes, "mlp", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


class Session:
    def __init__(self, workload, threads):
        self.workload = workload
        self.options = onnxruntime.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1

    def reset(self, weights):
        model = _model(self.workload, weights)
        self.session = onnxruntime.InferenceSession(model, self.options, providers=["CPUExecutionProvider"])

    def predict(self, X):
        return self.session.run(None, {"x": X})[0]


def build(workload, data, threads):
    return Session(workload, threads)
