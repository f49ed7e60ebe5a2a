#!/usr/bin/env python3
"""What scripts/portability.sh runs once the drivers are there, and the table of docs/portability.md.

Each implementation of OpenCL is seen alone (OCL_ICD_VENDORS) and gets the same parts: operators, suites, networks,
training. A part is a list of jobs, a program each; what comes out of a job is added to results/<implementation>.json in
build/portability at once, so that a run that is cut off keeps what is done."""

import glob
import json
import math
import os
import re
import subprocess
import sys
import time

import portability_training as training

FOLDER = "build/portability"
PROGRAMS = os.environ.get("CLNET_BIN_DIR", "build")
SUB_DEVICE = os.path.abspath(f"{PROGRAMS}/libsub_device.so")  # tests/preload/sub_device.c
PAGE = "docs/portability.md"
BEGIN, END = "<!-- the table: scripts/portability.sh --write -->\n", "<!-- its end -->\n"
GOLDEN = os.path.join(os.environ.get("CLNET_SHARED", "../shared"), "golden")
VARIANTS = "pointwise winograd staged implicit direct gemm im2col reference".split()
SUITES = "batchnorm concat conv2d elementwise linear loss muon network optimizer pool runtime".split()
SECONDS = 600  # of one program


class Implementation:
    def __init__(self, title, driver, slow=False, variants=tuple(VARIANTS), suites=(), units=None, **environment):
        self.title, self.driver, self.slow, self.variants, self.suites = title, driver, slow, variants, suites
        self.units, self.environment = units, environment  # compute units that its device must have


IMPLEMENTATIONS = {
    "pocl": Implementation("pocl", "pocl", suites=SUITES),
    "pocl-basic": Implementation("pocl, device without threads", "pocl", True, POCL_DEVICES="basic"),
    "pocl-one-thread": Implementation("pocl, one thread", "pocl", True, POCL_MAX_PTHREAD_COUNT="1"),
    "pocl-loops": Implementation("pocl, work-groups as loops", "pocl", True, POCL_WORK_GROUP_METHOD="loops"),
    # Work-groups of many items, as those of CLBlast's products, take this mode many minutes to compile: see the page.
    "pocl-repl": Implementation(
        "pocl, work-groups unrolled",
        "pocl",
        True,
        [v for v in VARIANTS if v not in ("implicit", "gemm", "im2col")],
        POCL_WORK_GROUP_METHOD="workitemrepl",
    ),
    "pocl-sub-device": Implementation("pocl, a sub-device of one core", "pocl", True, units=1, LD_PRELOAD=SUB_DEVICE),
    # llvmpipe compiles long kernels slowly (src/ocl/drivers.c): what asks for the variant "direct" is left out.
    "rusticl": Implementation(
        "Rusticl on llvmpipe",
        "rusticl",
        True,
        [v for v in VARIANTS if v != "direct"],
        [s for s in SUITES if s not in ("conv2d", "network")],
        RUSTICL_ENABLE="llvmpipe",
    ),
    "oclgrind": Implementation(
        "Oclgrind",
        "oclgrind",
        True,
        suites=["concat", "elementwise", "muon", "optimizer", "pool"],
        OCLGRIND_DATA_RACES="1",
        OCLGRIND_CHECK_API="1",
    ),
    "intel": Implementation("Intel's runtime for CPUs", "intel", suites=SUITES),
}


# --- running programs ---


def log_of(name):
    return f"{FOLDER}/log-{name}"


def environment(name):
    i = IMPLEMENTATIONS[name]
    fetched = glob.glob(f"{FOLDER}/{i.driver}/**/*.so*", recursive=True)
    cache = os.path.abspath(f"{FOLDER}/cache/{name}")
    os.makedirs(cache, exist_ok=True)
    return dict(
        os.environ,
        OCL_ICD_VENDORS=os.path.abspath(f"{FOLDER}/vendors/{i.driver}"),
        LD_LIBRARY_PATH=":".join({os.path.abspath(os.path.dirname(f)) for f in fetched if "gallium-pipe" not in f}),
        XDG_CACHE_HOME=cache,
        POCL_CACHE_DIR=cache,
        CLNET_BIN_DIR=PROGRAMS,
        OCLGRIND_LOG=os.path.abspath(log_of(name)),
        **i.environment,
    )


