#!/usr/bin/python3
"""The exporter by itself: what it writes, and what it says of modules it cannot export."""

import contextlib
import io
import json
import os
import re
import struct
import subprocess
import sys

import torch
import torch.nn.functional as F
from torch import nn

from common import ROOT, check, cnnc, export_torch, workplace


class Functional(nn.Module):
    """Every spelling that stands for a layer."""

    def __init__(self):
        super().__init__()
        self.c, self.i, self.l = nn.Conv2d(3, 4, (3, 5), padding="same", bias=False), nn.Identity(), nn.Linear(4, 5)

    def forward(self, a, b):
        x = torch.add(self.c(a), self.i(b)) + b
        x = F.max_pool2d(x.relu(), 2)
        x = F.dropout(F.avg_pool2d(x, (2, 1)), training=False)
        x = x.mean([2, 3])
        return self.l(x).view(x.size(0), -1), F.softmax(x.flatten(1), dim=1)


class Bad(nn.Module):
    def __init__(self):
        super().__init__()
        self.g, self.h, self.l = nn.Sequential(nn.Tanhshrink()), nn.Hardshrink(), nn.Linear(4, 4)

    def forward(self, x):
        return torch.erf(F.dropout(self.l(self.l(self.h(self.g(x))))))


class Spelt(nn.Module):
    """What is exact at inference without being a layer of its own: dropout, squeeze, a parameter added to channels."""

    def __init__(self):
        super().__init__()
        self.c, self.d, self.p = nn.Conv2d(3, 4, 3), nn.Dropout2d(), nn.AdaptiveAvgPool2d(1)
        self.shift = nn.Parameter(torch.randn(1, 4, 1, 1))

    def forward(self, x):
        x = F.dropout2d(self.d(self.c(x)), training=False) + self.shift
        return torch.squeeze(self.p(x).squeeze(-1), 2).squeeze(1)


