"""Rules that one search has found, as a file that the search of another backbone starts from.

A site is known by where it lies, not by its name: how deep in the network, how many channels,
how much smaller its map is than the image. The effect of a block at a new site is that of the
same kind at the sites most like it. Effects are in units of their search's own spread of losses:
what carries over is which is better, not by how much.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from nas.base.errors import SpecError
from nas.base.files import parse, read_json, write_model
from nas.spec.architecture import EMPTY, KEEP, parse_label

__all__ = ["KnownEffect", "KnownSite", "Rules", "SiteLocation", "load_rules"]

VERSION = 1
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
_DEPTH, _CHANNELS, _STRIDE, _RATIO = 0.15, 1.5, 1.0, 2.0
"""How far apart two sites, or two ratios, are before one says little of the other: as shares of
the depth, and in doublings."""
_MOST_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class SiteLocation:
    """A place in any network.

    depth: 0 at the first site to 1 at the last.
    stride: height of the image by height of the map.
    """

    depth: float
    channels: int
    stride: float


class KnownEffect(BaseModel):
    """The loss saved by a label and its standard deviation, in spreads of the losses."""

    model_config = _STRICT

    label: str
    saved: float
    deviation: Annotated[float, Field(gt=0)]


class KnownSite(BaseModel):
    """A site of the searched backbone, and what blocks did there."""

    model_config = _STRICT

    name: str
    depth: Annotated[float, Field(ge=0, le=1)]
    channels: Annotated[int, Field(ge=1)]
    stride: Annotated[float, Field(gt=0)]
    effects: list[KnownEffect]


class Rules(BaseModel):
    """The rules that a search has found.

    spread: standard deviation of its networks' losses.
    """

    model_config = _STRICT

    version: Literal[1] = 1
    space: str
    data: str
    backbones: list[str]
    networks: Annotated[int, Field(ge=1)]
    spread: Annotated[float, Field(gt=0)]
    sites: Annotated[list[KnownSite], Field(min_length=1)]

    def expected(self, where: SiteLocation, labels: Sequence[str]) -> NDArray[np.float64]:
        """Return what each label is expected to save at a site, in spreads: (labels,).

        A kind that no site has had counts as the average block there; `keep` saves nothing.
        """
        savings = [self._expected(where, label) for label in labels]
        return np.array(savings, dtype=np.float64)

    def _expected(self, where: SiteLocation, label: str) -> float:
        if label == KEEP:
            return 0.0
        kind, options = parse_label(label)
        known = [
            (site, effect, parse_label(effect.label))
            for site in self.sites
            for effect in site.effects
        ]
        same = [entry for entry in known if entry[2][0] == kind]
        if not same and kind != EMPTY:
            same = [entry for entry in known if entry[2][0] != EMPTY]
            options = {}
        total, weight = 0.0, 1.0  # the prior: nothing, known to one spread
        for site, effect, (_, others) in same:
            near = _likeness(where, site) * _alike(options, others)
            certain = near / effect.deviation**2
            total += certain * effect.saved
            weight += certain
        return total / weight

    def write(self, path: str | Path) -> None:
        """Write the rules as JSON. Raises StorageError when the file cannot be written."""
        write_model(path, self)


def _likeness(where: SiteLocation, site: KnownSite) -> float:
    apart = (
        (where.depth - site.depth) / _DEPTH,
        math.log2(where.channels / site.channels) / _CHANNELS,
        math.log2(where.stride / site.stride) / _STRIDE,
    )
    return math.exp(-0.5 * sum(distance**2 for distance in apart))


def _alike(
    options: dict[str, int | float | str | bool], others: dict[str, int | float | str | bool]
) -> float:
    """Return how alike two blocks of a kind are, by their ratios: 0 to 1."""
    total = 0.0
    for name, value in options.items():
        other = others.get(name, value)
        if (
            isinstance(value, int | float)
            and isinstance(other, int | float)
            and min(value, other) > 0
        ):
            total += (math.log2(value / other) / _RATIO) ** 2
        elif value != other:
            total += 1.0
    return math.exp(-0.5 * total)


def load_rules(path: str | Path) -> Rules:
    """Read what `nas explain RUN --prior FILE` wrote. Raises SpecError."""
    path = Path(path)
    if path.is_file() and path.stat().st_size > _MOST_BYTES:
        raise SpecError(f"{path} holds more than {_MOST_BYTES} bytes: it is no file of rules")
    data = read_json(path, "the rules")
    if not isinstance(data, dict) or "sites" not in data:
        raise SpecError(f"{path} holds no rules; write some: nas explain RUN --prior {path}")
    if data.get("version") != VERSION:
        raise SpecError(
            f"{path} holds rules of version {data.get('version')!r}; {VERSION} is read here: write "
            "them again with nas explain RUN --prior FILE"
        )
    rules = parse(Rules, data, str(path))
    for site in rules.sites:
        for effect in site.effects:
            parse_label(effect.label)
    return rules
