#!/usr/bin/python3
"""Each activation element by element against PyTorch: small and large numbers of both signs within 1e-6 of the f64
result, relatively, or as near as PyTorch's own f32; NaN and infinities where PyTorch has them."""

import os

import torch
from torch import nn

import gradients
from common import Each, check, cnnc, cpus, export_torch, workplace

LIMIT, FREE = 1e-6, 2.0
TINY, CANCELLED = 1e-30, 1e-15  # results below are as good as 0; what f64 loses in 1 + erf(x) and exp(x) - 1


def inputs():
    size = torch.logspace(-20, 4, 2000, dtype=torch.float64)
    x = torch.cat([size, -size, torch.linspace(-100, 100, 4001, dtype=torch.float64), torch.linspace(-7, 7, 4001, dtype=torch.float64)])
    corners = torch.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 3, -3, 6, 1e30, -1e30], dtype=torch.float64)
    return torch.cat([x, corners]).float()[None]


def compare(name, got, own, exact, x):
    """Against PyTorch in f32 and in f64."""
    finite = own.isfinite()
    same = (got.isnan() == own.isnan()) & (finite == got.isfinite()) & (finite | own.isnan() | (got == own))
    check(same.all(), "%s: %s becomes %s, PyTorch's is %s" % (name, x[~same][:4].tolist(), got[~same][:4].tolist(), own[~same][:4].tolist()))
    scale = exact[finite].abs().clamp(min=TINY)
    error, theirs = (((y[finite].double() - exact[finite]).abs() - CANCELLED).clamp(min=0) / scale for y in (got, own))
    bad = error > (FREE * theirs).clamp(min=LIMIT)
    check(not bad.any(), "%s: of %s off by %s" % (name, x[finite][bad][:4].tolist(), error[bad][:4].tolist()))
    return error[exact[finite].abs() > 1e-3].max().item()


def main():
    net, x = Each({**gradients.ACTIVATIONS, "prelu": nn.PReLU()}).eval(), inputs()
    with workplace() as directory, torch.no_grad():
        base = os.path.join(directory, "activations")
        export_torch.export(net, x, base)
        export_torch.write_npy(base + ".x.npy", x)
        own, exact = net(x), net.double()(x.double())
        for cpu in cpus():
            outputs = [w for name in own for w in ("--output", "%s=%s.%s.npy" % (name, base, name))]
            cnnc("run", base + ".json", "--batch", "1", "--cpu", cpu, "--input", base + ".x.npy", *outputs)
            for name in own:
                got = export_torch.read_npy("%s.%s.npy" % (base, name))
                print("%-12s %-12s %.1e" % (name, cpu, compare(name, got[0], own[name][0], exact[name][0], x[0])))


if __name__ == "__main__":
    main()
