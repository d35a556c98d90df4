#!/bin/sh
# Compare training steps with PyTorch's in one interleaved process: the speed floor of training.
#   bench/training.sh [--threads N] [--seconds S] [--json FILE] [NET...]
# NET: simplecnn (batch 64, Adam) resnet18_cifar (batch 32, SGD with momentum) (default both). Uses $CNNC and
# $CNNRT, else build/release's. Needs Debian's python3-torch. Without --threads: 1, then 2.
set -eu
cd "$(dirname "$0")/.."

cnnc=${CNNC:-build/release/cnnc}
if [ ! -x "$cnnc" ]; then
    echo "bench: no $cnnc; build it: cmake --preset release && cmake --build --preset release" >&2
    exit 1
fi
export PYTHONDONTWRITEBYTECODE=1
CNNC=$cnnc CNNRT=${CNNRT:-build/release/runtime/libcnnrt.a} exec /usr/bin/python3 bench/training.py "$@"
