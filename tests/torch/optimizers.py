#!/usr/bin/python3
"""Optimizers, parameter groups, clipping and accumulation over 50 steps of a smooth problem: parameters and slots stay
as near to those of torch.optim in f64 as torch.optim in f32 does, times 3. Rates change at run time, as schedules do.
PyTorch's f32 is the further off of two runs: samples in their order, and in reverse. What has an eps is tried with all
defaults too, by gradients that are given."""

import copy

import torch
from torch import nn
from torch.optim import lr_scheduler

from common import as_bytes, check, gap, native, state, training, workplace

STEPS, BATCH, IN, OUT, FREE, FLOOR = 50, 8, 13, 5, 3.0, 5e-7


class Net(nn.Module):
    """Smooth: products alone. Lengths are no multiples of a vector's; one parameter has a single element."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc, self.head = nn.Conv2d(1, 3, 2), nn.Linear(3 * 6 * 6, IN), nn.Linear(IN, OUT)
        self.one = nn.Conv2d(1, 1, 1)

    def forward(self, x):
        return self.head(self.fc(torch.flatten(self.conv(self.one(x)), 1)))


def optimizers():
    """RMSprop and Adagrad with their own eps would begin with lr times the sign of the gradient, which is not smooth:
    for these see compare_given."""
    sgd = lambda **o: ("SGD", {"lr": 0.02, **o})
    yield sgd()
    yield sgd(weight_decay=0.01)
    yield sgd(momentum=0.9)
    yield sgd(momentum=0.9, dampening=0.3, weight_decay=0.05)
    yield sgd(momentum=0.8, nesterov=True, weight_decay=0.01)
    for name in "Adam", "AdamW":
        for amsgrad in False, True:
            yield name, {"lr": 0.01, "amsgrad": amsgrad}
        yield name, {"lr": 0.02, "betas": [0.7, 0.95], "eps": 1e-3, "weight_decay": 0.1}
    yield "RMSprop", {"lr": 0.005, "eps": 1e-4}
    yield "RMSprop", {"lr": 0.005, "alpha": 0.8, "eps": 1e-4, "weight_decay": 0.05}
    yield "RMSprop", {"lr": 0.005, "centered": True, "alpha": 0.9, "eps": 1e-3}
    yield "RMSprop", {"lr": 0.002, "momentum": 0.9, "centered": True, "eps": 1e-2}
    yield "RMSprop", {"lr": 0.002, "momentum": 0.5, "eps": 1e-3}
    yield "Adagrad", {"lr": 0.05, "eps": 1e-3}
    yield "Adagrad", {"lr": 0.05, "lr_decay": 0.1, "weight_decay": 0.02, "initial_accumulator_value": 0.1, "eps": 1e-5}


GROUPS = [{"params": ["fc"], "lr": 0.003, "weight_decay": 0.2}, {"params": ["*.bias"], "weight_decay": 0.0}]
SGD = ("SGD", {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.01})
ADAM = ("Adam", {"lr": 0.01, "weight_decay": 0.01})


def cases():
    """(optimizer, options, what else the recipe says, calls that are accumulated, schedule)"""
    for name, options in optimizers():
        yield name, options, {}, 1, None
    for name, options in SGD, ADAM:
        groups = [GROUPS[0], {**GROUPS[1], "params": ["conv.bias", "one.*", "head.bias"]}]
        yield name, options, {"groups": groups}, 1, None
        yield name, options, {"clip": {"type": "norm", "max_norm": 0.3}}, 1, None
        yield name, options, {"clip": {"type": "value", "clip_value": 0.05}}, 1, None
        yield name, options, {"accumulate": 3}, 3, None
        yield name, options, {"groups": groups, "clip": {"type": "norm", "max_norm": 0.5}}, 2, None
    momentum = [{"params": ["head"], "momentum": 0.5, "lr": 0.01}]
    yield *SGD, {"groups": momentum}, 1, None
    yield *SGD, {}, 1, lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS)
    yield *SGD, {"groups": momentum}, 1, lambda o: lr_scheduler.OneCycleLR(o, [0.05, 0.03], total_steps=STEPS + 1)
    yield *ADAM, {}, 1, lambda o: lr_scheduler.StepLR(o, 7, 0.7)


def torch_groups(module, options, more):
    """The recipe's groups for torch.optim, in the order of the object's: what no group names, then each."""
    named, groups = dict(module.named_parameters()), [{"params": []}]
    for g in more.get("groups", []):
        groups.append({**g, "params": []})
    for key, p in named.items():
        layer = key.split(".")[0]
        at = [i for i, g in enumerate(more.get("groups", []))
              if any(w in (key, layer) or w.endswith(".*") and w[:-2] == layer for w in g["params"])]
        groups[at[0] + 1 if at else 0]["params"].append(p)
    return groups


class Theirs:
    """torch.optim in one precision."""

    def __init__(self, net, dtype, name, options, more, calls, schedule):
        self.net, self.dtype, self.clip, self.calls = copy.deepcopy(net).to(dtype), dtype, more.get("clip"), calls
        self.optimizer = getattr(torch.optim, name)(torch_groups(self.net, options, more), **options)
        self.schedule = schedule(self.optimizer) if schedule else None

    def step(self, batches):
        self.optimizer.zero_grad()
        for x, y in batches:
            (nn.functional.mse_loss(self.net(x.to(self.dtype)), y.to(self.dtype)) / self.calls).backward()
        if self.clip and self.clip["type"] == "norm":
            nn.utils.clip_grad_norm_(self.net.parameters(), self.clip["max_norm"])
        elif self.clip:
            nn.utils.clip_grad_value_(self.net.parameters(), self.clip["clip_value"])
        self.optimizer.step()
        if self.schedule:
            self.schedule.step()

    def values(self):
        """Parameters, and the optimizer's slots by the names that the state block has for them."""
        out = {}
        for key, p in self.net.named_parameters():
            out[native.PARAM, key] = p.detach().double()
            for slot, value in self.optimizer.state[p].items():
                slot = slot.replace("_sqs", "_sq")  # max_exp_avg_sqs
                if slot != "step" and value is not None:
                    out[native.SLOT, slot + "/" + key] = value.double()
        return out


