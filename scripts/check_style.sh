#!/usr/bin/env bash
# Checks the formatting of the C sources, the include rule and, where shellcheck is installed, the scripts.
# --fix formats the C sources in place first.
#
# usage: scripts/check_style.sh [--fix]
set -euo pipefail
# shellcheck source=SCRIPTDIR/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
fix=no
case ${1:-} in
"") ;;
--fix) fix=yes ;;
-h | --help) usage ;;
*) die "scripts/check_style.sh: unknown option '$1' (see --help)" ;;
esac

# Versions of clang-format differ in details; 14, Debian 12's, is the one that counts.
format="clang-format"
if have clang-format-14; then format="clang-format-14"; fi
have "$format" || die "clang-format is not installed: run scripts/setup.sh"
have python3 || die "python3 is not installed: run scripts/setup.sh"

mapfile -d '' -t sources < <(
    find src include models tests bench examples -name third_party -prune -o -name '*.[ch]' -type f -print0 | sort -z
)
status=0
say "formatting: ${#sources[@]} files"
if [[ $fix == yes ]]; then "$format" -i "${sources[@]}"; fi
"$format" --dry-run --Werror "${sources[@]}" || status=1

say "include rule"
python3 scripts/check_includes.py || status=1

if have shellcheck; then
    say "scripts"
    shellcheck scripts/*.sh bench/peers/*.sh .ci/run || status=1
fi

if [[ $status -eq 0 ]]; then say "style is clean"; else say "style checks failed"; fi
exit "$status"
