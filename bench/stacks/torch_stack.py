"""PyTorch: F.conv2d, torch.lstm and their like on plain tensors, fused Adam, the data permuted once an epoch.

What its modules call, without the modules. Where there is more than one fast way, all are built and the fastest counts:
images as they are or in the channels_last format, sequences with time or the batch first. The format exists for images
alone; signals are images of height 1 then, which makes the Conv1D network 1.45 times as fast. The LSTM's second bias,
which Keras's LSTM lacks, stays zero and is not trained.

torch.compile makes one graph of loss, gradient and Adam, as peers/torch_compile.py does. It takes no recurrent layer:
it would unroll all steps, which takes minutes.
"""

import torch
import torch.nn.functional as F

from bench.peers import Unsupported
from bench.stacks.layers import Conv, ConvTranspose, Dense, Embed, Flatten, MaxPool, Mean, Recurrent, Reshape, walk
from bench.stacks.suite import Fastest

ACTIVATIONS = {
    "linear": lambda z: z,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "leaky_relu": lambda z: F.leaky_relu(z, 0.2),
}
ORDER = {"GRU": (1, 0, 2), "LSTM": (0, 1, 2, 3), "SimpleRNN": (0,)}  # torch's gates by Keras's numbers


def _gates(kernel, layer):
    """(inputs, gates * units) of Keras to (gates * units, inputs) of torch."""
    blocks = kernel.T.reshape(len(ORDER[layer.cell]), layer.units, -1)
    return blocks[list(ORDER[layer.cell])].reshape(kernel.shape[1], -1)


def convert(layers, shape, weights):
    """Keras's weights as tensors in torch's layouts."""
    tensors, left, flattened = [], list(weights), None
    for layer, before in walk(layers, shape):
        own, left = left[: len(layer.parameters(before))], left[len(layer.parameters(before)) :]
        if isinstance(layer, Flatten):
            flattened = before
        if isinstance(layer, Conv | ConvTranspose):
            own[0] = own[0].transpose(*range(own[0].ndim - 1, own[0].ndim - 3, -1), *range(own[0].ndim - 2))
        elif isinstance(layer, Dense):
            kernel = own[0]
            if flattened and len(flattened) > 1:  # torch's channels come before its positions
                kernel = kernel.reshape(-1, flattened[-1], layer.units).swapaxes(0, 1).reshape(kernel.shape)
            own[0], flattened = kernel.T, None
        elif isinstance(layer, Recurrent):
            biases = own[2] if layer.cell == "GRU" else [own[2], 0 * own[2]]
            biases = [_gates(bias[None], layer).ravel() for bias in biases]
            own = [_gates(own[0], layer), _gates(own[1], layer), *biases]
        tensors += [torch.tensor(array.copy()) for array in own]
    return tensors


