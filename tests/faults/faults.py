#!/usr/bin/env python3
"""Makes every call of our own code that can fail do so, one at a time, in whole runs of the programs.

First a scenario runs without a fault and writes down each way that leads to a call (the innermost return addresses).
Then it runs once for each of them, and the call fails that came first by that way. A run ends well if it says what
failed, with the status of README.md, and leaks nothing; or if it does all that it does without the fault. What it
leaves of files must be whole: a training is gone on with afterwards and ends in the same bytes.
"""
import argparse
import bisect
import collections
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

from results import STATUSES, Results, kind_of
from scenarios import SCENARIOS, prepare

TIME_LIMIT_S = 120
# Wrapped for other reasons.
CANNOT_FAIL = re.compile("clRelease|free$|protobuf_c_|clock_|time$|gzerror")


# Streams may lie in memory.
STREAMS = {"fclose": {4, 7}, "fflush": {4, 7}, "ferror": {4, 7}}


class Program:
    """The names of a program's functions, by address."""

    def __init__(self, path):
        self.path = path
        text = subprocess.run(["nm", "-n", path], check=True, capture_output=True, text=True).stdout
        rows = [line.split() for line in text.splitlines() if re.match(r"[0-9a-f]+ [tT] ", line)]
        self.addresses, self.names = [int(r[0], 16) for r in rows], [r[2] for r in rows]

    def name(self, address):
        at = bisect.bisect_right(self.addresses, int(address, 16) - 1) - 1
        return self.names[at] if at >= 0 else address

    def way(self, addresses):
        return " < ".join(self.name(a) for a in addresses)


def run(program, arguments, folder, **environment):
    # The drivers' caches stay where they are: a fault is to meet our own code, not a compiler.
    everything = dict(os.environ, XDG_CACHE_HOME=str(folder / "cache"), **environment)
    everything.setdefault("POCL_CACHE_DIR", str(pathlib.Path.home() / ".cache/pocl"))
    return subprocess.run([program, *arguments], cwd=folder, env=everything, stdin=subprocess.DEVNULL,
                          capture_output=True, timeout=TIME_LIMIT_S)


def digest(path):
    """What must be the same: not speeds, nor the times in event files, nor their names."""
    data = path.read_bytes()
    if path.name == "metrics.csv":
        data = b"\n".join(line.rpartition(b",")[0] for line in data.split(b"\n"))
    if path.name.startswith("events."):
        data = b"%d" % len(data)
    if path.name.startswith("trace") or path.name == "profile.json":
        data = b""
    if path.name == "table.json":
        data = re.sub(rb'"(date|processor)":.*', b"", data)
    return hashlib.sha256(data).hexdigest()


def snapshot(folder, results):
    found = {}
    for name in results:
        top = folder / name
        for path in [top, *top.rglob("*")] if top.exists() else []:
            if path.is_file() and path.name != "race.json":  # nothing but times, some of them unknown
                found[re.sub(r"events\..*", "events", str(path.relative_to(folder)))] = digest(path)
    return found


def read_report(path):
    report = collections.defaultdict(list)
    for line in path.read_text().splitlines() if path.exists() else []:
        word, *rest = line.split()
        report[word].append(rest)
    return report


def json_without(text, keys):
    """A list of objects, without some of their members; None: it is none."""
    try:
        return [{k: v for k, v in item.items() if k not in keys} for item in json.loads(text)]
    except (ValueError, AttributeError):
        return None


def words_of(text, planned):
    """Without measurements, what was the fastest, what a system need not say and, unless `planned`, a plan."""
    text = re.sub(rb"; the process, compiler included, .*", b"", text)
    text = re.sub(rb'"(native_gflops|opencl_kernel|bandwidth_kernel)":("[^"]*"|[^,}]*)', b"", text)
    exact = re.compile(rb" *[0-9]+ |memory" if planned else rb"(?!)")
    lines = (line if exact.match(line) else re.sub(rb"[0-9.+-]+(e[+-]?[0-9]+)?", b" ", line)
             for line in text.splitlines() if planned or not re.match(rb" *[0-9]+ ", line))
    return b"\n".join(b" ".join(line.split()) for line in lines)


def without_numbers(text):
    return re.sub(rb"[0-9.:]+ ?(ms|s|images/s)|\"seconds\": ?[0-9.e-]+", b"", text)


