#!/usr/bin/python3
"""Export a PyTorch module as a cnnc model: NAME.json, NAME.safetensors, and an example input with
PyTorch's own output for it, NAME.input.npy and NAME.output.npy. Needs torch and the standard library.
docs/export.md is the reference.

    export_torch.py --module torchvision.models:resnet18 --input-shape 3x224x224 -o resnet18
    export_torch.py --state-dict resnet18.pt --json resnet18.json -o resnet18.safetensors   (weights only)

or from Python:

    import export_torch
    export_torch.export(net, example_input, "net")
"""

import argparse
import ctypes
import dis
import importlib
import json
import operator
import os
import re
import struct
import sys
import unittest.mock

try:
    import torch
    import torch.nn.functional as F
    from torch import fx, nn
except ImportError as missing:
    if __name__ != "__main__":
        raise
    sys.exit("export_torch: error: needs PyTorch for %s (%s); on Debian: apt-get install python3-torch"
             % (sys.executable, missing))


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
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
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
        return value[0] if value and all(v == value[0] for v in value) else value
    return value


# For each module: the arguments to copy, with PyTorch's defaults; an argument at its default is not written.
REQUIRED = object()
PLAIN = (nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.LogSigmoid, nn.Tanh,
         nn.Softsign)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)
PADS = (nn.ZeroPad2d, nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d, nn.ReplicationPad1d,
        nn.ReplicationPad2d, nn.ReplicationPad3d)
CONSTANT_PADS = (nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d)


class Pad(nn.Module):
    """torch.nn.functional.pad as a layer."""

    def __init__(self, pad, mode, value):
        super().__init__()
        self.pad, self.mode, self.value = list(pad), mode, value


LAYERS = {
    **dict.fromkeys(CONVOLUTIONS, {"in_channels": REQUIRED, "out_channels": REQUIRED, "kernel_size": REQUIRED,
                                   "stride": 1, "padding": 0, "dilation": 1, "groups": 1, "padding_mode": "zeros"}),
    nn.ConvTranspose2d: {"in_channels": REQUIRED, "out_channels": REQUIRED, "kernel_size": REQUIRED, "stride": 1,
                         "padding": 0, "output_padding": 0, "groups": 1, "dilation": 1},
    **dict.fromkeys(PADS, {"padding": REQUIRED}),
    **dict.fromkeys(CONSTANT_PADS, {"padding": REQUIRED, "value": REQUIRED}),
    Pad: {"pad": REQUIRED, "mode": "constant", "value": 0.0},
    nn.Linear: {"in_features": REQUIRED, "out_features": REQUIRED},
    **dict.fromkeys(BATCH_NORMS, {"num_features": REQUIRED, "eps": 1e-5, "momentum": 0.1, "affine": True}),
    nn.GroupNorm: {"num_groups": REQUIRED, "num_channels": REQUIRED, "eps": 1e-5, "affine": True},
    nn.InstanceNorm2d: {"num_features": REQUIRED, "eps": 1e-5, "momentum": 0.1, "affine": False},
    nn.LayerNorm: {"normalized_shape": REQUIRED, "eps": 1e-5, "elementwise_affine": True},
    nn.LocalResponseNorm: {"size": REQUIRED, "alpha": 1e-4, "beta": 0.75, "k": 1.0},
    **dict.fromkeys(PLAIN, {}),
    nn.LeakyReLU: {"negative_slope": 0.01},
    nn.PReLU: {"num_parameters": 1},
    nn.ELU: {"alpha": 1.0},
    nn.CELU: {"alpha": 1.0},
    nn.GELU: {"approximate": "none"},
    nn.Hardtanh: {"min_val": -1.0, "max_val": 1.0},
    nn.Softplus: {"beta": 1, "threshold": 20},
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d),
                    {"kernel_size": REQUIRED, "stride": None, "padding": 0, "dilation": 1, "ceil_mode": False}),
    nn.AvgPool1d: {"kernel_size": REQUIRED, "stride": None, "padding": 0, "ceil_mode": False,
                   "count_include_pad": True},
    **dict.fromkeys((nn.AvgPool2d, nn.AvgPool3d),
                    {"kernel_size": REQUIRED, "stride": None, "padding": 0, "ceil_mode": False,
                     "count_include_pad": True, "divisor_override": None}),
    **dict.fromkeys((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d, nn.AdaptiveAvgPool1d,
                     nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), {"output_size": REQUIRED}),
    **dict.fromkeys((nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d),
                    {"size": None, "scale_factor": None, "mode": "nearest", "align_corners": None,
                     "recompute_scale_factor": None}),
    nn.PixelShuffle: {"upscale_factor": REQUIRED},
    nn.PixelUnshuffle: {"downscale_factor": REQUIRED},
    nn.ChannelShuffle: {"groups": REQUIRED},
    nn.Flatten: {"start_dim": 1, "end_dim": -1},
    nn.Unflatten: {"dim": REQUIRED, "unflattened_size": REQUIRED},
    **dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d), {"p": 0.5}),
    nn.Softmax: {"dim": REQUIRED},
    nn.LogSoftmax: {"dim": REQUIRED},
    nn.Softmax2d: {},
}


LISTS = ("normalized_shape", "pad", "unflattened_size")  # stay lists, whatever is in them
# The same as another layer.
SAME = {nn.UpsamplingNearest2d: "Upsample", nn.UpsamplingBilinear2d: "Upsample"}
UPSAMPLINGS = ("nearest", "linear", "bilinear", "trilinear")