def set_rates(model, optimizer, calls):
    """What the optimizer of PyTorch goes by in this step goes into the numbers of the step."""
    model.hyper[0] = 1 / calls
    for i, g in enumerate(optimizer.param_groups):
        model.hyper[2 + 3 * i], model.hyper[3 + 3 * i] = g["lr"], g["weight_decay"]
        if "momentum" in g or "betas" in g:
            model.hyper[4 + 3 * i] = g["momentum"] if "momentum" in g else g["betas"][0]


def our_step(model, batches):
    if len(batches) == 1:
        model.call("train_step", BATCH, [as_bytes(batches[0][0])], [as_bytes(batches[0][1])], threads=2)
        return
    model.zero_grad()
    for x, y in batches:
        model.call("backward", BATCH, [as_bytes(x)], [as_bytes(y)], threads=2)
    model.apply(2)


def samples(teacher):
    """A linear function with noise, which the net can learn: an optimizer that runs away would drown all else."""
    x = torch.randn(BATCH, 1, 7, 7)
    return x, x.flatten(1) @ teacher + 0.1 * torch.randn(BATCH, OUT)


def compare(directory, number, case):
    name, options, more, calls, schedule = case
    torch.manual_seed(5)
    net, teacher = Net(), torch.randn(49, OUT) / 7
    recipe = {"optimizer": {"type": name, **options}, "loss": {"type": "MSELoss"}, "batch_size": BATCH, **more}
    model = training(directory, "m%d" % number, net, torch.rand(1, 1, 7, 7), recipe)
    exact, *singles = (Theirs(net, dtype, *case) for dtype in (torch.float64, torch.float32, torch.float32))
    for i, g in enumerate(exact.optimizer.param_groups if schedule is None else []):
        check(model.hyper[2 + 3 * i] == g["lr"] and model.hyper[3 + 3 * i] == g["weight_decay"], "numbers of group %d" % i)
    ours, theirs = 0.0, 0.0
    for _ in range(STEPS):
        batches = [samples(teacher) for _ in range(calls)]
        set_rates(model, exact.optimizer, calls)
        our_step(model, batches)
        exact.step(batches)
        singles[0].step(batches)
        singles[1].step([(x.flip(0), y.flip(0)) for x, y in batches])
        near = [s.values() for s in singles]
        for (role, key), value in exact.values().items():
            ours = max(ours, gap(state(model, role, key, value), value))
            theirs = max(theirs, *(gap(n[role, key], value) for n in near))
    slots = {k for r, k in exact.values() if r == native.SLOT}
    check(set(model.names(native.SLOT)) == slots, "%s: slots %s, not %s" % (name, model.names(native.SLOT), slots))
    what = "%s %s %s %s" % (name, options, {k: v for k, v in more.items()}, "scheduled" if schedule else "")
    print("%-110s %.1e (PyTorch's f32: %.1e)" % (what.strip(), ours, theirs))
    check(ours <= FREE * theirs + FLOOR, what + ": too far from PyTorch's f64")


def given(net, generator):
    """Gradients of all sizes, so that eps is nothing for some and everything for others; some are zero."""
    out = {}
    for key, p in net.named_parameters():
        size = 10 ** (14 * torch.rand(p.shape, generator=generator) - 13)
        out[key] = size * torch.randint(-1, 2, p.shape, generator=generator)
    return out


def compare_given(directory, name):
    """Nothing but defaults, for 50 steps: all runs apply the same gradients."""
    torch.manual_seed(5)
    net, generator = Net(), torch.Generator().manual_seed(9)
    recipe = {"optimizer": {"type": name}, "loss": {"type": "MSELoss"}, "batch_size": BATCH}
    model = training(directory, "given_" + name, net, torch.rand(1, 1, 7, 7), recipe)
    exact, single = (Theirs(net, dtype, name, {}, {}, 1, None) for dtype in (torch.float64, torch.float32))
    ours, theirs = 0.0, 0.0
    for _ in range(STEPS):
        gradients = given(net, generator)
        for t in exact, single:
            for key, p in t.net.named_parameters():
                p.grad = gradients[key].to(t.dtype)
            t.optimizer.step()
        for key, g in gradients.items():
            model.set(native.GRAD, "grad/" + key, as_bytes(g))
        model.apply(2)
        near = single.values()
        for (role, key), value in exact.values().items():
            ours = max(ours, gap(state(model, role, key, value), value))
            theirs = max(theirs, gap(near[role, key], value))
    print("%-110s %.1e (PyTorch's f32: %.1e)" % (name + ", given gradients", ours, theirs))
    check(ours <= FREE * theirs + FLOOR, name + " by default: too far from PyTorch's f64")


def main():
    with workplace() as directory:
        for name in "Adam", "AdamW", "RMSprop", "Adagrad":
            compare_given(directory, name)
        for number, case in enumerate(cases()):
            compare(directory, number, case)


if __name__ == "__main__":
    main()
