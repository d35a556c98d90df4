#!/usr/bin/python3
"""Frozen layers, a trunk and one in the middle, against PyTorch with requires_grad False and eval() on the same layers.
At each of 10 steps from PyTorch's state: loss and gradients of the rest. Run freely: parameters and statistics of the
rest stay as near to PyTorch's in f64 as PyTorch's in f32 do, times 3. What is frozen is no part of the state, and gives
the same bits after training as before, which are near to what PyTorch's frozen layers give. Batches are such that no
ReLU has an input so close to zero that f32 and f64 could see it on different sides."""

import copy

import torch
from torch import fx, nn

import kinks
from common import as_bytes, check, gap, native, randomise, set_state, state, training, workplace

STEPS, BATCH, SIZE, LIMIT, FREE, FLOOR, CLEAR = 10, 6, 12, 1e-5, 3.0, 5e-7, 1e-5
# With a small eps Adam would follow the noise where a gradient is zero, as of a bias before a batch norm.
OPTIMIZERS = ("SGD", {"lr": 0.02, "momentum": 0.9, "weight_decay": 5e-4}), ("Adam", {"lr": 1e-3, "eps": 1e-3})
FROZEN = ["trunk"], ["middle"], ["trunk", "middle.1"]


def block(cin, cout, stride=1, bias=False):
    return nn.Sequential(nn.Conv2d(cin, cout, 3, stride, 1, bias=bias), nn.BatchNorm2d(cout), nn.ReLU())


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(block(3, 17), nn.AvgPool2d(2), block(17, 24, bias=True))
        self.middle, self.head, self.fc = block(24, 16), block(16, 19, 2), nn.Linear(19 * 3 * 3, 10)

    def forward(self, x):
        trunk = self.trunk(x)
        logits = self.fc(torch.flatten(self.head(self.middle(trunk)), 1))
        return {"logits": logits, "trunk": trunk}


def freeze(net, names):
    """PyTorch's way: no gradients, and evaluation mode."""
    net.train()
    for name in names:
        net.get_submodule(name).eval().requires_grad_(False)
    return net


class Theirs:
    def __init__(self, net, names, dtype, optimizer):
        self.net, self.dtype = freeze(copy.deepcopy(net).to(dtype), names), dtype
        kind, options = optimizer
        self.optimizer = getattr(torch.optim, kind)([p for p in self.net.parameters() if p.requires_grad], **options)

    def backward(self, x, labels):
        self.net.zero_grad()
        loss = nn.functional.cross_entropy(self.net(x.to(self.dtype))["logits"], labels)
        loss.backward()
        return loss.item()

    def step(self, x, labels):
        loss = self.backward(x, labels)
        self.optimizer.step()
        return loss


def gradients(net):
    return {k: p.grad for k, p in net.named_parameters() if p.requires_grad}


def kept(net, names):
    """Parameters and statistics that are not frozen."""
    frozen = lambda key: any(key.startswith(name + ".") for name in names)
    return {k: v for k, v in net.state_dict().items() if not frozen(k) and not k.endswith("num_batches_tracked")}


def batches(net, names, optimizer):
    """For the steps of PyTorch in f64."""
    theirs, data = Theirs(net, names, torch.float64, optimizer), []
    while len(data) < STEPS:
        x, labels = torch.randn(BATCH, 3, SIZE, SIZE), torch.randint(0, 10, (BATCH,))
        run = kinks.Run(fx.symbolic_trace(copy.deepcopy(theirs.net)))
        run.run(x.double())
        if all(v.abs().min() > CLEAR for v in run.inputs.values()):
            theirs.step(x, labels)
            data.append((x, labels))
    return data


