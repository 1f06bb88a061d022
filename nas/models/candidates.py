"""What a search space can build: the distinct choices at each site of each backbone."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nas.backbones import Site, check_backbone, find_sites
from nas.base.errors import SpecError
from nas.blocks import BLOCKS, Block, block_named
from nas.models.build import is_excluded, selected_sites, uniform
from nas.spec.architecture import EMPTY, KEEP, PLAIN, Architecture, Insertion, Option, block_label
from nas.spec.space import SearchSpace, parse_space

__all__ = ["Candidates", "Decision", "load_space"]


def load_space(path: str | Path) -> SearchSpace:
    """Read a search space file and check that all it names exists. Raises SpecError."""
    space = parse_space(path)
    try:
        check_names(space)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
    return space


def check_names(space: SearchSpace) -> None:
    """Raises SpecError for an unknown backbone, block or option."""
    for backbone in space.backbones:
        check_backbone(backbone)
    for name, options in space.blocks.items():
        block = block_named(name)
        for option, values in options.items():
            for value in values:
                block.complete({option: value})


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision: a site, or all sites of a stage or network that are chosen as one.

    choices: label -> nothing to do (`none`, or `keep` where a slot comes filled) or a block.
    """

    name: str
    sites: tuple[Site, ...]
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _PlainDecisions:
    """A backbone at a resolution, with its places and the patterns that left sites out."""

    backbone: str
    resolution: int
    total_stride: int | None
    places: tuple[Decision, ...]
    exclude: tuple[str, ...]


