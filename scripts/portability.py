#!/usr/bin/env python3
"""What scripts/portability.sh runs once the drivers are there, and the table of docs/portability.md.

Each implementation of OpenCL is seen alone (OCL_ICD_VENDORS) and gets the same parts: operators (clbench verify --self,
by the rules and with each kernel variant asked for), suites (tests of operators, which also use a CPU as a GPU is used),
networks (clbench verify on reference files, where they are there) and training (every network, against pocl)."""

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
PARTS = ["operators", "suites", "networks", "training"]
VARIANTS = ["pointwise", "winograd", "staged", "implicit", "direct", "gemm", "im2col", "reference"]
SUITES = "batchnorm concat conv2d elementwise linear loss network optimizer pool runtime".split()
SECONDS = 280  # of one program


class Implementation:
    def __init__(self, title, vendor, slow=False, suites=tuple(SUITES), without=(), **environment):
        self.title, self.vendor, self.slow, self.suites, self.without = title, vendor, slow, suites, without
        self.environment = environment


def pocl(title, **environment):
    """Another mode of pocl: what does not depend on the mode is left out."""
    return Implementation(f"pocl, {title}", "pocl", slow=True, suites=[], without=VARIANTS, **environment)


# llvmpipe compiles long kernels slowly (src/ocl/drivers.c): what asks for the variant "direct" is left out there.
IMPLEMENTATIONS = {
    "pocl": Implementation("pocl", "pocl"),
    "pocl-basic": pocl("device without threads", POCL_DEVICES="basic"),
    "pocl-one-thread": pocl("one thread", POCL_MAX_PTHREAD_COUNT="1"),
    "pocl-replicate": pocl("work-groups by `workitemrepl`", POCL_WORK_GROUP_METHOD="workitemrepl"),
    "rusticl": Implementation(
        "Rusticl on llvmpipe",
        "rusticl",
        slow=True,
        suites=[s for s in SUITES if s not in ("conv2d", "network")],
        without=["direct"],
        RUSTICL_ENABLE="llvmpipe",
    ),
    "oclgrind": Implementation(  # the rules choose the first three there; the others were not done in 285 s
        "Oclgrind",
        "oclgrind",
        slow=True,
        suites=[],
        without=["pointwise", "winograd", "staged", "im2col", "reference"],
        OCLGRIND_DATA_RACES="1",
        OCLGRIND_CHECK_API="1",
    ),
    "intel": Implementation("Intel's runtime for CPUs", "intel"),
}


# --- running programs ---


def libraries(vendor):
    """Folders of what was fetched with a driver."""
    found = glob.glob(f"{FOLDER}/{vendor}/**/*.so*", recursive=True)
    return sorted({os.path.abspath(os.path.dirname(path)) for path in found if "gallium-pipe" not in path})


def environment(name):
    i = IMPLEMENTATIONS[name]
    cache = os.path.abspath(f"{FOLDER}/cache/{name}")
    os.makedirs(cache, exist_ok=True)
    return dict(
        os.environ,
        OCL_ICD_VENDORS=os.path.abspath(f"{FOLDER}/vendors/{i.vendor}"),
        LD_LIBRARY_PATH=":".join(libraries(i.vendor)),
        XDG_CACHE_HOME=cache,
        POCL_CACHE_DIR=cache,
        CLNET_BIN_DIR=PROGRAMS,
        OCLGRIND_LOG=os.path.abspath(f"{FOLDER}/oclgrind.log"),
        **i.environment,
    )


class Part:
    """What came out of one part of an implementation: cases, failures in words, the error nearest its tolerance."""

    def __init__(self):
        self.cases, self.failures, self.error, self.tolerance, self.seconds = 0, [], 0.0, 0.0, 0.0

    def compare(self, what, error, tolerance):
        if not error <= tolerance:
            self.failures.append(f"{what}: {error:.2g} not within {tolerance:g}")
        if self.tolerance == 0 or not error * self.tolerance <= self.error * tolerance:
            self.error, self.tolerance = error, tolerance

    def run(self, name, command):
        """What the program prints. A program that ends otherwise than with 0 or 1, or on which Oclgrind has remarks, is a failure."""
        begin, log = time.monotonic(), f"{FOLDER}/oclgrind.log"
        if os.path.exists(log):
            os.remove(log)
        try:
            done = subprocess.run(command, env=environment(name), stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False)
            output, status, errors = done.stdout.decode(errors="replace"), done.returncode, done.stderr.decode(errors="replace")
        except subprocess.TimeoutExpired:
            output, status, errors = "", -1, f"not done after {SECONDS} s"
        self.seconds += time.monotonic() - begin
        what = " ".join(command)
        if status not in (0, 1):
            self.failures.append(f"{what}: ends with status {status}: {errors.strip()[-300:]}")
        for remark in remarks(log):
            self.failures.append(f"{what}: Oclgrind: {remark}")
        return output


