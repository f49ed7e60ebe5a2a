#!/usr/bin/env python3
"""Compares the options in the documentation with those that the programs' --help lists.

Each option of a command must be in the page of that command, and each option in a page must be one of our programs'
or scripts' options (or of a program that is called in a listing). Links to files and headings must lead somewhere.

usage: tests/docs_options.py BUILD-FOLDER"""

import os
import re
import subprocess
import sys

PAGES = {  # the pages that explain a program's command
    "cltrain fit": ["docs/training.md", "docs/data.md"],
    "cltrain models": ["docs/training.md"],
    "cltrain devices": ["docs/training.md"],
    "cltrain summary": ["docs/training.md"],
    "cltrain test": ["docs/weights.md"],
    "cltrain validate": ["docs/weights.md"],
    "cltrain predict": ["docs/weights.md"],
    "cltrain plot": ["docs/weights.md"],
    "cltrain export": ["docs/weights.md"],
    "clbench race": ["docs/measuring.md", "docs/training.md", "docs/data.md"],  # it takes options of cltrain fit
    **{f"clbench {c}": ["docs/measuring.md"] for c in ["verify", "peak", "train", "infer", "ops", "tune", "table", "compare", "report"]},
}
ALL = ["README.md", *sorted(f"docs/{name}" for name in os.listdir("docs") if name.endswith(".md"))]
# Other programs': cmake, pkg-config, tensorboard, git; and what a program takes without listing it as an option.
OTHERS = {"--install", "--prefix", "--cflags", "--libs", "--logdir", "--version", "--build", "--max-epochs", "--x", "--no-x"}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def commands(program):
    """The commands in a program's --help."""
    text = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  ([a-z]+) ", re.search(r"commands:\n((?:  .*\n)+)", text).group(1), re.M)


def options(program, command):
    """{name: whether it is a flag} of the options in a command's --help."""
    text = subprocess.run([program, command, "--help"], capture_output=True, text=True, check=True).stdout
    return {name: not value.strip() for name, value in re.findall(r"^  (--[a-z0-9-]+)(| \S+)(?=  |$)", text, re.M)}


def spellings(name, flag):
    return {name, f"--no-{name[2:]}"} if flag else {name}


def anchors(text):
    """Names of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


def ours(page):
    """A page's text; of the table of features, which has others' options too, our column."""
    if page != "docs/features.md":
        return read(page)
    rows = [re.split(r"(?<!\\)\|", line) for line in read(page).splitlines() if line.startswith("|")]
    return "\n".join(row[2] for row in rows)


def broken_links(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", read(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        path = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        if not os.path.exists(path):
            yield f"{page}: the link to {target} leads nowhere"
        elif anchor and anchor not in anchors(read(path)):
            yield f"{page}: there is no heading for the link to {target}"


def main():
    build, faults, known, checked = sys.argv[1], [], {"--help"} | OTHERS, 0
    for script in os.listdir("scripts"):
        known |= set(OPTION.findall(read(f"scripts/{script}")))
    for name in ["bench/peers/pytorch.py", "bench/peers/setup.sh"]:
        known |= set(OPTION.findall(read(name)))
    for program in ["cltrain", "clbench"]:
        for command in commands(f"{build}/{program}"):
            pages = PAGES.get(f"{program} {command}")
            if not pages:
                faults.append(f"no page is named in PAGES for {program} {command}")
                continue
            there = set(OPTION.findall("".join(map(read, pages))))
            for option, flag in options(f"{build}/{program}", command).items():
                known |= spellings(option, flag)
                checked += 1
                if option != "--help" and not spellings(option, flag) & there:
                    faults.append(f"{' and '.join(pages)} should name {option} of {program} {command}")
    for page in ALL:
        for option in sorted(set(OPTION.findall(ours(page))) - known):
            faults.append(f"{page} names {option}, which is no option of any command")
        faults.extend(broken_links(page))
    print("\n".join(faults))
    print(f"{checked} options, {len(ALL)} pages")
    print(f"Checks: 1, Failures: {int(bool(faults))}, Errors: 0")
    return bool(faults)


sys.exit(main())
