#!/usr/bin/python3
"""Objects for other machines than this one, under qemu-user: inference and training agree with PyTorch, and threads
change no bit.

    machines.py levels      x86-64-v1 to v4: each on a CPU that has no more than that, v4 on this one if it can
    machines.py aarch64     with a runtime that cmake builds by the cross compiler
    machines.py nets        every net of examples/ on aarch64, by hand: minutes
    machines.py dispatch    one object for several CPUs: which code runs where, with the bits of an object for that one"""

import copy
import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "torch"))

import torch
from torch import nn

from common import CNNRT, NETS, ROOT, SimpleCNN, as_bytes, check, close, cnnc, cpus, export_torch, net, randomise
from common import reference, workplace
from training import SGD, LogitLeNet5, SmallResNet

SKIP, STEPS, ROLE_PARAM, ROLE_GRAD = 77, 2, 0, 3
STRICT = ["-std=c11", "-O1", "-Wall", "-Wextra", "-Werror", "-static"]
QEMU_CPU = {"x86-64": "qemu64", "x86-64-v2": "Nehalem", "x86-64-v3": "max"}  # none has AVX-512


class Machine:
    """Where an object runs: what compiles and links for it, and the command that runs programs there."""

    def __init__(self, options, command=(), cc="cc", runtime=CNNRT):
        self.options, self.command, self.cc, self.runtime = options, list(command), cc, runtime

    def build(self, base, arguments, *flags):
        cnnc(*arguments, *self.options, "--name", "net", "-o", base + ".o")
        subprocess.run([self.cc, *STRICT, "-DMODEL=net_model", *flags, "-I", os.path.join(ROOT, "runtime", "cnnrt"),
                        os.path.join(HERE, "call.c"), base + ".o", self.runtime, "-pthread", "-lm", "-o", base],
                       check=True)

    def call(self, base, n, data, *weights):
        """(the result's bytes, lines printed); where the call fails (its status, lines)."""
        with open(base + ".in", "wb") as f:
            f.write(data)
        r = subprocess.run([*self.command, base, str(n), base + ".in", base + ".out", *weights], stdout=subprocess.PIPE,
                           text=True)
        if r.returncode:
            return r.returncode, r.stdout.split("\n")
        with open(base + ".out", "rb") as f:
            return f.read(), r.stdout.split("\n")


def floats(raw):
    return torch.frombuffer(bytearray(raw), dtype=torch.float32)


# ---- Inference ----


def resnet(directory):
    """(module, model, weights) as common.net has them."""
    module = randomise(SmallResNet(), 3)
    base = os.path.join(directory, "resnet")
    export_torch.export(module, torch.randn(1, 3, 16, 16), base)
    return module, base + ".json", base + ".safetensors"


def infers(machine, directory, name, n=1):
    module, path, weights = resnet(directory) if name == "resnet" else net(name, directory)
    torch.manual_seed(2)
    x = torch.rand(n, *(NETS[name][1] if name in NETS else [3, 16, 16]))
    arguments = [path, "--weights", weights, "--batch", str(n), "--input-shape",
                 "image=" + "x".join(map(str, x.shape[1:]))]
    base = os.path.join(directory, name)
    machine.build(base, arguments if name in NETS else arguments[:-2])
    got, lines = machine.call(base, n, as_bytes(x))
    check(isinstance(got, bytes), "%s: status %s" % (name, got))
    with torch.no_grad():
        want = reference(name, module, x)
    close(floats(got), want, "%s, %s" % (name, lines[0]))


# ---- Training ----


