#!/usr/bin/python3
"""Norms and reductions on inputs that are no images too, and on images at odd sizes, against PyTorch: what they give,
and in training mode their gradients. Each layer stands between two linear layers there: one on the last dimension, which
shows the gradient of the layer's input, and one that gives each of its outputs another gradient.

    norms.py SHAPE...    each as 3x7x5, without the batch
    norms.py more        the same bits whatever the number of threads; values far from zero"""

import copy
import os
import sys

import torch
from torch import nn

import gradients
import layers
from common import Each, Sum, as_bytes, check, cpus, export_torch, native, randomise, refuses, set_state, state, training, workplace

MORE = 2  # elements of the input's last dimension besides


def batch_norms(shape):
    kind = {1: nn.BatchNorm1d, 2: nn.BatchNorm1d, 3: nn.BatchNorm2d, 4: nn.BatchNorm3d}[len(shape)]
    yield "bn", kind(shape[0])
    yield "bn_eps", kind(shape[0], eps=0.1, momentum=0.3)
    yield "bn_plain", kind(shape[0], affine=False)
    yield "bn_relu", nn.Sequential(kind(shape[0]), nn.ReLU())


def norms(shape):
    c = shape[0]
    if len(shape) > 1:
        yield "group1", nn.GroupNorm(1, c)
        yield "group_all", nn.GroupNorm(c, c, eps=0.1)
        yield "group_plain", nn.GroupNorm(1, c, affine=False)
        if c % 3 == 0 and c > 3:
            yield "group3", nn.GroupNorm(3, c)
        yield "lrn", nn.LocalResponseNorm(5)
        yield "lrn_wide", nn.LocalResponseNorm(2 * c + 1, alpha=0.5, beta=1.25, k=2.0)
        yield "lrn_even", nn.LocalResponseNorm(4, alpha=0.1, beta=0.5)
        yield "lrn_relu", nn.Sequential(nn.ReLU(), nn.LocalResponseNorm(3, alpha=0.01), nn.ReLU())
    if len(shape) == 3:
        yield "instance", nn.InstanceNorm2d(c)
        yield "instance_affine", nn.InstanceNorm2d(c, eps=0.01, affine=True)
        yield "conv_instance", nn.Sequential(nn.Conv2d(c, 9, 1, bias=False), nn.InstanceNorm2d(9, affine=True), nn.ReLU(),
                                             nn.Conv2d(9, 4, 3, padding=1))
        yield "conv_group", nn.Sequential(nn.Conv2d(c, 12, 3, padding=1), nn.GroupNorm(4, 12), nn.ReLU())
    yield "layer", nn.LayerNorm(shape[-1])
    yield "layer_plain", nn.LayerNorm(shape, eps=0.1, elementwise_affine=False)
    yield "layer_all", nn.LayerNorm(shape)
    yield "layer_two", nn.LayerNorm(shape[-2:])
    yield "layer_linear", nn.Sequential(nn.LayerNorm(shape[-1]), nn.Linear(shape[-1], 3))


class Reduce(nn.Module):
    def __init__(self, how, dim, keepdim=False):
        super().__init__()
        self.how, self.dim, self.keepdim = how, dim, keepdim

    def forward(self, x):
        return self.how(x, dim=self.dim, keepdim=self.keepdim)


def reductions(shape):
    rank = len(shape) + 1
    dims = {"first": 1, "last": -1, "all": list(range(1, rank)), "tail": list(range(2, rank)), "outer": [-1, 1]}
    for name, dim in dims.items():
        if dim == [] or (name == "outer" and rank == 2):
            continue
        for how in (torch.mean, torch.sum, torch.amax):
            yield "%s_%s" % (how.__name__, name), Reduce(how, dim)
        yield "kept_" + name, Reduce(torch.mean, dim, True)
        yield "ties_" + name, nn.Sequential(nn.ReLU(), Reduce(torch.amax, dim, True))


def between(parts, shape):
    """Each between two layers of its own."""
    for name, layer in parts:
        yield name, gradients.Between(nn.Linear(shape[-1] + MORE, shape[-1], bias=False), layer, shape)


GROUPS = {"batch": batch_norms, "norm": norms, "reduce": reductions}


