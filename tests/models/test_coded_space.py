from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from support.samples import SMALL_SPACE

from nas.base.errors import SpecError
from nas.base.files import parse, read_yaml
from nas.models.build import uniform
from nas.models.candidates import Candidates
from nas.models.coded_space import CodedCandidates
from nas.models.cost import cost
from nas.spec.architecture import EMPTY, KEEP
from nas.spec.space import SearchSpace
from nas.spec.task import Task


def candidates_of(text: str = SMALL_SPACE) -> Candidates:
    return Candidates(parse(SearchSpace, read_yaml(text, "space"), "space"))


def test_every_network_of_a_small_space_comes_back_from_its_codes() -> None:
    coded = CodedCandidates.of(candidates_of(SMALL_SPACE.replace("stage", "network")))
    space = coded.space
    rows = np.array(list(itertools.product(*(range(size) for size in space.sizes))))
    networks = [coded.architecture(row) for row in rows]
    assert len({network.digest for network in networks}) == coded.candidates.count() == len(rows)
    assert (coded.rows(networks) == rows).all()


def test_the_plain_network_has_the_idle_codes() -> None:
    coded = CodedCandidates.of(candidates_of())
    assert coded.architecture(coded.space.plain) == coded.plain
    assert (coded.rows([coded.plain]) == coded.space.plain).all()
    for tables in (coded.space.blocks, coded.space.log_macs):
        assert all(table[idle] == 0 for table, idle in zip(tables, coded.space.idle, strict=True))


def test_multiply_adds_are_those_of_the_built_network() -> None:
    coded = CodedCandidates.of(candidates_of(), task=Task(outputs=10))
    plain = cost(coded.plain, num_classes=10).macs
    for decision, labels in enumerate(coded.space.labels):
        codes = coded.space.plain
        codes[decision] = len(labels) - 1
        network = coded.architecture(codes)
        ratio = cost(network, num_classes=10).macs / plain
        assert coded.space.log_macs[decision][-1] == pytest.approx(np.log(ratio))
        assert coded.space.blocks[decision][-1] == len(network.blocks)


def test_slots_that_come_filled_can_be_emptied() -> None:
    text = SMALL_SPACE.replace("mobilenetv2_035", "mobilenetv3_small_050")
    space = CodedCandidates.of(candidates_of(text.replace("stage", "block"))).space
    filled = [number for number, labels in enumerate(space.labels) if KEEP in labels]
    assert filled
    for number in filled:
        emptied = space.labels[number].index(EMPTY)
        assert space.labels[number][space.idle[number]] == KEEP
        assert space.blocks[number][emptied] == 0 and space.log_macs[number][emptied] < 0


def test_places_are_told_in_the_order_of_the_forward_pass() -> None:
    space = CodedCandidates.of(candidates_of(SMALL_SPACE.replace("stage", "block"))).space
    assert space.depth[0] == 0 and space.depth[-1] == 1 and (np.diff(space.depth) > 0).all()
    assert len(set(space.stages)) < len(space) and set(space.positions) == {"after_depthwise"}


def test_each_of_several_plain_networks_has_codes_of_its_own() -> None:
    text = SMALL_SPACE.replace("resolutions: [32]", "resolutions: [32, 64]")
    candidates = candidates_of(text)
    first, second = (plain for plain, _ in candidates.plains())
    coded = CodedCandidates.of(candidates, second)
    network = candidates.architecture(
        candidates.sample(random.Random(0)) | {"resolution": str(second.resolution)}
    )
    assert coded.architecture(coded.rows([network])[0]) == network
    assert coded.codes(first) is None
    with pytest.raises(SpecError, match="as it comes. at 32 is not in space 'small'"):
        coded.rows([first])


def test_what_the_space_does_not_hold_has_no_codes() -> None:
    coded = CodedCandidates.of(candidates_of())
    foreign = uniform("mobilenetv2_035", "simam", resolution=32, total_stride=16)
    assert coded.codes(foreign) is None
    with pytest.raises(SpecError, match="mobilenetv2_100 at 32 is not in space 'small'"):
        CodedCandidates.of(
            candidates_of(),
            uniform("mobilenetv2_100", "none", resolution=32, total_stride=16),
        )
