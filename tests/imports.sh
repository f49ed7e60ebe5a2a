#!/bin/sh
# What was built opens no connection, loads no code and starts programs by posix_spawn alone, which clnet gives the path
# of itself: of the functions for that, no other is imported. What drivers do is theirs.
#
# usage: tests/imports.sh BUILD-FOLDER
set -eu
for file in "$1"/cltrain "$1"/clbench "$1"/libclnet.so; do
    found=$(nm -D --undefined-only "$file" | sed 's/.* U //; s/@.*//' | grep -xE \
        'socket(pair)?|connect|bind|listen|accept4?|getaddrinfo|gethostby.*|send(to|msg)?|recv(from|msg)?|curl_.*|dlopen|system|popen|v?fork|clone|exec[lv].*|fexecve|posix_spawnp' || true)
    [ -z "$found" ] || {
        echo "$file imports" $found
        exit 1
    }
done
nm -D --undefined-only "$1"/libclnet.so | grep -q " posix_spawn@" || {
    echo "the list of imports cannot be read"
    exit 1
}
