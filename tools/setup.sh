#!/bin/sh
# Install what is missing, on Debian 12. Says what it does; a second run does nothing.
#   tools/setup.sh          what building, and the demo, need
#   tools/setup.sh export   that, and PyTorch for tools/export_torch.py
#   tools/setup.sh test     all that, and what tools/test.sh needs: clang's tools, qemu, a cross compiler
set -eu

packages="gcc g++ libc6-dev cmake ninja-build pkg-config llvm-19-dev libcjson-dev zlib1g-dev libpng-dev libjpeg62-turbo-dev
    dataset-fashion-mnist"
case "${1-}" in
"") ;;
export) packages="$packages python3 python3-torch" ;;
test) packages="$packages libcriterion-dev python3 python3-torch python3-torchvision python3-venv python3-jsonschema
    clang-19 clang-format-19 clang-tidy-19 qemu-user util-linux dpkg-dev gcc-aarch64-linux-gnu
    libc6-dev-arm64-cross" ;;
*)
    echo "usage: tools/setup.sh [export|test]" >&2
    exit 2
    ;;
esac

missing=""
for p in $packages; do
    status=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)
    [ "$status" = installed ] || missing="$missing $p"
done
if [ -z "$missing" ]; then
    echo "setup: everything is installed"
    exit 0
fi

as_root=""
if [ "$(id -u)" != 0 ]; then
    as_root=sudo
    if ! command -v sudo >/dev/null; then
        echo "setup: run as root: apt-get install$missing" >&2
        exit 1
    fi
fi
echo "setup: installing$missing"
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$as_root apt-get install -y -qq --no-install-recommends $missing
