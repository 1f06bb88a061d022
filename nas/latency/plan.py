"""The plan of what to time for a difference table: what each block adds at each site.

latency(residual block with an insertion) - latency(residual block), added up over the sites,
says what a network takes where multiply-adds say nothing (coordinate attention: 2 % more
multiply-adds, 71 % more time). A few whole networks correct the sum.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Annotated

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from nas.backbones import Site
from nas.blocks import BLOCKS, Block
from nas.latency.design import choose
from nas.latency.host_block import HostBlock, TimedGraph, input_shapes
from nas.models.candidates import Candidates
from nas.models.merged_branches import with_merged_branches
from nas.models.task_network import plain_network_of
from nas.spec.architecture import EMPTY, Architecture, Option, block_label
from nas.spec.task import Task

__all__ = ["BlockOverhead", "MeasurementPlan", "PlannedNetwork", "plan_measurements"]

_CLASSES = 10  # of a backbone, of which single blocks are timed
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _of_one_map(keys: object) -> object:
    """Read what packs of before say: a single key, of the largest map."""
    return [keys] if isinstance(keys, str) else keys


Keys = Annotated[list[str], Field(min_length=1), BeforeValidator(_of_one_map)]


class BlockOverhead(BaseModel):
    """The graphs that an entry of the table comes from, by their keys.

    Each is of one map of the site, whose times add up. An entry is `part` of the way from `low` to
    `high`, less the graphs without the block.
    """

    model_config = _STRICT

    without: Keys
    low: Keys
    high: Keys
    part: float


class PlannedNetwork(BaseModel):
    """A whole network to be timed.

    architecture: canonical JSON.
    held_out: whether it only judges the profile.
    """

    model_config = _STRICT

    architecture: str
    held_out: bool


class MeasurementPlan(BaseModel):
    """The way from timings to a profile. It travels with packed graphs, as JSON.

    entries: canonical JSON of a plain network -> site -> label -> graphs.
    networks: by digest, the plain ones first.
    """

    model_config = _STRICT

    space: str
    entries: dict[str, dict[str, dict[str, BlockOverhead]]]
    networks: dict[str, PlannedNetwork]

    @property
    def architectures(self) -> dict[str, Architecture]:
        """The whole networks, by digest."""
        return {
            digest: Architecture.from_json(item.architecture)
            for digest, item in self.networks.items()
        }


def plan_measurements(
    candidates: Candidates, *, whole: int = 8, held_out: int = 6, seed: int = 0
) -> tuple[MeasurementPlan, tuple[TimedGraph, ...]]:
    """Decide what to time for a space: whole networks, and graphs of single residual blocks.

    whole: number of networks to fit to, chosen D-optimally.
    held_out: number of others, drawn at random, that tell how good the profile is.
    Returns the plan, and its graphs in an order that keeps together what is compared.
    """
    graphs: dict[str, TimedGraph] = {}
    entries: dict[str, dict[str, dict[str, BlockOverhead]]] = {}
    for plain, sites in candidates.plains():
        entries[plain.to_json()] = {
            host.site.name: _entries(host, candidates, graphs)
            for host in _hosts(plain, sites, candidates.task)
        }
    networks = _whole_networks(candidates, whole, held_out, seed)
    plan = MeasurementPlan(space=candidates.space.name, entries=entries, networks=networks)
    return plan, tuple(graphs.values())


def _hosts(plain: Architecture, sites: Sequence[Site], task: Task | None) -> Iterator[HostBlock]:
    """Yield the residual blocks of sites: those of the backbone by itself, then those around it."""
    in_backbone = [site for site in sites if site.part == "backbone"]
    around = [site for site in sites if site.part != "backbone"]
    for wanted, purpose in ((in_backbone, Task(outputs=_CLASSES)), (around, task)):
        if wanted and purpose is not None:
            network = with_merged_branches(plain_network_of(plain, purpose), plain, purpose)
            inputs = input_shapes(network, plain.resolution)
            for site in wanted:
                yield HostBlock(network, site, inputs)


def _entries(
    host: HostBlock, candidates: Candidates, graphs: dict[str, TimedGraph]
) -> dict[str, BlockOverhead]:
    """Return the table's entries at one site, by label; `graphs` takes up those they need."""

    def note(label: str | None) -> list[str]:
        variants = host.graphs(label)
        for variant in variants:
            graphs.setdefault(variant.key, variant)
        return [variant.key for variant in variants]

    without = note(None)
    entries: dict[str, BlockOverhead] = {}
    if host.site.filled:
        emptied = note(EMPTY)
        entries[EMPTY] = BlockOverhead(without=without, low=emptied, high=emptied, part=0.0)
    for name, block, combinations in _blocks(candidates):
        fitting = [values for values in combinations if not block.applies(host.site, values)]
        for group in _by_width(block, fitting, host.site):
            low, high = group[0], group[-1]
            first = note(block_label(name, low[1]))
            last = note(block_label(name, high[1]))
            for width, values in group:
                # Time hardly follows the hidden width; what it does is a straight line.
                part = (width - low[0]) / max(1, high[0] - low[0])
                label = block_label(name, values)
                entries[label] = BlockOverhead(without=without, low=first, high=last, part=part)
    return entries