def known_layers():
    return ", ".join(sorted(k.__name__ for k in LAYERS)) + ", Identity"


class UnknownLayer(ExportError):
    """One that cnnc does not have: after these, the list of those it has helps."""


def count(n, noun):
    return "%d %s%s" % (n, noun, "" if n == 1 else "s")


def layer_of_module(module):
    """The JSON layer of a torch.nn module, without name and inputs; raises ExportError with the reason."""
    kind = type(module)
    if kind not in LAYERS:
        raise UnknownLayer("%s is not a layer that cnnc knows" % kind.__name__)
    layer = {"type": SAME.get(kind, kind.__name__)}
    for key, default in LAYERS[kind].items():
        value = getattr(module, key)
        value = list(value) if key in LISTS else plain(value)
        if key == "stride" and "Pool" in layer["type"] and value == layer["kernel_size"]:
            continue
        if value != default:
            layer[key] = value
    if kind in (*CONVOLUTIONS, nn.Linear) and module.bias is None:
        layer["bias"] = False
    if kind in (*PADS, *CONSTANT_PADS, Pad) and min(module.pad if kind is Pad else module.padding) < 0:
        raise ExportError("%s with a negative padding is not supported" % kind.__name__)
    if layer["type"] == "Upsample" and module.mode not in UPSAMPLINGS:
        raise ExportError("Upsample with mode %s is not supported; %s are" % (module.mode, ", ".join(UPSAMPLINGS)))
    if kind in (*CONSTANT_PADS, Pad) and isinstance(module.value, bool):
        raise ExportError("%s with the value %s; give a number" % (kind.__name__, module.value))
    if kind in BATCH_NORMS and module.momentum is None:
        raise ExportError("%s with momentum None, a cumulative average, is not supported" % kind.__name__)
    if kind in BATCH_NORMS and not module.track_running_stats:
        raise ExportError("%s without running statistics is not supported" % kind.__name__)
    if kind is nn.InstanceNorm2d and module.track_running_stats:
        raise ExportError("InstanceNorm2d with running statistics is not supported")
    if kind is nn.Flatten and module.start_dim == 0 or kind is nn.Unflatten and module.dim == 0:
        raise ExportError("%s would take the batch away; dimension 0 must stay" % kind.__name__)
    if kind is nn.Unflatten and not isinstance(module.dim, int):
        raise ExportError("Unflatten of a named dimension is not supported; give its number")
    if getattr(module, "return_indices", False):
        raise ExportError("%s with return_indices is not supported" % kind.__name__)
    return layer


