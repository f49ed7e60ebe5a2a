#!/usr/bin/env python3
"""Each row of the tables in docs/features.md names a test that exists and that is run.

usage: tests/docs_features.py"""

import os
import re
import sys


def exists(path, name):
    """Whether the test is defined in the file and, in C, added to the suite."""
    if not os.path.exists(path):
        return False
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if not path.endswith(".c"):
        return name in text
    return f"START_TEST({name})" in text and len(re.findall(rf"\b{name}\b", text)) > 1


def main():
    with open("docs/features.md", encoding="utf-8") as file:
        rows = [line for line in file if line.startswith("|")]
    rows = [row for row in rows if not row.startswith("| feature |") and not re.fullmatch(r"[|-]+\n", row)]
    faults = []
    for row in rows:
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
        test = re.fullmatch(r"`([^`: ]+): ([^`]+)`", cells[-1])
        if len(cells) != 5:
            faults.append(f"{len(cells)} cells: {row}")
        elif not test or not exists(*test.groups()):
            faults.append(f"there is no test {cells[-1]}, of the feature '{cells[0]}' ({cells[1]})")
    print("\n".join(faults))
    print(f"{len(rows)} features")
    print(f"Checks: 1, Failures: {int(bool(faults) or not rows)}, Errors: 0")
    return bool(faults) or not rows


sys.exit(main())
