#!/bin/sh
# Compare with ONNX Runtime in one interleaved process, and print compile time and memory: the speed floor.
#   bench/peers.sh [--threads N] [--seconds S] [--json FILE] [--markdown docs/nets.md] [NET...]
# NET: those of examples/, resnet101 and resnet152; default lenet5 simplecnn resnet18 resnet50, with --markdown all.
# Uses $CNNC, else build/release/cnnc. Debian's python3-torch writes the ONNX files; onnxruntime comes from PyPI into
# bench/.venv.
set -eu
cd "$(dirname "$0")/.."

cnnc=${CNNC:-build/release/cnnc}
if [ ! -x "$cnnc" ]; then
    echo "bench: no $cnnc; build it: cmake --preset release && cmake --build --preset release" >&2
    exit 1
fi
if [ ! -x bench/.venv/bin/python ] || ! bench/.venv/bin/python -c 'import onnxruntime, numpy' 2>/dev/null; then
    echo "bench: making bench/.venv with onnxruntime" >&2
    /usr/bin/python3 -m venv bench/.venv
    bench/.venv/bin/pip install --quiet --disable-pip-version-check onnxruntime numpy
fi
export PYTHONDONTWRITEBYTECODE=1
mkdir -p build/bench
CNNC=$cnnc exec bench/.venv/bin/python bench/compare.py build/bench "$@"