def check_rank(module, rank):
    """What a layer does not do to a value of this many dimensions, the batch counted."""
    kind = type(module)
    if kind in (nn.Softmax, nn.LogSoftmax) and module.dim is None:
        raise ExportError("%s wants an explicit dim" % kind.__name__)
    if kind in (nn.Softmax, nn.LogSoftmax) and module.dim % rank == 0:
        raise ExportError("a %s over the batch; give it another dimension" % kind.__name__)
    if kind is Pad and len(module.pad) >= 2 * rank:
        raise ExportError("a padding of the batch is not supported")
    if kind is Pad and len(module.pad) > 6:
        raise ExportError("a padding of %d dimensions; three at most are" % (len(module.pad) // 2))
    if kind in (nn.PixelShuffle, nn.PixelUnshuffle) and rank != 4:
        raise ExportError("%s of %d dimensions; it wants 4 (batch, channels, height, width)" % (kind.__name__, rank))


def call(function_of_args):
    """Bind a call's arguments by name, so that positions and keywords read the same below."""
    return lambda args, kwargs: function_of_args(*args, **kwargs)


def adaptive(kind):
    return lambda x, output_size, *more, **named: kind(output_size, *more, **named)


def max_pool(kind):
    return lambda x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False: kind(
        kernel_size, stride, padding, dilation, return_indices, ceil_mode)


def avg_pool(kind):
    return lambda x, kernel_size, stride=None, *more, **named: kind(kernel_size, stride, *more, **named)


def softmax(kind):
    def make(x, dim=None, dtype=None, _stacklevel=3):
        if dim is None or dtype is not None:
            raise ExportError("softmax wants an explicit dim and no dtype")
        return kind(dim)
    return make


def activation(kind):
    """A function with the arguments of the module, after its input."""
    return lambda x, *args, **kwargs: kind(*args, **kwargs)


def pad(input, pad, mode="constant", value=None):
    return Pad(pad, mode, 0.0 if value is None else value)


def dropout(kind):
    def make(x, p=0.5, training=True, inplace=False):
        if training:  # such a net gives another answer at every call, in eval mode too
            raise ExportError("dropout is on at inference; call it with training=self.training")
        return kind(p)
    return make


DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d)

# Functions and tensor methods that stand for a module. A method has its name, a function itself, as the key.
FUNCTIONS = {}
for spellings, make in (
    ((F.relu, torch.relu, torch.relu_, "relu", "relu_"), lambda x, inplace=False: nn.ReLU()),
    ((torch.flatten, "flatten"), lambda x, start_dim=0, end_dim=-1: nn.Flatten(start_dim, end_dim)),
    ((F.dropout,), dropout(nn.Dropout)),
    ((F.dropout1d,), dropout(nn.Dropout1d)),
    ((F.dropout2d,), dropout(nn.Dropout2d)),
    ((F.dropout3d,), dropout(nn.Dropout3d)),
    ((F.pad,), pad),
    ((F.softmax, torch.softmax, "softmax"), softmax(nn.Softmax)),
    ((F.log_softmax, torch.log_softmax, "log_softmax"), softmax(nn.LogSoftmax)),
    ((F.sigmoid, torch.sigmoid, torch.sigmoid_, "sigmoid", "sigmoid_"), activation(nn.Sigmoid)),
    ((F.tanh, torch.tanh, torch.tanh_, "tanh", "tanh_"), activation(nn.Tanh)),
    ((F.relu6,), activation(nn.ReLU6)),
    ((F.leaky_relu, F.leaky_relu_), activation(nn.LeakyReLU)),
    ((F.elu, F.elu_), activation(nn.ELU)),
    ((F.selu, F.selu_, torch.selu, torch.selu_), activation(nn.SELU)),
    ((F.celu, F.celu_, torch.celu, torch.celu_), activation(nn.CELU)),
    ((F.gelu,), activation(nn.GELU)),
    ((F.silu,), activation(nn.SiLU)),
    ((F.mish,), activation(nn.Mish)),
    ((F.hardswish,), activation(nn.Hardswish)),
    ((F.hardsigmoid,), activation(nn.Hardsigmoid)),
    ((F.hardtanh, F.hardtanh_), activation(nn.Hardtanh)),
    ((F.softplus,), activation(nn.Softplus)),
    ((F.softsign,), activation(nn.Softsign)),
    ((F.logsigmoid,), activation(nn.LogSigmoid)),
    ((F.max_pool1d, torch.max_pool1d), max_pool(nn.MaxPool1d)),
    ((F.max_pool2d, torch.max_pool2d), max_pool(nn.MaxPool2d)),
    ((F.max_pool3d, torch.max_pool3d), max_pool(nn.MaxPool3d)),
    ((F.avg_pool1d,), avg_pool(nn.AvgPool1d)),
    ((F.avg_pool2d,), avg_pool(nn.AvgPool2d)),
    ((F.avg_pool3d,), avg_pool(nn.AvgPool3d)),
    ((F.adaptive_max_pool1d,), adaptive(nn.AdaptiveMaxPool1d)),
    ((F.adaptive_max_pool2d,), adaptive(nn.AdaptiveMaxPool2d)),
    ((F.adaptive_max_pool3d,), adaptive(nn.AdaptiveMaxPool3d)),
    ((F.adaptive_avg_pool1d,), adaptive(nn.AdaptiveAvgPool1d)),
    ((F.adaptive_avg_pool2d,), adaptive(nn.AdaptiveAvgPool2d)),
    ((F.adaptive_avg_pool3d,), adaptive(nn.AdaptiveAvgPool3d)),
    ((F.pixel_shuffle,), activation(nn.PixelShuffle)),
    ((F.pixel_unshuffle,), activation(nn.PixelUnshuffle)),
    ((F.channel_shuffle,), activation(nn.ChannelShuffle)),
    ((F.local_response_norm,), lambda x, size, alpha=1e-4, beta=0.75, k=1.0: nn.LocalResponseNorm(size, alpha, beta, k)),
):
    for spelling in spellings:
        FUNCTIONS[spelling] = call(make)
ADDS = {operator.add, operator.iadd, torch.add, "add", "add_"}
ARITHMETIC = {**dict.fromkeys((operator.sub, operator.isub, torch.sub, "sub", "sub_"), "Sub"),
              **dict.fromkeys((operator.mul, operator.imul, torch.mul, "mul", "mul_"), "Mul"),
              **dict.fromkeys((operator.truediv, operator.itruediv, torch.div, "div", "div_"), "Div")}
REDUCTIONS = {torch.mean: "Mean", "mean": "Mean", torch.sum: "Sum", "sum": "Sum", torch.amax: "Max", "amax": "Max"}
# What only moves or picks elements, by the method of Exporter that says it in layers.
SHAPERS = {
    **dict.fromkeys((torch.reshape, "reshape", "view", "unflatten"), "reshape"),
    **dict.fromkeys((torch.permute, "permute", torch.transpose, "transpose", torch.swapaxes, "swapaxes", torch.swapdims,
                     "swapdims", torch.movedim, "movedim", torch.moveaxis, "moveaxis"), "permute"),
    **dict.fromkeys((torch.squeeze, "squeeze"), "squeeze"),
    **dict.fromkeys((torch.unsqueeze, "unsqueeze"), "unsqueeze"),
    **dict.fromkeys((torch.cat, torch.concat), "concat"),
    **dict.fromkeys((torch.split, "split", torch.split_with_sizes, "split_with_sizes", torch.chunk, "chunk"), "split"),
    F.interpolate: "interpolate",
    operator.getitem: "getitem",
    "contiguous": "same",
}
MOST_PARTS = 12  # in a list of extents of a Split


# ---------------------------------------------------------------- the graph


NUMPY_NAMES = {"axis": "dim", "keepdims": "keepdim"}  # which PyTorch takes for its own


def operands(node):
    """The arguments of a call, with those that PyTorch names input and other in their places, and with the numbers that
    the example gave where they were computed, from x.size(1) say."""
    known = lambda n: n.meta.get("value", n)
    args, kwargs = fx.node.map_arg(node.args, known), fx.node.map_arg(node.kwargs, known)
    kwargs = {NUMPY_NAMES.get(k, k): v for k, v in kwargs.items()}
    return [*args, *(kwargs.pop(k) for k in ("input", "other") if k in kwargs)], kwargs


def picked(index, dim, size):
    """The layers that an index of one dimension stands for."""
    if index is None:
        return [{"type": "Unsqueeze", "dim": dim}]
    if isinstance(index, int):
        return [{"type": "Slice", "dim": dim, "start": index % size, "end": index % size + 1}, {"type": "Squeeze", "dim": dim}]
    start, end, step = index.indices(size)
    if (start, end, step) == (0, size, 1):
        return []
    return [{"type": "Slice", "dim": dim, "start": start, "end": end, **({} if step == 1 else {"step": step})}]


def tensors_of(value):
    """The tensors in the result of a node: one, or the parts of a split."""
    return [v for v in (value if isinstance(value, (tuple, list)) else [value]) if isinstance(v, torch.Tensor)]


def storage_of(t):
    return (t.untyped_storage() if hasattr(t, "untyped_storage") else t.storage()).data_ptr()


def place_of(t):
    """Where in its storage a tensor has its elements."""
    return t.storage_offset(), tuple(t.shape), t.stride()


def overlap(these, those):
    """Have two lists of places of one storage an element in common?"""
    ends = [at + sum((d - 1) * s for d, s in zip(dims, strides)) + 1 for at, dims, strides in (*these, *those)]
    marks = torch.zeros(max(ends, default=0), dtype=torch.bool)
    for at, dims, strides in these:
        marks.as_strided(dims, strides, at).fill_(True)
    return any(bool(marks.as_strided(dims, strides, at).any()) for at, dims, strides in those)


def is_dropout(node, module):
    made = module.get_submodule(node.target) if node.op == "call_module" else node.target
    return isinstance(made, nn.modules.dropout._DropoutNd) or made in DROPOUTS


def is_inplace(node, module):
    """Is the argument `inplace` given? A dropout's changes nothing in the example's run."""
    made = module.get_submodule(node.target) if node.op == "call_module" else None
    return bool(getattr(made, "inplace", False) or node.kwargs.get("inplace"))


class Shapes(fx.Interpreter):
    """Runs the example through the traced graph and notes every shape and number, and for every value the memory that it
    is in; `fault` says where PyTorch stopped, and why."""

    fault = None

    def memory(self, n, value):
        """Of a value: `owner` is the node that made the storage, `twin` the first with this very tensor, such as what
        went into an Identity. A dropout's is its own, as in training."""
        found = tensors_of(value)
        n.meta.update(owner=n, twin=n, places=[place_of(t) for t in found])
        for i in n.all_input_nodes:
            known = tensors_of(self.env[i])
            if found and known and storage_of(known[0]) == storage_of(found[0]):
                n.meta["owner"] = i.meta["owner"]
                alike = isinstance(value, torch.Tensor) and i.meta["places"] == n.meta["places"]
                if alike and (n.meta["changes"] or not is_dropout(n, self.module)):
                    n.meta["twin"] = i.meta["twin"]
                return

    def run_node(self, n):
        read = [t for i in n.all_input_nodes for t in tensors_of(self.env[i])]
        versions = [t._version for t in read]
        value = self.run_and_note(n)
        n.meta["changes"] = versions != [t._version for t in read] or is_inplace(n, self.module)
        self.memory(n, value)
        return value

    def run_and_note(self, n):
        try:
            value = super().run_node(n)
        except Exception as e:
            place = n.target if n.op == "call_module" else n.name
            self.fault = "%s: %s" % (place, " ".join(str(e).split()))
            raise
        if isinstance(value, torch.Tensor):
            n.meta["shape"] = tuple(value.shape)
        elif isinstance(value, (int, float, torch.Size)):
            n.meta["value"] = value
        elif isinstance(value, tuple) and all(isinstance(v, torch.Tensor) for v in value):
            n.meta["parts"] = [tuple(v.shape) for v in value]
        return value


class Changes:
    """What in-place operations do to the values of a graph. A model's values never change: a later reader of the changed
    tensor gets the result of the operation; one that would see the change through another view is a fault."""

    def __init__(self):
        self.values = {}  # node that made a storage -> the nodes so far with a value in it
        self.latest = {}  # node -> the last that changed its value
        self.stale = {}  # node -> the one that changed its elements through another view

    def rewire(self, node):
        for read in node.all_input_nodes:
            if read in self.stale and "value" not in node.meta:
                by = self.stale[read]
                raise ExportError("reads %s, whose elements %s changed in place through another view; use the out-of-place "
                                  "form of %s" % (read.name, by.name, by.name))
            if read in self.latest:
                node.replace_input_with(read, self.latest[read])

    def note(self, node):
        members = self.values.setdefault(node.meta["owner"], [])
        if node.meta["changes"]:
            changed = node.all_input_nodes[0]
            if changed.meta["owner"].op == "get_attr":
                raise ExportError("it changes the tensor %s; a model keeps no state" % changed.meta["owner"].target)
            for member in members:
                if member.meta["twin"] is changed.meta["twin"]:
                    self.latest[member] = node
                elif overlap(changed.meta["places"], member.meta["places"]):
                    self.stale[member] = node
        members.append(node)


class Exporter:
    """Walks the traced graph once; every fault is kept, so that one run names them all."""

    def __init__(self, module):
        self.module = module
        self.layers, self.names, self.faults = [], {}, []
        self.changes = Changes()
        self.used = set()  # names given to layers and inputs
        self.paths = {path for path, _ in module.named_modules()}  # names that are kept for modules
        self.parts = {}  # fx node of several values -> their names
        self.owners = {}  # path of a module with parameters -> the fx node that first used it
        self.only_input = None  # its name; None when there are several
        self.tensors = {}  # fx node of a parameter or buffer -> its path and the tensor
        self.extra = {}  # weights that are not in the module's state_dict under their name

    def free(self, node, name, results):
        """May a layer have this name? One of several results takes those of the results, too."""
        names = {name, *("%s.%d" % (name, i) for i in range(results))}
        return not names & (self.used if node.op == "call_module" else self.used | self.paths)

    def emit(self, node, layer, name, sources, results=0):
        """Append one layer; `inputs` is left out where it is the layer just before."""
        inputs = [self.name_of(s) for s in sources]
        base, k = name, 1
        while not self.free(node, name, results):
            name, k = "%s_%d" % (base, k), k + 1
        self.used.add(name)
        row = {"name": name}
        row.update(layer)
        before = self.layers[-1]["name"] if self.layers else self.only_input
        if inputs != [before]:
            row["inputs"] = inputs
        self.layers.append(row)
        self.names[node] = name

    def name_of(self, node):
        """Of the layer or input that makes a value; a name is its own."""
        if isinstance(node, str):
            return node
        if node in self.tensors:
            raise ExportError("the %s is used outside of a layer" % self.tensors[node][0])
        if node not in self.names:
            raise ExportError("%s is not a tensor of the graph" % node)
        return self.names[node]

    def shape(self, node):
        return node.meta.get("shape")

    def emit_module(self, node, module, name, x):
        layer = layer_of_module(module)
        check_rank(module, len(self.shape(x)))
        self.emit(node, layer, name, [x])

    def call_module(self, node):
        path, module = node.target, self.module.get_submodule(node.target)
        args, _ = operands(node)
        if isinstance(module, nn.Identity):
            self.names[node] = self.name_of(args[0])
            return
        if module.state_dict() and self.owners.setdefault(path, node) is not node:
            raise ExportError("the module is used twice; layers that share weights are not supported")
        self.emit_module(node, module, path, *args[:1])

    def call_function(self, node):
        target, (args, kwargs) = node.target, operands(node)
        what = target if isinstance(target, str) else getattr(target, "__name__", str(target))
        try:
            if target in ADDS and self.shape(node) is not None:
                self.add(node, *args, **kwargs)
            elif target in ARITHMETIC and self.shape(node) is not None:
                self.arithmetic(node, ARITHMETIC[target], *args, **kwargs)
            elif target in SHAPERS and (self.shape(node) is not None or "parts" in node.meta):
                getattr(self, SHAPERS[target])(node, *args, **kwargs)
            elif target in REDUCTIONS:
                self.reduce(node, REDUCTIONS[target], *args, **kwargs)
            elif target in FUNCTIONS:
                self.emit_module(node, FUNCTIONS[target](args, kwargs), node.name, *args[:1])
            elif self.shape(node) is not None or "parts" in node.meta:
                raise ExportError("the operation %s is not supported" % what)
            # What is left makes no tensor: x.size(0), x.shape[0]. A reshape that uses it is judged by its shape.
        except TypeError as e:
            unknown = re.search(r"unexpected keyword argument '(\w+)'", str(e))
            which = "the argument %s of %s is" % (unknown[1], what) if unknown else "these arguments of %s are" % what
            raise ExportError(which + " not supported") from e

    call_method = call_function

    def add(self, node, a, b, alpha=1):
        if alpha != 1:
            raise ExportError("an addition with alpha is not supported")
        for x, y in ((a, b), (b, a)):
            if x in self.names and (y in self.tensors or isinstance(y, (int, float))):
                self.shift(node, x, *self.tensors.get(y, ("number %s" % y, y)))
                return
        if self.shape(a) != self.shape(b):
            raise ExportError("an addition of different shapes, %s and %s" % (self.shape(a), self.shape(b)))
        self.emit(node, {"type": "Add"}, node.name, [a, b])

    def arithmetic(self, node, kind, a, b, alpha=1, rounding_mode=None):
        """Of two values of the graph, which may broadcast, but not along the batch."""
        if alpha != 1:
            raise ExportError("a %s with alpha is not supported; multiply first" % kind)
        if rounding_mode is not None:
            raise ExportError("a %s with rounding_mode is not supported" % kind)
        for x in (a, b):
            if isinstance(x, (int, float)):
                raise ExportError("a %s with the number %s is not supported" % (kind, x))
        if len(self.shape(a)) != len(self.shape(b)):
            raise ExportError("a %s of %s and %s, which broadcasting would pair with the batch in another place"
                              % (kind, self.shape(a), self.shape(b)))
        self.emit(node, {"type": kind}, node.name, [a, b])

    def shift(self, node, x, path, tensor):
        """x plus a parameter of one number a channel: a batch norm that leaves its input as it is and adds a bias."""
        shape, value = self.shape(x), torch.as_tensor(tensor, dtype=torch.float32)
        channels = shape[1] if len(shape) == 4 else 0
        fits = channels and self.shape(node) == shape and value.numel() in (1, channels)
        if not fits or value.numel() > 1 and value.shape[-3:] != (channels, 1, 1):
            raise ExportError("the %s is added, and is not one number for each channel of an image" % path)
        self.emit(node, {"type": "BatchNorm2d", "num_features": channels, "eps": 0.0}, node.name, [x])
        one, name = torch.ones(channels), self.names[node]
        rows = {"weight": one, "bias": value.reshape(-1).expand(channels), "running_mean": one * 0, "running_var": one}
        self.extra.update({"%s.%s" % (name, k): v for k, v in rows.items()})

    def same(self, node, x, **_):
        self.names[node] = self.name_of(x)

    def squeeze(self, node, x, dim=None):
        before = self.shape(x)
        if dim is None or dim % len(before) == 0:
            raise ExportError("squeeze would take the batch away when it is 1; give it another dimension")
        if before[dim] != 1:  # PyTorch leaves such a dimension alone
            self.same(node, x)
        else:
            self.emit(node, {"type": "Squeeze", "dim": dim % len(before)}, node.name, [x])

    def unsqueeze(self, node, x, dim):
        dim %= len(self.shape(node))
        if dim == 0:
            raise ExportError("unsqueeze of dimension 0 would move the batch")
        self.emit(node, {"type": "Unsqueeze", "dim": dim}, node.name, [x])

    def reshape(self, node, source, *args, **kwargs):
        before, after = self.shape(source), self.shape(node)
        if any(isinstance(a, torch.dtype) for a in (*args, *kwargs.values())):
            raise ExportError("a view of another dtype is not supported")
        if after[:1] != before[:1]:
            raise ExportError("a reshape from %s to %s; the batch must stay the first dimension" % (before, after))
        if len(after) == 2:
            self.emit(node, {"type": "Flatten"}, node.name, [source])
        elif after == before:
            self.same(node, source)
        else:
            self.emit(node, {"type": "Reshape", "shape": list(after[1:])}, node.name, [source])

    def permute(self, node, x, *args, **kwargs):
        """Of permute and its relatives; what they do is seen from what they make of dimensions of 1, 2, 3..."""
        sizes = range(1, len(self.shape(x)) + 1)
        call = getattr(torch, node.target) if isinstance(node.target, str) else node.target
        if node.target == "permute" and isinstance(args[0], int):  # the method takes the numbers one by one, too
            args = [args]
        dims = [size - 1 for size in call(torch.empty(*sizes), *args, **kwargs).shape]
        if dims[0] != 0:
            raise ExportError("%s to %s would move the batch" % (getattr(call, "__name__", call), dims))
        self.emit(node, {"type": "Permute", "dims": dims}, node.name, [x])

    def interpolate(self, node, x, size=None, scale_factor=None, mode="nearest", align_corners=None,
                    recompute_scale_factor=None, antialias=False):
        if antialias:
            raise ExportError("interpolate with antialias is not supported")
        if size is not None:  # one computed in forward is as good
            size = self.shape(node)[2:]
        layer = nn.Upsample(size, scale_factor, mode, align_corners, recompute_scale_factor)
        self.emit(node, layer_of_module(layer), node.name, [x])

    def concat(self, node, tensors, dim=0):
        dim %= len(self.shape(node))
        if dim == 0:
            raise ExportError("a concatenation along the batch is not supported")
        if len(tensors) == 1:
            self.same(node, tensors[0])
        else:
            self.emit(node, {"type": "Concat", "dim": dim}, node.name, list(tensors))

    def split(self, node, x, how=None, dim=0, **_):
        """Of split and chunk: what they say of sizes is seen from the parts."""
        dim %= len(self.shape(x))
        sizes = [part[dim] for part in node.meta["parts"]]
        if dim == 0:
            raise ExportError("a split of the batch is not supported")
        if len(sizes) == 1:
            self.parts[node] = [self.name_of(x)]
            return
        alike = len(set(sizes[:-1])) == 1 and sizes[-1] <= sizes[0]
        if not alike and len(sizes) > MOST_PARTS:
            raise ExportError("a split into %d parts of other extents; at most %d are" % (len(sizes), MOST_PARTS))
        row = {"type": "Split", "split_size": sizes[0] if alike else sizes, "dim": dim}
        self.emit(node, row, node.name, [x], len(sizes))
        self.parts[node] = ["%s.%d" % (self.names[node], i) for i in range(len(sizes))]
        self.used.update(self.parts[node])

    def getitem(self, node, x, index):
        if "parts" not in x.meta:
            self.subscript(node, x, list(index) if isinstance(index, tuple) else [index])
        elif isinstance(index, slice):
            self.parts[node] = self.parts[x][index]
        else:
            self.names[node] = self.parts[x][index]

    def subscript(self, node, x, index):
        """x[:, 2], x[..., 1:9:2] and so on, a layer for each dimension of which not all is taken."""
        given = [i for i in index if i is not None and i is not Ellipsis]
        if not all(type(i) in (int, slice) for i in given):
            raise ExportError("an index that is no number and no slice is not supported")
        if Ellipsis not in index:
            index.append(Ellipsis)
        at = index.index(Ellipsis)
        index[at : at + 1] = [slice(None)] * (len(self.shape(x)) - len(given))
        if index[0] != slice(None):
            raise ExportError("an index into the batch; it must begin with a colon")
        self.same(node, x)
        dim, sizes, name = 1, iter(self.shape(x)[1:]), node.name
        for i in index[1:]:
            for row in picked(i, dim, None if i is None else next(sizes)):
                self.emit(node, row, name, [node])
                name = node.name + "_more"
            dim += not isinstance(i, int)

    def reduce(self, node, kind, x, dim=None, keepdim=False, dtype=None):
        rank = len(self.shape(x))
        dims = sorted(d % rank for d in ([dim] if isinstance(dim, int) else dim or []))
        if not dims or dims[0] == 0 or dtype is not None:
            raise ExportError("a %s over the batch, or with a dtype; give it the other dimensions" % kind.lower())
        if kind == "Mean" and rank == 4 and dims == [2, 3]:
            self.emit(node, {"type": "AdaptiveAvgPool2d", "output_size": 1}, node.name, [x])
            if not keepdim:
                pooled = self.layers[-1]["name"]
                self.emit(node, {"type": "Flatten"}, pooled + "_flat", [node])
            return
        row = {"type": kind, "dim": dims if len(dims) > 1 else dims[0]}
        self.emit(node, {**row, "keepdim": True} if keepdim else row, node.name, [x])

    def outputs(self, node):
        value = node.args[0]
        if isinstance(value, fx.Node) and value in self.parts:
            return [{"name": "output%d" % i, "from": name} for i, name in enumerate(self.parts[value])]
        if isinstance(value, fx.Node):
            value = {"output": value}
        elif isinstance(value, (tuple, list)):
            value = {"output%d" % i: v for i, v in enumerate(value)}
        if not isinstance(value, dict) or not value:
            raise ExportError("the module returns %s; it must be a tensor, or a tuple, list or dictionary of some"
                              % (node.args[0],))
        for k, v in value.items():
            if not isinstance(v, fx.Node):
                raise ExportError("%s is %s; it must be a tensor" % (k, v))
        if not self.layers:  # a model has one at least
            for v in dict.fromkeys(value.values()):
                self.emit(v, {"type": "Identity"}, "identity", [v])
        return [{"name": str(k), "from": self.name_of(v)} for k, v in value.items()]

    def walk(self, graph):
        inputs, outputs, unknown = [], [], False
        for node in graph.nodes:
            try:
                self.changes.rewire(node)
                shapes = [self.shape(node) or (), *node.meta.get("parts", ())]
                if node.op != "output" and any(0 in dims for dims in shapes):
                    raise ExportError("it has no elements")
                if node.op == "placeholder":
                    self.names[node] = str(node.target)
                    self.used.add(str(node.target))
                    self.only_input = None if inputs else str(node.target)
                    inputs.append({"name": str(node.target), "shape": list(self.shape(node)[1:])})
                elif node.op == "output":
                    outputs = self.outputs(node) if not self.faults else []
                elif node.op == "get_attr":
                    owner, _, name = node.target.rpartition(".")
                    tensor = getattr(self.module.get_submodule(owner), name)
                    self.tensors[node] = ("tensor " + node.target, tensor)
                else:
                    getattr(self, node.op)(node)
                self.changes.note(node)
            except ExportError as e:
                unknown = unknown or isinstance(e, UnknownLayer)
                self.faults.append("%s: %s" % (node.target if node.op == "call_module" else node.name, e))
                self.names[node] = node.name
                self.parts[node] = [node.name] * len(node.meta.get("parts", ()))
        if unknown:
            self.faults.append("cnnc knows " + known_layers())
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
    for what, values in (("mean", mean), ("std", std)):
        if values is not None and len(values) != channels:
            raise ExportError("%s has %s; the input %s has %s" % (what, count(len(values), "number"),
                              inputs[0]["name"], count(channels, "channel")))
    mean, std = mean or [0.0] * channels, std or [1.0] * channels
    inputs[0].update({"mean": list(mean), "std": list(std)})
    as_tensor = lambda v: torch.tensor(v, dtype=torch.float32).reshape(1, -1, 1, 1)
    return [(examples[0] - as_tensor(mean)) / as_tensor(std)]


def unpack(proxy):
    """fx.Proxy.__iter__ for `a, b = x.chunk(2)`; PyTorch 1.13's own loses its place in the byte code of Python 3.11."""
    caller = sys._getframe(1)
    for inst in dis.get_instructions(caller.f_code):
        if inst.offset == caller.f_lasti and inst.opname == "UNPACK_SEQUENCE":
            return iter([proxy[i] for i in range(inst.argval)])
    return proxy.tracer.iter(proxy)


def in_place(name):
    """fx.Proxy.__iadd__ for `y += x` and its kind, which PyTorch 1.13 traces as `y = y + x`; the node keeps that name."""
    function = getattr(operator, "i" + name)
    return lambda self, other: self.tracer.create_proxy("call_function", function, (self, other), {}, name=name)


PROXY = {"__iter__": unpack, **{"__i%s__" % name: in_place(name) for name in ("add", "sub", "mul", "truediv")}}


def trace(module, examples):
    """The graph of a module, with the shape of every value."""
    for name, t in module.state_dict().items():
        if t.is_floating_point() and t.dtype != torch.float32:
            raise ExportError("%s is %s; cnnc computes in float32: module.float()" % (name, str(t.dtype).split(".")[1]))
    try:
        with unittest.mock.patch.multiple(fx.Proxy, create=True, **PROXY):
            traced = fx.symbolic_trace(module)
    except Exception as e:
        raise ExportError("torch.fx cannot trace %s: %s" % (type(module).__name__, e)) from e
    names = [str(n.target) for n in traced.graph.nodes if n.op == "placeholder"]
    if len(names) != len(examples):
        raise ExportError("the module takes %s (%s); %d %s given" % (count(len(names), "input"), ", ".join(names),
                          len(examples), "was" if len(examples) == 1 else "were"))
    shapes = Shapes(traced)
    try:
        with torch.no_grad():
            shapes.run(*(t.clone() for t in examples))  # the net may change its input
    except Exception as e:
        raise ExportError(shapes.fault or str(e)) from None
    return traced.graph


def check_classes(classes, results):
    first = results if isinstance(results, torch.Tensor) else list(getattr(results, "values", lambda: results)())[0]
    if len(classes) != first[0].numel():
        raise ExportError("classes has %s; the first output has %s"
                          % (count(len(classes), "name"), count(first[0].numel(), "value")))


def export(module, example_input, path, name=None, mean=None, std=None, classes=None):
    """Write path.json, path.safetensors and the example as .npy. `example_input` is a tensor with the batch
    first, or a tuple of them. With mean and std the model takes what comes before the normalisation."""
    module = module.eval()
    examples = list(example_input) if isinstance(example_input, (tuple, list)) else [example_input]
    graph = trace(module, examples)
    exporter = Exporter(module)
    inputs, outputs = exporter.walk(graph)
    fed = normalise(inputs, examples, mean, std)
    base = os.path.basename(path)
    model = {"format": "cnnc-model/1", "name": name or base, "weights": base + ".safetensors",
             "inputs": inputs, "layers": exporter.layers, "outputs": outputs}
    kept = {k: v for k, v in module.state_dict().items() if k.rpartition(".")[0] in exporter.owners}
    kept.update(exporter.extra)
    with torch.no_grad():
        results = module(*(t.clone() for t in fed))
    if classes:
        check_classes(classes, results)
        model["classes"] = list(classes)
    write_safetensors(path + ".safetensors", kept)
    write_examples(path + ".input", examples, inputs)
    write_examples(path + ".output", results, outputs)
    write_file(path + ".json", model_text(model).encode())
    return model


def example_files(path, rows):
    """One tensor: PATH.npy. Several: PATH.NAME.npy for each."""
    return [path + ".npy"] if len(rows) == 1 else ["%s.%s.npy" % (path, row["name"]) for row in rows]


def write_examples(path, tensors, rows):
    """Each tensor into its file."""
    if isinstance(tensors, torch.Tensor):
        tensors = [tensors]
    elif isinstance(tensors, dict):
        tensors = list(tensors.values())
    for t, file in zip(tensors, example_files(path, rows)):
        write_npy(file, t)


# ---------------------------------------------------------------- the command


def load_state_dict(path):
    """A state_dict as torch.save wrote it, or a checkpoint that holds one under "state_dict"."""
    not_weights = "%s holds no state_dict; save module.state_dict(), not the module" % path
    try:
        state = torch.load(path, map_location="cpu")
    except OSError:
        raise
    except (ImportError, AttributeError) as e:  # a pickled module, whose class is not here
        raise ExportError("%s (%s)" % (not_weights, e)) from e
    except Exception as e:
        raise ExportError("%s cannot be read: %s" % (path, " ".join(str(e).split()))) from e
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(t, torch.Tensor) for t in state.values()):
        raise ExportError(not_weights)
    return state


