#!/usr/bin/python3
"""Train LeNet-5 on Fashion-MNIST and write it to examples/lenet5/. Debian's python3-torch and
dataset-fashion-mnist are enough; about two minutes on two cores. The seed is fixed, so that a second run
gives the same network on the same machine and version of torch."""

import gzip
import os
import sys

import torch
import torch.nn.functional as F
from torch import nn

import export_torch

DATA = "/usr/share/datasets/fashion-mnist"
CLASSES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
MEAN, STD = 0.2860, 0.3530  # of the training images, in [0,1]
EPOCHS, BATCH, SEED = 14, 100, 5


class LeNet5(nn.Module):
    """LeCun's net with ReLU and max pooling; 61,706 parameters."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, image):
        x = F.max_pool2d(F.relu(self.conv1(image)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        x = self.fc3(x)
        return x if self.training else {"probability": F.softmax(x, 1)}


def read_idx(name, header):
    with gzip.open(os.path.join(DATA, name)) as f:
        return torch.frombuffer(bytearray(f.read()), dtype=torch.uint8, offset=header)


def load(split):
    images = read_idx(split + "-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28).float() / 255
    return images, read_idx(split + "-labels-idx1-ubyte.gz", 8).long()


def accuracy(net, images, labels):
    net.eval()
    with torch.no_grad():
        guess = torch.cat([net((x - MEAN) / STD)["probability"].argmax(1) for x in images.split(1000)])
    return (guess == labels).float().mean().item()


def train(net, images, labels):
    steps = EPOCHS * (len(images) // BATCH)
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for epoch in range(EPOCHS):
        net.train()
        order, total = torch.randperm(len(images)), 0.0
        for pick in order.split(BATCH):
            x = (images[pick] - MEAN) / STD
            if torch.rand(()) < 0.5:
                x = x.flip(3)
            loss = F.cross_entropy(net(x), labels[pick], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print("epoch %d: loss %.4f" % (epoch + 1, total / (len(images) // BATCH)), flush=True)


def main():
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(root, "examples", "lenet5", "lenet5")
    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    net = LeNet5()
    train(net, *load("train"))
    images, labels = load("t10k")
    print("accuracy on the 10,000 test images: %.2f%%" % (100 * accuracy(net, images, labels)))
    export_torch.export(net, images[:4], out, mean=[MEAN], std=[STD], classes=CLASSES)


if __name__ == "__main__":
    main()
