"""Write example nets, with random weights, for both sides: NET.onnx for ONNX Runtime, NET.safetensors for
cnnc. Where a model file holds mean and std, the ONNX file does not: its side is spared that work. Runs under
Debian's Python, which has torch.

    prepare.py FOLDER NET...
"""

import os
import sys
import warnings

import torch

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "torch"))

from common import NETS, net  # noqa: E402


def main():
    folder = sys.argv[1]
    warnings.filterwarnings("ignore")
    for name in sys.argv[2:]:
        shape = NETS[name][1]
        module, _, _ = net(name, folder)
        size = 224 if shape[0] == 3 else shape[1]
        x = torch.rand(1, shape[0], size, size)
        path = os.path.join(folder, name + ".onnx")
        torch.onnx.export(module, x, path + ".tmp", opset_version=13, input_names=["image"], output_names=["y"])
        os.rename(path + ".tmp", path)


if __name__ == "__main__":
    main()
