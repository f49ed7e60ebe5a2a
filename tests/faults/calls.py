#!/usr/bin/env python3
"""Checks that no call of our own code is forgotten by the injection of faults: whatever the library and the programs take
from outside is wrapped (wrap.c), or listed with a reason (unwrapped.txt), or belongs to a library whose calls answer by
values that are checked: cairo, libyaml, protobuf-c, libzip, and the rest of SQLite and cJSON, whose memory is wrapped.

usage: calls.py BUILD-FOLDER
"""
import pathlib
import re
import subprocess
import sys

LIBRARIES = re.compile(r"(cln|cJSON|cairo|yaml|protobuf_c|zip|sqlite3)_")
HERE = pathlib.Path(__file__).parent


def symbols(path, kinds):
    text = subprocess.run(["nm", path], check=True, capture_output=True, text=True).stdout
    found = (re.match(r"[0-9a-f ]* ([a-zA-Z]) (\w+)", line) for line in text.splitlines())
    return {m[2] for m in found if m and m[1] in kinds}


def main():
    build = pathlib.Path(sys.argv[1])
    wrapped = {s[len("__wrap_"):] for s in symbols(build / "faults_cltrain", "Tt") if s.startswith("__wrap_")}
    lines = [line for line in (HERE / "unwrapped.txt").read_text().splitlines() if not line.startswith("#")]
    listed = set(" ".join(lines).split())
    called = set()
    for name in ("libclnet.so", "cltrain", "clbench"):
        called |= {s for s in symbols(build / name, "Uw")}
    outside = {s for s in called if not LIBRARIES.match(s)}
    missing = sorted(outside - wrapped - listed)
    if missing:
        print("neither wrapped (tests/faults/wrap.c) nor listed (tests/faults/unwrapped.txt):", *missing)
    idle = sorted(listed & wrapped)
    if idle:
        print("listed in tests/faults/unwrapped.txt, but wrapped:", *idle)
    print(f"{len(outside & wrapped)} calls that can be made to fail, {len(outside & listed)} listed")
    return bool(missing or idle)


if __name__ == "__main__":
    sys.exit(main())
