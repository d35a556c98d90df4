#!/usr/bin/python3
"""Each layer at odd sizes against PyTorch: channels 1, 3, 17; height and width 1, 7, 13; batch 1 and 3. One model
a size, in which every layer reads the input and is an output."""

import os
import sys

import torch
from torch import nn

import gradients
from common import Each, check, close, cnnc, cpus, export_torch, randomise, workplace


def cases(channels, size):
    """(name, layers) for all layers that fit an input of channels x size x size."""
    c, k = channels, min(3, size)
    conv = lambda out, kernel, **kw: nn.Conv2d(c, out, kernel, **kw)
    yield "conv1", conv(5, 1)
    yield "conv_wide", conv(33, 1, bias=False)
    yield "conv3", conv(17, 3, padding=1)
    yield "conv_same", conv(3, (3, 4), padding="same")
    yield "conv_stride", conv(16, 3, stride=2, padding=1)
    yield "conv_stride21", conv(8, 3, stride=(2, 1), padding=(2, 1))
    yield "conv_dilated", conv(9, 3, dilation=2, padding=2)
    yield "conv_relu", nn.Sequential(conv(17, 3, padding=1), nn.ReLU())
    yield "conv_bn_relu", nn.Sequential(conv(17, 3, padding=1, bias=False), nn.BatchNorm2d(17), nn.ReLU())
    yield "depthwise", conv(c, 3, padding=1, groups=c)
    yield "depthwise2", conv(2 * c, 3, padding=1, groups=c)
    if c == 17:
        yield "one_by_one_chain", nn.Sequential(conv(32, 1), nn.ReLU(), nn.Conv2d(32, 24, 3, padding=1, groups=8))
    yield "conv_valid", conv(6, k)
    yield "bn", nn.BatchNorm2d(c)
    yield "bn_eps", nn.BatchNorm2d(c, eps=0.1)
    yield "bn_plain", nn.BatchNorm2d(c, affine=False)
    yield "relu", nn.ReLU()
    yield "dropout", nn.Dropout(0.3)
    yield "max2", nn.MaxPool2d(min(2, size))
    yield "max3", nn.MaxPool2d(k, stride=2, padding=k // 2)
    yield "max_ceil", nn.MaxPool2d(k, stride=2, ceil_mode=True)
    yield "max_chain", nn.Sequential(nn.MaxPool2d(k, stride=1, padding=k // 2), conv(7, 3, padding=1))
    if size >= 5:
        yield "max_dilated", nn.MaxPool2d(2, stride=1, dilation=3)
        yield "conv5", conv(10, 5, stride=3)
        yield "conv7", conv(12, 7, stride=2, padding=3)
    yield "avg", nn.AvgPool2d(k, stride=1, padding=k // 2)
    yield "avg_valid", nn.AvgPool2d(k, stride=2, padding=k // 2, count_include_pad=False, ceil_mode=True)
    yield "adaptive1", nn.AdaptiveAvgPool2d(1)
    yield "adaptive", nn.AdaptiveAvgPool2d((min(3, size), min(2, size)))
    yield "flatten", nn.Flatten()
    yield "linear", nn.Sequential(nn.Flatten(), nn.Linear(c * size * size, 10))
    yield "linear_relu", nn.Sequential(nn.Flatten(), nn.Linear(c * size * size, 33, bias=False), nn.ReLU())
    yield from gradients.activations(c, size)
    yield "softmax", nn.Softmax(1)
    yield "softmax_flat", nn.Sequential(nn.Flatten(), nn.Softmax(-1))
    yield "residual", Residual(c)


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, c, 3, padding=1), nn.BatchNorm2d(c)

    def forward(self, x):
        return torch.relu(self.bn1(self.conv1(x)) + x)


def compare(base, x, want, batch, cpu, label):
    export_torch.write_npy(base + ".x.npy", x)
    outputs = []
    for name in want:
        outputs += ["--output", "%s=%s.%s.npy" % (name, base, name)]
    cnnc("run", base + ".json", "--batch", str(batch), "--cpu", cpu, "--input", base + ".x.npy", *outputs)
    worst = (0.0, "")
    for name, y in want.items():
        got = export_torch.read_npy("%s.%s.npy" % (base, name))
        check(got.shape == y.shape, "%s, %s: shape %s, not %s" % (label, name, tuple(got.shape), tuple(y.shape)))
        error = ((got - y).abs().max() / y.abs().max().clamp(min=1e-6)).item()
        worst = max(worst, (error, name))
        if not error < 1e-4:
            close(got, y, "%s, %s" % (label, name))
    print("%s: %d layers, worst %.1e (%s)" % (label, len(want), worst[0], worst[1]))


def main():
    channels = [int(v) for v in sys.argv[1:]] or [1, 3, 17]
    able = cpus()
    with workplace() as directory:
        for c in channels:
            for size in (1, 7, 13):
                net = randomise(Each(cases(c, size)), c * 100 + size)
                base = os.path.join(directory, "all_%d_%d" % (c, size))
                x = torch.randn(3, c, size, size)
                export_torch.export(net, x, base)
                with torch.no_grad():
                    want = net(x)
                for cpu in able:
                    label = "%d x %d x %d, %s" % (c, size, size, cpu)
                    compare(base, x, want, 3, cpu, label + ", batch 3")
                    compare(base, x[:1], {k: v[:1] for k, v in want.items()}, 1, cpu, label + ", batch 1")


if __name__ == "__main__":
    main()
