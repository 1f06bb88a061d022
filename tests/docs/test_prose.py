"""Pages are read: paragraphs are short, and those to begin with fit on a screen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.documentation import ROOT, pages, prose

MOST = 90  # words of a paragraph, or of an item of a list
MOST_OF_A_START = 300  # words of a page, beside its code
_ITEM = re.compile(r"(?:[-*]|\d+\.) ")
_NO_PROSE = ("|", "#", "<!--", "![")


def paragraphs(page: Path) -> Iterator[str]:
    """The paragraphs of a page and the items of its lists; tables, pictures and code are none."""
    lines: list[str] = []
    for line in [*prose(page).splitlines(), ""]:
        text = line.strip()
        apart = not text or text.startswith(_NO_PROSE)
        if lines and (apart or _ITEM.match(text)):
            yield " ".join(lines)
            lines = []
        if not apart:
            lines.append(text)


WRITTEN = [page for page in pages() if page.parent.name != "reference"]  # which programs print


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: page.name)
def test_paragraphs_are_short(page: Path) -> None:
    long = [
        f"{len(text.split())} words: {text[:60]}..."
        for text in paragraphs(page)
        if len(text.split()) > MOST
    ]
    assert not long, f"{page}: at most {MOST}; say it shorter, or in two"


@pytest.mark.parametrize(
    "page",
    [page for page in WRITTEN if page.parent.name != "start"],  # which have a test of their own
    ids=lambda page: page.name,
)
def test_sentences_do_not_begin_in_front_of_code(page: Path) -> None:
    """A reader who skips a block of commands still reads whole sentences behind it."""
    halves = [text[:60] for text in paragraphs(page) if text[0].islower()]
    assert not halves, f"{page}: begin with a subject"


@pytest.mark.parametrize(
    "page", sorted((ROOT / "docs" / "start").glob("*.md")), ids=lambda page: page.name
)
def test_a_start_begins_with_its_commands_and_is_short(page: Path) -> None:
    words = sum(len(text.split()) for text in paragraphs(page))
    assert words <= MOST_OF_A_START
    lines = [line for line in page.read_text().splitlines() if line and "not run" not in line]
    assert lines[0].startswith("# Start: ") and lines[1].startswith("```")