def trains(machine, directory, name, module, shape, n=2):
    torch.manual_seed(5)
    module.train()
    x, labels = torch.randn(n, *shape), torch.arange(n) % 10
    base = os.path.join(directory, name + "_train")
    export_torch.export(copy.deepcopy(module).eval(), x[:1], base)
    with open(base + ".recipe.json", "w") as f:
        json.dump({"format": "cnnc-recipe/1", "optimizer": SGD}, f)
    machine.build(base, [base + ".json", "--train", "--recipe", base + ".recipe.json", "--batch", str(n)])
    got, lines = machine.call(base, n, as_bytes(x) + as_bytes(labels))
    check(isinstance(got, bytes), "%s: status %s" % (name, got))
    tensors = [line.split() for line in lines[1:] if line]
    optimizer = torch.optim.SGD(module.parameters(), **{k: v for k, v in SGD.items() if k != "type"})
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(module(x), labels)
        loss.backward()
        optimizer.step()
        part = got[step * len(got) // STEPS :]
        where = "%s, %s, step %d: " % (name, lines[0], step + 1)
        close(floats(part[:4]), loss.detach(), where + "loss")
        compare(part[4:], tensors, module, where)


def compare(state, tensors, module, where):
    """Every gradient and every parameter after the step: the worst of each."""
    for role, kind in (ROLE_GRAD, "gradients"), (ROLE_PARAM, "parameters"):
        got, want = [], []
        for number, name, offset, size in tensors:
            if int(number) != role:
                continue
            p = module.get_parameter(name.split("/")[-1])
            p = p.grad if role == ROLE_GRAD else p.detach()
            scale = p.abs().max().clamp(min=1e-3)
            got.append(floats(state[int(offset) : int(offset) + int(size)]) / scale)
            want.append(p.flatten() / scale)
        check(len(got) == len(list(module.parameters())), where + "%d %s" % (len(got), kind))
        close(torch.cat(got), torch.cat(want), where + kind)


def trained_nets():
    torch.manual_seed(11)
    return (("simplecnn", SimpleCNN(), [1, 28, 28]), ("lenet5", LogitLeNet5(), [1, 28, 28]),
            ("resnet", SmallResNet(), [3, 16, 16]))


# ---- The machines ----


def tool(name):
    if not shutil.which(name):
        print("skipped: there is no %s (tools/setup.sh test installs it)" % name)
        sys.exit(SKIP)
    return name


def levels(directory):
    able = cpus()
    for cpu in "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4":
        if cpu in QEMU_CPU:
            machine = Machine(["--cpu", cpu], [tool("qemu-x86_64"), "-cpu", QEMU_CPU[cpu]])
        elif cpu in able:
            machine = Machine(["--cpu", cpu])
        else:
            continue
        for name in "lenet5", "resnet":
            infers(machine, directory, name)
        trains(machine, directory, *trained_nets()[-1])
    same_object(directory)


def same_object(directory):
    """x86-64 and x86-64-v1 are one."""
    made = []
    for cpu in "x86-64", "x86-64-v1":
        path = os.path.join(directory, "level.o")
        cnnc(os.path.join(ROOT, "examples", "lenet5", "lenet5.json"), "--cpu", cpu, "-o", path)
        with open(path, "rb") as f:
            made.append(f.read())
    check(made[0] == made[1], "x86-64 and x86-64-v1 give different objects")


def cross_runtime(directory, cc):
    """cnnrt for aarch64, as docs/runtime.md has it."""
    build = os.path.join(directory, "runtime")
    for command in ["cmake", "-S", ROOT, "-B", build, "-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
                    "-DCMAKE_C_COMPILER=" + cc, "-DCNNC_COMPILER=OFF", "-DCNNC_DATA=OFF", "-DCNNC_TESTS=OFF",
                    "-DCNNC_WERROR=ON", "-DCMAKE_BUILD_TYPE=Release"], ["cmake", "--build", build]:
        r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        check(r.returncode == 0, "%s\n%s" % (" ".join(command), r.stdout))
    return os.path.join(build, "runtime", "libcnnrt.a")


def neon(directory):
    cc, qemu = tool("aarch64-linux-gnu-gcc"), tool("qemu-aarch64")
    return Machine(["--target", "aarch64-linux-gnu"], [qemu], cc, cross_runtime(directory, cc))


def nets(directory):
    machine = neon(directory)
    for name in NETS:
        with workplace() as here:
            infers(machine, here, name)


def aarch64(directory):
    machine = neon(directory)
    for name in "lenet5", "simplecnn", "resnet":
        infers(machine, directory, name)
    infers(machine, directory, "resnet18")
    for name, module, shape in trained_nets():
        trains(machine, directory, name, module, shape)


# ---- One object for several CPUs ----

LISTED = ["x86-64-v2", "x86-64-v4", "x86-64-v3"]
E_CPU = 5


def dispatch(directory):
    """Embedded weights, weights packed where they run from a file or the object, training."""
    lenet5 = os.path.join(ROOT, "examples", "lenet5", "lenet5")
    small = os.path.join(directory, "small")
    export_torch.export(randomise(SmallResNet(), 3), torch.randn(1, 3, 16, 16), small)
    x = as_bytes(torch.rand(2, 1, 28, 28))
    steps = as_bytes(torch.randn(2, 3, 16, 16)) + as_bytes(torch.tensor([1, 2]))
    net_ = [lenet5 + ".json", "--batch", "2"]
    dispatched(directory, "embedded", net_, 2, x)
    dispatched(directory, "outside", net_ + ["--external-weights"], 2, x, lenet5 + ".safetensors")
    dispatched(directory, "trained", [small + ".json", "--train", "--batch", "2"], 2, steps)


def dispatched(directory, name, arguments, n, data, *weights):
    base = os.path.join(directory, name)
    several = Machine(["--cpu", ",".join(LISTED)])
    several.build(base, arguments, "-DPICKED=net_cpu")
    where = [("none", [tool("qemu-x86_64"), "-cpu", "core2duo"])]
    where += [(cpu, ["qemu-x86_64", "-cpu", QEMU_CPU[cpu]]) for cpu in ("x86-64-v2", "x86-64-v3")]
    where += [("x86-64-v4", [])] if "x86-64-v4" in cpus() else []
    for cpu, command in where:
        several.command = command
        got, lines = several.call(base, n, data, *weights)
        check(lines[0] == cpu, "%s: code for %s ran in place of %s" % (name, lines[0], cpu))
        if cpu == "none":
            check(got == E_CPU, "%s: status %s without any of the CPUs" % (name, got))
            continue
        one = Machine(["--cpu", cpu], command)
        one.build(base + "_one", arguments)
        want, _ = one.call(base + "_one", n, data, *weights)
        check(isinstance(got, bytes), "%s, %s: status %s" % (name, cpu, got))
        check(got == want, "%s, %s: other bits than the object for that CPU alone" % (name, cpu))
        print("%s: %s runs, with its own bits" % (name, cpu))


def main():
    torch.set_num_threads(1)
    with workplace() as directory:
        {"levels": levels, "aarch64": aarch64, "nets": nets, "dispatch": dispatch}[sys.argv[1]](directory)


if __name__ == "__main__":
    main()
