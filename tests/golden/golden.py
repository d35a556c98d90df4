#!/usr/bin/env python3
"""Golden tests of the passes.

  golden.py CNNC FOLDER...            run every case
  golden.py CNNC FOLDER... --update   write what the compiler says now; read the diff before you commit it

A case is X.cnnir, whose first line is `# RUN: options`, beside X.out.cnnir (what the command prints) or X.err (what it
says when it must fail). The command is `cnnc X.cnnir OPTIONS --emit=graph -o -`, run in the case's folder; options may
hold another --emit. What a case prints must be a fixed point too: it is printed again without any pass.
"""
import difflib
import pathlib
import shlex
import subprocess
import sys


def command(cnnc, case, options):
    emit = [] if any(o.startswith("--emit") for o in options) else ["--emit=graph"]
    return [cnnc, case.name, *options, *emit, "-o", "-", "--quiet", "--verify-each"]


def run(cnnc, case):
    first = case.read_text().split("\n", 1)[0]
    if not first.startswith("# RUN:"):
        return None, None, f"{case}: the first line is not `# RUN: options`"
    options = shlex.split(first[len("# RUN:"):])
    r = subprocess.run(command(cnnc, case, options), cwd=case.parent, capture_output=True, text=True, timeout=60)
    if r.returncode not in (0, 1):
        return None, None, f"{case}: exit status {r.returncode}\n{r.stderr}"
    return (".out.cnnir", r.stdout, None) if r.returncode == 0 else (".err", r.stderr, None)


def reprints(cnnc, expected):
    """An expected text must read back as it is."""
    emit = "loops" if expected.read_text().startswith("module") else "graph"
    r = subprocess.run([cnnc, expected.name, "--passes=", f"--emit={emit}", "-o", "-", "--quiet"], cwd=expected.parent,
                       capture_output=True, text=True, timeout=60)
    return r.returncode == 0 and r.stdout == expected.read_text()


def check(cnnc, case, update):
    suffix, got, fault = run(cnnc, case)
    if fault:
        return fault
    paths = {s: case.with_suffix("").with_name(case.name[: -len(".cnnir")] + s) for s in (".out.cnnir", ".err")}
    if update:
        for s, path in paths.items():
            if s == suffix:
                path.write_text(got)
            elif path.exists():
                path.unlink()
    expected = paths[suffix]
    if not expected.exists():
        return f"{case}: there is no {expected.name}; the compiler printed:\n{got}"
    want = expected.read_text()
    if want != got:
        diff = difflib.unified_diff(want.splitlines(True), got.splitlines(True), str(expected), "now")
        return f"{case}: differs\n{''.join(diff)}"
    if suffix == ".out.cnnir" and not reprints(cnnc, expected):
        return f"{case}: {expected.name} does not read back as itself"
    return None


def main():
    args = [a for a in sys.argv[1:] if a != "--update"]
    cnnc = str(pathlib.Path(args[0]).resolve())
    cases = [c for folder in args[1:] for c in sorted(pathlib.Path(folder).glob("*.cnnir"))
             if not c.name.endswith(".out.cnnir")]
    faults = [f for f in (check(cnnc, c, "--update" in sys.argv) for c in cases) if f]
    print("\n".join(faults))
    print(f"{len(cases) - len(faults)} of {len(cases)} cases passed")
    sys.exit(bool(faults) or not cases)


main()