class Outcome:
    """Of a job or a part: cases, failures in words, the error nearest its tolerance, seconds."""

    def __init__(self, cases=0, failures=(), error=0.0, tolerance=0.0, seconds=0.0):
        self.cases, self.failures, self.seconds = cases, list(failures), seconds
        self.error, self.tolerance = error, tolerance

    def compare(self, what, error, tolerance):
        if not error <= tolerance:
            self.failures.append(f"{what}: {error:.2g} not within {tolerance:.2g}")
        self.keep_worst(error, tolerance)

    def keep_worst(self, error, tolerance):
        if self.tolerance == 0 or not error * self.tolerance <= self.error * tolerance:
            self.error, self.tolerance = error, tolerance

    def add(self, other):
        self.cases += other.cases
        self.failures += other.failures
        self.seconds += other.seconds
        if other.tolerance:
            self.keep_worst(other.error, other.tolerance)

    def __str__(self):
        failed = f", **{len(self.failures)} failures**" if self.failures else ""
        error = f", {self.error:.1e} of {self.tolerance:.1e}" if self.tolerance else ""
        return f"{self.cases} cases{failed}{error}, {self.seconds:.0f} s"


def start(command, name):
    pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace"}
    return subprocess.run(command, env=environment(name), timeout=SECONDS, check=False, **pipes)


def run(out, name, *command):
    """What the program prints. To end otherwise than with 0 or 1, and a remark of Oclgrind's, is a failure."""
    log, begin = log_of(name), time.monotonic()
    if os.path.exists(log):
        os.remove(log)
    try:
        done = start(command, name)
        output, status, errors = done.stdout, done.returncode, done.stderr
    except subprocess.TimeoutExpired:
        output, status, errors = "", -1, f"not done after {SECONDS} s"
    out.seconds += time.monotonic() - begin
    if status not in (0, 1):
        out.failures.append(f"{' '.join(command)}: ends with status {status}: {errors.strip()[-300:]}")
    out.failures += [f"{' '.join(command)}: Oclgrind: {remark}" for remark in remarks(log)]
    return output


def remarks(log):
    """Kinds of Oclgrind's messages, with the kernel and how often."""
    kinds = {}
    text = open(log, encoding="utf-8", errors="replace").read() if os.path.exists(log) else ""
    for block in filter(str.strip, re.split(r"\n\s*\n", text)):
        kernel = re.search(r"Kernel: (\w+)", block)
        kind = re.sub(r"0x[0-9a-f]+|\d+", "N", block.strip().splitlines()[0])
        kind += f" in {kernel.group(1)}" if kernel else ""
        kinds[kind] = kinds.get(kind, 0) + 1
    return [f"{kind} ({count} times)" for kind, count in kinds.items()]


# --- the parts: each yields jobs, (title, function, arguments) ---


def verify(out, name, *arguments):
    output = run(out, name, f"{PROGRAMS}/clbench", "verify", "--json", *arguments)
    files = json.loads(output)["files"] if output else []
    for file in files:
        out.cases += 1
        if file.get("reason"):
            out.failures.append(f"{file['file']}: {file['reason'][:300]}")
        for tensor in file["tensors"]:
            error = math.nan if tensor["error"] is None else tensor["error"]
            out.compare(f"{file['file']} {tensor['name']}", error, tensor["tolerance"])
    if not files:
        out.failures.append("clbench verify prints no result")


def golden(*patterns):
    return sorted(path for pattern in patterns for path in glob.glob(f"{GOLDEN}/{pattern}.safetensors"))


def operators(i, quick):
    """With the kernels that the rules choose, and with each variant of those that have several."""
    yield "by the rules", verify, ["--self"]
    if not quick:
        for variant in i.variants:
            yield variant, verify, ["--self", "--only", "conv2d,linear", "--variant", variant]
        if golden("op-*") and not i.slow:
            yield "PyTorch's results", verify, golden("op-*", "optimizer-*", "augment-*")


def suites(i, quick):
    for suite in [] if quick else i.suites:
        yield suite, test_suite, [suite]


def test_suite(out, name, suite):
    output = run(out, name, f"{PROGRAMS}/test_{suite}")
    found = re.search(r"Checks: (\d+), Failures: (\d+), Errors: (\d+)", output)
    out.cases += int(found.group(1)) if found else 1
    out.failures += [line[:300] for line in re.findall(r"^\S+\.c:\d+:[FE]:.*$", output, re.M)]
    if not found:
        out.failures.append(f"test_{suite} does not get to its end")


def networks(i, quick):
    for variant in [] if quick else i.variants:
        yield variant, verify, ["--self", "--only", "network", "--variant", variant]
    for path in [] if quick else golden("model-*tiny*" if i.slow else "model-*"):
        yield os.path.basename(path), verify, [path]


def trainings(i, quick):
    for model in ["ResNet"] if quick else training.NETWORKS:
        yield model, compare_training, [model, i.slow or quick]


