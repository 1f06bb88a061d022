from __future__ import annotations

import json
from pathlib import Path

import pytest

from nas.base.errors import SpecError
from nas.spec.prior import KnownEffect, KnownSite, Rules, SiteLocation, load_rules


def site(name: str, depth: float, **saved: float) -> KnownSite:
    effects = [
        KnownEffect(label=label.replace("_", "/"), saved=value, deviation=0.1)
        for label, value in saved.items()
    ]
    return KnownSite(name=name, depth=depth, channels=64, stride=8.0, effects=effects)


RULES = Rules(
    space="s",
    data="digits",
    backbones=["net"],
    networks=20,
    spread=0.01,
    sites=[site("a", 0.0, se_r8=0.1, coord_r32=1.0), site("b", 1.0, se_r8=0.5, coord_r32=0.0)],
)


def test_a_site_takes_the_effects_of_those_like_it() -> None:
    early, late = (
        RULES.expected(SiteLocation(depth, 64, 8.0), ("none", "keep", "se/r8", "coord/r32"))
        for depth in (0.05, 0.95)
    )
    assert early[:2].tolist() == [0.0, 0.0]
    assert early[3] > 0.8 > early[2]
    assert late[2] > 0.4 > late[3]


def test_what_is_far_from_all_that_is_known_is_expected_to_do_little() -> None:
    near = RULES.expected(SiteLocation(0.0, 64, 8.0), ("coord/r32",))[0]
    far = RULES.expected(SiteLocation(0.0, 64 * 2**9, 8.0), ("coord/r32",))[0]
    assert abs(far) < 0.1 * near


def test_other_ratios_are_like_those_known_and_other_kinds_like_all() -> None:
    where = SiteLocation(0.0, 64, 8.0)
    known, other, unlike, new = RULES.expected(
        where, ("coord/r32", "coord/r16", "coord/r2", "simam")
    )
    assert known > other > unlike > 0
    assert 0.1 < new < known


def test_rules_are_read_as_they_were_written(tmp_path: Path) -> None:
    RULES.write(tmp_path / "rules.json")
    assert load_rules(tmp_path / "rules.json") == RULES


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("text", "it is not JSON"),
        ("absent", "No such file"),
        ("list", "holds no rules; write some: nas explain RUN --prior"),
        ({"version": 2}, "rules of version 2; 1 is read here"),
        ({"spread": -1.0}, "spread"),
        ({"speed": 1}, "unknown key 'speed'"),
        ({"sites": []}, "sites"),
        ({"spread": float("nan")}, "spread"),
    ],
)
def test_other_files_are_one_line(tmp_path: Path, change: object, said: str) -> None:
    path = tmp_path / "rules.json"
    if isinstance(change, dict):
        path.write_text(json.dumps(RULES.model_dump() | change))
    elif change != "absent":
        path.write_text({"text": "nothing", "list": "[1]"}[str(change)])
    with pytest.raises(SpecError, match=said) as caught:
        load_rules(path)
    assert "\n" not in str(caught.value)


def test_an_unreadable_label_is_one_line(tmp_path: Path) -> None:
    broken = RULES.model_copy(update={"sites": [site("a", 0.0, se_x=1.0)]})
    broken.write(tmp_path / "rules.json")
    with pytest.raises(SpecError, match="cannot read 'x'"):
        load_rules(tmp_path / "rules.json")
