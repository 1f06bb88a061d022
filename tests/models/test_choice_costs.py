from __future__ import annotations

from dataclasses import replace

import pytest

from nas.backbones import find_sites
from nas.blocks import BLOCKS
from nas.models.build import uniform
from nas.models.choice_costs import ChoiceCosts
from nas.models.cost import cost
from nas.models.decisions import Decision
from nas.spec.architecture import Architecture, Insertion
from nas.spec.task import Task

AT_SCALES = "support.at_scales:make"


@pytest.mark.parametrize("backbone", ["mobilenetv2_035", "mobilenetv3_small_050", AT_SCALES])
def test_what_a_choice_adds_is_what_the_whole_network_costs_more(backbone: str) -> None:
    plain = Architecture(backbone, 32)
    site = find_sites(backbone, 32)[1 if backbone != AT_SCALES else 0]
    for label in ("se/r4", "coord/r8"):
        added = ChoiceCosts(Task(outputs=10)).added(plain, Decision(site.name, (site,), (label,)))[
            0
        ]
        grown = replace(plain, insertions=(Insertion.of(site.name, label),))
        before, after = cost(plain, num_classes=10), cost(grown, num_classes=10)
        assert list(added) == [after.params - before.params, after.macs - before.macs, 1]


def test_a_block_at_several_scales_costs_once_in_weights_and_each_time_in_work() -> None:
    (site,) = find_sites(AT_SCALES, 32)
    assert site.maps == ((16, 16), (8, 8), (4, 4))
    once, costs = replace(site, maps=()), ChoiceCosts(Task(outputs=10))
    several, single = (
        costs.added(Architecture(AT_SCALES, 32), Decision("it", (each,), ("simam",)))[0]
        for each in (site, once)
    )
    assert several[0] == single[0] and several[1] >= single[1]


@pytest.mark.parametrize("block", sorted(BLOCKS))
def test_blocks_for_maps_of_one_size_do_not_fit_several(block: str) -> None:
    (site,) = find_sites(AT_SCALES, 32)
    reason = BLOCKS[block].applies(site, {})
    if reason is not None:
        assert "\n" not in reason
        return
    found = uniform(AT_SCALES, block, resolution=32)
    assert cost(found, num_classes=10).params >= cost(found.plain, num_classes=10).params
