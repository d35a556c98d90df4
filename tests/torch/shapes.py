#!/usr/bin/python3
"""Layers that move, pick and join elements, at odd sizes against PyTorch: what they give, and in training mode their
gradients, as norms.py does it. In pictures they also stand between convolutions, whose values lie in blocks of channels.

    shapes.py GROUP... SHAPE...         groups of GROUPS below, shapes as 3x7x5, without the batch
    shapes.py bits GROUP... SHAPE...    the same bits whatever the number of threads
"""

import itertools
import os
import sys

import torch
from torch import nn

import norms
from common import Each, check, compiled, cpus, export_torch, workplace

MIXES = ((3, 5), (8, 16), (17, 1), (16, 16), (4, 4), (1, 2, 3, 1), (8, 8, 8, 8), (9, 23), (32, 7, 16), (15, 1, 1, 15))


class Do(nn.Module):
    """A function of the input as a layer, with the layers that it uses."""

    def __init__(self, function, *layers):
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, x):
        return self.function(x, *self.layers)


def index(rank, dim, what):
    return (slice(None),) * dim + (what,) + (slice(None),) * (rank - dim - 1)


def slices(shape):
    rank = len(shape) + 1
    for dim, size in enumerate(shape, 1):
        for name, s in (("front", slice(0, (size + 1) // 2)), ("back", slice(size // 2, None)), ("inner", slice(1, -1)),
                        ("two", slice(None, None, 2)), ("five", slice(size // 3, None, 5)), ("far", slice(-3, 99))):
            if len(range(*s.indices(size))) not in (0, size):
                yield "slice_%s%d" % (name, dim), Do(lambda x, i=index(rank, dim, s): x[i])
        if rank > 2:
            yield "one%d" % dim, Do(lambda x, i=index(rank, dim, size - 1): x[i])


def joins(shape):
    for dim, size in enumerate(shape, 1):
        yield "twice%d" % dim, Do(lambda x, d=dim: torch.cat([x, x * x], d))
        yield "thrice%d" % dim, Do(lambda x, d=dim - len(shape) - 1: torch.cat([x, torch.tanh(x), x], d))
        if size > 1:
            yield "swap%d" % dim, Do(lambda x, d=dim: swapped(x.chunk(2, d), d))
        if size > 3:
            sizes = [1, size - 3, 2]
            yield "unequal%d" % dim, Do(lambda x, d=dim, s=sizes: shifted(x.split(s, d), d))
            yield "last%d" % dim, Do(lambda x, d=dim, s=size // 2 + 1: x.split(s, d)[-1])


def swapped(parts, dim):
    return torch.cat([parts[1], torch.sigmoid(parts[0])], dim)


def shifted(parts, dim):
    return torch.cat([parts[2], parts[0], parts[1]], dim)


def views(shape):
    rank = len(shape) + 1
    for order in itertools.permutations(range(1, rank)):
        if order != tuple(range(1, rank)):
            yield "permute_" + "".join(map(str, order)), Do(lambda x, o=order: x.permute(0, *o))
    for dim in range(1, rank + 1):
        if rank < 6:
            yield "unsqueeze%d" % dim, Do(lambda x, d=dim: torch.tanh(x).unsqueeze(d))
            yield "back%d" % dim, Do(lambda x, d=dim - rank - 1: torch.tanh(x.unsqueeze(d)).squeeze(d))
    for dim, size in enumerate(shape, 1):
        if size == 1 and rank > 2:
            yield "squeeze%d" % dim, Do(lambda x, d=dim: x.squeeze(d))
        if rank < 6:
            yield "unflatten%d" % dim, nn.Unflatten(dim, (-1, 1))
        if size % 3 == 0 and rank < 6:
            yield "unflatten3_%d" % dim, nn.Unflatten(dim - rank, (3, size // 3))
    if rank > 2:
        yield "turned", Do(lambda x: x.transpose(1, 2).reshape(x.size(0), x.size(1), -1))
        yield "merged", Do(lambda x: x.view(x.size(0), -1, x.size(-1)))


def before(c, out, kernel=3):
    return nn.Sequential(nn.Conv2d(c, out, kernel, padding=kernel // 2), nn.ReLU())


def then(c, n, function, last=None):
    """A convolution of n channels, a function, and the layer behind it."""
    return nn.Sequential(before(c, n), Do(function), *([last] if last else []))


def cat(x, dim, *layers):
    """The results of all layers but the last, joined, for the last one."""
    return layers[-1](torch.cat([f(x) for f in layers[:-1]], dim))


def channels(x, *layers):
    return cat(x, 1, *layers)


def dense(x, f, g):
    """Each layer sees the results of all before it."""
    y = torch.cat([x, f(x)], 1)
    return torch.cat([y, g(y)], 1)


FOLLOWERS = (lambda n: nn.Identity(), lambda n: nn.Conv2d(n, 5, 3, padding=1), lambda n: nn.MaxPool2d(2, ceil_mode=True), lambda n: nn.ReLU(),
             lambda n: nn.AvgPool2d(3, 1, 1), lambda n: nn.Sequential(nn.BatchNorm2d(n), nn.ReLU(), nn.Conv2d(n, 9, 1)),
             lambda n: nn.AdaptiveAvgPool2d(1))


def concats(shape):
    """Of convolutions of several widths; what may follow, in turn."""
    c = shape[0]
    for i, mix in enumerate(MIXES):
        fronts = [before(c, n, 1 + 2 * (k % 2)) for k, n in enumerate(mix)]
        yield "cat_%s" % "_".join(map(str, mix)), Do(channels, *fronts, FOLLOWERS[i % len(FOLLOWERS)](sum(mix)))
    for a, b in MIXES[:4]:
        yield "input_%d_%d" % (a, b), Do(channels, nn.Identity(), before(c, a), nn.Identity(), before(c, b),
                                         nn.Conv2d(2 * c + a + b, 6, 3, padding=1))
    yield "pools", Do(channels, nn.MaxPool2d(3, 1, 1), nn.Sequential(before(c, 8), nn.MaxPool2d(3, 1, 1)),
                      nn.Sequential(before(c, 7), nn.AvgPool2d(3, 1, 1)), before(c + 15, 8))
    yield "dense", Do(dense, before(c, 6), before(c + 6, 6))
    yield "dense8", Do(dense, before(c, 8), before(c + 8, 16, 1))
    yield "twice", nn.Sequential(before(c, 5), Do(lambda x: torch.cat([x, x], 1)), before(10, 3))
    yield "many", nn.Sequential(nn.Softsign(), Do(lambda x: torch.cat([x] * 23, 1)), before(23 * c, 3))


def along(shape):
    """Along the height and the width of values in blocks."""
    c = shape[0]
    for n in (5, 8, 17, 32):
        yield "rows%d" % n, Do(lambda x, *f: cat(x, 2, *f), before(c, n), before(c, n, 1), nn.Conv2d(n, 4, 3, padding=1))
        yield "columns%d" % n, Do(lambda x, *f: cat(x, 3, *f), nn.Conv2d(c, n, 1), before(c, n), before(c, n, 1),
                                  nn.MaxPool2d(3, 2, 1))


def ended(parts, *ends):
    """A layer of its own for each part; all results joined."""
    return torch.cat([end(parts[i]) for i, end in enumerate(ends)], 1)


def parts(shape):
    """Splits and slices of values in blocks, between convolutions."""
    c = shape[0]
    for sizes in ((5, 16, 3), (8, 8, 8), (16, 1, 7), (1, 32, 2), (23, 9)):
        ends = [before(n, 4 + i) for i, n in enumerate(sizes)]
        split = Do(lambda x, *ends, s=list(sizes): ended(x.split(s, 1), *ends), *ends)
        yield "split_%s" % "_".join(map(str, sizes)), nn.Sequential(before(c, sum(sizes)), split)
    for name, s in (("mid", slice(5, 29)), ("aligned", slice(8, 24)), ("evens", slice(None, None, 2)),
                    ("fifths", slice(3, None, 5)), ("end", slice(32, None))):
        n = len(range(*s.indices(33)))
        yield "channels_" + name, then(c, 33, lambda x, s=s: x[:, s], nn.Conv2d(n, 7, 3, padding=1))
        yield "seen_" + name, then(c, 33, lambda x, s=s: x[:, s])
    for n in (20, 32):
        yield "rows%d" % n, then(c, n, lambda x: x[:, :, 1::2], nn.Conv2d(n, 3, 3, padding=1))
        yield "columns%d" % n, then(c, n, lambda x: x[..., :-1], nn.Conv2d(n, 3, 3, padding=1))
        yield "places%d" % n, then(c, n, lambda x: x[:, 2:19, :4:3, 1::2], nn.Conv2d(17, 3, 3, padding=1))


def shuffles(shape):
    """Views and permutations between convolutions."""
    c, h, w = shape
    for g, n in ((2, 16), (3, 24), (4, 20), (8, 64), (5, 5)):
        shuffle = lambda x, g=g, n=n: x.view(-1, g, n // g, h, w).transpose(1, 2).reshape(-1, n, h, w)
        yield "shuffle%d_%d" % (g, n), then(c, n, shuffle, before(n, 8))
    yield "turned", then(c, 12, lambda x: x.transpose(2, 3), before(12, 5))
    yield "last", then(c, 12, lambda x: x.permute(0, 2, 3, 1), nn.Linear(12, 5))
    yield "first", Do(lambda x, f, g: g(f(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)), nn.Linear(c, 9), before(9, 5))
    yield "flat", then(c, 10, lambda x: x.flatten(2).transpose(1, 2), nn.LayerNorm(10))
    yield "refolded", then(c, 6, lambda x: x.view(-1, 2, 3, h * w), nn.Conv2d(2, 8, 3, padding=1))
    yield "deeper", then(c, 6, lambda x: torch.tanh(x.unsqueeze(2)).squeeze(2), before(6, 4))
    yield "unflattened", then(c, 12, lambda x: x.view(-1, 3, 4, h * w).permute(0, 2, 3, 1))


def lines(shape):
    c = shape[0]
    conv = lambda n: nn.Sequential(nn.Conv1d(c, n, 3, padding=1), nn.ReLU())
    end = lambda n: nn.Conv1d(n, 3, 3, padding=1)
    for a, b in MIXES[:4]:
        yield "cat_%d_%d" % (a, b), Do(channels, conv(a), nn.Identity(), conv(b), end(a + b + c))
    for n in (5, 16):
        yield "long%d" % n, Do(lambda x, *f: cat(x, 2, *f), conv(n), conv(n), end(n))
        yield "short%d" % n, nn.Sequential(conv(n), Do(lambda x: x[:, :, ::2]), end(n))
    yield "split", nn.Sequential(conv(11), Do(lambda x: swapped(x.split([3, 8], 1), 1)), end(11))


GROUPS = {"slices": slices, "joins": joins, "views": views, "lines": lines, "concats": concats, "along": along,
          "parts": parts, "shuffles": shuffles}


def infer_bits(directory, shape, label, layers):
    net, base = norms.randomise(Each(layers), 5), os.path.join(directory, "infer_" + label)
    x = torch.randn(3, *shape)
    export_torch.export(net, x[:1], base)
    model = compiled(directory, "bits_" + label, [base + ".json", "--batch", "3"])
    results = [model.infer(3, [export_torch.tensor_bytes(x)], threads) for threads in (1, 2, 5)]
    check(results[0] == results[1] == results[2], label + ": other bits with other numbers of threads")
    print("%s: the same bits with 1, 2 and 5 threads" % label)


def compare(directory, shape, label, layers, able):
    norms.forward(directory, shape, label, layers, able)
    # One CPU at a time: training code of sixty layers takes a while to compile.
    norms.backward(directory, shape, label, layers, able[sum(shape) % len(able)], (3, 1))


def main():
    torch.manual_seed(1)
    words, able = sys.argv[1:], cpus()
    with workplace() as directory:
        for text in (w for w in words if w[0].isdigit()):
            shape = [int(v) for v in text.split("x")]
            for group in (w for w in words if w in GROUPS):
                label, layers = "%s_%s" % (group, text), list(GROUPS[group](shape))
                if "bits" in words:
                    infer_bits(directory, shape, label, layers)
                    norms.same_bits(directory, shape, label, layers)
                else:
                    compare(directory, shape, label, layers, able)


if __name__ == "__main__":
    main()
