#!/usr/bin/python3
"""Training against PyTorch: at each of 50 steps, one step from PyTorch's own state gives its loss and gradients;
and run freely from the same start, the losses stay as near to PyTorch's in f64 as PyTorch's in f32 do, times 3.

    training.py NET [STEPS]     (ctest takes fewer steps than the 50 that stand for none given)

The networks of examples/ (EXAMPLES below) take the first of the two only.

A gradient has kinks: where a ReLU's input passes 0, or the largest value of a max pool changes its place, it jumps.
A step so close to one that f32's rounding decides on which side it is has no gradient that f32 code could be held to,
PyTorch's no more than ours; and a free run goes another way from there. So what is further off than the limit must be
explained: within the same limit of PyTorch's f64 when that decides as our code did (kinks.py), where each decision that
is not f64's own is one that f32 cannot tell, by how far PyTorch's f32 is off at the same place. PyTorch's own distance
is then that from f64 deciding as its f32 did. What our code decided is read from code compiled with more outputs, which
must have the same bits in loss and gradients.
"""

import copy
import functools
import gc
import os
import sys

import torch
import torchvision
from torch import fx, nn

import kinks
from common import SimpleCNN, as_bytes, check, native, set_state, state, training, workplace
from train_lenet5 import LeNet5

THREADS = 2
LOSS, GRADIENT, FREE = 1e-5, 1e-4, 3.0
ROUNDING = 4e-7


class LogitLeNet5(LeNet5):
    """Without the softmax, which cross-entropy has in itself."""

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = torch.flatten(nn.functional.max_pool2d(torch.relu(self.conv2(x)), 2), 1)
        return self.fc3(torch.relu(self.fc2(torch.relu(self.fc1(x)))))


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout)
        self.conv2, self.bn2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False), nn.BatchNorm2d(cout)
        self.down = None
        if stride != 1 or cin != cout:
            self.down = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.down is None else self.down(x)))


class SmallResNet(nn.Module):
    """CIFAR style: 3x3 stem, three stages."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.layer1, self.layer2, self.layer3 = Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2)
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(64, 10)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.fc(torch.flatten(self.pool(self.layer3(self.layer2(self.layer1(x)))), 1))


class VGG11(nn.Module):
    """VGG-11 with batch norm for small images: the convolutions of torchvision's, a short head."""

    def __init__(self):
        super().__init__()
        layers, cin = [], 3
        for v in (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"):
            if v == "M":
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(cin, v, 3, padding=1), nn.BatchNorm2d(v), nn.ReLU()]
            cin = v
        self.features, self.classifier = nn.Sequential(*layers), nn.Linear(512, 10)

    def forward(self, x):
        return self.classifier(torch.flatten(self.features(x), 1))


