"""Training steps of compiled objects and of PyTorch, in turn in one process, so that the machine's clock hits
both. A step is forward, backward and optimizer on one batch that stays in memory; started by training.sh."""

import argparse
import json
import os
import statistics
import struct
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "tools"), os.path.join(ROOT, "tests", "torch")]

import torch  # noqa: E402
from torch import nn  # noqa: E402

from common import CNNRT, SimpleCNN, cnnc, export_torch, native  # noqa: E402


class Block(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False), nn.BatchNorm2d(cout)
        self.conv2, self.bn2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False), nn.BatchNorm2d(cout)
        down = stride != 1 or cin != cout
        self.down = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout)) if down else None

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.down is None else self.down(x)))


class ResNet18(nn.Module):
    """For CIFAR: 3x3 stem, no max pool."""

    def __init__(self):
        super().__init__()
        layers, cin = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()], 64
        for stage in range(4):
            for i in range(2):
                layers.append(Block(cin, 64 << stage, 2 if stage and not i else 1))
                cin = 64 << stage
        self.features, self.fc = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1)), nn.Linear(cin, 10)

    def forward(self, x):
        return self.fc(torch.flatten(self.features(x), 1))


SETTLE = 0.03  # seconds
SGD = {"type": "SGD", "lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}
NETS = {
    "simplecnn": (SimpleCNN, [1, 28, 28], 64, {"type": "Adam", "lr": 1e-3}),
    "resnet18_cifar": (ResNet18, [3, 32, 32], 32, SGD),
}


class Ours:
    def __init__(self, name, module, shape, batch, recipe, directory):
        base = os.path.join(directory, name)
        export_torch.export(module.eval(), torch.rand(1, *shape), base)
        with open(base + ".recipe.json", "w") as f:
            json.dump({"format": "cnnc-recipe/1", "optimizer": recipe, "batch_size": batch}, f)
        start = time.perf_counter()
        cnnc(base + ".json", "--train", "--recipe", base + ".recipe.json", "--name", name, "-o", base + ".o")
        self.compile_seconds = time.perf_counter() - start
        self.model = native.Training(native.link(base + ".o", base + ".so", CNNRT), name)

    def bind(self, x, labels, threads):
        inputs = [export_torch.tensor_bytes(x)]
        targets = [struct.pack("<%dq" % len(labels), *labels.tolist())]
        return self.model.bound("train_step", len(x), inputs, targets, threads)


class Torch:
    def __init__(self, module, recipe):
        rest = {k: v for k, v in recipe.items() if k != "type"}
        self.module = module.train()
        self.optimizer = getattr(torch.optim, recipe["type"])(module.parameters(), **rest)

    def step(self, x, labels):
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.module(x), labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()


def timed(step):
    """Seconds of one step of a turn. OpenMP's idle workers (PyTorch's) poll for milliseconds and would hold the cores
    that the next turn needs, so the first steps of a turn are not timed: the other side's workers sleep by then."""
    end, n = time.perf_counter() + SETTLE, 0
    while time.perf_counter() < end:
        step()
        n += 1
    start = time.perf_counter()
    for _ in range(n):
        step()
    return (time.perf_counter() - start) / n


def compare(name, threads, seconds, directory):
    make, shape, batch, recipe = NETS[name]
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    module = make()
    ours = Ours(name, module, shape, batch, recipe, directory)
    theirs = Torch(module, recipe)
    x, labels = torch.randn(batch, *shape), torch.randint(0, 10, (batch,))
    call = ours.bind(x, labels, threads)
    both = [(call, []), (lambda: theirs.step(x, labels), [])]
    for step, _ in both:
        step(), step()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(both[0][1]) < 3:
        for step, times in both:
            times.append(timed(step))
    ratios = [b / a for a, b in zip(both[0][1], both[1][1])]
    row = {"net": name, "batch": batch, "threads": threads, "rounds": len(ratios),
           "ours_ms": 1e3 * statistics.median(both[0][1]), "torch_ms": 1e3 * statistics.median(both[1][1]),
           "times_as_fast": statistics.median(ratios), "compile_seconds": ours.compile_seconds}
    print("%-16s batch %d, %d thread%s: %.2f times as fast as PyTorch %s (%d rounds; compiled in %.1f s)"
          % (name, batch, threads, "s" if threads > 1 else "", row["times_as_fast"], torch.__version__,
             len(ratios), ours.compile_seconds), flush=True)
    return row


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int)
    p.add_argument("--seconds", type=float, default=20)
    p.add_argument("--json")
    p.add_argument("nets", nargs="*", choices=[*NETS, []])
    a = p.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="cnnc-bench-") as directory:
        for threads in [a.threads] if a.threads else [1, 2]:
            rows += [compare(name, threads, a.seconds, directory) for name in a.nets or NETS]
    if a.json:
        with open(a.json, "w") as f:
            json.dump({"format": "cnnc-bench-training/1", "rows": rows}, f, indent=1)


if __name__ == "__main__":
    main()
