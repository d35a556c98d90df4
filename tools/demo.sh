#!/bin/sh
# The whole path on real data, from a clone on Debian 12: install what is missing, build, train a SimpleCNN on
# Fashion-MNIST with cnnc itself, compile it for inference, link it into a C program and classify all test images; then
# the same with the LeNet-5 that comes trained. About three minutes. Everything goes to build/; build/release is the one
# that README.md makes, and keeps its settings.
set -eu
cd "$(dirname "$0")/.."

run() { # print a command, then run it
    printf '\n$ %s\n' "$1"
    eval "$1"
}

accuracy_above() { # LIMIT: of what classify printed
    awk -v limit="$1" '/^accuracy:/ { found = 1; if ($2 + 0 < limit) { print "demo: the accuracy is below " limit "%"; exit 1 } }
         END { if (!found) { print "demo: no accuracy was printed"; exit 1 } }' build/demo/classify.out >&2
}

mkdir -p build/demo
run 'tools/setup.sh'
run 'cmake --preset release'
run 'cmake --build --preset release --target cnnc cnnrt cnnrt-train cnnrt-data'
run 'cmake --install build/release --prefix build/demo/prefix >build/demo/install.log'
run 'export PATH="$PWD/build/demo/prefix/bin:$PATH" PKG_CONFIG_PATH=build/demo/prefix/lib/pkgconfig'

run 'cnnc train examples/simplecnn/simplecnn.json --recipe examples/simplecnn/quick.json --data /usr/share/datasets/fashion-mnist --save build/demo/simplecnn.safetensors'
run 'cnnc examples/simplecnn/simplecnn.json --weights build/demo/simplecnn.safetensors -o build/demo/simplecnn.o'
run 'cc -O2 -Ibuild/demo examples/simplecnn/classify.c build/demo/simplecnn.o $(pkg-config --cflags --libs cnnrt cnnrt-data) -o build/demo/classify'
run 'build/demo/classify | tee build/demo/classify.out'
accuracy_above 89

run 'cnnc examples/lenet5/lenet5.json -o build/demo/lenet5.o'
run 'cc -O2 -Ibuild/demo examples/lenet5/classify.c build/demo/lenet5.o $(pkg-config --cflags --libs cnnrt cnnrt-data) -o build/demo/classify'
run 'build/demo/classify | tee build/demo/classify.out'
accuracy_above 88
printf '\ndemo: done\n'
