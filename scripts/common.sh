# Sourced by the other scripts: goes to the repository root and defines what they share.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

say() {
    printf '==> %s\n' "$*"
}

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# Prints the comment at the head of the running script.
usage() {
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "scripts/${0##*/}"
    exit 0
}

# The folder that scripts/build.sh builds into when given these options.
build_folder() {
    local clang="" sanitize="" option
    for option in "$@"; do
        case $option in
        --clang) clang=-clang ;;
        --sanitize | --sanitize-threads) sanitize=-${option#--} ;;
        esac
    done
    printf 'build%s%s\n' "$clang" "$sanitize"
}
