"""The rules of the house that no compiler checks.

usage: style.py RULE ROOT

Prints every place that breaks the rule, one a line, and exits 1 if there is one.
"""

import pathlib
import re
import sys

# Which rooms may include which. Everybody may include their own.
ARROWS = {
    "base": [],
    "core": ["base"],
    "http": ["base"],
    "tls": ["base"],
    "store": ["core", "base"],
    "webhook": ["core", "base"],
    "upstream": ["http", "core", "base"],
    "gateway": ["store", "webhook", "upstream", "http", "core", "base"],
    "ingress": ["gateway", "tls", "http", "core", "base"],
    "control": ["gateway", "store", "tls", "http", "core", "base"],
    "cli": ["ingress", "control", "gateway", "store", "webhook", "upstream", "tls", "http", "core", "base"],
}
MAIN = "main.cc"  # hands argv to cli; nothing else
MAIN_ARROWS = ["cli"]

# Libraries whose headers stay in .cc files, so that a room can change its library without anybody noticing.
EXTERNAL = re.compile(r"(rocksdb/|httplib\.h|simdjson|CLI/|openssl/|spdlog/|fmt/)")
# Headers that may include them all the same, because nobody outside their room includes these headers.
PRIVATE_HEADERS = {
    "src/store/database.h": "the open database and its column families, which the parts of the store share",
    "src/store/log_room.h": "the file system that the database stands on",
    "src/tls/library.h": "OpenSSL's objects, which a context and its streams share",
}

HEADER_LINES_MAX = 250
SOURCE_LINES_MAX = 550

# Spelled in halves so that this file does not find itself.
MARKS = re.compile(r"\b(" + "|".join(["TO" "DO", "FIX" "ME", "XX" "X", "HA" "CK"]) + r")\b")

SLEEP = re.compile(r"\b(sleep_for|sleep_until|usleep|nanosleep|clock_nanosleep)\b|(?<![\w.>])sleep\s*\(")
# Files that may sleep, with the reason.
SLEEPERS = {
    "src/store/database.cc": "a write that RocksDB stalls is tried again; waiting in there can be for ever",
    "src/store/io_limiter.cc": "a rate is kept by letting time pass; tests have their own time",
    "tests/upstream/http_upstream_test.cc": "plays an application whose answer trickles",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
CODE = (".h", ".cc")


def files(root, *folders, suffixes=CODE):
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and path.suffix in suffixes:
                yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8").splitlines()


def includes(lines):
    """(line number, quoted or not, what) of each #include."""
    for number, line in enumerate(lines, start=1):
        match = INCLUDE.match(line)
        if match:
            yield number, match[1] == '"', match[2]


def arrows(root):
    """Rooms include each other only along the arrows of docs/architecture.md."""
    for path, lines in files(root, "src"):
        room = path.split("/")[1]
        if room == MAIN:
            allowed = MAIN_ARROWS
        elif room in ARROWS:
            allowed = [room, *ARROWS[room]]
        else:
            yield f"{path}: no such room; add it to ARROWS in tests/style/style.py"
            continue
        for number, quoted, what in includes(lines):
            target = what.split("/")[0]
            if quoted and "/" not in what:
                yield f'{path}:{number}: include "{what}" by its full name, "room/file.h"'
            elif quoted and target not in allowed:
                yield f"{path}:{number}: {room} must not know {target} ({what})"
            elif not quoted and target in ARROWS and (root / "src" / what).exists():
                yield f'{path}:{number}: include "{what}" with quotes'


def external_headers(root):
    """Libraries stay in .cc files, or in headers that are private to their room."""
    for header in PRIVATE_HEADERS:
        if not (root / header).exists():
            yield f"{header}: listed in PRIVATE_HEADERS of tests/style/style.py, but gone"
    private = {header.removeprefix("src/"): header.split("/")[1] for header in PRIVATE_HEADERS}
    for path, lines in files(root, "src", "tests", "bench"):
        room = path.split("/")[1]
        for number, _, what in includes(lines):
            if path.startswith("src/") and path.endswith(".h") and path not in PRIVATE_HEADERS and EXTERNAL.match(what):
                yield f"{path}:{number}: <{what}> belongs into a .cc file"
            if what in private and path.startswith("src/") and room != private[what]:
                yield f"{path}:{number}: {what} is private to {private[what]}"


def sizes(root):
    """Headers and sources stay of a size that one can read."""
    for path, lines in files(root, "src"):
        limit = HEADER_LINES_MAX if path.endswith(".h") else SOURCE_LINES_MAX
        if len(lines) > limit:
            yield f"{path}: {len(lines)} lines, more than {limit}"


def marks(root):
    """What is left to do is an issue, or is done."""
    for path, lines in files(root, "src", "tests", "bench", "tools", "cmake",
                             suffixes=(*CODE, ".py", ".sh", ".cmake", ".txt", "")):
        for number, line in enumerate(lines, start=1):
            match = MARKS.search(line)
            if match:
                yield f"{path}:{number}: {match[0]}"


def sleeps(root):
    """Nothing waits by sleeping: code waits on a condition, tests turn a ManualClock."""
    for path in SLEEPERS:
        if not (root / path).exists():
            yield f"{path}: listed in SLEEPERS of tests/style/style.py, but gone"
    for path, lines in files(root, "src", "tests"):
        for number, line in enumerate(lines, start=1):
            match = SLEEP.search(line.split("//")[0])
            if match and path not in SLEEPERS:
                yield f"{path}:{number}: {match[0].rstrip('( ')}"


RULES = {rule.__name__: rule for rule in (arrows, external_headers, sizes, marks, sleeps)}


def main(argv):
    if len(argv) != 3 or argv[1] not in RULES:
        print(f"usage: style.py {'|'.join(RULES)} ROOT", file=sys.stderr)
        return 2
    rule = RULES[argv[1]]
    root = pathlib.Path(argv[2])
    if not any(files(root, "src")):
        print(f"{root} has no src", file=sys.stderr)
        return 2
    found = list(rule(root))
    for place in found:
        print(place)
    if found:
        print(f"{len(found)} found. {rule.__doc__}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
