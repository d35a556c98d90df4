#!/usr/bin/python3
"""A label that is no class is an error of every call that has labels, wherever it stands, and the state stays as it was,
bit for bit: parameters, statistics, slots, gradients and counters. The steps after it are those of a model that never
saw it."""

import torch
from torch import nn

from common import as_bytes, check, refuses, training, workplace

BATCH, OUT, STATUS = 6, 5, 13  # CNNRT_E_LABEL
LOSSES = (
    {"type": "CrossEntropyLoss"},
    {"type": "CrossEntropyLoss", "ignore_index": 2, "label_smoothing": 0.1},
    {"type": "CrossEntropyLoss", "ignore_index": 255, "reduction": "sum"},
    {"type": "NLLLoss", "weight": [1, 2, 3, 4, 5]},
)
WRONG = OUT, -1, -100, -101, 255, 2**31, 2**32 + 1, 2**63 - 1, -(2**63)


def net(pictures):
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2)]
    last = [nn.Conv2d(8, OUT, 1)] if pictures else [nn.Flatten(), nn.Linear(8 * 4 * 7, OUT)]
    return nn.Sequential(*layers, *last)


def step(model, x, labels, threads):
    """A step with accumulated gradients, so that all kinds of state are in use."""
    for entry in "train_step", "backward":
        model.call(entry, len(x), [as_bytes(x)], [as_bytes(labels)], threads)


def whole(model):
    return {key: model.get(*key) for key in model.tensors}


def wrong_labels(loss, good):
    """Labels of which one is wrong, first or last."""
    for label in WRONG:
        if label != loss.get("ignore_index", -100):
            for place in 0, -1:
                labels = good.clone()
                labels.view(-1)[place] = label
                yield labels, "%s, label %d at %d" % (loss, label, place)


def one(directory, number, pictures, loss):
    torch.manual_seed(3)
    module, shape = net(pictures), (BATCH, 4, 7) if pictures else (BATCH,)
    recipe = {"loss": loss, "optimizer": {"type": "Adam"}, "batch_size": BATCH}
    x, good = torch.randn(BATCH, 3, 4, 7), torch.randint(0, OUT, shape)
    good.view(-1)[1] = loss.get("ignore_index", -100)
    model, twin = (training(directory, "%s%d" % (name, number), module, x[:1], recipe) for name in ("seen", "twin"))
    for m in model, twin:
        step(m, x, good, 1)
    count = 0
    for labels, label in wrong_labels(loss, good):
        count += 1
        refuses(model, x, labels, STATUS, label, ("backward", "train_step", "eval"), 1 + count % 2)
    for m in model, twin:
        step(m, x, good, 2)
    check(whole(model) == whole(twin), "%s: the step after an error has other bits" % loss)
    print("%s of %s: %d wrong labels refused" % (loss, "pictures" if pictures else "rows", count))


def main():
    with workplace() as directory:
        for pictures in False, True:
            for i, loss in enumerate(LOSSES):
                one(directory, 2 * i + pictures, pictures, loss)


if __name__ == "__main__":
    main()
