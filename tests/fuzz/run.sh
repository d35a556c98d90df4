#!/bin/sh
# The full fuzzing run: 5,000 damaged models, weights, graphs and loop modules, 2,000 arrays. The program is best built with
# CNNC_SANITIZE. After a crash, the case that did it is written beside this run.
#
#     tests/fuzz/run.sh BUILD/tests/fuzz [COUNT] [SEED] [KIND...]
set -u
fuzz=$1
count=${2:-5000}
seed=${3:-1}
[ $# -gt 3 ] && shift 3 && kinds=$* || kinds="model weights graph loops npy"
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
FUZZ_PROGRESS=$(mktemp)
export FUZZ_PROGRESS
failed=0
for kind in $kinds; do
    n=$count
    case $kind in
    model) set -- "$here"/seeds/model/*.json "$root/examples/lenet5/lenet5.json" "$root/examples/simplecnn/simplecnn.json" ;;
    weights) set -- "$here"/seeds/weights/*.safetensors ;;
    graph) set -- "$here"/seeds/graph/*.cnnir ;;
    loops) set -- "$here"/seeds/loops/*.cnnir ;;
    npy) set -- "$here"/seeds/npy/*.npy && n=$((count * 2 / 5)) ;;
    esac
    if ! "$fuzz" "$kind" "$n" "$seed" "$@"; then
        failed=1
        index=$(cat "$FUZZ_PROGRESS")
        "$fuzz" "$kind" one "$index" "$seed" "$@" >"fuzz-$kind-failure"
        echo "the last case was $index; it is in fuzz-$kind-failure"
    fi
done
rm -f "$FUZZ_PROGRESS"
exit $failed
