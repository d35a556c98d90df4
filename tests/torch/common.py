"""What the tests against PyTorch share: the nets, random weights, running cnnc, comparing."""

import copy
import json
import os
import struct
import subprocess
import sys
import tempfile

import torch
import torchvision
from torch import nn

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import export_torch  # noqa: E402
import make_nets  # noqa: E402
import native  # noqa: E402
from train_lenet5 import LeNet5  # noqa: E402

CNNC = os.environ.get("CNNC", "cnnc")
CNNRT = os.environ.get("CNNRT", "libcnnrt.a")
LIMIT = 1e-4  # largest error over largest value
cpus = native.cpus


def cnnc(*arguments):
    """Run the compiler; its output goes with the failure."""
    r = subprocess.run([CNNC, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if r.returncode != 0:
        raise SystemExit("cnnc %s\nexit status %d:\n%s" % (" ".join(arguments), r.returncode, r.stdout))
    return r.stdout


class SimpleCNN(nn.Module):
    """The net of examples/simplecnn."""

    def __init__(self):
        super().__init__()
        self.conv_block1 = nn.Sequential(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2))
        self.conv_block2 = nn.Sequential(nn.Conv2d(16, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2))
        self.fc = nn.Linear(1568, 10)

    def forward(self, x):
        return self.fc(torch.flatten(self.conv_block2(self.conv_block1(x)), 1))


class PlainLeNet5(LeNet5):
    def forward(self, image):
        return super().forward(image)["probability"]


NETS = {
    "simplecnn": (SimpleCNN, [1, 28, 28]),
    "lenet5": (PlainLeNet5, [1, 28, 28]),
    **{name: (getattr(torchvision.models, name), [3, 64, 64]) for name in make_nets.torchvision_nets()},
}


MEAN_STD = {"simplecnn": (0.286, 0.353), "lenet5": (0.286, 0.353)}  # inside these model files


class Each(nn.Module):
    """Every one of some named modules on the same input: an output each."""

    def __init__(self, parts):
        super().__init__()
        self.parts = nn.ModuleDict(dict(parts))

    def forward(self, x):
        return {name: part(x) for name, part in self.parts.items()}


class Sum(Each):
    """The sum of their outputs."""

    def forward(self, x):
        y = None
        for part in self.parts.values():
            y = part(x) if y is None else y + part(x)
        return y


def reference(name, module, x):
    """PyTorch's output for what the model file takes."""
    mean, std = MEAN_STD.get(name, (0, 1))
    with torch.no_grad():
        return module((x - mean) / std)


def randomise(module, seed, keep=False):
    """Random weights (keep: those that it has), and batch norms that are far from the identity."""
    torch.manual_seed(seed)
    for m in module.modules():
        if isinstance(m, export_torch.BATCH_NORMS):
            nn.init.normal_(m.running_mean, 0, 0.2)
            nn.init.uniform_(m.running_var, 0.5, 2)
            if m.affine:
                nn.init.uniform_(m.weight, 0.3, 1.2)
                nn.init.normal_(m.bias, 0, 0.2)
        elif isinstance(m, (nn.Conv2d, nn.Linear)) and not keep:
            m.reset_parameters()
    return module.eval()


def model_file(name, directory):
    """An example's, or, where none is committed, the generator's."""
    path = os.path.join(ROOT, "examples", name, name + ".json")
    return path if os.path.exists(path) else make_nets.write(directory, make_nets.torchvision_nets()[name])


def net(name, directory, seed=1):
    """(module, model file, weights file): an example's model file with the random weights that PyTorch makes it with."""
    torch.manual_seed(seed)
    module, model = randomise(NETS[name][0](), seed, keep=True), model_file(name, directory)
    weights = os.path.join(directory, name + ".safetensors")
    export_torch.write_safetensors(weights, export_torch.weights_for(model, module.state_dict()))
    return module, model, weights


def compiled(directory, name, arguments):
    """Compile to an object, link it with the runtime as a shared library, and load that."""
    base = os.path.join(directory, name)
    cnnc(*arguments, "--name", name, "-o", base + ".o")
    return native.Model(native.link(base + ".o", base + ".so", CNNRT), name)


def training(directory, name, module, example, recipe=None, cpu="native", seed=0):
    """Compile a module's training with the module's values as the initial ones, link, load: a native.Training. The
    recipe is a dictionary; the export is made in evaluation mode, from a copy."""
    base = os.path.join(directory, name + "-" + cpu)  # two libraries of one path would be one
    export_torch.export(copy.deepcopy(module).eval(), example, base)
    with open(base + ".recipe.json", "w") as f:
        json.dump({"format": "cnnc-recipe/1", **(recipe or {})}, f)
    cnnc(base + ".json", "--train", "--recipe", base + ".recipe.json", "--name", name, "--cpu", cpu, "-o", base + ".o")
    return native.Training(native.link(base + ".o", base + ".so", CNNRT), name, seed)


def as_bytes(t):
    """An f32 tensor, or whole numbers as i64."""
    if t.is_floating_point():
        return export_torch.tensor_bytes(t.float())
    return struct.pack("<%dq" % t.numel(), *t.flatten().tolist())


def state(model, role, name, like):
    """An f32 tensor of the state block, in the shape of `like`."""
    return torch.frombuffer(bytearray(model.get(role, name)), dtype=torch.float32).reshape(like.shape)


def set_state(model, module):
    """The module's parameters and statistics are those of the state block."""
    values = module.state_dict()
    for role in (native.PARAM, native.BUFFER):
        for name in model.names(role):
            model.set(role, name, as_bytes(values[name]))


def gap(got, want):
    """Largest error over largest value."""
    want = want.double()
    return (got.reshape(want.shape).double() - want).abs().max().item() / (want.abs().max().item() or 1.0)


def refuses(model, x, target, status, label, entries=("backward", "train_step"), threads=1):
    """The call is an error, and the state is as it was."""
    before = bytes(model.block.raw)
    for entry in entries:
        try:
            model.call(entry, len(x), [as_bytes(x)], [as_bytes(target)], threads)
        except RuntimeError as e:
            check(str(e) == "%s returned %d" % (entry, status), "%s: %s" % (label, e))
        else:
            check(False, "%s: %s is no error" % (label, entry))
        check(model.block.raw == before, "%s: a refused %s changed the state" % (label, entry))


def run(model, x, threads=1):
    """The first output of a loaded model for a batch of images, as a tensor."""
    raw = model.infer(len(x), [export_torch.tensor_bytes(x)], threads)[0]
    return torch.frombuffer(bytearray(raw), dtype=torch.float32).reshape(len(x), -1)


def check(condition, message):
    if not condition:
        raise SystemExit("FAILED: " + message)


def close(got, want, what):
    got, want = got.reshape(want.shape).double(), want.double()
    scale = want.abs().max().item()
    error = (got - want).abs().max().item() / (scale or 1.0)
    print("%-40s largest error over largest value %.2e" % (what, error))
    check(error < LIMIT, "%s: %.3e is not under %.0e" % (what, error, LIMIT))


def workplace():
    return tempfile.TemporaryDirectory(prefix="cnnc-test-")
