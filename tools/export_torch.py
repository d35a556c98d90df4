#!/usr/bin/python3
"""Export a PyTorch module as a cnnc model: NAME.json, NAME.safetensors, and an example input with
PyTorch's own output for it, NAME.input.npy and NAME.output.npy. Needs torch and the standard library.

    export_torch.py --module torchvision.models:resnet18 --input-shape 3x224x224 -o resnet18
    export_torch.py --state-dict resnet18.pt --json resnet18.json -o resnet18.safetensors   (weights only)

or from Python:

    import export_torch
    export_torch.export(net, example_input, "net")
"""

import argparse
import ctypes
import importlib
import json
import operator
import os
import struct
import sys

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp


class ExportError(Exception):
    """The module, or a file, cannot be exported; the text says why."""


# ---------------------------------------------------------------- files


def tensor_bytes(t):
    """The elements of a tensor, in C order, without NumPy."""
    t = t.detach().cpu().contiguous()
    return ctypes.string_at(t.data_ptr(), t.numel() * t.element_size())


def write_file(path, *parts):
    """Write beside the place and rename: a failed run never leaves half a file."""
    with open(path + ".tmp", "wb") as f:
        for part in parts:
            f.write(part)
    os.replace(path + ".tmp", path)


def write_npy(path, t):
    """A float tensor as a NumPy .npy file, format 1.0, little-endian f32."""
    t = t.float()
    shape = "(" + "".join("%d, " % d for d in t.shape) + ")"
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }" % shape
    header += " " * (-(len(header) + 11) % 64) + "\n"
    write_file(path, b"\x93NUMPY\x01\x00", struct.pack("<H", len(header)), header.encode(), tensor_bytes(t))


def read_npy(path):
    """A .npy file of f32 as a tensor; enough to read what write_npy and cnnc write."""
    with open(path, "rb") as f:
        data = bytearray(f.read())
    if data[:7] != b"\x93NUMPY\x01":
        raise ExportError("%s: not a .npy file of format 1" % path)
    (size,) = struct.unpack_from("<H", data, 8)
    header = data[10 : 10 + size].decode()
    if "'<f4'" not in header or "'fortran_order': False" not in header:
        raise ExportError("%s: not little-endian f32 in C order" % path)
    dims = header.split("(")[1].split(")")[0].split(",")
    shape = [int(d) for d in dims if d.strip()]
    flat = torch.frombuffer(data, dtype=torch.float32, offset=10 + size) if len(data) > 10 + size else torch.empty(0)
    return flat.reshape(shape)