def from_state(model, net, names, optimizer, x, labels, label):
    """Loss and gradients from the module's state."""
    set_state(model, net)
    model.zero_grad()
    loss, _ = model.call("backward", BATCH, [as_bytes(x)], [as_bytes(labels)], threads=2)
    exact, single = (Theirs(net, names, dtype, optimizer) for dtype in (torch.float64, torch.float32))
    want = exact.backward(x, labels)
    single.backward(x, labels)
    check(abs(loss - want) <= LIMIT * want, "%s: loss %.9g, not %.9g" % (label, loss, want))
    theirs, wanted = gradients(single.net), gradients(exact.net)
    check(set(model.names(native.GRAD)) == {"grad/" + k for k in wanted}, label + ": the gradients are others")
    # A gradient that is zero, of a bias before a batch norm, is known no better than what cancels in it.
    largest, worst = max(g.abs().max().item() for g in wanted.values()), 0.0
    for name, g in wanted.items():
        error, own = gap(state(model, native.GRAD, "grad/" + name, g), g), gap(theirs[name], g)
        worst = max(worst, error if g.abs().max() > FLOOR * largest else 0)
        floor = FLOOR * largest / g.abs().max().item()
        check(error <= max(LIMIT, FREE * own, floor),
              "%s: gradient of %s: %.2e (PyTorch's f32: %.2e)" % (label, name, error, own))
    return worst


def free_run(model, net, names, optimizer, data, label):
    set_state(model, net)  # the optimizer's slots are zero still: no step was applied
    exact, single = (Theirs(net, names, dtype, optimizer) for dtype in (torch.float64, torch.float32))
    ours, theirs, off, own = 0.0, 0.0, 0.0, 0.0
    for x, labels in data:
        loss, _ = model.call("train_step", BATCH, [as_bytes(x)], [as_bytes(labels)], threads=2)
        want, near = exact.step(x, labels), single.step(x, labels)
        ours, theirs = max(ours, abs(loss - want)), max(theirs, abs(near - want))
    nearest = kept(single.net, names)
    for key, value in kept(exact.net, names).items():
        role = native.PARAM if (native.PARAM, key) in model.tensors else native.BUFFER
        off, own = max(off, gap(state(model, role, key, value), value)), max(own, gap(nearest[key], value))
    print("%s: %d free steps: losses within %.1e (PyTorch's f32: %.1e), parameters and statistics within %.1e (%.1e)"
          % (label, STEPS, ours, theirs, off, own))
    check(ours <= FREE * theirs + 1e-6, label + ": the losses are too far from PyTorch's in f64")
    check(off <= FREE * own + FLOOR, label + ": what was trained is too far from PyTorch's in f64")
    return exact.net


def frozen_output(model, x, labels):
    """What the trunk gives, in evaluation."""
    return model.call("eval", BATCH, [as_bytes(x)], [as_bytes(labels)])[1][1]


def compare(directory, number, names, optimizer):
    torch.manual_seed(4)
    net, label = randomise(Net(), 4), "%s, %s frozen" % (optimizer[0], " and ".join(names))
    data = batches(net, names, optimizer)
    kind, options = optimizer
    recipe = {"optimizer": {"type": kind, **options}, "freeze": names, "batch_size": BATCH,
              "loss": {"type": "CrossEntropyLoss", "output": "logits"}}
    model = training(directory, "frozen%d" % number, net, data[0][0][:1], recipe)
    here = {k for role in (native.PARAM, native.BUFFER) for k in model.names(role)}
    check(here == set(kept(net, names)), "%s: the state has %s" % (label, sorted(here)))
    frozen = sum(p.numel() for p in freeze(copy.deepcopy(net), names).parameters() if not p.requires_grad)
    check(model.t.n_frozen == frozen, "%s: %d are frozen, not %d" % (label, model.t.n_frozen, frozen))
    before, worst, theirs = frozen_output(model, *data[0]), 0.0, Theirs(net, names, torch.float32, optimizer)
    for x, labels in data:
        worst = max(worst, from_state(model, theirs.net, names, optimizer, x, labels, label))
        theirs.step(x, labels)
    print("%s: gradients from PyTorch's state within %.1e" % (label, worst))
    trained = free_run(model, net, names, optimizer, data, label)
    if "trunk" in names:
        after = frozen_output(model, *data[0])
        check(before == after, label + ": the frozen trunk gives other bits after training")
        with torch.no_grad():
            want = trained.eval()(data[0][0].double())["trunk"]
        got = torch.frombuffer(bytearray(after), dtype=torch.float32)
        check(gap(got, want) <= LIMIT, label + ": the frozen trunk gives something else than PyTorch's")


def main():
    with workplace() as directory:
        for i, names in enumerate(FROZEN):
            for j, optimizer in enumerate(OPTIMIZERS):
                compare(directory, 2 * i + j, names, optimizer)


if __name__ == "__main__":
    main()
