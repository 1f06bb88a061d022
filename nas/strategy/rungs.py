"""The rungs that the networks of a study have reached, and what they may come to at the top."""

from __future__ import annotations

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
    """A network on its way up.

    costs: (rungs reached, m), minimised.
    placed: whether by hand.
    trained: whether training changes it.
    """

    costs: Floats
    state: str
    placed: bool
    eligible: bool
    trained: bool


class Ladder:
    """The first evaluation of every network, on the rungs it has reached.

    Further seeds are not on it: another seed is another loss.

    rungs: their number, the top among them.
    reduction: one of so many goes on from a rung; None: all go to the top at once.
    """

    def __init__(
        self, objectives: Sequence[Objective], *, rungs: int, reduction: int | None
    ) -> None:
        self._objectives = tuple(objectives)
        self._reduction = reduction
        self._top = rungs - 1 if reduction is not None else 0
        self._climbers: dict[int, _Climber] = {}
        self._nobody_at: tuple[int, bool] | None = None
        self._changes = 0

    @property
    def halves(self) -> bool:
        """True where there is a rung to stop at."""
        return self._top > 0

    @property
    def share_at_top(self) -> float:
        """The share of all networks that gets there, about, with those that complete the front."""
        return 1 / self._reduction if self._reduction and self.halves else 1.0

    @property
    def waiting(self) -> list[int]:
        """The trials that have reached a rung and may go on."""
        return [trial for trial, climber in self._climbers.items() if climber.state == PAUSED]

    def rung_to_train(self, record: Record) -> int:
        """Return the number of the rung that comes next for a network; -1 for the top.

        References and further seeds go to the top without a stop.
        """
        if not self.halves or record.reference is not None or record.repeat:
            return -1
        return record.rung + 1 if record.rung + 1 < self._top else -1

    def note(self, record: Record) -> None:
        """Take up what has become of a trial."""
        if record.repeat or not self.halves:
            return
        costs = _rungs(record, self._objectives)
        self._changes += 1  # so that `next_trial` looks again
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

    def next_trial(self, *, last: bool) -> int | None:
        """Return the trial that should go on; None when none should now.

        Before the end, no more than 1/reduction of those that were searched go on from a rung.
        At the end all that are among the best of a rung go on, and after them what looks as if
        it belonged to the front, while there are `unfinished` ones.

        last: whether no new networks will come.
        """
        # Ranking all rungs takes time, and drivers ask far more often than anything changes.
        moment = (self._changes, last)
        if self._nobody_at == moment or not self.waiting:
            return None
        trial = self._next_by_rank(last=last)
        if trial is None and last:
            trial = self._next_by_estimate()
        if trial is None:
            self._nobody_at = moment
        return trial

    @property
    def unfinished(self) -> int:
        """The number still missing at the top, where 1/reduction of the searched should be."""
        assert self._reduction is not None
        states = [item.state for item in self._climbers.values() if not item.placed]
        begun = sum(state in {COMPLETE, RUNNING} for state in states)
        return max(0, math.ceil(len(states) / self._reduction) - begun)

    def _next_by_rank(self, *, last: bool) -> int | None:
        """Return the best waiting trial of a rung that has room for it."""
        assert self._reduction is not None
        ranked = [trial for trial in sorted(self._climbers) if self._climbers[trial].eligible]
        trials = [
            [trial for trial in ranked if len(self._climbers[trial].costs) > number]
            for number in range(self._top)
        ]
        rungs = [
            Rung(
                self._stack([self._climbers[trial].costs[number] for trial in reached]),
                np.array([not self._waits_at(trial, number) for trial in reached], dtype=bool),
                room=len(reached) if last else self._room(number, reached),
            )
            for number, reached in enumerate(trials)
        ]
        promotion = next_promotion(rungs, reduction=self._reduction)
        return trials[promotion[0]][promotion[1]] if promotion else None

    def _room(self, number: int, reached: list[int]) -> int:
        """Return how many more of the trials that have reached a rung may go on."""
        assert self._reduction is not None
        searched = [self._climbers[trial] for trial in reached if not self._climbers[trial].placed]
        gone = sum(len(item.costs) > number + 1 or item.state == RUNNING for item in searched)
        return len(searched) // self._reduction - gone

    def _next_by_estimate(self) -> int | None:
        """Return the waiting trial that looks as if it belonged to the front."""
        if not self.unfinished:
            return None
        estimates = self.estimates()
        trials = [trial for trial in sorted(estimates) if self._climbers[trial].eligible]
        costs = self._stack([estimates[trial] for trial in trials])
        closed = np.array([self._climbers[trial].state != PAUSED for trial in trials], dtype=bool)
        row = next_to_complete(costs, closed)
        return trials[row] if row is not None else None

    def _waits_at(self, trial: int, number: int) -> bool:
        climber = self._climbers[trial]
        return climber.state == PAUSED and len(climber.costs) == number + 1

    def _stack(self, rows: list[Floats]) -> Floats:
        return np.array(rows, dtype=np.float64).reshape(-1, len(self._objectives))

    def estimates(self) -> dict[int, Floats]:
        """Return trial -> costs at the top, (m,), minimised.

        They are as measured there, or those of its last rung, shifted by the mean difference
        between the two over all networks that have both.
        """
        shifts = [*self._shifts(), np.zeros(len(self._objectives))]
        return {
            trial: climber.costs[-1] + shifts[len(climber.costs) - 1]
            for trial, climber in self._climbers.items()
        }

    def _shifts(self) -> list[Floats]:
        """Return the mean of (top - rung), (m,), for each rung.

        It is zero while nobody has reached the top: there is nothing to be compared with.
        """
        whole = [
            climber.costs
            for climber in self._climbers.values()
            # A network with nothing to train stays the same at all rungs, as no other does.
            if len(climber.costs) > self._top and climber.trained
        ]
        if not whole:
            return [np.zeros(len(self._objectives))] * self._top
        stacked = np.array(whole)  # (n, rungs, m)
        return list((stacked[:, -1:] - stacked[:, :-1]).mean(axis=0))


def _rungs(record: Record, objectives: Sequence[Objective]) -> list[list[float]]:
    """Return the costs at every rung that a trial has reached, from the lowest; minimised."""
    if record.loss is None:
        return []
    below = [replace(record, loss=rung.loss, accuracy=rung.accuracy) for rung in record.rungs]
    return [
        [item.sign * float(getattr(one, item.name)) for item in objectives]
        for one in (*below, record)
    ]
