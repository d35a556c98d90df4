#!/usr/bin/python3
"""The blocks that networks are made of today, small, against PyTorch: U-Net, DenseNet, squeeze-and-excitation,
ShuffleNet, Inception and MobileNetV2. Inference for this machine and for every level it can run, with 1, 2 and 5 threads
the same bits, and each image the same bits alone and in a batch; then training steps, as training.py takes them.

    blocks.py NET [STEPS]
    blocks.py torchvision NET...    whole networks of torchvision, exported: what they give, and every value on the way
"""

import os
import sys

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import training as steps
from common import (as_bytes, check, close, cnnc, compiled, cpus, export_torch, native, randomise, run, set_state, state,
                    training, workplace)

BATCH, CLASSES = 3, 10


def conv(cin, cout, kernel=1, stride=1, groups=1, act=nn.ReLU):
    layers = [nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(cout)]
    return nn.Sequential(*layers, *([act()] if act else []))


class UNet(nn.Module):
    """Three levels: what goes down is kept, and joined to what comes up. An output for each pixel."""

    def __init__(self, out, c=6):
        super().__init__()
        twice = lambda a, b: nn.Sequential(conv(a, b, 3), conv(b, b, 3))
        self.down1, self.down2, self.down3 = twice(3, c), twice(c, 2 * c), twice(2 * c, 4 * c)
        self.bottom, self.pool = twice(4 * c, 8 * c), nn.MaxPool2d(2)
        self.up3, self.up2, self.up1 = (nn.ConvTranspose2d(2 * n, n, 2, stride=2) for n in (4 * c, 2 * c, c))
        self.back3, self.back2, self.back1 = twice(8 * c, 4 * c), twice(4 * c, 2 * c), twice(2 * c, c)
        self.last = nn.Conv2d(c, out, 1)

    def forward(self, x):
        one = self.down1(x)
        two = self.down2(self.pool(one))
        three = self.down3(self.pool(two))
        y = self.bottom(self.pool(three))
        y = self.back3(torch.cat([three, self.up3(y)], 1))
        y = self.back2(torch.cat([two, self.up2(y)], 1))
        return self.last(self.back1(torch.cat([one, self.up1(y)], 1)))


class DenseBlock(nn.Module):
    """Norm, activation, convolution of everything before, joined to it."""

    def __init__(self, c, layers, growth):
        super().__init__()
        self.layers = nn.ModuleList()
        for i in range(layers):
            n = c + i * growth
            narrow = nn.Sequential(nn.BatchNorm2d(n), nn.ReLU(), nn.Conv2d(n, 4 * growth, 1, bias=False))
            self.layers.append(nn.Sequential(*narrow, nn.BatchNorm2d(4 * growth), nn.ReLU(),
                                             nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)))

    def forward(self, x):
        all = [x]
        for layer in self.layers:
            all.append(layer(torch.cat(all, 1)))
        return torch.cat(all, 1)


class Excite(nn.Module):
    """Each channel by a factor made of the means of all: through Linear layers, or convolutions."""

    def __init__(self, c, linear):
        super().__init__()
        layer = nn.Linear if linear else lambda a, b: nn.Conv2d(a, b, 1)
        self.linear, self.one, self.two = linear, layer(c, c // 4), layer(c // 4, c)

    def forward(self, x):
        y = F.adaptive_avg_pool2d(x, 1)
        if self.linear:
            y = torch.flatten(y, 1)
        y = torch.sigmoid(self.two(F.relu(self.one(y))))
        return x * (y.view(-1, y.size(1), 1, 1) if self.linear else y)


class Shuffle(nn.Module):
    """A unit of ShuffleNetV2: half of the channels pass by, or all go both ways with half of the pixels."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.stride, half = stride, cout // 2
        self.left = nn.Sequential(conv(cin, cin, 3, 2, cin, None), conv(cin, half)) if stride == 2 else nn.Identity()
        self.right = nn.Sequential(conv(cin if stride == 2 else half, half), conv(half, half, 3, stride, half, None), conv(half, half))

    def forward(self, x):
        if self.stride == 2:
            y = torch.cat([self.left(x), self.right(x)], 1)
        else:
            halves = x.chunk(2, 1)
            y = torch.cat([halves[0], self.right(halves[1])], 1)
        n, c, h, w = (y.size(d) for d in range(4))
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


class Inception(nn.Module):
    def __init__(self, cin, one, three, five, pool):
        super().__init__()
        self.one, self.three = conv(cin, one), nn.Sequential(conv(cin, three[0]), conv(*three, 3))
        self.five = nn.Sequential(conv(cin, five[0]), conv(*five, 3), conv(five[1], five[1], 3))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(cin, pool))

    def forward(self, x):
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)


class Inverted(nn.Module):
    """MobileNetV2's residual: wide inside, one channel a group, linear at the end."""

    def __init__(self, cin, cout, stride, wider):
        super().__init__()
        n = cin * wider
        self.add = stride == 1 and cin == cout
        self.layers = nn.Sequential(conv(cin, n, act=nn.ReLU6), conv(n, n, 3, stride, n, nn.ReLU6), conv(n, cout, act=None))

    def forward(self, x):
        return x + self.layers(x) if self.add else self.layers(x)


def classifier(*layers, channels):
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES))