class Unspeakable(nn.Module):
    """A parameter that is no shift of channels, and one that an op other than an addition takes."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(1, 3, 8, 8)), nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return x + self.a + F.relu(self.b).view(1, 3, 1, 1)


def functional(directory):
    base = os.path.join(directory, "functional")
    export_torch.export(Functional(), (torch.rand(2, 3, 8, 8), torch.rand(2, 4, 8, 8)), base)
    with open(base + ".json") as f:
        model = json.load(f)
    types = [layer["type"] for layer in model["layers"]]
    check(types == ["Conv2d", "Add", "Add", "ReLU", "MaxPool2d", "AvgPool2d", "Dropout", "AdaptiveAvgPool2d", "Flatten",
                    "Linear", "Flatten", "Flatten", "Softmax"], "layers of the functional net: %s" % types)
    check(model["layers"][0]["inputs"] == ["a"] and model["layers"][1]["inputs"] == ["c", "b"], "inputs by name")
    with open(base + ".safetensors", "rb") as f:
        (size,) = struct.unpack("<Q", f.read(8))
        header = json.loads(f.read(size))
    check(sorted(header) == ["c.weight", "l.bias", "l.weight"], "tensors: %s" % sorted(header))
    y = export_torch.read_npy(base + ".output.output0.npy")
    check(y.shape == (2, 5), "output0 has shape %s" % (tuple(y.shape),))


def spelt(directory):
    """Compiles to what PyTorch computes; the shift has its values in the weights file."""
    base = os.path.join(directory, "spelt")
    torch.manual_seed(3)
    export_torch.export(Spelt(), torch.rand(1, 3, 8, 8), base)
    with open(base + ".json") as f:
        types = [layer["type"] for layer in json.load(f)["layers"]]
    check(types == ["Conv2d", "Dropout2d", "Dropout2d", "BatchNorm2d", "AdaptiveAvgPool2d", "Squeeze", "Squeeze"],
          "layers of the spelt net: %s" % types)
    cnnc("verify", base + ".json", "--input", base + ".input.npy", "--expect", base + ".output.npy")
    text = refused(Unspeakable(), torch.rand(1, 3, 8, 8), os.path.join(directory, "bad"))
    for part in ("add: the tensor a is", "relu: the tensor b is used outside"):
        check(part in text, "%r is not in: %s" % (part, text))


class Shaped(nn.Module):
    """Every spelling that moves or picks elements; modules have the names that their functions would have."""

    def __init__(self):
        super().__init__()
        self.split = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Unflatten(1, (2, 4)))

    def forward(self, x):
        n, c, h, w = x.shape
        a, b = x.chunk(2, 1)
        shuffled = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        first, others, _ = torch.split(x, [1, 5, 2], dim=1)
        parts = x.split(3, dim=-1)
        third, last = parts[2:]
        taken = [x[:, 1:-1:2], x[..., 2], x[:, None, -1], x[:, :, h // 2 :, :3], x[:, :99][:, -3:]]
        moved = [x.permute(0, 2, 3, 1), x.permute((0, 3, 1, 2)), torch.movedim(x, 1, -1), torch.swapaxes(x, 2, 3)]
        shaped = [torch.reshape(x, (2, 8, -1)), x.unflatten(1, (4, 2)), x.unsqueeze(1).squeeze(1), x.unsqueeze(-1),
                  x.reshape(n, -1), torch.unsqueeze(x, 2), self.split(x)]
        joined = [torch.cat([b, a, shuffled], 1), torch.cat([parts[1], third], -1), torch.cat((first, others), dim=1),
                  torch.cat([x, x], 2), torch.cat([x], 1)]
        return (*taken, *moved, *shaped, *joined, last)


class Immovable(nn.Module):
    def forward(self, x):
        return [x.permute(1, 0, 2), x.transpose(0, 1), torch.cat([x, x]), x.view(-1, 6), x.unsqueeze(0), x[:1], x[1:],
                x[:, [0, 2]], x.chunk(2)[0], x.squeeze(), torch.flatten(x), x.unbind(1)[0], x.view(torch.int32)]


def shaped(directory):
    """What moves elements, by what PyTorch makes of it, with two images; and what would move the batch."""
    base = os.path.join(directory, "shaped")
    torch.manual_seed(4)
    example = torch.rand(2, 8, 6, 10)
    model = export_torch.export(Shaped(), example, base)
    names = [layer["name"] for layer in model["layers"]]
    check(len(set(names)) == len(names) and "split.0" in names and "split" not in names, "names: %s" % names)
    files = [a for o in model["outputs"] for a in ("--expect", "%s.output.%s.npy" % (base, o["name"]))]
    cnnc("verify", base + ".json", "--batch", "2", "--input", base + ".input.npy", *files)
    text = refused(Immovable(), torch.rand(2, 3, 4), os.path.join(directory, "bad"))
    for part in ("permute: permute to [1, 0, 2] would move the batch", "transpose: transpose to [1, 0, 2] would move",
                 "cat: a concatenation along the batch", "view: a reshape from (2, 3, 4) to (4, 6); the batch",
                 "unsqueeze: unsqueeze of dimension 0 would move", "getitem: an index into the batch",
                 "getitem_1: an index into the batch", "getitem_2: an index that is no number", "chunk: a split of the batch",
                 "squeeze: squeeze would take the batch away", "flatten: Flatten would take the batch away",
                 "unbind: the operation unbind is not supported", "view_1: a view of another dtype"):
        check(part in text, "%r is not in: %s" % (part, text))


def named(directory):
    """Attributes with any characters: the names reach the weights file, unescaped where JSON lets them."""
    base = os.path.join(directory, "named")
    net = nn.Sequential()
    for name in ("\u00e9", "\u6f22\U0001f600", "a\tb"):
        net.add_module(name, nn.Linear(3, 3))
    export_torch.export(net, torch.rand(2, 3), base)
    with open(base + ".safetensors", "rb") as f:
        check("\u00e9.weight".encode() in f.read(), "the name of \u00e9 is escaped")
    cnnc("verify", base + ".json", "--input", base + ".input.npy", "--expect", base + ".output.npy")


def refused(module, examples, path, **more):
    """The text of the ExportError; no file may be left."""
    try:
        export_torch.export(module, examples, path, **more)
    except export_torch.ExportError as e:
        check(not os.path.exists(path + ".json"), "a failed export left a file")
        return str(e)
    return check(False, "%s was exported" % type(module).__name__)


def faults(directory):
    """All faults in one run, each with the module's path and type; the known layers once."""
    text = refused(Bad(), torch.rand(1, 4), os.path.join(directory, "bad"))
    for part in ("g.0: Tanhshrink is not a layer", "h: Hardshrink is not a layer", "l: the module is used twice",
                 "dropout: dropout is on at inference", "erf: the operation erf"):
        check(part in text, "%r is not in: %s" % (part, text))
    check(text.count(", MaxPool2d,") == 1, "the known layers are not listed once: " + text)


class Of(nn.Module):
    """A forward as a function of the input, a convolution and one more module."""

    def __init__(self, function, module=None, channels=3):
        super().__init__()
        self.f, self.c, self.m = function, nn.Conv2d(channels, channels, 1), module or nn.ReLU(inplace=True)

    def forward(self, x):
        return self.f(x, self.c, self.m)


