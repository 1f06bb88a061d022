"""Curves of gain over images: hand-worked ones, and a null in which nothing pays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import pytest

from nas.belief.gain_curve import CurveRow, choose_budget, gain_curves, training_noise

LENGTHS = (1000.0, 2000.0, 4000.0)
NOISE = 0.01


def rows_of(
    gains: Mapping[str, Iterable[float]], *, seeds: int = 4, noise: float = NOISE
) -> list[CurveRow]:
    """Trainings whose losses lie evenly about plain's 1.0 less the gain: their spread is known."""
    spread = noise * np.array([(-1.0) ** seed for seed in range(seeds)])
    return [
        CurveRow(name, images, 1.0 - gain + spread[seed], seed)
        for name, curve in {"plain": (0.0, 0.0, 0.0), **gains}.items()
        for images, gain in zip(LENGTHS, curve, strict=False)
        for seed in range(seeds)
    ]


def verdicts(gains: Mapping[str, Iterable[float]], **options: float) -> dict[str, str]:
    curves = gain_curves(rows_of(gains, **options))  # type: ignore[arg-type]
    return {curve.network: curve.verdict for curve in curves}


def test_each_verdict_is_given() -> None:
    assert verdicts(
        {
            "ahead": (0.1, 0.1, 0.1),
            "ahead late": (0.0, 0.0, 0.1),
            "crossed": (-0.1, 0.0, 0.1),
            "behind": (-0.1, -0.1, -0.1),
            "fell back": (0.1, 0.0, -0.1),
            "catching up": (-0.3, -0.2, -0.1),
            "level": (0.001, 0.0, 0.001),
        }
    ) == {
        "ahead": "ahead",
        "ahead late": "ahead",
        "crossed": "crossed",
        "behind": "behind",
        "fell back": "behind",
        "catching up": "too short to tell",
        "level": "too short to tell",
    }


def test_gain_and_deviation_are_as_worked_by_hand() -> None:
    rows = [
        CurveRow("plain", 10, 1.0, 0), CurveRow("plain", 10, 1.2, 1),
        CurveRow("se", 10, 0.9, 0), CurveRow("se", 10, 0.9, 1), CurveRow("se", 10, 0.6, 2),
    ]  # fmt: skip
    # Squares about the means: .02 and .06, with one and two degrees of freedom.
    noise, freedom = training_noise(rows)
    assert noise == pytest.approx(math.sqrt(0.08 / 3)) and freedom == 3
    (curve,) = gain_curves(rows)
    (gain,) = curve.gains
    assert gain.gain == pytest.approx(0.3)
    assert gain.deviation == pytest.approx(noise * math.sqrt(1 / 2 + 1 / 3))
    assert gain.margin == pytest.approx(3.182 * gain.deviation, rel=1e-3)
    assert (gain.trainings, gain.sign, curve.verdict) == (3, 0, "too short to tell")


def test_a_crossing_lies_where_the_line_over_log_images_is_zero() -> None:
    (curve,) = gain_curves(rows_of({"coord": (-0.1, 0.0, 0.1)}))
    (crossing,) = curve.crossings
    assert crossing.upwards and crossing.images == pytest.approx(2000.0)


def test_a_curve_may_cross_twice() -> None:
    (curve,) = gain_curves(rows_of({"coord": (0.1, -0.1, 0.1)}))
    assert [crossing.upwards for crossing in curve.crossings] == [False, True]
    assert curve.verdict == "crossed"
    (curve,) = gain_curves(rows_of({"coord": (-0.1, 0.1, -0.1)}))
    assert [crossing.upwards for crossing in curve.crossings] == [True, False]
    assert curve.verdict == "behind"


def test_without_a_repeated_training_nothing_is_told() -> None:
    (curve,) = gain_curves(rows_of({"coord": (0.5, 0.5, 0.5)}, seeds=1))
    assert curve.verdict == "too short to tell"
    assert math.isnan(curve.gains[-1].deviation) and curve.gains[-1].gain == pytest.approx(0.5)


