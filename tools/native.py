"""Call a compiled model from Python, with ctypes alone: for the tests and the benchmark.

    model = native.Model(native.link("lenet5.o", "lenet5.so", "libcnnrt.a"), "lenet5")
    outputs = model.infer(n, [image_bytes], threads=2)
"""

import ctypes as c
import subprocess


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
