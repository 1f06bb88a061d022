from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from conftest import ROOT

from nas.candidates import Candidates, load_space
from nas.errors import SpecError
from nas.space import SearchSpace

SPACES = sorted((ROOT / "search_spaces").glob("*.yaml"))


def space(**changes: object) -> SearchSpace:
    data: dict[str, object] = {
        "name": "t",
        "backbones": ["mobilenetv2_035"],
        "resolutions": [32],
        "total_stride": 16,
        "sites": {"granularity": "stage", "exclude": ["blocks.0.*"]},
        "blocks": {"se": {"reduction": [8, 24]}, "eca": {}},
    }
    return SearchSpace.model_validate(data | changes)


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_every_space_that_ships_loads_counts_and_samples(path: Path) -> None:
    candidates = Candidates(load_space(path))
    assert candidates.count() > 1
    rng = random.Random(0)
    for _ in range(20):
        values = candidates.sample(rng)
        assert candidates.values(candidates.architecture(values)) == values
    for architecture in candidates.references().values():
        assert candidates.values(architecture) is not None


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
        ({"resolutions": [32], "backbones": ["resnet18"]}, "has no site"),
    ],
)
def test_wrong_space_is_said_in_one_line(changes: dict[str, object], said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        Candidates(space(**changes))
    assert "\n" not in str(caught.value)
