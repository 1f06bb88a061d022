"""The decisions of a search: what to evaluate next, and what follows from an outcome.

Executors only carry jobs out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture
from nas.spec.objective import objectives_named
from nas.spec.search_plan import SearchPlan
from nas.spec.task import ACCURACY, Figure
from nas.spec.width import is_widened
from nas.strategy.confirmation import Confirmation
from nas.strategy.ledger import (
    Ledger,
    check_finite,
    next_seed,
    objective_values,
    prune,
    record_outcome,
    training_job,
)
from nas.strategy.lessons import Lessons
from nas.strategy.rungs import Ladder
from nas.strategy.samplers.figures import SpaceFigures
from nas.strategy.samplers.proposer import Proposer
from nas.strategy.stopping import Stopping
from nas.strategy.storage.store import Store
from nas.study.evidence import Budgets
from nas.study.prospect import Prospect
from nas.study.record import PAUSED, RUNNING, Job, Outcome, Record

__all__ = ["Search"]

_BEFORE_NOISE = 8  # proposals of the start, before references get further seeds
_AT_RANDOM = 15  # proposals of the start; with five references, a population of NSGA-II


class Search:
    """A search as its drivers see it: ask for a job, carry it out, tell its outcome.

    It goes on until `finished`. First come the hand-placed references, and soon their further
    seeds. Then come proposals, until the plan's trials or time are used up, or until nothing is
    to be expected of further ones. Repeats with further seeds come last, until every reference
    and every member of the front has `confirm_seeds` of them.

    A proposal is trained up to the lowest rung. Of those that have reached a rung the best go
    on, before anything new is proposed, and in the end the others are PRUNED there (see
    `nas.strategy.halving`). References and repeats go to the top.

    Everything is in the store before `ask` or `tell` returns, so that a new Search on the same
    store goes on where the last one was killed.

    rungs: number of budgets that a network is trained to, one after another; with one, or
        without the plan's `reduction`, none is stopped early.
    seeds: number of seeds of every candidate at the top, whether it comes to the front or not.
    begun: number of trials at the beginning of the store that are another search's.
    admit: says whether an architecture keeps the limits that are known without measuring.
    figures: what of all networks is known without measuring, for the sampler.
    budgets: what trainings are evidence of, for a sampler that has a belief; None: one value for
        each network is all there is.
    clock: reads seconds.
    started: reading of the clock from which the time limit counts; None: now.
    figure: that networks are judged by beside their loss.
    Raises SpecError when the store holds trials that the space does not.
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
        budgets: Budgets | None = None,
        clock: Callable[[], float] = time.monotonic,
        started: float | None = None,
        figure: Figure = ACCURACY,
    ) -> None:
        self.candidates = candidates
        self.plan = plan
        self.objectives = objectives_named(plan.objectives)
        self.figure = figure
        self.stop_reason: str | None = None
        self._store = store
        self._admit = admit
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
            trials=plan.trials,
        )
        # No other sampler has a belief.
        self._lessons = Lessons(
            self._proposer, self.objectives, budgets if plan.sampler == "pareto" else None
        )
        self._stopping = Stopping(plan, clock, clock() if started is None else started)
        self._confirmation = Confirmation(
            self.objectives,
            [architecture.digest for architecture in self._references.values()],
            seeds_each=seeds,
            confirm_seeds=plan.confirm_seeds,
            begun=begun,
        )
        self._ladder = Ladder(self.objectives, rungs=rungs, reduction=plan.reduction)
        self._ledger = Ledger(store)
        self._running: dict[int, Job] = {}
        self._lost: list[Job] = []
        self._wanted: dict[bool, tuple[int, Mapping[str, int]]] = {}
        self._restore()

    # What drivers use.

    @property
    def finished(self) -> bool:
        """True when nothing is running, nothing waits at a rung, and nothing is left to ask."""
        busy = self._running or self._lost or self._ladder.waiting
        return not busy and self.stop_reason is not None

    @property
    def records(self) -> tuple[Record, ...]:
        """Every trial of the study, by number."""
        return tuple(self._ledger.records)

    @property
    def remaining_seconds(self) -> float:
        """The time until the plan's limit; infinite without one."""
        return self._stopping.remaining_seconds

    @property
    def prospect(self) -> Prospect | None:
        """What was gained, and may be left to gain, as of the last proposal; None: not known."""
        return self._proposer.prospect

    @property
    def expected_networks(self) -> int:
        """How many networks the plan is for, those that are placed by hand among them."""
        return max(self.plan.trials, len(self._references), self._ledger.networks)

    def expected_trials(self) -> int:
        """Estimate how many trials the study will hold at its end."""
        planned = self.expected_networks
        wanted = self._wanted_seeds(front=True)
        several = [seeds for seeds in wanted.values() if seeds > self._seeds]
        repeats = sum(seeds - 1 for seeds in several)
        others = max(0, planned - len(several)) * self._ladder.share_at_top
        repeats += int(others) * (self._seeds - 1)
        return max(planned + repeats, len(self._ledger.records))

    def ask(self) -> Job | None:
        """Return the next job; None when there is nothing to do now (see `finished`)."""
        if self._lost:
            again = self._lost.pop(0)
            self._running[again.trial] = again
            return again
        obstacle = self._stopping.obstacle
        if obstacle is not None:
            self.stop_reason = obstacle
            self._stop_waiting()
            return None
        job = self._next_reference() or self._next_measure_of_noise() or self._next_network()
        # Repeats are of the front, which stands only when nobody may still climb to it.
        if job is None and self._proposals_ended and not self._network_is_running:
            self._stop_waiting()
        job = job or self._next_repeat()
        if job is None and not self._running:
            self._stop_waiting()
            self.stop_reason = self._stopping.reason(self._ledger.networks)
        return job

    def tell(self, job: Job, outcome: Outcome) -> Record | None:
        """Take an outcome, and return the trial's record; None when the job is tried again."""
        del self._running[job.trial]
        if outcome.lost and job.attempt + 1 < self.plan.attempts:
            self._lost.append(replace(job, attempt=job.attempt + 1))
            return None
        before = self._ledger.records[job.trial]
        record = record_outcome(before, job, check_finite(outcome, self.objectives))
        self._stopping.note(record.state)
        values = objective_values(record, self.objectives)
        self._update(record, values)
        # What waits at a rung is told as an estimate, with the next proposal.
        if record.state != PAUSED and job.repeat == 0:
            self._proposer.tell(job.digest, values)
        return record

    # What comes next: references.

    def _next_reference(self) -> Job | None:
        for name, architecture in self._references.items():
            if architecture.digest in self._ledger.by_digest:
                continue
            values = self.candidates.values(architecture)
            if values is not None and self._keeps_limits(architecture):
                self._proposer.note(architecture, values)
                return self._start(architecture, values, reference=name)
            return self._start(architecture, None, reference=name, eligible=False)
        return None

    def _keeps_limits(self, architecture: Architecture) -> bool:
        limit = self.candidates.space.max_insertions
        return (limit is None or len(architecture.blocks) <= limit) and self._admit(architecture)

    # What comes next: networks of the space.

    def _next_network(self) -> Job | None:
        """Take a network that goes on to its next rung, before a new one."""
        if self._proposals_ended and not self._ladder.waiting or self._time_is_for_repeats():
            return None
        job = self._next_promotion() or self._next_proposal()
        # Where the space has just been exhausted, more may go on.
        return job or self._next_promotion()

    def _next_promotion(self) -> Job | None:
        if not self._ladder.waiting:
            return None
        last = self._proposals_ended or self._time_is_for_repeats(beside=self._ladder.unfinished)
        trial = self._ladder.next_trial(last=last)
        if trial is None:
            return None
        record = replace(self._ledger.records[trial], state=RUNNING)
        self._update(record)
        job = self._running[trial] = self._training_job(record)
        return job

    def _next_proposal(self) -> Job | None:
        if self._stopping.exhausted or self._ledger.networks >= self.plan.trials:
            return None
        # Of noise above all, without which nothing is futile.
        self._lessons.tell(self._ledger.records, self._ladder.estimates())
        if not self._stopping.worth_proposing(self._proposer):
            return None
        proposal = self._proposer.propose(
            len(self._ledger.records),
            self._ledger.by_digest,
            at_random=self._ledger.networks < len(self._references) + _AT_RANDOM,
        )
        self._stopping.exhausted = proposal is None
        return self._start(*proposal) if proposal else None

    @property
    def _proposals_ended(self) -> bool:
        """True when no network will be proposed any more."""
        return not self._stopping.may_propose(self._ledger.networks)

    @property
    def _network_is_running(self) -> bool:
        """True while a first evaluation is under way, which may still change the front."""
        return any(job.repeat == 0 for job in self._running.values())

    # What comes next: further seeds.

    def _next_measure_of_noise(self) -> Job | None:
        """Take further seeds of the references, when a model begins to propose.

        They come anyway, and until then nobody knows how far to believe one training.
        """
        soon = len(self._references) + _BEFORE_NOISE
        if self._proposals_ended or self._ledger.networks < soon:
            return None
        return self._repeat(self._confirmation.reference_seeds())

    def _next_repeat(self) -> Job | None:
        """Take further seeds: of references at once, of the front when it stands."""
        return self._repeat(self._wanted_seeds(front=not self._network_is_running))

    def _wanted_seeds(self, *, front: bool) -> Mapping[str, int]:
        # A front of ten thousand networks takes a tenth of a second, and drivers ask far more often
        # than anything changes.
        moment, wanted = self._wanted.get(front, (-1, {}))
        if moment != self._ledger.changes:
            wanted = self._confirmation.wanted_seeds(
                self._ledger.records, self._ledger.by_digest, front=front
            )
            self._wanted[front] = (self._ledger.changes, wanted)
        return wanted

    def _repeat(self, wanted: Mapping[str, int]) -> Job | None:
        """Start the first repeat that is missing.

        wanted: digest -> seeds.
        """
        for digest, seeds in wanted.items():
            if self._missing_seeds(digest, seeds):
                trials = self._ledger.trials_of(digest)
                architecture = Architecture.from_json(trials[0].architecture)
                return self._start(
                    architecture,
                    self.candidates.values(architecture),
                    reference=trials[0].reference,
                    eligible=trials[0].eligible,
                    repeat=len(trials),
                )
        return None

    def _missing_seeds(self, digest: str, wanted: int) -> int:
        return self._confirmation.missing_seeds(self._ledger.trials_of(digest), wanted)

    def _time_is_for_repeats(self, beside: int = 0) -> bool:
        """Say whether what is left of the time limit is needed for the repeats.

        beside: so many more trainings are to come beside them.
        """
        if math.isinf(self.remaining_seconds):
            return False
        wanted = self._wanted_seeds(front=True)
        missing = sum(self._missing_seeds(digest, seeds) for digest, seeds in wanted.items())
        # As many run side by side as now, and one more.
        return self._stopping.time_is_for(
            missing + beside, self._ledger.records, at_once=len(self._running) + 1
        )

    # What a decision changes.

    def _start(
        self,
        architecture: Architecture,
        values: Mapping[str, str] | None,
        *,
        reference: str | None = None,
        repeat: int = 0,
        eligible: bool = True,
    ) -> Job:
        """Enter a new trial, and return its job.

        values: parameter -> label; None where the space cannot express the network.
        """
        job = Job(
            trial=len(self._ledger.records),
            architecture=architecture.to_json(),
            digest=architecture.digest,
            seed=next_seed(self.plan, architecture.digest, self._ledger),
            reference=reference,
            repeat=repeat,
            eligible=eligible,
        )
        record = self._ledger.start(
            job,
            values or {},
            self.candidates.parameters_given(values) if values else {},
            self._proposer.marks(job.digest) if repeat == 0 else {},
        )
        job = self._running[job.trial] = self._training_job(record)
        return job

    def _training_job(self, record: Record) -> Job:
        return training_job(record, self._ladder.rung_to_train(record))

    def _update(self, record: Record, values: list[float] | None = None) -> None:
        """Enter what a trial has come to, wherever it is kept."""
        self._ledger.update(record, values)
        self._observe(record)

    def _observe(self, record: Record) -> None:
        self._ladder.note(record)
        self._lessons.note(record)

    def _stop_waiting(self) -> None:
        """Stop for good what waits below the top.

        A search that is made longer leaves it so, even where it would now be among those that
        go on: its training is gone, and new networks are measured against it all the same.
        """
        for trial in self._ladder.waiting:
            self._update(prune(self._ledger.records[trial]))

    def _restore(self) -> None:
        """Take up the store's trials; those that were running are given out again."""
        for stored in self._store.trials():
            record = stored.record
            values = objective_values(record, self.objectives)
            self._ledger.restore(record)
            if record.reference is not None and not is_widened(record.reference):
                self._confirmation.add_reference(record.digest)  # somebody's own placement, too
            self._observe(record)
            if record.repeat == 0:
                self._proposer.restore(stored, values)
            if record.state == RUNNING:
                self._lost.append(self._training_job(record))
            elif stored.unsettled:
                self._store.finish(record, values)
