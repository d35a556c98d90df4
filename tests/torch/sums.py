#!/usr/bin/python3
"""Long reductions of convolutions against PyTorch's f64: the rounding of f32 grows with the number of terms that are
added one after the other, and 4608 of them would be off by three times LIMIT. Random numbers; the error is root mean
square over the standard deviation of the result."""

import os

import torch
from torch import nn

from common import check, cnnc, cpus, export_torch, workplace

LIMIT = 4e-7
CASES = {"conv3": (512, 3, 1), "conv3_rest": (500, 3, 1), "conv3_stride": (512, 3, 2), "conv1": (4608, 1, 1)}


class Net(nn.Module):
    def __init__(self, channels, kernel, stride):
        super().__init__()
        self.conv = nn.Conv2d(channels, 48, kernel, stride, kernel // 2)

    def forward(self, x):
        return self.conv(x)


def main():
    with workplace() as directory:
        for name, (channels, kernel, stride) in CASES.items():
            torch.manual_seed(2)
            base, x = os.path.join(directory, name), torch.randn(2, channels, 9, 9)
            net = Net(channels, kernel, stride)
            export_torch.export(net, x, base)
            with torch.no_grad():
                want = net.double()(x.double())
            for cpu in cpus():
                cnnc("run", base + ".json", "--batch", "2", "--cpu", cpu, "--math", "exact", "--input", base + ".input.npy",
                     "--output", "output=%s.npy" % base)
                error = (export_torch.read_npy(base + ".npy").double() - want).pow(2).mean().sqrt() / want.std()
                print("%-12s %d terms, %s: %.1e" % (name, channels * kernel**2, cpu, error))
                check(error < LIMIT, "%s: %.2e is not under %.0e" % (name, error, LIMIT))


if __name__ == "__main__":
    main()
