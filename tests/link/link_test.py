#!/usr/bin/python3
"""Programs linked with compiled models: C99, C11, C++; with and without the runtime; shared library; no allocation;
several models; training; external weights; threads, CPU check, affinity and quota. Standard library only.

    link_test.py CASE         the names of the cases are the functions below
"""

import glob
import json
import math
import os
import random
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "..", ".."))
CNNC, CNNRT = os.environ.get("CNNC", "cnnc"), os.environ.get("CNNRT", "libcnnrt.a")
LENET5 = os.path.join(ROOT, "examples", "lenet5", "lenet5.json")
SIMPLECNN = os.path.join(ROOT, "examples", "simplecnn", "simplecnn.json")
STRICT = ["-O1", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"]
SKIP, U8 = 77, 3
sys.path.insert(0, os.path.join(ROOT, "tools"))

import native  # noqa: E402


def run(*command, check=True):
    r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and r.returncode != 0:
        sys.exit("%s\nexit status %d\n%s" % (" ".join(command), r.returncode, r.stdout))
    return r.stdout if check else r


def check(condition, message):
    if not condition:
        sys.exit("FAILED: %s" % message)


def skip(reason):
    print("skipped: " + reason)
    sys.exit(SKIP)


def compile_net(name="net", *options, model=LENET5, batch="5"):
    run(CNNC, model, "--name", name, "--batch", batch, "-o", name + ".o", *options)
    return name + ".o"


def build(program, objects, *flags, cc="cc", std="-std=c11", runtime=True):
    """Compile tests/link/PROGRAM.c strictly and link it. Without the runtime only libc and libm are there."""
    libraries = [CNNRT, "-pthread"] if runtime else []
    language = ["-x", "c++"] if cc == "c++" else []
    source = os.path.join(HERE, program + ".c")
    run(cc, std, *STRICT, *flags, "-I.", "-I" + os.path.join(ROOT, "runtime", "cnnrt"), *language, "-c", source,
        "-o", program + ".prog.o")
    run(cc, program + ".prog.o", *objects, *libraries, "-lm", "-o", program)
    return os.path.abspath(program)


def compile_trainer(name="net", *options):
    recipe = SIMPLECNN.replace("simplecnn.json", "adam.json")
    return compile_net(name, "--train", "--recipe", recipe, "--init-seed", "7", *options, model=SIMPLECNN)


def without_grain(pipeline):
    """The passes of a pipeline but for `grain`: each loop goes to the pool, however small the net."""
    with open(os.path.join(ROOT, "passes", "pipelines.c")) as f:
        text = f.read().split(pipeline + " =")[1].split(";")[0]
    passes = "".join(re.findall(r'"([^"]*)"', text))
    check("grain," in passes, "no pipeline found: " + passes)
    return "--passes=" + passes.replace("grain,", "")


def languages():
    """The header in three languages with all warnings as errors, the object without libcnnrt."""
    net = compile_net()
    for cc, std in (("cc", "-std=c99"), ("cc", "-std=c11"), ("c++", "-std=c++11"), ("c++", "-std=c++20")):
        run(build("basic", [net], cc=cc, std=std, runtime=False))


def baseline():
    """The same with baseline code."""
    run(build("basic", [compile_net("net", "--cpu", "x86-64")], runtime=False))


def train():
    """The header of training in three languages, the object without libcnnrt; and with all loops in parallel."""
    net = compile_trainer()
    for cc, std in (("cc", "-std=c99"), ("cc", "-std=c11"), ("c++", "-std=c++11"), ("c++", "-std=c++20")):
        run(build("train", [net], cc=cc, std=std, runtime=False))
    run(build("train", [compile_trainer("net", without_grain("pipeline_train"))], runtime=False))
    run(build("train", [compile_trainer("net", "--cpu", "x86-64")], runtime=False))


def budget():
    """Training under memory budgets: it fits with the same bits as without, or is refused, and the least budget works."""
    resnet = os.path.join(ROOT, "examples", "fashion_resnet", "fashion_resnet.json")
    for model, recipe in (SIMPLECNN, SIMPLECNN.replace("simplecnn.json", "adam.json")), \
                         (resnet, resnet.replace("fashion_resnet.json", "cosine.json")):
        compile_net = ["--train", "--recipe", recipe, "--init-seed", "7", "--batch", "16", "--name", "net", "-o", "net.o"]
        run(CNNC, model, *compile_net)
        default = workspace()
        want = run(build("budget", ["net.o"]), "want")
        for percent in (90, 75, 60):
            under_budget(model, compile_net, default * percent // 100, want)


def under_budget(model, compile_net, bytes_, want, again=True):
    r = run(CNNC, model, *compile_net, "--memory-budget", str(bytes_), check=False)
    if r.returncode == 0:
        check(workspace() <= bytes_, "%d bytes of workspace, but a budget of %d" % (workspace(), bytes_))
        check(run(build("budget", ["net.o"]), "got") == want, "other losses with a budget of %d" % bytes_)
        check(open("got", "rb").read() == open("want", "rb").read(), "another state with a budget of %d" % bytes_)
        return
    said = re.search(r" and (\d+) when .*: (\d+) more than the budget of (\d+) \[memory-budget\]", r.stdout)
    check(again and said, r.stdout)
    least, lacks, budget_ = map(int, said.groups())
    check(budget_ == bytes_ and least - lacks == bytes_, r.stdout)
    under_budget(model, compile_net, least, want, again=False)
    batch = re.search(r"a batch of (\d+)", r.stdout)
    if batch:
        run(CNNC, model, *compile_net, "--memory-budget", str(bytes_), "--batch", batch[1])
        check(workspace() <= bytes_, "the batch that the hint names does not fit")


def workspace():
    shared, scratch = re.search(r"WORKSPACE_BYTES\(threads\) \(\(size_t\)(\d+) \+ .*\(size_t\)(\d+)\)",
                                open("net.h").read()).groups()
    return int(shared) + int(scratch)


def random_net(seed, noise=True):
    """net.json: convolutions, batch norms, dropout, pools and residual blocks of odd sizes. Without `noise` neither
    batch norms nor dropout, through which samples or calls meet."""
    r = random.Random(seed)
    channels, side, layers = r.randint(1, 3), r.choice((9, 11, 13)), []
    model = {"format": "cnnc-model/1", "name": "net", "inputs": [{"name": "image", "shape": [channels, side, side + 2]}]}

    def add(kind, **arguments):
        layers.append({"name": f"l{len(layers)}", "type": kind, **arguments})
        return layers[-1]["name"]

    def conv(out, size):
        nonlocal channels
        add("Conv2d", in_channels=channels, out_channels=out, kernel_size=size, padding=size // 2)
        channels = out
        if noise and r.random() < 0.8:
            add("BatchNorm2d", num_features=out)
    for _ in range(r.randint(2, 3)):
        conv(r.choice((3, 5, 8, 9, 17)), r.choice((1, 3, 5)))
        skip = add("ReLU")
        if r.random() < 0.6:
            conv(channels, 3)
            if r.random() < 0.5:
                add("ReLU")
                conv(channels, 3)
            add("Add", inputs=[layers[-1]["name"], skip])
            add("ReLU")
        if noise and r.random() < 0.5:
            add("Dropout", p=0.3)
        if r.random() < 0.6:
            add(r.choice(("MaxPool2d", "AvgPool2d")), kernel_size=2, stride=r.choice((1, 2)))
    add("AdaptiveAvgPool2d", output_size=2)
    add("Flatten")
    if noise:
        add("Dropout", p=0.5)
    add("Linear", in_features=4 * channels, out_features=7)
    model.update(layers=layers, outputs=[{"name": "logits", "from": layers[-1]["name"]}])
    with open("net.json", "w") as f:
        json.dump(model, f)
    return "net.json"


def recipe(**keys):
    with open("recipe.json", "w") as f:
        json.dump({"format": "cnnc-recipe/1", **keys}, f)
    return "recipe.json"


def trainer(model, recipe_, *options, batch=13, check=True):
    return run(CNNC, model, "--train", "--recipe", recipe_, "--init-seed", "7", "--batch", str(batch), "--name", "net",
               "-o", "net.o", *options, check=check)


OPTIMIZERS = (
    {"type": "SGD", "lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
    {"type": "Adam", "amsgrad": True},
    {"type": "AdamW"},
    {"type": "RMSprop", "lr": 1e-3, "momentum": 0.5, "centered": True},
    {"type": "Adagrad"},
)


def steps():
    """Threads 1, 2, 5 and 16 give the same bits, each optimizer, all loops in parallel; also where batches are odd."""
    for i, optimizer in enumerate(OPTIMIZERS):
        clip = {"clip": {"type": "norm", "max_norm": 0.5}} if i % 2 else {}
        trainer(random_net(i) if i else SIMPLECNN, recipe(optimizer=optimizer, **clip), without_grain("pipeline_train"))
        run(build("steps", ["net.o"]), "got")


def bits():
    """Every layer, each loop in parallel: 1, 2 and 5 threads give the same bits, for each CPU that this machine has. The
    models are those that fuzzing starts from, in which a test looks for every layer."""
    for path in sorted(glob.glob(os.path.join(ROOT, "tests", "fuzz", "seeds", "model", "*.json"))):
        for cpu in native.cpus():
            name = "%s_%s" % (os.path.basename(path)[:-5], cpu.replace("-", "_"))
            how = [path, "--cpu", cpu, "--init-seed", "7", "--batch", "3", "--name", name, "-o", name + ".o"]
            run(CNNC, *how, without_grain("pipeline_infer"))
            same_bits(name, native.Model, infer_bits)
            run(CNNC, *how, "--train", "--recipe", recipe(loss={"type": "MSELoss"}, clip={"type": "norm", "max_norm": 0.5}),
                without_grain("pipeline_train"))
            same_bits(name + "_train", native.Training, step_bits, name)


def same_bits(library, kind, call, name=None):
    object_ = (name or library) + ".o"
    model = kind(native.link(object_, "./%s.so" % library, CNNRT), name or library)
    want = call(model, 1)
    for threads in 2, 5, 5:
        check(call(model, threads) == want, "%s: other bits with %d threads" % (library, threads))


def drawn(tensors, n):
    """Numbers in 0 to 1, or bytes, for each of a descriptor's tensors."""
    draw = random.Random(n)
    for t in tensors:
        size = t.bytes // 3 * n
        yield draw.randbytes(size) if t.dtype == U8 else struct.pack("<%df" % (size // 4), *(draw.random() for _ in range(size // 4)))


def infer_bits(model, threads):
    inputs = model.d.inputs[:model.d.n_inputs]
    return [model.infer(n, list(drawn(inputs, n)), threads) for n in (3, 2)]


def step_bits(model, threads):
    """The losses and outputs of two steps, and the state behind them."""
    model.must(model.t.state_init(model.state, model.t.state_bytes, 3), "state_init")
    inputs, targets = model.d.inputs[:model.d.n_inputs], model.t.targets[:model.t.n_targets]
    steps = [model.call("train_step", n, list(drawn(inputs, n)), list(drawn(targets, n)), threads) for n in (3, 2)]
    check(all(math.isfinite(loss) for loss, _ in steps), "the losses are %s" % [loss for loss, _ in steps])
    return steps, {key: model.get(*key) for key in model.tensors}


def recompute():
    """Random nets under the least budget that can be met: the bits of no budget, in less memory, found in seconds."""
    resource.setrlimit(resource.RLIMIT_CPU, (30, 30))  # of each program
    smaller = 0
    for seed in range(5):
        how = random_net(seed), recipe(optimizer=OPTIMIZERS[seed])
        trainer(*how)
        most = workspace()
        run(build("steps", ["net.o"]), "want")
        said = re.search(r" and (\d+) when all", trainer(*how, "--memory-budget", "1", check=False).stdout)
        check(said, "a budget of 1 byte was met")
        least = int(said[1])
        trainer(*how, "--memory-budget", str(least))
        check(workspace() <= least <= most, "seed %d: %d bytes of workspace, of %d, %d without" % (seed, workspace(), least, most))
        run(build("steps", ["net.o"]), "got")
        check(open("got", "rb").read() == open("want", "rb").read(), "seed %d: other bits with a budget of %d" % (seed, least))
        smaller += workspace() < most
        trainer(*how, "--memory-budget", str(most))
        check(workspace() == most, "a budget that all fits in changes the object")
    check(smaller >= 4, "only %d of 5 nets take less memory" % smaller)


def accumulate():
    """Two accumulated halves of a batch, as docs/api.md and docs/runtime.md have them."""
    how = recipe(optimizer={"type": "SGD", "lr": 0.5}, clip={"type": "norm", "max_norm": 1e-3})
    for seed in range(3):
        for noise in (True, False):
            trainer(random_net(seed, noise), how, batch=14)
            run(build("accumulate", ["net.o"], *([] if noise else ["-DWHOLE"])))


def symbols():
    """Only net_* is global; nothing undefined beyond libc and libm; constants are read-only, nothing is writable."""
    check_symbols(compile_net())
    check_symbols(compile_trainer())


def check_symbols(net):
    allowed = {"memcpy", "memset", "memmove", "_GLOBAL_OFFSET_TABLE_"}
    for line in run("nm", net).splitlines():
        kind, name = line.split()[-2:]
        if kind == "U":
            check(name in allowed, "undefined symbol " + name)
        elif kind.isupper():
            check(name.startswith("net_"), "global symbol " + name)
    for line in run("size", "-A", net).splitlines():
        words = line.split()
        if words and words[0] in (".data", ".bss"):
            check(int(words[1]) <= 64, "%s has %s bytes" % (words[0], words[1]))
    check(re.search(r"GNU_STACK|\.note\.GNU-stack", run("readelf", "-S", net)), "no .note.GNU-stack section")


def threads():
    run(build("threads", [compile_net("net", without_grain("pipeline_infer"))]))
    run(build("threads", [compile_net()]))


def two():
    other = compile_net("other", "--init-seed", "3", model=SIMPLECNN)
    run(build("two", [compile_net(), compile_net("net_copy"), other]))


def pools():
    """Two models, request threads, two pools, fork: as it is, and with the runtime under the thread sanitizer."""
    objects = [compile_net(), compile_net("other", "--init-seed", "3", model=SIMPLECNN)]
    run(build("pools", objects, std="-std=gnu11"))
    runtime = glob.glob(os.path.join(ROOT, "runtime", "cnnrt", "*.c"))
    run("cc", "-std=gnu17", "-O1", "-g", "-fsanitize=thread", "-I.", "-I" + os.path.join(ROOT, "runtime", "cnnrt"), "-I" + ROOT,
        os.path.join(HERE, "pools.c"), *runtime, *objects, "-pthread", "-lm", "-o", "pools_tsan")
    run("env", "TSAN_OPTIONS=halt_on_error=1", "./pools_tsan")


def plugin():
    """A shared library of a generated object has no text relocations and opens by dlopen."""
    run("cc", "-shared", "-Wl,-z,text", "-Wl,--no-undefined", "-o", "libnet.so", compile_net(), "-lm")
    run(build("plugin", [], "-D_GNU_SOURCE", runtime=False), os.path.abspath("libnet.so"))


def nomalloc():
    for name, compiler in ("nomalloc", compile_net), ("nomalloc_train", compile_trainer):
        program = build(name, [compiler()], std="-std=gnu11")
        run(program)
        check(run(program, "provoke", check=False).returncode == -6, "the interposed malloc did not abort")


def swap():
    weights = LENET5.replace(".json", ".safetensors")
    outside, loaded = compile_net("outside", "--external-weights"), compile_net("loaded", "--pack=load")
    negated("negated.safetensors", weights)
    run(build("swap", [compile_net(), outside, loaded]), weights, "negated.safetensors")


def negated(path, source):
    """Another set of weights of the same names and shapes: every sign turned."""
    with open(source, "rb") as f:
        data = bytearray(f.read())
    start = 8 + int.from_bytes(data[:8], "little")
    for i in range(start + 3, len(data), 4):
        data[i] ^= 0x80
    with open(path, "wb") as f:
        f.write(data)


def frozen():
    """Training on a frozen trunk with batch norms, embedded and from a file; the head starts afresh, in the state."""
    transfer = os.path.join(ROOT, "examples", "transfer_resnet18", "transfer.json")
    recipe = transfer.replace("transfer.json", "frozen.json")
    run(CNNC, transfer, "--train", "--init-seed", "1", "--name", "all", "--emit=header", "-o", "all.h")
    with open("all.h") as f:
        shapes = re.findall(r'/\* "([^"/]+)" f32\[([\d,]+)\] \*/', f.read())
    trunk = [(name, list(map(int, dims.split(",")))) for name, dims in shapes if not name.startswith("fc.")]
    for seed in 1, 2:
        write_trunk("trunk%d.safetensors" % seed, trunk, seed)
    options = ["--train", "--recipe", recipe, "--weights", "trunk1.safetensors"]
    net = compile_net("net", *options, model=transfer)
    outside = compile_net("outside", *options, "--external-weights", model=transfer)
    run(build("frozen", [net, outside]), "trunk1.safetensors", "trunk2.safetensors")


def write_trunk(path, tensors, seed):
    """Weights that keep the size of what flows through, and statistics to be folded."""
    draw = random.Random(seed)
    header, data = {}, b""
    for name, dims in tensors:
        count, fan_in = 1, 1
        for i, d in enumerate(dims):
            count, fan_in = count * d, fan_in * (d if i else 1)
        if len(dims) == 1:
            middle = 0 if name.endswith(("bias", "mean")) else 1
            values = [middle + draw.uniform(-0.3, 0.3) for _ in range(count)]
        else:
            values = [draw.gauss(0, (2 / fan_in) ** 0.5) for _ in range(count)]
        raw = struct.pack("<%df" % count, *values)
        header[name] = {"dtype": "F32", "shape": dims, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def cpu():
    """A CPU without the features gives an error code, never an illegal instruction."""
    qemu = shutil.which("qemu-x86_64")
    if not qemu:
        skip("qemu-user is not installed")
    for target, machine, want in (("x86-64-v3", "Nehalem", "5"), ("x86-64-v3", "max", "0"),
                                  ("x86-64-v4", "max,-avx512f", "5"), ("x86-64-v2", "core2duo", "5"),
                                  ("x86-64", "core2duo", "0"), ("x86-64", "qemu64", "0"),
                                  ("x86-64-v3", "max,-fma", "5"), ("x86-64-v3", "max,-xsave", "5")):
        program = build("cpu", [compile_net("net", "--cpu", target)])
        got = run(qemu, "-cpu", machine, program, check=False)
        check(got.returncode == 0 and got.stdout.split()[-1:] == [want],
              "object for %s on %s: status %d, %s" % (target, machine, got.returncode, got.stdout))


def affinity():
    program = build("cpus", [])
    check(run("taskset", "-c", "0", program).strip() == "1", "one CPU in the mask, but not one thread")
    everything = str(len(os.sched_getaffinity(0)))
    check(int(run(program)) <= int(everything), "more threads than CPUs in the mask")


def quota():
    """A container's CPU quota of one CPU gives one thread, where this process may make a control group."""
    program = build("cpus", [])
    for top, limits in (
        ("/sys/fs/cgroup", [("cpu.max", "100000 100000")]),
        ("/sys/fs/cgroup/cpu", [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "100000")]),
    ):
        if not os.path.exists(os.path.join(top, "cgroup.procs")):
            continue
        group = os.path.join(top, "cnnc-test-%d" % os.getpid())
        try:
            os.mkdir(group)
        except OSError:
            continue
        try:
            for key, value in limits:
                with open(os.path.join(group, key), "w") as f:
                    f.write(value)
            got = run("sh", "-c", "echo $$ >%s/cgroup.procs && exec %s" % (group, program), check=False)
        except OSError:
            continue
        finally:
            os.rmdir(group)
        if got.returncode == 0:
            check(got.stdout.strip() == "1", "%s, quota of one CPU: %s threads" % (top, got.stdout.strip()))
            return
    skip("no control group can be made here")


def reproducible():
    """The same input gives the same bytes."""
    for compiler in compile_net, compile_trainer:
        compiler("net")
        with open("net.o", "rb") as f, open("net.h", "rb") as g:
            first = f.read(), g.read()
        compiler("net")
        with open("net.o", "rb") as f, open("net.h", "rb") as g:
            check(first == (f.read(), g.read()), "a second run gave other bytes")


if __name__ == "__main__":
    case = globals()[sys.argv[1]]
    with tempfile.TemporaryDirectory(prefix="cnnc-link-") as place:
        os.chdir(place)
        case()