PARAMETERS = {**{k.__name__: ["weight", "bias"] for k in CONVOLUTIONS}, "Linear": ["weight", "bias"], "PReLU": ["weight"],
              **{k.__name__: ["weight", "bias", "running_mean", "running_var"] for k in BATCH_NORMS},
              **dict.fromkeys(("GroupNorm", "InstanceNorm2d", "LayerNorm"), ["weight", "bias"])}


def weights_for(model_path, state):
    """The tensors of a state_dict that the layers of a model file want; every missing one is named."""
    with open(model_path) as f:
        try:
            layers = [(layer, layer["type"]) for layer in json.load(f)["layers"]]
        except (ValueError, KeyError, TypeError) as e:
            raise ExportError("%s is not a model file (%s)" % (model_path, e)) from e
    wanted = []
    for layer, kind in layers:
        for p in PARAMETERS.get(kind, []):
            absent = p == "bias" and layer.get("bias") is False
            affine = layer.get("affine", layer.get("elementwise_affine", kind != "InstanceNorm2d"))
            absent = absent or (not affine and p in ("weight", "bias"))
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
        module = make(**arguments)
    except Exception as e:
        raise ExportError("--module %s: %s: %s" % (spec, type(e).__name__, e)) from e
    if not isinstance(module, nn.Module):
        raise ExportError("--module %s gives a %s, not a torch.nn.Module" % (spec, type(module).__name__))
    return module


