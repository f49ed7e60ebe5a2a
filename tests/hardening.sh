#!/bin/sh
# What was built is hardened: programs load anywhere (PIE), everything is bound and read-only before main, no stack is
# executable, stacks are guarded and copies checked.
#
# usage: tests/hardening.sh BUILD-FOLDER
set -eu
for file in "$1"/cltrain "$1"/clbench "$1"/libclnet.so; do
    fail() {
        echo "$file: $1"
        exit 1
    }
    readelf -hW "$file" | grep -q "Type: *DYN" || fail "it is not position-independent"
    readelf -dW "$file" | grep -q "BIND_NOW\|FLAGS_1.*NOW" || fail "its symbols are not bound at the start (-z now)"
    readelf -lW "$file" | grep -q GNU_RELRO || fail "its tables stay writable (-z relro)"
    if readelf -lW "$file" | grep GNU_STACK | grep -q "RWE"; then fail "its stack is executable"; fi
    readelf -sW "$file" | grep -q "__stack_chk_fail" || fail "its stacks are not guarded (-fstack-protector-strong)"
    readelf -sW "$file" | grep -q "__[a-z]*_chk@" || fail "its copies are not checked (_FORTIFY_SOURCE)"
done
