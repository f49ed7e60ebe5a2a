#!/usr/bin/env python3
"""Runs docs/tutorial.md as it is written, in a temporary folder, on made-up images:

- a `sh` block is run by bash, with `--epochs N` cut to 2; the images that its download would fetch are there already;
- a `c` block that begins with a comment "NAME.c: ..." is a program, written to that file, for a later block to compile;
- every other `c` block is an excerpt of the source file that the last link before it leads to;
- each line of a `text` block is in the output of the `sh` block before it.

usage: tests/tutorial.py BUILD-FOLDER"""

import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
PAGE = "docs/tutorial.md"
IMAGES = 280  # 252 to train on: one batch of 128 an epoch, since the last partial one is left out
FLAGS = "-std=c11 -Wall -Wextra -Werror"

sys.path.insert(0, os.path.join(ROOT, "bench", "peers"))
sys.dont_write_bytecode = True
import images  # noqa: E402


class Wrong(Exception):
    pass


def blocks(text):
    """(line, language, content) of each fenced block."""
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S):
        yield text.count("\n", 0, match.start()) + 1, match.group(1), match.group(2)


def prepare(folder, build):
    """What a user has at hand: the tree, the build, CIFAR-10, clnet for pkg-config."""
    for name, target in [("build", build), ("scripts", os.path.join(ROOT, "scripts"))]:
        os.symlink(target, os.path.join(folder, name))
    images.make(os.path.join(folder, "data", "cifar-10-batches-bin"), IMAGES)
    with open(os.path.join(folder, "data", "cifar-10-batches-bin", "batches.meta.txt"), "w", encoding="utf-8") as file:
        file.write("airplane automobile bird cat deer dog frog horse ship truck".replace(" ", "\n") + "\n")
    with open(os.path.join(folder, "clnet.pc"), "w", encoding="utf-8") as file:
        file.write(
            f"Name: clnet\nDescription: the build\nVersion: 0\nCflags: {FLAGS} -I{ROOT}/include\n"
            f"Libs: -L{build} -Wl,-rpath,{build} -lclnet\n"
        )


def run(content, folder):
    environment = dict(os.environ, PKG_CONFIG_PATH=folder)
    script = "set -euo pipefail\n" + re.sub(r"--epochs \d+", "--epochs 2", content)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Wrong(f"ends with status {done.returncode}:\n{content}\n{done.stdout}")
    return done.stdout


def check_listing(content, before, folder):
    name = re.match(r"/\* (\w+\.c): ", content)
    if name:
        with open(os.path.join(folder, name.group(1)), "w", encoding="utf-8") as file:
            file.write(content)
        return
    links = re.findall(r"\]\(\.\./([\w/]+\.[ch])\)", before)
    if not links:
        raise Wrong("is neither a program nor behind a link to its source")
    with open(os.path.join(ROOT, links[-1]), encoding="utf-8") as file:
        if "\n" + content not in file.read():
            raise Wrong(f"is not in {links[-1]}")


def check_text(content, output):
    for line in content.splitlines():
        if line.rstrip() not in [shown.rstrip() for shown in output.splitlines()]:
            raise Wrong(f"shows a line that the commands before it do not print: {line}")


def walk(folder):
    with open(os.path.join(ROOT, PAGE), encoding="utf-8") as file:
        text = file.read()
    lines, output, count = text.splitlines(), "", 0
    for line, language, content in blocks(text):
        try:
            if language == "sh":
                output = run(content, folder)
            elif language == "c":
                check_listing(content, "\n".join(lines[: line - 1]), folder)
            elif language == "text":
                check_text(content, output)
            else:
                raise Wrong(f"is in a language that this test does not know: {language}")
        except Wrong as wrong:
            raise Wrong(f"{PAGE}:{line}: the block {wrong}") from None
        count += 1
    return count


def main():
    build = os.path.abspath(sys.argv[1])
    devices = subprocess.run([f"{build}/cltrain", "devices"], capture_output=True, text=True, check=False)
    if devices.returncode == 5 and os.environ.get("CI") != "true":
        print("skipped: there is no OpenCL device")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        prepare(folder, build)
        try:
            print(f"{walk(folder)} blocks")
        except Wrong as wrong:
            print(wrong)
            print("Checks: 1, Failures: 1, Errors: 0")
            return 1
    print("Checks: 1, Failures: 0, Errors: 0")
    return 0


sys.exit(main())