class Candidates:
    """A search space whose sites were found: parameters, architectures and back again.

    Options that build the same network at a site (hidden widths have a floor) are one
    choice, written with the paper's ratio where the space has it. Raises SpecError when a
    block of the space fits no site, or nothing can be built.
    """

    def __init__(self, space: SearchSpace) -> None:
        check_names(space)
        self.space = space
        self._branches = tuple(
            self._branch(backbone, resolution)
            for backbone, resolution in itertools.product(space.backbones, space.resolutions)
        )
        choices: dict[tuple[str, str], set[tuple[str, ...]]] = {}
        for branch in self._branches:
            for place in branch.places:
                choices.setdefault((branch.backbone, place.name), set()).add(place.choices)
        self._differing = {name for (_, name), found in choices.items() if len(found) > 1}
        used = {pattern for branch in self._branches for pattern in branch.exclude}
        for pattern in space.sites.exclude:
            if pattern not in used:
                names = [site.name for place in self._branches[0].places for site in place.sites]
                raise SpecError(
                    f"exclude {pattern!r} matches no site; change it in the space; there are: "
                    f"{', '.join(names)}"
                )

    @property
    def sites(self) -> dict[str, tuple[Decision, ...]]:
        """Places by backbone, at the first resolution."""
        return {
            branch.backbone: branch.places
            for branch in self._branches
            if branch.resolution == self.space.resolutions[0]
        }

    def _branch(self, backbone: str, resolution: int) -> _PlainDecisions:
        space = self.space
        rule = space.sites
        every = find_sites(backbone, resolution, space.total_stride, rule.position, rule.modules)
        exclude = tuple(
            pattern
            for pattern in rule.exclude
            if any(is_excluded(site, [pattern], backbone) for site in every)
        )
        chosen = selected_sites(every, exclude, backbone)
        groups: dict[str, list[Site]] = {}
        several = len({site.position for site in chosen}) > 1
        for site in chosen:
            kind = f"/{site.position}" if several else ""
            key = {"block": site.name, "stage": site.stage + kind, "network": "network" + kind}
            groups.setdefault(key[rule.granularity], []).append(site)
        places = tuple(
            Decision(name, tuple(sites), self._choices(tuple(sites)))
            for name, sites in groups.items()
        )
        fitting = {label.partition("/")[0] for place in places for label in place.choices}
        for block, options in space.blocks.items():
            if block not in fitting:
                raise SpecError(
                    f"block {block!r} fits no site of {backbone!r}: "
                    + _why_nowhere(block_named(block), options, places)
                )
        return _PlainDecisions(backbone, resolution, space.total_stride, places, exclude)

    def _choices(self, sites: tuple[Site, ...]) -> tuple[str, ...]:
        idle = (KEEP, EMPTY) if any(site.filled for site in sites) else (EMPTY,)
        labels = list(idle)
        for name, options in self.space.blocks.items():
            block = BLOCKS[name]
            distinct: dict[object, str] = {}
            for values in _combinations(block, options):
                if any(block.applies(site, values) for site in sites):
                    continue
                network = tuple(block.same_network(site.channels, values) for site in sites)
                distinct.setdefault(network, block_label(name, values))
            labels.extend(distinct.values())
        return tuple(labels)

    # Parameters, as a sampler sees them.

    def parameters(self) -> dict[str, tuple[str, ...]]:
        """Every categorical parameter that some architecture of the space has."""
        found: dict[str, tuple[str, ...]] = {}
        for branch in self._branches:
            found |= self.parameters_given(self._head(branch))
        return found

    def parameters_given(self, head: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """The parameters that an architecture with this `backbone` and `resolution` has."""
        branch = self._find(head)
        return self.head | {self._key(branch, place): place.choices for place in branch.places}

    @property
    def head(self) -> dict[str, tuple[str, ...]]:
        """The parameters that decide which others there are; empty for one backbone."""
        head: dict[str, tuple[str, ...]] = {}
        if len(self.space.backbones) > 1:
            head["backbone"] = tuple(self.space.backbones)
        if len(self.space.resolutions) > 1:
            head["resolution"] = tuple(str(item) for item in self.space.resolutions)
        return head

    def _head(self, branch: _PlainDecisions) -> dict[str, str]:
        values = {"backbone": branch.backbone, "resolution": str(branch.resolution)}
        return {name: values[name] for name in self.head}

    def _find(self, head: Mapping[str, str]) -> _PlainDecisions:
        for branch in self._branches:
            if all(head[name] == value for name, value in self._head(branch).items()):
                return branch
        raise SpecError(f"{dict(head)} is not in space {self.space.name!r}")

    def _key(self, branch: _PlainDecisions, place: Decision) -> str:
        """A parameter's choices never change: several resolutions share it, unless a block
        fits the map of one and not that of another.
        """
        key = f"{branch.backbone}:{place.name}" if len(self.space.backbones) > 1 else place.name
        return f"{key}@{branch.resolution}" if place.name in self._differing else key

    def architecture(self, values: Mapping[str, str]) -> Architecture:
        """The architecture that a full set of parameter values describes."""
        branch = self._find(values)
        insertions = []
        for place in branch.places:
            label = values[self._key(branch, place)]
            if label == KEEP:
                continue
            for site in place.sites:
                if label != EMPTY:
                    insertions.append(Insertion.of(site.name, label))
                elif site.filled:
                    insertions.append(Insertion(site.name, EMPTY))
        return Architecture(
            branch.backbone, branch.resolution, tuple(insertions), branch.total_stride
        )

    def values(self, architecture: Architecture) -> dict[str, str] | None:
        """The parameter values of an architecture; None when the space does not hold it."""
        for branch in self._branches:
            if (branch.backbone, branch.resolution) == (
                architecture.backbone,
                architecture.resolution,
            ):
                break
        else:
            return None
        labels = {item.site: item.label for item in architecture.insertions}
        found = self._head(branch)
        for place in branch.places:
            idle = KEEP if KEEP in place.choices else EMPTY
            # Emptying a place says nothing of its sites that were empty before.
            label = next((labels[site.name] for site in place.sites if site.name in labels), idle)
            if label not in place.choices:
                return None
            found[self._key(branch, place)] = label
        return found if self.architecture(found) == architecture else None

    def limit_insertions(self, values: Mapping[str, str], rng: random.Random) -> dict[str, str]:
        """Keep at most `max_insertions` blocks, chosen at random; whole places are emptied."""
        limit = self.space.max_insertions
        limited = dict(values)
        if limit is None:
            return limited
        branch = self._find(values)
        taken = [place for place in branch.places if self._inserts(limited, branch, place)]
        rng.shuffle(taken)
        for place in taken:
            if len(self.architecture(limited).blocks) <= limit:
                break
            limited[self._key(branch, place)] = KEEP if KEEP in place.choices else EMPTY
        return limited

    def _inserts(self, values: Mapping[str, str], branch: _PlainDecisions, place: Decision) -> bool:
        return values[self._key(branch, place)] not in {KEEP, EMPTY}

    def sample(self, rng: random.Random) -> dict[str, str]:
        """Random parameter values within `max_insertions`.

        Spread evenly over the number of blocks and over their kinds: uniform labels would put
        a block nearly everywhere, mostly of the kind with the most options, and never show the
        fast end of the front.
        """
        head = {name: rng.choice(choices) for name, choices in self.head.items()}
        share = rng.random()
        values = dict(head)
        for name, choices in self.parameters_given(head).items():
            if name not in head:
                kinds: dict[str, list[str]] = {}
                for label in choices:
                    kinds.setdefault(label.partition("/")[0], []).append(label)
                idle = [kind for kind in kinds if kind in {KEEP, EMPTY}]
                blocks = [kind for kind in kinds if kind not in idle]
                taken = blocks if blocks and rng.random() < share else idle
                values[name] = rng.choice(kinds[rng.choice(taken)])
        return self.limit_insertions(values, rng)

    # What there is.

    def count(self) -> int:
        """How many different networks the space holds, `max_insertions` taken into account."""
        return sum(_count(branch, self.space.max_insertions) for branch in self._branches)

    def plains(self) -> list[tuple[Architecture, tuple[Site, ...]]]:
        """The plain network of each backbone at each resolution, with its sites."""
        return [
            (
                Architecture(branch.backbone, branch.resolution, (), branch.total_stride),
                tuple(site for place in branch.places for site in place.sites),
            )
            for branch in self._branches
        ]

    def places(self, plain: Architecture) -> tuple[Decision, ...]:
        """The places of one of `plains`."""
        branch = next(
            branch
            for branch in self._branches
            if (branch.backbone, branch.resolution) == (plain.backbone, plain.resolution)
        )
        return branch.places

    def parameters_of(self, plain: Architecture) -> tuple[dict[str, str], dict[str, Decision]]:
        """Of one of `plains`: the values that choose it, and its places by their parameters."""
        branch = next(
            branch
            for branch in self._branches
            if (branch.backbone, branch.resolution) == (plain.backbone, plain.resolution)
        )
        return self._head(branch), {self._key(branch, place): place for place in branch.places}

    def leanest(self) -> tuple[Architecture, ...]:
        """The network without any block, for each backbone and resolution: no other is smaller."""
        return tuple(
            Architecture(
                branch.backbone,
                branch.resolution,
                tuple(
                    Insertion(site.name, EMPTY)
                    for place in branch.places
                    for site in place.sites
                    if site.filled
                ),
                branch.total_stride,
            )
            for branch in self._branches
        )

    def references(self) -> dict[str, Architecture]:
        """The hand-placed networks: the plain backbone (as it comes, and emptied where it
        comes with blocks), and every block of the space at every site with the paper's options.

        With several backbones or resolutions, their names say which: `coord/r32@NAME-224`.
        """
        found: dict[str, Architecture] = {}
        for number, branch in enumerate(self._branches):
            # The first branch's plain network is what savings are counted from.
            suffix = f"@{branch.backbone}-{branch.resolution}" if number else ""
            for name, block in self._hand_placed(branch):
                architecture = uniform(
                    branch.backbone,
                    block,
                    resolution=branch.resolution,
                    total_stride=branch.total_stride,
                    exclude=branch.exclude,
                    position=tuple(self.space.sites.position),
                    modules=tuple(self.space.sites.modules),
                    where_it_fits=True,
                )
                found[name + suffix] = architecture
        return found

    def _hand_placed(self, branch: _PlainDecisions) -> list[tuple[str, str]]:
        named = [(PLAIN, KEEP)]
        if any(site.filled for place in branch.places for site in place.sites):
            named.append(("emptied", EMPTY))
        for block in self.space.blocks:
            named.append((block_label(block, BLOCKS[block].defaults), block))
        return named


def _combinations(block: Block, options: Mapping[str, list[Option]]) -> list[dict[str, Option]]:
    """Every combination of options, the paper's values first, then the largest."""
    names = sorted(options)
    ordered = [_by_preference(block, name, options[name]) for name in names]
    return [
        block.complete(dict(zip(names, values, strict=True)))
        for values in itertools.product(*ordered)
    ]


def _by_preference(block: Block, name: str, values: list[Option]) -> list[Option]:
    def rank(value: Option) -> tuple[bool, float, str]:
        size = -float(value) if isinstance(value, int | float) else 0.0
        return (value != block.defaults[name], size, str(value))

    return sorted(values, key=rank)


def _why_nowhere(
    block: Block, options: Mapping[str, list[Option]], places: tuple[Decision, ...]
) -> str:
    """The reasons at the last place, where maps are small and channels are many."""
    reasons = {
        block.applies(site, values)
        for values in _combinations(block, options)
        for site in places[-1].sites
    }
    return "; ".join(sorted(reason for reason in reasons if reason))


def _count(branch: _PlainDecisions, limit: int | None) -> int:
    """Distinct networks, by how many blocks they hold: a product of small polynomials."""
    ways = [1]
    for place in branch.places:
        idle = sum(choice in {KEEP, EMPTY} for choice in place.choices)
        size = len(place.sites)
        grown = [0] * (len(ways) + size)
        for blocks, number in enumerate(ways):
            grown[blocks] += number * idle
            grown[blocks + size] += number * (len(place.choices) - idle)
        ways = grown
    return sum(ways if limit is None else ways[: limit + 1])
