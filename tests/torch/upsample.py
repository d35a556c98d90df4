#!/usr/bin/python3
"""Upsample, PixelShuffle, PixelUnshuffle and ChannelShuffle at odd sizes against PyTorch: the forward pass on the plain
input and behind a convolution, and the gradient, which the weight of a layer in front shows; the same bits for any
number of threads.

    upsample.py DIMENSIONS
    upsample.py bits
"""

import os
import sys

import torch
import torch.nn.functional as F
from torch import nn

from common import Each, Sum, as_bytes, check, compiled, cpus, export_torch, native, set_state, training, workplace
from gradients import CLASSES, compare as compare_gradients
from layers import compare as compare_layers

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
# Nearest, PyTorch's gradient is not that of its result where another factor than 2 doubles an extent.
FACTORS = {"same": 1.0, "two": 2, "three": 3.0, "four": 4, "half": 0.5, "part": 1.5, "more": 2.6, "less": 0.7, "far": 41}


def each(d, value, other):
    """The value for all dimensions, but the other for the last of several."""
    return value if d == 1 else (*[value] * (d - 1), other)


def upsamplings(d, sizes):
    for name, factor in FACTORS.items():
        if min(sizes) * factor >= 1 and not (factor == 41 and d > 1):
            for mode in ("nearest", LINEAR[d]):
                yield "%s_%s" % (mode, name), nn.Upsample(scale_factor=factor, mode=mode)
            yield "aligned_" + name, nn.Upsample(scale_factor=factor, mode=LINEAR[d], align_corners=True)
    factors = each(d, 2, 3)
    yield "recomputed", nn.Upsample(scale_factor=1.7, mode=LINEAR[d], recompute_scale_factor=True)
    yield "recomputed_nearest", nn.Upsample(scale_factor=each(d, 1.9, 3.4), recompute_scale_factor=True)
    yield "mixed", nn.Upsample(scale_factor=factors, mode=LINEAR[d], align_corners=False)
    for size in (1, 4, 11, 40):
        yield "nearest%d" % size, nn.Upsample(each(d, size, size + 3))
        yield "linear%d" % size, nn.Upsample(each(d, size, size + 3), mode=LINEAR[d])
        yield "aligned%d" % size, nn.Upsample(each(d, size, size + 3), mode=LINEAR[d], align_corners=True)