def after(change, then):
    """A convolution, an in-place operation on its result y that gives z, and what follows."""
    def forward(x, c, m):
        y = c(x)
        z = change(y, x, m)
        return then(y, z)
    return forward


def iadd(y, x, m):
    y += x
    return y


def through_iadd(x, c, m):
    y = c(x)
    v = y.view(-1, 48)
    y += x
    return v


def halves(x, c, m):
    a, b = c(x).chunk(2, 2)
    return torch.cat([m(a), b, a], 2)


def twice(x, c, m):
    y = c(x)
    z = torch.tanh(y)
    same = m(y)
    y.add_(z)
    same.mul_(x)
    return y, z, same


def inplace(directory):
    """A value that is changed and read again: PyTorch's numbers, or a fault that names the view and the remedy."""
    base, add, both = os.path.join(directory, "inplace"), lambda y, z: z + y, lambda y, z: (y, z)
    for i, forward in enumerate((
        after(lambda y, x, m: m(y), add),
        after(lambda y, x, m: F.relu(y, inplace=True), add),
        after(lambda y, x, m: F.relu_(y), add),
        after(lambda y, x, m: y.relu_(), add),
        after(lambda y, x, m: F.leaky_relu(y, 0.3, True), add),
        after(lambda y, x, m: y.add_(x), lambda y, z: z * y),
        after(iadd, lambda y, z: torch.tanh(y) * z),
        after(lambda y, x, m: m(y), both),
        after(lambda y, x, m: m(y), lambda y, z: y),
        after(lambda y, x, m: m(y), lambda y, z: {"v": y.view(-1, 48), "shape": z.reshape(y.size(0), -1)}),
        lambda x, c, m: c(m(x)) + x,
        lambda x, c, m: (x.add_(c(x)), x),
        halves,
        twice,
    )):
        torch.manual_seed(i)
        module = Of(forward, nn.Identity() if forward is twice else None)
        model = export_torch.export(module, torch.randn(1, 3, 4, 4), base)
        files = export_torch.example_files(base + ".output", model["outputs"])
        cnnc("verify", base + ".json", "--input", base + ".input.npy", *(a for f in files for a in ("--expect", f)))
    for view in (lambda y: y.view(-1, 48), lambda y: y.reshape(-1, 3, 16), lambda y: y.flatten(1), lambda y: y.unsqueeze(1),
                 lambda y: y.permute(0, 2, 3, 1), lambda y: y.transpose(1, 2), lambda y: y[:, 1:], lambda y: y[:, 0],
                 lambda y: y.split(1, 1)[1], lambda y: y.chunk(3, 1)[0], lambda y: y.unsqueeze(1).squeeze(1)):
        for forward in (lambda x, c, m: (lambda y: (view(y), m(y)))(c(x)),
                        lambda x, c, m: (lambda y: (m(view(y)), y))(c(x))):
            text = refused(Of(forward), torch.randn(1, 3, 4, 4), os.path.join(directory, "bad"))
            for part in ("output: reads ", "elements m changed in place", "use the out-of-place form of m"):
                check(part in text, "%r is not in: %s" % (part, text))
    text = refused(Of(through_iadd), torch.randn(1, 3, 4, 4), os.path.join(directory, "bad"))
    check("reads view, whose elements add changed" in text, "a view of a changed value: " + text)
    state = nn.Identity()
    state.register_buffer("sum", torch.zeros(1, 3, 1, 1))
    text = refused(Of(lambda x, c, m: m.sum.add_(c(x)), state), torch.randn(1, 3, 1, 1), os.path.join(directory, "bad"))
    check(text == "add_: it changes the tensor m.sum; a model keeps no state", "a changed buffer: " + text)


def example_kept(directory):
    """A net that changes its input: the example is what it was, and so is the caller's."""
    base, x = os.path.join(directory, "kept"), torch.full((1, 3, 4, 4), -1.0)
    export_torch.export(Of(lambda x, c, m: c(x.add_(x))), x, base)
    check(x.eq(-1).all() and export_torch.read_npy(base + ".input.npy").eq(-1).all(), "the example was changed")
    cnnc("verify", base + ".json", "--input", base + ".input.npy", "--expect", base + ".output.npy")


