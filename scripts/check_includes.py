#!/usr/bin/env python3
"""Checks the include rule: a file includes only lower layers, its own module, or base.

Prints each line that breaks it, with the reason; exit status 1 if there is one.
"""

import os
import re
import sys

LAYERS = {
    "src/base": 0,
    "src/graph": 1,
    "src/ocl": 1,
    "src/plan": 2,
    "src/onnx": 2,
    "src/ops": 3,
    "src/runtime": 4,
    "src/train": 5,
    "src/data": 5,
    "src/io": 5,
    "src/tune": 5,
    "src/plot": 5,
    "models": 6,
    "src/cli": 7,
    "bench": 7,
}

# The lowest layer that may see a public header. safetensors.h and weights_file.h describe files and rest on base alone,
# so the runtime may save and load weights with them; plan.h holds options that src/plan reads.
PUBLIC = {
    "base.h": 0,
    "safetensors.h": 1,
    "trace.h": 1,
    "weights_file.h": 1,
    "graph.h": 1,
    "device.h": 1,
    "tensorboard.h": 1,
    "plan.h": 2,
    "tune.h": 5,
    "data.h": 5,
    "image.h": 5,
    "export.h": 5,
    "train.h": 5,
    "evaluate.h": 5,
    "plot.h": 5,
    "models.h": 6,
}

# Only these may see OpenCL, and libraries whose headers name it.
OPENCL_USERS = ("src/ocl/", "src/runtime/", "bench/peak.c")
OPENCL = re.compile(r"^(CL/|OpenCL/|clblast)")
OCL_USERS = ("src/ocl", "src/runtime")

# Helpers that a module of the same layer may share, and two that the programs may: they are all in the header.
SHARED = {
    "src/base/json_add.h": ("src/cli", "bench"),
    "src/base/json_parse.h": ("src/cli", "bench"),
    "src/io/file.h": ("src/data", "src/train", "src/plot"),
    "src/io/weights_table.h": ("src/train",),
    "src/data/image.h": ("src/train",),
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(<[^>]+>|"[^"]+")')


def module_of(path):
    return next((m for m in LAYERS if path.startswith(m + "/")), None)


def why_not(path, name, quoted):
    """The reason why `path` may not include `name`, or None."""
    module = module_of(path)
    public_file = path.startswith("include/clnet/")
    if OPENCL.match(name):
        return None if path.startswith(OPENCL_USERS) else "only src/ocl and src/runtime may include OpenCL headers"
    if not quoted and not name.startswith("clnet/"):
        return None
    if name.startswith("clnet/"):
        layer = PUBLIC.get(name[len("clnet/"):])
        if layer is None:
            return "unknown public header: give its layer in scripts/check_includes.py"
        own = PUBLIC.get(os.path.basename(path)) if public_file else LAYERS.get(module, 7)
        if own is not None and layer > own:
            return f"a header of layer {layer} included from layer {own}"
        return None

    target = os.path.normpath(os.path.join(os.path.dirname(path), name))
    if not os.path.exists(target):
        return "written neither relative to the file nor as clnet/..."
    if public_file or path.startswith("examples/"):
        return "only public headers, as clnet/..., may be included here"
    other = module_of(target)
    if module == other or other == "src/base" and module != "models" and LAYERS[module] < 7:
        return None
    if other is None:
        return f"{target} belongs to no layer"
    if module in SHARED.get(target, ()) or module == "bench" and other == "src/cli":
        return None
    if module == "models" or LAYERS[module] == 7:
        return "only public headers and its own may be included here"
    if other == "src/ocl" and module not in OCL_USERS:
        return "src/runtime is the only user of src/ocl"
    if LAYERS[other] >= LAYERS[module]:
        return f"{other} (layer {LAYERS[other]}) is not below {module} (layer {LAYERS[module]})"
    return None


def sources():
    for top in ("src", "models", "bench", "include", "examples"):
        for folder, folders, files in os.walk(top):
            folders[:] = sorted(f for f in folders if f != "third_party")
            for file in sorted(files):
                if file.endswith((".c", ".h")):
                    yield os.path.join(folder, file).replace(os.sep, "/")


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    broken = 0
    for path in sources():
        if path.startswith("src/") and module_of(path) is None:
            print(f"{path}: its folder has no layer in scripts/check_includes.py")
            broken += 1
            continue
        with open(path, encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                reason = why_not(path, match[1][1:-1], match[1][0] == '"')
                if reason:
                    print(f"{path}:{number}: {line.strip()}: {reason}")
                    broken += 1
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
