"""One process, two engines, taking turns: the compiled object through ctypes, and ONNX Runtime. A turn is a block of
calls that lasts about two milliseconds, or one call when that is longer; the ratio is of the medians over all turns.
Both sides' outputs are compared first. With --markdown all nets are measured, and the page that has them is
written. Runs under bench/.venv's Python.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

import numpy
import onnxruntime

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(ROOT, "tools"))

import make_nets  # noqa: E402
import native  # noqa: E402

CNNC = os.environ["CNNC"]
MEAN_STD = {"lenet5": (0.286, 0.353), "simplecnn": (0.286, 0.353)}  # inside the model file, outside the ONNX file
NETS = {"lenet5": (1, 28), "simplecnn": (1, 28), **{name: (3, 224) for name in make_nets.torchvision_nets()}}
USUAL = ["lenet5", "simplecnn", "resnet18", "resnet50"]
FLOOR = {"lenet5": 1.0, "resnet18": 1.5, "resnet50": 1.5}  # ours / ONNX Runtime with one thread, at most
TURN = 0.002
BIG = 100 << 20  # bytes of a file that is not kept: the VGGs would fill 20 GB


def model_file(name, folder):
    """An example's, or, where none is committed, the generator's."""
    path = os.path.join(ROOT, "examples", name, name + ".json")
    return path if os.path.exists(path) else make_nets.write(folder, make_nets.torchvision_nets()[name])


def prepare(name, folder):
    """NET.onnx and NET.safetensors, by Debian's Python, which has PyTorch."""
    if not all(os.path.exists(os.path.join(folder, name + end)) for end in (".onnx", ".safetensors")):
        subprocess.run(["/usr/bin/python3", os.path.join(ROOT, "bench", "prepare.py"), folder, name], check=True)


def clear(name, folder):
    for file in os.listdir(folder):
        path = os.path.join(folder, file)
        if file.startswith(name + ".") and os.path.getsize(path) > BIG:
            os.remove(path)


def compile_net(name, folder):
    """(loaded model, seconds to compile, how much code as the compiler says it)."""
    base = os.path.join(folder, name)
    start = time.perf_counter()
    said = subprocess.run([CNNC, model_file(name, folder), "--weights", base + ".safetensors", "--name", name,
                           "-o", base + ".o"], check=True, stderr=subprocess.PIPE, text=True).stderr
    seconds = time.perf_counter() - start
    runtime = os.path.join(os.path.dirname(os.path.abspath(CNNC)), "runtime", "libcnnrt.a")
    model = native.Model(native.link(base + ".o", os.path.abspath(base + ".so"), runtime), name)
    return model, seconds, re.search(r"code ([\d.]+ \w+)", said).group(1)


def ours(model, x, threads):
    arguments, outputs = model.bind(1, [x.tobytes()], threads)
    infer = model.d.infer
    return lambda: infer(*arguments), lambda: numpy.frombuffer(outputs[0].raw, numpy.float32)


def theirs(path, x, threads):
    """ONNX Runtime with its graph optimisations on and its input and output bound, so that a call copies nothing."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    if threads > 1:
        # Between runs its workers would go on spinning and hold the cores that our turn needs (ResNet-18 then takes us
        # twice as long). It costs ONNX Runtime some 10 us a run to wake them: nets of that size look better here
        # than they are, by up to a quarter.
        options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    shape = session.get_outputs()[0].shape
    y = numpy.empty(shape, numpy.float32)
    binding = session.io_binding()
    binding.bind_input("image", "cpu", 0, numpy.float32, x.shape, x.ctypes.data)
    binding.bind_output("y", "cpu", 0, numpy.float32, shape, y.ctypes.data)
    return lambda: session.run_with_iobinding(binding), lambda keep=x: y.reshape(-1)  # x is read at every call


def block(call):
    """Calls a turn, after warming up."""
    for _ in range(3):
        start = time.perf_counter()
        call()
        last = time.perf_counter() - start
    return max(1, int(TURN / last))


def turns(a, b, seconds):
    """Medians of the time of one call of a and of b, in alternation."""
    calls, times = (block(a), block(b)), ([], [])
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[1]) < 5:
        for call, count, out in ((a, calls[0], times[0]), (b, calls[1], times[1])):
            start = time.perf_counter()
            for _ in range(count):
                call()
            out.append((time.perf_counter() - start) / count)
    return statistics.median(times[0]), statistics.median(times[1]), len(times[0])


def memory(name, folder):
    """What `cnnc info` says of the workspace and of the largest live set."""
    base = os.path.join(folder, name)
    text = subprocess.run([CNNC, "info", model_file(name, folder), "--weights", base + ".safetensors", "--json"],
                          check=True, stdout=subprocess.PIPE).stdout
    return json.loads(text)


def measure(name, folder, threads, seconds):
    prepare(name, folder)
    channels, size = NETS[name]
    x = numpy.random.default_rng(1).random((1, channels, size, size), dtype=numpy.float32)
    model, compile_seconds, code = compile_net(name, folder)
    call_a, result_a = ours(model, x, threads)
    mean, std = numpy.float32(MEAN_STD.get(name, (0, 1)))
    call_b, result_b = theirs(os.path.join(folder, name + ".onnx"), (x - mean) / std, threads)
    status = call_a()
    call_b()
    error = numpy.abs(result_a() - result_b()).max() / numpy.abs(result_b()).max()
    if status != 0 or not error < 1e-4:
        sys.exit("bench: %s: status %d, the engines differ by %.1e" % (name, status, error))
    a, b, count = turns(call_a, call_b, seconds)
    info = memory(name, folder)
    return {"net": name, "threads": threads, "ours_ms": a * 1e3, "ort_ms": b * 1e3, "ratio": a / b, "turns": count,
            "compile_s": compile_seconds, "code": code, "error": float(error),
            **{key: info[key] for key in ("weights_bytes", "packed_weights_bytes", "workspace_bytes", "live_bytes", "cpu")}}


PAGE = """# Networks

