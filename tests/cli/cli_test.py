#!/usr/bin/env python3
"""The command line: exit statuses, files, dumps that parse back, resuming, run, verify, bench, info.

  cli_test.py CNNC [unittest's arguments]
"""
import json
import os
import pathlib
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

CNNC = str(pathlib.Path(sys.argv.pop(1)).resolve())
EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"
LENET = str(EXAMPLES / "lenet5/lenet5.json")
WEIGHTS = str(EXAMPLES / "lenet5/lenet5.safetensors")
IMAGES = str(EXAMPLES / "lenet5/lenet5.input.npy")
TORCH = str(EXAMPLES / "lenet5/lenet5.output.npy")
NET = """graph @net(%a: f32[N,4], %b: f32[N,4]) batch 1 {
  %s = add %a, %b : f32[N,4]
  %r = relu %s : f32[N,4]
  %m = mul %r, %a : f32[N,4]
  return %m as "product", %r as "positive"
}
"""


def write_npy(path, shape, values):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    data = struct.pack(f"<{len(values)}f", *values)
    pathlib.Path(path).write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data)


def write_png(path, width, height, rows):
    """Eight bits of red, green and blue; a filter byte before each row."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    pathlib.Path(path).write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def read_npy(path):
    raw = pathlib.Path(path).read_bytes()
    data = raw[10 + struct.unpack("<H", raw[8:10])[0]:]
    return struct.unpack(f"<{len(data) // 4}f", data)


class Cli(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        (self.dir / "net.cnnir").write_text(NET)
        write_npy(self.dir / "a.npy", (3, 4), [1, -2, 3, -4, 5, 6, -7, 8, 9, 10, 11, -12])
        write_npy(self.dir / "b.npy", (3, 4), [1, 1, 1, 1, -9, 1, 9, 1, 1, 1, 1, 1])

    def cnnc(self, *args, status=0, **more):
        r = subprocess.run([CNNC, *args], cwd=self.dir, capture_output=True, text=True, timeout=120, **more)
        self.assertEqual(r.returncode, status, f"{args}\n{r.stdout}{r.stderr}")
        return r

    def files(self):
        return sorted(p.name for p in self.dir.iterdir() if p.suffix not in (".npy",) and p.name != "net.cnnir")

    # ---- Usage ----

    def test_help(self):
        for command in ([], ["run"], ["train"], ["bench"], ["verify"], ["info"]):
            out = self.cnnc(*command, "--help").stdout
            self.assertIn("usage: cnnc", out)
            self.assertLess(max(map(len, out.splitlines())), 140)
        self.assertRegex(self.cnnc("--version").stdout, r"^cnnc \d+\.\d+\.\d+\n$")
        self.assertIn("default: canonicalize,", self.cnnc("--list-passes").stdout)
        self.assertIn("cannot be opened", self.cnnc("--explain", "file-read").stdout)
        self.assertIn("cannot be opened", self.cnnc("--explain", "[file-read]").stdout)
        self.assertEqual(self.cnnc("help").stdout, self.cnnc("--help").stdout)
        train = self.cnnc("train", "--help").stdout
        self.assertIn("Ctrl-C, SIGTERM and SIGHUP end the run in order", train)
        self.assertIn("in training the recipe's", train)
        self.assertEqual(self.cnnc("help", "verify").stdout, self.cnnc("verify", "--help").stdout)

    def test_documented(self):
        """docs/cli.md knows every option, docs/passes.md every pass and both pipelines."""
        docs = EXAMPLES.parent / "docs"
        cli = (docs / "cli.md").read_text()
        for command in ([], ["run"], ["train"], ["bench"], ["verify"], ["info"]):
            for option in re.findall(r"(?<=[ ,])--[a-z-]+", self.cnnc(*command, "--help").stdout):
                self.assertTrue(option in cli, option)
        listed, pipelines = self.cnnc("--list-passes").stdout.split("default: ")
        pipeline, train = pipelines.split("with --train: ")
        passes = (docs / "passes.md").read_text()
        self.assertIn("    " + pipeline, passes)
        self.assertIn("    " + train, passes)
        self.assertTrue(train.startswith("autodiff,"))
        for line in listed.strip().splitlines():
            self.assertIn(f"**{line.split()[0]}**", passes)

    def test_bad_usage(self):
        for args, says in [
            ([], "which MODEL"),
            (["run"], "which MODEL"),
            (["--frobnicate", "x.json"], "unknown option --frobnicate"),
            (["net.cnnir", "--print=x"], "incomplete option --print"),
            (["net.cnnir", "--quiet=1"], "option --quiet takes no value"),
            (["--weight"], "needs a value"),
            (["--weihgts=x", "net.cnnir"], "is it --weights?"),
            (["-z", "net.cnnir"], "unknown option -z"),
            (["net.cnnir", "other.cnnir"], "one MODEL at a time"),
            (["bogus"], "\"bogus\" is neither a command (run, train, bench, verify, info, help) nor a MODEL"),
            (["rnu", "net.cnnir"], "there is no command \"rnu\" (is it \"run\"?)"),
            (["help", "rnu"], "is it \"run\"?"),
            (["-q", "bench", "net.cnnir"], "the command comes first: cnnc bench"),
            (["net.cnnir", "--batch", "0"], "--batch takes an integer from 1 to 65536, not \"0\""),
            (["net.cnnir", "--batch", "65537"], "--batch takes an integer from 1 to 65536, not"),
            (["net.cnnir", "--batch", "2x"], "--batch takes an integer"),
            (["net.cnnir", "--init-seed", "-1"], "--init-seed takes an integer from 0 to 9200000000000000000, not"),
            (["net.cnnir", "--emit=obj,oops"], "not \"oops\""),
            (["net.cnnir", "--emit="], "at least one kind"),
            (["net.cnnir", "--emit=deps"], "needs another kind"),
            (["net.cnnir", "-o", "-"], "-o - writes one file"),
            (["net.cnnir", "--math=fast"], "--math is default or exact"),
            (["net.cnnir", "--passes=fusee"], "is it \"fuse\"?"),
            (["net.cnnir", "--print-after=planner"], "is it \"plan\"?"),
            (["net.cnnir", "--stop-after=zzzzzzzz"], "see cnnc --list-passes"),
            (["net.cnnir", "--weights=w", "--init-seed=1"], "exclude each other"),
            (["bench", "net.cnnir", "--seconds=nan"], "--seconds takes a number"),
            (["train", "net.cnnir"], "which --data?"),
            (["train", "--data", "d"], "which MODEL"),
            (["train", "net.cnnir", "--data"], "option --data needs a value"),
            (["train", "net.cnnir", "-d", "d", "--resume"], "--resume needs --checkpoint C.safetensors"),
            (["train", "net.cnnir", "-d", "d", "--epochs=0"], "--epochs takes an integer from 1 to 1000000000, not \"0\""),
            (["train", "net.cnnir", "-d", "d", "--seed=-1"], "--seed takes an integer from 0 to 9007199254740991, not"),
            (["train", "net.cnnir", "-d", "d", "--memory-budget=1k"], "--memory-budget takes an integer"),
            (["train", "net.cnnir", "-d", "d", "--evaluate", "-s", "w"], "--evaluate trains nothing, so --save has no meaning"),
            (["train", "net.cnnir", "-d", "d", "--evaluate", "--checkpoint=c"], "so --checkpoint has no meaning"),
            (["train", "net.cnnir", "-d", "d", "--evaluate", "--resume"], "so --resume has no meaning"),
            (["train", "net.cnnir", "-d", "d", "--evaluate", "--log=l"], "so --log has no meaning"),
            (["train", "net.cnnir", "-d", "d", "--evaluate", "--epochs=2"], "so --epochs has no meaning"),
            (["train", "net.cnnir", "-d", "d", "--evaluate", "--memory-budget=2"], "so --memory-budget has no meaning"),
            (["net.cnnir", "--evaluate"], "unknown option --evaluate"),
            (["train", "net.cnnir", "-d", "d", "--recipes=r.json"], "is it --recipe?"),
            (["train", "net.cnnir", "-d", "d", "-o", "w"], "unknown option -o"),
            (["train", "net.cnnir", "-d", "d", "--weights=w", "--init-seed=1"], "exclude each other"),
            (["net.cnnir", "--recipe", "r.json"], "--recipe is for training: say --train"),
            (["net.cnnir", "--memory-budget", "9"], "--memory-budget is for training: say --train"),
            (["net.cnnir", "--data", "d"], "unknown option --data"),
            (["net.cnnir", "--train", "--checkpoint", "c"], "unknown option --checkpoint"),
            (["run", "net.cnnir", "--train"], "unknown option --train"),
            (["trian", "net.cnnir"], "there is no command \"trian\" (is it \"train\"?)"),
            (["-q", "train", "net.cnnir"], "the command comes first: cnnc train"),
            (["info", "net.cnnir", "--threads=2"], "unknown option --threads"),
            (["--explain", "zzz"], "no diagnostic \"zzz\""),
            (["--explain", "[no-weight]"], "(is it \"no-weights\"?)"),
            (["net.cnnir", "--dump-dir="], "--dump-dir needs a name"),
            (["bench", "net.cnnir", "--cpu=x86-64-v2,x86-64-v3"], "--cpu takes a list only where an object is made"),
            (["net.cnnir", "--cpu=x86-64-v2,x86-64-v3", "--emit=loops"], "IR is that of one CPU"),
        ]:
            with self.subTest(args=args):
                self.assertIn(says, self.cnnc(*args, status=2).stderr)
        self.assertEqual(self.files(), [])

    def test_bad_input(self):
        for args, says in [
            (["missing.json"], "missing.json: error: cannot read the file"),
            (["net.txt"], "net.txt"),
            (["net.cnnir", "--cpu=z80"], "[target]"),
            (["net.cnnir", "--target=x86_64-linux-gnu", "--cpu=x86-64-v2,x86-64-v3,"], "unknown CPU \"\" [target]"),
            (["net.cnnir", "-o", "no/where.o"], "[file-write]"),
            (["net.cnnir", "-o", "net.h"], "two output files would have this name"),
            (["net.cnnir", "--passes=fuse"], "an object needs the passes up to \"plan\" [pass-list]"),
            (["net.cnnir", "--passes=fuse", "--emit=loops"], "[pass-list]"),
            (["net.cnnir", "--passes=plan"], "needs \"lower\" before it [pass-list]"),
            (["net.cnnir", "--dump-dir=net.cnnir/x"], "cannot make the folder net.cnnir/x: Not a directory [file-write]"),
            (["net.cnnir", "--dump-dir=net.cnnir/x/y"], "cannot make the folder net.cnnir/x: Not a directory [file-write]"),
        ]:
            with self.subTest(args=args):
                self.assertIn(says, self.cnnc(*args, status=1).stderr)
        self.assertEqual(self.files(), [])

    def test_several_cpus(self):
        """The best CPU first, whatever the order; sizes are the most of any; weights once a CPU."""
        where = ["--target=x86_64-linux-gnu", "--cpu=x86-64-v2,x86-64-v4,x86-64-v3"]
        r = self.cnnc(LENET, *where, "--name", "net", "-o", "net.o")
        self.assertRegex(r.stderr, r"for x86-64-v4 \(avx512f, fma\), x86-64-v3 \(avx2, fma\), x86-64-v2 \(baseline\)")
        info = json.loads(self.cnnc("info", LENET, *where, "--json").stdout)
        each = [info, *info["other_cpus"]]
        self.assertEqual([cpu["cpu"] for cpu in each], ["x86-64-v4", "x86-64-v3", "x86-64-v2"])
        header = (self.dir / "net.h").read_text()
        self.assertIn("const char *net_cpu(void);", header)
        work = re.search(r"WORKSPACE_BYTES\(threads\) \(\(size_t\)(\d+) \+ .*size_t\)(\d+)", header).groups()
        self.assertEqual(list(map(int, work)), [max(cpu[key] for cpu in each)
                                                for key in ("workspace_bytes", "scratch_bytes_per_thread")])
        largest = max(cpu["packed_weights_bytes"] for cpu in each)
        self.assertIn(f"#define NET_WEIGHTS_BYTES {largest}\n", header)
        self.cnnc("net.cnnir", "--stop-after=plan", "--emit=loops", "-o", "loops.cnnir")
        self.assertIn("loop IR has been made for one CPU", self.cnnc("loops.cnnir", *where, status=1).stderr)

    def test_full_disk(self):
        with open("/dev/full", "w") as full:
            r = subprocess.run([CNNC, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
        self.assertEqual(r.returncode, 1)
        self.assertIn("standard output", r.stderr)
        self.assertIn("[file-write]", self.cnnc("net.cnnir", "--emit=obj", "-o", "/dev/full", status=1).stderr)

    def test_out_of_memory(self):
        text = NET.replace("f32[N,4]", "f32[N,1000000000000]")
        (self.dir / "huge.cnnir").write_text(text)
        self.assertIn("[out-of-memory]", self.cnnc("bench", "huge.cnnir", status=3).stderr)
        self.assertIn("[out-of-memory]", self.cnnc("verify", "huge.cnnir", status=3).stderr)

    def test_foreign_target(self):
        """Code for another architecture is never run here; compiling it, and packing its weights, is fine."""
        here = "aarch64" if os.uname().machine == "aarch64" else "x86_64"
        other = "x86_64" if here == "aarch64" else "aarch64"
        cpu = "--cpu=x86-64" if other == "x86_64" else "--cpu=generic"
        for args in (["run", "-i", "a.npy", "-i", "b.npy"], ["bench"], ["verify"]):
            r = self.cnnc(args[0], "net.cnnir", *args[1:], f"--target={other}-linux-gnu", cpu, status=1)
            self.assertIn(f'code for "{other}-unknown-linux-gnu" cannot be run on this machine', r.stderr)
            self.assertIn("[target]", r.stderr)
        self.cnnc("bench", "net.cnnir", "--seconds=0", f"--target={here}-linux-gnu")
        self.cnnc(LENET, f"--target={other}-linux-gnu", cpu, "-o", "other.o")
        for triple in ("x86_64-linux-gnux32", "x86_64-linux-muslx32", "aarch64-linux-gnu_ilp32", "x86_64-linux-gnu-macho"):
            self.assertIn("is not supported [target]", self.cnnc("net.cnnir", "--target", triple, status=1).stderr)

    # ---- Files ----

    def test_outputs(self):
        r = self.cnnc("net.cnnir", "-o", "out.o")
        self.assertRegex(r.stderr, r"^wrote out\.o, out\.h for \S+ \(.*\): code \d+ \w+, weights 0 bytes, workspace .*\n$")
        self.assertEqual(self.files(), ["out.h", "out.o"])
        self.assertEqual(self.cnnc("net.cnnir", "-q").stderr, "")
        self.assertEqual((self.dir / "net.o").read_bytes(), (self.dir / "out.o").read_bytes())
        self.assertIn("net_infer", (self.dir / "net.h").read_text())
        self.cnnc("net.cnnir", "--emit=asm,llvm,graph,loops,dot", "-o", "all.o")
        for name in ["all.s", "all.ll", "all.graph.cnnir", "all.loops.cnnir", "all.dot"]:
            self.assertGreater((self.dir / name).stat().st_size, 100, name)
        self.assertFalse((self.dir / "all.o").exists())
        self.cnnc("net.cnnir", "--emit=header", "--name=3rd model", "-o", "only.hpp")
        self.assertIn("_infer", (self.dir / "only.hpp").read_text())

    def test_deps(self):
        """A rule of make that has every file that was read; what make would take for its own is escaped."""
        folder = self.dir / "a $b #c"
        folder.mkdir()
        for name in ["lenet5.json", "lenet5.safetensors"]:
            shutil.copy(pathlib.Path(LENET).parent / name, folder)
        (folder / "r.json").write_text('{"format": "cnnc-recipe/1"}')
        self.cnnc("a $b #c/lenet5.json", "-q", "--train", "--recipe", "a $b #c/r.json", "--emit=obj,header,deps",
                  "-o", "m m.o")
        here = r"  a\ $$b\ \#c/"
        want = "m\\ m.o m\\ m.h: \\\n" + " \\\n".join(
            here + name for name in ["lenet5.json", "lenet5.safetensors", "r.json"]) + "\n"
        self.assertEqual((self.dir / "m m.d").read_text(), want)

    def test_all_or_nothing(self):
        """A file that cannot be written takes those of the same run with it, and what was there before stays."""
        (self.dir / "out.o").write_text("old")
        (self.dir / "out.h").mkdir()
        self.assertIn("out.h: error: cannot write", self.cnnc("net.cnnir", "-o", "out.o", status=1).stderr)
        self.assertEqual((self.dir / "out.o").read_text(), "old")
        self.assertEqual(self.files(), ["out.h", "out.o"])

    def test_none_left(self):
        """As above, with nothing there before: the object, which could be written, does not appear."""
        (self.dir / "out.h").mkdir()
        self.cnnc("net.cnnir", "-o", "out.o", status=1)
        self.assertEqual(self.files(), ["out.h"])

    def test_inputs_stay(self):
        """No output replaces the model or the weights of its run, by any name."""
        for name in ("model.json", "w.o", "w.h", "lenet5.safetensors"):
            source = LENET if name == "model.json" else WEIGHTS
            (self.dir / name).write_bytes(pathlib.Path(source).read_bytes())
        os.symlink("model.json", self.dir / "soft.json")
        os.link(self.dir / "w.o", self.dir / "hard.o")
        before = {p.name: p.read_bytes() for p in self.dir.iterdir()}
        for args, what in [
            (["model.json", "--emit=graph", "-o", "model.json"], "model"),
            (["model.json", "--emit=graph", "-o", "./model.json"], "model"),
            (["model.json", "--emit=graph", "-o", "soft.json"], "model"),
            (["soft.json", "--stop-after=fuse", "-o", "model.json"], "model"),
            (["net.cnnir", "--emit=graph", "-o", "net.cnnir"], "model"),
            (["model.json", "-w", "w.o", "-o", "w.o"], "weights"),
            (["model.json", "-w", "w.o", "-o", "hard.o"], "weights"),
            (["model.json", "-w", "w.h", "-o", "w.o"], "weights"),
            (["model.json", "--emit=obj", "-o", "lenet5.safetensors"], "weights"),
            (["run", "model.json", "-i", IMAGES, "-o", "lenet5.safetensors"], "weights"),
            (["run", "model.json", "-i", IMAGES, "-o", "model.json"], "model"),
        ]:
            with self.subTest(args=args):
                err = self.cnnc(*args, status=1).stderr
                self.assertIn(f"this would overwrite the {what} of this run", err)
                self.assertIn("[file-write]", err)
        self.assertEqual({p.name: p.read_bytes() for p in self.dir.iterdir()}, before)

    def test_devices(self):
        """No files stand beside a device: all goes to it, or that is refused."""
        os.symlink("/dev/null", self.dir / "null")
        self.cnnc("net.cnnir", "-q", "-o", "/dev/null")
        self.assertIn("would have this name", self.cnnc("net.cnnir", "-q", "-o", "null", status=1).stderr)
        err = self.cnnc("net.cnnir", "-q", "-o", "/dev/full", status=1).stderr
        self.assertIn("would have this name", err)
        self.assertIn("hint: a device takes one kind: --emit=obj", err)
        err = self.cnnc("net.cnnir", "-q", "--emit=obj", "-o", "/dev/full", status=1).stderr
        self.assertIn("/dev/full: error: cannot write the file: No space left on device [file-write]", err)
        self.cnnc("net.cnnir", "-q", "--emit=header", "-o", "null")
        self.assertEqual(self.files(), ["null"])

    def test_links(self):
        """A link that points to nothing stays one, and what it points to is written; one to itself cannot be."""
        os.symlink("to.o", self.dir / "link.o")
        os.symlink("self", self.dir / "self")
        self.cnnc("net.cnnir", "-q", "--emit=obj", "-o", "link.o")
        self.assertTrue((self.dir / "link.o").is_symlink())
        self.assertTrue((self.dir / "to.o").is_file())
        err = self.cnnc("net.cnnir", "-q", "--emit=obj", "-o", "self", status=1).stderr
        self.assertIn("self: error: cannot write the file: Too many levels of symbolic links [file-write]", err)

    def test_pipe(self):
        """A named pipe is written in place and stays one, as with clang."""
        self.cnnc("net.cnnir", "-q", "-o", "net.o")
        os.mkfifo(self.dir / "pipe")
        reader = subprocess.Popen(["cat", "pipe"], cwd=self.dir, stdout=subprocess.PIPE)
        self.cnnc("net.cnnir", "-q", "--emit=obj", "-o", "pipe")
        self.assertEqual(reader.communicate(timeout=60)[0], (self.dir / "net.o").read_bytes())
        self.assertTrue((self.dir / "pipe").is_fifo())

    def test_dev_stdout(self):
        """It is `-`, whether a pipe or a file: nothing is put beside it or in its place."""
        self.assertIn("-o - writes one file", self.cnnc("net.cnnir", "-q", "-o", "/dev/stdout", status=2).stderr)
        before = os.listdir("/dev")
        want = self.cnnc("net.cnnir", "--emit=header", "-o", "-").stdout
        self.assertEqual(self.cnnc("net.cnnir", "--emit=header", "-o", "/dev/stdout").stdout, want)
        with open(self.dir / "log", "a") as log:
            log.write("// before\n")
            log.flush()
            r = subprocess.run([CNNC, "net.cnnir", "--emit=header", "-o", "/dev/stdout"], cwd=self.dir, stdout=log)
        self.assertEqual(r.returncode, 0)
        self.assertEqual((self.dir / "log").read_text(), "// before\n" + want)
        self.assertEqual(os.listdir("/dev"), before)

    def test_standard_output(self):
        self.cnnc("net.cnnir", "-o", "net.o")
        r = subprocess.run([CNNC, "net.cnnir", "--emit=obj", "-o", "-"], cwd=self.dir, capture_output=True)
        self.assertEqual((r.returncode, r.stderr), (0, b""))
        self.assertEqual(r.stdout, (self.dir / "net.o").read_bytes())
        self.assertTrue(self.cnnc("net.cnnir", "--passes=", "--emit=graph", "-o", "-").stdout.startswith("graph @net("))

    def test_external_weights(self):
        self.cnnc(LENET, "--external-weights", "-o", "lenet5.o")
        self.assertIn("lenet5_prepare", (self.dir / "lenet5.h").read_text())
        inside = subprocess.run([CNNC, LENET, "-o", "full.o", "-q"], cwd=self.dir)
        self.assertEqual(inside.returncode, 0)
        self.assertGreater((self.dir / "full.o").stat().st_size, (self.dir / "lenet5.o").stat().st_size + 200000)

    def test_pack(self):
        err = self.cnnc(LENET, "--pack=load", "-o", "raw.o").stderr
        self.assertIn(", raw weights 247 KB", err)
        self.assertEqual(self.sections("raw.o")[".rodata.cnnc_weights"], 247040)  # 61,706 parameters, each tensor at a multiple of 64 bytes
        self.assertIn("params NULL: those in the object", (self.dir / "raw.h").read_text())
        self.cnnc(LENET, "-q", "-o", "packed.o")
        self.cnnc(LENET, "-q", "--pack=object", "-o", "object.o")
        self.assertEqual((self.dir / "packed.o").read_bytes(), (self.dir / "object.o").read_bytes())
        self.cnnc(LENET, "--pack=both", status=2)
        self.cnnc(LENET, "--pack=load", "--external-weights", status=2)

    def test_same_bytes(self):
        for name in ("one", "two"):
            (self.dir / name).mkdir()
            self.cnnc(LENET, "--emit=obj,header,asm,llvm,graph,loops,dot", "-q", "-o", f"{name}/m.o")
        for p in (self.dir / "one").iterdir():
            self.assertEqual(p.read_bytes(), (self.dir / "two" / p.name).read_bytes(), p.name)

    def sections(self, name):
        """Sizes of an object's sections by name: ELF of 64 bits, little-endian."""
        raw = (self.dir / name).read_bytes()
        at, (size, count, names) = struct.unpack_from("<Q", raw, 40)[0], struct.unpack_from("<3H", raw, 58)
        heads = [struct.unpack_from("<2I4Q", raw, at + i * size) for i in range(count)]
        text = raw[heads[names][4]:]
        found = {}
        for head in heads:
            key = text[head[0]:text.index(b"\0", head[0])].decode()
            found[key] = found.get(key, 0) + head[5]
        return found

    def test_train_summary(self):
        """Code is code: initial parameters, frozen weights and the state are counted for themselves."""
        def size(bytes_):
            return f"{bytes_} bytes" if bytes_ < 1e4 else f"{bytes_ / 1e3:.0f} KB" if bytes_ < 1e6 else f"{bytes_ / 1e6:.1f} MB"
        (self.dir / "r.json").write_text(json.dumps({"format": "cnnc-recipe/1", "freeze": ["conv*"]}))
        more = ["--train", "--recipe=r.json", "-o", "t.o"]
        err = self.cnnc(LENET, *more).stderr
        sizes = self.sections("t.o")
        state = int(re.search(r"STATE_BYTES \(\(size_t\)(\d+)\)", (self.dir / "t.h").read_text())[1])
        self.assertIn(f": code {size(sizes['.text'])}, initial parameters {size(sizes['.rodata.cnnc_initial'])}, "
                      f"frozen weights {size(sizes['.rodata.cnnc_weights'])}, state {size(state)}, workspace ", err)
        self.assertIn("frozen weights outside, state ", self.cnnc(LENET, *more, "--external-weights").stderr)
        err = self.cnnc(LENET, "-o", "t.o").stderr
        sizes = self.sections("t.o")
        self.assertIn(f": code {size(sizes['.text'])}, weights {size(sizes['.rodata.cnnc_weights'])}, workspace ", err)

    def test_header_groups(self):
        """The header says what each group[i] of the hyper-parameters is in the recipe; names end no comment."""
        recipe = {"format": "cnnc-recipe/1", "optimizer": {"type": "SGD", "lr": 0.25, "weight_decay": 0.5},
                  "groups": [{"params": ["*.bias"], "weight_decay": 0}, {"params": ["[*/c]onv1.weight", "fc2*t"], "lr": 2}]}
        (self.dir / "r.json").write_text(json.dumps(recipe))
        self.cnnc(LENET, "--train", "--recipe=r.json", "--emit=header", "-o", "t.h")
        text = (self.dir / "t.h").read_text()
        self.assertIn(" * group[0]: all parameters that no other group names (51240); lr 0.25, weight_decay 0.5\n"
                      " * group[1]: \"*.bias\" (236); lr 0.25, weight_decay 0\n"
                      " * group[2]: \"[_/c]onv1.weight\", \"fc2*t\" (10230); lr 2, weight_decay 0.5 */\n", text)
        self.cnnc(LENET, "--train", "--emit=header", "-o", "t.h")
        self.assertIn(" * group[0]: all parameters (61706); lr 0.001, weight_decay 0 */\n", (self.dir / "t.h").read_text())

    # ---- Looking at the IR ----

    def test_print(self):
        r = self.cnnc(LENET, "--emit=graph", "--print-after=fold-bn", "-o", "g.cnnir", "-q")
        self.assertTrue(r.stderr.startswith("# after fold-bn\ngraph @lenet5("))
        (self.dir / "dump.cnnir").write_text(r.stderr)
        again = self.cnnc("dump.cnnir", "--passes=", "--emit=graph", "-o", "-")
        self.assertEqual(r.stderr, "# after fold-bn\n" + again.stdout)
        r = self.cnnc("net.cnnir", "-q", "--print-before=fuse,lower", "--print-before=plan")
        heads = [line for line in r.stderr.splitlines() if line.startswith("# before")]
        self.assertEqual(heads, ["# before fuse", "# before lower", "# before plan"])
        r = self.cnnc("net.cnnir", "-q", "--print-changed", "--emit=graph", "-o", "g.cnnir")
        self.assertIn("# after cse: no change\n", r.stderr)
        self.assertIn("# after fuse\ngraph @net(", r.stderr)
        r = self.cnnc(LENET, "-q", "--print-after-all", "--print-filter=conv2", "-o", "x.o")
        self.assertIn("conv2", r.stderr)
        self.assertNotIn("linear %", r.stderr)

    def test_dump(self):
        self.cnnc(LENET, "-q", "--dump-dir=dump", "-o", "x.o")
        names = sorted(p.name for p in (self.dir / "dump").iterdir())
        self.assertEqual(names[0], "00-import.cnnir")
        self.assertTrue(names[-1].endswith("-plan.cnnir"))
        for name in names:
            text = (self.dir / "dump" / name).read_text()
            emit = "loops" if text.startswith("module") else "graph"
            again = self.cnnc(f"dump/{name}", "--passes=", f"--emit={emit}", "-o", "-", "-q")
            self.assertEqual(again.stdout, text, name)

    def test_stop_after(self):
        """Without --emit the IR is what is written: to standard output, to -o, or beside the object that -o names."""
        graph = self.cnnc(LENET, "--stop-after=fuse")
        self.assertTrue(graph.stdout.startswith("graph @lenet5("))
        self.assertEqual(graph.stderr, "")
        self.assertEqual(self.cnnc(LENET, "--stop-after=fuse", "-o", "-").stdout, graph.stdout)
        self.assertTrue(self.cnnc("net.cnnir", "--stop-after=plan").stdout.startswith("module @net"))
        self.assertEqual(self.files(), [])
        self.cnnc(LENET, "--stop-after=fuse", "-o", "y.o")
        self.cnnc(LENET, "--stop-after=fuse", "-o", "y.cnnir")
        self.assertEqual(self.files(), ["y.cnnir", "y.graph.cnnir"])

    def test_stop_after_and_emit(self):
        """Kinds made of code need the whole pipeline; plan is its end."""
        for kind in ("obj", "header", "asm", "llvm", "obj,header"):
            for name in ("fuse", "tidy"):
                r = self.cnnc(LENET, f"--stop-after={name}", f"--emit={kind}", "-o", "z.o", status=1)
                self.assertIn("an object needs the passes up to \"plan\" [pass-list]", r.stderr)
        self.assertEqual(self.files(), [])
        for kind in ("obj", "header", "asm", "llvm"):
            for name, more in (("full", []), ("stopped", ["--stop-after=plan"])):
                self.cnnc(LENET, "-q", f"--emit={kind}", "-o", f"{name}.{kind}", *more)
            self.assertEqual((self.dir / f"full.{kind}").read_bytes(), (self.dir / f"stopped.{kind}").read_bytes())

    def test_stop_after_never(self):
        self.cnnc("net.cnnir", "-q", "--emit=loops", "-o", "l.cnnir")
        for args in (["net.cnnir", "--passes=fuse", "--stop-after=plan"], ["l.cnnir", "--stop-after=fuse"],
                     ["l.cnnir", "--stop-after=fuse", "--emit=obj"], ["info", "l.cnnir", "--stop-after=fuse"]):
            self.assertIn("does not run here [pass-list]", self.cnnc(*args, status=1).stderr)
        self.assertEqual(self.files(), ["l.cnnir"])

    def test_print_never(self):
        self.cnnc("net.cnnir", "-q", "--emit=loops", "-o", "l.cnnir")
        for args in (["l.cnnir", "--print-after=fuse"], ["net.cnnir", "--print-before=cse,fuse", "--stop-after=cse"]):
            self.assertIn("warning: nothing to print: the pass \"fuse\" does not run here", self.cnnc(*args).stderr)

    def test_just_look(self):
        """Printing or dumping with neither -o nor --emit writes no file, and needs no weights."""
        (self.dir / "bare.json").write_text(pathlib.Path(LENET).read_text().replace('"weights": "lenet5.safetensors",', ""))
        for args in (["--print-after=fuse"], ["--print-before=plan"], ["--print-changed"], ["--print-after-all"]):
            r = self.cnnc("bare.json", *args)
            self.assertIn("\ngraph @lenet5(" if args != ["--print-before=plan"] else "\nmodule @lenet5", r.stderr)
            self.assertNotIn("wrote", r.stderr)
            self.assertEqual((r.stdout, self.files()), ("", ["bare.json"]))
        self.cnnc("bare.json", "--dump-dir=dump/a//b/")
        self.assertEqual(self.files(), ["bare.json", "dump"])
        self.assertTrue((self.dir / "dump/a/b/00-import.cnnir").exists())
        r = self.cnnc("bare.json", "--print-after=fuse", "--stop-after=fuse")
        self.assertEqual((r.stdout, r.stderr.count("graph @lenet5")), ("", 1))
        r = self.cnnc("bare.json", "--print-before=lower", "--emit=graph", "-o", "-")
        self.assertEqual(r.stderr, "# before lower\n" + r.stdout)

    def test_stop_and_resume(self):
        self.cnnc("net.cnnir", "-q", "--stop-after=fuse", "-o", "g.cnnir")
        self.assertTrue((self.dir / "g.cnnir").read_text().startswith("graph"))
        self.cnnc("net.cnnir", "-q", "--stop-after=expand", "-o", "l.cnnir")
        self.assertTrue((self.dir / "l.cnnir").read_text().startswith("module"))
        self.cnnc("net.cnnir", "-q", "--emit=loops", "-o", "full.cnnir")
        self.cnnc("l.cnnir", "-q", "--emit=loops", "-o", "resumed.cnnir")
        self.assertEqual((self.dir / "full.cnnir").read_text(), (self.dir / "resumed.cnnir").read_text())

    def test_resume_anywhere(self):
        """Every file of --dump-dir goes on from where it stands, to the same loops."""
        self.cnnc(LENET, "-q", "--dump-dir=dump", "--emit=loops", "-o", "full.cnnir")
        want = (self.dir / "full.cnnir").read_text()
        for p in sorted((self.dir / "dump").iterdir()):
            self.assertEqual(self.cnnc(str(p), "--emit=loops", "-o", "-").stdout, want, p.name)
        choose = next((self.dir / "dump").glob("*-choose.cnnir"))
        self.assertEqual(self.run_lenet(str(choose), "-w", WEIGHTS), self.run_lenet(LENET))

    def test_resume_batch(self):
        """Graphs take another batch; loops, and graphs whose shapes hold it, refuse it."""
        (self.dir / "fixed.cnnir").write_text(NET.replace("batch 1", "batch 2 fixed"))
        self.cnnc("net.cnnir", "-q", "--emit=graph,loops", "--batch=2", "-o", "m.o")
        self.assertIn("batch 3", self.cnnc("m.graph.cnnir", "--batch=3", "--stop-after=fuse").stdout)
        for name in ("m.loops.cnnir", "fixed.cnnir"):
            self.cnnc(name, "-q", "--batch=2", "-o", "x.o")
            for args in ([name, "-o", "y.o"], ["run", name, "-i", "a.npy", "-i", "b.npy"], ["info", name]):
                r = self.cnnc(*args, "--batch=3", status=1)
                self.assertIn(f"{name}: error: --batch 3: this file has been made for a batch of 2", r.stderr)
        r = self.cnnc("m.loops.cnnir", "--input-shape=a=5", status=1)
        self.assertIn("cannot be changed [input-shape]", r.stderr)

    def test_resume_with_weights(self):
        self.cnnc(LENET, "-q", "--emit=graph,loops", "-o", "m.o")
        expected = self.run_lenet(LENET)
        for model in ("m.graph.cnnir", "m.loops.cnnir"):
            self.assertEqual(self.run_lenet(model, "-w", WEIGHTS), expected, model)
        self.assertIn("--weights", self.cnnc("run", "m.loops.cnnir", "-i", IMAGES, status=1).stderr)
        self.cnnc("verify", "m.loops.cnnir", "-w", WEIGHTS, "-i", IMAGES, "--expect", TORCH)
        self.assertIn("--expect", self.cnnc("verify", "m.loops.cnnir", "-w", WEIGHTS, status=1).stderr)

    def test_time(self):
        r = self.cnnc("net.cnnir", "-q", "--time-passes")
        for what in ("(import)", "fuse", "plan", "(weights)", "(code)", "total"):
            self.assertIn(what, r.stderr)

    # ---- Running ----

    def run_lenet(self, model, *more):
        self.cnnc("run", model, "-i", IMAGES, "-o", "y.npy", *more)
        return read_npy(self.dir / "y.npy")

    def test_run(self):
        self.cnnc("run", "net.cnnir", "-i", "a.npy", "--input=b=b.npy", "-o", "positive=p.npy", "-o", "m.npy")
        a, b = read_npy(self.dir / "a.npy"), read_npy(self.dir / "b.npy")
        positive = tuple(max(x + y, 0) for x, y in zip(a, b))
        self.assertEqual(read_npy(self.dir / "p.npy"), positive)
        self.assertEqual(read_npy(self.dir / "m.npy"), tuple(x * y for x, y in zip(positive, a)))
        out = self.cnnc("run", "net.cnnir", "-i", "a.npy", "-i", "b.npy").stdout
        self.assertIn("product: f32[3,4]\n  0: ", out)
        self.assertEqual(self.cnnc("run", "net.cnnir", "-i", "a.npy", "-i", "b.npy", "-q").stdout, out)
        j = json.loads(self.cnnc("run", "net.cnnir", "-i", "a.npy", "-i", "b.npy", "--json").stdout)
        self.assertEqual((j["format"], j["outputs"][1]["shape"]), ("cnnc-run/1", [3, 4]))
        self.assertEqual(tuple(j["outputs"][1]["values"]), positive)
        self.assertIn("ankle boot", self.cnnc("run", LENET, "-i", IMAGES).stdout)

    def test_pictures(self):
        """A frame of bytes, channels last and blue first, is the picture that a PNG or JPEG file holds."""
        layers = [{"type": "Flatten"}, {"name": "fc", "type": "Linear", "in_features": 3 * 5 * 7, "out_features": 3}]
        seeds = pathlib.Path(__file__).resolve().parents[1] / "fuzz/seeds"
        common = {"name": "image", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
        frame = {"dtype": "u8", "layout": "nhwc", "color": "bgr", "shape": [5, 7, 3]}
        for name, keys in (("bytes", frame), ("fitting", {**frame, "resize": [5, 7]}), ("planes", {"shape": [3, 5, 7]})):
            model = {"format": "cnnc-model/1", "name": name, "inputs": [{**common, **keys}], "layers": layers}
            (self.dir / (name + ".json")).write_text(json.dumps({**model, "classes": ["cat", "dog", "bird"]}))
        rgb = [(11 * i + 60 * c) % 256 for i in range(35) for c in range(3)]
        rows = b"".join(b"\0" + bytes(rgb[21 * y : 21 * y + 21]) for y in range(5))
        write_png(self.dir / "a.png", 7, 5, rows)
        write_npy(self.dir / "bgr.npy", (5, 7, 3), [rgb[i // 3 * 3 + 2 - i % 3] for i in range(105)])
        write_npy(self.dir / "planes.npy", (3, 5, 7), [rgb[3 * i + c] / 255 for c in range(3) for i in range(35)])
        run = lambda model, *args: self.cnnc("run", model + ".json", "--init-seed=1", *args).stdout
        want = run("planes", "-i", "planes.npy")
        self.assertIn("bird ", want)
        for model, source in (("bytes", "bgr.npy"), ("bytes", "a.png"), ("fitting", "a.png"), ("planes", "a.png")):
            self.assertEqual(run(model, "-i", source), want, (model, source))
        jpeg = str(seeds / "jpeg/rgb.jpg")
        self.assertEqual(run("fitting", "-i", jpeg), run("bytes", "-i", jpeg, "--resize=5x7"))
        self.assertIn("cat ", run("planes", "-i", jpeg, "--resize=9", "--center-crop=5x7"))
        self.assertIn("--resize 5x7", self.cnnc("run", "bytes.json", "--init-seed=1", "-i", jpeg, status=1).stderr)
        self.cnnc("verify", "bytes.json", "--init-seed=1", "-i", "a.png")
        self.cnnc("bench", "bytes.json", "--init-seed=1", "--seconds=0", "--batch=3")

    def test_run_in_pieces(self):
        """More images than the batch, one image without its batch dimension, another number of threads: same bits."""
        whole = self.run_lenet(LENET)
        self.assertEqual(self.run_lenet(LENET, "--batch=3", "--threads=1"), whole)
        self.assertEqual(self.run_lenet(LENET, "--batch=9", "--threads=5"), whole)
        images = read_npy(IMAGES)
        write_npy(self.dir / "one.npy", (1, 28, 28), images[:784])
        self.cnnc("run", LENET, "-i", "one.npy", "-o", "y.npy")
        self.assertEqual(read_npy(self.dir / "y.npy"), whole[:10])

    def test_run_faults(self):
        write_npy(self.dir / "two.npy", (2, 4), range(8))
        write_npy(self.dir / "wide.npy", (3, 5), range(15))
        (self.dir / "text.npy").write_text("not an array")
        run = ["run", "net.cnnir"]
        for args, says in [
            (run, "--input a=x.npy is needed"),
            (run + ["-i", "a.npy"], "--input b=x.npy is needed"),
            (run + ["-i", "a.npy", "-i", "b.npy", "-i", "b.npy"], "one too many; the model has 2"),
            (run + ["-i", "c=a.npy"], "is it \"a\"?"),
            (run + ["-i", "a=a.npy", "-i", "a=b.npy"], "has one already"),
            (run + ["-i", "a.npy", "-i", "two.npy"], "holds 2 images, others hold 3"),
            (run + ["-i", "a.npy", "-i", "wide.npy"], "\"b\" is [N,4], but the array is [3,5]"),
            (run + ["-i", "a.npy", "-i", "text.npy"], "text.npy"),
            (run + ["-i", "a.npy", "-i", "missing.npy"], "missing.npy"),
            (run + ["-i", "a.npy", "-i", "b.npy", "-o", "q=x.npy"], "is it"),
            (run + ["-i", "a.npy", "-i", "b.npy", "-o", "no/x.npy"], "[file-write]"),
            (["verify", "net.cnnir", "-i", "a.npy", "--batch=2"], "need a --batch of as many"),
            (["verify", "net.cnnir", "--expect", "wide.npy"], "[input-data]"),
        ]:
            with self.subTest(args=args):
                self.assertIn(says, self.cnnc(*args, status=1).stderr)

    def test_verify(self):
        out = self.cnnc("verify", LENET, "-i", IMAGES, "--expect", TORCH).stdout
        self.assertRegex(out, r"value +relu_2 ")
        self.assertRegex(out, r"expected +probability ")
        self.assertIn("batch 4", out)
        self.assertRegex(out, r"value +image.normalized +(abcd\S* +)?\d.*\n(.*\n)*value +relu_1 +aBcd\d+b\S* +\d")
        rows = [line[:54] for line in out.splitlines()]
        self.assertEqual(len(rows), len(set(rows)), out)
        self.assertIn("value", self.cnnc("verify", LENET, "-i", IMAGES, "-q").stdout)
        r = self.cnnc("verify", LENET, "-i", IMAGES, "--expect", TORCH, "--rtol=1e-12", "--json", status=1)
        self.assertIn("[mismatch]", r.stderr)
        j = json.loads(r.stdout)
        self.assertEqual(j["format"], "cnnc-verify/1")
        self.assertFalse(all(c["ok"] for c in j["comparisons"]))
        write_npy(self.dir / "wrong.npy", (3, 4), [0] * 12)
        args = ["-i", "a.npy", "-i", "b.npy", "--expect", "positive=wrong.npy"]
        self.assertIn("expected positive", self.cnnc("verify", "net.cnnir", *args, status=1).stderr)

    def test_json_names(self):
        """Every command calls the model what its file calls it."""
        (self.dir / "my.cnnir").write_text(NET.replace("@net", '@"my net"'))
        self.cnnc("my.cnnir", "-q", "--emit=loops", "-o", "l.cnnir")
        data = ["-i", "a.npy", "-i", "b.npy"]
        for args in (["run", *data], ["bench", "--seconds=0"], ["verify", *data], ["info"]):
            j = json.loads(self.cnnc(args[0], "my.cnnir", *args[1:], "--json").stdout)
            self.assertEqual(j["model"], "my net", args)
        self.assertTrue(self.cnnc("info", "l.cnnir").stdout.startswith("for "))

    def test_times(self):
        err = self.cnnc(LENET, "-q", "--time-passes", "--emit=loops", "-o", "/dev/null").stderr
        self.assertRegex(err, r"^ +ms +%  what\n( +\d+\.\d{3} +\d+\.\d  \S+\n)+ +\d+\.\d{3} 100\.0  total\n$")

    def test_bench(self):
        j = json.loads(self.cnnc("bench", LENET, "--seconds=0.05", "--threads=2", "--batch=2", "--json").stdout)
        self.assertEqual((j["format"], j["batch"], j["threads"]), ("cnnc-bench/1", 2, 2))
        self.assertGreaterEqual(j["median_ms"], j["min_ms"])
        self.assertGreater(j["flops"], 1.6e6)
        self.assertRegex(self.cnnc("bench", "net.cnnir", "--seconds=0").stdout, r"net on .*, batch 1, .* in 3 calls")

    def test_info(self):
        out = self.cnnc("info", LENET).stdout
        self.assertIn("61,706 parameters", out)
        self.assertIn("largest live set", out)
        j = json.loads(self.cnnc("info", LENET, "--json", "--batch=2").stdout)
        self.assertEqual((j["format"], j["parameters"], j["batch"]), ("cnnc-info/1", 61706, 2))
        self.assertLessEqual(j["workspace_over_live"], 1.15)
        self.assertEqual(sum(layer["parameters"] for layer in j["layers"]), 61706)
        (self.dir / "noweights.json").write_text(pathlib.Path(LENET).read_text().replace('"weights"', '"$weights"')
                                                 .replace('"$weights": "lenet5.safetensors",', ""))
        self.cnnc("info", "noweights.json")
        self.cnnc(LENET, "--stop-after=fuse", "-o", "fused.cnnir")  # what rides along counts with its node
        flops = [json.loads(self.cnnc("info", name, "--json").stdout)["flops"] for name in (LENET, "fused.cnnir")]
        self.assertEqual(*flops)

    # ---- What a training takes ----

    def train_tiny(self, **recipe):
        """A net small enough to count by hand: 20 parameters in a convolution, 27 in a linear layer; a batch of 2."""
        layers = [{"name": "conv", "type": "Conv2d", "in_channels": 1, "out_channels": 2, "kernel_size": 3},
                  {"name": "relu", "type": "ReLU"}, {"name": "flatten", "type": "Flatten"},
                  {"name": "fc", "type": "Linear", "in_features": 8, "out_features": 3}]
        (self.dir / "tiny.json").write_text(json.dumps({
            "format": "cnnc-model/1", "name": "tiny", "inputs": [{"name": "image", "shape": [1, 4, 4]}],
            "layers": layers, "outputs": [{"name": "logits", "from": "fc"}]}))
        sgd = {"type": "SGD", "lr": 0.1, "momentum": 0.9}
        (self.dir / "r.json").write_text(json.dumps({"format": "cnnc-recipe/1", "optimizer": sgd, "batch_size": 2, **recipe}))
        return ["tiny.json", "--train", "--recipe=r.json"]

    def header(self, args):
        """Numbers of the generated header, by macro; workspaces for one thread."""
        self.cnnc(*args, "--init-seed=1", "--emit=header", "-q", "-o", "t.h")
        text = (self.dir / "t.h").read_text()
        found = {m[1]: int(m[2]) for m in re.finditer(r"#define TINY_(\w+) (?:\(\(size_t\))?(\d+)", text)}
        found["WORKSPACE"] = sum(map(int, re.search(r"WORKSPACE_BYTES\(threads\) .*?(\d+) \+ .*?(\d+)\)", text).groups()))
        saves = re.search(r"would have (\d+) bytes more of gradients and (\d+) of optimizer's memory", text)
        found["SAVES"] = tuple(map(int, saves.groups())) if saves else None
        return found

    def test_info_training(self):
        """info against figures counted by hand, and against the generated header."""
        whole = self.train_tiny()
        j = json.loads(self.cnnc("info", *whole, "--json").stdout)["training"]
        header = self.header(whole)
        self.assertEqual((header["TRAINED"], header["FROZEN"], header["SAVES"]), (47, 0, None))
        self.assertEqual((j["trained_parameters"], j["frozen_parameters"], "saved" in j), (47, 0, False))
        all_flops, all_work = j["flops"], header["WORKSPACE"]

        frozen = self.train_tiny(freeze=["conv"])
        out = json.loads(self.cnnc("info", *frozen, "--json").stdout)
        j, header = out["training"], self.header(frozen)
        self.assertEqual([layer["trained"] for layer in out["layers"]], ["frozen", None, None, "trained"])
        self.assertEqual((j["trained_parameters"], j["trained_bytes"], j["frozen_parameters"], j["frozen_bytes"]),
                         (27, 108, 20, 80))
        # The head of the state, three tensors of 96 bytes and three of 12, three counters; in units of 64 bytes.
        self.assertEqual(j["state_bytes"], 64 + 3 * (128 + 64) + 3 * 64)
        self.assertEqual(j["state"], {"weights": 108, "statistics": 0, "optimizer": 108, "gradients": 108, "counters": 24,
                                      "alignment": 832 - 348})
        forward = 2 * (8 * 19 + 8 + 3 * 17 + 4 * 3)   # convolution, relu, linear, loss
        backward = 2 * (5 * 3 + 3 + 2 * 24) + 27      # loss, bias, weight; then the sums over calls
        self.assertEqual(j["flops"], {"forward": forward, "backward": backward, "update": 7 * 27,
                                      "step": forward + backward + 7 * 27, "evaluation": forward})
        more = 2 * (2 * 24 + 8 + 8 + 2 * 4 * 18) + 20 + 7 * 20  # linear's and relu's input, bias, weight, sums, update
        self.assertEqual(all_flops["step"] - j["flops"]["step"], more)
        self.assertEqual(j["saved"], {"optimizer_bytes": 80, "gradient_bytes": 80, "flops": more,
                                      "workspace_bytes": all_work - header["WORKSPACE"]})
        self.assertEqual((header["TRAINED"], header["FROZEN"], header["SAVES"]), (27, 20, (80, 80)))
        self.assertEqual(header["STATE_BYTES"], j["state_bytes"])
        self.assertEqual(max(j["workspace"].values()), out["workspace_bytes"])
        self.assertEqual(header["WORKSPACE"], out["workspace_bytes"] + out["scratch_bytes_per_thread"])
        text = re.sub(" +", " ", self.cnnc("info", *frozen).stdout)
        for line in ("trained 27 parameters, 108 bytes\n", "frozen 20 parameters, 80 bytes\n", "state 832 bytes\n weights 108",
                     "a step of 2: forward 446, backward 159, update 189; 446 an evaluation\n", "\n optimizer 80 bytes\n",
                     "FLOPs 576 a step, 42.0%\n", " in an evaluation, "):
            self.assertIn(line, text)
        self.assertNotIn("0 steps", text)

    def test_info_training_parts(self):
        """A layer of which a part is frozen; statistics are no parameters; each optimizer's memory."""
        args = self.train_tiny(freeze=["conv.bias"], optimizer={"type": "Adam", "amsgrad": True})
        out = json.loads(self.cnnc("info", *args, "--json").stdout)
        self.assertEqual(out["layers"][0]["trained"], "in part")
        self.assertEqual(out["training"]["state"]["optimizer"], 3 * 45 * 4)
        self.assertEqual(out["training"]["saved"]["optimizer_bytes"], 3 * 2 * 4)
        transfer = EXAMPLES / "transfer_resnet18"
        args = [str(transfer / "transfer.json"), "--train", "--recipe", str(transfer / "frozen.json")]
        j = json.loads(self.cnnc("info", *args, "--json").stdout)
        total, t = j["parameters"], j["training"]
        self.assertEqual((t["trained_parameters"], t["frozen_parameters"]), (1290, total - 1290))
        self.assertEqual(t["saved"]["optimizer_bytes"], 8 * (total - 1290))
        self.assertEqual(t["saved"]["gradient_bytes"], 4 * (total - 1290))
        self.assertGreater(t["saved"]["workspace_bytes"], 0)

    def test_info_training_unknown(self):
        """Where the model cannot be trained without `freeze`, nobody knows what freezing saves."""
        (self.dir / "root.cnnir").write_text("""graph @root(%x: f32[N,4]) batch 1 {
  %a = param f32[4,4] @"a.weight"
  %b = param f32[3,4] @"b.weight"
  %p = linear %x, %a : f32[N,4]
  %q = rsqrt %p {eps=1} : f32[N,4]
  %r = linear %q, %b : f32[N,3]
  return %r as "logits"
}
""")
        (self.dir / "r.json").write_text(json.dumps({"format": "cnnc-recipe/1", "freeze": ["a"]}))
        args = ["root.cnnir", "--train", "--recipe=r.json"]
        r = self.cnnc("info", *args)
        self.assertIn("what freezing saves is not known: without it the recipe does not compile\n", r.stdout)
        self.assertEqual(r.stderr, "")
        self.assertNotIn("saved", json.loads(self.cnnc("info", *args, "--json").stdout)["training"])
        self.cnnc(*args, "--init-seed=1", "--emit=header", "-q", "-o", "t.h")
        self.assertIn("ROOT_FROZEN 16 /* and that are not */", (self.dir / "t.h").read_text())

    def test_info_training_files(self):
        """Dumps of a training: each graph counts the same, loops say what they do not tell."""
        args = self.train_tiny(freeze=["conv"])
        want = json.loads(self.cnnc("info", *args, "--json").stdout)
        self.cnnc(*args, "--dump-dir=dump", "--print-after=plan")
        for p in sorted((self.dir / "dump").iterdir())[1:]:
            r = json.loads(self.cnnc("info", str(p), "--json").stdout)
            t, text = r["training"], self.cnnc("info", str(p)).stdout
            for key in ("state_bytes", "state", "workspace"):
                self.assertEqual(t[key], want["training"][key], p.name)
            self.assertEqual((r["steps"], r["evaluation_steps"]), (want["steps"], want["evaluation_steps"]), p.name)
            self.assertIn("[training-dump]", self.cnnc("info", str(p), "--train", status=1).stderr)
            if p.read_text().startswith("module"):
                self.assertIn("it does not tell layers, FLOPs and what is frozen\n", text)
                self.assertNotIn("flops", t)
                continue
            for key in ("trained_parameters", "frozen_parameters", "flops"):
                self.assertEqual(t[key], want["training"][key], p.name)
            self.assertIn("\napply:\nlayer ", text)
            self.assertIn(f"a step of 3: forward {446 * 3 // 2},", self.cnnc("info", str(p), "--batch=3").stdout)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ.pop("CNNC", None)
    unittest.main()
