"""torch.compile of the whole step: loss, gradient and Adam are one graph, made by ``torch.func.grad_and_value``.

The usual recipe (compile the loss, call ``backward``, compile ``optimizer.step``) takes 292 us a step on 64-64-10 at
32, more than eager, because it enters three graphs and builds an autograd graph between them. One graph over plain
tensors takes 85, with the C++ wrapper that is switched on here 72. Unrolling eight steps into a graph brings 50, at
23 s of compiling and 20 % more time on 784-256-10, so it isn't done: nobody trains that way.
"""

import torch
import torch.nn.functional as F
from torch import nn

from bench.peers import Unsupported, lookup

ACTIVATIONS = {"linear": lambda z: z, "relu": torch.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "silu": F.silu}


class CompiledModel:
    def __init__(self, workload, data, threads):
        torch.set_num_threads(threads)
        torch.compiler.reset()  # one workload's graphs at a time, or dynamo's recompile limit falls back to eager
        torch._inductor.config.cpp_wrapper = True
        if workload.optimizer != "adam":
            raise Unsupported("only Adam is written out here")
        self.X, self.y = (torch.from_numpy(a) for a in data)
        self.batch = workload.batch
        activation = lookup(ACTIVATIONS, workload.hidden, "activation", "torch_compile.py")
        softmax = workload.loss != "mse"
        criterion = nn.functional.cross_entropy if softmax else nn.functional.mse_loss
        dtype = getattr(torch, workload.dtype)
        shapes = [s for i, o in zip(workload.sizes, workload.sizes[1:], strict=False) for s in ((o, i), (o,))]
        self.weights, self.m, self.v = ([torch.zeros(s, dtype=dtype) for s in shapes] for _ in range(3))
        self.t = torch.zeros((), dtype=dtype)

        def forward(weights, x):
            for W, b in zip(weights[:-2:2], weights[1:-2:2], strict=True):
                x = activation(F.linear(x, W, b))
            return F.linear(x, *weights[-2:])

        def loss(weights, x, y):
            return criterion(forward(weights, x), y)

        gradient = torch.func.grad_and_value(loss)

        def step(weights, m, v, t, x, y):
            gradients, value = gradient(weights, x, y)
            t += 1
            rate = 1e-3 / (1 - torch.pow(0.9, t))
            correction = torch.rsqrt(1 - torch.pow(0.999, t))
            for w, g, mi, vi in zip(weights, gradients, m, v, strict=True):
                mi.lerp_(g, 0.1)
                vi.mul_(0.999).addcmul_(g, g, value=0.001)
                w.sub_(rate * mi / (vi.sqrt() * correction + 1e-8))
            return value

        def predict(weights, x):
            z = forward(weights, x)
            return torch.softmax(z, dim=1) if softmax else z

        self.compiled_step = torch.compile(step, fullgraph=True)
        self.compiled_gradient = torch.compile(gradient, fullgraph=True)
        self.compiled_predict = torch.compile(predict, fullgraph=True)

    def reset(self, weights):
        for own, given in zip(self.weights, weights, strict=True):
            own.copy_(torch.from_numpy(given.T.copy()))
        for state in (*self.m, *self.v, self.t):
            state.zero_()

    def step(self, X, y) -> float:
        return self.compiled_step(self.weights, self.m, self.v, self.t, X, y).item()

    @torch.no_grad()
    def train(self, n_epochs):
        loss = 0.0
        for _ in range(n_epochs):
            if self.batch is None:
                loss = self.step(self.X, self.y)
                continue
            total = 0.0
            order = torch.randperm(len(self.X))
            X, y = self.X.index_select(0, order), self.y.index_select(0, order)
            for X_batch, y_batch in zip(X.split(self.batch), y.split(self.batch), strict=True):
                total += len(X_batch) * self.step(X_batch, y_batch)
            loss = total / len(self.X)
        return loss

    @torch.no_grad()
    def gradient(self):
        return self.compiled_gradient(self.weights, self.X, self.y)[1].item()

    @torch.inference_mode()
    def predict(self, X):
        return self.compiled_predict(self.weights, torch.from_numpy(X)).numpy()


def build(workload, data, threads):
    return CompiledModel(workload, data, threads)
