"""What there is to decide for one backbone at one resolution of a search space."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nas.backbones import Site
from nas.base.errors import SpecError
from nas.base.size import Resolution
from nas.blocks import BLOCKS, Block, block_named
from nas.models.build import is_excluded, selected_sites
from nas.models.task_sites import find_task_sites
from nas.spec.architecture import (
    EMPTY,
    KEEP,
    Architecture,
    Insertion,
    Option,
    Share,
    block_label,
)
from nas.spec.space import SearchSpace, SiteRule
from nas.spec.task import Task

__all__ = ["Branch", "Decision", "branches_of"]


@dataclass(frozen=True, slots=True)
class Decision:
    """A site that is decided by itself, or all sites of a stage or network decided as one.

    choices: labels of blocks, behind `none`, or `keep` and `none` where a slot comes filled.
    """

    name: str
    sites: tuple[Site, ...]
    choices: tuple[str, ...]

    @property
    def idle(self) -> str:
        """The choice that inserts nothing and leaves slots as they come."""
        return KEEP if KEEP in self.choices else EMPTY


@dataclass(frozen=True, slots=True)
class Branch:
    """A backbone at a resolution, with its decisions and the patterns that left sites out."""

    backbone: str
    resolution: Resolution
    total_stride: int | None
    decisions: tuple[Decision, ...]
    exclude: tuple[str, ...]
    output_stride: int | None = None
    share: Share | None = None

    @property
    def sites(self) -> tuple[Site, ...]:
        """The sites of all decisions, in their order."""
        return tuple(site for decision in self.decisions for site in decision.sites)

    @property
    def plain(self) -> Architecture:
        """The backbone as it comes."""
        return self.architecture(())

    @property
    def emptied(self) -> Architecture:
        """The network without any block."""
        return self.architecture(Insertion(site.name, EMPTY) for site in self.sites if site.filled)

    def architecture(self, insertions: Iterable[Insertion]) -> Architecture:
        """Return the backbone with these insertions."""
        return Architecture(
            self.backbone,
            self.resolution,
            tuple(insertions),
            self.total_stride,
            self.output_stride,
            self.share,
        )

    def count(self, limit: int | None) -> int:
        """Count the distinct networks with at most this many blocks; None means any number."""
        # By how many blocks they hold: a product of small polynomials.
        ways = [1]
        for decision in self.decisions:
            idle = sum(choice in {KEEP, EMPTY} for choice in decision.choices)
            size = len(decision.sites)
            product = [0] * (len(ways) + size)
            for blocks, number in enumerate(ways):
                product[blocks] += number * idle
                product[blocks + size] += number * (len(decision.choices) - idle)
            ways = product
        return sum(ways if limit is None else ways[: limit + 1])


def branches_of(space: SearchSpace, task: Task | None = None) -> tuple[Branch, ...]:
    """Return a branch for each backbone of a space at each resolution.

    task: what networks are for; None: not known, so that a space may be of backbones alone.
    Raises SpecError when a block fits no site, or when a pattern to exclude matches none.
    """
    branches = tuple(
        _branch(space, backbone, resolution, task)
        for backbone, resolution in itertools.product(space.backbones, space.resolutions)
    )
    matching = {pattern for branch in branches for pattern in branch.exclude}
    for pattern in space.sites.exclude:
        if pattern not in matching:
            names = ", ".join(site.name for site in branches[0].sites)
            raise SpecError(
                f"exclude {pattern!r} matches no site; change it in the space; there are: {names}"
            )
    return branches


def _branch(space: SearchSpace, backbone: str, resolution: Resolution, task: Task | None) -> Branch:
    rule = space.sites
    plain = Architecture(backbone, resolution, (), space.total_stride, space.output_stride)
    sites = find_task_sites(plain, rule, task)
    exclude = tuple(
        pattern
        for pattern in rule.exclude
        if any(is_excluded(site, [pattern], backbone) for site in sites)
    )
    groups = _grouped(selected_sites(sites, exclude, backbone), rule)
    decisions = tuple(
        Decision(name, group, _choices(space.blocks, group)) for name, group in groups.items()
    )
    fitting = {label.partition("/")[0] for decision in decisions for label in decision.choices}
    for block, options in space.blocks.items():
        if block not in fitting:
            raise SpecError(
                f"block {block!r} fits no site of {backbone!r}: "
                + _why_nowhere(block_named(block), options, decisions)
            )
    return Branch(
        backbone,
        resolution,
        total_stride=space.total_stride,
        decisions=decisions,
        exclude=exclude,
        output_stride=space.output_stride,
        share=space.share,
    )


def _grouped(sites: tuple[Site, ...], rule: SiteRule) -> dict[str, tuple[Site, ...]]:
    """Name of a decision -> the sites that it is about."""
    groups: dict[str, tuple[Site, ...]] = {}
    several = len({site.position for site in sites}) > 1
    whole = "network" if len({site.part for site in sites}) < 2 else None
    for site in sites:
        suffix = f"/{site.position}" if several else ""
        names = {
            "block": site.name,
            "stage": site.stage + suffix,
            "network": (whole or site.part) + suffix,
        }
        name = names[rule.granularity]
        groups[name] = (*groups.get(name, ()), site)
    return groups


def _choices(
    blocks: Mapping[str, Mapping[str, list[Option]]], sites: tuple[Site, ...]
) -> tuple[str, ...]:
    """Return the labels that build distinct networks at these sites."""
    labels = [KEEP, EMPTY] if any(site.filled for site in sites) else [EMPTY]
    for name, options in blocks.items():
        block = BLOCKS[name]
        distinct: dict[object, str] = {}
        for values in _combinations(block, options):
            if any(block.applies(site, values) for site in sites):
                continue
            network = tuple(block.same_network(site.channels, values) for site in sites)
            distinct.setdefault(network, block_label(name, values))
        labels.extend(distinct.values())
    return tuple(labels)


def _combinations(block: Block, options: Mapping[str, list[Option]]) -> list[dict[str, Option]]:
    """Return every combination of options, the paper's values first, then the largest."""
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
    block: Block, options: Mapping[str, list[Option]], decisions: tuple[Decision, ...]
) -> str:
    """Return the reasons at the last decision, where maps are small and channels are many."""
    reasons = {
        block.applies(site, values)
        for values in _combinations(block, options)
        for site in decisions[-1].sites
    }
    return "; ".join(sorted(reason for reason in reasons if reason))
