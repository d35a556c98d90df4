#!/bin/sh
# Fails when an #include breaks the table of rooms (docs/design.md): which folder may see which.
# Usage: tests/rooms.sh [ROOT]
set -u
root=${1:-$(dirname "$0")/..}
cd "$root" || exit 2
bad=0

# check ROOM 'pattern of what its "..." includes may begin with' 'pattern of <...> includes it must not have'
check() {
    room=$1 own=$2 never=$3
    [ -d "$room" ] || return 0
    found=$(find "$room" -name '*.[ch]' -exec grep -HnE '^[[:space:]]*#[[:space:]]*include' {} + |
        grep -v "^$room/base/" | # a room of its own
        awk -v own="^($own)" -v never="^($never)" '
            match($0, /"[^"]*"/) { if (substr($0, RSTART + 1, RLENGTH - 2) !~ own) print; next }
            match($0, /<[^>]*>/) { if (substr($0, RSTART + 1, RLENGTH - 2) ~ never) print }')
    if [ -n "$found" ]; then
        echo "$room may not include:"
        echo "$found" | sed 's/^/  /'
        bad=1
    fi
}

outside='llvm-c/|llvm/|cjson/|cJSON|png|jpeglib|zlib|criterion/|cnnrt'
check ir/base           'ir/base/'                            "$outside|pthread"
check ir                'ir/'                                 "$outside|pthread"
check frontend          'frontend/|ir/|runtime/cnnrt/cnnrt[.]h|runtime/cnnrt-train/cnnrt_train[.]h|runtime/cnnrt-data/cnnrt_data[.]h'  'llvm-c/|png|jpeglib|zlib|criterion/'
check passes            'passes/|ir/'                         "$outside|pthread"
check backend           'backend/|ir/|runtime/cnnrt/cnnrt[.]h'   'cjson/|cJSON|png|jpeglib|zlib|criterion/'
check driver            'driver/|frontend/|passes/|backend/|ir/|runtime/' 'llvm-c/|cjson/|cJSON|png|jpeglib|zlib|criterion/'
check runtime/cnnrt     '([a-z_0-9]+[.]h$)|cnnrt/'             "llvm-c/|cjson/|cJSON|png|jpeglib|zlib|criterion/"
check runtime/cnnrt-train '([a-z_0-9]+[.]h$)|cnnrt/|cnnrt-train/' 'llvm-c/|cjson/|cJSON|png|jpeglib|zlib|criterion/'
check runtime/cnnrt-data '([a-z_0-9]+[.]h$)|cnnrt/|cnnrt-data/' 'llvm-c/|cjson/|cJSON|criterion/'
[ $bad -eq 0 ] && echo "rooms: every include keeps to the table"
exit $bad
