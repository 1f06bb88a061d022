"""Placements by patterns of sites."""

from __future__ import annotations

import pytest

from nas.base.errors import SpecError
from nas.models.candidates import Candidates
from nas.models.placement import place
from nas.spec.space import SearchSpace


def candidates(backbone: str = "mobilenetv2_cifar", resolution: int = 16) -> Candidates:
    space = {
        "name": "own",
        "backbones": [backbone],
        "resolutions": [resolution],
        "sites": {"position": "after_depthwise"},
        "blocks": {"se": {"reduction": [8]}},
    }
    return Candidates(SearchSpace.model_validate(space))


def test_a_space_holds_what_its_own_label_builds() -> None:
    """At 64 channels coordinate attention has 8 in the middle with either ratio."""
    space = {
        "name": "own",
        "backbones": ["mobilenetv2_cifar"],
        "resolutions": [16],
        "sites": {"position": "after_depthwise"},
        "blocks": {"coord": {"reduction": [8, 32]}},
    }
    candidates = Candidates(SearchSpace.model_validate(space))
    plain, sites = candidates.plains()[0]
    given = place(plain, sites, ["blocks.0*=coord/r8", "blocks.6*=coord/r8", "blocks.3*=se"])
    assert candidates.values(given) is None
    written = candidates.as_written(given)
    assert [item.label for item in written.insertions] == ["coord/r32", "se/r24", "coord/r8"]
    held = candidates.as_written(place(plain, sites, ["blocks.0*=coord/r8"]))
    assert candidates.values(held) is not None and candidates.as_written(held) == held
    assert candidates.as_written(plain) == plain


def labels(*placements: str) -> dict[str, str]:
    """Return site, without its position, -> label."""
    plain, sites = candidates().plains()[0]
    placed = place(plain, sites, placements)
    assert placed.plain == plain
    return {item.site.partition("/")[0]: item.label for item in placed.insertions}


def test_the_later_of_two_patterns_counts_and_options_are_the_papers() -> None:
    assert labels("blocks.[0-2]*=coord/r8", "blocks.1*=se", "blocks.6/*=cbam/r16/k3") == {
        "blocks.0": "coord/r8",
        "blocks.1": "se/r24",
        "blocks.2": "coord/r8",
        "blocks.6": "cbam/r16/k3",
    }
    assert labels("*=eca", "blocks.[1-6]*=keep") == {"blocks.0": "eca"}
    assert labels("*=none") == {}  # nothing is there to take away


def test_a_site_that_comes_filled_is_emptied_or_left() -> None:
    plain, sites = candidates("mobilenetv3_small_050", 64).plains()[0]
    placed = place(plain, sites, ["*=none"])
    assert [item.site for item in placed.insertions] == sorted(s.name for s in sites if s.filled)
    assert {item.label for item in placed.insertions} == {"none"}
    assert place(plain, sites, ["*=none", "*=keep"]) == plain


@pytest.mark.parametrize(
    ("placement", "message"),
    [
        ("blocks.0", "write SITES=BLOCK"),
        ("=se", "write SITES=BLOCK"),
        ("blocks.0*=", "write SITES=BLOCK"),
        ("blocks.7*=se", r"'blocks.7\*=se' matches no site; there are: blocks.0/after_depthwise, "),
        ("blocks.0*=nope", "unknown block 'nope'"),
        ("blocks.0*=se/q4", "cannot read 'q4'"),
        ("blocks.0*=se/r0", "reduction"),
        ("blocks.0*=none/r4", "'none' takes no options; found reduction"),
        ("blocks.0*=cbam/k4", "kernel_size"),
    ],
)
def test_what_is_no_placement_is_one_line(placement: str, message: str) -> None:
    plain, sites = candidates().plains()[0]
    with pytest.raises(SpecError, match=message) as caught:
        place(plain, sites, [placement])
    assert "\n" not in str(caught.value)
