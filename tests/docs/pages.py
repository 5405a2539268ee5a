"""What is checked of README.md, bench/README.md and docs/*.md: their fenced blocks, links and headings."""

import dataclasses
import pathlib
import re

FENCE = re.compile(r"^(`{3,})(\w*)\s*$")
MARKER = re.compile(r"^<!-- (.+?) -->$")
# Before a block: why it cannot be run; or that it is a file, which is written where the commands run; or how the last
# command of a console ends.
NOT_RUN = re.compile(r"^not run: \S.{9,}$")
FILE = re.compile(r"^file: (\S+)$")
EXIT = re.compile(r"^exit (\d+)$")
# A link whose target is on this machine: [text](target).
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


@dataclasses.dataclass
class Block:
    page: str
    line: int
    language: str
    marker: str  # of the comment before it, or empty
    lines: list

    @property
    def place(self):
        return f"{self.page}:{self.line}"

    @property
    def file_name(self):
        match = FILE.match(self.marker)
        return match[1] if match else None

    @property
    def exit_code(self):
        match = EXIT.match(self.marker)
        return int(match[1]) if match else 0

    @property
    def runs(self):
        return self.language == "console" and not NOT_RUN.match(self.marker)


def page_names(root):
    found = [root / "README.md", root / "bench" / "README.md", root / "data" / "README.md", *(root / "docs").glob("*.md")]
    return sorted(path.relative_to(root).as_posix() for path in found if path.exists())


def blocks(root, page):
    """The fenced blocks of a page, in order."""
    found = []
    fence = None
    marker = ""
    for number, line in enumerate((root / page).read_text(encoding="utf-8").splitlines(), start=1):
        if fence is not None:
            if line == fence:
                fence = None
            else:
                found[-1].lines.append(line)
            continue
        match = FENCE.match(line)
        if match:
            fence = match[1]
            found.append(Block(page, number, match[2], marker, []))
            marker = ""
        elif MARKER.match(line):
            marker = MARKER.match(line)[1]
        elif line.strip():
            marker = ""
    return found


def prose(root, page):
    """(line number, line) of what stands outside of fenced blocks, without inline code."""
    fence = None
    for number, line in enumerate((root / page).read_text(encoding="utf-8").splitlines(), start=1):
        match = FENCE.match(line)
        if match and fence is None:
            fence = match[1]
        elif line == fence:
            fence = None
        elif fence is None:
            yield number, line


def anchor(heading):
    """The anchor of a heading, as GitHub makes it."""
    text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", lambda match: match[1] or "", heading.strip())
    return re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")


def anchors(root, page):
    return [anchor(line.lstrip("#")) for _, line in prose(root, page) if re.match(r"^#{1,6} ", line)]


def check_blocks(root):
    """Every block is run, or is a file that is used, or says why it cannot be run."""
    for page in page_names(root):
        for block in blocks(root, page):
            if block.marker and not (NOT_RUN.match(block.marker) or FILE.match(block.marker) or EXIT.match(block.marker)):
                yield f"{block.place}: nobody knows the marker <!-- {block.marker} -->"
            elif block.language != "console" and not (NOT_RUN.match(block.marker) or block.file_name):
                yield (f"{block.place}: neither ```console nor marked; put <!-- not run: REASON --> or "
                       "<!-- file: NAME --> before it")
            elif block.runs and not any(line.startswith("$ ") for line in block.lines):
                yield f"{block.place}: a console without a command ('$ ' begins one)"


def check_links(root):
    """Links between pages lead somewhere, down to the heading."""
    for page in page_names(root):
        for number, line in prose(root, page):
            for match in LINK.finditer(re.sub(r"`[^`]*`", "", line)):
                target = match[1] or match[2]
                if re.match(r"^[a-z]+:", target):
                    continue
                name, _, heading = target.partition("#")
                path = ((root / page).parent / name) if name else root / page
                if not path.exists():
                    yield f"{page}:{number}: there is no {target}"
                elif heading and path.suffix == ".md":
                    linked = path.resolve().relative_to(root.resolve()).as_posix()
                    if heading not in anchors(root, linked):
                        yield f"{page}:{number}: {linked} has no heading #{heading}"


def check_index(root):
    """docs/README.md leads to every page of docs/."""
    index = (root / "docs" / "README.md").read_text(encoding="utf-8")
    for page in page_names(root):
        name = pathlib.PurePosixPath(page).name
        if page.startswith("docs/") and name != "README.md" and f"]({name}" not in index:
            yield f"docs/README.md: does not lead to {name}"


# A row of kErrors in src/http/error.cc: the code's name, its status, whether it is worth a retry.
ERROR_ROW = re.compile(r'\{ErrorCode::\w+, "([a-z-]+)", (\d+), (true|false),')


def check_errors(root):
    """docs/errors.md has a heading for every code, and says its status and whether a retry makes sense."""
    rows = ERROR_ROW.findall((root / "src/http/error.cc").read_text(encoding="utf-8"))
    if not rows:
        yield "src/http/error.cc: no rows found; has kErrors changed its form?"
    sections = re.split(r"^## ", (root / "docs/errors.md").read_text(encoding="utf-8"), flags=re.M)
    texts = {section.partition("\n")[0].strip(): section for section in sections[1:]}
    for name, status, retryable in rows:
        wanted = f"Status {status}, {'retryable' if retryable == 'true' else 'not retryable'}."
        if name not in texts:
            yield f"docs/errors.md: no heading '## {name}'"
        elif wanted not in texts[name]:
            yield f"docs/errors.md: {name} does not say '{wanted}'"
    for name in texts.keys() - {row[0] for row in rows}:
        yield f"docs/errors.md: '## {name}' is no code of src/http/error.cc"


CHECKS = {"blocks": check_blocks, "links": check_links, "index": check_index, "errors": check_errors}
