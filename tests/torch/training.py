#!/usr/bin/python3
"""Training against PyTorch: at each of 50 steps, one step from PyTorch's own state gives its loss and gradients;
and run freely from the same start, the losses stay as near to PyTorch's in f64 as PyTorch's in f32 do, times 3.

    training.py NET [STEPS]     (ctest takes fewer steps than the 50 that stand for none given)

A gradient has kinks: where a ReLU's input passes 0, or the largest value of a max pool changes its place, it jumps.
A step so close to one that f32's rounding decides on which side it is has no gradient that f32 code could be held to,
PyTorch's no more than ours. So a parameter whose gradient is further off than the limit must be explained: some
f64 gradient at parameters and inputs that differ from the step's by f32's rounding (ROUNDING, relative) lies at least a
third as far from the step's own. One set of draws serves all parameters of a step; a gradient that is off by more than
three times what any of DRAWS draws shows is a failure, and so are kinks at more than half of the steps.

A free run that meets a kink goes another way from there. Whether PyTorch's f32 meets the same one is luck: should it not,
its distance is the largest of its runs that add up in other orders (VARIANTS), each of them as much PyTorch's f32.
"""

import copy
import sys

import torch
from torch import nn

from common import SimpleCNN, as_bytes, check, native, set_state, state, training, workplace
from train_lenet5 import LeNet5

THREADS = 2
LOSS, GRADIENT, FREE = 1e-5, 1e-4, 3.0
ROUNDING, DRAWS = 4e-7, 64


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
    "vgg11": (VGG11, [3, 32, 32], {**SGD, "lr": 0.01}, 8),
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


def gradients(module, x, labels, dtype):
    m = copy.deepcopy(module).to(dtype).train()
    loss = nn.functional.cross_entropy(m(x.to(dtype)), labels)
    loss.backward()
    return loss.item(), {k: p.grad for k, p in m.named_parameters()}


def explain(module, x, labels, exact, errors):
    """Those of `errors` (largest error by parameter) that no kink explains, with the largest jump seen."""
    seen, generator = {name: 0.0 for name in errors}, torch.Generator().manual_seed(100)
    noise = lambda t: 1 + ROUNDING * torch.randn(t.shape, generator=generator, dtype=torch.float64)
    for _ in range(DRAWS):
        near = copy.deepcopy(module).double()
        with torch.no_grad():
            for p in near.parameters():
                p.mul_(noise(p))
        _, grads = gradients(near, x.double() * noise(x), labels, torch.float64)
        for name in seen:
            seen[name] = max(seen[name], (grads[name] - exact[name]).abs().max().item())
        if all(seen[name] >= errors[name] / FREE for name in seen):
            break
    return {name: jump for name, jump in seen.items() if jump < errors[name] / FREE}


def one_step(model, module, x, labels, worst):
    """Loss and gradients from PyTorch's state at this step."""
    set_state(model, module)
    model.zero_grad()
    loss, _ = model.call("backward", len(x), [as_bytes(x)], [as_bytes(labels)], threads=THREADS)
    want, grads = gradients(module, x, labels, torch.float32)
    exact, exact_grads = gradients(module, x, labels, torch.float64)
    error = abs(loss - exact) / abs(exact)
    worst["loss"] = max(worst["loss"], error)
    check(error <= max(LOSS, FREE * abs(want - exact) / abs(exact)),
          "loss %.9g, PyTorch has %.9g: %.2e" % (loss, exact, error))
    # A gradient that is zero, of a bias before a batch norm, is known no better than what cancels in it.
    floor = ROUNDING * max(g.abs().max().item() for g in exact_grads.values())
    far = {}
    for name, g in exact_grads.items():
        error = (state(model, native.GRAD, "grad/" + name, g).double() - g).abs().max().item()
        own, scale = (grads[name].double() - g).abs().max().item(), g.abs().max().item()
        if error <= GRADIENT * scale:
            worst["gradient"] = max(worst["gradient"], error / scale)
        elif error > max(FREE * own, floor):
            far[name] = error
    worst["kinks"] += len(far) > 0
    for name, jump in (explain(module, x, labels, exact_grads, far) if far else {}).items():
        check(False, "gradient of %s: off by %.2e; PyTorch's f32 by %.2e; the largest jump near by is %.2e"
              % (name, far[name], (grads[name] - exact_grads[name]).abs().max().item(), jump))


def run_freely(module, recipe, data, dtype=torch.float32, flip=False, fast=True):
    """The losses of PyTorch's own training."""
    m, losses = copy.deepcopy(module).to(dtype).train(), []
    stepper = optimizer(recipe, m.parameters())
    for x, labels in data:
        stepper.zero_grad()
        with torch.backends.mkldnn.flags(enabled=fast):
            x, labels = (x.flip(0), labels.flip(0)) if flip else (x, labels)
            loss = nn.functional.cross_entropy(m(x.to(dtype)), labels)
            loss.backward()
        stepper.step()
        losses.append(loss.item())
    return losses


VARIANTS = {"flip": True}, {"fast": False}, {"flip": True, "fast": False}


def free_run(model, module, recipe, data, name):
    """The distance of f32 losses from those of f64, ours and PyTorch's."""
    distance = lambda losses: max(abs(a - b) for a, b in zip(losses, exact))
    step = lambda x, y: model.call("train_step", len(x), [as_bytes(x)], [as_bytes(y)], threads=THREADS)[0]
    exact = run_freely(module, recipe, data(), torch.float64)
    ours, theirs = distance([step(x, y) for x, y in data()]), distance(run_freely(module, recipe, data()))
    print("%s: %d free steps: losses within %.2e of PyTorch's in f64; its own f32: %.2e" % (name, len(exact), ours, theirs))
    if ours > FREE * theirs + 1e-6:
        others = [distance(run_freely(module, recipe, data(), **v)) for v in VARIANTS]
        print("%s: PyTorch's f32 with other orders of sums: %s" % (name, ", ".join("%.2e" % d for d in others)))
        theirs = max(theirs, *others)
    check(ours <= FREE * theirs + 1e-6, "the losses are too far from PyTorch's in f64")


def from_states(model, module, recipe, data, name):
    worst, steps, stepper = {"loss": 0.0, "gradient": 0.0, "kinks": 0}, 0, optimizer(recipe, module.parameters())
    for x, labels in data:
        one_step(model, module, x, labels, worst)
        stepper.zero_grad()
        nn.functional.cross_entropy(module(x), labels).backward()
        stepper.step()
        steps += 1
    print("%s: %d steps from PyTorch's state: loss within %.2e, gradients within %.2e of their largest entry; "
          "%d steps at a kink" % (name, steps, worst["loss"], worst["gradient"], worst["kinks"]))
    check(2 * worst["kinks"] <= steps, "too many steps at a kink")


def main():
    name, steps = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 50
    make, shape, recipe, batch = NETS[name]
    torch.set_num_threads(2)
    torch.manual_seed(1)
    module = make().train()
    with workplace() as directory:
        model = training(directory, name, module, torch.rand(1, *shape), {"optimizer": recipe, "batch_size": batch})
        data = lambda: batches(shape, batch, steps)
        from_states(model, copy.deepcopy(module), recipe, data(), name)
        set_state(model, module)  # the optimizer's slots are zero still: no step was applied
        free_run(model, module, recipe, data, name)


if __name__ == "__main__":
    main()