def remarks(log):
    """Kinds of Oclgrind's messages, with the kernel and how often."""
    text, kinds = "", {}
    if os.path.exists(log):
        with open(log, encoding="utf-8", errors="replace") as file:
            text = file.read()
    for block in re.split(r"\n\s*\n", text):
        head = block.strip().splitlines()
        if head:
            kernel = re.search(r"Kernel: (\w+)", block)
            key = re.sub(r"0x[0-9a-f]+|\d+", "N", head[0]) + (f" in {kernel.group(1)}" if kernel else "")
            kinds[key] = kinds.get(key, 0) + 1
    return [f"{key} ({count} times)" for key, count in kinds.items()]


# --- the parts ---


def add_verify(part, name, arguments):
    output = part.run(name, [f"{PROGRAMS}/clbench", "verify", "--json", *arguments])
    try:
        files = json.loads(output)["files"]
    except ValueError:
        part.failures.append(f"clbench verify {' '.join(arguments)}: prints no result")
        return
    for file in files:
        part.cases += 1
        if not file["passed"] and file.get("reason"):
            part.failures.append(f"{file['file']} {' '.join(arguments[1:3])}: {file['reason'][:200]}")
        for tensor in file["tensors"]:
            error = float("nan") if tensor["error"] is None else tensor["error"]
            part.compare(f"{file['file']} {tensor['name']} {' '.join(arguments[1:3])}", error, tensor["tolerance"])


def operators(name, quick):
    part = Part()
    add_verify(part, name, ["--self"])
    for variant in VARIANTS:
        if not quick and variant not in IMPLEMENTATIONS[name].without:
            add_verify(part, name, ["--self", "--variant", variant])
    return part


def suites(name, quick):
    part = Part()
    for suite in [] if quick else IMPLEMENTATIONS[name].suites:
        output = part.run(name, [f"{PROGRAMS}/test_{suite}"])
        found = re.search(r"Checks: (\d+), Failures: (\d+), Errors: (\d+)", output)
        part.cases += int(found.group(1)) if found else 1
        for line in re.findall(r"^\S+\.c:\d+:[FE]:.*$", output, re.M):
            part.failures.append(f"test_{suite}: {line[:300]}")
        if not found:
            part.failures.append(f"test_{suite}: does not get to its end")
    return part if part.cases else None


def networks(name, quick):
    part = Part()
    small = quick or IMPLEMENTATIONS[name].slow
    files = sorted(glob.glob(f"{GOLDEN}/*.safetensors"))
    files = [f for f in files if not (small and "model-" in f and "tiny" not in f)]
    if files:
        add_verify(part, name, files)
    return part if part.cases else None


# --- training ---

# Networks with a smooth activation: where a unit within rounding of a kink would turn its gradient over, two devices
# would go apart for no fault of theirs. The weights of two runs are compared by the distance between them, as a share of
# the distance that training moved them. The tolerance: a hundred times what Rusticl differs by, 3e-5.
TOLERANCE = 3e-3
SMOOTH = {"act_fn_name": "gelu"}
TINY = {
    "ResNet": {"num_blocks": [1, 1], "c_hidden": [8, 20]},
    "ResNetPreAct": {"num_blocks": [1, 1], "c_hidden": [8, 20]},
    "DenseNet": {"num_layers": [1, 1], "growth_rate": 5},
    "GoogleNet": {},
}
CLASSES = 4


def write_images(side, count):
    """A class is a grey level, under noise."""
    folder, noise = f"{FOLDER}/images-{side}", random.Random(1)
    for part, images in (("train", count), ("test", CLASSES)):
        for i in range(images):
            target = f"{folder}/{part}/{i % CLASSES}"
            os.makedirs(target, exist_ok=True)
            level = 40 * (i % CLASSES)
            with open(f"{target}/{i:03}.ppm", "wb") as file:
                file.write(b"P6 %d %d 255\n" % (side, side))
                file.write(bytes(level + noise.randrange(120) for _ in range(3 * side * side)))
    return folder


def fit(part, name, model, slow, *more):
    """The weights after a few steps; None if there are none."""
    side, count, batch = (8, 16, 8) if slow else (32, 160, 16)
    images, out = f"{FOLDER}/images-{side}", f"{FOLDER}/training"
    if not os.path.isdir(images):
        write_images(side, count)
    shutil.rmtree(out, ignore_errors=True)
    hparams = json.dumps(SMOOTH | (TINY[model] if slow else {}))
    options = f"--val-split 0 --epochs 1 --batch-size {batch} --image-size {side} --no-augment --optimizer sgd --momentum 0.9 --lr 0.02"
    quiet = f"--lr-scheduler constant --no-tuning --no-tensorboard --num-sanity-val-steps 0 --limit-test-batches 0 --quiet --out {out}"
    part.run(name, [f"{PROGRAMS}/cltrain", "fit", "--model", model, "--hparams", hparams, "--data", images, *options.split(), *quiet.split(), *more])
    path = f"{out}/last.safetensors"
    return read_weights(path) if os.path.exists(path) else None


