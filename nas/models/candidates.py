"""The candidates of a search space: parameters as a sampler sees them, and architectures."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from nas.backbones import Site, check_backbone
from nas.base.errors import SpecError
from nas.blocks import BLOCKS, block_named
from nas.models.build import uniform
from nas.models.decisions import Branch, Decision, branches_of
from nas.spec.architecture import (
    EMPTY,
    KEEP,
    PLAIN,
    Architecture,
    Insertion,
    block_label,
    parse_label,
)
from nas.spec.own_backbone import absolute
from nas.spec.space import SearchSpace, parse_space
from nas.spec.task import Task

__all__ = ["Candidates", "check_names", "given_space", "load_space"]


def load_space(path: str | Path) -> SearchSpace:
    """Read a search space file and check that all it names exists.

    Raises SpecError when it cannot be read or names what does not exist.
    """
    space = parse_space(path)
    try:
        check_names(space)
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
    return _found_from_anywhere(space)


def given_space(space: SearchSpace | str | Path) -> SearchSpace:
    """Return a space that is given as it is, or as its file. Raises SpecError as `load_space`."""
    return _found_from_anywhere(space) if isinstance(space, SearchSpace) else load_space(space)


def _found_from_anywhere(space: SearchSpace) -> SearchSpace:
    """Return the space with the paths of user's files from the root."""
    backbones = [absolute(backbone) for backbone in space.backbones]
    if backbones == space.backbones:
        return space
    return space.model_copy(update={"backbones": backbones})


def check_names(space: SearchSpace) -> None:
    """Check that the backbones, blocks and options of a space exist.

    Raises SpecError for one that does not.
    """
    for backbone in space.backbones:
        check_backbone(backbone)
    for name, options in space.blocks.items():
        block = block_named(name)
        for option, values in options.items():
            for value in values:
                block.complete({option: value})


