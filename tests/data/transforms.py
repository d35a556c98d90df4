"""Each transform against torchvision's on the same float tensor, its random numbers pinned by ranges of one value; what
cannot be pinned (where a crop lies) is found by trying all of torchvision's answers."""

import math
import os
import subprocess
import sys
import tempfile
import warnings

import numpy
import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

warnings.simplefilter("ignore")
APPLY = os.environ["APPLY"]
MODES = [InterpolationMode.NEAREST, InterpolationMode.BILINEAR]
failures = 0
done = 0


def apply(x, name, seed=1, index=0, **fields):
    with tempfile.TemporaryDirectory() as d:
        numpy.save(d + "/in.npy", x.numpy())
        words = ["%s=%s" % (k, ",".join(repr(float(n)) for n in v)) for k, v in fields.items()]
        subprocess.run([APPLY, "transform", d + "/in.npy", d + "/out.npy", str(seed), str(index), name, *words], check=True)
        return torch.from_numpy(numpy.load(d + "/out.npy"))


def near(got, want, limit=2e-6, strays=0.0):
    """Equal within `limit`, but for a part `strays` of the pixels: where two are equally near."""
    return got.shape == want.shape and ((got - want).abs() > limit).float().mean().item() <= strays


def check(ok, *what):
    global failures, done
    done += 1
    if not ok:
        failures += 1
        print("FAIL", *what)


def resizes(x):
    c, h, w = x.shape
    for size in [(5, 7), (28, 28), (h, w), (40, 13), (1, 1), (64, 96)]:
        for antialias in (0, 1):
            got = apply(x, "Resize", size=size, antialias=[antialias])
            check(near(got, F.resize(x, list(size), antialias=bool(antialias))), "Resize", x.shape, size, antialias)
    for short in (9, 31):
        check(near(apply(x, "Resize", size=[short, 0]), F.resize(x, [short], antialias=True)), "Resize", x.shape, short)


def crops(x):
    c, h, w = x.shape
    for size in [(5, 8), (h, w), (h + 5, 4), (h + 2, w + 9), (3, w + 1)]:
        check(torch.equal(apply(x, "CenterCrop", size=size), F.center_crop(x, list(size))), "CenterCrop", x.shape, size)
    for size, padding in [((8, 8), (2, 1, 3, 4)), ((h, w), (4, 4, 4, 4)), ((h + 1, 5), (0, 1, 0, 0))]:
        padded = F.pad(x, list(padding), fill=0.25)
        places = set()
        for index in range(40):
            got = apply(x, "RandomCrop", index=index, size=size, padding=padding, fill=[0.25])
            here = [(i, j) for i in range(padded.shape[1] - size[0] + 1) for j in range(padded.shape[2] - size[1] + 1)
                    if torch.equal(got, padded[:, i:i + size[0], j:j + size[1]])]
            check(len(here) == 1, "RandomCrop", x.shape, size, padding, here)
            places.update(here)
        check(len(places) > (1 if size[0] > h else 10), "RandomCrop goes to few places", len(places))


