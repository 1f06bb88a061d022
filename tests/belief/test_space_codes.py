from __future__ import annotations

import numpy as np
import pytest

from nas.base.errors import SpecError
from nas.belief.space_codes import CodedSpace


def two_decisions() -> CodedSpace:
    return CodedSpace(
        decisions=("early", "late"),
        labels=(("none", "se/r8", "se/r16"), ("keep", "none", "coord/r32")),
        idle=np.array([0, 0]),
        stages=("a", "b"),
        depth=np.array([0.0, 1.0]),
        blocks=(np.array([0.0, 2.0, 2.0]), np.array([0.0, 0.0, 1.0])),
        log_macs=(np.array([0.0, 0.1, 0.2]), np.array([0.0, -0.3, 0.4])),
    )


def test_kinds_are_those_that_insert_something() -> None:
    space = two_decisions()
    assert space.kinds == ("se", "coord")
    assert space.kind_of == (("", "se", "se"), ("", "", "coord"))
    assert space.sites.tolist() == [2, 1]
    assert space.sizes.tolist() == [3, 3] and len(space) == 2


def test_tables_are_added_up_over_decisions() -> None:
    space = two_decisions()
    codes = np.array([[0, 0], [2, 1], [1, 2]])
    assert space.summed(space.blocks, codes).tolist() == [0, 2, 3]
    assert space.summed(space.log_macs, codes) == pytest.approx([0, -0.1, 0.5])
    pairs = [np.stack([item, 2 * item], axis=1) for item in space.blocks]
    assert space.summed(pairs, codes).tolist() == [[0, 0], [2, 4], [3, 6]]


def test_the_plain_network_cannot_be_changed_by_who_asks_for_it() -> None:
    space = two_decisions()
    space.plain[0] = 2
    assert space.plain.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([[0, 3]], "code 3 at 'late' stands for no choice; 0 to 2 are allowed"),
        ([[-1, 0]], "code -1 at 'early'"),
        ([[0, 0, 0]], r"codes of shape \(1, 3\)"),
        ([[0.0, 1.0]], "float64; whole numbers"),
    ],
)
def test_codes_that_mean_nothing_are_refused(codes: list[list[int]], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        two_decisions().checked(codes)


def test_one_network_or_none_are_codes_too() -> None:
    assert two_decisions().checked([1, 2]).tolist() == [[1, 2]]
    assert two_decisions().checked([]).shape == (0, 2)
