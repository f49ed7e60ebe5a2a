#!/usr/bin/env bash
# Makes the API reference of include/clnet into build/docs/html, by Doxygen (Debian: doxygen). A warning fails.
#
# usage: scripts/docs.sh
set -euo pipefail
# shellcheck source=SCRIPTDIR/common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case ${1:-} in
"") ;;
-h | --help) usage ;;
*) die "scripts/docs.sh takes no options" ;;
esac
have doxygen || die "doxygen is not installed: it is a package of that name"

mkdir -p build/docs
doxygen docs/Doxyfile
say "the API reference is build/docs/html/index.html"
