"""A picture of an architecture: its blocks at the sites of its backbone, stage by stage, as SVG.

For notebooks, files and pages alike: texts and lines have the colour of the text around, so it is
read in light and dark, and 384 pixels wide, so that a phone shows it whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Protocol

from nas.base.files import write_whole
from nas.base.formats import one_line
from nas.base.natural_order import natural_key
from nas.base.size import Size

__all__ = ["PALETTE", "Drawing", "SiteMap", "draw_blocks"]

PALETTE = (
    ("#0072b2", "#fff"), ("#e69f00", "#111"), ("#009e73", "#111"), ("#cc79a7", "#111"),
    ("#56b4e9", "#111"), ("#d55e00", "#111"), ("#f0e442", "#111"), ("#8c8c8c", "#111"),
)  # fmt: skip
"""Okabe and Ito's colours, told apart by the colour-blind, each with that of letters on it."""

_WIDTH, _LEFT, _TOP = 384, 122, 34  # pixels: of all, of what stands beside cells, and above
_CELL, _TALL, _GAP, _BETWEEN = 50, 30, 2, 8
_IN_A_ROW = (_WIDTH - _LEFT) // (_CELL + _GAP)
_ALONE = (
    "<style>svg{color:#1c1b19;background:#fff}"
    "@media(prefers-color-scheme:dark){svg{color:#ecebe7;background:#14161a}}</style>"
)
"""The colours of a picture that is a file of its own; on a page the text around has them."""


