#!/usr/bin/python3
"""ResNet-18 on frames as a camera gives them, u8 [N,H,W,C] with blue first, against PyTorch and, to the bit, against the
same model on f32 planes; and on a PNG and a JPEG file, which Pillow reads.

    pixels.py [SIZE]
"""

import json
import os
import sys

import numpy as np
import torch
from PIL import Image
from torchvision import transforms

from common import check, close, cnnc, export_torch, net, workplace

BATCH, MEAN, STD = 3, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def variant(model, directory, name, **keys):
    """The model file with other keys of its input."""
    with open(model) as f:
        text = json.load(f)
    text["inputs"][0] = {"name": "image", "mean": MEAN, "std": STD, **keys}
    path = os.path.join(directory, name + ".json")
    with open(path, "w") as f:
        json.dump(text, f)
    return path


def outputs(directory, model, weights, source, *options):
    result = os.path.join(directory, "y.npy")
    cnnc("run", model, "--weights", weights, "--input", source, "--output", result, *options)
    return export_torch.read_npy(result)


def frames(directory, module, bytes_model, planes_model, weights, size):
    rgb = np.random.RandomState(1).randint(0, 256, (BATCH, size, size, 3)).astype(np.uint8)
    source = os.path.join(directory, "frames.npy")
    np.save(source, np.ascontiguousarray(rgb[..., ::-1]))
    got = outputs(directory, bytes_model, weights, source)
    x = torch.from_numpy(rgb).permute(0, 3, 1, 2).float().div(255)
    planes = os.path.join(directory, "planes.npy")
    np.save(planes, x.numpy())
    with torch.no_grad():
        want = module(transforms.Normalize(MEAN, STD)(x))
    close(got.reshape(want.shape), want, "u8 frames of %d" % size)
    check(torch.equal(got, outputs(directory, planes_model, weights, planes)), "frames differ from f32 planes")
    pieces = [outputs(directory, m, weights, s, "--batch", "2") for m, s in ((bytes_model, source), (planes_model, planes))]
    check(torch.equal(*pieces), "frames in pieces differ from f32 planes")


def files(directory, module, bytes_model, planes_model, weights, size):
    pixels = np.random.RandomState(2).randint(0, 256, (size, size, 3)).astype(np.uint8)
    for name in ("a.png", "a.jpg"):
        path = os.path.join(directory, name)
        Image.fromarray(pixels).save(path)
        x = transforms.ToTensor()(Image.open(path)).unsqueeze(0)
        with torch.no_grad():
            want = module(transforms.Normalize(MEAN, STD)(x))
        for model in (bytes_model, planes_model):
            close(outputs(directory, model, weights, path).reshape(want.shape), want, name)
    resized(directory, module, planes_model, weights, size)


def resized(directory, module, planes_model, weights, size):
    """Resize and CenterCrop are torchvision's with antialias."""
    path = os.path.join(directory, "large.png")
    Image.fromarray(np.random.RandomState(3).randint(0, 256, (size + 41, size + 70, 3)).astype(np.uint8)).save(path)
    x = transforms.functional.resize(transforms.ToTensor()(Image.open(path)), size + 20, antialias=True)
    x = transforms.functional.center_crop(x, [size, size]).unsqueeze(0)
    with torch.no_grad():
        want = module(transforms.Normalize(MEAN, STD)(x))
    got = outputs(directory, planes_model, weights, path, "--resize", str(size + 20), "--center-crop", str(size))
    close(got.reshape(want.shape), want, "a picture resized and cropped")


def main():
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    torch.set_num_threads(1)
    with workplace() as directory:
        module, model, weights = net("resnet18", directory)
        bytes_model = variant(model, directory, "bytes", dtype="u8", layout="nhwc", color="bgr", shape=[size, size, 3])
        planes_model = variant(model, directory, "planes", shape=[3, size, size])
        frames(directory, module, bytes_model, planes_model, weights, size)
        files(directory, module, bytes_model, planes_model, weights, size)


main()
