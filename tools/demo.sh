#!/bin/sh
# The whole path on real data, from a clone on Debian 12: install what is missing, build, compile the trained
# LeNet-5 to an object, link it into a C program and classify all Fashion-MNIST test images. Everything goes to build/;
# build/release is the one that README.md makes, and keeps its settings.
set -eu
cd "$(dirname "$0")/.."

run() { # print a command, then run it
    printf '\n$ %s\n' "$1"
    eval "$1"
}

mkdir -p build/demo
run 'tools/setup.sh'
run 'cmake --preset release'
run 'cmake --build --preset release --target cnnc cnnrt cnnrt-data'
run 'cmake --install build/release --prefix build/demo/prefix >build/demo/install.log'
run 'export PATH="$PWD/build/demo/prefix/bin:$PATH" PKG_CONFIG_PATH=build/demo/prefix/lib/pkgconfig'
run 'cnnc examples/lenet5/lenet5.json -o build/demo/lenet5.o'
run 'cc -O2 -Ibuild/demo examples/lenet5/classify.c build/demo/lenet5.o $(pkg-config --cflags --libs cnnrt cnnrt-data) -o build/demo/classify'
run 'build/demo/classify | tee build/demo/classify.out'

awk '/^accuracy:/ { found = 1; if ($2 + 0 < 88) { print "demo: the accuracy is below 88%"; exit 1 } }
     END { if (!found) { print "demo: no accuracy was printed"; exit 1 } }' build/demo/classify.out >&2
printf '\ndemo: done\n'