def read_weights(path):
    """All parameters, one after the other."""
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header, values = json.loads(file.read(size)), array.array("f")
        data = file.read()
    for key in sorted(header):
        if key != "__metadata__" and "running_" not in key and header[key]["dtype"] == "F32":
            first, last = header[key]["data_offsets"]
            values.frombytes(data[first:last])
    return values


def distance(a, b):
    return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b)))


trained = {}  # by pocl: (network, slow) -> first weights, last weights


def by_pocl(model, slow):
    if (model, slow) not in trained:
        begin = fit(Part(), "pocl", model, slow, "--lr", "1e-30", "--max-steps", "1")  # too little to change a weight
        trained[model, slow] = begin, fit(Part(), "pocl", model, slow)
    return trained[model, slow]


def training(name, quick):
    part, slow = Part(), IMPLEMENTATIONS[name].slow
    cases = [(model, ()) for model in TINY if not (quick and model == "GoogleNet")]
    if name == "pocl":
        cases = [(model, ("--variant", "reference")) for model, _ in cases]
    for model, more in cases:
        begin, truth = by_pocl(model, slow)
        weights = fit(part, name, model, slow, *more)
        part.cases += 1
        if begin is None or truth is None or weights is None:
            part.failures.append(f"training {model}: there are no weights")
        else:
            part.compare(f"training {model}", distance(weights, truth) / distance(begin, truth), TOLERANCE)
    return part


# --- the table ---


def describe(name):
    """The driver in words; None, with the reason told, if it is not there."""
    done = subprocess.run([f"{PROGRAMS}/cltrain", "devices", "--json"], env=environment(name), capture_output=True, text=True, check=False)
    try:
        device = json.loads(done.stdout)[0]
        return {"device": device["name"], "driver": device["driver_version"]}
    except (ValueError, KeyError, IndexError):
        print(f"{name}: skipped: {(done.stderr.strip() or 'no device')[:200]}", flush=True)
        return None


def measure(name, parts, quick, path):
    """Adds the parts to the results in `path`, each when it is done; the number of failures."""
    about, failures = describe(name), 0
    if not about:
        return 0
    result = {"parts": {}, **(read(path) if os.path.exists(path) else {}), **about}
    for title in parts:
        part = globals()[title](name, quick)
        if not part:
            continue
        result["parts"][title] = vars(part)
        failures += len(part.failures)
        print(f"{name}, {title}: {cell(vars(part))}", *part.failures, sep="\n  ", flush=True)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
    return failures


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def cell(part):
    if not part:
        return "-"
    verdict = f"{part['cases']} cases" if not part["failures"] else f"{part['cases']} cases, **{len(part['failures'])} failures**"
    error = f", {part['error']:.1e} of {part['tolerance']:.0e}" if part["tolerance"] else ""
    return f"{verdict}{error}, {part['seconds']:.0f} s"


def table(results):
    lines = ["| implementation | device, driver | " + " | ".join(PARTS) + " |", "|---" * (2 + len(PARTS)) + "|"]
    for name, i in IMPLEMENTATIONS.items():
        path = f"{results}/{name}.json"
        if os.path.exists(path):
            r = read(path)
            cells = [cell(r["parts"].get(part)) for part in PARTS]
            lines.append(f"| {i.title} | {r['device']}, {r['driver']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def write_table(results):
    with open(PAGE, encoding="utf-8") as file:
        text = file.read()
    head, rest = text.split(BEGIN)
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(head + BEGIN + table(results) + END + rest.split(END)[1])


def main():
    quick, write = "--quick" in sys.argv, "--write" in sys.argv
    words = [a for a in sys.argv[1:] if not a.startswith("--")]
    parts = [p for p in PARTS if p in words] or PARTS
    names = [w for w in words if w not in PARTS] or list(IMPLEMENTATIONS)
    unknown = set(names) - set(IMPLEMENTATIONS)
    if unknown:
        sys.exit(f"error: no such implementation: {' '.join(sorted(unknown))}; there are {' '.join(IMPLEMENTATIONS)}")
    results = f"{FOLDER}/results-quick" if quick else f"{FOLDER}/results"
    os.makedirs(results, exist_ok=True)
    failures = sum(measure(name, parts, quick, f"{results}/{name}.json") for name in names)
    print(table(results))
    if write:
        write_table(results)
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
