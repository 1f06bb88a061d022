"""The difference table: what each block adds at each site, from graphs of one residual block.

latency(residual block with an insertion) - latency(residual block), added up over the sites,
says what a network takes where multiply-adds say nothing (coordinate attention: 2 % more
multiply-adds, 71 % more time). A few whole networks correct the sum.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from nas.backbones import Site, plain_network
from nas.blocks import BLOCKS, Block
from nas.latency.measure import Latency
from nas.latency.predictor import choose
from nas.latency.profile import BackboneLatencies, Correction, Profile, WholeNetwork, fit_correction
from nas.models.build import build, deploy
from nas.models.candidates import Candidates
from nas.spec.architecture import EMPTY, Architecture, Option, block_label, parse_label

__all__ = [
    "BlockOverhead",
    "MeasurementPlan",
    "PlannedNetwork",
    "TimedGraph",
    "assemble",
    "plan_measurements",
    "whole_network",
]

Label = str
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class TimedGraph:
    """One graph to be timed. key: equal for graphs that take equally long.

    module: builds what is timed. shape: of one image, (channels, height, width).
    what: for people.
    """

    key: str
    what: str
    shape: tuple[int, int, int]
    module: Callable[[], nn.Module]


class BlockOverhead(BaseModel):
    """Where an entry of the table comes from: `part` of the way from one graph to another, less
    the graph without the block.
    """

    model_config = _STRICT

    without: str
    low: str
    high: str
    part: float


class PlannedNetwork(BaseModel):
    """A whole network to be timed. held_out: it only judges the profile."""

    model_config = _STRICT

    architecture: str
    held_out: bool


class MeasurementPlan(BaseModel):
    """How a profile follows from timings. It travels with packed graphs, as JSON.

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
    """Decide what to time for a space: whole networks, and graphs of single residual blocks in
    an order that keeps together what is compared.

    whole: networks to fit to, chosen D-optimally; held_out: others, drawn at random, that tell
    how good the profile is.
    """
    graphs: dict[str, TimedGraph] = {}
    entries: dict[str, dict[str, dict[str, BlockOverhead]]] = {}
    for plain, sites in candidates.plains():
        network = plain_network(plain.backbone, num_classes=10, total_stride=plain.total_stride)
        read = _inputs(network, plain.resolution)
        entries[plain.to_json()] = {
            site.name: _entries(_Host(network, site, read), candidates, graphs) for site in sites
        }
    networks = _whole_networks(candidates, whole, held_out, seed)
    made = MeasurementPlan(space=candidates.space.name, entries=entries, networks=networks)
    return made, tuple(graphs.values())


def _entries(
    host: _Host, candidates: Candidates, graphs: dict[str, TimedGraph]
) -> dict[Label, BlockOverhead]:
    """The table's entries at one site, with the graphs they need."""

    def note(variant: TimedGraph) -> str:
        graphs.setdefault(variant.key, variant)
        return variant.key

    without = note(host.graph(None))
    found: dict[Label, BlockOverhead] = {}
    if host.site.filled:
        emptied = note(host.graph(EMPTY))
        found[EMPTY] = BlockOverhead(without=without, low=emptied, high=emptied, part=0.0)
    for name, block, combinations in _blocks(candidates):
        fitting = [values for values in combinations if not block.applies(host.site, values)]
        for group in _by_width(block, fitting, host.site):
            low, high = group[0], group[-1]
            first = note(host.graph(block_label(name, low[1])))
            last = note(host.graph(block_label(name, high[1])))
            for width, values in group:
                # Time hardly follows the hidden width; what it does is a straight line.
                part = (width - low[0]) / max(1, high[0] - low[0])
                label = block_label(name, values)
                found[label] = BlockOverhead(without=without, low=first, high=last, part=part)
    return found


def _blocks(
    candidates: Candidates,
) -> Iterator[tuple[str, Block, list[dict[str, Option]]]]:
    """The blocks of a space with every combination of options, the paper's among them."""
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
    """Options that differ in hidden width alone, each group from narrow to wide."""
    groups: dict[tuple[object, ...], list[tuple[int, dict[str, Option]]]] = {}
    for values in combinations:
        width = block.width(site.channels, values) if block.width else 0
        _, shared, *rest = block.same_network(site.channels, values)
        same = (*rest,) if block.width else (shared, *rest)
        groups.setdefault(same, []).append((width, values))
    return [sorted(group, key=lambda item: item[0]) for group in groups.values()]


class _Host:
    """One residual block of a plain network, by itself, with one of its sites."""

    def __init__(
        self, network: nn.Module, site: Site, read: Mapping[str, tuple[int, int, int]]
    ) -> None:
        self.site = site
        slot = site.slot
        inside = f"{slot.module}.".startswith(f"{slot.host}.")
        # In a flat network the block stands before a layer of the next module.
        path = slot.host if inside else slot.module
        self.module = network.get_submodule(path)
        self.shape = read[path]
        self.slot = replace(slot, module=slot.module.removeprefix(path).removeprefix("."))

    def graph(self, label: Label | None) -> TimedGraph:
        """The block as it comes (None), emptied, or with an insertion."""
        probe = self._with(label)
        text = f"{self.shape} {probe!r} {self.slot.module} {self.slot.way}"
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        what = f"{self.site.name} {label or 'as it comes'}"
        return TimedGraph(key, what, self.shape, lambda: self._with(label))

    def _with(self, label: Label | None) -> nn.Module:
        module = copy.deepcopy(self.module)
        if label == EMPTY:
            self.slot.fill(module, nn.Identity())
        elif label is not None:
            self.slot.fill(module, _block(label, self.site))
        return module.eval()


