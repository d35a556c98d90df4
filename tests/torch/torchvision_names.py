#!/usr/bin/python3
"""torchvision's ResNet-18: its state_dict, saved with torch.save and converted by the exporter's command, loads
by name into examples/resnet18/resnet18.json and gives torchvision's output. Then the same net, exported as a
module, gives it too."""

import os
import subprocess
import sys

import torch
import torchvision

from common import ROOT, close, cnnc, export_torch, randomise, workplace

EXPORT = os.path.join(ROOT, "tools", "export_torch.py")


def export(*arguments):
    subprocess.run([sys.executable, EXPORT, *arguments], check=True)


def predict(directory, x, *arguments):
    source, result = os.path.join(directory, "x.npy"), os.path.join(directory, "y.npy")
    export_torch.write_npy(source, x)
    cnnc("run", *arguments, "--input", source, "--output", result)
    return export_torch.read_npy(result)


def main():
    with workplace() as directory:
        module = randomise(torchvision.models.resnet18(), 7)
        state = os.path.join(directory, "resnet18.pt")
        torch.save(module.state_dict(), state)
        x = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            want = module(x)

        model = os.path.join(ROOT, "examples", "resnet18", "resnet18.json")
        weights = os.path.join(directory, "converted.safetensors")
        export("--state-dict", state, "--json", model, "-o", weights)
        got = predict(directory, x, model, "--weights", weights, "--input-shape", "image=3x64x64")
        close(got, want, "state_dict by name")

        # Everything in the state_dict, num_batches_tracked too, as other tools write it.
        whole = os.path.join(directory, "whole.safetensors")
        export_torch.write_safetensors(whole, module.state_dict())
        got = predict(directory, x, model, "--weights", whole, "--input-shape", "image=3x64x64")
        close(got, want, "the whole state_dict")

        base = os.path.join(directory, "exported")
        export("--module", "torchvision.models:resnet18", "--state-dict", state, "--input-shape", "3x64x64", "-o", base)
        example = export_torch.read_npy(base + ".input.npy")
        got = predict(directory, example, base + ".json")
        close(got, export_torch.read_npy(base + ".output.npy"), "exported module")
        cnnc("verify", base + ".json", "--input", base + ".input.npy", "--expect", base + ".output.npy")


if __name__ == "__main__":
    main()
