#!/bin/sh
# AVX-512 code on a machine without AVX-512, in Bochs's CPU core, against PyTorch. It takes minutes and installs a
# package from PyPI, so neither ctest nor CI runs it.
#   tests/emulate/run.sh                            everything; ResNets at 64 x 64
#   tests/emulate/run.sh layers resnet18:224        some of it; see emulate.py
#
# Needs what tools/setup.sh test installs, Python 3.11 on x86-64, and cnnc built by the preset release or ci (or in
# CNNC, its runtime in CNNRT). Makes build/emulate/ with a venv that has bochscpu-python, and a library of five
# functions that Debian 12's glibc lacks for it.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$root/build/emulate
for preset in ci release; do
    build=$root/build/$preset
    [ -n "${CNNC-}" ] || [ ! -x "$build/cnnc" ] || { CNNC=$build/cnnc CNNRT=$build/runtime/libcnnrt.a; }
done
if [ -z "${CNNC-}" ]; then
    echo "run.sh: build cnnc first: cmake --preset release && cmake --build --preset release" >&2
    exit 1
fi
mkdir -p "$work"
if ! [ -x "$work/venv/bin/python" ] || ! "$work/venv/bin/python" -m pip show -q bochscpu-python 2>/dev/null; then
    /usr/bin/python3 -m venv "$work/venv"
    "$work/venv/bin/python" -m pip install -q bochscpu-python==0.4.0
fi
cc -shared -fPIC -O1 -o "$work/shim.so" "$root/tests/emulate/shim.c"
export CNNC CNNRT EMULATE_PYTHON="$work/venv/bin/python" EMULATE_SHIM="$work/shim.so"
export OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
exec /usr/bin/python3 "$root/tests/emulate/emulate.py" "$@"
