"""The search itself: what to evaluate next, and what to make of what came back.

Every decision of a search is made here; executors only carry jobs out. (Not named `search`:
`nas.search` is the function that starts a run.)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from optuna.distributions import CategoricalDistribution

from nas.base.clock import utc_now
from nas.base.seeds import derive
from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture
from nas.spec.objective import objectives_named
from nas.spec.runner import SearchPlan
from nas.strategy.confirmation import Confirmation
from nas.strategy.repeats import repeated_values
from nas.strategy.rungs import Ladder
from nas.strategy.samplers.figures import SpaceFigures
from nas.strategy.samplers.proposer import Proposer
from nas.strategy.storage.store import Store
from nas.study.record import (
    COMPLETE,
    FAILED,
    PAUSED,
    PRUNED,
    RUNNING,
    Job,
    Latency,
    Outcome,
    Record,
)

__all__ = ["Search"]

_BEFORE_NOISE = 8  # proposals of the start, before references get further seeds
_AT_RANDOM = 15  # proposals of the start; with five references, a population of NSGA-II
_HOPELESS = 8  # failures, and nothing else, since this search was started or resumed


class Search:
    """Ask for a job, carry it out, tell its outcome; until `finished`.

    First come the hand-placed references, and soon their further seeds; proposals until the
    plan's trials or time are used up, or until nothing is to be expected of further ones; then
    repeats with further seeds until every reference and every member of the front has
    `confirm_seeds` of them. A proposal is trained up to the lowest rung; of those that have
    reached a rung the best go on, before anything new is proposed, and in the end the others are
    PRUNED there (see `nas.strategy.halving`). References and repeats go to the top.
    Everything is in the store before `ask` or `tell` returns, so that a new Search on the same
    store goes on where the last one was killed.

    rungs: number of budgets that a network is trained to, one after another; with one, or
    without the plan's `reduction`, none is stopped early.
    seeds: that every candidate at the top is trained with, whether it comes to the front or not.
    begun: so many trials at the beginning of the store are another search's, with their seeds.
    admit: says whether an architecture keeps the limits that are known without measuring.
    figures: what of all networks is known without measuring, for the sampler.
    started: reading of the clock from which the time limit counts; None: now.
    """

    def __init__(
        self,
        candidates: Candidates,
        plan: SearchPlan,
        store: Store,
        *,
        rungs: int = 1,
        seeds: int = 1,
        begun: int = 0,
        admit: Callable[[Architecture], bool] = lambda architecture: True,
        figures: SpaceFigures | None = None,
        clock: Callable[[], float] = time.monotonic,
        started: float | None = None,
    ) -> None:
        self.candidates = candidates
        self.plan = plan
        self.objectives = objectives_named(plan.objectives)
        self.stop_reason: str | None = None
        self._store = store
        self._admit = admit
        self._clock = clock
        self._started = clock() if started is None else started
        self._seeds = seeds
        self._references = candidates.references()
        self._proposer = Proposer(
            candidates,
            self.objectives,
            sampler=plan.sampler,
            seed=plan.seed,
            admit=admit,
            figures=figures,
            focus=plan.focus,
        )
        self._confirming = Confirmation(
            self.objectives,
            [architecture.digest for architecture in self._references.values()],
            every=seeds,
            confirmed=plan.confirm_seeds,
            begun=begun,
        )
        self._ladder = Ladder(self.objectives, rungs=rungs, reduction=plan.reduction)
        self._records: list[Record] = []
        self._by_digest: dict[str, list[int]] = {}
        self._running: dict[int, Job] = {}
        self._lost: list[Job] = []
        self._firsts = 0
        self._exhausted = False
        self._futile = False
        self._repeats_new = False  # since the sampler was taught of them
        self._told: list[str] = []
        self._restore()

    # What drivers use.

    @property
    def finished(self) -> bool:
        """Nothing is running, nothing waits at a rung, and nothing is left to ask."""
        busy = self._running or self._lost or self._ladder.waiting
        return not busy and self.stop_reason is not None

    @property
    def records(self) -> tuple[Record, ...]:
        """Every trial of the study, by number."""
        return tuple(self._records)

    @property
    def remaining_seconds(self) -> float:
        """Until the plan's time limit; infinite without one."""
        if self.plan.time_limit is None:
            return math.inf
        return self.plan.time_limit - (self._clock() - self._started)

    def expected_trials(self) -> int:
        """About how many trials the study will hold at its end."""
        planned = max(self.plan.trials, self._firsts)
        wanted = self._wanted_seeds(front=True)
        several = [seeds for seeds in wanted.values() if seeds > self._seeds]
        repeats = sum(seeds - 1 for seeds in several)
        others = max(0, planned - len(several)) * self._ladder.share_at_top
        repeats += int(others) * (self._seeds - 1)
        return max(planned + repeats, len(self._records))

    def ask(self) -> Job | None:
        """The next job; None when there is nothing to do now (see `finished`)."""
        if self._lost:
            again = self._lost.pop(0)
            self._running[again.trial] = again
            return again
        if self.remaining_seconds <= 0:
            self.stop_reason = "the time limit is reached"
            self._stop_waiting()
            return None
        if self._hopeless():
            self.stop_reason = f"the first {_HOPELESS} trials all failed"
            self._stop_waiting()
            return None
        job = self._next_reference() or self._next_measure_of_noise() or self._next_first()
        if job is None and self._proposed and not self._firsts_run:
            self._stop_waiting()
        job = job or self._next_repeat()
        if job is None and not self._running:
            self._stop_waiting()
            self.stop_reason = f"{self._firsts} networks are evaluated{self._why_no_more()}"
        return job

    def tell(self, job: Job, outcome: Outcome) -> Record | None:
        """Take an outcome. Returns the trial's record, or None when the job is tried again."""
        del self._running[job.trial]
        if outcome.lost and job.attempt + 1 < self.plan.attempts:
            self._lost.append(replace(job, attempt=job.attempt + 1))
            return None
        record = self._record(job, self._checked(outcome))
        self._told.append(record.state)
        if record.state == PAUSED:
            self._store.note(record)
            self._keep(record)
            return record
        values = self._values(record)
        self._store.finish(record, values)
        self._keep(record)
        if job.repeat == 0:
            self._proposer.tell(job.digest, values)
        return record

    # What comes next.

    def _next_reference(self) -> Job | None:
        for name, architecture in self._references.items():
            if architecture.digest in self._by_digest:
                continue
            values = self.candidates.values(architecture)
            if values is not None and self._within_limits(architecture):
                self._proposer.note(architecture, values)
                return self._start(architecture, values, reference=name)
            return self._start(architecture, None, reference=name, eligible=False)
        return None

    def _within_limits(self, architecture: Architecture) -> bool:
        limit = self.candidates.space.max_insertions
        return (limit is None or len(architecture.blocks) <= limit) and self._admit(architecture)

    def _next_first(self) -> Job | None:
        """A network that goes on to its next rung, before a new one."""
        if self._proposed and not self._ladder.waiting or self._needed_for_repeats():
            return None
        found = self._next_promotion() or self._next_proposal()
        # Where the space has just been exhausted, more may go on.
        return found or self._next_promotion()

    def _next_promotion(self) -> Job | None:
        if not self._ladder.waiting:
            return None
        last = self._proposed or self._needed_for_repeats(beside=self._ladder.unfinished)
        trial = self._ladder.next(last=last)
        if trial is None:
            return None
        record = replace(self._records[trial], state=RUNNING)
        self._store.note(record)
        self._keep(record)
        job = self._running[trial] = self._job_of(record)
        return job

    def _why_no_more(self) -> str:
        if self._exhausted:
            return "; the space gave no further one"
        if self._futile:
            return (
                f"; the last {self.plan.patience} of them (search.patience) promised less than "
                "what training the front again would seem to gain by luck"
            )
        return ""

    def _next_proposal(self) -> Job | None:
        if self._exhausted or self._firsts >= self.plan.trials:
            return None
        self._teach()  # of noise above all, without which nothing is futile
        patience = self.plan.patience
        self._futile = patience is not None and self._proposer.futile >= patience
        if self._futile:
            return None
        found = self._proposer.propose(
            len(self._records),
            self._by_digest,
            at_random=self._firsts < len(self._references) + _AT_RANDOM,
        )
        self._exhausted = found is None
        return self._start(*found) if found else None

    def _next_measure_of_noise(self) -> Job | None:
        """Further seeds of the references, when a model begins to propose: they come anyway, and
        until then nobody knows how far to believe one training.
        """
        if self._proposed or self._firsts < len(self._references) + _BEFORE_NOISE:
            return None
        return self._repeat_of(self._confirming.of_references())

    def _next_repeat(self) -> Job | None:
        """Further seeds: for references at once, for the front when it stands."""
        return self._repeat_of(self._wanted_seeds(front=not self._firsts_run))

    def _wanted_seeds(self, *, front: bool) -> dict[str, int]:
        return self._confirming.wanted(self._records, self._by_digest, front=front)

    def _repeat_of(self, wanted: Mapping[str, int]) -> Job | None:
        """The first that is missing. wanted: digest -> seeds."""
        for digest, seeds in wanted.items():
            if self._missing_seeds(digest, seeds):
                first = self._records[self._by_digest[digest][0]]
                architecture = Architecture.from_json(first.architecture)
                return self._start(
                    architecture,
                    self.candidates.values(architecture),
                    reference=first.reference,
                    eligible=first.eligible,
                    repeat=len(self._by_digest[digest]),
                )
        return None

    def _needed_for_repeats(self, beside: int = 0) -> bool:
        """Whether what is left of the time limit is needed for the repeats, and for some more
        trainings beside them.
        """
        if math.isinf(self.remaining_seconds):
            return False
        complete = [record for record in self._records if record.state == COMPLETE]
        seconds = [record.seconds for record in complete if record.seconds]
        if not seconds:
            return False
        wanted = self._wanted_seeds(front=True)
        missing = sum(self._missing_seeds(digest, seeds) for digest, seeds in wanted.items())
        rounds = 1 + math.ceil((missing + beside) / (len(self._running) + 1))
        return self.remaining_seconds < rounds * sum(seconds) / len(seconds)

    def _missing_seeds(self, digest: str, wanted: int) -> int:
        tried = [self._records[number] for number in self._by_digest.get(digest, [])]
        return self._confirming.missing(tried, wanted)

    @property
    def _proposed(self) -> bool:
        """Whether no network will be proposed any more."""
        return self._exhausted or self._futile or self._firsts >= self.plan.trials

    @property
    def _firsts_run(self) -> bool:
        return any(job.repeat == 0 for job in self._running.values())

    def _hopeless(self) -> bool:
        """Nothing works: the cause is not in single networks."""
        return len(self._told) >= _HOPELESS and set(self._told) == {FAILED}

    # Book-keeping.

    def _start(
        self,
        architecture: Architecture,
        values: Mapping[str, str] | None,
        *,
        reference: str | None = None,
        repeat: int = 0,
        eligible: bool = True,
    ) -> Job:
        job = Job(
            trial=len(self._records),
            architecture=architecture.to_json(),
            digest=architecture.digest,
            # Equal for all architectures, so that comparisons are paired.
            seed=derive(self.plan.seed, "train", repeat) % 2**31,
            reference=reference,
            repeat=repeat,
            eligible=eligible,
        )
        choices = self.candidates.parameters_given(values) if values else {}
        self._store.start(
            job,
            values or {},
            {name: CategoricalDistribution(labels) for name, labels in choices.items()},
            self._proposer.marks(job.digest) if repeat == 0 else {},
        )
        record = Record.of(job, None)
        self._remember(record)
        job = self._running[job.trial] = self._job_of(record)
        return job

    def _remember(self, record: Record) -> None:
        assert record.trial == len(self._records), "trials are numbered without gaps"
        self._records.append(record)
        self._by_digest.setdefault(record.digest, []).append(record.trial)
        self._firsts += record.repeat == 0

    def _record(self, job: Job, outcome: Outcome) -> Record:
        """What a trial has come to, with what it was at the rung below."""
        before = self._records[job.trial]
        record = Record.of(job, outcome)
        if record.state != PAUSED:
            record = replace(record, finished=utc_now())
        if before.loss is None:
            return record
        if record.loss is None:
            return replace(
                before, state=record.state, failure=record.failure, finished=record.finished
            )
        return replace(record, seconds=(before.seconds or 0.0) + (record.seconds or 0.0))

    def _keep(self, record: Record) -> None:
        self._records[record.trial] = record
        self._note(record)

    def _note(self, record: Record) -> None:
        self._ladder.note(record)
        self._repeats_new |= record.repeat > 0 and record.state == COMPLETE

    def _stop_waiting(self) -> None:
        """What waits below the top is stopped there for good.

        A search that is made longer leaves it so, even where it would now be among those that
        go on: its training is gone, and new networks are measured against it all the same.
        """
        for trial in self._ladder.waiting:
            record = replace(self._records[trial], state=PRUNED, finished=utc_now())
            self._store.finish(record, None)
            self._keep(record)

    def _teach(self) -> None:
        """Let the sampler know what further seeds have told, and what the networks below the top
        may come to.
        """
        if self._repeats_new:
            self._repeats_new = False
            told = repeated_values(self._records, self.objectives)
            self._proposer.learn_noise(told.noise)
            for digest, values in told.values.items():
                self._proposer.tell(digest, values)
        signs = np.array([item.sign for item in self.objectives])
        for trial, costs in self._ladder.estimates().items():
            record = self._records[trial]
            if record.state != COMPLETE:
                self._proposer.tell(record.digest, (signs * costs).tolist())

    def _checked(self, outcome: Outcome) -> Outcome:
        """What is not a finite number makes no point of a front."""
        if outcome.evaluation is not None:
            objectives = [item.name for item in self.objectives]
            for name in ("loss", "accuracy", "latency_ms", *objectives):
                value = getattr(outcome.evaluation, name)
                if not math.isfinite(value):
                    return Outcome(failure=f"{name} is {value}")
        return outcome

    def _values(self, record: Record) -> list[float] | None:
        if record.state != COMPLETE:
            return None
        return [float(getattr(record, item.name)) for item in self.objectives]

    def _restore(self) -> None:
        """Take up the store's trials; those that were running are given out again."""
        for stored in self._store.trials():
            record, values = stored.record, self._values(stored.record)
            self._remember(record)
            self._note(record)
            if record.repeat == 0:
                self._proposer.restore(stored, values)
            if record.state == RUNNING:
                self._lost.append(self._job_of(record))
            elif stored.unsettled:
                self._store.finish(record, values)

    def _job_of(self, record: Record) -> Job:
        """The order to train a network further, or from the start."""
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
            rung=self._ladder.rung_to_train(record),
            latency=latency,
        )