class Trial:
    def __init__(self, build, name, work):
        self.scenario, self.name, self.work = SCENARIOS[name], name, work
        self.program = Program(str(build / f"faults_{self.scenario.program}"))
        self.template = work / "template"
        self.make_template(build)

    def make_template(self, build):
        shutil.rmtree(self.template, ignore_errors=True)
        self.template.mkdir()

        def must(program, arguments, **environment):
            done = run(str(build / f"faults_{program}"), arguments, self.template, **environment)
            if done.returncode != 0 and not environment:
                sys.exit(f"{program} {arguments}: status {done.returncode}: {done.stderr.decode()}")

        prepare(self.scenario, self.template, must)

    def fresh(self):
        folder = self.work / "run"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.template, folder)
        return folder

    def run(self, folder, report, *faults, **environment):
        return run(self.program.path, self.scenario.arguments, folder, CLNET_FAULT=",".join(faults),
                   CLNET_FAULT_REPORT=str(report), **environment)

    def reference(self, depth):
        """Runs twice without a fault: the first may fill caches of the driver."""
        for _ in range(2):
            folder, report = self.fresh(), self.work / "report"
            done = self.run(folder, report, *self.scenario.beside, CLNET_FAULT_WAYS=str(depth))
        self.status, self.errors, beside = done.returncode, done.stderr, self.scenario.beside
        self.output, self.files = done.stdout, snapshot(folder, self.scenario.results)
        found = read_report(report)
        complaints = self.leaks(found)
        if beside:
            complaints += self.told(beside[-1].split(":")[0], done, done.stderr.decode())
        if (done.returncode != 0) != bool(beside) or bool(found["hit"]) != bool(beside):
            sys.exit(f"{self.name}: without a fault, status {done.returncode}: {done.stderr.decode()}")
        ways = [(name, int(number), way) for name, number, *way in found["way"] if name != "clock"]
        return [w for w in ways if not any(b.startswith(w[0] + ":") for b in beside)], complaints

    def leaks(self, report):
        if not report["live"]:
            return ["it did not end by itself: no report"]
        lost = [f"{count} of {what} not released" for what, count in report["live"] if int(count) != 0]
        ways = sorted({self.program.way(way) for way in report["leak"]})
        return [f"{', '.join(lost)}: {' | '.join(ways)}"] if lost else []

    def inject(self, name, number):
        """None for a fault that no call met, else how it ended and what is wrong with that."""
        folder, path = self.fresh(), self.work / "report"
        path.unlink(missing_ok=True)
        try:
            done = self.run(folder, path, *self.scenario.beside, f"{name}:{number}")
        except subprocess.TimeoutExpired:
            return "hung", [f"no end within {TIME_LIMIT_S} s"]
        report, errors = read_report(path), done.stderr.decode(errors="replace")
        if done.returncode >= 0 and report["live"] and not report["hit"]:
            return None
        wrong = self.leaks(report) if done.returncode >= 0 else []
        ended = (done.returncode, done.stderr) == (self.status, self.errors) if self.scenario.beside else \
            done.returncode == 0
        wrong += self.same(folder, done, name) if ended or done.returncode == 0 else self.told(name, done, errors)
        if self.scenario.again is not None:
            wrong += self.go_on(folder)
        elif done.returncode != 0 and name != "unlink":
            wrong += self.torn(folder)
        return "survived" if ended else "told", wrong

    def same(self, folder, done, name):
        if self.name == "report" and b": warning: no curve is drawn: " in done.stderr:
            return []
        found = snapshot(folder, self.scenario.results)
        differs = [n for n in sorted(set(found) | set(self.files)) if found.get(n) != self.files.get(n)]
        if not self.same_output(done.stdout, name):
            differs.append("standard output")
        if done.returncode != self.status:
            differs.append("the status")
        if differs:
            return [f"status {done.returncode} with another result: {', '.join(differs)}; {done.stderr.decode(errors='replace')!r}"]
        return []

    def same_output(self, output, name):
        if self.name == "devices" and name == "clGetDeviceInfo":  # what a device need not say
            unknown = "clock_mhz", "address_bits", "denormals", "fp16", "fp64", "type", "extensions"
            return json_without(output, unknown) == json_without(self.output, unknown) is not None
        if self.scenario.words:
            planned = name != "clGetDeviceInfo"  # of a device that does not say what suits it, the plan is another
            return words_of(output, planned) == words_of(self.output, planned)
        return not self.scenario.prints or without_numbers(output) == without_numbers(self.output)

    def told(self, name, done, errors):
        status, output = done.returncode, done.stdout.decode(errors="replace")
        failures = [line for line in output.splitlines() if line.startswith("FAIL ")]
        if self.name == "verify" and STATUSES[kind_of(name)] != {7} and status == 1 and len(failures) == 1 and \
                len(failures[0]) > 40:
            return []  # a check that failed, with the reason; the others go on
        if self.name == "tune's worker" and re.search("^clnet-tune: (refused|bad|failed) .{20}", output, re.M):
            return []  # to the process that reads it
        if status < 0:
            return [f"killed by signal {-status}: {errors!r}"]
        own = [e for e in errors.splitlines() if e.startswith(self.scenario.program + ": ") and ": warning: " not in e]
        if len(own) != 1 or len(own[0]) < 25:
            return [f"status {status} without one clear message: {errors!r}"]
        meant = STREAMS.get(name, STATUSES[kind_of(name)])
        if status not in meant and not (self.scenario.beside and status == self.status):
            return [f"status {status}: {own[0]}"]
        return []

    def torn(self, folder):
        """Files that a failure left, but for those that are whole; SQLite mends its own."""
        new = {p.name for p in folder.iterdir()} - {p.name for p in self.template.iterdir()} - {"cache"}
        found = snapshot(folder, [n for n in new if ".sqlite" not in n])
        return [f"left behind: {n}" for n in sorted(found) if found[n] != self.files.get(n)]

    def go_on(self, folder):
        """The same command, without a fault, ends as it would have at first."""
        done = run(self.program.path, [*self.scenario.arguments, *self.scenario.again], folder)
        if self.scenario.beside and done.returncode == 0:
            return []  # without that fault, too
        if done.returncode != 0:
            return [f"going on: status {done.returncode}: {done.stderr.decode()!r}"]
        return ["going on: " + w for w in self.same(folder, done, "")]


