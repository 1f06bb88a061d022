"""The networks whose full trainings are the truth, and how each is trained.

The rules of judging stand in RULES.md beside this file; they were written before the first row.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from nas.backbones import find_sites
from nas.base.seeds import derive
from nas.blocks import block_named
from nas.spec.architecture import Architecture, Insertion, Option

__all__ = ["LANDSCAPES", "Landscape", "TruthRow"]

_OPTIONS: dict[str, dict[str, Option]] = {
    "coord": {"reduction": 8},
    "se": {"reduction": 8},
    "eca": {},
    "cbam": {"reduction": 8, "kernel_size": 7},
}
_DRAWN, _PAIRS = 9, 5


@dataclass(frozen=True, slots=True)
class TruthRow:
    """One training of the truth. repeat: of the same network at the same length."""

    network: str
    repeat: int
    epochs: int


@dataclass(frozen=True)
class Landscape:
    """A backbone on some images, and the recipe that its networks are trained with.

    warm_up: in epochs, the same for every length, at most half of it.
    """

    name: str
    backbone: str
    resolution: int
    total_stride: int | None
    learning_rate: float
    warm_up: float
    lengths: tuple[int, ...]
    longest: int

    batch_size = 128

    @property
    def number_of_seeds(self) -> str:
        """The text that seeds are derived from."""
        return f"fidelity {self.name}"

    def seed(self, network: str, repeat: int) -> int:
        """Return the seed of a training: every one has its own."""
        return derive(0, self.number_of_seeds, network, repeat) % 2**31

    def warm_up_share(self, epochs: float) -> float:
        """Return the warm-up as a share of a training of so many epochs."""
        return min(self.warm_up / epochs, 0.5)

    @cached_property
    def sites(self) -> tuple[str, ...]:
        """The names of the sites after each depthwise convolution."""
        found = find_sites(
            self.backbone, self.resolution, self.total_stride, ("after_depthwise",), ()
        )
        return tuple(site.name for site in found)

    @cached_property
    def networks(self) -> Mapping[str, Architecture]:
        """Every network by its name, the same wherever this runs."""
        placed = _small(len(self.sites)) if self.name == "L1" else _deep(len(self.sites))
        return {name: self.architecture(kinds) for name, kinds in placed.items()}

    def truth(self) -> Iterator[TruthRow]:
        """Give the trainings in their order: what is cut short holds every network once."""
        order = sorted(self.networks)
        random.Random(derive(0, self.number_of_seeds, "order")).shuffle(order)
        # The plain network first: every gain is against it.
        order.sort(key=lambda name: name != "plain")
        for length in self.lengths:
            for network in order:
                yield TruthRow(network, 0, length)
        for network in self.twice:
            yield TruthRow(network, 1, self.lengths[-1])
        for network in self.long:
            yield TruthRow(network, 0, self.longest)

    @property
    def twice(self) -> tuple[str, ...]:
        """The networks that are trained with a second seed: the plain one, and others drawn."""
        if self.name != "L1":
            return ()
        others = sorted(set(self.networks) - {"plain"})
        drawn = random.Random(derive(0, self.number_of_seeds, "twice")).sample(others, 11)
        return ("plain", *drawn)

    @property
    def long(self) -> tuple[str, ...]:
        """The networks that are trained for longest."""
        return "plain", "coord everywhere", "coord early", "se everywhere"

    def architecture(self, kinds: tuple[str, ...]) -> Architecture:
        """Return the network with the kind of each site; an empty one stands for no block."""
        insertions = tuple(
            Insertion(site, kind, tuple(block_named(kind).complete(_OPTIONS[kind]).items()))
            for site, kind in zip(self.sites, kinds, strict=True)
            if kind
        )
        return Architecture(self.backbone, self.resolution, insertions, self.total_stride)


def _small(count: int) -> dict[str, tuple[str, ...]]:
    """Name -> kind at each site, of the 36 networks of L1."""
    early = 3
    named = _uniform_and_halves(count, early, tuple(_OPTIONS))
    for kind, site in (("coord", 0), ("coord", 3), ("coord", 6), ("se", 0)):
        named[f"{kind} at {site}"] = _at(count, kind, [site])
    for number in range(_PAIRS):
        # The same blocks in other places: only placement tells the two apart.
        rng = random.Random(derive(0, "fidelity pair", number))
        held = rng.choices(tuple(_OPTIONS), k=rng.randint(3, count - 2))
        blocks = [*held, *[""] * (count - len(held))]
        rng.shuffle(blocks)
        named[f"pair {number} a"] = tuple(blocks)
        while tuple(blocks) in named.values():
            rng.shuffle(blocks)
        named[f"pair {number} b"] = tuple(blocks)
    number = 0
    while number < _DRAWN:
        rng = random.Random(derive(0, "fidelity drawn", number))
        kinds = tuple(rng.choice(["", "", *_OPTIONS]) for _ in range(count))
        assert kinds not in named.values()
        named[f"drawn {number}"] = kinds
        number += 1
    return named


def _deep(count: int) -> dict[str, tuple[str, ...]]:
    """Name -> kind at each site, of the ten networks of L2: six sites are early."""
    early = 6
    named = _uniform_and_halves(count, early, ("coord", "se"))
    for kind in ("eca", "cbam"):
        named[f"{kind} everywhere"] = (kind,) * count
    named["coord early, se late"] = ("coord",) * early + ("se",) * (count - early)
    return named


def _uniform_and_halves(
    count: int, early: int, kinds: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    named = {"plain": ("",) * count}
    for kind in kinds:
        named[f"{kind} everywhere"] = (kind,) * count
        named[f"{kind} early"] = _at(count, kind, range(early))
        named[f"{kind} late"] = _at(count, kind, range(early, count))
    return named


def _at(count: int, kind: str, sites: range | list[int]) -> tuple[str, ...]:
    return tuple(kind if site in sites else "" for site in range(count))


LANDSCAPES = {
    landscape.name: landscape
    for landscape in (
        Landscape(
            "L1",
            backbone="mobilenetv2_cifar",
            resolution=16,
            total_stride=None,
            learning_rate=0.1,
            warm_up=1.5,
            lengths=(15,),
            longest=60,
        ),
        Landscape(
            "L2",
            backbone="mobilenetv2_035",
            resolution=32,
            total_stride=16,
            learning_rate=0.05,
            warm_up=4.0,
            lengths=(12, 4),
            longest=40,
        ),
    )
}
