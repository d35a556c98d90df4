#!/usr/bin/python3
"""The networks of tools/make_nets.py: the parameters of each have torchvision's names, order and shapes, and the files
in examples/ are what it writes, which is also how the exporter would write it."""

import os
import re
import sys

import torchvision

from common import ROOT, check, cnnc, export_torch, make_nets, workplace


def parameters(path):
    """[(name, shape)] as the compiler imported them."""
    text = cnnc(path, "--emit=graph", "--passes=", "-o", "-")
    rows = re.findall(r"^  %(\S+) = (?:param|buffer) f32\[([0-9,]*)\]$", text, re.M)
    return [(name, [int(d) for d in shape.split(",")]) for name, shape in rows]


def names(directory):
    for name, model in make_nets.torchvision_nets().items():
        state = getattr(torchvision.models, name)(init_weights=False) if "vgg" in name else getattr(torchvision.models, name)()
        want = [(k, list(v.shape)) for k, v in state.state_dict().items() if not k.endswith("num_batches_tracked")]
        got = parameters(make_nets.write(directory, model))
        for ours, theirs in zip(got, want):
            check(ours == theirs, "%s: %s %s, torchvision has %s %s" % (name, *ours, *theirs))
        check(len(got) == len(want), "%s: %d parameters, torchvision has %d" % (name, len(got), len(want)))
        print("%-10s %3d parameters and statistics" % (name, len(got)))


def committed():
    wanted = set()
    for folder, model in make_nets.committed():
        path = os.path.join(ROOT, "examples", folder, model["name"] + ".json")
        with open(path, encoding="utf-8") as f:
            text = f.read()
        check(text == make_nets.text(model), path + " is not what tools/make_nets.py writes")
        check(text == export_torch.model_text(model), path + " is not as export_torch.py would write it")
        wanted.add(folder)
    check(len(wanted) > 10, "few examples")
    for family in ("alexnet", "vgg", "resnet"):
        there = {d for d in os.listdir(os.path.join(ROOT, "examples")) if d.startswith(family)}
        check(there <= wanted, "make_nets.py knows nothing of %s" % sorted(there - wanted))


def main():
    with workplace() as directory:
        names(directory)
    committed()


if __name__ == "__main__":
    main()
