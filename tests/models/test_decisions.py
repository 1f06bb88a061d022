from __future__ import annotations

import pytest
from support.samples import SMALL_SPACE

from nas.base.errors import SpecError
from nas.base.files import parse, read_yaml
from nas.models.candidates import Candidates
from nas.models.decisions import branches_of
from nas.models.site_locations import site_locations
from nas.spec.architecture import EMPTY, KEEP
from nas.spec.space import SearchSpace


def space_of(text: str) -> SearchSpace:
    return parse(SearchSpace, read_yaml(text, "space"), "space")


def test_a_branch_decides_for_all_sites_of_a_stage_at_once() -> None:
    (branch,) = branches_of(space_of(SMALL_SPACE))
    assert len(branch.decisions) < len(branch.sites)
    assert {decision.idle for decision in branch.decisions} == {EMPTY}
    assert branch.plain == branch.emptied
    assert branch.plain.total_stride == 16 and not branch.plain.insertions
    assert not any(site.name.startswith("blocks.0.") for site in branch.sites)


def test_what_comes_filled_can_stay_or_be_emptied() -> None:
    text = SMALL_SPACE.replace("mobilenetv2_035", "mobilenetv3_small_050")
    (branch,) = branches_of(space_of(text.replace("stage", "block")))
    idle = {decision.sites[0].filled: decision.idle for decision in branch.decisions}
    assert idle == {True: KEEP, False: EMPTY}
    assert branch.plain != branch.emptied
    assert {item.block for item in branch.emptied.insertions} == {EMPTY}
    assert len(branch.emptied.insertions) == sum(site.filled for site in branch.sites)


def test_networks_are_counted_by_their_blocks() -> None:
    (branch,) = branches_of(space_of(SMALL_SPACE.replace("stage", "network")))
    ((size, choices),) = [(len(item.sites), len(item.choices)) for item in branch.decisions]
    assert branch.count(None) == branch.count(size) == choices
    assert branch.count(size - 1) == 1


def test_a_pattern_that_matches_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match=r"exclude 'stem\*' matches no site"):
        branches_of(space_of(SMALL_SPACE.replace("blocks.0.*", "stem*")))


def test_locations_go_from_the_first_site_to_the_last() -> None:
    candidates = Candidates(space_of(SMALL_SPACE))
    ((plain, sites),) = candidates.plains()
    located = site_locations(candidates, plain)
    assert list(located) == [site.name for site in sites]
    assert located[sites[0].name].depth == 0 and located[sites[-1].name].depth == 1
    assert located[sites[-1].name].stride == 16


def test_an_output_stride_is_that_of_every_network_and_its_sites() -> None:
    text = SMALL_SPACE.replace("total_stride: 16", "total_stride: 16\noutput_stride: 8")
    candidates, usual = Candidates(space_of(text)), Candidates(space_of(SMALL_SPACE))
    networks = [*candidates.references().values(), *(plain for plain, _ in candidates.plains())]
    assert {network.output_stride for network in networks} == {8}
    ((_, sites),), ((_, before),) = candidates.plains(), usual.plains()
    assert sites[-1].height == 2 * before[-1].height
