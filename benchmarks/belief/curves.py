"""Does the belief know when trainings are too short to tell? On planted curves that cross later.

    python -m benchmarks.belief.curves [--worlds 500]

Each world has ten hand-placed networks (the plain one, four kinds everywhere, early and late),
trained to budgets b, 2b and 4b; full training is 16b, 32b or 64b. Their gains start below the plain
network and cross it beyond 4b, or never, by curves of four forms, none of which is the model's own
alone: exponential, power law, logistic in log budget, and a late step. Counted are the networks
whose sign at full training is told with 95 % and wrong, by what the belief says of it from the
three budgets, and how often a sign is told at all (power). Then the same for curves that have
crossed by 2b, and for straight ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np

from benchmarks.belief.spaces import space_of
from nas.belief.belief import Belief
from nas.belief.evidence import Evidence
from nas.belief.grid import Codes, Floats
from nas.belief.points import PointSpace

SITES, KINDS = 8, ("none", "se/r8", "cbam/r8", "coord/r8", "eca")
BUDGET = 100_000.0
CERTAIN = 0.95

Curve = Callable[[Floats], Floats]


def hand_placed() -> Codes:
    rows = [np.zeros(SITES, dtype=np.int64)]
    for kind in range(1, len(KINDS)):
        everywhere = np.full(SITES, kind)
        rows.append(everywhere)
        if kind in (1, 3):
            early = np.arange(SITES) < SITES // 2
            rows += [np.where(early, kind, 0), np.where(early, 0, kind)]
    return np.array(rows[:10])


def planted(rng: np.random.Generator, when: str, full: float) -> Curve:
    """Return a network's gain over images, in units of the spread of final gains.

    when: `later` crosses beyond 4b, `early` by 2b, `straight` never changes.
    """
    final = rng.normal(0, 1)
    if when == "straight":
        return lambda images: np.full_like(images, final)
    crossing = BUDGET * (
        2 ** rng.uniform(2.2, np.log2(full / BUDGET) + 0.5)
        if when == "later"
        else 2 ** rng.uniform(-2, 1)
    )
    final, start = abs(final) + 0.2, -rng.uniform(0.5, 4)
    form = rng.integers(4)
    if form == 0:
        fade = crossing / np.log(1 + abs(start) / final)
        return lambda images: final + (start - final) * np.exp(-images / fade)
    if form == 1:
        power = rng.uniform(0.5, 2)
        at = crossing / ((abs(start) / final + 1) ** (1 / power) - 1 + 1e-9)
        return lambda images: final + (start - final) * (1 + images / at) ** -power
    width = rng.uniform(0.3, 1.0) if form == 2 else 0.15
    middle = np.log2(crossing) + width * np.log(final / abs(start))
    return lambda images: (
        start + (final - start) / (1 + np.exp(-(np.log2(images) - middle) / width))
    )


def _mixed(common: Curve, own: Curve, part: float) -> Curve:
    return lambda images: part * common(images) + (1 - part) * own(images)


def world(rng: np.random.Generator, when: str, at: PointSpace) -> list[tuple[float, float]]:
    """Return (probability that it is above the plain network, true gain) of each network."""
    codes = hand_placed()
    full = BUDGET * 2.0 ** rng.integers(4, 7)
    curves: list[Curve] = [lambda images: np.zeros_like(images)]
    # Networks of one kind have something in common, as the real ones do.
    shared = {kind: planted(rng, when, full) for kind in range(1, len(KINDS))}
    for row in codes[1:]:
        common, own = shared[int(row.max())], planted(rng, when, full)
        part = rng.uniform(0.3, 1.0)
        curves.append(_mixed(common, own, part))
    noise = rng.uniform(0.1, 0.6)
    budgets = BUDGET * np.array([1.0, 2.0, 4.0])
    rows, images, losses = [], [], []
    for number, curve in enumerate(curves):
        for budget in budgets:
            for _ in range(2 if number == 0 else 1):
                level = 2.0 - 0.3 * np.log2(budget / BUDGET)
                gain = 0.05 * (float(curve(np.array([budget]))[0]) + rng.normal(0, noise))
                rows.append(number)
                images.append(budget)
                losses.append(level - gain)
    count = len(rows)
    evidence = Evidence(
        codes[rows],
        ["start"] * count,
        np.array(images),
        np.arange(count),
        np.arange(count),
        np.array(losses),
        np.full(count, np.nan),
    )
    belief = Belief.fit(at, evidence, target_images=full)
    above = (belief.draws(codes[1:], 2000) > 0).mean(axis=0)
    truth = [float(curve(np.array([full]))[0]) for curve in curves[1:]]
    return list(zip(above.tolist(), truth, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--worlds", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="number of the first world")
    arguments = parser.parse_args()
    at = space_of(SITES, KINDS)
    print("| curves | told wrong | told at all | told at all and |gain| above half a spread |")
    print("| --- | --- | --- | --- |")
    for when in ("later", "early", "straight"):
        found = [
            pair
            for number in range(arguments.first, arguments.first + arguments.worlds)
            for pair in world(np.random.default_rng([number, len(when)]), when, at)
        ]
        above, gain = np.array(found).T
        told = np.maximum(above, 1 - above) > CERTAIN
        wrong = told & ((above > 0.5) != (gain > 0))
        large = np.abs(gain) > 0.5
        print(
            f"| {when} | {wrong.mean():.1%} | {told.mean():.1%} | {told[large].mean():.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
