"""PyTorch eager: nn.Sequential, CrossEntropyLoss on logits, the fused optimizers.

Measured here on 64-64-10 at 32: Adam(fused=True) 192 us a step, foreach=True 282, the plain loop 254. The data are one
tensor that is permuted once an epoch by ``index_select`` and then split into views (1.5 us a batch against 3.3 for an
``index_select`` each and 5.5 for ``X[rows]``, and far less than a DataLoader), gradients are set to None rather than
zeroed, and the epoch's loss is summed with ``item()``, which costs 1 us where the tensor is on the CPU.
"""

import torch
from torch import nn

from bench.peers import Unsupported, lookup

ACTIVATIONS = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "softplus": nn.Softplus,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "softmax": lambda: nn.Softmax(dim=-1),
}
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.01, fused=True),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, fused=True),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9, nesterov=True, fused=True),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-3, fused=True),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=1e-3, amsgrad=True, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3, weight_decay=0.01, fused=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=1e-2, fused=True),
    # No fused version on CPU; of the other two the plain loop was the faster for Adam.
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-3, foreach=False),
    "adadelta": lambda p: torch.optim.Adadelta(p, lr=1.0, foreach=False),
    "nadam": lambda p: torch.optim.NAdam(p, lr=1e-3, foreach=False),
    "adamax": lambda p: torch.optim.Adamax(p, lr=1e-3, foreach=False),
}
LAYERS = {
    "Dropout": lambda units: nn.Dropout(0.2),
    "LayerNormalization": nn.LayerNorm,
    "BatchNormalization": nn.BatchNorm1d,
}


class Model:
    def __init__(self, workload, data, threads):
        torch.set_num_threads(threads)
        self.dtype = getattr(torch, workload.dtype)
        self.X, self.y = (torch.from_numpy(a) for a in data)
        self.batch = workload.batch
        self.softmax = workload.loss != "mse"
        self.loss = nn.CrossEntropyLoss() if self.softmax else nn.MSELoss()
        self.make_optimizer = lookup(OPTIMIZERS, workload.optimizer, "optimizer", "PyTorch")
        self.network = self._network(workload)
        self.linears = [m for m in self.network if isinstance(m, nn.Linear)]

    def _network(self, workload):
        activation = lookup(ACTIVATIONS, workload.hidden, "activation", "PyTorch")
        modules = []
        for fan_in, units in zip(workload.sizes[:-2], workload.sizes[1:-1], strict=True):
            modules += [nn.Linear(fan_in, units), activation()]
            if workload.layer:
                modules.append(lookup(LAYERS, workload.layer, "layer", "PyTorch")(units))
        return nn.Sequential(*modules, nn.Linear(*workload.sizes[-2:])).to(self.dtype)

    def reset(self, weights):
        with torch.no_grad():
            for linear, W, b in zip(self.linears, weights[0::2], weights[1::2], strict=True):
                linear.weight.copy_(torch.from_numpy(W.T.copy()))
                linear.bias.copy_(torch.from_numpy(b))
        self.optimizer = self.make_optimizer(self.network.parameters())

    def step(self, X, y) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.network(X), y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def train(self, n_epochs):
        self.network.train()
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

    def gradient(self):
        for parameter in self.network.parameters():
            parameter.grad = None
        loss = self.loss(self.network(self.X), self.y)
        loss.backward()
        return loss.item()

    @torch.inference_mode()
    def predict(self, X):
        self.network.eval()
        z = self.network(torch.from_numpy(X))
        return (torch.softmax(z, dim=1) if self.softmax else z).numpy()


def build(workload, data, threads):
    if workload.optimizer == "lion":
        raise Unsupported("PyTorch has no optimizer 'lion'")
    return Model(workload, data, threads)
