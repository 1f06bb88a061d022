from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.base.errors import SpecError
from nas.belief import published_prior
from nas.belief.published_prior import PublishedPrior, PublishedTerms
from nas.belief.space_codes import CodedSpace

PACKAGED = Path(published_prior.__file__).with_name("published.json")


def space_of(
    sites: int = 4, kinds: tuple[str, ...] = ("se/r8", "coord/r32"), position: str = ""
) -> CodedSpace:
    """One block of each kind at each of some sites, in the order of the forward pass."""
    choices = len(kinds) + 1
    return CodedSpace(
        decisions=tuple(f"site {number}" for number in range(sites)),
        labels=(("none", *kinds),) * sites,
        idle=np.zeros(sites, dtype=np.int64),
        stages=("stage",) * sites,
        depth=np.linspace(0, 1, sites),
        blocks=(np.r_[0.0, np.ones(choices - 1)],) * sites,
        log_macs=(np.r_[0.0, np.full(choices - 1, 0.01)],) * sites,
        positions=(position,) * sites if position else (),
    )


def terms(space: CodedSpace | None = None, **given: Any) -> PublishedTerms:
    return PublishedPrior.load().terms(space or space_of(), **given)


def named(found: PublishedTerms, codes: list[int]) -> dict[str, float]:
    return dict(zip(found.names, found.features(codes)[0].tolist(), strict=True))


def test_nothing_is_said_of_the_plain_network() -> None:
    found = terms()
    assert not found.features([0, 0, 0, 0]).any()
    mean, deviation = found.gain([0, 0, 0, 0])
    assert mean.tolist() == [0] and deviation.tolist() == [0]


def test_what_comes_with_blocks_loses_by_emptying_and_hardly_moves_by_replacing() -> None:
    space = CodedSpace(
        decisions=("a", "b"),
        labels=(("keep", "none", "eca"), ("none", "eca")),
        idle=np.array([0, 0]),
        stages=("s", "s"),
        depth=np.array([0.5, 0.5]),
        blocks=(np.array([0.0, 0.0, 1.0]), np.array([0.0, 1.0])),
        log_macs=(np.array([0.0, -0.1, 0.0]), np.array([0.0, 0.0])),
    )
    found = terms(space)
    assert not found.features(space.plain).any()
    emptied, replaced, filled = found.gain([[1, 0], [2, 0], [0, 1]])[0]
    assert emptied < 0 < filled < -emptied
    assert replaced == pytest.approx(0)
    features = named(found, [2, 0])
    assert features["kind eca"] == -features["kind as it comes"] == 0.5**found.share_exponent


def test_one_block_everywhere_has_the_published_gain() -> None:
    found = terms()
    assert named(found, [1, 1, 1, 1]) == pytest.approx(
        {"uniform": 1, "late": 0, "after_projection": 0, "kind se": 1, "kind coord": 0}
    )
    (mean,), (deviation,) = found.gain([1, 1, 1, 1])
    content = json.loads(PACKAGED.read_text())
    assert mean == pytest.approx(content["uniform"]["mean"] / 100)
    spread = np.hypot(content["uniform"]["deviation"], content["kind"]["deviation"])
    assert deviation == pytest.approx(spread / 100)


def test_returns_diminish_and_places_differ() -> None:
    found = terms()
    half, exponent = named(found, [1, 1, 0, 0]), found.share_exponent
    assert half["uniform"] == pytest.approx(0.5**exponent) and 0.5 < half["uniform"] < 1
    assert half["late"] == pytest.approx(-2 / 3 * 0.5**exponent)
    assert named(found, [0, 0, 1, 1])["late"] == pytest.approx(-half["late"])
    mixed = named(found, [1, 2, 2, 2])
    assert mixed["kind se"] == pytest.approx(0.25) and mixed["kind coord"] == pytest.approx(0.75)


def test_blocks_behind_the_projection_are_told_apart() -> None:
    behind = terms(space_of(position="after_projection"))
    assert named(behind, [1, 1, 1, 1])["after_projection"] == 1
    assert behind.gain([1, 1, 1, 1])[0] < terms().gain([1, 1, 1, 1])[0]


def test_a_kind_that_nobody_published_is_expected_to_be_as_the_others() -> None:
    unknown = terms(space_of(kinds=("se", "of_my_own")))
    se, own = unknown.gain([[1, 1, 1, 1], [2, 2, 2, 2]])[0]
    assert se == pytest.approx(own)
    covariance = unknown.covariance([[1, 1, 1, 1], [2, 2, 2, 2]])
    assert 0 < covariance[0, 1] < covariance[0, 0]
    variances = unknown.gain([[1, 1, 1, 1], [2, 2, 2, 2]])[1] ** 2
    assert np.diag(covariance) == pytest.approx(variances)


def test_a_network_that_errs_less_has_less_to_gain() -> None:
    gains = [float(terms(plain_accuracy=share).gain([1] * 4)[0][0]) for share in (0.5, 0.75, 0.95)]
    assert gains[0] > gains[1] > gains[2] > 0
    assert gains[1] == pytest.approx(float(terms().gain([1] * 4)[0][0]))
    assert np.isfinite(terms(plain_accuracy=1.0).gain([1] * 4)[0]).all()
    with pytest.raises(SpecError, match="plain accuracy 75; a share from 0 to 1 is needed"):
        terms(plain_accuracy=75)


def test_fine_tuning_is_expected_to_gain_less_and_is_less_known() -> None:
    scratch = PublishedPrior.load().terms(space_of()).gain([1] * 4)
    tuned = PublishedPrior.load(regime="finetune").terms(space_of()).gain([1] * 4)
    assert tuned[0] < scratch[0] and tuned[1] > scratch[1]
    with pytest.raises(SpecError, match="regime 'probe'; allowed: scratch, finetune"):
        PublishedPrior.load(regime="probe")  # type: ignore[arg-type]


def test_terms_can_be_left_out() -> None:
    found = terms().without("late", "kind se")
    mean, deviation = found.gain([[1, 1, 0, 0], [0, 0, 1, 1]])
    assert mean[0] == mean[1] and deviation[0] == deviation[1]


def test_what_ships_is_read_from_sources_that_are_named() -> None:
    content = json.loads(PACKAGED.read_text())
    assert content["rows"] > 300 and content["uniform"]["studies"] == content["studies"]
    for figure in [value for value in content.values() if isinstance(value, dict)]:
        for item in [figure] if "mean" in figure else figure.values():
            assert item["studies"] == len(item["sources"]) >= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uniform": None}, "uniform: found null"),
        ({"late": {"mean": 1.0}}, "key 'late.deviation' is missing"),
        ({"version": 2}, "version: found 2"),
        ({"colour": 1}, "unknown key 'colour'"),
        ({"reference_error": 0.0}, "reference_error: found 0.0"),
        ({"share_exponent": {"mean": "0.4"}}, "share_exponent"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "published.json"
    path.write_text(json.dumps(json.loads(PACKAGED.read_text()) | change))
    with pytest.raises(SpecError, match=message) as caught:
        PublishedPrior.load(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot read the published prior"):
        PublishedPrior.load(tmp_path / "nowhere.json")
    torn = tmp_path / "torn.json"
    torn.write_text(PACKAGED.read_text()[:100])
    with pytest.raises(SpecError, match="it is not JSON"):
        PublishedPrior.load(torn)
    infinite = tmp_path / "infinite.json"
    infinite.write_text(PACKAGED.read_text().replace('"mean": 0.0', '"mean": Infinity', 1))
    with pytest.raises(SpecError, match="mean"):
        PublishedPrior.load(infinite)