def reasons(directory):
    """What is no model: a line that names the call and says why, without the exporter's own names."""
    shuffle = Of(lambda x, c, m: F.pixel_shuffle(x.unsqueeze(1), 2), channels=8)
    for forward, wanted in (
        (lambda x, c, m: {"a": [c(x), x]}, "output: a is [c, x]; it must be a tensor"),
        (lambda x, c, m: None, "output: the module returns None; it must be a tensor"),
        (lambda x, c, m: (), "output: the module returns (); it must be a tensor"),
        (lambda x, c, m: (x, 3), "output: output1 is 3; it must be a tensor"),
        (lambda x, c, m: x[:, 5:2], "getitem: it has no elements"),
        (lambda x, c, m: x.split([0, 3], 1)[1], "split: it has no elements"),
        (lambda x, c, m: F.softmax(x, 0), "softmax: a Softmax over the batch"),
        (lambda x, c, m: x.log_softmax(-4), "log_softmax: a LogSoftmax over the batch"),
        (lambda x, c, m: F.pad(x, (0, 0, 0, 0, 0, 0, 1, 0)), "pad: a padding of the batch is not supported"),
        (lambda x, c, m: F.pad(x, (1, 1), "constant", True), "pad: Pad with the value True; give a number"),
        (shuffle.f, "pixel_shuffle: PixelShuffle of 5 dimensions; it wants 4"),
        (lambda x, c, m: torch.sub(x, c(x), alpha=3), "sub: a Sub with alpha is not supported"),
        (lambda x, c, m: x.add(c(x), alpha=3), "add: an addition with alpha is not supported"),
        (lambda x, c, m: torch.div(x, c(x), rounding_mode="floor"), "div: a Div with rounding_mode is not supported"),
        (lambda x, c, m: torch.cat([x], 1, out=c(x)), "cat: the argument out of cat is not supported"),
        (lambda x, c, m: torch.sigmoid(x, out=c(x)), "sigmoid: the argument out of sigmoid is not supported"),
    ):
        channels = 8 if forward is shuffle.f else 3
        text = refused(Of(forward, channels=channels), torch.rand(1, channels, 4, 4), os.path.join(directory, "bad"))
        check(text.startswith(wanted) and "\n" not in text, "%r is not what begins: %s" % (wanted, text))
    for module, wanted in (
        (nn.BatchNorm2d(3, momentum=None), "m: BatchNorm2d with momentum None, a cumulative average, is not supported"),
        (nn.Softmax(0), "m: a Softmax over the batch; give it another dimension"),
        (nn.ConstantPad2d(1, True), "m: ConstantPad2d with the value True; give a number"),
    ):
        text = refused(Of(lambda x, c, m: m(x), module), torch.rand(1, 3, 4, 4), os.path.join(directory, "bad"))
        check(text == wanted, "%r is not: %s" % (wanted, text))


def numpys(directory):
    """NumPy's names of arguments, which PyTorch takes too; arguments that change nothing; a net of no layer."""
    base = os.path.join(directory, "numpys")
    for forward in (
        lambda x, c, m: (torch.cat([x, c(x)], axis=1), x.mean(axis=1), x.sum(axis=(1, 2), keepdims=True),
                         x.amax(axis=-1), torch.squeeze(x.unsqueeze(axis=2), axis=2), x.softmax(axis=1),
                         torch.sub(x, x.tanh(), alpha=1), torch.div(x, x.sigmoid(), rounding_mode=None)),
        lambda x, c, m: x,
        lambda x, c, m: (x, x),
    ):
        model = export_torch.export(Of(forward), torch.rand(1, 3, 4, 4), base)
        files = export_torch.example_files(base + ".output", model["outputs"])
        cnnc("verify", base + ".json", "--input", base + ".input.npy", *(a for f in files for a in ("--expect", f)))


def wrong_examples(directory):
    """What PyTorch refuses: one line with the layer and PyTorch's own sentence."""
    bad = os.path.join(directory, "bad")
    net = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3))
    for module, examples, wanted in (
        (net, torch.rand(1, 1, 8, 8), "1: Given groups=1, weight of size [4, 3, 3, 3], expected input[1, 1, 8, 8] to have 3"),
        (Functional(), torch.rand(1, 3, 8, 8), "the module takes 2 inputs (a, b); 1 was given"),
        (net, (torch.rand(1, 3, 8, 8), torch.rand(1, 3, 8, 8)), "the module takes 1 input (input); 2 were given"),
        (nn.Sequential(nn.Conv2d(3, 4, 3).double()), torch.rand(1, 3, 8, 8), "0.weight is float64; cnnc computes in float32"),
    ):
        text = refused(module, examples, bad)
        check(text.startswith(wanted) and "\n" not in text, "%r is not what begins: %s" % (wanted, text))
    for more, wanted in (
        ({"classes": ["a", "b", "c"]}, "classes has 3 names; the first output has 144 values"),
        ({"mean": [0.5]}, "mean has 1 number; the input input has 3 channels"),
        ({"std": [0.5] * 4}, "std has 4 numbers; the input input has 3 channels"),
    ):
        text = refused(net, torch.rand(1, 3, 8, 8), bad, **more)
        check(text == wanted, "%r is not: %s" % (wanted, text))