def excite():
    return classifier(conv(3, 20, 3), Excite(20, True), conv(20, 16, 3, 2), Excite(16, False), conv(16, 16, 3, act=nn.SiLU), channels=16)


def densenet():
    change = nn.Sequential(nn.BatchNorm2d(31), nn.ReLU(), nn.Conv2d(31, 15, 1, bias=False), nn.AvgPool2d(2, 2))
    return classifier(conv(3, 13, 3), DenseBlock(13, 3, 6), change, DenseBlock(15, 4, 8), nn.BatchNorm2d(47), nn.ReLU(), channels=47)


def shufflenet():
    return classifier(conv(3, 12, 3), Shuffle(12, 40, 2), Shuffle(40, 40, 1), Shuffle(40, 48, 2), Shuffle(48, 48, 1), channels=48)


def inception():
    return classifier(conv(3, 17, 3), Inception(17, 8, (6, 12), (3, 5), 7), nn.MaxPool2d(3, 2, 1), Inception(32, 16, (9, 16), (4, 8), 8), channels=48)


def mobilenet():
    return classifier(conv(3, 9, 3, 2, act=nn.ReLU6), Inverted(9, 9, 1, 1), Inverted(9, 14, 2, 6), Inverted(14, 14, 1, 6),
                      Inverted(14, 20, 1, 3), channels=20)


# What makes it, the input, and what it is trained with where that is another.
NETS = {
    "unet": (lambda: UNet(5), [3, 24, 40], lambda: nn.Sequential(UNet(CLASSES), nn.AdaptiveAvgPool2d(1), nn.Flatten())),
    "densenet": (densenet, [3, 15, 18], densenet),
    "excite": (excite, [3, 17, 14], excite),
    "shufflenet": (shufflenet, [3, 19, 22], shufflenet),
    "inception": (inception, [3, 13, 15], inception),
    "mobilenet": (mobilenet, [3, 21, 18], mobilenet),
}


def inference(directory, name, module, shape):
    base = os.path.join(directory, name)
    x = torch.randn(BATCH, *shape)
    with torch.no_grad():
        want = randomise(module, 2)(x)
    export_torch.export(module, x, base)
    for cpu in ["native", *cpus()]:
        cnnc("verify", base + ".json", "--batch", str(BATCH), "--cpu", cpu, "--input", base + ".input.npy", "--expect", base + ".output.npy")
        model = compiled(directory, "%s_%s" % (name, cpu.replace("-", "_")), [base + ".json", "--batch", str(BATCH), "--cpu", cpu])
        got = run(model, x)
        close(got, want, "%s, %s" % (name, cpu))
        for threads in (2, 5):
            check(torch.equal(run(model, x, threads), got), "%s, %s: other bits with %d threads" % (name, cpu, threads))
        for i in range(BATCH):
            check(torch.equal(run(model, x[i : i + 1]), got[i : i + 1]), "%s, %s: image %d alone differs" % (name, cpu, i))


def whole(directory, name):
    maker = getattr(torchvision.models, name)
    more = {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    module, base = randomise(maker(**more), 4, keep=True), os.path.join(directory, name)
    export_torch.export(module, torch.rand(2, 3, 64, 64), base)
    text = cnnc("verify", base + ".json", "--batch", "2", "--input", base + ".input.npy", "--expect", base + ".output.npy")
    print("%s: %s" % (name, text.strip().split("\n")[-1]))


def same_bits(model, module, data, name):
    """The state after all steps, whatever the number of threads."""
    results = []
    for threads in (1, 2, 5):
        set_state(model, module)
        for slot in model.names(native.SLOT):
            model.set(native.SLOT, slot, bytes(len(model.get(native.SLOT, slot))))
        for x, labels in data:
            model.call("train_step", len(x), [as_bytes(x)], [as_bytes(labels)], threads)
        results.append([model.get(native.PARAM, k) for k in model.names(native.PARAM)])
    check(results[0] == results[1] == results[2], name + ": training has other bits with other numbers of threads")


def trained(directory, name, module, shape, count):
    data, example = list(steps.batches(shape, 6, count)), torch.rand(1, *shape)
    recipe = {"optimizer": steps.SGD, "batch_size": 6}
    model = training(directory, "train_" + name, module, example, recipe)
    watched = steps.Watched(os.path.join(directory, "watched"), name, module, example, recipe)
    steps.from_states(model, watched, module, steps.SGD, data, name)
    same_bits(model, module, data, name)


def main():
    if sys.argv[1] == "torchvision":
        for name in sys.argv[2:]:
            with workplace() as directory:
                whole(directory, name)
        return
    name, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 8
    make, shape, make_trained = NETS[name]
    torch.manual_seed(3)
    with workplace() as directory:
        inference(directory, name, make(), shape)
        trained(directory, name, make_trained().train(), shape, count)


if __name__ == "__main__":
    main()
