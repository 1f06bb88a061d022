"""How far the networks of a study have come, rung by rung, and what they may come to."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nas.spec.objective import Objective
from nas.strategy.halving import Rung, next_promotion, next_to_complete
from nas.study.record import COMPLETE, FAILED, PAUSED, RUNNING, Record

__all__ = ["Ladder"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Climber:
    """costs: (rungs reached, m), minimised. placed: by hand. trained: training changes it."""

    costs: Floats
    state: str
    placed: bool
    eligible: bool
    trained: bool


class Ladder:
    """The first evaluation of every network, on the rungs it has reached.

    Further seeds are not on it: another seed is another loss. rungs: their number, the top
    among them. reduction: one of so many goes on from a rung; None: all go to the top at once.
    """

    def __init__(
        self, objectives: Sequence[Objective], *, rungs: int, reduction: int | None
    ) -> None:
        self._objectives = tuple(objectives)
        self._reduction = reduction
        self._top = rungs - 1 if reduction is not None else 0
        self._climbers: dict[int, _Climber] = {}
        self._none_at: tuple[int, bool] | None = None
        self._changes = 0

    @property
    def halves(self) -> bool:
        """Whether there is a rung to stop at."""
        return self._top > 0

    @property
    def share_at_top(self) -> float:
        """About how many of all networks get there, counting those that complete the front."""
        return 1 / self._reduction if self._reduction and self.halves else 1.0

    @property
    def waiting(self) -> list[int]:
        """Trials that have reached a rung and may go on."""
        return [trial for trial, found in self._climbers.items() if found.state == PAUSED]

    def rung_to_train(self, record: Record) -> int:
        """Number of the rung that comes next for a network; -1 for the top. References and
        further seeds go there without a stop.
        """
        if not self.halves or record.reference is not None or record.repeat:
            return -1
        return record.rung + 1 if record.rung + 1 < self._top else -1

    def note(self, record: Record) -> None:
        """Take up what has become of a trial."""
        if record.repeat or not self.halves:
            return
        costs = _rungs(record, self._objectives)
        self._changes += 1  # so that `next` looks again
        # What fails on the way up leaves its place to the next.
        if not costs or record.state == FAILED:
            self._climbers.pop(record.trial, None)
            return
        assert (len(costs) > self._top) == (record.state == COMPLETE), record
        self._climbers[record.trial] = _Climber(
            np.array(costs),
            record.state,
            record.reference is not None,
            record.eligible,
            record.trained,
        )

    def next(self, *, last: bool) -> int | None:
        """The trial that should go on; None when none should now.

        Before the end, no more than 1/reduction of those that were searched go on from a rung.
        last: no new networks will come. Then all that are among the best of a rung go on, and
        after them what looks as if it belonged to the front, while there are `unfinished` ones.
        """
        asked = (self._changes, last)
        if self._none_at == asked or not self.waiting:
            return None
        trial = self._by_rank(last=last)
        if trial is None and last:
            trial = self._by_estimate()
        if trial is None:
            self._none_at = asked
        return trial

    @property
    def unfinished(self) -> int:
        """How many more of those that were searched should come to the top, so that it holds
        1/reduction of them.
        """
        assert self._reduction is not None
        states = [item.state for item in self._climbers.values() if not item.placed]
        begun = sum(state in {COMPLETE, RUNNING} for state in states)
        return max(0, math.ceil(len(states) / self._reduction) - begun)

    def _by_rank(self, *, last: bool) -> int | None:
        assert self._reduction is not None
        ranked = [trial for trial in sorted(self._climbers) if self._climbers[trial].eligible]
        trials = [
            [trial for trial in ranked if len(self._climbers[trial].costs) > number]
            for number in range(self._top)
        ]
        rungs = [
            Rung(
                self._stacked([self._climbers[trial].costs[number] for trial in here]),
                np.array([not self._waits_at(trial, number) for trial in here], dtype=bool),
                room=len(here) if last else self._room(number, here),
            )
            for number, here in enumerate(trials)
        ]
        found = next_promotion(rungs, reduction=self._reduction)
        return trials[found[0]][found[1]] if found else None

    def _room(self, number: int, here: list[int]) -> int:
        assert self._reduction is not None
        searched = [self._climbers[trial] for trial in here if not self._climbers[trial].placed]
        gone = sum(len(item.costs) > number + 1 or item.state == RUNNING for item in searched)
        return len(searched) // self._reduction - gone

    def _by_estimate(self) -> int | None:
        if not self.unfinished:
            return None
        estimates = self.estimates()
        trials = [trial for trial in sorted(estimates) if self._climbers[trial].eligible]
        costs = self._stacked([estimates[trial] for trial in trials])
        closed = np.array([self._climbers[trial].state != PAUSED for trial in trials], dtype=bool)
        row = next_to_complete(costs, closed)
        return trials[row] if row is not None else None

    def _waits_at(self, trial: int, number: int) -> bool:
        found = self._climbers[trial]
        return found.state == PAUSED and len(found.costs) == number + 1

    def _stacked(self, rows: list[Floats]) -> Floats:
        return np.array(rows, dtype=np.float64).reshape(-1, len(self._objectives))

    def estimates(self) -> dict[int, Floats]:
        """Trial -> costs at the top, (m,): as they were there, or those of its last rung shifted
        by the mean difference between the two over all networks that have both.
        """
        shifts = [*self._shifts(), np.zeros(len(self._objectives))]
        return {
            trial: found.costs[-1] + shifts[len(found.costs) - 1]
            for trial, found in self._climbers.items()
        }

    def _shifts(self) -> list[Floats]:
        """For each rung, the mean of (top - rung), (m,). Zero while nobody has reached the top:
        until then, there is nothing to be compared with.
        """
        whole = [
            found.costs
            for found in self._climbers.values()
            # A network with nothing to train stays the same at all rungs, as no other does.
            if len(found.costs) > self._top and found.trained
        ]
        if not whole:
            return [np.zeros(len(self._objectives))] * self._top
        stacked = np.array(whole)  # (n, rungs, m)
        return list((stacked[:, -1:] - stacked[:, :-1]).mean(axis=0))


def _rungs(record: Record, objectives: Sequence[Objective]) -> list[list[float]]:
    """Costs at every rung that a trial has reached, from the lowest; minimised."""
    if record.loss is None:
        return []
    below = [
        replace(record, loss=loss, accuracy=accuracy)
        for _, loss, accuracy, _ in json.loads(record.rungs or "[]")
    ]
    return [
        [item.sign * float(getattr(found, item.name)) for item in objectives]
        for found in (*below, record)
    ]
