#!/usr/bin/python3
"""Pools of one and three dimensions, the adaptive ones and the divisors of averages, at odd sizes against PyTorch: the
forward pass of each, and its gradient, which the weight of a linear layer in front shows. Ties are common: the inputs,
and the weights in front, are few whole numbers.

    pools.py DIMENSIONS
"""

import os
import sys

import torch
from torch import nn

from common import Each, Sum, cpus, export_torch, training, workplace
from gradients import CLASSES, compare as compare_gradients
from layers import compare as compare_layers


def cases(d, sizes):
    """Layers of d dimensions; sizes is the picture's."""
    layer = lambda name: getattr(nn, "%s%dd" % (name, d))
    k = tuple(min(n, s) for n, s in zip((3, 2, 3), sizes))
    k = k[0] if d == 1 else k
    half = k // 2 if d == 1 else tuple(n // 2 for n in k)
    for ceil in (False, True):
        yield "max%d" % ceil, layer("MaxPool")(k, ceil_mode=ceil)
        yield "max_padded%d" % ceil, layer("MaxPool")(k, 2, half, ceil_mode=ceil)
        for include in (False, True):
            yield "avg%d%d" % (ceil, include), layer("AvgPool")(k, 2, half, ceil, include)
    if min(sizes) >= 5:
        yield "max_dilated", layer("MaxPool")(2, 1, 1, 3)
        yield "max_overlapping", layer("MaxPool")(3, 1)
        yield "avg_overlapping", layer("AvgPool")(3, 1)
    if d > 1:
        yield "avg_divisor", layer("AvgPool")(k, 2, half, divisor_override=5)
        yield "avg_divisor1", layer("AvgPool")(1, 2, divisor_override=3)
        yield "avg_divides", layer("AvgPool")(1, 1, divisor_override=3)
        yield "avg_flat", layer("AvgPool")((1, *k[1:]), 1, divisor_override=3)
    for name in ("AdaptiveMaxPool", "AdaptiveAvgPool"):
        yield name + "_one", layer(name)(1)
        yield name + "_own", layer(name)(2 if d == 1 else (2, None, 3)[:d])
        yield name + "_more", layer(name)(5)


def between(d, c, sizes):
    """Each layer between two linear ones."""
    for name, pool in cases(d, sizes):
        n = pool(torch.zeros(1, c, *sizes)).numel()
        front, back = nn.Linear(sizes[-1], sizes[-1], bias=False), nn.Linear(n, CLASSES)
        with torch.no_grad():
            front.weight.mul_(5).round_()
        yield name, nn.Sequential(front, pool, nn.Flatten(), back)


def forward(directory, d, c, sizes, able):
    net, base = Each(cases(d, sizes)).eval(), os.path.join(directory, "all_%d_%d_%d" % (d, c, sizes[-1]))
    x = torch.randint(-3, 3, (3, c, *sizes)).float()
    export_torch.export(net, x, base)
    with torch.no_grad():
        want = net(x)
    for cpu in able:
        label = "%dd, %d x %s, %s" % (d, c, sizes, cpu)
        compare_layers(base, x, want, 3, cpu, label + ", batch 3")
        compare_layers(base, x[:1], {k: v[:1] for k, v in want.items()}, 1, cpu, label + ", batch 1")


def backward(directory, d, c, sizes, cpu):
    net, x = Sum(between(d, c, sizes)).train(), torch.randint(-3, 3, (3, c, *sizes)).float()
    recipe = {"loss": {"type": "MSELoss"}, "batch_size": 3}
    model = training(directory, "grad_%d_%d_%d" % (d, c, sizes[-1]), net, x[:1], recipe, cpu)
    for n in (3, 1):
        compare_gradients(net, model, x[:n], "%dd, %d x %s, %s, batch %d" % (d, c, sizes, cpu, n))


def main():
    d, able = int(sys.argv[1]), cpus()
    torch.manual_seed(d)
    with workplace() as directory:
        for c, sizes in ((1, (1, 1, 7)), (3, (7, 5, 6)), (17, (5, 7, 13))):
            forward(directory, d, c, sizes[-d:], able)
            backward(directory, d, c, sizes[-d:], able[-1])


if __name__ == "__main__":
    main()
