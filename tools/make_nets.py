#!/usr/bin/env python3
"""Write the convolutional networks of examples/: AlexNet, the VGGs and ResNets for ImageNet, whose parameters have the
names, order and shapes of torchvision's state_dict, so that its weights load as they are; and small ResNets.

    make_nets.py                       those that stand in examples/
    make_nets.py -o FOLDER [NET...]    FOLDER/NET.json of these, or of all
"""

import argparse
import json
import os

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "examples")


# ---------------------------------------------------------------- layers


def conv(name, cin, cout, kernel, stride=1, padding=None, bias=True):
    """A convolution, padded by half of its kernel where nothing else is said."""
    layer = {"name": name, "type": "Conv2d", "in_channels": cin, "out_channels": cout, "kernel_size": kernel}
    padding = kernel // 2 if padding is None else padding
    if stride != 1:
        layer["stride"] = stride
    if padding != 0:
        layer["padding"] = padding
    if not bias:
        layer["bias"] = False
    return layer


def bn(name, channels):
    return {"name": name, "type": "BatchNorm2d", "num_features": channels}


def relu(name):
    return {"name": name, "type": "ReLU"}


def max_pool(name, kernel, stride, padding=0):
    layer = {"name": name, "type": "MaxPool2d", "kernel_size": kernel, "stride": stride}
    return {**layer, "padding": padding} if padding else layer


def linear(name, fin, fout):
    return {"name": name, "type": "Linear", "in_features": fin, "out_features": fout}


def head(size):
    """From channels of any height and width to features."""
    return [{"name": "avgpool", "type": "AdaptiveAvgPool2d", "output_size": size}, {"name": "flatten", "type": "Flatten"}]


def model(name, layers, image=None):
    return {"format": "cnnc-model/1", "name": name, "inputs": [image or {"name": "image", "shape": [3, 224, 224]}],
            "layers": layers, "outputs": [{"name": "logits", "from": layers[-1]["name"]}]}


# ---------------------------------------------------------------- AlexNet and VGG


def numbered(prefix, layers):
    """As nn.Sequential names its modules."""
    return [{**layer, "name": "%s.%d" % (prefix, i)} for i, layer in enumerate(layers)]


def dropout():
    return {"name": "", "type": "Dropout"}


def alexnet():
    """Krizhevsky, "One weird trick for parallelizing convolutional neural networks", as torchvision has it."""
    features = [conv("", 3, 64, 11, 4, 2), relu(""), max_pool("", 3, 2), conv("", 64, 192, 5), relu(""), max_pool("", 3, 2)]
    for cin, cout in ((192, 384), (384, 256), (256, 256)):
        features += [conv("", cin, cout, 3), relu("")]
    features.append(max_pool("", 3, 2))
    classifier = [dropout(), linear("", 256 * 6 * 6, 4096), relu(""), dropout(), linear("", 4096, 4096), relu(""),
                  linear("", 4096, 1000)]
    return model("alexnet", numbered("features", features) + head(6) + numbered("classifier", classifier))


VGG = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # convolutions a stage


def vgg(depth, norm):
    """Configurations A, B, D and E of Simonyan and Zisserman, with batch norms or without."""
    features, cin = [], 3
    for count, width in zip(VGG[depth], (64, 128, 256, 512, 512)):
        for _ in range(count):
            features += [conv("", cin, width, 3)] + [bn("", width)] * norm + [relu("")]
            cin = width
        features.append(max_pool("", 2, 2))
    classifier = [linear("", 512 * 7 * 7, 4096), relu(""), dropout(), linear("", 4096, 4096), relu(""), dropout(),
                  linear("", 4096, 1000)]
    name = "vgg%d%s" % (depth, "_bn" * norm)
    return model(name, numbered("features", features) + head(7) + numbered("classifier", classifier))


# ---------------------------------------------------------------- ResNet


