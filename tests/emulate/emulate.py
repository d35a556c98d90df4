#!/usr/bin/python3
"""AVX-512 code against PyTorch on a machine without AVX-512: objects of `cnnc --cpu x86-64-v4` run on Bochs's CPU,
one instruction at a time. Start it with run.sh, which makes what it needs.

    emulate.py WHAT...    WHAT: a net, "layers", "sweep", "control", or NET:SIZE for another image size

For each net: the largest error over the largest value is under 1e-4; images in a batch of two and with a pool of three
threads give the same bits as alone; weights packed at run time give the same result. "layers" and "sweep" are the
layers of tests/torch and tests/ops. "control" holds the emulator itself to this CPU: AVX2 code must give the same bits
on both."""

import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "torch"), os.path.join(HERE, "..", "ops")]

import random
import warnings

import torch

import layers
import sweep
from common import NETS, ROOT, check, close, cnnc, compiled, cpus, export_torch, native, net, randomise, reference
from common import run as run_native
from common import workplace

PYTHON, SHIM = os.environ["EMULATE_PYTHON"], os.environ["EMULATE_SHIM"]
CPU = "x86-64-v4"
FLAGS = ["-std=c17", "-O1", "-ffreestanding", "-fno-stack-protector", "-fno-pic", "-mno-red-zone", "-Wall", "-Wextra"]


class Guest:
    """An object linked for the emulated machine."""

    def __init__(self, directory, name, arguments, cpu=CPU):
        self.directory, self.name = directory, name
        self.base = os.path.join(directory, name)
        cnnc(*arguments, "--cpu", cpu, "--name", name, "-o", self.base + ".o")
        self.elf = self.base + ".elf"
        subprocess.run(["gcc", *FLAGS, "-DMODEL=%s_model" % name, "-I", os.path.join(ROOT, "runtime", "cnnrt"), "-c",
                        os.path.join(HERE, "guest.c"), "-o", self.base + ".guest.o"], check=True)
        subprocess.run(["ld", "-static", "-z", "noexecstack", "-e", "start", "-Ttext-segment=0x2000000", "-o", self.elf,
                        self.base + ".guest.o", self.base + ".o"], check=True)

    def zmm(self):
        """How many instructions use a 512-bit register."""
        text = subprocess.run(["objdump", "-d", "--no-show-raw-insn", self.base + ".o"], stdout=subprocess.PIPE,
                              text=True, check=True).stdout
        return sum("%zmm" in line for line in text.split("\n"))

    def infer(self, calls, params=None):
        """calls: (input, {name: shape of one image}, threads); the outputs of each as {name: tensor}.
        params: {name: tensor} where the object embeds no weights."""
        ram = (768 if os.path.getsize(self.elf) < 3e8 else 2048) << 20
        job = {"elf": self.elf, "ram": ram, "calls": [], "params": {}}
        for name, tensor in (params or {}).items():
            job["params"][name] = "%s.%s.param" % (self.base, name)
            with open(job["params"][name], "wb") as f:
                f.write(export_torch.tensor_bytes(tensor))
        for k, (x, shapes, threads) in enumerate(calls):
            source = "%s.%d.in" % (self.base, k)
            with open(source, "wb") as f:
                f.write(export_torch.tensor_bytes(x))
            outputs = [["%s.%d.%d.out" % (self.base, k, i), 4 * len(x) * shape.numel()]
                       for i, shape in enumerate(shapes.values())]
            job["calls"].append({"n": len(x), "threads": threads, "inputs": [source], "outputs": outputs})
        with open(self.base + ".job", "w") as f:
            json.dump(job, f)
        subprocess.run([PYTHON, os.path.join(HERE, "machine.py"), self.base + ".job"], check=True,
                       env={**os.environ, "LD_PRELOAD": SHIM})
        return [self.read(call, job_call) for call, job_call in zip(calls, job["calls"])]

    @staticmethod
    def read(call, job_call):
        x, shapes, _ = call
        result = {}
        for (path, _), (name, shape) in zip(job_call["outputs"], shapes.items()):
            with open(path, "rb") as f:
                result[name] = torch.frombuffer(bytearray(f.read()), dtype=torch.float32).reshape(len(x), *shape)
        return result


def refused(guest, x):
    """Where this CPU has no AVX-512, the object says so."""
    if CPU in cpus():
        return
    try:
        run_native(native.Model(native.link(guest.base + ".o", guest.base + ".so"), guest.name), x)
        check(False, "AVX-512 code ran on a CPU without it")
    except RuntimeError as e:
        check(str(e) == "infer returned 5", "on this CPU: %s, not CNNRT_E_CPU" % e)


