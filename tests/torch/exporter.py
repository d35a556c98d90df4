#!/usr/bin/python3
"""The exporter by itself: what it writes, and what it says of modules it cannot export."""

import json
import os
import struct
import subprocess
import sys

import torch
import torch.nn.functional as F
from torch import nn

from common import ROOT, check, export_torch, workplace


class Functional(nn.Module):
    """Every spelling that stands for a layer."""

    def __init__(self):
        super().__init__()
        self.c, self.i, self.l = nn.Conv2d(3, 4, (3, 5), padding="same", bias=False), nn.Identity(), nn.Linear(4, 5)

    def forward(self, a, b):
        x = torch.add(self.c(a), self.i(b)) + b
        x = F.max_pool2d(x.relu(), 2)
        x = F.dropout(F.avg_pool2d(x, (2, 1)), training=False)
        x = x.mean([2, 3])
        return self.l(x).view(x.size(0), -1), F.softmax(x.flatten(1), dim=1)


class Bad(nn.Module):
    def __init__(self):
        super().__init__()
        self.g, self.l = nn.Sequential(nn.GELU()), nn.Linear(4, 4)

    def forward(self, x):
        return torch.sigmoid(self.l(self.l(self.g(x))))


def functional(directory):
    base = os.path.join(directory, "functional")
    export_torch.export(Functional(), (torch.rand(2, 3, 8, 8), torch.rand(2, 4, 8, 8)), base)
    with open(base + ".json") as f:
        model = json.load(f)
    types = [layer["type"] for layer in model["layers"]]
    check(types == ["Conv2d", "Add", "Add", "ReLU", "MaxPool2d", "AvgPool2d", "Dropout", "AdaptiveAvgPool2d", "Flatten",
                    "Linear", "Flatten", "Flatten", "Softmax"], "layers of the functional net: %s" % types)
    check(model["layers"][0]["inputs"] == ["a"] and model["layers"][1]["inputs"] == ["c", "b"], "inputs by name")
    with open(base + ".safetensors", "rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
    check(sorted(header) == ["c.weight", "l.bias", "l.weight"], "tensors: %s" % sorted(header))
    y = export_torch.read_npy(base + ".output.output0.npy")
    check(y.shape == (2, 5), "output0 has shape %s" % (tuple(y.shape),))


def faults(directory):
    """All faults in one run, each with the module's path and type."""
    try:
        export_torch.export(Bad(), torch.rand(1, 4), os.path.join(directory, "bad"))
        check(False, "a module of unknown layers was exported")
    except export_torch.ExportError as e:
        text = str(e)
    for part in ("g.0: GELU is not a layer", "l: the module is used twice", "sigmoid: the operation sigmoid"):
        check(part in text, "%r is not in: %s" % (part, text))
    check(not os.path.exists(os.path.join(directory, "bad.json")), "a failed export left a file")


def command(directory):
    """The command line: an error is one line on standard error and status 1."""
    script = os.path.join(ROOT, "tools", "export_torch.py")
    state = os.path.join(directory, "state.pt")
    torch.save(nn.Linear(2, 2).state_dict(), state)
    model = os.path.join(ROOT, "examples", "simplecnn", "simplecnn.json")
    r = subprocess.run([sys.executable, script, "--state-dict", state, "--json", model, "-o", "x"],
                       stderr=subprocess.PIPE, text=True)
    check(r.returncode == 1 and "lacks conv_block1.0.weight" in r.stderr, r.stderr)


def generated(directory):
    """The committed ResNets are what tools/make_resnet.py makes."""
    import make_resnet

    for name, counts, bottleneck in (("resnet18", [2, 2, 2, 2], False), ("resnet50", [3, 4, 6, 3], True)):
        with open(os.path.join(ROOT, "examples", name, name + ".json")) as f:
            text = f.read()
        check(text == export_torch.model_text(make_resnet.resnet(name, counts, bottleneck)), name + " is out of date")


def main():
    with workplace() as directory:
        for test in (functional, faults, command, generated):
            test(directory)
            print("ok", test.__name__)


if __name__ == "__main__":
    main()
