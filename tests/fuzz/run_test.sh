#!/bin/sh
# run.sh with a program that fails as it is told: each case that failed is named and written, and one that crashed too.
# And the seeds of models have each layer.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
run=$here/run.sh
for layer in $(sed -n 's/^LAYER(\(.*\))$/\1/p' "$here/../../frontend/layers.def"); do
    grep -q "\"type\": \"$layer\"" "$here"/seeds/model/*.json || { echo "no seed has $layer" && exit 1; }
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >fuzz <<'END'
#!/bin/sh
[ "$2" = one ] && echo "case $3 of seed $4" && exit
printf '%-12s' 7 >"$FUZZ_PROGRESS"
[ "$how" = sound ] || printf 'FAIL %s case 3: a fault\nerror: text of FAIL graph case 4: no\nFAIL %s case 5: a fault\n' "$1" "$1"
[ "$how" = crash ] && exit 1
echo "$1: $2 cases"
[ "$how" = sound ]
END
chmod +x fuzz

# HOW FILES: what run.sh leaves behind when the program does so
check() {
    rm -f fuzz-*
    how=$1 "$run" "$dir/fuzz" 9 2 graph >log && status=0 || status=$?
    shift
    if [ "$(echo fuzz-*)" != "$*" ] || { [ "$1" = 'fuzz-*' ] && [ $status -ne 0 ]; } ||
        { [ "$1" != 'fuzz-*' ] && [ $status -ne 1 ]; }; then
        echo "status $status, files $(echo fuzz-*), not $*"
        cat log
        exit 1
    fi
}

check sound 'fuzz-*'
check failures fuzz-graph-2-3.cnnir fuzz-graph-2-5.cnnir
check crash fuzz-graph-2-3.cnnir fuzz-graph-2-5.cnnir fuzz-graph-2-7.cnnir
grep -q 'case 7 is in fuzz-graph-2-7.cnnir' log
[ "$(cat fuzz-graph-2-5.cnnir)" = "case 5 of seed 2" ]
