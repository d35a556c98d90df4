"""The schedules of cnnrt-train against torch.optim.lr_scheduler: rates and momenta of two groups over 60 epochs."""

import ctypes
import math
import os
import subprocess
import sys
import tempfile
import warnings

import torch
from torch.optim import lr_scheduler as torch_lr

LIBRARY = os.environ.get("CNNRT_TRAIN", "libcnnrt-train.a")
EPOCHS, STEPS = 60, 7  # steps of an epoch
RATES, MOMENTA = (0.1, 0.025), (0.9, 0.8)
LIMIT = 1e-12
CONSTANT, STEP, MULTI_STEP, EXPONENTIAL, COSINE, ONE_CYCLE, PLATEAU = range(7)


class Schedule(ctypes.Structure):
    """cnnrt_schedule"""

    _fields_ = [
        ("kind", ctypes.c_int),
        ("gamma", ctypes.c_double),
        ("step_size", ctypes.c_int64),
        ("milestones", ctypes.POINTER(ctypes.c_int64)),
        ("n_milestones", ctypes.c_uint32),
        ("t_max", ctypes.c_int64),
        ("eta_min", ctypes.c_double),
        ("max_lr", ctypes.c_double),
        ("pct_start", ctypes.c_double),
        ("div_factor", ctypes.c_double),
        ("final_div_factor", ctypes.c_double),
        ("linear", ctypes.c_int),
        ("three_phase", ctypes.c_int),
        ("cycle_momentum", ctypes.c_int),
        ("base_momentum", ctypes.c_double),
        ("max_momentum", ctypes.c_double),
        ("monitor", ctypes.c_int),
        ("factor", ctypes.c_double),
        ("threshold", ctypes.c_double),
        ("min_lr", ctypes.c_double),
        ("eps", ctypes.c_double),
        ("threshold_absolute", ctypes.c_int),
        ("patience", ctypes.c_int64),
        ("cooldown", ctypes.c_int64),
        ("warmup_steps", ctypes.c_int64),
        ("warmup_start_factor", ctypes.c_double),
    ]


class State(ctypes.Structure):
    """cnnrt_schedule_state"""

    _fields_ = [(name, ctypes.c_int64) for name in ("epoch", "step", "reductions", "bad_epochs", "cooldown_left")]
    _fields_ += [("best", ctypes.c_double)]


def library(folder):
    """The schedules of the static library as a shared one."""
    path = os.path.join(folder, "schedule.so")
    names = ["defaults", "apply", "step", "epoch"]
    keep = ["-Wl,-u,cnnrt_schedule_" + n for n in names]
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-o", path, *keep, LIBRARY, "-lm"], check=True)
    return ctypes.CDLL(path)


def ours(lib, kind, metrics, settings):
    """[(lr of each group, momentum of each group)] before each step."""
    s, state, out = Schedule(), State(), []
    lib.cnnrt_schedule_defaults(ctypes.byref(s), kind)
    for key, value in settings.items():
        if key == "milestones":
            s.n_milestones = len(value)
            value = (ctypes.c_int64 * len(value))(*value)
        setattr(s, key, value)
    base = [1.0, 0.0]
    for lr, momentum in zip(RATES, MOMENTA):
        base += [lr, 0.01, momentum]
    base = (ctypes.c_double * len(base))(*base)
    hyper = (ctypes.c_double * len(base))()
    epochs, steps = ctypes.c_int64(EPOCHS), ctypes.c_int64(STEPS)
    for metric in metrics:
        for _ in range(STEPS):
            lib.cnnrt_schedule_apply(ctypes.byref(s), ctypes.byref(state), base, 2, steps, epochs, hyper)
            out.append((hyper[2], hyper[5], hyper[4], hyper[7]))
            lib.cnnrt_schedule_step(ctypes.byref(s), ctypes.byref(state))
        lib.cnnrt_schedule_epoch(ctypes.byref(s), ctypes.byref(state), ctypes.c_double(metric))
    return out


def theirs(make, metrics):
    """The same from PyTorch. `make` gives the schedules of each epoch and of each step."""
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": r, "momentum": m} for r, m in zip(RATES, MOMENTA)]
    optimizer, out = torch.optim.SGD(groups, lr=1), []
    by_epoch, by_step = make(optimizer)
    for metric in metrics:
        for _ in range(STEPS):
            g = optimizer.param_groups
            out.append((g[0]["lr"], g[1]["lr"], g[0]["momentum"], g[1]["momentum"]))
            optimizer.step()
            for s in by_step:
                s.step()
        for s in by_epoch:
            s.step(*([metric] if isinstance(s, torch_lr.ReduceLROnPlateau) else []))
    return out


