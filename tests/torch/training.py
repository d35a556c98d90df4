#!/usr/bin/python3
"""Training against PyTorch: at each of 50 steps, one step from PyTorch's own state gives its loss and gradients;
and run freely from the same start, the losses stay as near to PyTorch's in f64 as PyTorch's in f32 do, times 3.

    training.py NET [STEPS]
"""

import copy
import json
import os
import struct
import sys

import torch
from torch import nn

from common import CNNRT, ROOT, SimpleCNN, check, cnnc, export_torch, native, workplace
from train_lenet5 import LeNet5

BATCH, THREADS = 16, 2
LOSS, GRADIENT, FREE = 1e-5, 1e-4, 3.0
ROUNDING, DRAWS = 4e-7, 64  # what f32 sums differ by; how often a kink is looked for


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
    "simplecnn": (SimpleCNN, [1, 28, 28], ADAM),
    "lenet5": (LogitLeNet5, [1, 28, 28], SGD),
    "resnet": (SmallResNet, [3, 32, 32], SGD),
    "vgg11": (VGG11, [3, 32, 32], {**SGD, "lr": 0.01}),
}


def optimizer(recipe, parameters):
    r = {k: v for k, v in recipe.items() if k != "type"}
    return getattr(torch.optim, recipe["type"])(parameters, **r)


def batches(shape, steps):
    """Images of ten classes that can be told apart: noise around a pattern of each class."""
    torch.manual_seed(7)
    patterns = torch.rand(10, *shape)
    for _ in range(steps):
        labels = torch.randint(0, 10, (BATCH,))
        yield (patterns[labels] + 0.5 * torch.randn(BATCH, *shape)), labels


def as_bytes(x, labels):
    return [export_torch.tensor_bytes(x)], [struct.pack("<%dq" % len(labels), *labels.tolist())]


def floats(data, like):
    return torch.frombuffer(bytearray(data), dtype=torch.float32).reshape(like.shape)


def gradients(module, x, labels, dtype):
    m = copy.deepcopy(module).to(dtype).train()
    loss = nn.functional.cross_entropy(m(x.to(dtype)), labels)
    loss.backward()
    return loss.item(), {k: p.grad for k, p in m.named_parameters()}


def at_a_kink(module, x, labels, name, exact, least):
    """Does the gradient jump by `least` when parameters and input change by no more than f32 rounds? It does where
    a ReLU is at 0 or two values of a max pool are equal: then no f32 code can be held to the f64 gradient."""
    for draw in range(DRAWS):
        torch.manual_seed(100 + draw)
        near = copy.deepcopy(module).double()
        with torch.no_grad():
            for p in near.parameters():
                p.mul_(1 + ROUNDING * torch.randn_like(p))
        _, grads = gradients(near, x.double() * (1 + ROUNDING * torch.randn(x.shape)), labels, torch.float64)
        if (grads[name] - exact).abs().max().item() >= least:
            return True
    return False


def put_state(model, module):
    state = module.state_dict()
    for role in (native.PARAM, native.BUFFER):
        for name in model.names(role):
            model.set(role, name, export_torch.tensor_bytes(state[name]))


def one_step(model, module, x, labels, worst):
    """Loss and gradients from PyTorch's state at this step."""
    put_state(model, module)
    model.zero_grad()
    loss, _ = model.call("backward", len(x), *as_bytes(x, labels), threads=THREADS)
    want, grads = gradients(module, x, labels, torch.float32)
    exact, exact_grads = gradients(module, x, labels, torch.float64)
    allowed = max(LOSS, FREE * abs(want - exact) / abs(exact))
    error = abs(loss - exact) / abs(exact)
    worst["loss"] = max(worst.get("loss", 0), error)
    check(error <= allowed, "loss %.9g, PyTorch has %.9g: %.2e" % (loss, exact, error))
    kinks = 0
    for name, g in exact_grads.items():
        got = floats(model.get(native.GRAD, "grad/" + name), g).double()
        scale = g.abs().max().item() or 1.0
        own = (grads[name].double() - g).abs().max().item() / scale
        error = (got - g).abs().max().item() / scale
        if error <= max(GRADIENT, FREE * own):
            worst["gradient"] = max(worst.get("gradient", 0), error)
            continue
        kinks += 1
        check(at_a_kink(module, x, labels, name, g, error * scale / FREE),
              "gradient of %s: %.2e (PyTorch's own gap is %.2e)" % (name, error, own))
    worst["kinks"] = worst.get("kinks", 0) + (kinks > 0)


def free_run(model, module, recipe, shape, steps):
    """Distances of f32 losses from those of f64, ours and PyTorch's, over the run."""
    ours, theirs = 0.0, 0.0
    single, double = copy.deepcopy(module).train(), copy.deepcopy(module).double().train()
    steppers = optimizer(recipe, single.parameters()), optimizer(recipe, double.parameters())
    for x, labels in batches(shape, steps):
        losses = []
        for m, o in zip((single, double), steppers):
            o.zero_grad()
            loss = nn.functional.cross_entropy(m(x.to(next(m.parameters()).dtype)), labels)
            loss.backward()
            o.step()
            losses.append(loss.item())
        loss, _ = model.call("train_step", len(x), *as_bytes(x, labels), threads=THREADS)
        ours, theirs = max(ours, abs(loss - losses[1])), max(theirs, abs(losses[0] - losses[1]))
    return ours, theirs, single, double


def build(directory, name, make, shape, recipe, extra=None):
    torch.manual_seed(1)
    module = make().train()
    base = os.path.join(directory, name)
    export_torch.export(copy.deepcopy(module).eval(), torch.rand(1, *shape), base)
    with open(base + ".recipe.json", "w") as f:
        json.dump({"format": "cnnc-recipe/1", "optimizer": recipe, "batch_size": BATCH, **(extra or {})}, f)
    cnnc(base + ".json", "--train", "--recipe", base + ".recipe.json", "--name", name, "-o", base + ".o")
    return module, native.link(base + ".o", base + ".so", CNNRT)


def main():
    name, steps = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 50
    make, shape, recipe = NETS[name]
    torch.set_num_threads(2)
    with workplace() as directory:
        module, library = build(directory, name, make, shape, recipe)
        model, worst = native.Training(library, name), {}
        start, stepper = copy.deepcopy(module), optimizer(recipe, module.parameters())
        for x, labels in batches(shape, steps):
            one_step(model, module, x, labels, worst)
            stepper.zero_grad()
            nn.functional.cross_entropy(module(x), labels).backward()
            stepper.step()
        print("%s: %d steps from PyTorch's state: loss within %.2e, gradients within %.2e of their largest entry"
              % (name, steps, worst["loss"], worst["gradient"]))
        if worst["kinks"]:
            print("%s: %d of them at a kink, where the f64 gradient jumps as far within f32's rounding" % (name, worst["kinks"]))
        ours, theirs, _, _ = free_run(native.Training(library, name), start, recipe, shape, steps)
        print("%s: %d free steps: losses within %.2e of PyTorch's in f64; its own f32: %.2e" % (name, steps, ours, theirs))
        check(ours <= FREE * theirs + 1e-6, "the losses are too far from PyTorch's in f64")


if __name__ == "__main__":
    main()
