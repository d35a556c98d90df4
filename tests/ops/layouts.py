#!/usr/bin/env python3
"""Random chains of reorders, from layout to layout with blocks and borders and back to rows, and graphs of what moves,
picks and joins elements, between convolutions and reorders: `cnnc verify` holds every value on the way against the
reference evaluator.

  layouts.py CNNC SEED COUNT
"""
import os
import random
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))

from native import cpus  # noqa: E402


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


class Graph:
    """A graph in the making: its lines, the shape of every value, without the batch, and which of them lie in no rows."""

    def __init__(self, r, shape):
        self.r, self.shapes, self.params, self.loose = r, [shape], 0, set()
        self.lines = ["graph @g(%%v0: %s) batch 2 {" % self.type(shape)]

    @staticmethod
    def type(shape):
        return "f32[%s]" % ",".join(map(str, ["N", *shape]))

    def node(self, text, shape, layout=""):
        self.lines.append("  %%v%d = %s : %s%s" % (len(self.shapes), text, self.type(shape), layout))
        self.shapes.append(shape)

    def weight(self, shape):
        self.params += 1
        self.lines.append("  %%w%d.weight = param f32[%s]" % (self.params, ",".join(map(str, shape))))
        return "%%w%d.weight" % self.params

    def done(self):
        used = set(re.findall(r"%v\d+", " ".join(line.partition("=")[2] for line in self.lines)))
        ends = ["%%v%d" % i for i in range(1, len(self.shapes)) if "%%v%d" % i not in used]
        return "\n".join([*self.lines, "  return " + ", ".join('%s as "%s"' % (v, v[1:]) for v in ends), "}", ""])


def reorder(g, i, s):
    """To channel blocks, perhaps with a border, or to anything; and what takes it."""
    if len(s) > 3:
        return
    to = layout(g.r, len(s) + 1)
    if len(s) == 3 and g.r.random() < 0.7:
        to = "aBcd%db" % g.r.choice([4, 8, 16]) + g.r.choice(["", "", "(c1:1,d1:1)", "(c0:2,d3:1)"])
    g.node("reorder %%v%d" % i, s, ":" + to)
    made = len(g.shapes) - 1
    g.loose.add(made)
    g.r.choice([concat, slice_, add])(g, made, s)
    relu(g, made, s)


def relu(g, i, s):
    g.node("relu %%v%d" % i, s)


def conv2d(g, i, s):
    if len(s) == 3:
        out, k = g.r.choice([1, 3, 8, 16, 17, 20]), g.r.choice([1, 3])
        w = g.weight([out, s[0], k, k])
        g.node("conv2d %%v%d, %s {padding=[%s]}" % (i, w, ",".join([str(k // 2)] * 4)), [out, *s[1:]])


def max_pool2d(g, i, s):
    if len(s) == 3:
        g.node("max_pool2d %%v%d {kernel_size=[3,3], stride=[1,1], padding=[1,1,1,1]}" % i, s)


def concat(g, i, s):
    dim = g.r.randrange(len(s))
    rest = lambda t: t[:dim] + t[dim + 1 :]
    others = [k for k, t in enumerate(g.shapes) if len(t) == len(s) and rest(t) == rest(s)]
    chosen = g.r.choices(others, k=g.r.choice([1, 1, 2, 3])) + [i]
    size = sum(g.shapes[k][dim] for k in chosen)
    if size <= 80:
        g.r.shuffle(chosen)
        g.node("concat %s {dim=%d}" % (", ".join("%%v%d" % k for k in chosen), dim + 1), s[:dim] + [size] + s[dim + 1 :])


def slice_(g, i, s):
    dim = g.r.randrange(len(s))
    start = g.r.choice([0, 0, g.r.randrange(s[dim]), s[dim] // 2])
    end = g.r.choice([s[dim], s[dim], g.r.randint(start + 1, s[dim])])
    step = g.r.choice([1, 1, 1, 2, 3, 7])
    attrs = "dim=%d%s, end=%d%s" % (dim + 1, ", start=%d" % start if start else "", end, ", step=%d" % step if step > 1 else "")
    g.node("slice %%v%d {%s}" % (i, attrs), s[:dim] + [len(range(start, end, step))] + s[dim + 1 :])


def permute(g, i, s):
    order = g.r.sample(range(len(s)), len(s))
    if i not in g.loose:
        g.node("permute %%v%d {dims=[%s]}" % (i, ",".join(map(str, [0] + [d + 1 for d in order]))), [s[d] for d in order])


def reshape(g, i, s):
    """Two neighbours become one, or one becomes two."""
    if i in g.loose:
        return
    to, d = list(s), g.r.randrange(len(s))
    divisors = [k for k in range(1, s[d] + 1) if s[d] % k == 0]
    if len(s) > 1 and (g.r.random() < 0.5 or len(s) == 5):
        d = min(d, len(s) - 2)
        to[d : d + 2] = [s[d] * s[d + 1]]
    else:
        k = g.r.choice(divisors)
        to[d : d + 1] = [k, s[d] // k]
    g.node("reshape %%v%d {shape=[%s]}" % (i, ",".join(map(str, to))), to)


def add(g, i, s):
    g.node("add %%v%d, %%v%d" % (i, g.r.choice([k for k, t in enumerate(g.shapes) if t == s])), s)


OPS = [reorder, relu, conv2d, conv2d, max_pool2d, concat, concat, concat, slice_, slice_, permute, reshape, add]


def shapes(r):
    """Ops that move and join elements, in blocks, with borders, and in rows."""
    g = Graph(r, [r.choice([1, 3, 8, 12, 17]), r.randint(1, 6), r.choice([1, 2, 5, 9])])
    while len(g.shapes) < 12:
        i = len(g.shapes) - 1 if r.random() < 0.6 else r.randrange(len(g.shapes))
        r.choice(OPS)(g, i, g.shapes[i])
    return g.done()


def main():
    cnnc, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    failed, able = 0, cpus()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "layouts.cnnir")
        for i in range(count):
            r = random.Random("%d %d" % (seed, i))
            text = shapes(r) if i % 2 else graph(r)
            with open(path, "w") as f:
                f.write(text)
            p = subprocess.run([cnnc, "verify", path, "--init-seed", "1", "--cpu", r.choice(able)], capture_output=True, text=True, timeout=60)
            if p.returncode != 0:
                print("case %d: exit status %d\n%s%s%s" % (i, p.returncode, text, p.stdout, p.stderr))
                failed += 1
    print("%d of %d chains agree" % (count - failed, count))
    sys.exit(failed != 0)


main()