def numbers(text):
    return [float(v) for v in text.split(",")]


def shape(text):
    dims = [int(d) for d in text.split("x")]
    if min(dims) < 1:
        raise ValueError
    return dims


def keywords(text):
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError
    return value


def parse_arguments(argv):
    p = argparse.ArgumentParser(description="Export a PyTorch module, or a state_dict, for cnnc.")
    p.add_argument("--module", metavar="PACKAGE:FACTORY", help="what makes the module, such as torchvision.models:resnet18")
    p.add_argument("--args", metavar="JSON", type=keywords, default={}, help='keyword arguments of the factory: \'{"num_classes": 10}\'')
    p.add_argument("--state-dict", metavar="FILE", help="weights saved with torch.save(module.state_dict(), FILE)")
    p.add_argument("--json", metavar="MODEL.json", help="without --module: the model whose weights are wanted")
    p.add_argument("--input-shape", metavar="CxHxW", type=shape, action="append", default=[], help="of the example, batch left out; once an input")
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
        try:
            module.load_state_dict(load_state_dict(a.state_dict))
        except RuntimeError as e:  # PyTorch lists the keys over many lines
            raise ExportError("%s: %s" % (a.state_dict, " ".join(str(e).split()))) from e
    examples = [torch.rand([1] + s) for s in a.input_shape]
    model = export(module, examples, a.o, a.name, a.mean, a.std, a.classes)
    arrays = example_files(a.o + ".input", model["inputs"]) + example_files(a.o + ".output", model["outputs"])
    print("wrote " + ", ".join([a.o + ".json", a.o + ".safetensors"] + arrays))


def command(argv):
    """The exit status of the command."""
    try:
        main(argv)
    except (ExportError, OSError, RuntimeError) as e:
        print("export_torch: error: %s" % e, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