def options():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--scenario", action="append", choices=SCENARIOS)
    parser.add_argument("--leave-out", action="append", default=[], choices=SCENARIOS)
    parser.add_argument("--depth", type=int, default=4, help="return addresses that make a way (default: 4)")
    parser.add_argument("--every", type=int, default=1, help="try every N-th way only")
    parser.add_argument("--part", default="0/1", help="I/N: the I-th of N parts, from 0")
    parser.add_argument("--without", action="append", default=[], help="leave this call out")
    parser.add_argument("--call", help="only this call, or NAME:N its N-th")
    parser.add_argument("--keep", action="store_true", help="keep the folder of the last run")
    parser.add_argument("--results", type=pathlib.Path,
                        help="keep the counts in this file (results.py), and print the table of all in it")
    return parser.parse_args()


def try_all(trial, o):
    ways, complaints = trial.reference(o.depth)
    part, parts = map(int, o.part.split("/"))
    # stb_image is compiled with us, but not ours.
    ways = [w for w in ways if not trial.program.name(w[2][0]).startswith("stbi_")]
    chosen = [w for w in ways if w[0] not in o.without and w[0] in (trial.scenario.only or [w[0]])]
    chosen = sorted(chosen)[::o.every][part::parts]
    if o.call:
        name, _, number = o.call.partition(":")
        chosen = [w for w in ways if w[0] == name and (not number or w[1] == int(number))] or [(name, int(number), [])]
    counts = collections.defaultdict(collections.Counter)
    for c in complaints:
        print(f"{trial.name}, no fault: {c}", flush=True)
        counts["none"]["wrong"] += 1
    for name, number, way in chosen:
        result = trial.inject(name, number)
        if result is None:
            counts[name]["missed"] += 1
            continue
        end, wrong = result
        counts[name]["injected"] += 1
        counts[name]["wrong" if wrong else end] += 1
        for w in wrong:
            print(f"{trial.name}, {name}:{number}: {w}\n    by {trial.program.way(way)}", flush=True)
    if chosen and not any(c["injected"] for c in counts.values()):
        print(f"{trial.name}: no fault was met again", flush=True)
        counts["none"]["wrong"] += 1
    return counts


def main():
    o = options()
    devices = subprocess.run([str(o.build / "cltrain"), "devices"], capture_output=True, text=True, check=False)
    if devices.returncode != 0:
        print(f"skipped: {devices.stderr}")
        return bool(os.environ.get("CI"))
    work = pathlib.Path(tempfile.mkdtemp(prefix="clnet-faults-"))
    results, total = Results(o.results), collections.Counter()
    for name in o.scenario or [s for s in SCENARIOS if s not in o.leave_out]:
        counts = try_all(Trial(o.build, name, work), o)
        results.add(name, o, counts)
        sums = sum(counts.values(), collections.Counter())
        total.update(sums)
        print(f"{name}: {sums['injected']} injected, {sums['told']} told, {sums['survived']} survived, "
              f"{sums['wrong']} wrong, {sums['missed']} not met again", flush=True)
    print(results.table())
    if o.results:
        wrapped = {name[len("__wrap_"):] for name in Program(o.build / "faults_clbench").names if "__wrap_" in name}
        print("not injected:", *sorted(name for name in wrapped - results.calls() if not CANNOT_FAIL.match(name)))
    if o.keep:
        print(work)
    else:
        shutil.rmtree(work)
    print(f"Checks: {total['injected']}, Failures: {total['wrong']}, Errors: 0")
    return total["wrong"] > 0


if __name__ == "__main__":
    sys.exit(main())
