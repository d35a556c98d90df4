#!/usr/bin/python3
"""Convolutions of lines, pictures and volumes, their padding modes and transposes, and the padding layers, at odd sizes
against PyTorch: what they give, and in training mode their gradients, as norms.py does it.

    convs.py SHAPE...    each as 3x7x5, without the batch"""

import sys

from torch import nn

import norms
from common import cpus, workplace

MODES = ("reflect", "replicate", "circular")


class Pad(nn.Module):
    def __init__(self, pad, mode="constant", value=0.0):
        super().__init__()
        self.args = (pad, mode, value)

    def forward(self, x):
        return nn.functional.pad(x, *self.args)


def lines(c, length):
    conv, k = nn.Conv1d, min(3, length)
    yield "conv1", conv(c, 5, 1)
    yield "conv3", conv(c, 17, 3, padding=1)
    yield "conv_same", conv(c, 3, 4, padding="same", bias=False)
    yield "conv_stride", conv(c, 16, 3, stride=2, padding=2)
    yield "conv_dilated", conv(c, 6, 3, dilation=2, padding=2)
    yield "depthwise", conv(c, 2 * c, 3, padding=1, groups=c)
    yield "valid", conv(c, 6, k)
    yield "chain", nn.Sequential(conv(c, 16, 3, padding=1), nn.ReLU(), conv(16, 8, 3, padding=1), nn.ReLU())
    if length > 2:
        yield "bn", nn.Sequential(conv(c, 8, 3, padding=1, bias=False), nn.BatchNorm1d(8), nn.ReLU())
    for mode in MODES:
        yield "conv_" + mode, conv(c, 5, k, padding=k // 2, padding_mode=mode)
    if length > 2:
        yield "mirrored", nn.ReflectionPad1d((2, 1))
    yield "repeated", nn.ReplicationPad1d((0, 3))
    yield "constant", nn.ConstantPad1d((2, 1), -1.5)


def pictures(c, h, w):
    conv, k = nn.Conv2d, (min(3, h), min(5, w))
    for mode in MODES:
        yield "conv_" + mode, conv(c, 5, k, padding=(k[0] // 2, k[1] // 2), padding_mode=mode)
        yield "conv_same_" + mode, conv(c, 8, (k[0], 2 if w > 1 else 1), padding="same", padding_mode=mode, stride=1)
    yield "zeros", nn.ZeroPad2d((1, 2, 0, 3))
    yield "zeros_conv", nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), conv(c, 6, 3, stride=2, padding=1))
    yield "constant", nn.ConstantPad2d(2, 0.75)
    yield "repeated", nn.ReplicationPad2d((3, 1, 2, 4))
    yield "between", nn.Sequential(conv(c, 16, 1), nn.ReplicationPad2d(1), conv(16, 9, 3), nn.ReLU())
    yield "between_value", nn.Sequential(conv(c, 17, 1), nn.ConstantPad2d(1, 2.0), conv(17, 9, 3))
    yield "depth3", conv(c, c, 3, padding=1, groups=c)
    yield "depth_stride", conv(c, c, (3, 2), stride=2, padding=1, groups=c, bias=False)
    yield "depth_dilated", conv(c, c, (2, 3), padding=(1, 3), dilation=(1, 3), groups=c)
    yield "depth_wide", conv(c, c, (3, 9), stride=(1, 3), padding=(2, 7), groups=c)
    if h > 2:
        yield "mobile", nn.Sequential(conv(c, 21, 1, bias=False), nn.BatchNorm2d(21), nn.ReLU6(),
                                      conv(21, 21, 5, padding=2, stride=2, groups=21, bias=False), nn.BatchNorm2d(21), nn.ReLU6(),
                                      conv(21, 5, 1))
    back = nn.ConvTranspose2d
    yield "back1", back(c, 5, 1)
    yield "back3", back(c, 17, 3, padding=1)
    yield "back_stride", back(c, 16, 3, stride=2, output_padding=1)
    yield "back_double", nn.Sequential(back(c, 9, 4, stride=2, padding=1), nn.ReLU(), conv(9, 4, 3, padding=1))
    yield "back_oblong", back(c, 6, (2, 3), stride=(1, 3), output_padding=(0, 2), bias=False)
    yield "back_gaps", back(c, 4, 2, stride=3)
    yield "back_dilated", back(c, 5, 3, dilation=2, stride=(2, 1), padding=1, output_padding=(1, 0))
    yield "back_depthwise", back(c, 2 * c, 3, stride=2, padding=1, output_padding=1, groups=c)
    yield "back_bn", nn.Sequential(back(c, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    if h > 1:
        yield "back_cropped", back(c, 3, 2, stride=2, padding=1)
    if c == 16:
        yield "back_grouped", back(c, 24, 3, stride=2, padding=1, groups=4)
    if h > 3 and w > 2:
        yield "mirrored", nn.ReflectionPad2d((2, 1, 3, 0))
        yield "pad_channels", Pad((1, 0, 2, 1, 1, 2), "constant", 0.5)
        yield "pad_round", Pad((2, 1, 1, 3), "circular")


def volumes(c, d, h, w):
    conv, k = nn.Conv3d, (min(3, d), min(3, h), min(5, w))
    half = [v // 2 for v in k]
    yield "conv1", conv(c, 5, 1)
    yield "conv3", conv(c, 17, 3, padding=1)
    yield "conv_bare", conv(c, 4, k, bias=False)
    yield "conv_stride", conv(c, 16, 3, stride=2, padding=1)
    yield "conv_strides", conv(c, 9, (2, 3, 1), stride=(1, 3, 2), padding=(1, 2, 0))
    yield "conv_apart", conv(c, 3, (1, 2, 2), stride=(2, 3, 4), padding=(0, 1, 1))
    yield "conv_wide", conv(c, 6, (2, 1, 3), padding=(3, 2, 4))
    yield "conv_dilated", conv(c, 6, 3, dilation=(1, 2, 3), padding=(1, 2, 3))
    yield "conv_same", conv(c, 7, (2, 3, 4), padding="same", dilation=(1, 2, 1))
    yield "conv_valid", conv(c, 8, k, padding="valid")
    yield "depthwise", conv(c, 2 * c, 3, padding=1, groups=c)
    yield "flat", conv(c, 8, (1, 3, 3), padding=(0, 1, 1))
    yield "deep", conv(c, 8, (3, 1, 1), padding=(1, 0, 0), stride=(2, 1, 1))
    for mode in MODES:
        yield "conv_" + mode, conv(c, 5, k, padding=half, padding_mode=mode, stride=(1, 2, 1))
    yield "conv_same_circular", conv(c, 4, (2, 1, 2), padding="same", padding_mode="circular")
    yield "block", nn.Sequential(conv(c, 9, 3, padding=1, bias=False), nn.BatchNorm3d(9), nn.ReLU(),
                                 conv(9, 8, 3, padding=1), nn.ReLU())
    if c == 16:
        yield "conv_grouped", conv(c, 24, 3, padding=1, groups=4)
        yield "conv_halves", conv(c, 32, 3, stride=2, padding=1, groups=2)


FAMILIES = {2: lines, 3: pictures, 4: volumes}


def main():
    able = cpus()
    with workplace() as directory:
        for text in sys.argv[1:] or ["3x1", "17x13", "3x7x5", "17x1x1", "16x13x7", "3x4x7x5", "2x1x3x9", "16x5x6x7"]:
            shape = [int(v) for v in text.split("x")]
            make, label = FAMILIES[len(shape)], "convs_" + text
            norms.forward(directory, shape, label, make(*shape), able)
            for cpu in able:
                norms.backward(directory, shape, label, make(*shape), cpu, (3, 1))
            if len(shape) == 4:
                norms.same_bits(directory, shape, label, make(*shape))


if __name__ == "__main__":
    main()