class Function(nn.Module):
    """torch.nn.functional's spellings."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x)


def pictures(c, sizes):
    """What takes pictures only."""
    yield "nearest2d", nn.UpsamplingNearest2d(scale_factor=2)
    yield "bilinear2d", nn.UpsamplingBilinear2d(size=(9, 5))
    yield "function", Function(lambda x: F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False))
    yield "computed", Function(lambda x: F.interpolate(x, size=x.shape[2:], mode="nearest"))
    yield "like", Function(lambda x: F.interpolate(F.relu(x), size=(2 * x.size(2), 11)))
    yield "relu", nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.ReLU(), nn.Conv2d(c, 3, 3, padding=1))
    yield "shuffle", nn.Sequential(nn.Conv2d(c, 12, 1), nn.PixelShuffle(2))
    yield "shuffle3", nn.Sequential(nn.Conv2d(c, 45, 1), Function(lambda x: F.pixel_shuffle(x, 3)))
    yield "unshuffle", nn.Sequential(nn.Upsample(scale_factor=6), nn.PixelUnshuffle(2), nn.PixelUnshuffle(3))
    yield "channels", nn.Sequential(nn.Conv2d(c, 18, 1), nn.ChannelShuffle(3), nn.Conv2d(18, 4, 1))
    yield "one_each", nn.ChannelShuffle(c)


def cases(d, c, sizes):
    yield from upsamplings(d, sizes)
    if d == 2:
        yield from pictures(c, sizes)
        yield "behind", nn.Sequential(nn.Conv2d(c, 17, 1), nn.Upsample(scale_factor=2, mode="bilinear"))
        for name, layer in upsamplings(d, sizes):
            yield "conv_" + name, nn.Sequential(nn.Conv2d(c, 9, 1), layer, nn.ReLU())


def between(d, c, sizes):
    """Each layer between two others."""
    picture = False
    for name, layer in cases(d, c, sizes):
        # PyTorch 1.13 has no gradient of ChannelShuffle, and in f64 the factor 41 copies other elements.
        if name in ("channels", "one_each", "nearest_far"):
            continue
        n = layer(torch.zeros(1, c, *sizes)).numel()
        front = nn.Conv2d(c, c, 1, bias=False) if picture else nn.Linear(sizes[-1], sizes[-1], bias=False)
        yield name, nn.Sequential(front, layer, nn.Flatten(), nn.Linear(n, CLASSES))
        picture = d == 2 and not picture


def same_bits(directory, base, x, label):
    model = compiled(directory, os.path.basename(base) + "_threads",
                     [base + ".json", "--weights", base + ".safetensors", "--batch", "3"])
    results = [model.infer(3, [export_torch.tensor_bytes(x)], threads) for threads in (1, 2, 5)]
    same = all(bytes(a) == bytes(b) for r in results for a, b in zip(r, results[0]))
    check(same, label + ": threads change the result")


def same_gradient_bits(net, model, x, label):
    target, states = torch.randn(3, CLASSES), []
    for threads in (1, 2, 5):
        set_state(model, net)
        model.zero_grad()
        model.call("backward", 3, [as_bytes(x)], [as_bytes(target)], threads=threads)
        states.append([bytes(model.get(native.GRAD, name)) for name in model.names(native.GRAD)])
    check(all(s == states[0] for s in states), label + ": threads change the gradient")


def forward(directory, d, c, sizes, able):
    net, base = Each(cases(d, c, sizes)).eval(), os.path.join(directory, "all_%d_%d_%d" % (d, c, sizes[-1]))
    x = torch.randn(3, c, *sizes)
    export_torch.export(net, x, base)
    with torch.no_grad():
        want = net(x)
    for cpu in able:
        label = "%dd, %d x %s, %s" % (d, c, sizes, cpu)
        compare_layers(base, x, want, 3, cpu, label + ", batch 3")
        compare_layers(base, x[:1], {k: v[:1] for k, v in want.items()}, 1, cpu, label + ", batch 1")
    same_bits(directory, base, x, "%dd, %d x %s" % (d, c, sizes))


def backward(directory, d, c, sizes, cpu):
    net, x = Sum(between(d, c, sizes)).train(), torch.randn(3, c, *sizes)
    recipe = {"loss": {"type": "MSELoss"}, "batch_size": 3}
    model = training(directory, "grad_%d_%d_%d" % (d, c, sizes[-1]), net, x[:1], recipe, cpu)
    for n in (3, 1):
        compare_gradients(net, model, x[:n], "%dd, %d x %s, %s, batch %d" % (d, c, sizes, cpu, n))
    same_gradient_bits(net, model, x, "%dd, %d x %s" % (d, c, sizes))


def large(directory):
    """Planes that are cut into many tasks."""
    net = nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(3, 20, 1), nn.Upsample(scale_factor=1.5),
                        nn.Conv2d(20, 18, 1), nn.PixelShuffle(3), nn.Upsample((150, 131), mode="bilinear", align_corners=True),
                        nn.Upsample(scale_factor=2), nn.AvgPool2d(25), nn.AdaptiveAvgPool2d((2, 1)), nn.Flatten())
    base, x = os.path.join(directory, "large"), torch.randn(3, 3, 41, 37)
    export_torch.export(net, x, base)
    compare_layers(base, x, {"output": net(x).detach()}, 3, "native", "large")
    same_bits(directory, base, x, "large")
    model = training(directory, "large_grad", net, x[:1], {"loss": {"type": "MSELoss"}, "batch_size": 3})
    compare_gradients(net, model, x, "large")
    same_gradient_bits(net, model, x, "large")


def main():
    torch.manual_seed(1)
    with workplace() as directory:
        if sys.argv[1] == "bits":
            large(directory)
            return
        d, able = int(sys.argv[1]), cpus()
        for c, sizes in ((2, (1, 1, 7)), (3, (3, 5, 19)), (17, (2, 7, 5))):
            forward(directory, d, c, sizes[-d:], able)
            backward(directory, d, c, sizes[-d:], able[-1])


if __name__ == "__main__":
    main()
