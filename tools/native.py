"""Call a compiled model from Python, with ctypes alone: for the tests and the benchmark.

    model = native.Model(native.link("lenet5.o", "lenet5.so", "libcnnrt.a"), "lenet5")
    outputs = model.infer(n, [image_bytes], threads=2)
"""

import ctypes as c
import re
import subprocess

FEATURE = {"x86-64": None, "x86-64-v3": "avx2", "x86-64-v4": "avx512f"}


class Tensor(c.Structure):
    _fields_ = [("name", c.c_char_p), ("dtype", c.c_uint32), ("rank", c.c_uint32), ("dim", c.c_int64 * 6),
                ("bytes", c.c_uint64)]


POINTERS = c.POINTER(c.c_void_p)
INFER = c.CFUNCTYPE(c.c_int, c.c_int64, POINTERS, POINTERS, c.c_void_p, c.c_void_p, c.c_size_t, c.c_void_p)


class Descriptor(c.Structure):
    """cnnrt_model of cnnrt.h, ABI version 1."""

    _fields_ = [("abi_version", c.c_uint32), ("struct_size", c.c_uint32), ("name", c.c_char_p), ("cpu", c.c_char_p),
                ("hash", c.c_uint64), ("batch", c.c_int64), ("n_fixed", c.c_uint32), ("n_inputs", c.c_uint32),
                ("n_outputs", c.c_uint32), ("n_params", c.c_uint32), ("n_classes", c.c_uint32),
                ("has_weights", c.c_uint32), ("inputs", c.POINTER(Tensor)), ("outputs", c.POINTER(Tensor)),
                ("params", c.POINTER(Tensor)), ("classes", c.POINTER(c.c_char_p)), ("workspace_shared", c.c_uint64),
                ("workspace_per_thread", c.c_uint64), ("weights_bytes", c.c_uint64), ("prepare_bytes", c.c_uint64),
                ("infer", INFER), ("prepare", c.c_void_p)]


def cpus():
    """The --cpu values this machine can run; the others are named with the reason."""
    with open("/proc/cpuinfo") as f:
        flags = re.search(r"^flags.*", f.read(), re.M).group().split()
    able = []
    for cpu, feature in FEATURE.items():
        if feature is None or feature in flags:
            able.append(cpu)
        else:
            print("skipped: --cpu %s, because this machine has no %s" % (cpu, feature))
    return able


def link(objects, library, runtime=None, cc="cc"):
    """A shared library of generated objects, with the whole runtime in it when one is named."""
    objects = [objects] if isinstance(objects, str) else objects
    whole = ["-Wl,--whole-archive", runtime, "-Wl,--no-whole-archive", "-pthread"] if runtime else []
    subprocess.run([cc, "-shared", "-o", library, *objects, *whole, "-lm"], check=True)
    return library


class Model:
    """A model in a shared library. `infer` allocates the outputs; `bind` and `call` do not, for measuring."""

    def __init__(self, library, name):
        self.library = c.CDLL(library)
        self.d = Descriptor.in_dll(self.library, name + "_model")
        assert self.d.abi_version == 1 and self.d.struct_size >= c.sizeof(Descriptor)
        self.pools, self.work = {1: None}, None

    def pool(self, threads):
        if threads not in self.pools:
            create = self.library.cnnrt_pool_create
            create.restype, create.argtypes = c.c_void_p, [c.c_uint]
            self.pools[threads] = create(threads)
        return self.pools[threads]

    def workspace(self, threads):
        size = self.d.workspace_shared + threads * self.d.workspace_per_thread
        self.work = c.create_string_buffer(size + 64)  # kept alive here
        address = c.addressof(self.work)
        return address + (-address) % 64, size

    def bind(self, n, inputs, threads=1, weights=None):
        """Everything a call needs, once: (arguments, outputs). Inputs are bytes; outputs buffers of n rows."""
        outputs = []
        for i in range(self.d.n_outputs):
            outputs.append(c.create_string_buffer(self.d.outputs[i].bytes // self.d.batch * n))
        self.kept = [c.create_string_buffer(b, len(b)) for b in inputs]
        ins = (c.c_void_p * len(inputs))(*map(c.addressof, self.kept))
        outs = (c.c_void_p * len(outputs))(*map(c.addressof, outputs))
        address, size = self.workspace(threads)
        return (n, ins, outs, weights, address, size, self.pool(threads)), outputs

    def infer(self, n, inputs, threads=1, weights=None):
        arguments, outputs = self.bind(n, inputs, threads, weights)
        status = self.d.infer(*arguments)
        if status != 0:
            raise RuntimeError("infer returned %d" % status)
        return [o.raw for o in outputs]


class StateTensor(c.Structure):
    _fields_ = [("tensor", Tensor), ("role", c.c_uint32), ("group", c.c_uint32), ("offset", c.c_uint64)]


STATE_INIT = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_size_t, c.c_uint64)
STEP = c.CFUNCTYPE(c.c_int, c.c_int64, POINTERS, POINTERS, c.c_void_p, POINTERS, c.c_void_p, c.c_void_p, c.c_void_p,
                   c.c_void_p, c.c_size_t, c.c_void_p)
ZERO = c.CFUNCTYPE(c.c_int, c.c_void_p)
APPLY = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p, c.c_void_p, c.c_size_t, c.c_void_p)
EVAL = c.CFUNCTYPE(c.c_int, c.c_int64, POINTERS, POINTERS, c.c_void_p, POINTERS, c.c_void_p, c.c_void_p, c.c_void_p,
                   c.c_size_t, c.c_void_p)