def block(prefix, source, cin, width, stride, bottleneck):
    """One residual block; `source` is the layer it reads. The last layer's name is prefix.relu."""
    cout = 4 * width if bottleneck else width
    if bottleneck:  # torchvision strides in the 3x3 convolution
        shapes = [(cin, width, 1, 1), (width, width, 3, stride), (width, cout, 1, 1)]
    else:
        shapes = [(cin, width, 3, stride), (width, width, 3, 1)]
    layers = []
    for i, (ci, co, kernel, s) in enumerate(shapes, 1):
        layers += [conv("%s.conv%d" % (prefix, i), ci, co, kernel, s, bias=False), bn("%s.bn%d" % (prefix, i), co)]
        if i < len(shapes):
            layers.append(relu("%s.relu%d" % (prefix, i)))
    shortcut = source
    if stride != 1 or cin != cout:
        down = conv(prefix + ".downsample.0", cin, cout, 1, stride, bias=False)
        down["inputs"] = [source]
        layers += [down, bn(prefix + ".downsample.1", cout)]
        shortcut = prefix + ".downsample.1"
    last = "%s.bn%d" % (prefix, len(shapes))
    layers.append({"name": prefix + ".add", "type": "Add", "inputs": [last, shortcut]})
    layers.append(relu(prefix + ".relu"))
    return layers, cout


def stem(channels, width, kernel=3, stride=1):
    """For small pictures, as the ResNet paper has it for CIFAR; that for ImageNet has 7, 2 and a pool behind it."""
    return [conv("conv1", channels, width, kernel, stride, bias=False), bn("bn1", width), relu("relu")]


IMAGENET = stem(3, 64, 7, 2) + [max_pool("maxpool", 3, 2, 1)]
CIFAR = {"name": "image", "shape": [3, 32, 32], "mean": [0.491, 0.482, 0.447], "std": [0.247, 0.243, 0.262]}
FASHION = {"name": "image", "shape": [1, 28, 28], "mean": [0.286], "std": [0.353]}


def resnet(name, counts, bottleneck=False, before=IMAGENET, image=None, width=64, classes=1000):
    layers, cin = list(before), width
    for stage, count in enumerate(counts):
        for i in range(count):
            stride = 2 if stage > 0 and i == 0 else 1
            more, cin = block("layer%d.%d" % (stage + 1, i), layers[-1]["name"], cin, width << stage, stride, bottleneck)
            layers += more
    return model(name, layers + head(1) + [linear("fc", cin, classes)], image)


RESNET = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


# ---------------------------------------------------------------- files


def torchvision_nets():
    """{name: model} of those that torchvision.models has under this name."""
    nets = [alexnet()] + [vgg(depth, norm) for depth in VGG for norm in (False, True)]
    nets += [resnet("resnet%d" % depth, counts, depth >= 50) for depth, counts in RESNET.items()]
    return {net["name"]: net for net in nets}


def committed():
    """(folder of examples/, model) of those that stand there: not the two longest."""
    for name, net in torchvision_nets().items():
        if name not in ("resnet101", "resnet152"):
            yield name, net
    yield "resnet18_cifar", resnet("resnet18_cifar", RESNET[18], before=stem(3, 64), image=CIFAR, classes=10)
    small = {"before": stem(1, 16), "image": FASHION, "width": 16}
    yield "fashion_resnet", resnet("fashion_resnet", (2, 2, 2), classes=10, **small)
    yield "transfer_resnet18", resnet("pretrain", RESNET[18], classes=8, **small)
    yield "transfer_resnet18", resnet("transfer", RESNET[18], classes=10, **small)


def text(net):
    """One input or layer a line, as export_torch.py writes models; that file wants PyTorch and this one does not."""
    lines = []
    for key, value in net.items():
        if isinstance(value, list):
            rows = ",\n".join("    " + json.dumps(row) for row in value)
            lines.append('  "%s": [\n%s\n  ]' % (key, rows))
        else:
            lines.append('  "%s": %s' % (key, json.dumps(value)))
    return "{\n" + ",\n".join(lines) + "\n}\n"


def write(folder, net):
    """The path of the file written."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, net["name"] + ".json")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text(net))
    return path


def main():
    nets = torchvision_nets()
    p = argparse.ArgumentParser(description="Write the model files of well-known networks.")
    p.add_argument("-o", "--output", metavar="FOLDER", help="where to; default: those of examples/, to their places")
    p.add_argument("nets", nargs="*", metavar="NET", help="with -o: " + ", ".join(nets))
    a = p.parse_args()
    unknown = [n for n in a.nets if n not in nets]
    if unknown or (a.nets and not a.output):
        p.error("no net %s" % unknown[0] if unknown else "NET wants -o FOLDER")
    if not a.output:
        for folder, net in committed():
            write(os.path.join(EXAMPLES, folder), net)
    for name in (a.nets or nets) if a.output else ():
        write(a.output, nets[name])


if __name__ == "__main__":
    main()
