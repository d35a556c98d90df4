"""Run calls of a linked image (guest.c and a generated object) on Bochs's CPU: machine.py JOB, in the venv of run.sh.

JOB is a JSON file: {"elf": path, "ram": bytes, "params": {name: path}, "calls": [{"n", "threads", "inputs": [path],
"outputs": [[path, bytes]]}]}. The files are raw bytes. Each buffer ends where a page ends, and the pages around it are
not mapped: a read or write past it is a fault, also one that masks were to prevent."""

import ctypes
import json
import mmap
import os
import struct
import sys

import bochscpu
import bochscpu.memory

PAGE = 4096
MAIL, STACK_END, TABLES = 0x10000, 0x200000, 0x200000  # the image is linked at 32 MiB
FLAG = {"P": 1, "W": 2, "U": 4}
CR0 = 0x80010033  # PG, WP, NE, ET, MP, PE
CR4 = 0x40620  # OSXSAVE, OSXMMEXCPT, OSFXSR, PAE
EFER = 0x500  # LMA, LME
XCR0 = 0xE7  # x87, SSE, AVX, AVX-512


class Machine:
    def __init__(self, size):
        self.ram = mmap.mmap(-1, size)
        self.free = 0
        self.size = size
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.ram))
        self.session = bochscpu.Session()
        self.session.missing_page_handler = lambda gpa: self.fail("no memory at %#x" % gpa)
        for page in range(0, size, PAGE):
            bochscpu.memory.page_insert(page, base + page)
        self.tables()
        self.hook = bochscpu.Hook()
        self.hook.exception = lambda s, cpu, vector, code: self.fail(
            "exception %d, code %d, rip %#x, cr2 %#x" % (vector, code, s.cpu.rip, s.cpu.cr2))
        self.hook.hlt = lambda s, cpu: s.stop()

    def fail(self, why):
        print("machine: " + why, flush=True)
        os._exit(1)  # Bochs would go on to the next instruction

    def word(self, address, value):
        struct.pack_into("<Q", self.ram, address, value)

    def tables(self):
        """Four levels of page tables that map all memory to itself; the lowest is one array from self.pte on."""
        pages = self.size // PAGE
        pdpt, pd, self.pte = TABLES + PAGE, TABLES + 2 * PAGE, TABLES + 10 * PAGE
        assert pages <= 8 * 512 * 512 and self.pte + 8 * pages <= 0x1800000
        self.word(TABLES, pdpt | 7)
        for i in range(8):
            self.word(pdpt + 8 * i, pd + PAGE * i | 7)
        for i in range((pages + 511) // 512):
            self.word(pd + 8 * i, self.pte + PAGE * i | 7)
        for page in range(pages):
            self.word(self.pte + 8 * page, page * PAGE | 7)
        self.unmap(0)
        self.unmap(0x20000)  # below the stack

    def unmap(self, address):
        self.word(self.pte + address // PAGE * 8, 0)

    def load(self, path):
        """The segments of a static ELF image."""
        with open(path, "rb") as f:
            elf = f.read()
        entry, phoff = struct.unpack_from("<QQ", elf, 24)
        (count,) = struct.unpack_from("<H", elf, 56)
        for i in range(count):
            kind, _, offset, address, _, filled, size, _ = struct.unpack_from("<IIQQQQQQ", elf, phoff + 56 * i)
            if kind == 1:
                assert address >= 0x2000000 and address + size < self.size
                self.ram[address : address + filled] = elf[offset : offset + filled]
                self.free = max(self.free, (address + size + PAGE - 1) // PAGE * PAGE)
        self.entry, self.first_free = entry, self.free

    def buffer(self, size):
        """The address of `size` bytes between unmapped pages, up against the one behind."""
        pages = (size + PAGE - 1) // PAGE
        start, end = self.free + PAGE, self.free + PAGE + pages * PAGE
        assert end + PAGE <= self.size, "more memory is needed"
        self.unmap(self.free)
        self.unmap(end)
        self.free = end
        return end - size

    def reset(self):
        for page in range(self.first_free, self.free + PAGE, PAGE):
            self.word(self.pte + page // PAGE * 8, page | 7)
        self.free = self.first_free

    def run(self):
        def segment(attributes, selector):
            s = bochscpu.Segment()
            s.base, s.limit, s.present, s.selector, s.attr = 0, 0xFFFFF, True, selector, attributes
            return s

        state = self.session.cpu.state
        state.cr0, state.cr3, state.cr4, state.efer, state.xcr0 = CR0, TABLES, CR4, EFER, XCR0
        state.cs = segment(0xA09B, 0x10)
        state.ds = state.es = state.ss = state.fs = state.gs = segment(0xC093, 0x18)
        state.rip, state.rsp, state.rflags, state.mxcsr = self.entry, STACK_END - 8, 2, 0x1F80
        self.session.cpu.state = state
        self.session.run([self.hook])

    def read(self, form, address):
        return struct.unpack_from(form, self.ram, address)

    def ask(self, kind, call=None, work=(0, 0), weights=0, pointers=()):
        """One run of the guest, with its mail; the status that the model returned."""
        call = call or {"n": 0, "threads": 0}
        struct.pack_into("<8Q", self.ram, MAIL, kind, call["n"], call["threads"], *work, weights, 0, 0)
        struct.pack_into("<%dQ" % len(pointers), self.ram, MAIL + 64, *pointers)
        self.run()
        (status,) = self.read("<Q", MAIL + 56)
        if status != 0:
            self.fail("infer or prepare returned %d" % status)

    def filled(self, data):
        at = self.buffer(len(data))
        self.ram[at : at + len(data)] = data
        return at

    def file(self, path):
        with open(path, "rb") as f:
            return self.filled(f.read())

    def work(self, size):
        """Its bytes are NaNs: what an earlier call left must not help this one."""
        return self.filled(b"\xff" * size), size

    def describe(self):
        """What the generated cnnrt_model says."""
        self.ask(1)
        (at,) = self.read("<Q", MAIL + 48)
        (count,), (params,) = self.read("<I", at + 52), self.read("<Q", at + 80)
        self.shared, self.per_thread, self.weights_bytes, self.prepare_bytes = self.read("<4Q", at + 96)
        self.params = []
        for i in range(count):
            (name,) = self.read("<Q", params + 72 * i)
            self.params.append(self.ram[name : self.ram.find(b"\0", name)].decode())

    def prepare(self, files):
        """The weights block, packed by generated code from raw files by the parameters' names. It stays."""
        weights, _ = self.work(self.weights_bytes)
        self.first_free = self.free
        self.ask(3, None, self.work(self.prepare_bytes), weights, [self.file(files[name]) for name in self.params])
        return weights

    def infer(self, call, weights):
        self.reset()
        work = self.work(self.shared + max(1, call["threads"]) * self.per_thread)
        assert work[0] % 64 == 0
        inputs = [self.file(path) for path in call["inputs"]]
        outputs = [self.filled(b"\xff" * size) for _, size in call["outputs"]]
        self.ask(2, call, work, weights, inputs + outputs)
        for (path, size), at in zip(call["outputs"], outputs):
            with open(path, "wb") as f:
                f.write(self.ram[at : at + size])


def main():
    with open(sys.argv[1]) as f:
        job = json.load(f)
    machine = Machine(job["ram"])
    machine.load(job["elf"])
    machine.describe()
    weights = machine.prepare(job["params"]) if job["params"] else 0
    for call in job["calls"]:
        machine.infer(call, weights)
    sys.stdout.flush()
    os._exit(0)  # the module faults when it is unloaded


if __name__ == "__main__":
    main()
