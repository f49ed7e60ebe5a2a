#!/usr/bin/env python3
"""What scripts/portability.sh runs once the drivers are there, and the table of docs/portability.md.

Each implementation of OpenCL is seen alone (OCL_ICD_VENDORS) and gets the same parts: operators, suites, networks,
training. A part is a list of jobs, a program each; what comes out of a job is added to results/<implementation>.json in
build/portability at once, so that a run that is cut off keeps what is done."""

import array
import glob
import json
import math
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import time

FOLDER = "build/portability"
PROGRAMS = os.environ.get("CLNET_BIN_DIR", "build")
PAGE = "docs/portability.md"
BEGIN, END = "<!-- the table: scripts/portability.sh --write -->\n", "<!-- its end -->\n"
GOLDEN = os.path.join(os.environ.get("CLNET_SHARED", "../shared"), "golden")
VARIANTS = "pointwise winograd staged implicit direct gemm im2col reference".split()
SUITES = "batchnorm concat conv2d elementwise linear loss network optimizer pool runtime".split()
SECONDS = 600  # of one program


class Implementation:
    def __init__(self, title, driver, slow=False, variants=tuple(VARIANTS), suites=(), **environment):
        self.title, self.driver, self.slow, self.variants, self.suites = title, driver, slow, variants, suites
        self.environment = environment


IMPLEMENTATIONS = {
    "pocl": Implementation("pocl", "pocl", suites=SUITES),
    "pocl-basic": Implementation("pocl, device without threads", "pocl", True, POCL_DEVICES="basic"),
    "pocl-one-thread": Implementation("pocl, one thread", "pocl", True, POCL_MAX_PTHREAD_COUNT="1"),
    "pocl-loops": Implementation("pocl, work-groups as loops", "pocl", True, POCL_WORK_GROUP_METHOD="loops"),
    "pocl-repl": Implementation(
        "pocl, work-groups unrolled", "pocl", True, ["implicit", "gemm"], POCL_WORK_GROUP_METHOD="workitemrepl"
    ),
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
        suites=["concat", "elementwise", "optimizer", "pool"],
        OCLGRIND_DATA_RACES="1",
        OCLGRIND_CHECK_API="1",
    ),
    "intel": Implementation("Intel's runtime for CPUs", "intel", suites=SUITES),
}


# --- running programs ---


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
        OCLGRIND_LOG=os.path.abspath(f"{FOLDER}/oclgrind.log"),
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
        error = f", {self.error:.1e} of {self.tolerance:.0e}" if self.tolerance else ""
        return f"{self.cases} cases{failed}{error}, {self.seconds:.0f} s"


def start(command, name):
    pipes = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace"}
    return subprocess.run(command, env=environment(name), timeout=SECONDS, check=False, **pipes)


def run(out, name, *command):
    """What the program prints. To end otherwise than with 0 or 1, and a remark of Oclgrind's, is a failure."""
    log, begin = f"{FOLDER}/oclgrind.log", time.monotonic()
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


# --- training ---

# Networks with a smooth activation, as a unit within rounding of a kink turns its gradient over. GoogleNet has kinks
# still, those of max pooling. What rounding makes of a training is therefore measured: the same device and kernels,
# from initial weights each moved by one rounding. Two devices may differ by ten times as much. A distance between
# weights is told as a share of the distance that training moved them.
MARGIN = 10
SMALL = {
    "ResNet": {"num_blocks": [1, 1], "c_hidden": [8, 20]},
    "ResNetPreAct": {"num_blocks": [1, 1], "c_hidden": [8, 20]},
    "DenseNet": {"num_layers": [1, 1], "growth_rate": 5},
    "GoogleNet": {},
}
CLASSES = 4


def training(i, quick):
    for model in ["ResNet"] if quick else SMALL:
        yield model, compare_training, [model, i.slow or quick]


