#!/usr/bin/python3
"""The gradient of each layer at odd sizes against PyTorch's autograd in training mode: channels 1, 3, 17; height and
width 1, 7, 13; 3, 2 and 1 samples. Each layer stands between a 1x1 convolution of its own, which shows the gradient of
the layer's input, and a linear layer, which gives each of its outputs another gradient. Statistics of batch norms too.

    gradients.py CHANNELS...
"""

import copy
import sys

import torch
import torch.nn.functional as F
from torch import nn

from common import Sum, as_bytes, check, cpus, gap, native, refuses, set_state, state, training, workplace

LIMIT, FREE, ROUNDING, CLASSES = 1e-5, 3.0, 4e-7, 4
MORE = 2  # channels of the input besides: what a batch norm of one channel gets must be more than a multiple of one


class Residual(nn.Module):
    """The input has two users, of which one is a chain."""

    def __init__(self, c):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, c, 3, padding=1, bias=False), nn.BatchNorm2d(c)
        self.conv2 = nn.Conv2d(c, c, 1)

    def forward(self, x):
        return torch.relu(self.bn1(self.conv1(x)) + x) + self.conv2(x)


def convolutions(c, size):
    conv = lambda out, kernel, **kw: nn.Conv2d(c, out, kernel, **kw)
    yield "conv1", conv(5, 1)
    yield "conv_wide", conv(33, 1, bias=False)
    yield "conv3", conv(17, 3, padding=1)
    yield "conv_same", conv(3, (3, 4), padding="same")
    yield "conv_stride", conv(16, 3, stride=2, padding=1)
    yield "conv_stride21", conv(8, 3, stride=(2, 1), padding=(2, 1))
    yield "conv_dilated", conv(9, 3, dilation=2, padding=2)
    yield "conv_dilated_stride", conv(6, 3, dilation=(2, 3), padding=(2, 3), stride=(3, 2))
    yield "conv_down", conv(7, 1, stride=2)
    yield "conv_sparse", conv(7, (2, 1), stride=(3, 2), padding=(1, 0))
    yield "conv_far_padding", conv(4, 2, padding=(1, 1))
    yield "conv_valid", conv(6, min(3, size))
    yield "depthwise", conv(c, 3, padding=1, groups=c)
    yield "depthwise2", conv(2 * c, 3, padding=1, groups=c, stride=2)
    yield "depthwise_dilated", conv(c, 3, padding=2, dilation=2, groups=c, bias=False)
    yield "grouped", nn.Sequential(conv(32, 1), nn.ReLU(), nn.Conv2d(32, 24, 3, padding=1, groups=8))
    yield "grouped_stride", nn.Sequential(conv(12, 1), nn.Conv2d(12, 18, 3, padding=1, stride=2, groups=3))
    if size >= 5:
        yield "conv5", conv(10, 5, stride=3)
        yield "conv7", conv(12, 7, stride=2, padding=3)