def _blocks(
    candidates: Candidates,
) -> Iterator[tuple[str, Block, list[dict[str, Option]]]]:
    """Yield the blocks of a space with all combinations of options, the paper's among them."""
    for name, options in candidates.space.blocks.items():
        block = BLOCKS[name]
        values = [
            [{option: value} for value in dict.fromkeys([*choices, block.defaults[option]])]
            for option, choices in options.items()
        ]
        combinations = [
            block.complete({key: value for one in chosen for key, value in one.items()})
            for chosen in itertools.product(*values)
        ]
        distinct = {block_label(name, item): item for item in [*combinations, block.defaults]}
        yield name, block, list(distinct.values())


def _by_width(
    block: Block, combinations: Sequence[dict[str, Option]], site: Site
) -> list[list[tuple[int, dict[str, Option]]]]:
    """Group options that differ in hidden width alone, each group from narrow to wide."""
    groups: dict[tuple[object, ...], list[tuple[int, dict[str, Option]]]] = {}
    for values in combinations:
        width = block.width(site.channels, values) if block.width else 0
        _, shared, *rest = block.same_network(site.channels, values)
        same = (*rest,) if block.width else (shared, *rest)
        groups.setdefault(same, []).append((width, values))
    return [sorted(group, key=lambda item: item[0]) for group in groups.values()]


def _whole_networks(
    candidates: Candidates, whole: int, held_out: int, seed: int
) -> dict[str, PlannedNetwork]:
    """Choose the plain networks, those to fit to, and those to judge by; by digest."""
    rng = random.Random(seed)
    drawn: dict[str, Architecture] = {}
    for _ in range(40 * (whole + held_out)):
        architecture = candidates.architecture(candidates.sample(rng))
        if architecture.blocks:
            drawn.setdefault(architecture.digest, architecture)
    unseen = list(drawn)[:held_out]
    pool = [drawn[digest] for digest in list(drawn)[held_out:]]
    number = min(whole, len(pool))
    fitted = [plain for plain, _ in candidates.plains()]
    if pool:
        fitted += [pool[row] for row in choose(_features(candidates, pool), number, seed=seed)]
    networks = {
        item.digest: PlannedNetwork(architecture=item.to_json(), held_out=False) for item in fitted
    }
    return networks | {
        digest: PlannedNetwork(architecture=drawn[digest].to_json(), held_out=True)
        for digest in unseen
    }


def _features(candidates: Candidates, pool: Sequence[Architecture]) -> np.ndarray:
    """Return what tells networks apart in time before anything is measured, (n, 1 + 2 kinds).

    By kind of block, it is how many there are and how large their maps.
    """
    kinds = list(candidates.space.blocks)
    sizes = {
        (plain.backbone, plain.resolution, site.name): site.channels
        * sum(height * width for height, width in site.maps or ((site.height, site.width),))
        for plain, sites in candidates.plains()
        for site in sites
    }
    rows = np.zeros((len(pool), 1 + 2 * len(kinds)))
    rows[:, 0] = 1.0
    for row, architecture in zip(rows, pool, strict=True):
        for insertion in architecture.blocks:
            column = 1 + 2 * kinds.index(insertion.block)
            row[column] += 1
            size = sizes[architecture.backbone, architecture.resolution, insertion.site]
            row[column + 1] += size
    scaled: np.ndarray = rows / np.maximum(1e-9, np.abs(rows).max(axis=0))
    return scaled
