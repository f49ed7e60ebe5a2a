#!/usr/bin/env python3
"""Turns the plain comments of a header into Doxygen's: one before a declaration documents it, one behind it on the same
line documents what stands before. `/* --- title --- */` is a heading and stays what it is. Members that are declared
together, `int height, width;`, are given their comment each, and what CLN_STATUS_LIST makes is written out. Line
numbers stay what they are."""

import re
import sys

BODY = r"((?:(?!\*/).)*)\*/"
COMMENT = re.compile(r"/\*(?!\*)" + BODY, re.S)
TOGETHER = re.compile(
    r"^(?P<before> {4}/\*\*(?!<)" + BODY + r"\n)?(?P<type> {4}(?:const )?\w+ )"
    r"(?P<names>[\w\[\]*]+(?:,\s+[\w\[\]*]+)+);(?P<behind> */\*\*<" + BODY + ")?",
    re.M | re.S,
)
STATUS = re.compile(r'X\((\w+), (\d+), "(.*?)"\)')


def separate(match):
    before, kind, names, behind = (match[part] or "" for part in ("before", "type", "names", "behind"))
    first, *others = re.split(r",\s+", names)
    on_one_line = lambda text: re.sub(r"\s*\n\s*\*?", "", text).strip()
    others = [f" {on_one_line(before)} {kind.strip()} {name};{on_one_line(behind)}" for name in others]
    return before + kind + first + ";" + behind + "".join(others) + "\n" * names.count("\n")


def convert(text):
    def comment(match):
        # What Doxygen would take for its commands or for markup is escaped.
        body = re.sub(r"([<>@\\#%])(?=\w)", r"\\\1", match[1])
        start = text.rfind("\n", 0, match.start()) + 1
        before = text[start : match.start()].strip()
        if body.startswith(" ---"):
            return match[0]
        if match.start() == 0:
            return "/** @file\n *" + body + "*/"
        if before.startswith("#"):
            return match[0]
        return ("/**<" if before else "/**") + body + "*/"

    status = " ".join(f"CLN_{name} = {number}, /**< {what} */" for name, number, what in STATUS.findall(text))
    text = text.replace(" CLN_STATUS_LIST(CLN_STATUS_ENUM)\n", f" {status}\n")
    return TOGETHER.sub(separate, COMMENT.sub(comment, text))


if __name__ == "__main__":
    sys.stdout.write(convert(open(sys.argv[1], encoding="utf-8").read()))
