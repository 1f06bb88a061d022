"""Run folders of any size and kind in a moment: a search whose evaluations are invented."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from support.samples import SMALL_SPACE

from nas.base.files import dump_yaml, parse, read_yaml
from nas.execution.observer import Observer
from nas.execution.simulated import SimulatedExecutor
from nas.models.candidates import Candidates
from nas.runs.run import FINISHED, Run, open_run
from nas.runs.run_file import RunFile
from nas.spec.architecture import Architecture
from nas.spec.objective import objectives_named
from nas.spec.space import SearchSpace
from nas.strategy.search import Search
from nas.strategy.storage.store import Store
from nas.study.evidence import Budgets
from nas.study.front.front import Front
from nas.study.record import Evaluation, Job, Outcome, RungResult
from nas.study.trials import Trials


def invented(job: Job) -> Outcome:
    """Blocks cost time and save loss, late ones more; each training is a bit lucky or not."""
    architecture = Architecture.from_json(job.architecture)
    draw = random.Random(f"{job.digest}{job.seed}")
    saved = sum(
        0.004 * int(item.site.split(".")[1]) * (2 if item.block == "se" else 1)
        for item in architecture.blocks
    )
    latency_ms = 1.0 + sum(0.1 if item.block == "se" else 0.06 for item in architecture.blocks)
    latency_ms *= 1 + 0.1 * random.Random(job.digest).random()
    changed = bool(architecture.blocks)
    found = Evaluation(
        loss=1.2 - saved + draw.gauss(0, 0.004) * changed,
        accuracy=min(1.0, 0.6 + saved + draw.gauss(0, 0.003) * changed),
        latency_ms=latency_ms,
        latency_wall_ms=latency_ms,
        latency_spread=0.01,
        params=400_000 + 9_000 * len(architecture.blocks),
        macs=4_700_000 + 40_000 * len(architecture.blocks),
        images=10_000,
        seconds=10.0,
        train_seconds=9.0,
        loss_sem=0.002 if changed else 0.0,
        trained=changed,
    )
    return Outcome(found)


def at_its_rung(job: Job, outcome: Outcome, budgets: list[float]) -> Outcome:
    """What an evaluation would be at the job's rung, where it is worse, with those below."""
    found = outcome.evaluation
    if found is None or len(budgets) == 1:
        return outcome
    rung = job.rung if job.rung >= 0 else len(budgets) - 1
    losses = [found.loss + 0.05 * (len(budgets) - 1 - number) for number in range(len(budgets))]
    below = tuple(
        RungResult(budgets[number], losses[number], found.accuracy, 3.0) for number in range(rung)
    )
    return Outcome(replace(found, loss=losses[rung], rungs=below))


class Stopped(Exception):
    """The driver is killed."""


def simulated_run(
    path: Path,
    *,
    space: str = SMALL_SPACE,
    evaluate: Callable[[Job], Outcome] = invented,
    stop_after: int | None = None,
    observer: Observer | None = None,
    measured: Callable[[float], float] | None = None,
    data: str = "digits",
    believed: bool = False,
    **keys: Any,
) -> Run:
    """A run folder. keys: of the runner, `search={"trials": 30}`. stop_after: outcomes, when its
    driver is killed. measured: the final latency of a network, from that beside the trainings.
    believed: the sampler has a belief about gains by full training.
    """
    path.mkdir(parents=True)
    loaded = parse(SearchSpace, read_yaml(space, "space.yaml"), "space.yaml")
    plan = {"sampler": "random", "trials": 30, "confirm_seeds": 2} | keys.pop("search", {})
    file = parse(RunFile, {"data": data, "search": plan} | keys, "run.yaml")
    file = file.model_copy(update={"proxy": file.proxy.settled(1_000)})
    (path / "space.yaml").write_text(dump_yaml(loaded))
    (path / "run.yaml").write_text(dump_yaml(file))
    about = {"started": "2026-11-20T12:00:00+00:00", "python": "3.11", "versions": {"torch": "2"}}
    (path / "environment.json").write_text(json.dumps(about | {"data": {"classes": ["a", "b"]}}))
    objectives = objectives_named(file.search.objectives)
    store = Store.create(path / "study.journal", objectives)
    search = Search(
        Candidates(loaded),
        file.search,
        store,
        rungs=len(file.proxy.budgets),
        budgets=Budgets.of(file, 1_000) if believed else None,
    )
    told = 0

    def until_stopped(job: Job) -> Outcome:
        nonlocal told
        if told == stop_after:
            raise Stopped
        told += 1
        return at_its_rung(job, evaluate(job), file.proxy.budgets)

    with contextlib.suppress(Stopped):
        SimulatedExecutor(until_stopped).run(search, observer)
        if measured is not None:
            points = Front.of(Trials.of(search.records), objectives, least_seeds=2).points
            store.note_final(
                {item.architecture.digest: (measured(item.latency_ms), 0.004) for item in points}
            )
        (path / "events.log").write_text(f"{FINISHED} {search.stop_reason}\n")
    return open_run(path)
