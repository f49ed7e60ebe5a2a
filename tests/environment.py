#!/usr/bin/env python3
"""No environment variable is read behind the user's back: those that library and programs ask for are exactly those of the
table in SECURITY.md. What drivers and libraries read is theirs."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).parents[1]


def main():
    read, unclear = set(), []
    for top in ("src", "bench", "models"):
        for path in sorted((ROOT / top).rglob("*.[ch]")):
            text = path.read_text()
            names = re.findall(r'\b(?:secure_)?getenv\("(\w+)"\)', text)
            read |= set(names)
            if len(names) != len(re.findall(r"\b(?:secure_)?getenv\b", text)):
                unclear.append(str(path.relative_to(ROOT)))
    told = set(re.findall(r"^\| `([A-Z_]+)`", (ROOT / "SECURITY.md").read_text(), re.M))
    if unclear:
        print("getenv of something that is no plain name:", *unclear)
    if read != told:
        print("read:", *sorted(read), "- in SECURITY.md:", *sorted(told))
    return bool(unclear) or read != told


if __name__ == "__main__":
    sys.exit(main())
