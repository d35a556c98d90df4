"""Small data sets in every format that cnnc train reads, and its weights files. Class k is a bright bar at row k."""
import json
import pathlib
import random
import shutil
import struct
import zlib

SEEDS = pathlib.Path(__file__).resolve().parents[1] / "fuzz/seeds"


def pictures(count, seed, height=10, width=8, classes=10, channels=1):
    """(labels, pixels of all samples, NCHW)"""
    r = random.Random(seed)
    labels = bytes(r.randrange(classes) for _ in range(count))
    rows = [[(220 if y * classes // height == k else 50) for y in range(height)] for k in range(classes)]
    pixels = bytearray()
    for k in labels:
        for _ in range(channels):
            for y in range(height):
                pixels += bytes(max(0, min(255, rows[k][y] + r.randrange(-40, 40))) for _ in range(width))
    return labels, bytes(pixels)


def write_idx(folder, train=160, test=50, height=10, width=8, classes=10):
    folder.mkdir(exist_ok=True)
    for split, count, seed in (("train", train, 1), ("t10k", test, 2)):
        if not count:
            continue
        labels, pixels = pictures(count, seed, height, width, classes)
        head = struct.pack(">4I", 0x803, count, height, width)
        (folder / f"{split}-images-idx3-ubyte").write_bytes(head + pixels)
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + labels)
    return folder


def write_cifar(folder):
    folder.mkdir()
    for i, name in enumerate([f"data_batch_{k}.bin" for k in range(1, 6)] + ["test_batch.bin"]):
        labels, pixels = pictures(12, i, 32, 32, channels=3)
        records = (labels[k:k + 1] + pixels[k * 3072:(k + 1) * 3072] for k in range(12))
        (folder / name).write_bytes(b"".join(records))
    return folder


def write_npy(path, dtype, shape, data):
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    header += " " * (-(len(header) + 11) % 64) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data)


def write_npy_pairs(folder, numbers=0):
    """`numbers` 0: class labels; else that many float targets a sample."""
    folder.mkdir()
    for split, count, seed in (("train", 60, 1), ("test", 20, 2)):
        labels, pixels = pictures(count, seed)
        write_npy(folder / f"{split}-images.npy", "|u1", (count, 1, 10, 8), pixels)
        if numbers:
            values = [(k + i) / 10 for k in labels for i in range(numbers)]
            data = struct.pack(f"<{len(values)}f", *values)
            write_npy(folder / f"{split}-targets.npy", "<f4", (count, numbers), data)
        else:
            write_npy(folder / f"{split}-labels.npy", "<i8", (count,), struct.pack(f"<{count}q", *labels))
    return folder


def png(height, width, pixels):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    lines = b"".join(b"\0" + pixels[y * width:(y + 1) * width] for y in range(height))
    head = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def write_folder(folder, splits=("train", "test"), names=("ape", "bee", "cat"), height=10, width=8):
    """Classes of PNG pictures; the last class has a JPEG too."""
    for s, split in enumerate(splits):
        labels, pixels = pictures(24, s, height, width, len(names))
        for i, k in enumerate(labels):
            place = folder / split / names[k]
            place.mkdir(parents=True, exist_ok=True)
            picture = pixels[i * height * width:(i + 1) * height * width]
            (place / f"{i:02}.png").write_bytes(png(height, width, picture))
        shutil.copy(SEEDS / "jpeg/rgb.jpg", folder / split / names[-1] / "z.jpg")
    return folder


def model(height=10, width=8, classes=10, channels=1, features=4, **more):
    """A convolution, a batch norm, dropout and a head, as model JSON."""
    flat = features * (height // 2) * (width // 2)
    return {"format": "cnnc-model/1", "name": "net", "inputs": [{"name": "image", "shape": [channels, height, width]}],
            "layers": [
                {"name": "conv", "type": "Conv2d", "in_channels": channels, "out_channels": features, "kernel_size": 3,
                 "padding": 1},
                {"name": "bn", "type": "BatchNorm2d", "num_features": features},
                {"name": "relu", "type": "ReLU"},
                {"name": "pool", "type": "MaxPool2d", "kernel_size": 2},
                {"name": "flatten", "type": "Flatten"},
                {"name": "drop", "type": "Dropout", "p": 0.2},
                {"name": "fc", "type": "Linear", "in_features": flat, "out_features": classes}],
            "outputs": [{"name": "logits", "from": "fc"}], **more}


def read_weights(path):
    """{name: bytes} of a safetensors file."""
    raw = pathlib.Path(path).read_bytes()
    n = struct.unpack("<Q", raw[:8])[0]
    head = json.loads(raw[8:8 + n])
    head.pop("__metadata__", None)
    return {k: raw[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]] for k, v in head.items()}
