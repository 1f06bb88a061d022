"""Calibrations of a proxy in simulated worlds: how well it agrees, and whether it is trusted."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.claims.tally import Tallies
from benchmarks.claims.worlds import World
from nas.runs.calibrate.agreement import agreement
from nas.runs.calibrate.judging_images import GROUPS, Compared
from nas.runs.calibrate.sides import Sides
from nas.study.calibration import Calibration, Estimate, Trust

__all__ = ["calibration_claims", "ceiling_claims"]

Floats = NDArray[np.float64]


def ceiling_claims(world: World, rng: np.random.Generator, tallies: Tallies) -> None:
    """How well a proxy agrees with full training, where the same images judge both."""
    codes = world.random(30, rng)
    gain = world.gain(codes)
    if np.ptp(gain) == 0:
        return
    shown = world.shown_gain(codes)
    images = world.images * rng.standard_normal(len(codes))
    noise = world.noise
    proxy = (shown + images)[:, None] + rng.normal(0, noise, (len(codes), 2))
    full = (gain + images)[:, None] + rng.normal(0, 0.5 * noise, (len(codes), 3))
    found = agreement(proxy, full, images=(world.images, world.images))
    others = world.images * rng.standard_normal((2, 200, len(codes)))
    pairs = [
        (
            shown + one + rng.normal(0, noise, (2, len(codes))).mean(axis=0),
            gain + two + rng.normal(0, 0.5 * noise, (3, len(codes))).mean(axis=0),
        )
        for one, two in zip(*others, strict=True)
    ]
    truth = float(np.mean([_spearman(one, two) for one, two in pairs]))
    ceiling = float(np.mean([_spearman(gain, two) for _, two in pairs]))
    tally = tallies["agreement"]
    tally.interval(found.spearman.low, found.spearman.high, truth)
    tally.figures["too high"].append(found.spearman.value - truth)
    tallies["ceiling"].figures["too high"].append(found.ceiling - ceiling)
    ends = found.ceiling_interval
    tallies["ceiling"].interval(ends.low, ends.high, ceiling)


def calibration_claims(world: World, rng: np.random.Generator, tallies: Tallies) -> None:
    """Whether a proxy is called trustworthy that shows nothing, and one that shows the truth.

    The same images judge it and full training: by all of them, as before, or by halves.
    """
    codes = world.random(30, rng)
    gain = world.gain(codes)
    groups = world.images * math.sqrt(GROUPS) * rng.standard_normal((len(codes), 1, GROUPS))

    def trained(worth: Floats, noise: float, seeds: int) -> Floats:
        # What a training does to single images, beside what it is worth on all of them.
        own = rng.normal(0, noise, (len(codes), seeds, 1))
        by_image = rng.normal(0, noise, (len(codes), seeds, GROUPS))
        return np.asarray(worth[:, None, None] + groups + own + by_image)

    full = trained(gain, 0.5 * world.noise, 3)
    something = float(np.ptp(gain)) > 0
    for name, worth in (("worthless", 0 * gain), ("truthful", gain)):
        proxy = trained(worth, world.noise, 2)
        whole = Sides(proxy.mean(axis=2), full.mean(axis=2))
        for sides, judged in (
            (whole, "same images"),
            (replace(whole, by_groups=Compared(proxy, full)), "halves"),
        ):
            true = name == "truthful" and something
            trusted = _is_trusted(sides)
            tallies[f"{name}, {judged}"].claim(
                made=trusted, false=trusted and not true, possible=true
            )


def _is_trusted(sides: Sides) -> bool:
    """What the program would conclude of these two sides."""
    agreed, resolved = sides.agreement(), sides.resolution(0.5)
    unknown = Estimate(value=None, low=None, high=None)
    spearman = agreed.spearman
    if math.isfinite(spearman.value):
        known = Estimate(value=spearman.value, low=spearman.low, high=spearman.high)
    else:
        known = unknown
    apart = resolved.apart if math.isfinite(resolved.apart) else None
    trust = Trust(
        name="scratch",
        budget="",
        cost=0.1,
        seeds=sides.proxy.shape[1],
        spearman=known,
        kendall=unknown,
        best_kendall=unknown,
        apart=apart,
    )
    return Calibration(
        space="",
        data="",
        networks=len(sides.full),
        seeds=sides.full.shape[1],
        full="",
        full_seconds=1.0,
        accuracy=0.0,
        spread=0.0,
        seed_noise=resolved.seed_noise,
        ceiling=agreed.ceiling,
        best_ceiling=agreed.best_ceiling,
        full_seeds_needed=resolved.seeds_full,
        proxies=[trust],
    ).trusted


def _spearman(one: np.ndarray, two: np.ndarray) -> float:
    ranks = [np.argsort(np.argsort(values)) for values in (one, two)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
