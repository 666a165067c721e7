"""README.md: its code, as it stands there."""

import os
import pathlib
import re

SOURCE = pathlib.Path(os.environ["HOOKWHEEL_SOURCE_DIR"])


def text():
    return (SOURCE / "README.md").read_text()


def section(heading):
    """From that heading to the next of its rank or above."""
    lines = text().splitlines(keepends=True)
    begin = lines.index(heading + "\n")
    rank = heading.split(" ")[0]
    is_fenced, end = False, begin + 1
    while end < len(lines):
        if lines[end].lstrip().startswith("```"):
            is_fenced = not is_fenced
        word = lines[end].split(" ")[0]
        if not is_fenced and set(word) == {"#"} and len(word) <= len(rank):
            break
        end += 1
    return "".join(lines[begin:end])


def blocks(of, language):
    """The fenced blocks of that language, in order; an indented one without its indent."""
    found = []
    for indent, body in re.findall(r"^( *)```{}\n(.*?)^ *```$".format(language), of, re.M | re.S):
        found.append("".join(line[len(indent):] for line in body.splitlines(keepends=True)))
    return found


def program(first_line, language):
    """The block that begins with that line."""
    return next(block for block in blocks(text(), language) if block.startswith(first_line + "\n"))