def _block(label: Label, site: Site) -> nn.Module:
    """A block as it is shipped: gates folded where they can be."""
    name, options = parse_label(label)
    block = BLOCKS[name]
    module = block.assemble(site.channels, site.height, site.width, "identity", options)
    if site.slot.follower is not None:
        block.fold(module)
    return module.eval()


def _inputs(network: nn.Module, resolution: int) -> dict[str, tuple[int, int, int]]:
    """Path of a module -> (channels, height, width) of the map that it reads."""
    shapes: dict[str, tuple[int, int, int]] = {}

    def noting(path: str) -> Callable[..., None]:
        def note(_module: nn.Module, inputs: tuple[object, ...]) -> None:
            if inputs and isinstance(inputs[0], Tensor) and inputs[0].ndim == 4:
                _, channels, height, width = inputs[0].shape
                shapes[path] = (channels, height, width)

        return note

    handles = [
        module.register_forward_pre_hook(noting(path)) for path, module in network.named_modules()
    ]
    with torch.inference_mode():
        network.eval()(torch.zeros(1, 3, resolution, resolution))
    for handle in handles:
        handle.remove()
    return shapes


def whole_network(architecture: Architecture, num_classes: int) -> nn.Module:
    """A candidate as it would be shipped: gates folded."""
    network = build(architecture, num_classes=num_classes, start="identity")
    return deploy(network, architecture)


def _whole_networks(
    candidates: Candidates, whole: int, held_out: int, seed: int
) -> dict[str, PlannedNetwork]:
    """The plain networks, those chosen to fit to, and those drawn to judge by."""
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
        fitted += [pool[at] for at in choose(_features(candidates, pool), number, seed=seed)]
    found = {
        item.digest: PlannedNetwork(architecture=item.to_json(), held_out=False) for item in fitted
    }
    return found | {
        digest: PlannedNetwork(architecture=drawn[digest].to_json(), held_out=True)
        for digest in unseen
    }


def _features(candidates: Candidates, pool: Sequence[Architecture]) -> np.ndarray:
    """What tells networks apart in time before anything is measured: by kind of block, how many
    and how large their maps. (n, 1 + 2 kinds)
    """
    kinds = list(candidates.space.blocks)
    sizes = {
        (plain.backbone, plain.resolution, site.name): site.channels * site.height * site.width
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


def assemble(
    made: MeasurementPlan,
    graphs: Mapping[str, float],
    networks: Mapping[str, Latency],
    *,
    device: str,
    runtime: str,
    processor: str,
    clock: str,
    classes: int,
) -> Profile:
    """A profile from what was timed. graphs: milliseconds by key; networks: by digest."""
    branches = []
    for text, table in made.entries.items():
        plain = Architecture.from_json(text)
        branches.append(
            BackboneLatencies(
                backbone=plain.backbone,
                resolution=plain.resolution,
                total_stride=plain.total_stride,
                plain_ms=networks[plain.digest].latency_ms,
                added_ms={
                    site: {label: _value(entry, graphs) for label, entry in labels.items()}
                    for site, labels in table.items()
                },
            )
        )
    whole = [
        WholeNetwork(
            architecture=item.architecture,
            measured_ms=networks[digest].latency_ms,
            spread=None if math.isnan(networks[digest].spread) else networks[digest].spread,
            fitted=not item.held_out and bool(made.architectures[digest].blocks),
        )
        for digest, item in made.networks.items()
    ]
    draft = Profile(
        device=device,
        runtime=runtime,
        processor=processor,
        clock=clock,
        measured=datetime.now(UTC).isoformat(timespec="seconds"),
        space=made.space,
        classes=classes,
        branches=branches,
        networks=whole,
        correction=Correction(),
        repeatability=_repeatability(whole),
    )
    fitted = [item for item in whole if item.fitted]
    parts = np.array([draft.parts(Architecture.from_json(item.architecture)) for item in fitted])
    measured = np.array([item.measured_ms for item in fitted])
    return draft.model_copy(update={"correction": _fitted(parts.reshape(-1, 3), measured)})


def _repeatability(networks: Sequence[WholeNetwork]) -> float | None:
    # A spread is half of what lies between two halves.
    apart = [2 * item.spread for item in networks if item.spread is not None]
    return float(np.percentile(apart, 95)) if len(apart) == len(networks) else None


def _fitted(parts: np.ndarray, measured: np.ndarray) -> Correction:
    return fit_correction(parts[:, 0], parts[:, 1], parts[:, 2], measured)


def _value(entry: BlockOverhead, graphs: Mapping[str, float]) -> float:
    ends = graphs[entry.low] * (1 - entry.part) + graphs[entry.high] * entry.part
    return ends - graphs[entry.without]