def compare_training(out, name, model, small):
    """With what pocl comes to; pocl itself, by its reference kernels, with what it comes to by the rules."""
    aside, more = Outcome(), ["--variant", "reference"] if name == "pocl" else []
    fit = [f"{PROGRAMS}/cltrain", "fit"]
    out.cases += 1
    try:
        error, tolerance = training.compare(
            lambda options: run(out, name, *fit, *options, *more),
            lambda options: run(aside, "pocl", *fit, *options),
            *(model, small, f"{FOLDER}/training-{name}"),
        )
        out.compare(f"training {model}", error, tolerance)
    except FileNotFoundError as error:
        out.failures += [f"training {model}: there are no weights: {error}", *aside.failures]


# --- results ---

PARTS = {"operators": operators, "suites": suites, "networks": networks, "training": trainings}


def describe(name):
    """The driver in words; None, with the reason told, if it is not there."""
    preload = IMPLEMENTATIONS[name].environment.get("LD_PRELOAD")
    if preload and not os.path.exists(preload):
        print(f"{name}: skipped: there is no {preload}: this build has no tests", flush=True)
        return None
    done = start([f"{PROGRAMS}/cltrain", "devices", "--json"], name)
    try:
        device, units = json.loads(done.stdout)[0], IMPLEMENTATIONS[name].units
        if units and units != device["compute_units"]:
            sys.exit(f"error: {name}: the device has {device['compute_units']} compute units, not {units}")
        return {"device": device["name"], "driver": device["driver_version"]}
    except (ValueError, KeyError, IndexError):
        if preload and "sub_device" in done.stderr:
            sys.exit(f"error: {name}: {done.stderr.strip()[:200]}")
        print(f"{name}: skipped: {(done.stderr.strip() or 'no device')[:200]}", flush=True)
        return None


def read_results(path):
    if not os.path.exists(path):
        return {"parts": {}}
    with open(path, encoding="utf-8") as file:
        try:
            return json.load(file)
        except ValueError as error:
            sys.exit(f"error: '{path}' is damaged: {error}; remove it and run its implementation again")


def write_results(path, results):
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
    os.replace(f"{path}.new", path)


def measure(name, parts, quick, resume, path):
    """Runs the jobs of some parts and adds them to the results in `path`; the number of failures."""
    about, results, failures = describe(name), read_results(path), 0
    if not about:
        return 0
    results.update(about)
    for part in parts:
        if not resume:
            results["parts"].pop(part, None)
        jobs = results["parts"].setdefault(part, {})
        for title, function, arguments in PARTS[part](IMPLEMENTATIONS[name], quick):
            if title in jobs:
                continue
            out = Outcome()
            function(out, name, *arguments)
            jobs[title] = vars(out)
            failures += len(out.failures)
            print(f"{name}, {part}, {title}: {out}", *out.failures, sep="\n  ", flush=True)
            write_results(path, results)
    return failures


def cell(name, part, jobs):
    total, expected = Outcome(), len(list(PARTS[part](IMPLEMENTATIONS[name], False)))
    for job in jobs.values():
        total.add(Outcome(**job))
    unfinished = f", {len(jobs)} of {expected} programs" if len(jobs) < expected else ""
    return f"{total}{unfinished}" if jobs else "-"


def table(folder):
    lines = ["| implementation | device, driver | " + " | ".join(PARTS) + " |", "|---" * (2 + len(PARTS)) + "|"]
    for name, i in IMPLEMENTATIONS.items():
        results = read_results(f"{folder}/{name}.json")
        if results["parts"]:
            cells = [cell(name, part, results["parts"].get(part, {})) for part in PARTS]
            lines.append(f"| {i.title} | {results['device']}, {results['driver']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write_table(folder):
    if not glob.glob(f"{folder}/*.json"):
        sys.exit(f"error: there is no result in '{folder}' to write: run scripts/portability.sh first")
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    head, rest = text.split(BEGIN)
    text = head + BEGIN + table(folder) + END + rest.split(END)[1]
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(text)


def main():
    options = {word for word in sys.argv[1:] if word.startswith("--")}
    words = [word for word in sys.argv[1:] if word not in options]
    folder = f"{FOLDER}/results-quick" if "--quick" in options else f"{FOLDER}/results"
    if "--write" in options:
        return write_table(folder)
    parts = [part for part in PARTS if part in words] or PARTS
    names = [word for word in words if word not in PARTS] or IMPLEMENTATIONS
    for name in names:
        if name not in IMPLEMENTATIONS:
            sys.exit(f"error: no such implementation: {name}; there are {' '.join(IMPLEMENTATIONS)}")
    os.makedirs(folder, exist_ok=True)
    how = "--quick" in options, "--resume" in options
    return sum(measure(name, parts, *how, f"{folder}/{name}.json") for name in names) > 0


if __name__ == "__main__":
    sys.exit(main())
