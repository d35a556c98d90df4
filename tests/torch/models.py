#!/usr/bin/python3
"""One example net with random weights against PyTorch: in code for this machine and for every level it can run, with 1,
2 and 5 threads the same bits, and each image the same bits alone and in a batch.

    models.py NET             small images
    models.py NET SIZE        one image of that size, code for this machine
    models.py --all           each net at full size, for all CPUs; takes minutes
"""

import os
import sys

import torch

from common import NETS, check, close, cnnc, compiled, cpus, export_torch, net, reference, run, workplace

BATCH = 3


def sweep(name, directory):
    module, path, weights = net(name, directory)
    shape = NETS[name][1]
    torch.manual_seed(2)
    x = torch.rand(BATCH, *shape)
    want = reference(name, module, x)
    common = [path, "--weights", weights, "--batch", str(BATCH), "--input-shape", "image=" + "x".join(map(str, shape))]
    for cpu in ["native", *cpus()]:
        ident = "%s_%s" % (name, cpu.replace("-", "_"))
        model = compiled(directory, ident, common + ["--cpu", cpu])
        got = run(model, x)
        close(got, want, "%s, %s" % (name, cpu))
        for threads in (2, 5):
            check(torch.equal(run(model, x, threads), got), "%s, %s: other bits with %d threads" % (name, cpu, threads))
        for i in range(BATCH):
            check(torch.equal(run(model, x[i : i + 1]), got[i : i + 1]), "%s, %s: image %d alone differs" % (name, cpu, i))
        check(torch.equal(run(model, x[1:], 2), got[1:]), "%s, %s: a part of the batch differs" % (name, cpu))
        command(directory, common + ["--cpu", cpu], x, got)


def command(directory, arguments, x, got):
    """`cnnc run` gives the bits that the linked object gave."""
    source, result = os.path.join(directory, "x.npy"), os.path.join(directory, "y.npy")
    export_torch.write_npy(source, x)
    cnnc("run", *arguments, "--input", source, "--output", result, "--threads", "2")
    check(torch.equal(export_torch.read_npy(result).reshape(got.shape), got), "cnnc run differs from the linked object")


def full_size(name, directory, size, levels):
    module, path, weights = net(name, directory)
    channels = NETS[name][1][0]
    torch.manual_seed(3)
    x = torch.rand(1, channels, size, size)
    want = reference(name, module, x)
    common = [path, "--weights", weights, "--input-shape", "image=%dx%dx%d" % (channels, size, size), "--cpu"]
    for cpu in levels:
        model = compiled(directory, "%s_%s" % (name, cpu.replace("-", "_")), [*common, cpu])
        got = run(model, x)
        close(got, want, "%s, %s, %d x %d" % (name, cpu, size, size))
        for threads in (2, 5):
            check(torch.equal(run(model, x, threads), got), "%s, %s: other bits with %d threads" % (name, cpu, threads))


def main():
    torch.set_num_threads(2)
    if sys.argv[1] == "--all":
        for name, (_, shape) in NETS.items():
            with workplace() as directory:
                full_size(name, directory, 224 if shape[0] == 3 else shape[1], ["native", *cpus()])
        return
    with workplace() as directory:
        if len(sys.argv) > 2:
            full_size(sys.argv[1], directory, int(sys.argv[2]), ["native"])
        else:
            sweep(sys.argv[1], directory)


if __name__ == "__main__":
    main()
