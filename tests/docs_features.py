#!/usr/bin/env python3
"""Each row of the tables in docs/features.md and docs/reliability.md whose last column is "test" names tests that exist
and that are run: `file: test`, or a file alone that is a test by itself.

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
        return not name or name in text
    return f"START_TEST({name})" in text and len(re.findall(rf"\b{name}\b", text)) > 1


def tested_rows(path):
    """The rows of those tables, as lists of cells; one with a cell too many or too few is told."""
    header = None
    with open(path, encoding="utf-8") as file:
        for line in file:
            if not line.startswith("|"):
                header = None
                continue
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if header is None:
                header = cells
            elif header[-1] == "test" and not re.fullmatch(r"[|-]+\n", line):
                yield cells, len(cells) == len(header)


def main():
    faults, count = [], 0
    for path in ("docs/features.md", "docs/reliability.md"):
        before = count
        for cells, whole in tested_rows(path):
            count += 1
            tests = [re.fullmatch(r"`([^`: ]+)(?:: ([^`]+))?`", test) for test in re.split("[,;] ", cells[-1])]
            if not whole:
                faults.append(f"{path}: {len(cells)} cells: {cells}")
            elif not all(test and exists(*test.groups()) for test in tests):
                faults.append(f"{path}: there is no test {cells[-1]}, of '{cells[0]}'")
        if count == before:
            faults.append(f"{path}: there are no tests")
    print("\n".join(faults))
    print(f"{count} rows")
    print(f"Checks: 1, Failures: {int(bool(faults))}, Errors: 0")
    return bool(faults)


sys.exit(main())