ST_DTYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def write_safetensors(path, tensors):
    """A state_dict as safetensors. Batch norm's num_batches_tracked takes no part in a model and is left out."""
    tensors = {k: v for k, v in tensors.items() if not k.endswith("num_batches_tracked")}
    header, blobs, offset = {}, [], 0
    for key, t in tensors.items():
        if t.dtype not in ST_DTYPES:
            t = t.float()
        blobs.append(tensor_bytes(t))
        end = offset + len(blobs[-1])
        header[key] = {"dtype": ST_DTYPES[t.dtype], "shape": list(t.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    write_file(path, struct.pack("<Q", len(text)), text, *blobs)


def model_text(model):
    """A model as JSON, one input or layer a line."""
    lines = []
    for key, value in model.items():
        if key in ("inputs", "layers", "outputs"):
            rows = ",\n".join("    " + json.dumps(row) for row in value)
            lines.append('  "%s": [\n%s\n  ]' % (key, rows))
        else:
            lines.append('  "%s": %s' % (key, json.dumps(value)))
    return "{\n" + ",\n".join(lines) + "\n}\n"


# ---------------------------------------------------------------- layers


def plain(value):
    """An argument of torch.nn as JSON wants it: (3, 3) as 3, (3, 5) as [3, 5]."""
    if isinstance(value, (tuple, list, torch.Size)):
        value = list(value)
        return value[0] if len(value) == 2 and value[0] == value[1] else value
    return value


# For each module: the arguments to copy, with PyTorch's defaults; an argument at its default is not written.
REQUIRED = object()
LAYERS = {
    nn.Conv2d: {"in_channels": REQUIRED, "out_channels": REQUIRED, "kernel_size": REQUIRED, "stride": 1,
                "padding": 0, "dilation": 1, "groups": 1},
    nn.Linear: {"in_features": REQUIRED, "out_features": REQUIRED},
    nn.BatchNorm2d: {"num_features": REQUIRED, "eps": 1e-5, "momentum": 0.1, "affine": True},
    nn.ReLU: {},
    nn.MaxPool2d: {"kernel_size": REQUIRED, "stride": None, "padding": 0, "dilation": 1, "ceil_mode": False},
    nn.AvgPool2d: {"kernel_size": REQUIRED, "stride": None, "padding": 0, "ceil_mode": False,
                   "count_include_pad": True, "divisor_override": None},
    nn.AdaptiveAvgPool2d: {"output_size": REQUIRED},
    nn.Flatten: {"start_dim": 1, "end_dim": -1},
    nn.Dropout: {"p": 0.5},
    nn.Softmax: {"dim": REQUIRED},
}


def layer_of_module(module):
    """The JSON layer of a torch.nn module, without name and inputs; raises ExportError with the reason."""
    kind = type(module)
    if kind not in LAYERS:
        known = ", ".join(sorted(k.__name__ for k in LAYERS))
        raise ExportError("%s is not a layer that cnnc knows (%s, Identity)" % (kind.__name__, known))
    layer = {"type": kind.__name__}
    for key, default in LAYERS[kind].items():
        value = plain(getattr(module, key))
        if key == "stride" and "Pool" in layer["type"] and value == layer["kernel_size"]:
            continue
        if value != default:
            layer[key] = value
    if kind in (nn.Conv2d, nn.Linear) and module.bias is None:
        layer["bias"] = False
    if kind is nn.Conv2d and module.padding_mode != "zeros":
        raise ExportError("Conv2d with padding_mode %r is not supported" % module.padding_mode)
    if kind is nn.BatchNorm2d and not module.track_running_stats:
        raise ExportError("BatchNorm2d without running statistics is not supported")
    if kind is nn.MaxPool2d and module.return_indices:
        raise ExportError("MaxPool2d with return_indices is not supported")
    return layer


def call(function_of_args):
    """Bind a call's arguments by name, so that positions and keywords read the same below."""
    return lambda args, kwargs: function_of_args(*args, **kwargs)


def adaptive(x, output_size):
    return nn.AdaptiveAvgPool2d(output_size)


def max_pool(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    return nn.MaxPool2d(kernel_size, stride, padding, dilation, return_indices, ceil_mode)


def avg_pool(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
    return nn.AvgPool2d(kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def softmax(x, dim=None, **kwargs):
    if dim is None or kwargs.get("dtype") is not None:
        raise ExportError("softmax wants an explicit dim and no dtype")
    return nn.Softmax(dim)


# Functions and tensor methods that stand for a module. A method has its name, a function itself, as the key.
FUNCTIONS = {}
for spellings, make in (
    ((F.relu, torch.relu, torch.relu_, "relu", "relu_"), lambda x, inplace=False: nn.ReLU()),
    ((torch.flatten, "flatten"), lambda x, start_dim=0, end_dim=-1: nn.Flatten(start_dim, end_dim)),
    ((F.dropout,), lambda x, p=0.5, training=True, inplace=False: nn.Dropout(p)),
    ((F.softmax, torch.softmax, "softmax"), softmax),
    ((F.max_pool2d, torch.max_pool2d), max_pool),
    ((F.avg_pool2d,), avg_pool),
    ((F.adaptive_avg_pool2d,), adaptive),
):
    for spelling in spellings:
        FUNCTIONS[spelling] = call(make)
ADDS = {operator.add, operator.iadd, torch.add, "add", "add_"}
RESHAPES = {torch.reshape, "view", "reshape"}
MEANS = {torch.mean, "mean"}


# ---------------------------------------------------------------- the graph


class Exporter:
    """Walks the traced graph once; every fault is kept, so that one run names them all."""

    def __init__(self, module):
        self.module = module
        self.layers, self.names, self.faults = [], {}, []
        self.used = set()  # names given to layers and inputs
        self.owners = {}  # path of a module with parameters -> the fx node that first used it
        self.only_input = None  # its name; None when there are several

    def emit(self, node, layer, name, sources):
        """Append one layer; `inputs` is left out where it is the layer just before."""
        base, k = name, 1
        while name in self.used:
            name, k = "%s_%d" % (base, k), k + 1
        self.used.add(name)
        row = {"name": name}
        row.update(layer)
        inputs = [self.names[s] for s in sources]
        before = self.layers[-1]["name"] if self.layers else self.only_input
        if inputs != [before]:
            row["inputs"] = inputs
        self.layers.append(row)
        self.names[node] = name

    def shape(self, node):
        meta = node.meta.get("tensor_meta")
        return tuple(meta.shape) if isinstance(meta, fx.passes.shape_prop.TensorMetadata) else None

    def call_module(self, node):
        path, module = node.target, self.module.get_submodule(node.target)
        if isinstance(module, nn.Identity):
            self.names[node] = self.names[node.args[0]]
            return
        if module.state_dict() and self.owners.setdefault(path, node) is not node:
            raise ExportError("the module is used twice; layers that share weights are not supported")
        self.emit(node, layer_of_module(module), path, [node.args[0]])

    def call_function(self, node):
        target = node.target
        tensors = [a for a in node.args if isinstance(a, fx.Node) and self.shape(a) is not None]
        if target in ADDS:
            self.add(node, tensors)
        elif target in RESHAPES:
            self.reshape(node)
        elif target in MEANS:
            self.mean(node, *node.args, **node.kwargs)
        elif target in FUNCTIONS:
            module = FUNCTIONS[target](node.args, node.kwargs)
            self.emit(node, layer_of_module(module), node.name, [node.args[0]])
        elif self.shape(node) is not None:
            what = target if isinstance(target, str) else getattr(target, "__name__", str(target))
            raise ExportError("the operation %s is not supported" % what)
        # What is left makes no tensor: x.size(0), x.shape[0]. A reshape that uses it is judged by its shape.

    call_method = call_function

    def add(self, node, tensors):
        if len(tensors) != 2 or node.kwargs.get("alpha", 1) != 1:
            raise ExportError("an addition must be of two tensors, without alpha")
        if self.shape(tensors[0]) != self.shape(tensors[1]):
            raise ExportError("an addition of different shapes, %s and %s"
                              % (self.shape(tensors[0]), self.shape(tensors[1])))
        self.emit(node, {"type": "Add"}, node.name, tensors)

    def reshape(self, node):
        source = node.args[0]
        before, after = self.shape(source), self.shape(node)
        if len(after) != 2 or after[0] != before[0]:
            raise ExportError("a reshape from %s to %s; only flattening all but the batch is supported"
                              % (before, after))
        self.emit(node, {"type": "Flatten"}, node.name, [source])

    def mean(self, node, x, dim=None, keepdim=False, dtype=None):
        dims = sorted(d % 4 for d in ([dim] if isinstance(dim, int) else dim or []))
        if len(self.shape(x)) != 4 or dims != [2, 3] or dtype is not None:
            raise ExportError("a mean over other dimensions than height and width")
        self.emit(node, {"type": "AdaptiveAvgPool2d", "output_size": 1}, node.name, [x])
        if not keepdim:
            pooled = self.layers[-1]["name"]
            self.emit(node, {"type": "Flatten"}, pooled + "_flat", [node])

    def outputs(self, node):
        value = node.args[0]
        if isinstance(value, fx.Node):
            value = {"output": value}
        elif isinstance(value, (tuple, list)):
            value = {"output%d" % i: v for i, v in enumerate(value)}
        return [{"name": str(k), "from": self.names[v]} for k, v in value.items()]

    def walk(self, graph):
        inputs, outputs = [], []
        for node in graph.nodes:
            try:
                if node.op == "placeholder":
                    self.names[node] = str(node.target)
                    self.used.add(str(node.target))
                    self.only_input = None if inputs else str(node.target)
                    inputs.append({"name": str(node.target), "shape": list(self.shape(node)[1:])})
                elif node.op == "output":
                    outputs = self.outputs(node) if not self.faults else []
                elif node.op == "get_attr":
                    raise ExportError("the tensor %r is used outside of a layer" % node.target)
                else:
                    getattr(self, node.op)(node)
            except ExportError as e:
                self.faults.append("%s: %s" % (node.target if node.op == "call_module" else node.name, e))
                self.names[node] = node.name
        if self.faults:
            raise ExportError("\n".join(self.faults))
        return inputs, outputs


def normalise(inputs, examples, mean, std):
    """Put mean and std on the (only) input of the model, and apply them to the example for PyTorch."""
    if mean is None and std is None:
        return examples
    if len(inputs) != 1:
        raise ExportError("mean and std are for a model with one input")
    channels = inputs[0]["shape"][0]
    mean, std = mean or [0.0] * channels, std or [1.0] * channels
    inputs[0].update({"mean": list(mean), "std": list(std)})
    as_tensor = lambda v: torch.tensor(v, dtype=torch.float32).reshape(1, -1, 1, 1)
    return [(examples[0] - as_tensor(mean)) / as_tensor(std)]


def export(module, example_input, path, name=None, mean=None, std=None, classes=None):
    """Write path.json, path.safetensors and the example as .npy. `example_input` is a tensor with the batch
    first, or a tuple of them. With mean and std the model takes what comes before the normalisation."""
    module = module.eval()
    examples = list(example_input) if isinstance(example_input, (tuple, list)) else [example_input]
    try:
        traced = fx.symbolic_trace(module)
    except Exception as e:
        raise ExportError("torch.fx cannot trace %s: %s" % (type(module).__name__, e)) from e
    with torch.no_grad():
        ShapeProp(traced).propagate(*examples)
    exporter = Exporter(module)
    inputs, outputs = exporter.walk(traced.graph)
    fed = normalise(inputs, examples, mean, std)
    base = os.path.basename(path)
    model = {"format": "cnnc-model/1", "name": name or base, "weights": base + ".safetensors",
             "inputs": inputs, "layers": exporter.layers, "outputs": outputs}
    if classes:
        model["classes"] = list(classes)
    kept = {k: v for k, v in module.state_dict().items() if k.rpartition(".")[0] in exporter.owners}
    with torch.no_grad():
        results = module(*fed)
    write_safetensors(path + ".safetensors", kept)
    write_examples(path + ".input", examples, inputs)
    write_examples(path + ".output", results, outputs)
    write_file(path + ".json", model_text(model).encode())
    return model


def write_examples(path, tensors, rows):
    """One tensor: PATH.npy. Several: PATH.NAME.npy for each."""
    if isinstance(tensors, torch.Tensor):
        tensors = [tensors]
    elif isinstance(tensors, dict):
        tensors = list(tensors.values())
    for t, row in zip(tensors, rows):
        write_npy(path + ".npy" if len(rows) == 1 else "%s.%s.npy" % (path, row["name"]), t)


# ---------------------------------------------------------------- the command


def load_state_dict(path):
    """A state_dict as torch.save wrote it, or a checkpoint that holds one under "state_dict"."""
    state = torch.load(path, map_location="cpu")
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        raise ExportError("%s holds no state_dict; save module.state_dict(), not the module" % path)
    return state


PARAMETERS = {"Conv2d": ["weight", "bias"], "Linear": ["weight", "bias"],
              "BatchNorm2d": ["weight", "bias", "running_mean", "running_var"]}


def weights_for(model_path, state):
    """The tensors of a state_dict that the layers of a model file want; every missing one is named."""
    with open(model_path) as f:
        model = json.load(f)
    wanted = []
    for layer in model["layers"]:
        for p in PARAMETERS.get(layer["type"], []):
            absent = p == "bias" and layer.get("bias") is False
            absent = absent or (layer.get("affine") is False and p in ("weight", "bias"))
            if not absent:
                wanted.append("%s.%s" % (layer.get("name", ""), p))
    missing = [k for k in wanted if k not in state]
    if missing:
        raise ExportError("the state_dict lacks " + ", ".join(missing))
    return {k: state[k] for k in wanted}


def make_module(spec, arguments):
    """The module of "package.module:factory", called with the arguments given as JSON."""
    package, _, factory = spec.partition(":")
    if not factory:
        raise ExportError("--module wants package:factory, not %r" % spec)
    sys.path.insert(0, os.getcwd())
    try:
        make = operator.attrgetter(factory)(importlib.import_module(package))
        module = make(**json.loads(arguments))
    except (ImportError, AttributeError, TypeError, ValueError) as e:
        raise ExportError("--module %s: %s" % (spec, e)) from e
    if not isinstance(module, nn.Module):
        raise ExportError("--module %s gives a %s, not a torch.nn.Module" % (spec, type(module).__name__))
    return module


def numbers(text):
    return [float(v) for v in text.split(",")]


def parse_arguments(argv):
    p = argparse.ArgumentParser(description="Export a PyTorch module, or a state_dict, for cnnc.")
    p.add_argument("--module", metavar="PACKAGE:FACTORY", help="what makes the module, such as torchvision.models:resnet18")
    p.add_argument("--args", metavar="JSON", default="{}", help='keyword arguments of the factory: \'{"num_classes": 10}\'')
    p.add_argument("--state-dict", metavar="FILE", help="weights saved with torch.save(module.state_dict(), FILE)")
    p.add_argument("--json", metavar="MODEL.json", help="without --module: the model whose weights are wanted")
    p.add_argument("--input-shape", metavar="CxHxW", action="append", default=[], help="of the example, batch left out; once an input")
    p.add_argument("--seed", type=int, default=0, help="of the example input and of fresh weights (default 0)")
    p.add_argument("--mean", type=numbers, metavar="M,M,M", help="the model subtracts this from its input, a number a channel")
    p.add_argument("--std", type=numbers, metavar="S,S,S", help="and divides by this")
    p.add_argument("--classes", type=lambda s: s.split(","), metavar="A,B,C", help="names of the classes")
    p.add_argument("--name", help="of the model (default: from -o)")
    p.add_argument("-o", metavar="PATH", required=True, help="PATH.json and its companions; with --json, the safetensors file")
    a = p.parse_args(argv)
    if bool(a.module) == bool(a.json) or (a.json and not a.state_dict) or (a.module and not a.input_shape):
        p.error("give --module and --input-shape, or --state-dict and --json")
    return a


def main(argv):
    a = parse_arguments(argv)
    if a.json:
        write_safetensors(a.o, weights_for(a.json, load_state_dict(a.state_dict)))
        print("wrote %s" % a.o)
        return
    torch.manual_seed(a.seed)
    module = make_module(a.module, a.args)
    if a.state_dict:
        module.load_state_dict(load_state_dict(a.state_dict))
    examples = [torch.rand([1] + [int(d) for d in s.split("x")]) for s in a.input_shape]
    export(module, examples, a.o, a.name, a.mean, a.std, a.classes)
    print("wrote %s.json, .safetensors, .input.npy and .output.npy" % a.o)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (ExportError, OSError, RuntimeError) as e:
        print("export_torch: error: %s" % e, file=sys.stderr)
        sys.exit(1)
