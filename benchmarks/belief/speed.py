"""How long the belief takes: to fit, and to say what a million networks would gain.

    python -m benchmarks.belief.speed

Seven sites with 14 choices each, as `search_spaces/mobilenetv2-cifar.yaml` has them; rows of three
budgets. CPU seconds of one thread.
"""

from __future__ import annotations

import time

import numpy as np
from threadpoolctl import ThreadpoolController

from benchmarks.belief.spaces import space_of
from nas.belief.belief import Belief
from nas.belief.evidence import Evidence
from nas.belief.points import PointSpace

SITES, FULL = 7, 1e6
LABELS = (
    "none",
    *(f"se/r{ratio}" for ratio in (8, 16, 24, 32)),
    *(f"cbam/r{ratio}" for ratio in (8, 16, 24, 32)),
    *(f"coord/r{ratio}" for ratio in (8, 16, 32)),
    "eca",
    "simam",
)


def space() -> PointSpace:
    return space_of(
        SITES, LABELS, features=lambda codes: (codes > 0).mean(axis=1, keepdims=True) - 0.5
    )


def evidence(count: int, at: PointSpace, rng: np.random.Generator) -> Evidence:
    codes = at.grid.random(count, rng) * (rng.random((count, SITES)) < rng.random((count, 1)))
    budget = rng.integers(0, 3, count)
    worth = rng.normal(0, 0.02, (SITES, len(LABELS)))
    gains = worth[np.arange(SITES), codes].sum(axis=1)
    loss = 1.0 - 0.1 * budget - gains + rng.normal(0, 0.03, count)
    source = np.where(budget == 2, "full", "start").tolist()
    images = np.asarray(FULL / 4.0 ** (2 - budget), dtype=np.float64)
    number = np.arange(count)
    return Evidence(codes, source, images, number, number, loss, 1 - 0.3 * loss)


def main() -> None:
    at, rng = space(), np.random.default_rng(0)
    with ThreadpoolController().limit(limits=1):
        for count in (30, 100, 300, 2000):
            rows = evidence(count, at, rng)
            begun = time.thread_time()
            belief = Belief.fit(at, rows, target_images=FULL)
            fitted = time.thread_time() - begun
            line = f"{count} rows: fit {fitted:.1f} s"
            if count == 300:
                codes = at.grid.random(1_000_000, rng)
                begun = time.thread_time()
                belief.gain(codes, rough=True)
                line += f", gains of 1,000,000 networks {time.thread_time() - begun:.1f} s"
            print(line, flush=True)


if __name__ == "__main__":
    main()