def test_a_curve_that_does_not_reach_is_too_short() -> None:
    (curve,) = gain_curves(rows_of({"coord": (0.1, 0.1)}))
    assert (curve.verdict, curve.reaches, len(curve.gains)) == ("too short to tell", False, 2)
    failed = [CurveRow("se", images, math.nan, 0) for images in LENGTHS]
    curve = gain_curves([*rows_of({"coord": (0.1, 0.1, 0.1)}), *failed])[1]
    assert (curve.network, curve.gains, curve.verdict) == ("se", (), "too short to tell")


def test_lengths_that_plain_lacks_have_no_gain_and_rows_that_stand_twice_count_once() -> None:
    rows = rows_of({"coord": (0.1, 0.1, 0.1)})
    again = [CurveRow("coord", 8000.0, 0.1, 0), *rows, *rows]
    assert gain_curves(again) == gain_curves(rows)


def test_what_holds_one_network_or_no_plain_one_is_refused() -> None:
    with pytest.raises(ValueError, match="'plain' is the only network"):
        gain_curves(rows_of({}))
    with pytest.raises(ValueError, match="no training of the plain network"):
        gain_curves([CurveRow("coord", 1000.0, 1.0, 0)])
    with pytest.raises(ValueError, match="no training of the plain network"):
        gain_curves([CurveRow("plain", 1000.0, math.inf, 0), CurveRow("coord", 1000.0, 1.0, 0)])
    with pytest.raises(ValueError, match="no network has a gain"):
        choose_budget(())


def test_each_length_has_its_own_noise() -> None:
    wild = [row for row in rows_of({"coord": (-0.1, 0.1, 0.1)}, noise=0.2) if row.images == 1000]
    calm = [row for row in rows_of({"coord": (-0.1, 0.1, 0.1)}) if row.images > 1000]
    (curve,) = gain_curves(wild + calm)
    assert [gain.sign for gain in curve.gains] == [0, 1, 1]
    assert curve.gains[0].deviation > 10 * curve.gains[1].deviation


def test_equal_networks_are_seldom_told_apart() -> None:
    """Five networks that equal the plain one, at one length: a sign in 5 % of worlds at most."""
    rng, wrong, worlds = np.random.default_rng(0), 0, 1000
    for _ in range(worlds):
        rows = [
            CurveRow(name, 1000.0, float(rng.normal(1.0, NOISE)), seed)
            for name in ("plain", "a", "b", "c", "d", "e")
            for seed in range(4 if name == "plain" else 2)
        ]
        wrong += any(curve.gains[0].sign for curve in gain_curves(rows))
    assert wrong / worlds < 0.05 + 2 * math.sqrt(0.05 * 0.95 / worlds)


@pytest.mark.parametrize(
    ("gains", "images", "told", "contradicted", "settled"),
    [
        ({"coord": (0.1, 0.1, 0.1), "se": (0.05, 0.05, 0.05)}, 1000, 2, 0, True),
        ({"coord": (0.0, 0.1, 0.1)}, 2000, 1, 0, True),
        ({"coord": (-0.1, 0.1, 0.1)}, 2000, 1, 0, True),
        ({"coord": (-0.1, -0.1, 0.1)}, 4000, 1, 1, True),
        # One is ahead at once, but the other may still turn: shorter trainings would be luck.
        ({"coord": (0.1, 0.1, 0.1), "se": (-0.3, -0.2, -0.1)}, 4000, 2, 0, False),
        ({"coord": (0.0, 0.0, 0.0)}, 4000, 0, 0, True),
    ],
)
def test_the_budget_is_the_shortest_that_tells_what_the_longest_does(
    gains: dict[str, tuple[float, ...]], images: float, told: int, contradicted: int, settled: bool
) -> None:
    chosen = choose_budget(gain_curves(rows_of(gains)))
    assert (chosen.images, chosen.longest) == (images, LENGTHS[-1])
    assert (chosen.told, chosen.contradicted, chosen.settled) == (told, contradicted, settled)
