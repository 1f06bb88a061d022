"""The quality of a profile on networks that it was not fitted to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import kendalltau, spearmanr

from nas.base.errors import SpecError
from nas.latency.profile import Profile
from nas.spec.architecture import Architecture

__all__ = ["ProfileComparison", "Quality", "compare_profiles", "judge_predictions", "judge_profile"]


@dataclass(frozen=True, slots=True)
class Quality:
    """The quality of predictions against measurements.

    networks: number of them.
    mape: mean relative error, absolute.
    worst: largest relative error.
    within_5: share of networks within 5 %.
    covered: share of networks within their 90 % interval.
    spearman, kendall: rank correlations; NaN below three networks.
    """

    networks: int
    mape: float
    worst: float
    within_5: float
    covered: float
    spearman: float
    kendall: float


def judge_profile(profile: Profile, *, held_out: bool = True) -> Quality:
    """Judge a profile by its whole networks with blocks.

    held_out: whether by those that took no part in its fit, or by the others.
    """
    networks = [
        item
        for item in profile.networks
        if item.fitted != held_out and Architecture.from_json(item.architecture).blocks
    ]
    measured = np.array([item.measured_ms for item in networks])
    predicted, half = profile.predict_many(
        [Architecture.from_json(item.architecture) for item in networks]
    )
    return judge_predictions(predicted, half, measured)


def judge_predictions(
    predicted: np.ndarray, half_width: np.ndarray, measured: np.ndarray
) -> Quality:
    """Judge predictions against measurements.

    predicted, half_width, measured: (n,) each, ms.
    Returns NaN for all figures when there are no networks.
    """
    if len(measured) == 0:
        return Quality(0, *[float("nan")] * 6)
    errors = np.abs(predicted / measured - 1)
    ranked = len(measured) > 2
    return Quality(
        networks=len(measured),
        mape=float(errors.mean()),
        worst=float(errors.max()),
        within_5=float((errors <= 0.05).mean()),
        covered=float((np.abs(predicted - measured) <= half_width).mean()),
        spearman=float(spearmanr(predicted, measured).statistic) if ranked else float("nan"),
        kendall=float(kendalltau(predicted, measured).statistic) if ranked else float("nan"),
    )


@dataclass(frozen=True, slots=True)
class ProfileComparison:
    """The comparison of two devices.

    rows: (block, what it adds at all its sites as a share of the plain network's time, the same
        on the other device).
    entries: number of table entries that both have.
    spearman: rank correlation over them; NaN below three, and where all are the same.
    """

    rows: tuple[tuple[str, float, float], ...]
    entries: int
    spearman: float


def compare_profiles(one: Profile, two: Profile) -> ProfileComparison:
    """Compare what blocks add on two devices.

    Raises SpecError when the profiles have nothing in common.
    """
    branches = [
        (ours, theirs) for ours in one.branches for theirs in two.branches if ours.key == theirs.key
    ]
    pairs: list[tuple[float, float]] = []
    shares: dict[str, tuple[float, float]] = {}
    for ours, theirs in branches:
        for site in ours.added_ms.keys() & theirs.added_ms.keys():
            for label in ours.added_ms[site].keys() & theirs.added_ms[site].keys():
                pair = (ours.added_ms[site][label], theirs.added_ms[site][label])
                pairs.append(pair)
                before = shares.get(label, (0.0, 0.0))
                shares[label] = (
                    before[0] + pair[0] / ours.plain_ms,
                    before[1] + pair[1] / theirs.plain_ms,
                )
    if not pairs:
        raise SpecError(
            f"profiles of spaces {one.space!r} and {two.space!r} have no site in common"
        )
    ours_ms, theirs_ms = zip(*pairs, strict=True)
    ranked = len(pairs) > 2 and len(set(ours_ms)) > 1 and len(set(theirs_ms)) > 1
    ranks = spearmanr(ours_ms, theirs_ms).statistic if ranked else float("nan")
    return ProfileComparison(
        rows=tuple((label, *pair) for label, pair in sorted(shares.items())),
        entries=len(pairs),
        spearman=float(ranks),
    )
