"""An architecture: a backbone and the blocks inserted into it."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from nas.base.errors import SpecError
from nas.base.html import html_table
from nas.base.size import Resolution, Size
from nas.spec.drawing import Drawing, SiteMap, draw_blocks

__all__ = [
    "EMPTY",
    "KEEP",
    "PLAIN",
    "Architecture",
    "Insertion",
    "Option",
    "Share",
    "block_label",
    "check_architecture",
    "parse_label",
]

Option = int | float | str | bool

Share = Literal["stage"]
"""Within what equal blocks have the same weights."""

EMPTY = "none"
"""The name of no block: the slot is emptied, whatever the backbone came with."""

KEEP = "keep"
"""The choice that leaves a slot as the backbone comes; an architecture does not mention it."""

PLAIN = "plain"
"""The name of the backbone as it comes, which every gain is counted from."""

_SHORT = {"reduction": "r", "kernel_size": "k"}
_LONG = {short: name for name, short in _SHORT.items()}


def block_label(block: str, options: Mapping[str, Option]) -> str:
    """Write a block and its options readably: `coord/r32`, `cbam/r16/k7`."""
    names = sorted(options, key=lambda name: (name != "reduction", name))
    parts = [
        f"{_SHORT[name]}{options[name]}" if name in _SHORT else f"{name}={_write(options[name])}"
        for name in names
    ]
    return "/".join([block, *parts])


def parse_label(label: str) -> tuple[str, dict[str, Option]]:
    """Read what `block_label` wrote.

    Raises SpecError when it is no label.
    """
    block, *parts = label.split("/")
    options: dict[str, Option] = {}
    for part in parts:
        short = re.fullmatch(r"([a-z])(\d+)", part)
        if short and short[1] in _LONG:
            options[_LONG[short[1]]] = int(short[2])
        elif "=" in part:
            name, _, value = part.partition("=")
            options[name] = _read(value)
        else:
            raise SpecError(
                f"block {label!r}: cannot read {part!r}; write options as in "
                "coord/r32 (reduction), cbam/r16/k7 (and kernel size) or name=value"
            )
    if not block:
        raise SpecError(f"block {label!r} has no name; write it as in coord/r32")
    return block, options


def _write(value: Option) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(text: str) -> Option:
    if text in {"true", "false"}:
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@dataclass(frozen=True, slots=True, order=True)
class Insertion:
    """One block at one site.

    options: sorted by name, so that equal insertions compare equal.
    """

    site: str
    block: str
    options: tuple[tuple[str, Option], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", tuple(sorted(self.options)))

    @property
    def label(self) -> str:
        """The block with its options: `coord/r32`."""
        return block_label(self.block, dict(self.options))

    @classmethod
    def of(cls, site: str, label: str) -> Insertion:
        """Return the insertion of the block that a label such as `coord/r32` names."""
        block, options = parse_label(label)
        return cls(site, block, tuple(options.items()))


@dataclass(frozen=True, slots=True)
class Architecture:
    """A backbone with blocks at some of its sites; the other sites stay as the backbone has them.

    resolution: size of the input at deployment, pixels: 224, or "224x160" (height first).
    total_stride: input height / height of the last map; None leaves the backbone's own.
    output_stride: the same by a dilated end, as heads of segmentation read it; None: not dilated.
    share: `stage`: equal blocks on equal maps of a stage have the same weights; None: each has its
        own. With fewer than two blocks it is always None.
    digest: a hash of all other fields.
    """

    backbone: str
    resolution: Resolution = 224
    insertions: tuple[Insertion, ...] = ()
    total_stride: int | None = None
    output_stride: int | None = None
    share: Share | None = None
    digest: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        insertions = tuple(sorted(self.insertions))
        sites = [insertion.site for insertion in insertions]
        twice = sorted({site for site in sites if sites.count(site) > 1})
        if twice:
            raise SpecError(f"site {twice[0]!r} holds two insertions; one is allowed")
        if self.share not in (None, *get_args(Share)):
            allowed = ", ".join(get_args(Share))
            raise SpecError(f"share {self.share!r}; allowed: {allowed}, or nothing")
        object.__setattr__(self, "insertions", insertions)
        if len(self.blocks) < 2:
            object.__setattr__(self, "share", None)
        object.__setattr__(self, "resolution", Size.of(self.resolution).written)
        object.__setattr__(self, "digest", _digest(self.to_json()))

    @property
    def size(self) -> Size:
        """The size of the input: the resolution as height and width."""
        return Size.of(self.resolution)

    @property
    def blocks(self) -> tuple[Insertion, ...]:
        """The insertions that put a block somewhere (emptied slots left out)."""
        return tuple(insertion for insertion in self.insertions if insertion.block != EMPTY)

    @property
    def plain(self) -> Architecture:
        """The same backbone as it comes."""
        return replace(self, insertions=())

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        # Only where it is set: architectures without it keep their digests.
        dilated = {} if self.output_stride is None else {"output_stride": self.output_stride}
        shared = {} if self.share is None else {"share": self.share}
        return {
            "backbone": self.backbone,
            "resolution": self.resolution,
            "total_stride": self.total_stride,
            **dilated,
            **shared,
            "insertions": [
                {
                    "site": insertion.site,
                    "block": insertion.block,
                    "options": dict(insertion.options),
                }
                for insertion in self.insertions
            ],
        }

    def to_json(self) -> str:
        """Return canonical JSON: equal architectures give equal text, and `digest` is its hash."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """Read what `to_json` wrote. Raises SpecError."""
        try:
            data = json.loads(text)
            return cls(
                backbone=data["backbone"],
                resolution=data["resolution"],
                total_stride=data["total_stride"],
                output_stride=data.get("output_stride"),
                share=data.get("share"),
                insertions=tuple(
                    Insertion(entry["site"], entry["block"], tuple(entry["options"].items()))
                    for entry in data["insertions"]
                ),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SpecError(f"not an architecture ({error!r}): {text[:80]}") from None

    @property
    def summary(self) -> str:
        """The blocks counted by kind, the commonest first: `5 cbam, 2 se, 1 eca`."""
        kinds = Counter(insertion.block for insertion in self.blocks)
        return ", ".join(f"{number} {kind}" for kind, number in kinds.most_common()) or "no block"

    def draw(self, sites: Iterable[SiteMap] = ()) -> Drawing:
        """Draw which block stands where.

        sites: of the backbone, in the order of the data; empty: only those that have a block are
            known.
        """
        labels = {one.site: one.label for one in self.insertions}
        emptied = {one.site for one in self.insertions if one.block == EMPTY}
        return draw_blocks(self.backbone, self.size, labels, emptied, sites)

    def _repr_html_(self) -> str:
        rows = [(one.site, one.label) for one in self.insertions]
        title = f"{self.backbone} at {self.size} pixels" + (
            f", equal blocks of a {self.share} share weights" if self.share else ""
        )
        table = html_table(("site", "block"), rows or [("all", "as it comes")], title)
        return self.draw().svg + table if rows else table

    def __str__(self) -> str:
        blocks = ", ".join(f"{one.site}: {one.label}" for one in self.insertions)
        return f"{self.backbone} [{blocks or 'as it comes'}]"


def check_architecture(given: object) -> None:
    """Check that a caller of the Python interface gave an architecture. Raises SpecError."""
    if not isinstance(given, Architecture):
        raise SpecError(
            f"found {given!r:.80}; needed: an Architecture, as nas.uniform('mobilenetv2_100', "
            "'none') is the plain network, or as the points of a front hold it"
        )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
