"""The lesson of further seeds: how noisy one training is, what repeated networks are worth.

They are compared with networks that were trained once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.belief.noise import mean_over_seeds
from nas.spec.objective import Objective
from nas.study.record import COMPLETE, Record

__all__ = ["Repeats", "summarise_repeats"]

_TRAINED = ("loss", "accuracy")


@dataclass(frozen=True, slots=True)
class Repeats:
    """The networks that have several seeds.

    values: digest -> objective values, as they would be on average with the seed that every
        network has.
    noise: objective, by its number -> standard deviation of one training beside another with
        the same seed.
    """

    values: dict[str, list[float]]
    noise: dict[int, float]


def summarise_repeats(records: Sequence[Record], objectives: Sequence[Objective]) -> Repeats:
    """Average the complete trials of each network that has several seeds.

    Only objectives that training changes are averaged, and have noise.
    Returns empty ones while all networks have one seed.
    """
    done = [record for record in records if record.state == COMPLETE]
    digests, first, group, count = np.unique(
        [record.digest for record in done],
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    several = np.flatnonzero(count > 1)
    if several.size == 0:
        return Repeats({}, {})
    exact = np.array([not done[row].trained for row in first])
    seed = np.array([record.seed for record in done])
    values = {
        str(digests[row]): [float(getattr(done[first[row]], item.name)) for item in objectives]
        for row in several
    }
    noise = {}
    for number, item in enumerate(objectives):
        if item.name not in _TRAINED:
            continue
        trained = np.array([float(getattr(record, item.name)) for record in done])
        average = mean_over_seeds(trained, group, seed, exact)
        if not math.isnan(average.paired):
            noise[number] = average.paired
        for row in several:
            # Networks that were trained once have the first seed.
            own = 0.0 if average.exact[row] else average.effects.get(int(seed[first[row]]), 0.0)
            values[str(digests[row])][number] = float(average.means[row]) + own
    return Repeats(values, noise)