def forward(directory, shape, label, parts, able):
    net, base = randomise(Each(parts), sum(shape)), os.path.join(directory, label)
    x = torch.randn(3, *shape)
    export_torch.export(net, x, base)
    names = {k for k in net.state_dict() if not k.endswith("num_batches_tracked")}
    check(set(export_torch.weights_for(base + ".json", net.state_dict())) == names, label + ": weights by name")
    with torch.no_grad():
        want = net(x)
    for cpu in able:
        layers.compare(base, x, want, 3, cpu, "%s, %s, batch 3" % (label, cpu))
        layers.compare(base, x[:1], {k: v[:1] for k, v in want.items()}, 1, cpu, "%s, %s, batch 1" % (label, cpu))


def backward(directory, shape, label, parts, cpu, batches):
    wide = [(k, layer) for k, layer in parts if copy.deepcopy(layer).eval()(torch.zeros(2, *shape)).dim() > 1]
    net = randomise(Sum(between(wide, shape)), sum(shape)).train()  # without those that leave one number a sample
    x = torch.randn(3, *shape[:-1], shape[-1] + MORE)
    model = training(directory, "grad_" + label, net, x[:1], {"loss": {"type": "MSELoss"}, "batch_size": 3}, cpu)
    if label == "batch_7":  # one value a channel
        refuses(model, x[:1], torch.zeros(1, gradients.CLASSES), 14, label)  # CNNRT_E_BATCH_NORM
        set_state(model, net)
    for n in batches:
        gradients.compare(net, model, x[:n], "%s, %s, %d" % (label, cpu, n))


def same_bits(directory, shape, label, parts):
    """Whatever the number of threads, which this size keeps busy."""
    net = randomise(Sum(between(parts, shape)), 5).train()
    x, target, results = torch.randn(3, *shape[:-1], shape[-1] + MORE), torch.randn(3, gradients.CLASSES), []
    model = training(directory, "bits_" + label, net, x[:1], {"loss": {"type": "MSELoss"}, "batch_size": 3})
    for threads in (1, 2, 5):
        set_state(model, net)
        model.zero_grad()
        model.call("backward", 3, [as_bytes(x)], [as_bytes(target)], threads=threads)
        results.append([state(model, native.GRAD, "grad/" + k, p) for k, p in net.named_parameters()])
        results[-1] += [state(model, native.BUFFER, k, dict(net.named_buffers())[k]) for k in model.names(native.BUFFER)]
    check(all(torch.equal(a, b) for r in results[1:] for a, b in zip(results[0], r)), label + ": other bits with other numbers of threads")
    print("%s: the same bits with 1, 2 and 5 threads" % label)


def far_from_zero(directory):
    """A variance that one pass over squares would lose: 1 beside a mean of 1000. Against PyTorch in f64."""
    torch.manual_seed(7)
    net = Each({"layer": nn.LayerNorm((12, 9, 31)), "group": nn.GroupNorm(3, 12), "instance": nn.InstanceNorm2d(12)})
    x, base = 1000 + torch.randn(3, 12, 9, 31), os.path.join(directory, "far")
    export_torch.export(net, x, base)
    with torch.no_grad():
        want = {k: y.float() for k, y in copy.deepcopy(net).double()(x.double()).items()}
    layers.compare(base, x, want, 3, "native", "mean 1000")


def main():
    able = cpus()
    with workplace() as directory:
        if sys.argv[1:] == ["more"]:
            for group, make in GROUPS.items():
                parts = [(k, layer) for k, layer in make((24, 40, 33)) if not k.endswith("_all")]
                same_bits(directory, (24, 40, 33), group, parts)
            far_from_zero(directory)
            return
        for text in sys.argv[1:] or ["7", "17x5", "3x7x5", "3x5x4x7"]:
            shape = [int(v) for v in text.split("x")]
            for group, make in GROUPS.items():
                label = "%s_%s" % (group, text)
                forward(directory, shape, label, make(shape), able)
                # A batch norm of one or two values a channel has no gradient worth comparing.
                batches = (3,) if group == "batch" and len(shape) == 1 else (3, 1)
                for cpu in able:
                    backward(directory, shape, label, make(shape), cpu, batches)


if __name__ == "__main__":
    main()
