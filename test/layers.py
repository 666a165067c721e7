#!/usr/bin/env python3
"""Keeps the arrows pointing down.

    layers.py SOURCE_DIR

A file may include its own folder and what is below it; folders of one level do not know each
other.  A foreign library is included only where its one module is.  Some functions are not
called at all, some not below the loop.
"""

import pathlib
import re
import sys

# From the bottom up.  Folders in one line are of one level.
LEVELS = [
    ["proto/base"],
    ["proto/http", "proto/tls", "proto/redis"],
    ["proto/rules"],
    ["engine/core"],
    ["engine/loop"],
    ["engine/net", "engine/store", "engine/api"],
    ["engine/flow"],
    ["engine (library)"],
    ["engine (settings)"],
    ["engine/cli"],
    ["engine (program)"],
]

# The files at the top of engine/ that make the library, and those of the program that its
# commands share; the others are the program.
LIBRARY = {"config", "engine", "event", "reactions", "readiness", "parts"}
SETTINGS = {"flags", "options", "log", "root_token"}

# Public headers by the level whose words they use; the others are anyone's.
PUBLIC = {"hookwheel/hookwheel.h": "engine (library)"}

# Made at build time; the last where mbedTLS is built.
GENERATED = {"redis/scripts.h", "openapi.h", "ecp_upstream.c"}

FOREIGN = {
    "uv.h": ["engine/loop/", "engine/net/", "engine/store/", "engine/api/", "engine/cli/",
             "engine/flow/", "engine/engine.c", "engine/serve.c", "engine/main.c",
             "include/hookwheel/hookwheel.h"],
    "ares": ["engine/net/lookup"],
    "llhttp.h": ["proto/http/"],
    "mbedtls/": ["proto/tls/", "proto/rules/sign.c"],
    "psa/": ["proto/tls/", "proto/rules/sign.c"],
    "nettle/": ["proto/rules/sign.c", "proto/tls/mbedtls/"],
    "hiredis/": ["proto/redis/"],
    "everest/": ["proto/tls/mbedtls/"],
    "jansson.h": ["engine/core/stored.c", "engine/core/webhook.c", "engine/api/", "engine/cli/"],
}

BANNED = ["strcpy", "strcat", "sprintf", "vsprintf", "atoi", "atol", "strtok", "gmtime",
          "localtime", "gets"]
NO_CLOCK = ["time", "clock_gettime", "gettimeofday", "uv_now", "uv_hrtime", "uv_clock_gettime"]
NO_SPEECH = ["printf", "fprintf", "puts", "perror", "syslog"]
SPEAKS = {"proto/base/must.c"}  # it says what is wrong and stops

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"]+)"|<([^>]+)>)', re.M)
COMMENT_OR_LITERAL = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def level_of(layer):
    return next(i for i, level in enumerate(LEVELS) if layer in level)


def layer_of(path):
    """The layer of a file, given from the top of the tree; None: it has none."""
    folder = str(path.parent)
    if folder == "engine":
        if path.stem in SETTINGS:
            return "engine (settings)"
        return "engine (library)" if path.stem in LIBRARY else "engine (program)"
    return folder if any(folder in level for level in LEVELS) else None


def target_of(root, name):
    """The layer of what is included as "name"."""
    if name in PUBLIC:
        return PUBLIC[name]
    if name.startswith("hookwheel/") or name in GENERATED:
        return None
    for top in ("proto", "engine"):
        path = pathlib.Path(top) / name
        if (root / path).exists():
            return layer_of(path)
    raise LookupError(f'"{name}" is not found under proto or engine')


def may_include(source, target):
    if source == target:
        return True
    return level_of(target) < level_of(source)


def check_includes(root, path, text):
    layer = layer_of(path)
    for quoted, foreign in INCLUDE.findall(text):
        if quoted:
            try:
                target = target_of(root, quoted)
            except LookupError as e:
                yield str(e)
                continue
            if target and layer and not may_include(layer, target):
                yield f'{layer} may not include "{quoted}" of {target}'
        for prefix, allowed in FOREIGN.items():
            if foreign.startswith(prefix) and not any(str(path).startswith(a) for a in allowed):
                yield f"<{foreign}> belongs to {', '.join(allowed)}"


def calls(code, names):
    pattern = re.compile(r"(?<![\w.>])(" + "|".join(names) + r")[ \t]*\(")
    for match in pattern.finditer(code):
        yield match.group(1), code.count("\n", 0, match.start()) + 1


def check_calls(path, text):
    code = COMMENT_OR_LITERAL.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    for name, line in calls(code, BANNED):
        yield f"line {line}: {name}() is not used here"
    layer = layer_of(path)
    if layer is None or level_of(layer) > level_of("engine/core"):
        return
    for name, line in calls(code, NO_CLOCK):
        yield f"line {line}: {name}(): nothing below the loop reads a clock"
    if str(path) not in SPEAKS:
        for name, line in calls(code, NO_SPEECH):
            yield f"line {line}: {name}(): nothing below the loop speaks"


def check_guard(path, text):
    if path.suffix != ".h":
        return
    match = re.search(r"^#ifndef (\w+)\n#define (\w+)\n", text, re.M)
    if path.name != "mbedtls_config.h" and (not match or match.group(1) != match.group(2)):
        yield "has no include guard"


def main():
    root = pathlib.Path(sys.argv[1])
    n_files, complaints = 0, []
    for top in ("include", "proto", "engine"):
        for full in sorted((root / top).rglob("*.[ch]")):
            path = full.relative_to(root)
            text = full.read_text()
            n_files += 1
            for check in (check_includes(root, path, text), check_calls(path, text),
                          check_guard(path, text)):
                complaints += [f"{path}: {words}" for words in check]
    for full in sorted((root / "test").rglob("*.[ch]")):
        path = full.relative_to(root)
        complaints += [f"{path}: {words}" for words in check_calls(path, full.read_text())]
    for complaint in complaints:
        print(complaint)
    print(f"{n_files} files, {len(complaints)} complaints")
    return 1 if complaints or n_files == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