def write_images(folder, side, count):
    """A class is a grey level, under noise."""
    noise = random.Random(1)
    for part, images in (("train", count), ("test", CLASSES)):
        for i in range(images):
            target = f"{folder}/{part}/{i % CLASSES}"
            os.makedirs(target, exist_ok=True)
            with open(f"{target}/{i:03}.ppm", "wb") as file:
                file.write(b"P6 %d %d 255\n" % (side, side))
                file.write(bytes(40 * (i % CLASSES) + noise.randrange(120) for _ in range(3 * side * side)))


def fit(out, name, model, small, *more):
    """Trains for two steps, or ten; the path of the weights."""
    side, count, batch = (8, 8, 4) if small else (32, 160, 16)
    images, folder = f"{FOLDER}/images-{side}-{count}", f"{FOLDER}/training-{name}"
    if not os.path.isdir(images):
        write_images(images, side, count)
    shutil.rmtree(folder, ignore_errors=True)
    network = ["--model", model, "--hparams", json.dumps({"act_fn_name": "gelu"} | (SMALL[model] if small else {}))]
    data = f"--data {images} --image-size {side} --batch-size {batch} --val-split 0 --no-augment --limit-test-batches 0"
    recipe = "--epochs 1 --optimizer sgd --momentum 0.9 --lr 0.02 --lr-scheduler constant --num-sanity-val-steps 0"
    rest = f"--no-tuning --no-tensorboard --quiet --out {folder}"
    run(out, name, f"{PROGRAMS}/cltrain", "fit", *network, *f"{data} {recipe} {rest}".split(), *more)
    return f"{folder}/last.safetensors"


def read_weights(path):
    """The file up to its data, all parameters with their place in it."""
    with open(path, "rb") as file:
        data = bytearray(file.read())
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    names = [name for name in sorted(header) if "running_" not in name and header[name]["dtype"] == "F32"]
    places = [header[name]["data_offsets"] for name in names]
    return data, [slice(8 + size + first, 8 + size + last) for first, last in places]


def parameters(path):
    data, places = read_weights(path)
    return array.array("f", b"".join(data[place] for place in places))


def write_moved(source, target):
    """Each parameter one rounding up or down."""
    data, places = read_weights(source)
    signs = random.Random(2)
    for place in places:
        values = array.array("f", bytes(data[place]))
        data[place] = array.array("f", (v * (1 + signs.choice((-1, 1)) * 2**-23) for v in values)).tobytes()
    with open(target, "wb") as file:
        file.write(data)


def distance(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)))


def compare_training(out, name, model, small):
    """With what pocl comes to; pocl itself, with what its reference kernels come to."""
    out.cases += 1
    aside, begin = Outcome(), f"{FOLDER}/moved-{name}.safetensors"
    try:
        ours = parameters(fit(out, name, model, small, *(["--variant", "reference"] if name == "pocl" else [])))
        truth = parameters(fit(aside, "pocl", model, small))
        first = fit(aside, "pocl", model, small, "--lr", "1e-30", "--max-steps", "1")  # too little to change a weight
        moved = distance(parameters(first), truth)
        write_moved(first, begin)
        rounding = distance(parameters(fit(aside, "pocl", model, small, "--init-weights", begin)), truth)
        out.compare(f"training {model}", distance(ours, truth) / moved, MARGIN * rounding / moved)
    except FileNotFoundError as error:
        out.failures += [f"training {model}: there are no weights: {error}", *aside.failures]


# --- results ---

PARTS = {"operators": operators, "suites": suites, "networks": networks, "training": training}


def describe(name):
    """The driver in words; None, with the reason told, if it is not there."""
    done = start([f"{PROGRAMS}/cltrain", "devices", "--json"], name)
    try:
        device = json.loads(done.stdout)[0]
        return {"device": device["name"], "driver": device["driver_version"]}
    except (ValueError, KeyError, IndexError):
        print(f"{name}: skipped: {(done.stderr.strip() or 'no device')[:200]}", flush=True)
        return None


def read_results(path):
    if not os.path.exists(path):
        return {"parts": {}}
    with open(path, encoding="utf-8") as file:
        return json.load(file)


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
            with open(path, "w", encoding="utf-8") as file:
                json.dump(results, file, indent=1)
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
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    head, rest = text.split(BEGIN)
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(head + BEGIN + table(folder) + END + rest.split(END)[1])


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
