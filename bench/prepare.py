"""Write each example net, with random weights, for both sides: NET.onnx for ONNX Runtime, NET.safetensors for
cnnc. Where a model file holds mean and std, the ONNX file does not: its side is spared that work. Runs under
Debian's Python, which has torch; files that are there already are kept.

    prepare.py FOLDER
"""

import os
import sys
import warnings

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "torch"))


def main():
    folder = sys.argv[1]
    if all(os.path.exists(os.path.join(folder, n + ".onnx")) for n in ("simplecnn", "lenet5", "resnet18", "resnet50")):
        return
    import torch
    from common import NETS, net

    warnings.filterwarnings("ignore")
    for name, (_, shape) in NETS.items():
        module, _, _ = net(name, folder)
        size = 224 if shape[0] == 3 else shape[1]
        x = torch.rand(1, shape[0], size, size)
        path = os.path.join(folder, name + ".onnx")
        torch.onnx.export(module, x, path + ".tmp", opset_version=13, input_names=["image"], output_names=["y"])
        os.rename(path + ".tmp", path)


if __name__ == "__main__":
    main()
