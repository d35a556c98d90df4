#!/usr/bin/python3
"""Losses and their gradients, compiled with --train, against PyTorch in f64: all kinds, reductions and options, of
rows and of pictures (N, C, H, W; class indices are N, H, W then)."""

import copy
import json

import torch
from torch import nn

from common import CNNRT, as_bytes, check, cnnc, cpus, export_torch, native, state, workplace

IN, OUT, BATCH, LIMIT = 5, 7, 19, 2e-6
SIZES = (), (3, 5)


def labels(n, size, ignore):
    y = torch.randint(0, OUT, (n, *size))
    y.flatten()[::4], y.flatten()[1::4] = ignore, 3  # some ignored, some not
    return y


def by_class(size, reduction):
    """(loss, options, targets of n samples)"""
    weight = torch.rand(OUT) + 0.1
    for ignore in (-100, 2):
        for smoothing in (0.0, 0.2):
            for w in (None, weight):
                options = {"reduction": reduction, "ignore_index": ignore, "label_smoothing": smoothing, "weight": w}
                yield nn.CrossEntropyLoss, options, lambda n, i=ignore: labels(n, size, i)
        for w in (None, weight):
            options = {"reduction": reduction, "ignore_index": ignore, "weight": w}
            yield nn.NLLLoss, options, lambda n, i=ignore: labels(n, size, i)
    options = {"reduction": reduction, "label_smoothing": 0.1, "weight": weight, "probabilities": True}
    yield nn.CrossEntropyLoss, options, lambda n: torch.softmax(torch.randn(n, OUT, *size), 1)


def by_element(size, reduction):
    weight, positive = torch.rand(OUT, *size) + 0.1, torch.rand(OUT, *size) * 3
    for w, p in ((None, None), (weight, None), (None, positive), (weight, positive)):
        options = {"reduction": reduction, "weight": w, "pos_weight": p}
        yield nn.BCEWithLogitsLoss, options, lambda n: torch.randint(0, 2, (n, OUT, *size)).float()
    normal = lambda n: torch.randn(n, OUT, *size)
    for loss in (nn.MSELoss, nn.L1Loss):
        yield loss, {"reduction": reduction}, normal
    for beta in (0.0, 0.5, 2.0):
        yield nn.SmoothL1Loss, {"reduction": reduction, "beta": beta}, normal


def cases(size):
    torch.manual_seed(11)
    for reduction in ("mean", "sum"):
        yield from by_class(size, reduction)
        yield from by_element(size, reduction)


def build(base, size, kind, options, cpu):
    module = nn.Sequential(nn.Conv2d(IN, OUT, 1) if size else nn.Linear(IN, OUT))
    export_torch.export(copy.deepcopy(module).eval(), torch.rand(1, IN, *size), base)
    loss = {k: v.flatten().tolist() if isinstance(v, torch.Tensor) else v for k, v in options.items() if v is not None}
    with open(base + ".recipe.json", "w") as f:
        json.dump({"format": "cnnc-recipe/1", "loss": {"type": kind.__name__, **loss}, "batch_size": BATCH}, f)
    cnnc(base + ".json", "--train", "--recipe", base + ".recipe.json", "--name", "m", "--cpu", cpu, "-o", base + ".o")
    return module, native.Training(native.link(base + ".o", base + ".so", CNNRT), "m")


def compare(module, model, kind, options, x, y):
    options = {k: v.double() if isinstance(v, torch.Tensor) else v for k, v in options.items() if k != "probabilities"}
    exact = copy.deepcopy(module).double()
    want = kind(**options)(exact(x.double()), y.double() if y.is_floating_point() else y)
    want.backward()
    model.zero_grad()
    loss, _ = model.call("backward", len(x), [as_bytes(x)], [as_bytes(y)], threads=2)
    error = abs(loss - want.item()) / abs(want.item())
    for name, p in exact.named_parameters():
        got = state(model, native.GRAD, "grad/" + name, p)
        error = max(error, ((got - p.grad).abs().max() / p.grad.abs().max()).item())
    check(error <= LIMIT, "%s %s of %s: error %.2e" % (kind.__name__, options, tuple(x.shape), error))
    return error


def main():
    with workplace() as directory:
        for cpu in cpus()[-1:]:
            for size in SIZES:
                worst, count = {}, 0
                for kind, options, targets in cases(size):
                    base = "%s/loss%d_%d" % (directory, len(size), count)
                    module, model = build(base, size, kind, options, cpu)
                    for n in (BATCH, 2):
                        error = compare(module, model, kind, options, torch.randn(n, IN, *size) * 3, targets(n))
                        worst[kind.__name__] = max(worst.get(kind.__name__, 0), error)
                    count += 1
                what = "pictures" if size else "rows"
                print("%d losses of %s: %s" % (count, what, ", ".join("%s %.1e" % item for item in worst.items())))


if __name__ == "__main__":
    main()