SGD = {"type": "SGD", "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
ADAM = {"type": "Adam", "lr": 1e-3}
NETS = {
    "simplecnn": (SimpleCNN, [1, 28, 28], ADAM, 16),
    "lenet5": (LogitLeNet5, [1, 28, 28], SGD, 16),
    "resnet": (SmallResNet, [3, 32, 32], SGD, 16),
    "vgg11": (VGG11, [3, 32, 32], {**SGD, "lr": 1e-3}, 8),
}


# Dropout has a test of its own, dropout.py.
EXAMPLES = {
    "alexnet": (functools.partial(torchvision.models.alexnet, dropout=0.0), [3, 64, 64], {**SGD, "lr": 1e-2}, 8),
    "vgg11_bn": (functools.partial(torchvision.models.vgg11_bn, dropout=0.0), [3, 32, 32], {**SGD, "lr": 1e-3}, 8),
    "resnet18": (torchvision.models.resnet18, [3, 64, 64], SGD, 8),
}


def optimizer(recipe, parameters):
    r = {k: v for k, v in recipe.items() if k != "type"}
    return getattr(torch.optim, recipe["type"])(parameters, **r)


def batches(shape, batch, steps):
    """Images of ten classes that can be told apart: noise around a pattern of each class."""
    torch.manual_seed(7)
    patterns = torch.rand(10, *shape)
    for _ in range(steps):
        labels = torch.randint(0, 10, (batch,))
        yield (patterns[labels] + 0.5 * torch.randn(batch, *shape)), labels


class Theirs:
    """PyTorch's own training of a copy of the module, in one precision."""

    def __init__(self, module, recipe, dtype):
        self.module, self.dtype = copy.deepcopy(module).to(dtype).train(), dtype
        self.traced, self.optimizer = fx.symbolic_trace(self.module), optimizer(recipe, self.module.parameters())

    def backward(self, x, labels, told=None):
        """(loss, the run: its decisions and what it decided on); gradients are then those of .module."""
        self.module.zero_grad()
        run = kinks.Run(self.traced, told)
        loss = nn.functional.cross_entropy(run.run(x.to(self.dtype)), labels)
        loss.backward()
        return loss.item(), run

    def step(self, x, labels, told=None):
        loss, run = self.backward(x, labels, told)
        self.optimizer.step()
        return loss, run

    def gradients(self):
        return {k: p.grad for k, p in self.module.named_parameters()}


def once(module, x, labels, dtype, told=None):
    """(loss, gradients, run) of PyTorch at the module's state."""
    t = Theirs(module, ADAM, dtype)
    loss, run = t.backward(x, labels, told)
    gradients = t.gradients()
    del t
    gc.collect()  # traced modules hold each other, and some have gigabytes of parameters
    return loss, gradients, run


class Watched:
    """The same model compiled so that it shows its decisions, once they are asked for."""

    def __init__(self, directory, name, module, example, recipe):
        self.traced = fx.symbolic_trace(module)
        self.recipe = {**recipe, "loss": {"type": "CrossEntropyLoss", "output": "output"}}
        self.rest = directory, name, module, example

    @functools.cached_property
    def model(self):
        directory, name, module, example = self.rest
        os.mkdir(directory)
        return training(directory, name, kinks.watched(module), example, self.recipe)

    def step(self, which, x, labels):
        """(loss, decisions)"""
        loss, raw = self.model.call(which, len(x), [as_bytes(x)], [as_bytes(labels)], threads=THREADS)
        values = {}
        for i, data in enumerate(raw):
            t = self.model.d.outputs[i]
            shape = [len(x)] + t.dim[1 : t.rank]
            values[t.name.decode()] = torch.frombuffer(bytearray(data), dtype=torch.float32).reshape(shape)
        return loss, kinks.decisions(self.traced, values)


def check_margins(run, single, near, worst):
    """f64's run obeyed decisions of ours; `near` obeyed those of `single`, PyTorch's in f32."""
    for name, (count, far) in run.margins().items():
        off = (single.inputs[name].double() - near.inputs[name]).abs().max().item()
        worst["decisions"] += count
        if count:
            worst["margin"] = max(worst["margin"], far / (off or 1e-300))
        check(far <= FREE * off, "%s: %d decisions are not f64's; one is clear by %.2e, where PyTorch's f32 is off by %.2e"
              % (name, count, far, off))


def distance(a, b):
    return (a.double() - b.double()).abs().max().item()


def beyond(ours, single, near, exact):
    """{parameter: (error, PyTorch's f32 error)} where our gradients are too far from `exact`; `near` is to `single`, f32,
    what exact is to ours. And the largest relative error of the others."""
    # A gradient that is zero, of a bias before a batch norm, is known no better than what cancels in it.
    floor = ROUNDING * max(g.abs().max().item() for g in exact.values())
    far, worst = {}, 0.0
    for name, g in exact.items():
        error, own = distance(ours[name], g), distance(single[name], near[name])
        scale = g.abs().max().item()
        if error <= GRADIENT * scale:
            worst = max(worst, error / scale)
        elif error > max(FREE * own, floor):
            far[name] = (error, own)
    return far, worst


def explain(watched, module, x, labels, ours, loss, worst):
    """The step's gradients against f64 that decides as our code did."""
    set_state(watched.model, module)
    watched.model.zero_grad()
    same, made = watched.step("backward", x, labels)
    for name, g in ours.items():
        check(torch.equal(state(watched.model, native.GRAD, "grad/" + name, g), g) and same == loss,
              "code that shows its decisions has other bits: " + name)
    _, single, single_run = once(module, x, labels, torch.float32)
    _, near, near_run = once(module, x, labels, torch.float64, single_run.made)
    _, exact, run = once(module, x, labels, torch.float64, made)
    check_margins(run, single_run, near_run, worst)
    far, _ = beyond(ours, single, near, exact)
    for name, (error, own) in far.items():
        check(False, "gradient of %s: off by %.2e from f64 that decides alike; PyTorch's f32 by %.2e" % (name, error, own))


def one_step(model, watched, module, x, labels, worst):
    """Loss and gradients from PyTorch's state at this step."""
    set_state(model, module)
    model.zero_grad()
    loss, _ = model.call("backward", len(x), [as_bytes(x)], [as_bytes(labels)], threads=THREADS)
    want, single, _ = once(module, x, labels, torch.float32)
    exact, grads, _ = once(module, x, labels, torch.float64)
    error = abs(loss - exact) / abs(exact)
    worst["loss"] = max(worst["loss"], error)
    check(error <= max(LOSS, FREE * abs(want - exact) / abs(exact)),
          "loss %.9g, PyTorch has %.9g: %.2e" % (loss, exact, error))
    ours = {name: state(model, native.GRAD, "grad/" + name, g) for name, g in grads.items()}
    far, near = beyond(ours, single, grads, grads)
    del single, grads  # gigabytes
    worst["gradient"] = max(worst["gradient"], near)
    if far:
        worst["kinks"] += 1
        explain(watched, module, x, labels, ours, loss, worst)


def no_figures():
    return {"loss": 0.0, "gradient": 0.0, "kinks": 0, "decisions": 0, "margin": 0.0}


def from_states(model, watched, module, recipe, data, name):
    worst, theirs = no_figures(), Theirs(module, recipe, torch.float32)
    for x, labels in data:
        one_step(model, watched, theirs.module, x, labels, worst)
        theirs.step(x, labels)
    print("%s: %d steps from PyTorch's state: loss within %.2e, gradients within %.2e of their largest entry"
          % (name, len(data), worst["loss"], worst["gradient"]))
    if worst["kinks"]:
        print("%s: but for %d steps at kinks: %d decisions are not f64's, clear by %.2g of what PyTorch's f32 is off by"
              % (name, worst["kinks"], worst["decisions"], worst["margin"]))
    check(2 * worst["kinks"] <= len(data), "too many steps at a kink")


def deciding_alike(watched, module, recipe, data, losses, name):
    """(our distance, PyTorch's f32's): each from the losses of a free run in f64 that decides as it did."""
    worst, ours, theirs = no_figures(), 0.0, 0.0
    exact, single, near = (Theirs(module, recipe, dtype) for dtype in (torch.float64, torch.float32, torch.float64))
    set_state(watched.model, module)
    for (x, labels), loss in zip(data, losses):
        same, made = watched.step("train_step", x, labels)
        check(same == loss, "code that shows its decisions has another loss: %.9g, not %.9g" % (same, loss))
        want, run = exact.step(x, labels, made)
        f32, single_run = single.step(x, labels)
        f64, near_run = near.step(x, labels, single_run.made)
        ours, theirs = max(ours, abs(loss - want)), max(theirs, abs(f32 - f64))
        check_margins(run, single_run, near_run, worst)
    print("%s: f64 that decides alike: %.2e, PyTorch's f32: %.2e; %d decisions are not f64's, clear by %.2g of what "
          "PyTorch's f32 is off by" % (name, ours, theirs, worst["decisions"], worst["margin"]))
    return ours, theirs


def free_run(model, watched, module, recipe, data, name):
    """The distance of f32 losses from those of f64, ours and PyTorch's."""
    losses, ours, theirs = [], 0.0, 0.0
    exact, single = (Theirs(module, recipe, dtype) for dtype in (torch.float64, torch.float32))
    for x, labels in data:
        losses.append(model.call("train_step", len(x), [as_bytes(x)], [as_bytes(labels)], threads=THREADS)[0])
        want = exact.step(x, labels)[0]
        ours, theirs = max(ours, abs(losses[-1] - want)), max(theirs, abs(single.step(x, labels)[0] - want))
    print("%s: %d free steps: losses within %.2e of PyTorch's in f64; its own f32: %.2e" % (name, len(data), ours, theirs))
    if ours > FREE * theirs + 1e-6:
        ours, theirs = deciding_alike(watched, module, recipe, data, losses, name)
    check(ours <= FREE * theirs + 1e-6, "the losses are too far from PyTorch's in f64")


def main():
    name, steps = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 50
    make, shape, recipe, batch = {**NETS, **EXAMPLES}[name]
    torch.set_num_threads(2)
    torch.manual_seed(1)
    module = make().train()
    data, example, spec = list(batches(shape, batch, steps)), torch.rand(1, *shape), {"optimizer": recipe, "batch_size": batch}
    with workplace() as directory:
        model = training(directory, name, module, example, spec)
        watched = Watched(os.path.join(directory, "watched"), name, module, example, spec)
        from_states(model, watched, module, recipe, data, name)
        if name in EXAMPLES:
            return
        set_state(model, module)  # the optimizer's slots are zero still: no step was applied
        free_run(model, watched, module, recipe, data, name)


if __name__ == "__main__":
    main()