def one_cycle(**more):
    """OneCycleLR with one highest rate for all groups, whatever their own."""
    return lambda o: ([], [torch_lr.OneCycleLR(o, 0.5, total_steps=EPOCHS * STEPS, **more)])


def by_epoch(cls, **more):
    return lambda o: ([cls(o, **more)], [])


def warm_step(o):
    """Linear warm-up on top of StepLR."""
    return [torch_lr.StepLR(o, 9, 0.7)], [torch_lr.LinearLR(o, 0.25, 1.0, 31)]


def wave(n):
    """Metrics that get better, worse, stand still, and are no number at times."""
    v = [2 + math.cos(i / 4) - 0.01 * i for i in range(n)]
    v[0] = v[11] = math.nan
    v[30:45] = [1.0] * 15
    return v


def cases():
    plateau = torch_lr.ReduceLROnPlateau
    flat = [1.0] * EPOCHS
    yield "ConstantLR", CONSTANT, {}, by_epoch(torch_lr.LambdaLR, lr_lambda=lambda e: 1.0), flat
    yield "StepLR", STEP, {"step_size": 7, "gamma": 0.3}, by_epoch(torch_lr.StepLR, step_size=7, gamma=0.3), flat
    yield "StepLR, defaults", STEP, {"step_size": 20}, by_epoch(torch_lr.StepLR, step_size=20), flat
    marks = [3, 10, 10, 41]
    yield ("MultiStepLR", MULTI_STEP, {"milestones": marks, "gamma": 0.5},
           by_epoch(torch_lr.MultiStepLR, milestones=marks, gamma=0.5), flat)
    yield "ExponentialLR", EXPONENTIAL, {"gamma": 0.93}, by_epoch(torch_lr.ExponentialLR, gamma=0.93), flat
    yield "CosineAnnealingLR", COSINE, {}, by_epoch(torch_lr.CosineAnnealingLR, T_max=EPOCHS), flat
    yield ("CosineAnnealingLR, several periods", COSINE, {"t_max": 17, "eta_min": 1e-3},
           by_epoch(torch_lr.CosineAnnealingLR, T_max=17, eta_min=1e-3), flat)
    yield "OneCycleLR", ONE_CYCLE, {"max_lr": 0.5}, one_cycle(), flat
    yield ("OneCycleLR, linear", ONE_CYCLE, {"max_lr": 0.5, "linear": 1, "pct_start": 0.41, "div_factor": 10,
           "final_div_factor": 100}, one_cycle(anneal_strategy="linear", pct_start=0.41, div_factor=10,
                                               final_div_factor=100), flat)
    yield ("OneCycleLR, three phases", ONE_CYCLE, {"max_lr": 0.5, "three_phase": 1, "base_momentum": 0.6},
           one_cycle(three_phase=True, base_momentum=0.6), flat)
    yield ("OneCycleLR without momentum", ONE_CYCLE, {"max_lr": 0.5, "cycle_momentum": 0},
           one_cycle(cycle_momentum=False), flat)
    yield ("ReduceLROnPlateau", PLATEAU, {"patience": 2, "factor": 0.6, "cooldown": 3, "min_lr": 3e-3},
           by_epoch(plateau, patience=2, factor=0.6, cooldown=3, min_lr=3e-3), wave(EPOCHS))
    yield ("ReduceLROnPlateau, max, absolute", PLATEAU, {"patience": 1, "threshold_absolute": 1, "threshold": 0.05,
           "monitor": 1, "factor": 0.5, "eps": 1e-3}, by_epoch(plateau, mode="max", patience=1, threshold_mode="abs",
                                                               threshold=0.05, factor=0.5, eps=1e-3), wave(EPOCHS))
    yield "ReduceLROnPlateau, max", PLATEAU, {"monitor": 3}, by_epoch(plateau, mode="max"), wave(EPOCHS)
    yield ("warm-up on top of StepLR", STEP, {"step_size": 9, "gamma": 0.7, "warmup_steps": 31,
           "warmup_start_factor": 0.25}, warm_step, flat)


def main():
    warnings.simplefilter("ignore")  # of steps without gradients
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        lib = library(folder)
        for name, kind, settings, make, metrics in cases():
            worst, where = 0.0, 0
            for i, (a, b) in enumerate(zip(ours(lib, kind, metrics, settings), theirs(make, metrics))):
                gap = max(abs(x - y) / max(abs(y), 1e-300) if x != y else 0.0 for x, y in zip(a, b))
                if gap > worst:
                    worst, where = gap, i
            bad = worst > LIMIT
            failed += bad
            print("%s %-36s %.1e at step %d of %d" % ("FAIL" if bad else "ok  ", name, worst, where, EPOCHS * STEPS))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
