#!/usr/bin/env python3
"""Random chains of reorders, from layout to layout with blocks and borders and back to rows: `cnnc verify` holds every
value on the way against the reference evaluator.

  layouts.py CNNC SEED COUNT
"""
import os
import random
import subprocess
import sys
import tempfile


def layout(r, rank):
    """The batch is outermost; a block comes after the outermost part of its dimension."""
    outer = ["a"] + r.sample("bcdef"[: rank - 1], rank - 1)
    parts = list(outer)
    for dim in outer[1:]:
        for _ in range(r.choice([0, 0, 1, 1, 2])):
            parts.insert(r.randint(parts.index(dim) + 1, len(parts)), "%d%s" % (r.choice([2, 3, 4, 8, 16]), dim))
    blocked = {p[-1] for p in parts if len(p) > 1}
    text = "".join(p.upper() if p in blocked else p for p in parts)
    border = ["%s%d:%d" % (d, r.randint(0, 3), r.randint(1, 3)) for d in "bcdef"[: rank - 1] if r.random() < 0.2]
    return text + ("(%s)" % ",".join(border) if border else "")


def graph(r):
    rank = r.randint(2, 4)
    shape = "f32[N,%s]" % ",".join(str(r.choice([1, 2, 3, 5, 8, 12, 20])) for _ in range(rank - 1))
    rows = "abcdef"[:rank]
    lines = ["graph @g(%%v0: %s) batch 2 {" % shape]
    for i in range(5):
        to = rows if i == 4 else layout(r, rank)
        lines.append("  %%v%d = reorder %%v%d : %s%s" % (i + 1, i, shape, "" if to == rows else ":" + to))
    return "\n".join(lines + ['  return %v5 as "y"', "}", ""])


def main():
    cnnc, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "layouts.cnnir")
        for i in range(count):
            text = graph(random.Random("%d %d" % (seed, i)))
            with open(path, "w") as f:
                f.write(text)
            p = subprocess.run([cnnc, "verify", path], capture_output=True, text=True, timeout=60)
            if p.returncode != 0:
                print("case %d: exit status %d\n%s%s%s" % (i, p.returncode, text, p.stdout, p.stderr))
                failed += 1
    print("%d of %d chains agree" % (count - failed, count))
    sys.exit(failed != 0)


main()
