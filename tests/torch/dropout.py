#!/usr/bin/python3
"""Dropout in training, compiled, against a network with the masks that Philox4x32-10 gives, written once more here:
pictures in channel blocks and dense ones, elements and whole channels, several calls, batches and threads."""

import copy
import json
import math
import struct

import torch
from torch import nn

from common import CNNRT, check, cnnc, cpus, export_torch, native, workplace

BATCH, SEED, LIMIT, WORD = 16, 0x123456789ABCDEF, 2e-6, 0xFFFFFFFF
CASES = ((False, 16, 6, 4), (False, 19, 5, 3), (False, 5, 7, 7), (True, 16, 6, 4), (True, 19, 5, 3), (True, 5, 21), (True, 6, 3, 5, 4))


def philox(counter, key):
    a, b, c, d = counter
    k, m = key
    for _ in range(10):
        low, high = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (high >> 32) ^ b ^ k, high & WORD, (low >> 32) ^ d ^ m, low & WORD
        k, m = (k + 0x9E3779B9) & WORD, (m + 0xBB67AE85) & WORD
    return a, b, c, d


def mask(n, size, call, layer, p):
    """What each element is multiplied by."""
    rows = []
    for sample in range(n):
        numbers = []
        for group in range((size + 3) // 4):
            numbers += philox((sample, group, call, layer), (SEED & WORD, SEED >> 32))
        rows.append([(u * 2.0**-32 >= p) / (1 - p) for u in numbers[:size]])
    return torch.tensor(rows, dtype=torch.float64)


CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
CHANNELS = (nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)


class Net(nn.Module):
    def __init__(self, channels, c, *size):
        super().__init__()
        conv = CONVOLUTIONS[len(size) - 1]
        self.conv1, self.conv2 = conv(3, c, 3, padding=1), conv(c, 8, 3, padding=1)
        self.fc = nn.Linear(8 * math.prod(size), 10)
        self.drop1 = CHANNELS[len(size) - 1](0.3) if channels else nn.Dropout(0.3)
        self.drop2 = nn.Dropout(0.5)

    def forward(self, x):
        x = self.drop1(torch.relu(self.conv1(x)))
        return self.fc(self.drop2(torch.flatten(torch.relu(self.conv2(x)), 1)))


class Masked(nn.Module):
    """In the place of a Dropout."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        whole = self.factor.numel() < x.numel()
        return x * self.factor.reshape(*x.shape[:2], *[1] * (x.dim() - 2) if whole else x.shape[2:])


def compare(net, model, channels, shape, n, call):
    c, *size = shape
    x, y = torch.randn(n, 3, *size), torch.randint(0, 10, (n,))
    exact = copy.deepcopy(net).double()
    exact.drop1 = Masked(mask(n, c if channels else math.prod(shape), call, 0, 0.3))
    exact.drop2 = Masked(mask(n, 8 * math.prod(size), call, 1, 0.5))
    want = nn.functional.cross_entropy(exact(x.double()), y)
    want.backward()
    model.zero_grad()
    target = struct.pack("<%dq" % n, *y.tolist())
    loss, _ = model.call("backward", n, [export_torch.tensor_bytes(x)], [target], threads=1 + call % 2)
    error = abs(loss - want.item()) / want.item()
    for name, p in exact.named_parameters():
        got = torch.frombuffer(bytearray(model.get(native.GRAD, "grad/" + name)), dtype=torch.float32)
        error = max(error, ((got.reshape(p.shape) - p.grad).abs().max() / p.grad.abs().max()).item())
    check(error <= LIMIT, "%s, channels %d, batch %d, call %d: error %.2e" % (shape, channels, n, call, error))


def main():
    torch.manual_seed(3)
    for cpu in cpus():
        for channels, *shape in CASES:
            with workplace() as directory:
                net, base = Net(channels, *shape).train(), directory + "/net"
                export_torch.export(copy.deepcopy(net).eval(), torch.rand(1, 3, *shape[1:]), base)
                with open(base + ".recipe.json", "w") as f:
                    json.dump({"format": "cnnc-recipe/1", "batch_size": BATCH}, f)
                cnnc(base + ".json", "--train", "--recipe", base + ".recipe.json", "--name", "m", "--cpu", cpu, "-o", base + ".o")
                model = native.Training(native.link(base + ".o", base + ".so", CNNRT), "m", SEED)
                for call in range(3):
                    compare(net, model, channels, shape, BATCH - 3 * call, call)
        print("%s: masks as Philox gives them" % cpu)


if __name__ == "__main__":
    main()
