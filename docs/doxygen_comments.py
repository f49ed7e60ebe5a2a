#!/usr/bin/env python3
"""Turns the plain comments of a header into Doxygen's: one before a declaration documents it, one behind it on the same
line documents what stands before. `/* --- title --- */` is a heading and stays what it is."""

import re
import sys

COMMENT = re.compile(r"/\*(?!\*)(.*?)\*/", re.S)


def convert(text):
    def comment(match):
        body = match.group(1)
        start = text.rfind("\n", 0, match.start()) + 1
        before = text[start : match.start()].strip()
        if body.startswith(" ---"):
            return match.group(0)
        if match.start() == 0:
            return "/** @file\n *" + body + "*/"
        if before.startswith("#"):
            return match.group(0)
        return ("/**<" if before else "/**") + body + "*/"

    # What Doxygen would take for its commands or for markup.
    return COMMENT.sub(lambda m: re.sub(r"([<>@\\#%])(?=\w)", r"\\\1", comment(m)) if m.group(1) else m.group(0), text)


if __name__ == "__main__":
    sys.stdout.write(convert(open(sys.argv[1], encoding="utf-8").read()))
