"""PyTorch, a GAN written carefully: fused Adam, real and made rows in one batch for the discriminator, its parameters
kept out of the generator's backward pass, no copy of the made rows' graph. torch.compile makes one graph of each half.
"""

import torch
import torch.nn.functional as F

from bench.stacks.gan import BETA_1, RATE
from bench.stacks.torch_stack import ACTIVATIONS, convert, forward


class Model:
    def __init__(self, workload, data, threads):
        torch.set_num_threads(threads)
        self.workload = workload
        X = torch.from_numpy(data)
        self.X = X.movedim(-1, 1).contiguous() if X.ndim == 4 else X
        batch = workload.batch
        self.judged = torch.cat([torch.ones(batch, 1), torch.zeros(batch, 1)])
        self.wanted = torch.ones(batch, 1)
        self.losses = self.discriminator_loss, self.generator_loss

    def make(self, generator, z):
        made = forward(self.workload.generator, self.workload.noise, generator, z)
        return ACTIVATIONS[self.workload.output](made)

    def judge(self, discriminator, x):
        return forward(self.workload.discriminator, self.workload.sample, discriminator, x)

    def discriminator_loss(self, discriminator, made, real):
        return F.binary_cross_entropy_with_logits(self.judge(discriminator, torch.cat([real, made])), self.judged)

    def generator_loss(self, generator, discriminator, z):
        return F.binary_cross_entropy_with_logits(self.judge(discriminator, self.make(generator, z)), self.wanted)

    def reset(self, weights):
        w = self.workload
        self.generator = convert(w.generator, w.noise, weights[0])
        self.discriminator = convert(w.discriminator, w.sample, weights[1])
        self.optimizers = []
        for parameters in (self.generator, self.discriminator):
            for p in parameters:
                p.requires_grad_()
            self.optimizers.append(torch.optim.Adam(parameters, lr=RATE, betas=(BETA_1, 0.999), fused=True))

    def noise(self):
        return torch.randn(self.workload.batch, *self.workload.noise)

    def step(self, real):
        of_generator, of_discriminator = self.optimizers
        with torch.no_grad():
            made = self.make(self.generator, self.noise())
        of_discriminator.zero_grad(set_to_none=True)
        first = self.losses[0](self.discriminator, made, real)
        first.backward()
        of_discriminator.step()
        of_generator.zero_grad(set_to_none=True)
        fixed = [p.detach() for p in self.discriminator]
        second = self.losses[1](self.generator, fixed, self.noise())
        second.backward()
        of_generator.step()
        return first.item(), second.item()

    def train(self, n_epochs):
        for _ in range(n_epochs):
            X = self.X.index_select(0, torch.randperm(len(self.X)))
            for real in X.split(self.workload.batch):
                losses = self.step(real)
        return losses


class Compiled(Model):
    """One graph for each half: loss, gradient and Adam."""

    def __init__(self, workload, data, threads):
        super().__init__(workload, data, threads)
        torch.compiler.reset()
        torch._inductor.config.cpp_wrapper = True

        def half(loss):
            gradient = torch.func.grad_and_value(loss)

            def step(weights, m, v, t, *rest):
                gradients, value = gradient(weights, *rest)
                t += 1
                rate, correction = RATE / (1 - torch.pow(BETA_1, t)), torch.rsqrt(1 - torch.pow(0.999, t))
                for w, g, mi, vi in zip(weights, gradients, m, v, strict=True):
                    mi.lerp_(g, 1 - BETA_1)
                    vi.mul_(0.999).addcmul_(g, g, value=0.001)
                    w.sub_(rate * mi / (vi.sqrt() * correction + 1e-8))
                return value

            return torch.compile(step, fullgraph=True)

        self.halves = half(self.discriminator_loss), half(self.generator_loss)
        self.compiled_make = torch.compile(self.make, fullgraph=True)

    def reset(self, weights):
        super().reset(weights)
        self.generator, self.discriminator = ([p.detach() for p in ps] for ps in (self.generator, self.discriminator))
        self.moments = [
            ([torch.zeros_like(p) for p in ps], [torch.zeros_like(p) for p in ps], torch.zeros(()))
            for ps in (self.generator, self.discriminator)
        ]

    @torch.no_grad()
    def step(self, real):
        made = self.compiled_make(self.generator, self.noise())
        first = self.halves[0](self.discriminator, *self.moments[1], made, real)
        second = self.halves[1](self.generator, *self.moments[0], self.discriminator, self.noise())
        return first.item(), second.item()


def build(workload, data, threads):
    return Model(workload, data, threads)


def build_compiled(workload, data, threads):
    return Compiled(workload, data, threads)