def pools(c, size):
    k = min(3, size)
    yield "max2", nn.MaxPool2d(min(2, size))
    yield "max3", nn.MaxPool2d(k, stride=2, padding=k // 2)
    yield "max_ceil", nn.MaxPool2d(k, stride=2, ceil_mode=True)
    yield "max_chain", nn.Sequential(nn.MaxPool2d(k, stride=1, padding=k // 2), nn.Conv2d(c, 7, 3, padding=1))
    yield "avg", nn.AvgPool2d(k, stride=1, padding=k // 2)
    yield "avg_valid", nn.AvgPool2d(k, stride=2, padding=k // 2, count_include_pad=False, ceil_mode=True)
    yield "avg_ceil", nn.AvgPool2d(k, stride=2, padding=k // 2, ceil_mode=True)
    yield "adaptive1", nn.AdaptiveAvgPool2d(1)
    yield "adaptive", nn.AdaptiveAvgPool2d((min(3, size), min(2, size)))
    if size >= 5:
        yield "max_dilated", nn.MaxPool2d(2, stride=1, dilation=3)
        yield "max_oblong", nn.MaxPool2d((3, 2), stride=(1, 3), padding=(1, 0))
        yield "max_sparse", nn.MaxPool2d(2, stride=3)
        yield "avg_oblong", nn.AvgPool2d((2, 5), stride=(3, 2), padding=(1, 2))
        yield "adaptive_overlapping", nn.AdaptiveAvgPool2d(5)


def others(c, size):
    yield "relu", nn.ReLU()
    yield "flatten", nn.Flatten()
    yield "flatten2", nn.Flatten(2)
    yield "linear", nn.Sequential(nn.Flatten(), nn.Linear(c * size * size, 10))
    yield "linear_relu", nn.Sequential(nn.Flatten(), nn.Linear(c * size * size, 33, bias=False), nn.ReLU())
    yield "softmax", nn.Softmax(1)
    yield "softmax_rows", nn.Softmax(2)
    yield "softmax_flat", nn.Sequential(nn.Flatten(), nn.Softmax(-1))


class Gate(nn.Module):
    """Squeeze-and-excitation, a map of places, and the other arithmetic."""

    def __init__(self, c):
        super().__init__()
        self.pool, self.one, self.two = nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, 5, 1), nn.Conv2d(5, c, 1)
        self.place, self.soft = nn.Conv2d(c, 1, 1), nn.Softplus()

    def forward(self, x):
        gate = F.hardsigmoid(self.two(F.silu(self.one(self.pool(x)))))
        place = self.soft(self.place(x))
        return gate * x - (x - gate) / (place + torch.sigmoid(place))


ACTIVATIONS = {"relu6": nn.ReLU6(), "leaky": nn.LeakyReLU(), "leaky_neg": nn.LeakyReLU(-0.3), "elu": nn.ELU(0.7),
               "elu_neg": nn.ELU(-0.4), "selu": nn.SELU(), "celu": nn.CELU(1.7), "gelu": nn.GELU(), "gelu_tanh": nn.GELU("tanh"), "silu": nn.SiLU(),
               "mish": nn.Mish(), "hardswish": nn.Hardswish(), "hardsigmoid": nn.Hardsigmoid(), "hardtanh": nn.Hardtanh(-0.3, 1.2),
               "sigmoid": nn.Sigmoid(), "logsigmoid": nn.LogSigmoid(), "tanh": nn.Tanh(), "softplus": nn.Softplus(),
               "softplus2": nn.Softplus(2.5, 3), "softsign": nn.Softsign()}


def activations(c, size):
    yield from ACTIVATIONS.items()
    yield "prelu", nn.PReLU()
    yield "prelu_channels", nn.PReLU(c)
    yield "prelu_flat", nn.Sequential(nn.Flatten(), nn.PReLU(c * size * size))
    yield "conv_prelu", nn.Sequential(nn.Conv2d(c, 9, 1), nn.PReLU(9), nn.Conv2d(9, 3, 1))
    yield "conv_silu", nn.Sequential(nn.Conv2d(c, 9, 3, padding=1), nn.SiLU(), nn.Conv2d(9, 3, 1), nn.Identity())
    yield "conv_sigmoid", nn.Sequential(nn.Conv2d(c, 9, 3, padding=1), nn.Sigmoid(), nn.Conv2d(9, 3, 1), nn.GELU())
    yield "log_softmax", nn.LogSoftmax(1)
    yield "log_softmax_rows", nn.LogSoftmax(2)
    yield "log_softmax_flat", nn.Sequential(nn.Flatten(), nn.LogSoftmax(-1))
    yield "gate", Gate(c)


def norms(c, size):
    conv = lambda out: nn.Conv2d(c, out, 3, padding=1, bias=False)
    yield "bn", nn.BatchNorm2d(c)
    yield "bn_eps", nn.BatchNorm2d(c, eps=0.1, momentum=0.3)
    yield "bn_last", nn.BatchNorm2d(c, momentum=1.0)
    yield "bn_plain", nn.BatchNorm2d(c, affine=False)
    yield "conv_bn_relu", nn.Sequential(conv(17), nn.BatchNorm2d(17), nn.ReLU())
    yield "conv_bn_max", nn.Sequential(conv(16), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(min(2, size)))
    yield "residual", Residual(c)


class Between(nn.Module):
    """A layer, of what has that shape, between the two that its gradients are seen through."""

    def __init__(self, front, layer, shape):
        super().__init__()
        self.front, self.layer = front, layer
        with torch.no_grad():
            n = copy.deepcopy(layer).eval()(torch.zeros(1, *shape)).numel()
        self.back = nn.Linear(n, CLASSES)

    def forward(self, x):
        return self.back(torch.flatten(self.layer(self.front(x)), 1))


def backward(net, x, target, dtype):
    """(loss, gradients, statistics after the step) of PyTorch."""
    m = copy.deepcopy(net).to(dtype).train()
    loss = nn.functional.mse_loss(m(x.to(dtype)), target.to(dtype))
    loss.backward()
    return loss.item(), {k: p.grad for k, p in m.named_parameters()}, dict(m.named_buffers())


def compare(net, model, x, label):
    set_state(model, net)
    target = torch.randn(len(x), CLASSES)
    model.zero_grad()
    loss, _ = model.call("backward", len(x), [as_bytes(x)], [as_bytes(target)], threads=2)
    want, exact, statistics = backward(net, x, target, torch.float64)
    _, single, _ = backward(net, x, target, torch.float32)
    check(abs(loss - want) <= LIMIT * want, "%s: loss %.9g, not %.9g" % (label, loss, want))
    check(set(model.names(native.GRAD)) == {"grad/" + k for k in exact}, label + ": the gradients are others")
    worst = (0.0, "")
    for name, g in exact.items():
        error, own = gap(state(model, native.GRAD, "grad/" + name, g), g), gap(single[name], g)
        # A sum that all but cancels (of one element, say) is known no better than rounding of its layer's largest.
        largest = max(h.abs().max().item() for k, h in exact.items() if k.split(".")[:2] == name.split(".")[:2])
        floor = ROUNDING * largest / (g.abs().max().item() or 1.0)
        worst = max(worst, (error, name))
        check(error <= max(LIMIT, FREE * own, floor),
              "%s: gradient of %s: %.2e (PyTorch's f32: %.2e)" % (label, name, error, own))
    for name in model.names(native.BUFFER):
        error = gap(state(model, native.BUFFER, name, statistics[name]), statistics[name])
        check(error <= LIMIT, "%s: %s: %.2e" % (label, name, error))
    print("%-32s %2d gradients, worst %.1e (%s)" % (label, len(exact), worst[0], worst[1]))


def one_size(directory, c, size, cpu):
    torch.manual_seed(100 * c + size)
    groups = {"conv": convolutions(c, size), "pool": pools(c, size), "other": others(c, size),
              "activation": activations(c, size), "norm": norms(c, size)}
    for group, layers in groups.items():
        front = lambda: nn.Conv2d(c + MORE, c, 1, bias=False)
        net = Sum((name, Between(front(), layer, (c, size, size))) for name, layer in layers).train()
        label = "%s %d x %d x %d, %s" % (group, c, size, size, cpu)
        x = torch.randn(3, c + MORE, size, size)
        recipe = {"loss": {"type": "MSELoss"}, "batch_size": 3}
        model = training(directory, "%s_%d_%d" % (group, c, size), net, x[:1], recipe, cpu)
        for n in (3, 2, 1):
            if group == "norm" and n * size == 1:
                set_state(model, net)
                refuses(model, x[:1], torch.zeros(1, CLASSES), 14, label)  # CNNRT_E_BATCH_NORM
            elif group != "norm" or n * size > 2:  # two values a channel become -1 and 1: the gradient is 0
                compare(net, model, x[:n], "%s, %d" % (label, n))


def main():
    able = cpus()
    with workplace() as directory:
        for c in [int(v) for v in sys.argv[1:]] or [1, 3, 17]:
            for size in (1, 7, 13):
                for cpu in able if size == 7 else able[-1:]:
                    one_size(directory, c, size, cpu)


if __name__ == "__main__":
    main()
