#!/usr/bin/env python3
"""Runs cnnc on damaged inputs and compares what it says, byte for byte.

cases/<name>/args      the command line, run in that folder; {out} is a fresh folder
cases/<name>/expected  standard error; its first line is "status N" when that is not 1
cases/<name>/sparse    optional: "NAME SIZE", a file of zeros to make in {out}
Every tag of ir/base/diag.def must occur in some case or stand in ELSEWHERE, and docs/diagnostics.md must explain each.

    run.py CNNC [--update] [CASE...]
"""
import os
import re
import shlex
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

# Tags that no input file reaches, and what reaches them.
ELSEWHERE = {
    "out-of-memory": "tests/unit/diagnostics.c sets the limit of the arena",
    "jit": "only a damaged object reaches it: tests/unit/diagnostics.c",
}


def tags():
    text = open(os.path.join(ROOT, "ir/base/diag.def")).read()
    return re.findall(r'^DIAG\(\w+,\s*"([^"]+)"', text, re.M)


def run(cnnc, name):
    folder = os.path.join(HERE, "cases", name)
    with tempfile.TemporaryDirectory() as out:
        args = open(os.path.join(folder, "args")).read().replace("{out}", out)
        sparse = os.path.join(folder, "sparse")
        if os.path.exists(sparse):
            big, size = open(sparse).read().split()
            with open(os.path.join(out, big), "wb") as f:
                f.truncate(int(size))
        done = subprocess.run([cnnc] + shlex.split(args), cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        text = done.stderr.decode("utf-8", "replace").replace(out, "{out}")
    return text if done.returncode == 1 else f"status {done.returncode}\n{text}"


def check_cases(cnnc, names, update):
    failed, seen = [], set()
    for name in names:
        path = os.path.join(HERE, "cases", name, "expected")
        got = run(cnnc, name)
        if update:
            open(path, "w").write(got)
        want = open(path).read() if os.path.exists(path) else ""
        seen.update(re.findall(r"\[([a-z0-9-]+)\]$", want, re.M))
        if got != want:
            failed.append(name)
            print(f"FAIL {name}\n--- expected\n{want}--- got\n{got}")
    return failed, seen


def check_docs():
    text = open(os.path.join(ROOT, "docs/diagnostics.md")).read()
    documented = re.findall(r"^### ([a-z0-9-]+)$", text, re.M)
    wrong = sorted(set(tags()) ^ set(documented))
    wrong += sorted({t for t in documented if documented.count(t) > 1})
    for tag in wrong:
        print(f"FAIL docs/diagnostics.md: {tag} must stand there once, if diag.def has it, else not")
    return wrong


def main():
    cnnc = os.path.abspath(sys.argv[1])
    update = "--update" in sys.argv
    only = [a for a in sys.argv[2:] if not a.startswith("-")]
    names = only or sorted(os.listdir(os.path.join(HERE, "cases")))
    failed, seen = check_cases(cnnc, names, update)
    if not only:
        missing = [t for t in tags() if t not in seen and t not in ELSEWHERE]
        for tag in missing:
            print(f"FAIL no case reaches {tag}")
        failed += missing + check_docs()
    print(f"{len(names)} cases, {len(failed)} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