class SiteMap(Protocol):
    """A site, with the map that passes through it; None where only its name is known."""

    @property
    def name(self) -> str: ...
    @property
    def stage(self) -> str: ...
    @property
    def channels(self) -> int | None: ...
    @property
    def height(self) -> int | None: ...
    @property
    def width(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class _NamedSite:
    """A site of which only the name is known."""

    name: str
    channels: int | None = None
    height: int | None = None
    width: int | None = None

    @property
    def stage(self) -> str:
        host = self.name.partition("/")[0]
        return host.rpartition(".")[0] or host


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture of a network: shown by a notebook, or saved.

    alternative: the picture in words.
    """

    svg: str
    alternative: str

    def _repr_html_(self) -> str:
        return self.svg

    def save(self, path: str | Path, mark: str = "") -> None:
        """Write it as an SVG file of its own, whole.

        mark: text of a comment at its beginning. Raises StorageError.
        """
        head, rest = self.svg.split(">", 1)
        comment = f"<!-- {mark} -->" if mark else ""
        with write_whole(Path(path)) as temporary:
            temporary.write_text(f"{head}>{comment}{_ALONE}{rest}\n", "utf-8", "backslashreplace")


def draw_blocks(
    backbone: str,
    size: Size,
    labels: Mapping[str, str],
    emptied: Collection[str],
    sites: Iterable[SiteMap] = (),
) -> Drawing:
    """Draw which block stands where in a backbone; see `Architecture.draw`.

    size: of the images.
    labels: of blocks, by the names of their sites.
    emptied: those of the sites whose slot has lost what it held.
    sites: of the backbone, in the order of the data; empty: only those that have a block are known.
    """
    known: list[SiteMap] = list(sites)
    if not set(labels) <= {site.name for site in known}:
        known = [_NamedSite(name) for name in sorted(labels, key=natural_key)]
    kinds = sorted({_kind(label) for site, label in labels.items() if site not in emptied})
    parts, below = [], _TOP
    for (stage, maps), group in groupby(known, key=lambda site: (site.stage, _size(site))):
        cells = list(group)
        parts += _labelled(_title(stage, cells), maps, below)
        parts += [_cell(site, labels.get(site.name), kinds, *_place(number, below))
                  for number, site in enumerate(cells)]  # fmt: skip
        rows = -(-len(cells) // _IN_A_ROW)
        below += rows * (_TALL + _GAP) + _BETWEEN
    if not known:
        parts.append(_text(16, below + 14, "no block: the backbone as it comes", 12))
        below += _TALL
    tall = below + 24
    alternative = _in_words(backbone, size, labels, emptied)
    title = f"{backbone}, image {size}"
    line = (
        f'<path d="M6 22V{tall - 18}m-3-5 3 5 3-5" fill="none" stroke="currentColor" opacity=".6"/>'
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {tall}" width="{_WIDTH}" '
        f'height="{tall}" style="max-width:100%;height:auto" role="img" '
        f'aria-label="{_escaped(alternative)}" font-family="system-ui,sans-serif" '
        'fill="currentColor">'
        f"{_text(2, 14, title, 12.5, bold=True, room=_WIDTH - 4)}{line}{''.join(parts)}"
        f"{_text(2, tall - 4, 'head', 12)}</svg>"
    )
    return Drawing(svg, alternative)


def _title(stage: str, sites: Sequence[SiteMap]) -> str:
    """Return the name of a stage; where that is but the size of its maps, its modules'."""
    if not stage[:1].isdigit():
        return stage
    hosts = list(dict.fromkeys(site.name.partition("/")[0] for site in sites))
    return hosts[0] if len(hosts) == 1 else f"{hosts[0]} … {hosts[-1].rpartition('.')[2]}"


def _size(site: SiteMap) -> str:
    if site.channels is None:
        return ""
    return f"{site.height}×{site.width} · {site.channels} ch"


def _place(number: int, top: int) -> tuple[int, int]:
    """Return the left upper corner of a cell by its number in its stage."""
    row, column = divmod(number, _IN_A_ROW)
    return _LEFT + column * (_CELL + _GAP), top + row * (_TALL + _GAP)


def _labelled(stage: str, size: str, top: int) -> list[str]:
    """Return the name of a stage and the size of its maps, beside its first row."""
    room = _LEFT - 22
    lines = [_text(16, top + 13, stage, 11.5, bold=True, room=room)]
    return [*lines, _text(16, top + 26, size, 10.5, room=room)] if size else lines


def _cell(site: SiteMap, label: str | None, kinds: Sequence[str], left: int, top: int) -> str:
    kind, _, options = (label or "").partition("/")
    state = label or ("as the backbone comes" if getattr(site, "filled", False) else "no block")
    about = f"<title>{_escaped(f'{site.name}: {state}')}</title>"
    box = f'x="{left + 0.5}" y="{top + 0.5}" width="{_CELL - 1}" height="{_TALL - 1}" rx="5"'
    middle = left + _CELL / 2
    if kind not in kinds:
        dashed = ' stroke-dasharray="3 3"' if label or state == "no block" else ""
        word = kind or ("kept" if state != "no block" else "")
        return (
            f'<g>{about}<rect {box} fill="none" stroke="currentColor" opacity=".5"{dashed}/>'
            f"{_text(middle, top + 19, word, 10, middle=True, room=_CELL - 6)}</g>"
        )
    ground, ink = PALETTE[kinds.index(kind) % len(PALETTE)]
    lines = [kind, options] if options else [kind]
    texts = "".join(
        _text(middle, top + at, line, 10.5, middle=True, room=_CELL - 6, colour=ink)
        for at, line in zip((13, 25) if options else (19,), lines, strict=True)
    )
    return f'<g>{about}<rect {box} fill="{ground}"/>{texts}</g>'


def _text(
    left: float,
    base: float,
    words: str,
    size: float,
    *,
    bold: bool = False,
    middle: bool = False,
    room: float = _WIDTH,
    colour: str = "",
) -> str:
    """Return a text; its letters are smaller where they would be wider than their room."""
    size = min(size, room / max(1.0, 0.58 * len(words)))
    more = ' font-weight="600"' if bold else ""
    more += ' text-anchor="middle"' if middle else ""
    more += f' fill="{colour}"' if colour else ""
    return f'<text x="{left:g}" y="{base:g}" font-size="{size:.1f}"{more}>{_escaped(words)}</text>'


def _escaped(words: str) -> str:
    return escape(one_line(words))


def _kind(label: str) -> str:
    return label.partition("/")[0]


def _in_words(
    backbone: str, size: Size, labels: Mapping[str, str], emptied: Collection[str]
) -> str:
    where = f"{backbone} at {size} pixels, from the image to the head: "
    placed = [
        f"{name} {'emptied' if name in emptied else label}"
        for name, label in sorted(labels.items(), key=lambda item: natural_key(item[0]))
    ]
    return where + (", ".join(placed) or "no block, the backbone as it comes")