The networks of `examples/` (`tools/make_nets.py -o FOLDER` writes ResNet-101 and 152), with random weights, for %s, one
image, %d thread%s; ONNX Runtime %s. Written by `%s`, which measures both in turns in one process and compares their outputs first.

Raw weights are those of the model, packed ones those in the object. No plan can have a smaller workspace than the largest live set; the scratch of a
thread, which `cnnc info` tells, comes on top.

| net | compiled in | code | raw weights | packed | workspace | live set | cnnc | ONNX Runtime | ratio |
|---|---|---|---|---|---|---|---|---|---|
%s
"""


def size_text(n):
    return "%.1f MB" % (n / 1e6) if n >= 1e6 else "%.0f KB" % (n / 1e3)


def page(rows, threads):
    lines = []
    for r in rows:
        sizes = [size_text(r[k]) for k in ("weights_bytes", "packed_weights_bytes", "workspace_bytes", "live_bytes")]
        lines.append("| %s | %.1f s | %s | %s | %.3f ms | %.3f ms | %.2f |" % (r["net"], r["compile_s"], r["code"],
                     " | ".join(sizes), r["ours_ms"], r["ort_ms"], r["ratio"]))
    command = "bench/peers.sh --markdown docs/nets.md"
    return PAGE % (rows[0]["cpu"], threads, "s" * (threads > 1), onnxruntime.__version__, command, "\n".join(lines))


def verdicts(rows):
    """What the project promises, for the rows measured: (text, kept)."""
    for r in rows:
        limit = FLOOR.get(r["net"]) if r["threads"] == 1 else None
        if limit:
            yield "%s: %.2f times ONNX Runtime's time, at most %.2f" % (r["net"], r["ratio"], limit), r["ratio"] <= limit
        if r["net"] == "resnet50":
            yield "resnet50: compiled in %.1f s, under 10" % r["compile_s"], r["compile_s"] < 10
        memory_ratio = r["workspace_bytes"] / r["live_bytes"]
        yield "%s: workspace %.3f times the live set, at most 1.15" % (r["net"], memory_ratio), memory_ratio <= 1.15


def main():
    p = argparse.ArgumentParser()
    p.add_argument("folder")
    p.add_argument("nets", nargs="*", default=[])
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--seconds", type=float, default=8, help="a net (default 8)")
    p.add_argument("--json", metavar="FILE")
    p.add_argument("--markdown", metavar="FILE", help="a page of the nets named, or of all")
    a = p.parse_intermixed_args()
    unknown = [n for n in a.nets if n not in NETS]
    if unknown:
        p.error("no net %s; there are %s" % (unknown[0], ", ".join(NETS)))
    print("onnxruntime %s, batch 1, %d thread%s" % (onnxruntime.__version__, a.threads, "s" * (a.threads > 1)))
    print("%-10s %12s %12s %9s %9s %12s" % ("net", "cnnc ms", "ort ms", "ratio", "compile", "work/live"))
    rows = []
    for name in a.nets or (NETS if a.markdown else USUAL):
        r = measure(name, a.folder, a.threads, a.seconds)
        clear(name, a.folder)
        rows.append(r)
        print("%-10s %12.3f %12.3f %9.3f %7.1f s %12.3f" % (name, r["ours_ms"], r["ort_ms"], r["ratio"],
              r["compile_s"], r["workspace_bytes"] / r["live_bytes"]), flush=True)
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"format": "cnnc-bench/1", "rows": rows}, f, indent=2)
    if a.markdown:
        with open(a.markdown, "w") as f:
            f.write(page(rows, a.threads))
    kept = True
    for text, ok in verdicts(rows):
        print("%-7s %s" % ("ok" if ok else "MISSED", text))
        kept = kept and ok
    sys.exit(not kept)


if __name__ == "__main__":
    main()
