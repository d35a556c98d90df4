#!/usr/bin/python3
"""Random layers and short chains of them, over all their attributes, against PyTorch. Everything of one input
shape is one model, in which each chain reads the input and is an output; `cnnc verify` holds compiled code
against the reference evaluator, value by value, and both against PyTorch."""

import os
import random
import sys
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "torch"))

import torch
from torch import nn

from common import cnnc, cpus, export_torch, randomise, workplace

SHAPES = [(1, 7, 13), (3, 13, 7), (17, 7, 7), (16, 9, 10), (8, 1, 13), (24, 6, 1), (40, 5, 5)]
CHAINS = 16


def conv(r, c):
    groups = r.choice([g for g in (1, 1, 1, 2, 3, 4, 8, c) if c % g == 0])
    out = groups * r.choice([1, 2, 3, 8 // groups + 1, 16 // groups + 1, 17 // groups + 1])
    kernel = (r.choice([1, 3, 3, 5]), r.choice([1, 2, 3, 3, 5]))
    if r.random() < 0.5:
        kernel = kernel[:1] * 2
    padding = r.choice([0, (r.randint(0, 3), r.randint(0, 3)), (kernel[0] // 2, kernel[1] // 2)])
    stride = r.choice([1, 1, 2, (1, 2), (3, 1)])
    dilation = r.choice([1, 1, 1, 2, (2, 3)])
    if stride == 1 and r.random() < 0.2:
        padding = "same"
    return nn.Conv2d(c, out, kernel, stride, padding, dilation, groups, bias=r.random() < 0.7), out


def pool(r, c):
    kernel = (r.randint(1, 4), r.randint(1, 4))
    padding = (r.randint(0, kernel[0] // 2), r.randint(0, kernel[1] // 2))
    stride = r.choice([None, 1, 2, (2, 1), (1, 3)])
    ceil = r.random() < 0.4
    kind = r.randrange(3)
    if kind == 0:
        return nn.MaxPool2d(kernel, stride, padding, r.choice([1, 1, 2]), ceil_mode=ceil), c
    if kind == 1:
        return nn.AvgPool2d(kernel, stride, padding, ceil, r.random() < 0.5), c
    return nn.AdaptiveAvgPool2d(r.choice([1, (r.randint(1, 9), r.randint(1, 9)), (None, 2)])), c


class Residual(nn.Module):
    def __init__(self, c, one):
        super().__init__()
        self.conv1 = nn.Conv2d(c, c, 1 if one else 3, padding=0 if one else 1)
        self.conv2 = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        y = self.conv1(x)
        return torch.relu(self.conv2(torch.relu(y)) + y)


def step(r, c):
    """One layer or two for c channels, and the channels of its result."""
    kind = r.randrange(10)
    if kind < 4:
        return conv(r, c)
    if kind < 7:
        return pool(r, c)
    if kind == 7:
        return nn.BatchNorm2d(c), c
    if kind == 8:
        return Residual(c, r.random() < 0.5), c
    return r.choice([nn.ReLU(), nn.Softmax(r.choice([1, 2, 3, -1])), nn.Dropout(0.5)]), c


def chain(r, shape):
    """A module that PyTorch accepts for this shape."""
    while True:
        c, steps = shape[0], []
        for _ in range(r.choice([1, 1, 2, 3])):
            layer, c = step(r, c)
            steps.append(layer)
            if r.random() < 0.3:
                steps.append(nn.ReLU())
        if r.random() < 0.2:
            steps += [nn.Flatten(r.choice([1, 2]))]
        module = nn.Sequential(*steps).eval()
        try:
            with torch.no_grad():
                y = module(torch.randn(2, *shape))
        except RuntimeError:
            continue
        if torch.isfinite(y).all() and y.abs().max() > 0:
            return module


class All(nn.Module):
    def __init__(self, r, shape):
        super().__init__()
        self.parts = nn.ModuleDict({"c%d" % i: chain(r, shape) for i in range(CHAINS)})

    def forward(self, x):
        return {name: part(x) for name, part in self.parts.items()}


def verify(directory, seed, shape, cpu):
    base = os.path.join(directory, "sweep")
    torch.manual_seed(seed)
    net = randomise(All(random.Random(seed), shape), seed)
    x = torch.randn(3, *shape)
    export_torch.export(net, x, base)
    with torch.no_grad():
        want = net(x)
    for batch in (3, 1):
        arguments = ["--input", base + ".x.npy"]
        export_torch.write_npy(base + ".x.npy", x[:batch])
        for name, y in want.items():
            export_torch.write_npy("%s.%s.npy" % (base, name), y[:batch])
            arguments += ["--expect", "%s=%s.%s.npy" % (name, base, name)]
        text = cnnc("verify", base + ".json", "--batch", str(batch), "--cpu", cpu, *arguments)
        print("seed %d, %d x %d x %d, %s, batch %d: %s" % (seed, *shape, cpu, batch, text.strip().split("\n")[-1]))


def main():
    warnings.simplefilter("ignore")
    seeds = [int(v) for v in sys.argv[1:]] or [1]
    able = cpus()
    with workplace() as directory:
        for seed in seeds:
            for i, shape in enumerate(SHAPES):
                verify(directory, seed * 100 + i, shape, able[(seed + i) % len(able)])


if __name__ == "__main__":
    main()
