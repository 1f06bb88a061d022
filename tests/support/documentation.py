"""The pages for users, taken apart: their blocks of code, and the commands in them.

Every block of the language `sh` or `python` is run by tests/docs/test_pages.py, in order, page by
page. A block with `title="FILE"` is written to that file (a diff: applied to it). An invisible
comment before a block says what else holds of it:

    <!-- not run: why -->      it is only checked to be well formed
    <!-- ends with 2 -->       its last command must end with that code
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ROOT", "Block", "Command", "blocks", "commands", "inline_commands", "pages", "prose"]

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^(?P<fence>```+)(?P<language>\w*)(?: +title=\"(?P<title>[^\"]+)\")?\s*$")
_NOTE = re.compile(r"^<!-- (.*) -->$")
_INDENTED = re.compile(r"^    (?P<text>(nas|make|python -m nas|pip|torchrun) .*)$")
_OURS = (("nas",), ("python", "-m", "nas"), ("make",))


@dataclass(frozen=True)
class Block:
    """Code on a page. line: where it begins. note: the comment before it, or nothing."""

    page: Path
    line: int
    language: str
    title: str
    text: str
    note: str

    @property
    def runs(self) -> bool:
        """Whether it is to be executed, and not only to be read."""
        executable = self.language in {"sh", "python"} and not self.title
        return executable and not self.note.startswith("not run: ")

    @property
    def exit_code(self) -> int:
        found = re.fullmatch(r"ends with (\d)", self.note)
        return int(found[1]) if found else 0


@dataclass(frozen=True)
class Command:
    """One command of ours: `nas front runs/demo` as words, behind the program's name."""

    page: Path
    line: int
    program: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        shown = f"{self.program} {shlex.join(self.words)}"
        return f"{self.page.relative_to(ROOT)}:{self.line}: {shown}"


def pages() -> list[Path]:
    """README.md and every page of docs/."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """Fenced blocks in order; an indented line that begins like a command is one as well."""
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        begun = _FENCE.match(lines[number])
        indented = _INDENTED.match(lines[number])
        if begun:
            end = next(row for row in range(number + 1, len(lines)) if lines[row] == begun["fence"])
            text = "\n".join(lines[number + 1 : end]) + "\n"
            note = _note(lines, number)
            language, title = begun["language"], begun["title"] or ""
            yield Block(page, number + 1, language, title, text, note)
            number = end
        elif indented:
            yield Block(page, number + 1, "", "", indented["text"] + "\n", "")
        number += 1


def _note(lines: list[str], number: int) -> str:
    found = _NOTE.match(lines[number - 1]) if number else None
    return found[1] if found else ""


def prose(page: Path) -> str:
    """A page without its fenced blocks: headings, links, words."""
    kept, fence = [], ""
    for line in page.read_text(encoding="utf-8").splitlines():
        begun = _FENCE.match(line)
        if fence:
            fence = "" if line == fence else fence
        elif begun:
            fence = begun["fence"]
        else:
            kept.append(line)
    return "\n".join(kept)


def commands(block: Block) -> Iterator[Command]:
    """Commands of ours in a block that is shell, or says nothing of its language."""
    if block.language not in {"", "sh"} or block.title:
        return
    for offset, line in _logical_lines(block.text):
        words = _split(line)
        found = words and _ours(words)
        if found:
            yield Command(block.page, block.line + 1 + offset, *found)


def inline_commands(page: Path) -> Iterator[Command]:
    """`nas ...` and `make ...` between backticks, where values may be left out."""
    for number, line in enumerate(prose(page).splitlines(), start=1):
        for text in re.findall(r"`([^`]+)`", line):
            words = _split(text)
            found = words and _ours(words)
            if found and len(words) > 1:
                yield Command(page, number, *found)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    whole, begun = "", 0
    for number, line in enumerate(text.splitlines()):
        begun = begun if whole else number
        whole += line.removesuffix("\\")
        if not line.endswith("\\"):
            yield begun, whole
            whole = ""


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # prose with an apostrophe
        return []


def _ours(words: list[str]) -> tuple[str, tuple[str, ...]] | None:
    for start in _OURS:
        if "torchrun" == words[0] and "nas" in words:
            return "nas", tuple(words[words.index("nas") + 1 :])
        if tuple(words[: len(start)]) == start:
            return start[-1], tuple(words[len(start) :])
    return None
