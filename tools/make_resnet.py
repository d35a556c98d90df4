#!/usr/bin/python3
"""Write the ResNets of examples/. Those for ImageNet have the names of torchvision's state_dict, so that its
weights load as they are; the others are for small pictures."""

import os

from export_torch import model_text, write_file


def conv(name, cin, cout, kernel, stride=1):
    layer = {"name": name, "type": "Conv2d", "in_channels": cin, "out_channels": cout, "kernel_size": kernel}
    if stride != 1:
        layer["stride"] = stride
    if kernel != 1:
        layer["padding"] = kernel // 2
    layer["bias"] = False
    return layer


def bn(name, channels):
    return {"name": name, "type": "BatchNorm2d", "num_features": channels}


def relu(name):
    return {"name": name, "type": "ReLU"}


def block(prefix, source, cin, width, stride, bottleneck):
    """One residual block; `source` is the layer it reads. The last layer's name is prefix.relu."""
    cout = 4 * width if bottleneck else width
    if bottleneck:  # torchvision strides in the 3x3 convolution
        shapes = [(cin, width, 1, 1), (width, width, 3, stride), (width, cout, 1, 1)]
    else:
        shapes = [(cin, width, 3, stride), (width, width, 3, 1)]
    layers = []
    for i, (ci, co, kernel, s) in enumerate(shapes, 1):
        layers += [conv("%s.conv%d" % (prefix, i), ci, co, kernel, s), bn("%s.bn%d" % (prefix, i), co)]
        if i < len(shapes):
            layers.append(relu("%s.relu%d" % (prefix, i)))
    shortcut = source
    if stride != 1 or cin != cout:
        down = conv(prefix + ".downsample.0", cin, cout, 1, stride)
        down["inputs"] = [source]
        layers += [down, bn(prefix + ".downsample.1", cout)]
        shortcut = prefix + ".downsample.1"
    last = "%s.bn%d" % (prefix, len(shapes))
    layers.append({"name": prefix + ".add", "type": "Add", "inputs": [last, shortcut]})
    layers.append(relu(prefix + ".relu"))
    return layers, cout


IMAGENET = [conv("conv1", 3, 64, 7, 2), bn("bn1", 64), relu("relu"),
            {"name": "maxpool", "type": "MaxPool2d", "kernel_size": 3, "stride": 2, "padding": 1}]
FASHION = {"name": "image", "shape": [1, 28, 28], "mean": [0.286], "std": [0.353]}


def small_stem(channels, width):
    """For small pictures, as the ResNet paper has it for CIFAR."""
    return [conv("conv1", channels, width, 3), bn("bn1", width), relu("relu")]


def resnet(name, counts, bottleneck=False, stem=IMAGENET, image=None, width=64, classes=1000):
    layers, cin = list(stem), width
    for stage, count in enumerate(counts):
        for i in range(count):
            stride = 2 if stage > 0 and i == 0 else 1
            more, cin = block("layer%d.%d" % (stage + 1, i), layers[-1]["name"], cin, width << stage, stride, bottleneck)
            layers += more
    layers += [{"name": "avgpool", "type": "AdaptiveAvgPool2d", "output_size": 1},
               {"name": "flatten", "type": "Flatten"},
               {"name": "fc", "type": "Linear", "in_features": cin, "out_features": classes}]
    return {"format": "cnnc-model/1", "name": name, "inputs": [image or {"name": "image", "shape": [3, 224, 224]}],
            "layers": layers, "outputs": [{"name": "logits", "from": "fc"}]}


def models():
    """(folder, model)"""
    yield "resnet18", resnet("resnet18", [2, 2, 2, 2])
    yield "resnet50", resnet("resnet50", [3, 4, 6, 3], bottleneck=True)
    cifar = {"name": "image", "shape": [3, 32, 32], "mean": [0.491, 0.482, 0.447], "std": [0.247, 0.243, 0.262]}
    yield "resnet18_cifar", resnet("resnet18_cifar", [2, 2, 2, 2], stem=small_stem(3, 64), image=cifar, classes=10)
    small = {"stem": small_stem(1, 16), "image": FASHION, "width": 16}
    yield "fashion_resnet", resnet("fashion_resnet", [2, 2, 2], classes=10, **small)
    yield "transfer_resnet18", resnet("pretrain", [2, 2, 2, 2], classes=8, **small)
    yield "transfer_resnet18", resnet("transfer", [2, 2, 2, 2], classes=10, **small)


def main():
    examples = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples")
    for folder, model in models():
        os.makedirs(os.path.join(examples, folder), exist_ok=True)
        write_file(os.path.join(examples, folder, model["name"] + ".json"), model_text(model).encode())


if __name__ == "__main__":
    main()
