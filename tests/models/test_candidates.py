from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
import torch
from support.samples import ROOT
from support.searches import space

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.models.build import build, uniform
from nas.models.candidates import Candidates, load_space
from nas.models.site_locations import site_locations
from nas.spec.task import Task

SPACES = sorted((ROOT / "search_spaces").glob("*.yaml"))


OUTSIDE = {"where-to-plug": {"se/r24"}, "little-attention-reid": {"se/r24"}}
"""The hand-placed networks that spaces do not hold."""


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
@pytest.mark.parametrize("run", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_every_space_that_ships_loads_counts_and_runs(path: Path, run: int) -> None:
    """run: how many of its networks."""
    space = load_space(path)
    parts = space.sites.part != ["backbone"]
    task = Task("segmentation", 3, "fpn") if parts else Task(outputs=3)
    candidates = Candidates(space, task)
    assert candidates.count() > 1
    assert path.read_text().startswith("# "), "say which question it asks"
    rng = random.Random(0)
    for number in range(20):
        values = candidates.sample(rng)
        architecture = candidates.architecture(values)
        assert candidates.values(architecture) == values
        if number >= run:
            continue
        with torch.inference_mode():
            scores = build(architecture, task=task)(torch.randn(1, *architecture.size.shape))
        assert scores.shape[:2] == (1, 3)
        assert scores.isfinite().all()
    # Spaces of other papers' questions have other ratios than those of networks placed by hand.
    references = candidates.references()
    outside = {name for name, one in references.items() if candidates.values(one) is None}
    assert outside == OUTSIDE.get(path.stem, set())


def test_the_paper_s_space_holds_its_tables_and_nothing_between() -> None:
    candidates = Candidates(load_space(ROOT / "search_spaces/coordinate-attention-paper.yaml"))
    kinds = 2 + 2 + 2 + 1 + 1  # ratios of SE, CBAM and coordinate attention; X alone, Y alone
    assert candidates.count() == 6 * (1 + kinds) + (2 + kinds)
    held = [
        uniform("mobilenetv2_100", "coord", reduction=16, exclude=["blocks.0.*"]),
        uniform("mobilenext_075", "cbam", reduction=12),
        uniform("efficientnet_b0", "coord_x"),
        uniform("efficientnet_b0", "none"),
    ]
    assert all(candidates.values(architecture) for architecture in held)
    assert not candidates.values(uniform("mobilenetv2_100", "coord"))


def test_several_positions_are_places_of_their_own() -> None:
    both = ["after_depthwise", "after_residual"]
    sites = {"position": both, "granularity": "stage"}
    names = [place.name for place in Candidates(space(sites=sites)).sites["mobilenetv2_035"]]
    assert names[:3] == [
        "blocks.0/after_depthwise",
        "blocks.1/after_depthwise",
        "blocks.1/after_residual",
    ]


def test_resolutions_share_parameters_unless_a_block_fits_one_alone() -> None:
    rule = {"granularity": "block", "exclude": ["blocks.0.*"]}
    candidates = Candidates(
        space(blocks={"pcsa": {"window": [4]}}, resolutions=[32, 64], sites=rule)
    )
    parameters = candidates.parameters()
    assert parameters["blocks.1.0/after_depthwise"] == ("none", "pcsa/heads=1/window=4")
    assert parameters["blocks.6.0/after_depthwise@32"] == ("none",)
    assert parameters["blocks.6.0/after_depthwise@64"] == ("none", "pcsa/heads=1/window=4")
    rng = random.Random(0)
    for _ in range(20):
        values = candidates.sample(rng)
        assert candidates.values(candidates.architecture(values)) == values


def test_modules_by_pattern_are_places() -> None:
    sites = {"modules": ["blocks.*.conv_pwl"], "exclude": ["blocks.1.*"]}
    candidates = Candidates(space(sites=sites))
    (places,) = candidates.sites.values()
    assert [place.name for place in places][:2] == [
        "blocks.2.0.conv_pwl/output",
        "blocks.2.1.conv_pwl/output",
    ]
    values = candidates.sample(random.Random(1))
    build(candidates.architecture(values), num_classes=2)(torch.zeros(1, 3, 32, 32))


def test_patterns_may_leave_out_sites_of_some_backbones_alone() -> None:
    sites = {"exclude": ["mobilenetv2_050:blocks.[01].*", "blocks.0.*"]}
    several = ["mobilenetv2_035", "mobilenetv2_050"]
    found = Candidates(space(backbones=several, sites=sites)).sites
    assert [places[0].name for places in found.values()] == [
        "blocks.1.0/after_depthwise",
        "blocks.2.0/after_depthwise",
    ]


def every_architecture(candidates: Candidates) -> list[str]:
    """All of a small space's architectures, the slow and obvious way."""
    parameters = candidates.parameters()
    limit = candidates.space.max_insertions
    return [
        architecture.digest
        for values in itertools.product(*parameters.values())
        if (architecture := candidates.architecture(dict(zip(parameters, values, strict=True))))
        and (limit is None or len(architecture.blocks) <= limit)
    ]


@pytest.mark.parametrize("limit", [None, 1, 4, 7])
def test_count_equals_the_number_of_different_networks(limit: int | None) -> None:
    candidates = Candidates(space(max_insertions=limit))
    found = every_architecture(candidates)
    assert candidates.count() == len(found) == len(set(found))


def test_options_that_build_the_same_network_are_one_choice() -> None:
    """48 channels: max(8, 48 // r) is 8 for both ratios; 336 channels: 14 and 42."""
    sites = {"granularity": "block", "exclude": ["blocks.0.*"]}
    places = Candidates(space(sites=sites)).sites["mobilenetv2_035"]
    assert places[0].choices == ("none", "se/r24", "eca")
    assert places[-1].choices == ("none", "se/r24", "se/r8", "eca")


def test_granularity_decides_together() -> None:
    assert len(Candidates(space()).sites["mobilenetv2_035"]) == 6
    sites = {"granularity": "network", "exclude": ["blocks.0.*"]}
    network = Candidates(space(sites=sites))
    assert network.count() == 4
    chosen = network.architecture({"network": "eca"})
    assert len(chosen.blocks) == 16


def test_filled_slots_can_be_kept() -> None:
    candidates = Candidates(
        space(backbones=["efficientnet_b0"], total_stride=None, resolutions=[64], sites={})
    )
    place = candidates.sites["efficientnet_b0"][0]
    assert place.choices[:2] == ("keep", "none")
    names = candidates.references()
    assert list(names) == ["plain", "emptied", "se/r24", "eca"]
    assert not names["plain"].insertions
    assert {item.block for item in names["emptied"].insertions} == {"none"}


def test_several_backbones_are_one_space() -> None:
    candidates = Candidates(space(backbones=["mobilenetv2_035", "mobilenetv2_050"]))
    assert candidates.head == {"backbone": ("mobilenetv2_035", "mobilenetv2_050")}
    single = [Candidates(space(backbones=[name])).count() for name in candidates.space.backbones]
    assert candidates.count() == sum(single)
    rng = random.Random(0)
    seen = {candidates.architecture(candidates.sample(rng)).backbone for _ in range(20)}
    assert seen == {"mobilenetv2_035", "mobilenetv2_050"}
    assert "se/r24@mobilenetv2_050-32" in candidates.references()


def test_samples_cover_few_and_many_blocks() -> None:
    sites = {"granularity": "block", "exclude": ["blocks.0.*"]}
    candidates = Candidates(space(sites=sites))
    rng = random.Random(0)
    sizes = [len(candidates.architecture(candidates.sample(rng)).blocks) for _ in range(200)]
    assert min(sizes) == 0
    assert max(sizes) == 16
    assert sum(size <= 4 for size in sizes) > 30


def test_max_insertions_holds_for_every_sample() -> None:
    candidates = Candidates(space(max_insertions=3))
    rng = random.Random(0)
    sizes = {len(candidates.architecture(candidates.sample(rng)).blocks) for _ in range(100)}
    assert max(sizes) == 3


def test_what_the_space_does_not_hold_has_no_values() -> None:
    narrow = Candidates(space(blocks={"se": {"reduction": [8]}}))
    reference = narrow.references()["se/r24"]
    assert narrow.values(reference) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"backbones": ["mobilenetv9"]}, "unknown backbone 'mobilenetv9'"),
        ({"blocks": {"sea": {}}}, "unknown block 'sea'"),
        ({"blocks": {"se": {"ratio": [4]}}}, "no option 'ratio'"),
        ({"blocks": {"se": {"reduction": [4096]}}}, "'se' fits no site"),
        ({"sites": {"exclude": ["layer.*"]}}, "matches no site"),
        ({"sites": {"exclude": ["*"]}}, "leaves no site"),
        (
            {"resolutions": [224], "total_stride": None, "backbones": ["vit_tiny_patch16_224"]},
            "has no site",
        ),
        ({"backbones": ["vit_tiny_patch16_224"]}, "leave total_stride out"),
    ],
)
def test_wrong_space_is_said_in_one_line(changes: dict[str, object], said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        Candidates(space(**changes))
    assert "\n" not in str(caught.value)


def test_squares_and_other_shapes_in_one_space() -> None:
    candidates = Candidates(space(resolutions=[32, "32x48"]))
    assert candidates.head == {"resolution": ("32", "32x48")}
    assert {network.resolution for network in candidates.leanest()} == {32, "32x48"}
    assert "plain@mobilenetv2_035-32x48" in candidates.references()
    rng = random.Random(0)
    drawn = set()
    for _ in range(20):
        values = candidates.sample(rng)
        architecture = candidates.architecture(values)
        drawn.add(architecture.size)
        assert candidates.values(architecture) == values
        locations = site_locations(candidates, architecture.plain)
        assert locations["blocks.1.0/after_depthwise"].stride == 2
    assert drawn == {Size(32, 32), Size(32, 48)}