class Candidates:
    """A search space whose sites were found: parameters, architectures and back again.

    Options that build the same network at a site (hidden widths have a floor) are one
    choice, written with the paper's ratio where the space has it.

    task: what the networks are for, however many classes there are; None: not known, so that a
        space with sites in necks or heads is refused.
    Raises SpecError when a block of the space fits no site, or nothing can be built.
    """

    def __init__(self, space: SearchSpace, task: Task | None = None) -> None:
        check_names(space)
        space = _found_from_anywhere(space)
        self.space = space
        self.task = task
        self._branches = branches_of(space, task)
        choices: dict[tuple[str, str], set[tuple[str, ...]]] = {}
        for branch in self._branches:
            for decision in branch.decisions:
                key = branch.backbone, decision.name
                choices.setdefault(key, set()).add(decision.choices)
        self._differing = {name for (_, name), variants in choices.items() if len(variants) > 1}

    @property
    def sites(self) -> dict[str, tuple[Decision, ...]]:
        """The decisions of each backbone, at the first resolution."""
        return {
            branch.backbone: branch.decisions
            for branch in self._branches
            if branch.resolution == self.space.resolutions[0]
        }

    # Parameters, as a sampler sees them.

    def parameters(self) -> dict[str, tuple[str, ...]]:
        """Return every categorical parameter that some architecture of the space has."""
        parameters: dict[str, tuple[str, ...]] = {}
        for branch in self._branches:
            parameters |= self.parameters_given(self._head(branch))
        return parameters

    def parameters_given(self, head: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Return the parameters of architectures with this `backbone` and `resolution`."""
        branch = self._chosen_branch(head)
        return self.head | {
            self._key(branch, decision): decision.choices for decision in branch.decisions
        }

    @property
    def head(self) -> dict[str, tuple[str, ...]]:
        """The parameters that decide which others there are; empty for one backbone."""
        head: dict[str, tuple[str, ...]] = {}
        if len(self.space.backbones) > 1:
            head["backbone"] = tuple(self.space.backbones)
        if len(self.space.resolutions) > 1:
            head["resolution"] = tuple(str(side) for side in self.space.resolutions)
        return head

    def _head(self, branch: Branch) -> dict[str, str]:
        values = {"backbone": branch.backbone, "resolution": str(branch.resolution)}
        return {name: values[name] for name in self.head}

    def _chosen_branch(self, head: Mapping[str, str]) -> Branch:
        for branch in self._branches:
            if all(head[name] == value for name, value in self._head(branch).items()):
                return branch
        raise SpecError(f"{dict(head)} is not in space {self.space.name!r}")

    def _branch_of(self, architecture: Architecture) -> Branch | None:
        wanted = architecture.backbone, architecture.resolution
        return next(
            (branch for branch in self._branches if (branch.backbone, branch.resolution) == wanted),
            None,
        )

    def _key(self, branch: Branch, decision: Decision) -> str:
        """Return the parameter of a decision.

        A parameter's choices never change: several resolutions share it, unless a block
        fits the map of one and not that of another.
        """
        name = decision.name
        key = f"{branch.backbone}:{name}" if len(self.space.backbones) > 1 else name
        return f"{key}@{branch.resolution}" if name in self._differing else key

    def architecture(self, values: Mapping[str, str]) -> Architecture:
        """Return the architecture that a full set of parameter values describes."""
        branch = self._chosen_branch(values)
        insertions = []
        for decision in branch.decisions:
            label = values[self._key(branch, decision)]
            if label == KEEP:
                continue
            for site in decision.sites:
                if label != EMPTY:
                    insertions.append(Insertion.of(site.name, label))
                elif site.filled:
                    insertions.append(Insertion(site.name, EMPTY))
        return branch.architecture(insertions)

    def values(self, architecture: Architecture) -> dict[str, str] | None:
        """Return the parameter values of an architecture; None when it is not in the space."""
        branch = self._branch_of(architecture)
        if branch is None:
            return None
        labels = {insertion.site: insertion.label for insertion in architecture.insertions}
        values = self._head(branch)
        for decision in branch.decisions:
            # Emptying the sites of a decision says nothing of those that were empty before.
            named = (labels[site.name] for site in decision.sites if site.name in labels)
            label = next(named, decision.idle)
            if label not in decision.choices:
                return None
            values[self._key(branch, decision)] = label
        return values if self.architecture(values) == architecture else None

    def as_written(self, architecture: Architecture) -> Architecture:
        """Return a network as the space writes it; itself where the space does not hold it.

        Options that build the same network at a site are one choice, and have one label.
        """
        branch = self._branch_of(architecture)
        if branch is None:
            return architecture
        held = {insertion.site: insertion for insertion in architecture.insertions}
        for decision in branch.decisions:
            for label in decision.choices:
                if all(_is_same(site, held.get(site.name), label) for site in decision.sites):
                    held |= {site.name: Insertion.of(site.name, label) for site in decision.sites}
        return replace(architecture, insertions=tuple(held.values()))

    def limit_insertions(self, values: Mapping[str, str], rng: random.Random) -> dict[str, str]:
        """Keep at most `max_insertions` blocks, chosen at random.

        A decision is emptied whole, with all its sites.
        """
        limit = self.space.max_insertions
        limited = dict(values)
        if limit is None:
            return limited
        branch = self._chosen_branch(values)
        inserting = [
            decision
            for decision in branch.decisions
            if limited[self._key(branch, decision)] not in {KEEP, EMPTY}
        ]
        rng.shuffle(inserting)
        for decision in inserting:
            if len(self.architecture(limited).blocks) <= limit:
                break
            limited[self._key(branch, decision)] = decision.idle
        return limited

    def sample(self, rng: random.Random) -> dict[str, str]:
        """Draw parameter values within `max_insertions`.

        They are spread evenly over the number of blocks and over their kinds: uniform labels
        would put a block nearly everywhere, mostly of the kind with the most options, and
        never show the fast end of the front.
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
                drawn = blocks if blocks and rng.random() < share else idle
                values[name] = rng.choice(kinds[rng.choice(drawn)])
        return self.limit_insertions(values, rng)

    # What there is.

    def count(self) -> int:
        """Count the different networks of the space, within `max_insertions`."""
        return sum(branch.count(self.space.max_insertions) for branch in self._branches)

    def plains(self) -> list[tuple[Architecture, tuple[Site, ...]]]:
        """Return the plain network of each backbone at each resolution, with its sites."""
        return [(branch.plain, branch.sites) for branch in self._branches]

    def decisions(self, plain: Architecture) -> tuple[Decision, ...]:
        """Return the decisions about one of `plains`."""
        return self._own_branch(plain).decisions

    def parameters_of(self, plain: Architecture) -> tuple[dict[str, str], dict[str, Decision]]:
        """Return the values that choose one of `plains`, and its decisions by their parameters."""
        branch = self._own_branch(plain)
        decisions = {self._key(branch, decision): decision for decision in branch.decisions}
        return self._head(branch), decisions

    def _own_branch(self, plain: Architecture) -> Branch:
        branch = self._branch_of(plain)
        assert branch is not None, plain
        return branch

    def emptied(self, plain: Architecture) -> Architecture:
        """Return one of `plains` without what its slots came with; itself where they are empty."""
        return self._own_branch(plain).emptied

    def leanest(self) -> tuple[Architecture, ...]:
        """Return the network without any block, for each backbone and resolution.

        No other network is smaller.
        """
        return tuple(branch.emptied for branch in self._branches)

    def references(self) -> dict[str, Architecture]:
        """Return the hand-placed networks by name.

        They are the plain backbone (as it comes, and emptied where it comes with blocks), and
        every block of the space at every site with the paper's options. With several backbones
        or resolutions, their names say which: `coord/r32@NAME-224`.
        """
        references: dict[str, Architecture] = {}
        for number, branch in enumerate(self._branches):
            # The first branch's plain network is what savings are counted from.
            suffix = f"@{branch.backbone}-{branch.resolution}" if number else ""
            for name, block in self._hand_placed(branch):
                references[name + suffix] = uniform(
                    branch.backbone,
                    block,
                    resolution=branch.resolution,
                    total_stride=branch.total_stride,
                    output_stride=branch.output_stride,
                    share=branch.share,
                    exclude=branch.exclude,
                    position=tuple(self.space.sites.position),
                    modules=tuple(self.space.sites.modules),
                    part=tuple(self.space.sites.part),
                    task=self.task,
                    where_it_fits=True,
                )
        return references

    def _hand_placed(self, branch: Branch) -> list[tuple[str, str]]:
        """Return the names of the references with the block that each has everywhere."""
        named = [(PLAIN, KEEP)]
        if any(site.filled for site in branch.sites):
            named.append(("emptied", EMPTY))
        for block in self.space.blocks:
            named.append((block_label(block, BLOCKS[block].defaults), block))
        return named


def _is_same(site: Site, insertion: Insertion | None, label: str) -> bool:
    """Say whether a block that stands at a site is the network that a label builds there."""
    if insertion is None or label in {KEEP, EMPTY}:
        return False
    name, options = parse_label(label)
    if insertion.block != name:
        return False
    block = BLOCKS[name]
    given, labelled = (
        block.same_network(site.channels, block.complete(values))
        for values in (dict(insertion.options), options)
    )
    return given == labelled