def _same(x, layer, rank):
    """Pad for Keras's "same", where it is not the same number on all sides."""
    pads = []
    for size in reversed(x.shape[-rank:]):
        total = max(0, (-(-size // layer.strides) - 1) * layer.strides + layer.size - size)
        pads += [total // 2, total - total // 2]
    return pads


def forward(layers, shape, weights, x, time_first=False):
    """The outputs before softmax; images as (n, channels, ...)."""
    left = iter(weights)
    for layer, before in walk(layers, shape):
        rank = len(before) - 1
        if isinstance(layer, Dense):
            x = ACTIVATIONS[layer.activation](F.linear(x, next(left), next(left)))
        elif isinstance(layer, Conv):
            pads = _same(x, layer, rank) if layer.padding == "same" else [0] * 2 * rank
            if pads[0::2] != pads[1::2]:
                x, pads = F.pad(x, pads), [0] * 2 * rank
            pads = [*pads, 0, 0][: 2 * (x.ndim - 2)]
            convolve = F.conv2d if x.ndim == 4 else F.conv1d
            x = convolve(x, next(left), next(left), layer.strides, tuple(pads[-2::-2]), groups=layer.groups)
            x = ACTIVATIONS[layer.activation](x)
        elif isinstance(layer, ConvTranspose):
            x = F.conv_transpose2d(x, next(left), next(left), layer.strides, (layer.size - layer.strides) // 2)
            x = ACTIVATIONS[layer.activation](x)
        elif isinstance(layer, MaxPool):
            size = (1, layer.size) if rank == 1 and x.ndim == 4 else layer.size
            x = (F.max_pool2d if x.ndim == 4 else F.max_pool1d)(x, size)
        elif isinstance(layer, Mean):
            x = x.mean(1 if isinstance(layers[0], Embed) else tuple(range(2, x.ndim)))
        elif isinstance(layer, Flatten):
            x = x.flatten(1)
        elif isinstance(layer, Reshape):  # of rows in channels-last order, as everybody's are here
            x = x.reshape(-1, *layer.shape).movedim(-1, 1)
        elif isinstance(layer, Embed):
            x = F.embedding(x, next(left))
        else:
            x = _recurrent(layer, x, [next(left) for _ in range(4)], time_first)
    return x


def _recurrent(layer, x, weights, time_first):
    n = x.shape[1] if time_first else x.shape[0]
    zero = x.new_zeros(1, n, layer.units)
    state = (zero, zero) if layer.cell == "LSTM" else zero
    run = {"LSTM": torch.lstm, "GRU": torch.gru, "SimpleRNN": torch.rnn_tanh}[layer.cell]
    last = run(x, state, weights, True, 1, 0.0, True, False, not time_first)[1]
    return last[0]


class Model:
    """One way of training; ``batch_axis`` is 1 where time comes first."""

    def __init__(self, stack, data, channels_last=False, time_first=False):
        self.stack, self.time_first = stack, time_first
        self.batch_axis = 1 if time_first else 0
        self.X, self.y = self.arrange(data[0], channels_last), torch.from_numpy(data[1])
        self.criterion = F.cross_entropy if stack.loss != "mse" else F.mse_loss
        self.channels_last = channels_last

    def arrange(self, X, channels_last):
        X = torch.from_numpy(X)
        if isinstance(self.stack.layers[0], Conv):
            X = X.movedim(-1, 1)
            if channels_last and X.ndim == 3:
                X = X.unsqueeze(2)
            return X.contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
        return X.transpose(0, 1).contiguous() if self.time_first else X

    def reset(self, weights):
        self.weights = convert(self.stack.layers, self.stack.shape, weights)
        if self.channels_last:
            kernels = [w.unsqueeze(2) if w.ndim == 3 else w for w in self.weights]
            self.weights = [w.contiguous(memory_format=torch.channels_last) if w.ndim == 4 else w for w in kernels]
        second = 3 if isinstance(self.stack.layers[0], Recurrent) and self.stack.layers[0].cell != "GRU" else None
        trained = [w.requires_grad_(k != second) for k, w in enumerate(self.weights) if k != second]
        self.optimizer = torch.optim.Adam(trained, lr=1e-3, fused=True)

    def outputs(self, weights, x):
        return forward(self.stack.layers, self.stack.shape, weights, x, self.time_first)

    def step(self, x, y):
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.criterion(self.outputs(self.weights, x), y)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def train(self, n_epochs):
        batch, n = self.stack.batch, len(self.y)
        mean = 0.0
        for _ in range(n_epochs):
            order = torch.randperm(n)
            X, y = self.X.index_select(self.batch_axis, order), self.y[order]
            parts = zip(X.split(batch, self.batch_axis), y.split(batch), strict=True)
            mean = sum(len(y_batch) * self.step(x_batch, y_batch) for x_batch, y_batch in parts) / n
        return mean

    @torch.inference_mode()
    def predict(self, X):
        z = self.outputs(self.weights, self.arrange(X, self.channels_last))
        return (torch.softmax(z, dim=1) if self.stack.loss != "mse" else z).numpy()


class Compiled(Model):
    def __init__(self, stack, data, channels_last=False):
        super().__init__(stack, data, channels_last)
        torch.compiler.reset()
        torch._inductor.config.cpp_wrapper = True
        gradient = torch.func.grad_and_value(lambda weights, x, y: self.criterion(self.outputs(weights, x), y))

        def step(weights, m, v, t, x, y):
            gradients, value = gradient(weights, x, y)
            t += 1
            rate, correction = 1e-3 / (1 - torch.pow(0.9, t)), torch.rsqrt(1 - torch.pow(0.999, t))
            for w, g, mi, vi in zip(weights, gradients, m, v, strict=True):
                mi.lerp_(g, 0.1)
                vi.mul_(0.999).addcmul_(g, g, value=0.001)
                w.sub_(rate * mi / (vi.sqrt() * correction + 1e-8))
            return value

        self.compiled_step = torch.compile(step, fullgraph=True)
        self.compiled_outputs = torch.compile(self.outputs, fullgraph=True)

    def reset(self, weights):
        super().reset(weights)
        self.weights = [w.detach() for w in self.weights]
        self.m, self.v = ([torch.zeros_like(w) for w in self.weights] for _ in range(2))
        self.t = torch.zeros(())

    @torch.no_grad()
    def step(self, x, y):
        return self.compiled_step(self.weights, self.m, self.v, self.t, x, y).item()

    @torch.inference_mode()
    def predict(self, X):
        return torch.softmax(self.compiled_outputs(self.weights, self.arrange(X, self.channels_last)), dim=1).numpy()


def _ways(make, stack, data):
    if isinstance(stack.layers[0], Conv):
        return {"plain": make(stack, data), "channels_last": make(stack, data, channels_last=True)}
    if isinstance(stack.layers[0], Recurrent):
        return {"batch first": make(stack, data), "time first": make(stack, data, time_first=True)}
    return {"plain": make(stack, data)}


def build(stack, data, threads):
    torch.set_num_threads(threads)
    return Fastest(stack, _ways(Model, stack, data))


def build_compiled(stack, data, threads):
    torch.set_num_threads(threads)
    if isinstance(stack.layers[0], Recurrent):
        raise Unsupported("torch.compile would unroll every step, which takes minutes to compile")
    return Fastest(stack, _ways(Compiled, stack, data))