class TrainingDescriptor(c.Structure):
    """cnnrt_training of cnnrt.h."""

    _fields_ = [("struct_size", c.c_uint32), ("n_state", c.c_uint32), ("n_targets", c.c_uint32),
                ("n_groups", c.c_uint32), ("n_hyper", c.c_uint32), ("state", c.POINTER(StateTensor)),
                ("targets", c.POINTER(Tensor)), ("hyper", c.POINTER(c.c_double)), ("loss", c.c_char_p),
                ("optimizer", c.c_char_p), ("n_trained", c.c_int64), ("n_frozen", c.c_int64),
                ("state_bytes", c.c_uint64), ("state_init", STATE_INIT), ("train_step", STEP), ("zero_grad", ZERO),
                ("backward", STEP), ("apply", APPLY), ("eval", EVAL)]


PARAM, BUFFER, SLOT, GRAD, COUNTER = range(5)


class Training(Model):
    """A model compiled with --train. State tensors are read and written as bytes: get(role, name), set(...)."""

    def __init__(self, library, name, seed=0):
        super().__init__(library, name)
        pointer = c.cast(c.addressof(self.d) + c.sizeof(Descriptor), c.POINTER(c.c_void_p))[0]
        self.t = TrainingDescriptor.from_address(pointer)
        self.block = c.create_string_buffer(self.t.state_bytes + 64)
        self.state = c.addressof(self.block) + (-c.addressof(self.block)) % 64
        self.hyper = (c.c_double * self.t.n_hyper)(*self.t.hyper[: self.t.n_hyper])
        self.must(self.t.state_init(self.state, self.t.state_bytes, seed), "state_init")
        self.tensors = {}
        for i in range(self.t.n_state):
            s = self.t.state[i]
            self.tensors[s.role, s.tensor.name.decode()] = s

    @staticmethod
    def must(status, what):
        if status != 0:
            raise RuntimeError("%s returned %d" % (what, status))

    def get(self, role, name):
        s = self.tensors[role, name]
        return c.string_at(self.state + s.offset, s.tensor.bytes)

    def set(self, role, name, data):
        s = self.tensors[role, name]
        assert len(data) == s.tensor.bytes, (name, len(data), s.tensor.bytes)
        c.memmove(self.state + s.offset, data, len(data))

    def names(self, role):
        return [n for r, n in self.tensors if r == role]

    def bound(self, which, n, inputs, targets, threads=1):
        """train_step, backward or eval on bytes as a function without arguments, for measuring: its status is
        checked, its results stay in .loss and .outputs."""
        outputs = [c.create_string_buffer(self.d.outputs[i].bytes // self.d.batch * n) for i in range(self.d.n_outputs)]
        kept = [c.create_string_buffer(b, len(b)) for b in inputs + targets]
        ins = (c.c_void_p * len(inputs))(*map(c.addressof, kept[: len(inputs)]))
        aims = (c.c_void_p * len(targets))(*map(c.addressof, kept[len(inputs) :]))
        outs = (c.c_void_p * len(outputs))(*map(c.addressof, outputs))
        loss = c.c_float()
        address, size = self.workspace(threads)
        tail = [None, address, size, self.pool(threads)]
        if which != "eval":
            tail.insert(0, c.addressof(self.hyper))
        entry, arguments = getattr(self.t, which), (n, ins, aims, c.addressof(loss), outs, self.state, *tail)

        def run():
            self.must(entry(*arguments), which)

        run.loss, run.outputs, run.kept = loss, outputs, kept
        return run

    def call(self, which, n, inputs, targets, threads=1):
        """One call on bytes: (loss, outputs as bytes)."""
        run = self.bound(which, n, inputs, targets, threads)
        run()
        return run.loss.value, [o.raw for o in run.outputs]

    def zero_grad(self):
        self.must(self.t.zero_grad(self.state), "zero_grad")

    def apply(self, threads=1):
        address, size = self.workspace(threads)
        self.must(self.t.apply(self.state, c.addressof(self.hyper), address, size, self.pool(threads)), "apply")
