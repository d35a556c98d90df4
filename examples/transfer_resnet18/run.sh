#!/bin/sh
# Trains the trunk, then a new head on it frozen, everything at a small rate, and from scratch; prints accuracy, time of
# a step and memory of each. Needs cnnc on the PATH (or $CNNC) and python3; some minutes on two cores.
#   run.sh [DATA] [FOLDER FOR RESULTS]
set -eu
data=${1:-/usr/share/datasets/fashion-mnist}
out=${2:-transfer.out}
cnnc=${CNNC:-cnnc}
here=$(dirname "$0")
mkdir -p "$out"

train() { # NAME MODEL RECIPE OPTIONS...
    name=$1 model=$2 recipe=$3
    shift 3
    echo "== $name" >&2
    "$cnnc" train "$here/$model.json" --recipe "$here/$recipe.json" --data "$data" --save "$out/$name.safetensors" \
        --log "$out/$name.jsonl" "$@" >"$out/$name.txt"
    "$cnnc" "$here/$model.json" --train --recipe "$here/$recipe.json" --init-seed 1 --emit=header -q -o "$out/$name.h"
}

rm -f "$out"/*.jsonl
train trunk pretrain pretrain8
train frozen transfer frozen --weights "$out/trunk.safetensors"
train finetune transfer finetune --weights "$out/trunk.safetensors"
train scratch transfer scratch

python3 - "$out" <<'PY'
import json, os, re, sys
out = sys.argv[1]
print("%-10s %10s %14s %14s %14s" % ("", "accuracy", "ms a step", "state MB", "workspace MB"))
for name in ("trunk", "frozen", "finetune", "scratch"):
    text = open(os.path.join(out, name + ".txt")).read()
    accuracy = re.search(r"validation accuracy ([\d.]+)%", text).group(1)
    steps = [json.loads(line) for line in open(os.path.join(out, name + ".jsonl"))]
    steps = [s for s in steps if s.get("event") == "step" and s["epoch"] == 2]
    ms = 1e3 * (steps[-1]["seconds"] - steps[0]["seconds"]) / (steps[-1]["step"] - steps[0]["step"])
    header = open(os.path.join(out, name + ".h")).read()
    state = int(re.search(r"_STATE_BYTES \(\(size_t\)(\d+)\)", header).group(1))
    work = int(re.search(r"_WORKSPACE_BYTES\(threads\) \(\(size_t\)(\d+)", header).group(1))
    print("%-10s %9s%% %14.2f %14.2f %14.2f" % (name, accuracy, ms, state / 1e6, work / 1e6))
PY