def run_exporter(arguments, place):
    """(exit status, standard error) of the command, in this process: loading PyTorch takes seconds."""
    before, errors = os.getcwd(), io.StringIO()
    os.chdir(place)
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            status = export_torch.command(arguments)
    except SystemExit as e:  # argparse
        status = e.code
    finally:
        os.chdir(before)
    return status, errors.getvalue()


def command(directory):
    """The command line: an error is one line on standard error and status 1; 2 for bad usage."""
    state = os.path.join(directory, "state.pt")
    torch.save(nn.Sequential(nn.Linear(2, 2)).state_dict(), state)
    text = "from torch import nn\n\nclass Own(nn.Sequential):\n    pass\n\ndef make(n=2):\n    return Own(nn.Linear(n, 2))\n"
    for name in ("net", "gone"):
        with open(os.path.join(directory, name + ".py"), "w") as f:
            f.write(text)
        code = "import %s, torch; torch.save(%s.make(), '%s.pt')" % (name, name, name)
        subprocess.run([sys.executable, "-c", code], cwd=directory, check=True)
    os.remove(os.path.join(directory, "gone.py"))
    with open(os.path.join(directory, "text.pt"), "w") as f:
        f.write("not weights")
    model = os.path.join(ROOT, "examples", "simplecnn", "simplecnn.json")
    net = ("--module", "net:make", "--input-shape", "2", "-o", "x")
    for arguments, status, wanted in (
        (("--state-dict", state, "--json", model, "-o", "x"), 1, "lacks conv_block1.0.weight"),
        (("--state-dict", "net.pt", *net), 1, "net.pt holds no state_dict; save module.state_dict(), not the module"),
        (("--state-dict", "gone.pt", "--json", model, "-o", "x"), 1, "gone.pt holds no state_dict"),
        (("--state-dict", "text.pt", *net), 1, "text.pt cannot be read"),
        (("--module", "net:make", "--args", '{"n": "a"}', "--input-shape", "2", "-o", "x"), 1, "--module net:make: "),
        (("--module", "net:make", "--args", '[1]', "--input-shape", "2", "-o", "x"), 2, "--args"),
        (("--module", "net:make", "--input-shape", "3x32xa", "-o", "x"), 2, "3x32xa"),
        (("--module", "net:make", "--input-shape", "3x0", "-o", "x"), 2, "3x0"),
        (("--mean", "a", *net), 2, "--mean"),
    ):
        got, errors = run_exporter(arguments, directory)
        last = errors.strip().splitlines()[-1]
        check(got == status and wanted in last, "%s: %s, %s" % (arguments, got, errors))
        check(status == 2 or last == errors.strip(), "%s: more than a line: %s" % (arguments, errors))
    check(not os.path.exists(os.path.join(directory, "x.json")), "a failed export left a file")
    got, errors = run_exporter(("--state-dict", "state.pt", *net), directory)
    check(got == 0, "a module with its trained weights: " + errors)


def without_torch(directory):
    """One line that says what to install, and for which Python."""
    script = os.path.join(ROOT, "tools", "export_torch.py")
    r = subprocess.run([sys.executable, "-S", "-E", script, "--help"], stderr=subprocess.PIPE, text=True)
    ok = r.returncode == 1 and "needs PyTorch for" in r.stderr and r.stderr.count("\n") == 1
    check(ok, "without PyTorch: %d, %s" % (r.returncode, r.stderr))


def documented(directory):
    """docs/export.md has every option and every layer."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        export_torch.command(["--help"])
    text = out.getvalue()
    with open(os.path.join(ROOT, "docs", "export.md")) as f:
        page = f.read()
    for word in set(re.findall(r"--[a-z-]+", text)) - {"--help"} | {k.__name__ for k in export_torch.LAYERS}:
        check(word in page, "docs/export.md lacks " + word)


def main():
    with workplace() as directory:
        for test in (functional, spelt, shaped, named, faults, inplace, example_kept, reasons, numpys, wrong_examples, command, without_torch, documented):
            test(directory)
            print("ok", test.__name__)


if __name__ == "__main__":
    main()
