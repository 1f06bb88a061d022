"""Searches in milliseconds: a fake evaluation, a virtual clock, any number of workers."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable
from pathlib import Path

from support.evaluations import make_outcome
from support.samples import SMALL_SPACE

from nas.base.files import read_yaml
from nas.execution.simulated import SimulatedExecutor, VirtualClock
from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture
from nas.spec.objective import objectives_named
from nas.spec.search_plan import SearchPlan
from nas.spec.space import SearchSpace
from nas.strategy.search import Search
from nas.strategy.storage.store import Store
from nas.study.record import Job, Outcome

OBJECTIVES = objectives_named(["loss", "latency_ms"])
Evaluate = Callable[[Job], Outcome]


def space(**changes: object) -> SearchSpace:
    """Return the small space, with some of its keys changed."""
    return SearchSpace.model_validate(read_yaml(SMALL_SPACE, "small.yaml") | changes)


def small_candidates() -> Candidates:
    """Return the candidates of the small space."""
    return Candidates(space())


def truth(job: Job, *, seed_noise: float = 0.01) -> Outcome:
    """Blocks cost time and save loss, late ones more; seeds shift everybody and each a bit."""
    architecture = Architecture.from_json(job.architecture)
    saved = sum(
        0.01 * int(item.site.split(".")[1]) * (2 if item.block == "se" else 1)
        for item in architecture.blocks
    )
    latency = 1.0 + sum(0.1 if item.block == "se" else 0.06 for item in architecture.blocks)
    own = random.Random(f"{job.digest}{job.seed}").gauss(0, seed_noise)
    shared = random.Random(job.seed).gauss(0, 0.1)
    changed = bool(architecture.blocks)
    return make_outcome(
        loss=2.0 - saved + (own + shared) * changed,
        accuracy=0.5 + saved / 4,
        latency_ms=latency,
        latency_spread=0.002,
        macs=1000,
        seconds=10.0,
        train_seconds=9.0,
    )


def make(
    path: Path,
    candidates: Candidates,
    plan: SearchPlan,
    clock: VirtualClock | None = None,
    *,
    rungs: int = 1,
    seeds: int = 1,
    begun: int = 0,
) -> Search:
    journal = path / "study.journal"
    if not journal.exists():
        Store.create(journal, objectives_named(plan.objectives))
    store = Store(journal, writable=True)
    return Search(
        candidates,
        plan,
        store,
        rungs=rungs,
        seeds=seeds,
        begun=begun,
        clock=clock or VirtualClock(),
    )


class Killed(Exception):
    """Of a driver that never hears what came of a job."""


def drive(
    search: Search,
    evaluate: Evaluate = truth,
    *,
    workers: int = 1,
    steps: float = math.inf,
    clock: VirtualClock | None = None,
) -> list[Job]:
    """Carry out a search with simulated workers that overtake each other, and return the jobs
    that came to their end; after `steps` of them the driver is killed.
    """
    done: list[Job] = []

    def until_killed(job: Job) -> Outcome:
        if len(done) >= steps:
            raise Killed
        done.append(job)
        return evaluate(job)

    def seconds(job: Job) -> float:
        return random.Random(f"{job.trial} {job.rung}").uniform(9, 11)

    with contextlib.suppress(Killed):
        SimulatedExecutor(until_killed, seconds=seconds, workers=workers, clock=clock).run(search)
    return done


def digests(search: Search) -> list[str]:
    return [record.digest for record in search.records if record.repeat == 0]
