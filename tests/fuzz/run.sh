#!/bin/sh
# The full fuzzing run: 5,000 damaged models, each also to be trained, weights, graphs and loop modules, 2,000 recipes,
# checkpoints, arrays and data files of each kind. The program is best built with CNNC_SANITIZE. Each case that fails,
# and the one that crashes the program, is written to fuzz-KIND-SEED-INDEX.EXT here, which `fuzz KIND one INDEX SEED
# FILE...` prints.
#
#     tests/fuzz/run.sh BUILD/tests/fuzz [COUNT] [SEED] [KIND...]
set -u
[ $# -gt 0 ] || {
    echo "usage: $0 FUZZ [COUNT] [SEED] [KIND...]" >&2
    echo "FUZZ KIND one INDEX SEED FILE... prints one case; each that fails is written to fuzz-KIND-SEED-INDEX.EXT here" >&2
    exit 2
}
fuzz=$1
count=${2:-5000}
seed=${3:-1}
[ $# -gt 3 ] && shift 3 && kinds=$* || kinds="model train recipe weights graph loops npy idx png jpeg checkpoint"
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
FUZZ_PROGRESS=$(mktemp)
export FUZZ_PROGRESS
log=$(mktemp)
failed=0
for kind in $kinds; do
    n=$count
    ext=$kind
    case $kind in
    model | train) ext=json && set -- "$here"/seeds/model/*.json "$root/examples/lenet5/lenet5.json" "$root/examples/simplecnn/simplecnn.json" ;;
    recipe) ext=json && set -- "$here"/seeds/recipe/*.json "$root"/examples/*/cosine.json && n=$((count * 2 / 5)) ;;
    weights) ext=safetensors && set -- "$here"/seeds/weights/*.safetensors ;;
    graph) ext=cnnir && set -- "$here"/seeds/graph/*.cnnir ;;
    loops) ext=cnnir && set -- "$here"/seeds/loops/*.cnnir ;;
    checkpoint) ext=safetensors && set -- "$here"/seeds/checkpoint/* && n=$((count * 2 / 5)) ;;
    npy | idx | png | jpeg) set -- "$here"/seeds/$kind/* && n=$((count * 2 / 5)) ;;
    esac
    "$fuzz" "$kind" "$n" "$seed" "$@" >"$log" && status=0 || status=1
    cat "$log"
    [ $status -eq 0 ] && continue
    failed=1
    cases=$(sed -n "s/^FAIL $kind case \([0-9]*\):.*/\1/p" "$log")
    # Without its last line the program ended in the middle of a case.
    grep -q "^$kind: [0-9]* cases" "$log" || cases="$cases $(cat "$FUZZ_PROGRESS")"
    for index in $cases; do
        file=fuzz-$kind-$seed-$index.$ext
        "$fuzz" "$kind" one "$index" "$seed" "$@" >"$file"
        echo "case $index is in $file"
    done
done
rm -f "$FUZZ_PROGRESS" "$log"
exit $failed