def resized_crops(x):
    """The part is found from the area and the ratio, which are given; its place by trying."""
    c, h, w = x.shape
    for area, ratio in [(0.3, 1.0), (0.5, 0.8), (0.11, 1.3)]:
        cw, ch = round(math.sqrt(area * h * w * ratio)), round(math.sqrt(area * h * w / ratio))
        if cw > w or ch > h:
            continue
        got = apply(x, "RandomResizedCrop", size=[10, 12], scale=[area] * 2, ratio=[ratio] * 2)
        here = [1 for i in range(h - ch + 1) for j in range(w - cw + 1)
                if near(got, F.resized_crop(x, i, j, ch, cw, [10, 12], antialias=True))]
        check(len(here) == 1, "RandomResizedCrop", x.shape, area, ratio, len(here))
    wide = apply(x, "RandomResizedCrop", size=[10, 12], scale=[1, 1], ratio=[30, 40])  # none of ten fits
    ch = round(w / 30) or 1 if w / h < 30 else h
    check(near(wide, F.resized_crop(x, (h - ch) // 2, 0, ch, w, [10, 12], antialias=True)), "RandomResizedCrop, centre")


def flips(x):
    for name, f in [("RandomHorizontalFlip", F.hflip), ("RandomVerticalFlip", F.vflip)]:
        check(torch.equal(apply(x, name, p=[1]), f(x)) and torch.equal(apply(x, name, p=[0]), x), name)
        flipped = sum(torch.equal(apply(x, name, index=i), f(x)) for i in range(60))
        check(15 < flipped < 45, name, "flips", flipped, "of 60")


def turns(x):
    fill = [0.1, 0.9, 0.4][:x.shape[0]]
    for bilinear in (0, 1):
        strays = 0 if bilinear else 0.01
        for angle in (30, -77.5, 90, 180, 0.01):
            if angle == 90 and not bilinear and (x.shape[1] + x.shape[2]) % 2:
                continue  # every pixel lies between two
            got = apply(x, "RandomRotation", degrees=[angle] * 2, bilinear=[bilinear], fill=fill)
            check(near(got, F.rotate(x, angle, MODES[bilinear], fill=fill), 2e-5, strays), "RandomRotation", angle, bilinear)
        for angle, scale, shear in [(0, 1, (0, 0)), (20, 1.3, (0, 0)), (-15, 0.7, (12, 0)), (40, 1, (10, -25))]:
            got = apply(x, "RandomAffine", degrees=[angle] * 2, scale=[scale] * 2,
                        shear=[shear[0], shear[0], shear[1], shear[1]], bilinear=[bilinear], fill=[0.5])
            want = F.affine(x, angle, [0, 0], scale, list(shear), MODES[bilinear], fill=[0.5] * x.shape[0])
            check(near(got, want, 2e-5, strays), "RandomAffine", angle, scale, shear, bilinear)
    c, h, w = x.shape
    shifts = set()
    for index in range(20):
        got = apply(x, "RandomAffine", index=index, translate=[0.2, 0.1])
        here = [(dx, dy) for dx in range(-w // 4, w // 4 + 1) for dy in range(-h // 8 - 1, h // 8 + 2)
                if near(got, F.affine(x, 0, [dx, dy], 1, [0, 0], fill=[0.0] * c), 0)]
        check(len(here) == 1 and abs(here[0][0]) <= round(0.2 * w) and abs(here[0][1]) <= round(0.1 * h),
              "RandomAffine shifts", here)
        shifts.update(here)
    check(len(shifts) > 8, "RandomAffine shifts to few places")


def colours(x):
    for field, f, factors in [("brightness", F.adjust_brightness, (0, 0.4, 1.7)), ("contrast", F.adjust_contrast, (0, 0.5, 2)),
                              ("saturation", F.adjust_saturation, (0, 0.3, 3)), ("hue", F.adjust_hue, (-0.5, -0.1, 0.3, 0.5))]:
        for factor in factors:
            got = apply(x, "ColorJitter", **{field: [factor] * 2})
            check(near(got, f(x, factor), 5e-6), "ColorJitter", field, factor, (got - f(x, factor)).abs().max().item())


def erasings(x):
    c, h, w = x.shape
    value = [0.3, -1, 2][:c]
    got = apply(x, "RandomErasing", p=[1], scale=[0.2, 0.2], ratio=[1.5, 1.5], value=value)
    eh, ew = round(math.sqrt(0.2 * h * w * 1.5)), round(math.sqrt(0.2 * h * w / 1.5))
    here = [1 for i in range(h - eh + 1) for j in range(w - ew + 1)
            if torch.equal(got, F.erase(x, i, j, eh, ew, torch.tensor(value)[:, None, None]))]
    check(len(here) == 1, "RandomErasing", x.shape, len(here))
    noise = apply(x, "RandomErasing", p=[1], scale=[0.4, 0.4], ratio=[1, 1], value_random=[1])
    drawn = noise[noise != x]
    check(abs(drawn.mean()) < 0.2 and abs(drawn.std() - 1) < 0.2 and drawn.numel() == c * round(math.sqrt(0.4 * h * w)) ** 2,
          "RandomErasing, value random", drawn.mean(), drawn.std(), drawn.numel())
    check(torch.equal(apply(x, "RandomErasing", p=[0]), x), "RandomErasing, p 0")


def normals(x):
    mean, std = [0.1, 0.5, 0.3][:x.shape[0]], [0.2, 0.25, 2][:x.shape[0]]
    check(torch.equal(apply(x, "Normalize", mean=mean, std=std), F.normalize(x, mean, std)), "Normalize")


torch.manual_seed(1)
for shape in [(3, 24, 31), (1, 28, 28), (3, 33, 20)]:
    for group in (resizes, crops, resized_crops, flips, turns, colours, erasings, normals):
        group(torch.rand(shape))
print("%d comparisons, %d failures" % (done, failures))
sys.exit(failures != 0)
