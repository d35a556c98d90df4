"""PNG and JPEG files of every sort that Pillow writes, decoded here and by Pillow."""

import os
import subprocess
import sys
import tempfile

import numpy
from PIL import Image

APPLY = os.environ["APPLY"]
random = numpy.random.RandomState(1)


def noise(h, w, c):
    """Smooth colours with some noise, as u8."""
    y, x = numpy.mgrid[0:h, 0:w]
    planes = [(numpy.sin(x / (3.0 + k)) + numpy.cos(y / (5.0 - k))) * 60 + 128 for k in range(c)]
    return numpy.clip(numpy.stack(planes, -1) + random.randint(-9, 9, (h, w, c)), 0, 255).astype(numpy.uint8)


def files(d):
    """(path, what Pillow makes of it for each number of channels; None: as Pillow itself converts)"""
    for h, w in [(1, 1), (17, 23), (64, 33)]:
        rgb = Image.fromarray(noise(h, w, 3))
        modes = {"rgb": rgb, "grey": rgb.convert("L"), "rgba": rgb.convert("RGBA"), "palette": rgb.quantize(30), "bits": rgb.convert("1")}
        modes["la"] = rgb.convert("LA")
        for name, image in modes.items():
            path = "%s/%s-%d.png" % (d, name, w)
            image.save(path)
            yield path
        palette = "%s/transparent-%d.png" % (d, w)
        modes["palette"].save(palette, transparency=3)
        yield palette
        for name, image in [("rgb", rgb), ("grey", modes["grey"]), ("cmyk", rgb.convert("CMYK"))]:
            for k, options in enumerate([{}, {"progressive": True}, {"quality": 30}, {"quality": 95, "subsampling": 0},
                                         {"optimize": True, "subsampling": 1}]):
                path = "%s/%s-%d-%d.jpg" % (d, name, w, k)
                image.save(path, **options)
                yield path


failures = done = 0
with tempfile.TemporaryDirectory() as d:
    for path in files(d):
        for channels, mode in [(1, "L"), (3, "RGB")]:
            subprocess.run([APPLY, "picture", path, str(channels), d + "/out.npy"], check=True)
            got = numpy.load(d + "/out.npy").astype(int)
            # As a data set is read: colours first (Pillow makes grey of CMYK by another way).
            image = Image.open(path)
            image = image if image.mode in ("L", "1", "LA") else image.convert("RGB")
            want = numpy.asarray(image.convert(mode)).astype(int).reshape(got.shape)
            limit = 1 if image.mode == "CMYK" or "cmyk" in path else 0
            done += 1
            if abs(got - want).max() > limit:
                failures += 1
                print("FAIL", os.path.basename(path), channels, "differs by", abs(got - want).max())
print("%d comparisons, %d failures" % (done, failures))
sys.exit(failures != 0)
