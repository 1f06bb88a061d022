"""The trials of a search while it runs: what each has come to, in memory as in the store."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from optuna.distributions import CategoricalDistribution

from nas.base.clock import utc_now
from nas.base.seeds import derive
from nas.spec.objective import Objective
from nas.spec.search_plan import SearchPlan
from nas.spec.width import is_widened
from nas.strategy.storage.store import Store
from nas.study.record import COMPLETE, PAUSED, PRUNED, RUNNING, Job, Latency, Outcome, Record

__all__ = [
    "Ledger",
    "check_finite",
    "next_seed",
    "objective_values",
    "prune",
    "record_outcome",
    "training_job",
]


class Ledger:
    """The records of a search, by number and by network.

    What changes a trial has written it to the store before it returns.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._records: list[Record] = []
        self._by_digest: dict[str, list[int]] = {}
        self._networks = 0
        self.changes = 0  # so that what was made of the records is made anew when they are others

    @property
    def records(self) -> Sequence[Record]:
        """Every trial, by number."""
        return self._records

    @property
    def by_digest(self) -> Mapping[str, Sequence[int]]:
        """The numbers of each network's trials, the first of them first."""
        return self._by_digest

    @property
    def networks(self) -> int:
        """The number of networks that were given out, without further seeds and widened ones."""
        return self._networks

    def trials_of(self, digest: str) -> list[Record]:
        """Return the trials of a network, the first of them first; none when it is new."""
        return [self._records[number] for number in self._by_digest.get(digest, [])]

    def start(
        self,
        job: Job,
        params: Mapping[str, str],
        choices: Mapping[str, Sequence[str]],
        marks: Mapping[str, Any],
    ) -> Record:
        """Enter a trial that is given out, and return its record.

        params: parameter -> label; empty for a network that the space cannot express.
        choices: parameter -> all its labels.
        marks: what the sampler noted of the network.
        """
        distributions = {name: CategoricalDistribution(labels) for name, labels in choices.items()}
        self._store.start(job, params, distributions, marks)
        record = Record.of(job, None)
        self.restore(record)
        return record

    def restore(self, record: Record) -> None:
        """Take up a trial that the store holds already."""
        assert record.trial == len(self._records), "trials are numbered without gaps"
        self.changes += 1
        self._records.append(record)
        self._by_digest.setdefault(record.digest, []).append(record.trial)
        # What is trained beside the winners of a search was not proposed by it.
        self._networks += record.repeat == 0 and not is_widened(record.reference)

    def update(self, record: Record, values: list[float] | None = None) -> None:
        """Enter what a trial has come to.

        values: one per objective when it is COMPLETE, else None.
        """
        if record.state in {PAUSED, RUNNING}:
            self._store.note(record)
        else:
            self._store.finish(record, values)
        self._records[record.trial] = record
        self.changes += 1


def next_seed(plan: SearchPlan, digest: str, ledger: Ledger) -> int:
    """Return the seed of a network's next training: few serve all, and networks take turns.

    They are shared, so that what each does to all networks is learnt and taken out. With one
    for all, what it does to networks that are alike would look like a gain of theirs.
    None comes again of which the network has a trial, whoever trained it by whichever rule: the
    same training twice would pass for a network that no seed changes.
    """
    trials, turns = ledger.trials_of(digest), plan.seeds_in_turn or 1
    had = {record.seed for record in trials}
    for repeat in count(len(trials)):
        number = (int(digest, 16) + repeat) % turns + turns * (repeat // turns)
        seed = derive(plan.seed, "train", number) % 2**31
        if seed not in had:
            return seed
    raise AssertionError("there are more seeds than trials")


def record_outcome(before: Record, job: Job, outcome: Outcome) -> Record:
    """Return what a trial has come to, with what it was at the rung below.

    before: its record when the job was given out; with values where it had reached a rung.
    """
    record = Record.of(job, outcome)
    if record.state != PAUSED:
        record = replace(record, finished=utc_now())
    if before.loss is None:
        return record
    if record.loss is None:
        return replace(before, state=record.state, failure=record.failure, finished=record.finished)
    return replace(record, seconds=(before.seconds or 0.0) + (record.seconds or 0.0))


def prune(record: Record) -> Record:
    """Return the record of a trial that is stopped where it waits, for good."""
    return replace(record, state=PRUNED, finished=utc_now())


def check_finite(outcome: Outcome, objectives: Sequence[Objective]) -> Outcome:
    """Return the outcome, or a failure where a value of it is not a finite number.

    Such a value makes no point of a front.
    """
    if outcome.evaluation is not None:
        for name in ("loss", "accuracy", "latency_ms", *(item.name for item in objectives)):
            value = getattr(outcome.evaluation, name)
            if not math.isfinite(value):
                return Outcome(failure=f"{name} is {value}")
    return outcome


def objective_values(record: Record, objectives: Sequence[Objective]) -> list[float] | None:
    """Return one value per objective, in the user's own direction; None unless COMPLETE."""
    if record.state != COMPLETE:
        return None
    return [float(getattr(record, item.name)) for item in objectives]


def training_job(record: Record, rung: int) -> Job:
    """Return the order to train a trial's network further, or from the start.

    rung: number of the budget to train up to; -1 is the top.
    """
    latency = None
    if record.latency_ms is not None and record.latency_spread is not None:
        latency = Latency(record.latency_ms, record.latency_wall_ms, record.latency_spread)
    return Job(
        trial=record.trial,
        architecture=record.architecture,
        digest=record.digest,
        seed=record.seed,
        reference=record.reference,
        repeat=record.repeat,
        eligible=record.eligible,
        rung=rung,
        latency=latency,
    )