def one_net(directory, name, size):
    module, path, weights = net(name, directory)
    shape = NETS[name][1][:1] + [size, size] if size else NETS[name][1]
    torch.manual_seed(2)
    x = torch.rand(2, *shape)
    arguments = [path, "--weights", weights, "--batch", "2", "--input-shape", "image=" + "x".join(map(str, shape))]
    guest = Guest(directory, name, arguments)
    check(guest.zmm() > 0, "%s has no 512-bit instruction" % name)
    refused(guest, x)
    want = reference(name, module, x)
    shapes, large = {"y": want.shape[1:]}, size is not None and size > 100
    calls = [(x[:1], shapes, 0)] if large else [(x, shapes, 0), (x[:1], shapes, 0), (x[1:], shapes, 3), (x, shapes, 3)]
    got = [outputs["y"] for outputs in guest.infer(calls)]
    close(got[0], want[: len(got[0])], "%s, %s, %s" % (name, CPU, "x".join(map(str, shape))))
    if not large:
        check(torch.equal(torch.cat(got[1:3]), got[0]), name + ": an image alone differs")
        check(torch.equal(got[3], got[0]), name + ": other bits with 3 threads")
        packed(directory, name, arguments + ["--external-weights"], module, path, calls[:1], got[0])
    print("  %d instructions with zmm" % guest.zmm())


def packed(directory, name, arguments, module, path, calls, want):
    """The same with weights that the object's prepare packs."""
    guest = Guest(directory, name + "_external", arguments)
    got = guest.infer(calls, export_torch.weights_for(path, module.state_dict()))[0]["y"]
    close(got, want, "%s, external weights" % name)


def many(directory, label, module, x):
    """Every output of a module that returns them by name."""
    base = os.path.join(directory, "many")
    export_torch.export(module, x, base)
    with torch.no_grad():
        want = module(x)
    with open(base + ".json") as f:
        names = [o if isinstance(o, str) else o.get("name", "") for o in json.load(f)["outputs"]]
    check(names == list(want), "outputs of the model file: %s" % names)
    guest = Guest(directory, "many", [base + ".json", "--batch", str(len(x))])
    shapes = {name: y.shape[1:] for name, y in want.items()}
    whole, alone, threads = guest.infer([(x, shapes, 0), (x[-1:], shapes, 0), (x, shapes, 3)])
    worst = (0.0, "")
    for name, y in want.items():
        error = ((whole[name] - y).abs().max() / y.abs().max().clamp(min=1e-6)).item()
        worst = max(worst, (error, name))
        check(error < 1e-4, "%s, %s: %.3e is not under 1e-4" % (label, name, error))
        check(torch.equal(alone[name], whole[name][-1:]), "%s, %s: an image alone differs" % (label, name))
        check(torch.equal(threads[name], whole[name]), "%s, %s: other bits with 3 threads" % (label, name))
    print("%-28s %d outputs, worst %.1e (%s)" % (label, len(want), *worst))


def all_layers(directory):
    for c in (1, 3, 17):
        for size in (1, 7, 13):
            module = randomise(layers.All(c, size), c * 100 + size)
            many(directory, "layers, %d x %d x %d" % (c, size, size), module, torch.randn(3, c, size, size))


def all_chains(directory):
    for i, shape in enumerate(sweep.SHAPES):
        torch.manual_seed(1)
        module = randomise(sweep.All(random.Random(100 + i), shape), 100 + i)
        many(directory, "sweep, %d x %d x %d" % shape, module, torch.randn(3, *shape))


def control(directory):
    """AVX2 code, here and there."""
    for name in ("simplecnn", "lenet5"):
        _, path, weights = net(name, directory)
        x = torch.rand(1, *NETS[name][1])
        arguments = [path, "--weights", weights]
        model = compiled(directory, name + "_host", arguments + ["--cpu", "x86-64-v3"])
        want = run_native(model, x)
        got = Guest(directory, name, arguments, "x86-64-v3").infer([(x, {"y": want.shape[1:]}, 0)])[0]["y"]
        check(torch.equal(got, want), name + ": the emulator gives other bits than this CPU")
        print("control: %s has the same bits here and in the emulator" % name)


def main():
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    sys.stdout.reconfigure(line_buffering=True)
    for what in sys.argv[1:] or ["control", "simplecnn", "lenet5", "resnet18", "resnet50", "layers", "sweep"]:
        start = time.time()
        with workplace() as directory:
            if what in ("layers", "sweep", "control"):
                {"layers": all_layers, "sweep": all_chains, "control": control}[what](directory)
            else:
                name, _, size = what.partition(":")
                check(name in NETS, "unknown: " + what)
                one_net(directory, name, int(size) if size else None)
        print("ok %s (%d s)" % (what, time.time() - start))


if __name__ == "__main__":
    main()
