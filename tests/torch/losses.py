#!/usr/bin/python3
"""Losses and their gradients, compiled with --train, against PyTorch in f64: all kinds, reductions and options."""

import copy
import json
import struct

import torch
from torch import nn

from common import CNNRT, check, cnnc, cpus, export_torch, native, workplace

IN, OUT, BATCH, LIMIT = 5, 7, 19, 2e-6


def labels(n, ignore):
    y = torch.randint(0, OUT, (n,))
    y[::4], y[1::4] = ignore, 3  # some ignored, some not
    return y


def cases():
    torch.manual_seed(11)
    weight, positive = torch.rand(OUT) + 0.1, torch.rand(OUT) * 3
    for reduction in ("mean", "sum"):
        for ignore in (-100, 2):
            for smoothing in (0.0, 0.2):
                for w in (None, weight):
                    options = {"reduction": reduction, "ignore_index": ignore, "label_smoothing": smoothing, "weight": w}
                    yield nn.CrossEntropyLoss, options, lambda n, i=ignore: labels(n, i)
            yield nn.NLLLoss, {"reduction": reduction, "ignore_index": ignore, "weight": weight}, lambda n, i=ignore: labels(n, i)
        probabilities = {"reduction": reduction, "label_smoothing": 0.1, "weight": weight, "probabilities": True}
        yield nn.CrossEntropyLoss, probabilities, lambda n: torch.softmax(torch.randn(n, OUT), 1)
        for w, p in ((None, None), (weight, None), (None, positive), (weight, positive)):
            options = {"reduction": reduction, "weight": w, "pos_weight": p}
            yield nn.BCEWithLogitsLoss, options, lambda n: torch.randint(0, 2, (n, OUT)).float()
        for loss in (nn.MSELoss, nn.L1Loss):
            yield loss, {"reduction": reduction}, lambda n: torch.randn(n, OUT)
        for beta in (0.0, 0.5, 2.0):
            yield nn.SmoothL1Loss, {"reduction": reduction, "beta": beta}, lambda n: torch.randn(n, OUT)


def build(base, kind, options, cpu):
    module = nn.Sequential(nn.Linear(IN, OUT))
    export_torch.export(copy.deepcopy(module).eval(), torch.rand(1, IN), base)
    loss = {k: v.tolist() if isinstance(v, torch.Tensor) else v for k, v in options.items() if v is not None}
    with open(base + ".recipe.json", "w") as f:
        json.dump({"format": "cnnc-recipe/1", "loss": {"type": kind.__name__, **loss}, "batch_size": BATCH}, f)
    cnnc(base + ".json", "--train", "--recipe", base + ".recipe.json", "--name", "m", "--cpu", cpu, "-o", base + ".o")
    return module, native.Training(native.link(base + ".o", base + ".so", CNNRT), "m")


def compare(module, model, kind, options, n, x, y):
    options = {k: v.double() if isinstance(v, torch.Tensor) else v for k, v in options.items() if k != "probabilities"}
    exact = copy.deepcopy(module).double()
    want = kind(**options)(exact(x.double()), y.double() if y.is_floating_point() else y)
    want.backward()
    target = export_torch.tensor_bytes(y) if y.is_floating_point() else struct.pack("<%dq" % n, *y.tolist())
    model.zero_grad()
    loss, _ = model.call("backward", n, [export_torch.tensor_bytes(x)], [target], threads=2)
    error = abs(loss - want.item()) / abs(want.item())
    for name, p in exact.named_parameters():
        got = torch.frombuffer(bytearray(model.get(native.GRAD, "grad/" + name)), dtype=torch.float32)
        error = max(error, ((got.reshape(p.shape) - p.grad).abs().max() / p.grad.abs().max()).item())
    check(error <= LIMIT, "%s %s batch %d: error %.2e" % (kind.__name__, options, n, error))
    return error


def main():
    worst, count = {}, 0
    with workplace() as directory:
        for cpu in cpus()[-1:]:
            for kind, options, targets in cases():
                module, model = build(directory + "/loss%d" % count, kind, options, cpu)
                for n in (BATCH, 2):
                    error = compare(module, model, kind, options, n, torch.randn(n, IN) * 3, targets(n))
                    worst[kind.__name__] = max(worst.get(kind.__name__, 0), error)
                count += 1
    print("%d losses: %s" % (count, ", ".join("%s %.1e" % item for item in worst.items())))


if __name__ == "__main__":
    main()
