#!/bin/sh
# Everything a change must pass, in about twenty minutes on two cores. Logs go to build/test/; the last line is
# "N passed, N failed".
set -u
cd "$(dirname "$0")/.."
logs=build/test
passed=0
failed=0
began=$(date +%s)
mkdir -p $logs

begin() { # a step: say what runs, since some take minutes
    start=$(date +%s)
    printf '[%2d:%02d] %s\n' $(((start - began) / 60)) $(((start - began) % 60)) "$1"
}

# step NAME COMMAND...: one check, by exit status. The tail of the log is shown when it fails.
step() {
    name=$1
    shift
    begin "$name"
    if "$@" >"$logs/$name.log" 2>&1; then
        passed=$((passed + 1))
        echo "        ok ($(($(date +%s) - start)) s)"
    else
        failed=$((failed + 1))
        echo "        FAILED ($(($(date +%s) - start)) s); $logs/$name.log ends:"
        tail -n 30 "$logs/$name.log"
        return 1
    fi
}

# tests NAME ARGUMENTS...: ctest, whose tests are counted one by one.
tests() {
    name=$1
    shift
    begin "tests $name"
    ctest --output-on-failure "$@" >"$logs/$name.log" 2>&1
    summary=$(sed -n 's/.*tests passed, \([0-9]*\) tests* failed out of \([0-9]*\)/\1 \2/p' "$logs/$name.log")
    bad=${summary% *}
    all=${summary#* }
    if [ -z "$summary" ]; then
        bad=1
        all=1
    fi
    passed=$((passed + all - bad))
    failed=$((failed + bad))
    echo "        $((all - bad)) of $all passed ($(($(date +%s) - start)) s)"
    grep -E '\*\*\*Skipped' "$logs/$name.log"
    [ "$bad" = 0 ] || sed -n '/tests passed,/,$p' "$logs/$name.log"
}

build() { # PRESET
    cmake --preset "$1" && cmake --build --preset "$1"
}

sources() { git ls-files '*.c' '*.h' "$@"; }

format() { # clang-format-19 has nothing to change
    sources | xargs clang-format-19 --dry-run -Werror
}

clang() { # the compiler and the libraries, with another compiler's warnings
    cmake -S . -B build/clang -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_C_COMPILER=clang-19 -DCNNC_WERROR=ON \
        -DCNNC_TESTS=OFF -DCMAKE_EXPORT_COMPILE_COMMANDS=ON && cmake --build build/clang
}

tidy() {
    git ls-files 'ir/*.c' 'frontend/*.c' 'passes/*.c' 'backend/*.c' 'driver/*.c' 'runtime/*.c' |
        xargs -P 2 -n 4 clang-tidy-19 -p build/clang --quiet --warnings-as-errors='*'
}

runtime_alone() { # builds without LLVM, and its core is under 40 KB of code
    cmake -S . -B build/runtime -G Ninja -DCMAKE_BUILD_TYPE=Release -DCNNC_COMPILER=OFF -DCNNC_TESTS=OFF \
        -DCNNC_WERROR=ON && cmake --build build/runtime || return 1
    size -A build/runtime/runtime/libcnnrt.a |
        awk '/^\.text/ { code += $2 } END { print "cnnrt: " code " bytes of code"; exit !(code > 0 && code < 40960) }'
}

tools/setup.sh test || exit 1
step format format
if step build-ci build ci; then
    tests ci --preset ci -j 2
fi
if step build-debug build debug; then
    tests debug --preset debug -j 2 -LE 'torch|once'
fi
step runtime-alone runtime_alone
if step build-clang clang; then
    step clang-tidy tidy
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
