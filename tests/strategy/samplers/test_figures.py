from __future__ import annotations

import random

import numpy as np
import pytest
from support.latency_profiles import example_profile

from nas.belief.grid import Codes, Grid
from nas.latency.profile import BackboneLatencies, Profile
from nas.models.candidates import Candidates
from nas.models.cost import cost
from nas.models.site_locations import site_locations
from nas.spec.objective import objectives_named
from nas.spec.prior import KnownEffect, KnownSite, Rules
from nas.spec.space import SearchSpace
from nas.spec.task import Task
from nas.strategy.samplers.figures import SpaceFigures


def candidates(**changes: object) -> Candidates:
    data: dict[str, object] = {
        "name": "t",
        "backbones": ["mobilenetv2_035"],
        "resolutions": [32],
        "total_stride": 16,
        "sites": {"granularity": "stage"},
        "blocks": {"se": {"reduction": [8, 24]}, "eca": {}},
    }
    return Candidates(SearchSpace.model_validate(data | changes))


SPACES = {
    "stages": {},
    "filled": {"backbones": ["mobilenetv3_small_050"], "blocks": {"eca": {}}},
    "two": {
        "backbones": ["mobilenetv2_035", "mobilenetv2_050"],
        "resolutions": [32, 48],
        "blocks": {"coord": {}},
    },
}


def drawn(space: Candidates, count: int) -> tuple[Grid, Codes]:
    grid = Grid(space.parameters())
    rng = random.Random(0)
    return grid, np.array([grid.codes(space.sample(rng), strict=False) for _ in range(count)])


@pytest.mark.parametrize("name", SPACES)
def test_sums_over_places_equal_what_is_counted(name: str) -> None:
    space = candidates(**SPACES[name])
    figures = SpaceFigures(space, task=Task(outputs=10), profile=None)
    grid, codes = drawn(space, 6)
    columns = grid.columns(codes)
    for row in range(len(codes)):
        architecture = space.architecture(grid.values(codes[row]))
        counted = cost(architecture, num_classes=10)
        assert figures.figure("params")(columns)[row] == counted.params
        assert figures.figure("macs")(columns)[row] == counted.macs
        assert figures.figure("blocks")(columns)[row] == len(architecture.blocks)


def test_points_that_are_one_network_settle_as_one() -> None:
    space = candidates(**SPACES["two"])
    figures = SpaceFigures(space, task=Task(outputs=10), profile=None)
    grid = Grid(space.parameters())
    codes = grid.random(200, np.random.default_rng(0))
    settled = figures.settle(codes)
    for before, after in zip(codes[:20], settled[:20], strict=True):
        assert space.architecture(grid.values(before)) == space.architecture(grid.values(after))
    digests = {space.architecture(grid.values(row)).digest for row in settled}
    assert len(np.unique(grid.keys(settled))) == len(digests)
    assert (figures.settle(settled) == settled).all()


def profile_of(space: Candidates) -> Profile:
    ((plain, _),) = space.plains()
    rng = random.Random(0)
    added = {
        site.name: {label: rng.random() for label in place.choices if label != "none"}
        for place in space.decisions(plain)
        for site in place.sites
    }
    branch = BackboneLatencies(
        backbone=plain.backbone,
        resolution=plain.resolution,
        total_stride=plain.total_stride,
        plain_ms=5.0,
        added_ms=added,
    )
    return example_profile().model_copy(update={"branches": [branch]})


def test_a_profile_makes_latency_known() -> None:
    space = candidates()
    profile = profile_of(space)
    figures = SpaceFigures(space, task=Task(outputs=10), profile=profile)
    grid, codes = drawn(space, 5)
    found = figures.figure("latency_ms")(grid.columns(codes))
    for row, latency_ms in zip(codes, found, strict=True):
        architecture = space.architecture(grid.values(row))
        assert latency_ms == pytest.approx(profile.predict(architecture).latency_ms)


def test_knowledge_holds_objectives_limits_and_the_rest() -> None:
    space = candidates(max_insertions=2, constraints={"params": 450_000})
    figures = SpaceFigures(space, task=Task(outputs=10), profile=None)
    knowledge = figures.knowledge(objectives_named(["loss", "params"]))
    assert list(knowledge.objectives) == [1]
    assert len(knowledge.features) == 2
    grid, codes = drawn(candidates(), 40)
    assert knowledge.allowed is not None
    for row, allowed in zip(codes, knowledge.allowed(grid.columns(codes)), strict=True):
        architecture = space.architecture(grid.values(row))
        kept = len(architecture.blocks) <= 2 and cost(architecture, num_classes=10).params <= 450e3
        assert allowed == kept


def test_a_prior_is_one_more_figure_and_sums_over_the_sites_of_a_place() -> None:
    space = candidates()
    ((plain, _),) = space.plains()
    lying = site_locations(space, plain)
    known = [
        KnownSite(
            name=name, depth=where.depth, channels=where.channels, stride=where.stride,
            effects=[KnownEffect(label="se/r8", saved=where.depth, deviation=0.1)],
        )
        for name, where in lying.items()
    ]  # fmt: skip
    rules = Rules(space="t", data="digits", backbones=["net"], networks=9, spread=0.1, sites=known)
    objectives = objectives_named(["loss", "latency_ms"])
    figures = SpaceFigures(space, task=Task(outputs=10), profile=None)
    without = figures.knowledge(objectives)
    with_prior = figures.with_prior(rules).knowledge(objectives)
    assert len(figures.knowledge(objectives).features) == len(without.features)
    assert len(with_prior.features) == len(without.features) + 1
    grid, codes = drawn(space, 6)
    found = with_prior.features[-1](grid.columns(codes))
    for row, value in zip(codes, found, strict=True):
        blocks = space.architecture(grid.values(row)).blocks
        expected = sum(float(rules.expected(lying[b.site], (b.label,))[0]) for b in blocks)
        assert value == pytest.approx(expected)
