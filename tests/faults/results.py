#!/usr/bin/env python3
"""What faults.py counted, kept in a file over several calls, and the table of it.

usage: results.py FILE [PAGE]    prints the table of FILE; fails if PAGE has another
"""
import collections
import json
import pathlib
import subprocess
import sys

from scenarios import SCENARIOS

HERE = pathlib.Path(__file__).resolve().parent
ALLOCATIONS = {"malloc", "calloc", "realloc", "strdup", "open_memstream", "cJSON", "compress2", "gzdopen"}
THREADS = {"pthread_create", "pthread_mutex_init", "pthread_cond_init", "pthread_attr_init", "pipe", "poll",
           "posix_spawn", "posix_spawn_file_actions_init", "posix_spawnattr_init"}


def kind_of(call):
    if call == "cJSON":
        return call
    if call in ALLOCATIONS:
        return "memory"
    if call in THREADS:
        return "threads"
    if call.startswith("sqlite3"):
        return "database"
    return "OpenCL" if call.lower().startswith("cl") and call not in ("close", "clock") else "files"


# The statuses that tell of a fault of that kind.
STATUSES = {"cJSON": {7}, "memory": {7}, "threads": {4, 7}, "database": {4, 7}, "OpenCL": {5, 6, 7}, "files": {4}}


class Results:
    """Of each part of each scenario: commit, depth, how much of it that is, and per call [told, survived, wrong]. A part
    takes the place of an older one, and of those by another division."""

    def __init__(self, path):
        self.path, self.parts = path, json.loads(path.read_text()) if path and path.exists() else []

    def add(self, scenario, o, counts):
        part, parts = o.part.split("/")
        new = {"scenario": scenario, "commit": self.commit(), "depth": o.depth, "every": o.every, "part": int(part),
               "parts": int(parts), "calls": {call: [c["told"], c["survived"], c["wrong"]]
                                              for call, c in sorted(counts.items())}}
        same = [p for p in self.parts if p["scenario"] != scenario or p["part"] != new["part"] and
                all(p[k] == new[k] for k in ("depth", "every", "parts"))]
        self.parts = sorted([*same, new], key=lambda p: ([*SCENARIOS].index(p["scenario"]), p["part"]))
        if self.path:
            self.path.write_text("[\n" + ",\n".join(map(json.dumps, self.parts)) + "\n]\n")

    def commit(self):
        """With a sign where anything but the results differs from it."""
        if not self.path:
            return ""
        name = subprocess.run(["git", "describe", "--always"], cwd=HERE, check=True, capture_output=True, text=True).stdout
        same = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", ":/", ":(exclude)results.json"], cwd=HERE, check=False)
        return name.strip() + ("-dirty" if same.returncode else "")

    def calls(self):
        return {call for p in self.parts for call, counts in p["calls"].items() if sum(counts)}

    def share(self, scenario):
        """In words, unless all of it was tried."""
        parts = [p for p in self.parts if p["scenario"] == scenario]
        some = [f"{len(parts)} of {parts[0]['parts']} parts"] if len(parts) < parts[0]["parts"] else []
        some += [f"every {parts[0]['every']}th way"] if parts[0]["every"] > 1 else []
        return f" ({', '.join(some)})" if some else ""

    def table(self):
        """In Markdown: scenarios by kinds of calls."""
        sums = collections.defaultdict(lambda: [0, 0, 0])
        for p in self.parts:
            for call, counts in p["calls"].items():
                kind, name = kind_of(call), p["scenario"]
                for key in ((name, kind), (name, "all"), ("all", kind), ("all", "all")):
                    sums[key] = [a + b for a, b in zip(sums[key], counts)]
        kinds, scenarios = [*STATUSES, "all"], [s for s in SCENARIOS if any(p["scenario"] == s for p in self.parts)]
        lines = [f"| injected, of these survived | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
        for name in [*scenarios, "all"]:
            cells = [f"{sum(sums[name, k])}, {sums[name, k][1]}" if sum(sums[name, k]) else "" for k in kinds]
            cells = [c + (f", **{sums[name, k][2]} wrong**" if sums[name, k][2] else "") for c, k in zip(cells, kinds)]
            lines.append(f"| {name}{self.share(name) if name != 'all' else ''} | {' | '.join(cells)} |")
        return "\n".join(lines)


def main():
    table = Results(pathlib.Path(sys.argv[1])).table()
    differs = len(sys.argv) > 2 and table not in pathlib.Path(sys.argv[2]).read_text()
    print(table)
    if differs:
        print(f"{sys.argv[2]} does not have this table")
    print(f"Checks: 1, Failures: {int(differs)}, Errors: 0")
    return differs


if __name__ == "__main__":
    sys.exit(main())
