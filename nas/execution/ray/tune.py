"""Jobs through Ray Tune: its trials, callbacks, loggers and restore around the same search core.

Each job is a Tune trial of one step, so that no scheduler can end one with a value that is not
its own: what Tune stops before its step has no values and is FAILED, with that reason.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from nas.base.errors import NasError, StorageError, TrainingError
from nas.execution.executor import lost_with_worker
from nas.execution.observer import Observer, SilentObserver
from nas.execution.ray.cluster import trial_options
from nas.execution.ray.pool import gauge_actor, tell
from nas.execution.ray.workers import RayWorker, WorkerFactories
from nas.spec.runner import Ray
from nas.strategy.search import Search
from nas.study.record import RUNNING, Job, Outcome

__all__ = ["JobTrainable", "SearchSearcher", "TuneExecutor"]

_OUTCOME = "outcome"
_TICK_SECONDS = 0.5
_STARTS = 3  # trials in a row that end before any worker was ready


class JobTrainable(tune.Trainable):
    """A Tune trial that evaluates the job in `config["job"]` in one step.

    It is kept for the next (`reuse_actors`).

    A result holds the figures of the evaluation by name, for loggers and callbacks, and the
    whole outcome as JSON.
    """

    def setup(self, config: dict[str, Any], **made_of: Any) -> None:
        """Make the worker.

        made_of: see RayWorker.
        """
        self._worker = RayWorker(**made_of, number=0)
        self._started = self._worker.ready()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        answer = self._started
        if "broken" not in answer:
            answer = self._worker.evaluate(json.loads(self.config["job"]))
        figures = answer.get("evaluation") or {}
        return {**figures, _OUTCOME: json.dumps(answer), tune.result.DONE: True}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Do nothing: weights are in the run folder already."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Do nothing: weights are in the run folder already."""


class SearchSearcher(Searcher):
    """A search core as Tune's searcher: suggest is ask, complete is tell.

    What Tune keeps of it is which of its trials has which job. The study knows the rest, so a
    restored searcher takes up the search that it is given, or that `reopen` opens: jobs that
    Tune itself starts again are its own, and those that it does not are suggested again.
    """

    def __init__(
        self,
        search: Search | None = None,
        observer: Observer | None = None,
        *,
        reopen: Callable[[], Search] | None = None,
    ) -> None:
        super().__init__()
        self._search = search
        self._observer = observer or SilentObserver()
        self._reopen = reopen
        self._jobs: dict[str, Job] = {}
        self._again: list[Job] = []
        self._ticked = 0.0
        self._silent_deaths = 0
        self.fault: NasError | None = None

    def core(self) -> Search:
        """Return the search core; opened again after a restore."""
        if self._search is None:
            assert self._reopen is not None, "a restored searcher needs its search"
            self._search = self._reopen()
        return self._search

    def suggest(self, trial_id: str) -> Any:
        try:
            return self._suggest(trial_id)
        except NasError as error:  # which Tune would hide in an error of its own
            self.fault = error
            return Searcher.FINISHED

    def _suggest(self, trial_id: str) -> Any:
        now = time.monotonic()
        if now - self._ticked > _TICK_SECONDS:
            self._ticked = now
            self._observer.tick(self.core())
        if self.fault is not None:
            return Searcher.FINISHED
        job = self._again.pop(0) if self._again else self.core().ask()
        if job is None:
            return Searcher.FINISHED if self.core().finished else None
        self._jobs[trial_id] = job
        self._observer.started(job)
        return {"trial": job.trial, "rung": job.rung, "job": json.dumps(job.to_dict())}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell the outcome of a job's only step, before Tune may end everything."""
        if trial_id in self._jobs and _OUTCOME in result:
            self.on_trial_complete(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Bring the trial to one honest end, whatever Tune says."""
        try:
            self._complete(trial_id, result, error)
        except NasError as fault:
            self.fault = fault

    def _complete(self, trial_id: str, result: dict[str, Any] | None, error: bool) -> None:
        job = self._jobs.pop(trial_id, None)
        if job is None:
            return  # of a search before a restore, which has been told
        answer = json.loads(result[_OUTCOME]) if result and _OUTCOME in result else None
        if answer is not None and "broken" in answer:
            self.fault = StorageError(f"a worker cannot go on: {answer['broken']}")
            self._again.append(job)
        elif answer is not None:
            self._silent_deaths = 0
            outcome = Outcome.from_dict(answer)
            tell(self.core(), self._observer, job, outcome, outcome.failure or "")
        elif error:
            outcome = lost_with_worker(job, "as Ray Tune says")
            tell(self.core(), self._observer, job, outcome, "lost (as Ray Tune says)")
            self._silent_deaths += 1
            if self._silent_deaths >= 2 * _STARTS and not self._heard():
                self.fault = TrainingError("workers die before they are ready; see Ray's logs")
        else:
            outcome = Outcome(failure="Ray Tune stopped it before its evaluation")
            tell(self.core(), self._observer, job, outcome, "stopped")

    def _heard(self) -> bool:
        return any(record.loss is not None for record in self.core().records)

    def save(self, checkpoint_path: str) -> None:
        trials = {trial_id: job.trial for trial_id, job in self._jobs.items()}
        Path(checkpoint_path).write_text(json.dumps(trials))

    def restore(self, checkpoint_path: str) -> None:
        """Take up the jobs that Tune's unfinished trials have."""
        trials = json.loads(Path(checkpoint_path).read_text())
        unfinished = {number: trial_id for trial_id, number in trials.items()}
        running = [record for record in self.core().records if record.state == RUNNING]
        for _ in running:
            job = self.core().ask()
            assert job is not None, "a reopened search gives out first what was running"
            if job.trial in unfinished:
                self._jobs[unfinished[job.trial]] = job
                self._observer.started(job)
            else:
                self._again.append(job)

    def __getstate__(self) -> dict[str, Any]:
        """Return what Tune keeps a copy of in its own folder; the study stays where it is."""
        live: dict[str, Any] = {
            "_search": None,
            "_observer": SilentObserver(),
            "_jobs": {},
            "_again": [],
            "fault": None,
        }
        return self.__dict__ | live


class _AtOnce(tune.Callback):
    """Tune tells a searcher of a last result only when it comes to end the trial."""

    def __init__(self, searcher: SearchSearcher) -> None:
        self._searcher = searcher

    def on_trial_result(
        self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self._searcher.on_trial_result(trial.trial_id, result)


@dataclass
class TuneExecutor:
    """The executor of Ray Tune's trials; it needs a connection (`cluster.connect`).

    It has the fields of RayExecutor, and:
    folder: takes Tune's own files, a folder for each time that the search is started or resumed.
    callbacks: of Tune, such as loggers.
    stop: when Tune ends everything; see `tune.RunConfig`.
    reopen: opens the search again after `Tuner.restore`.
    """

    spec: dict[str, Any]
    plan: Ray
    folder: Path
    workers: int | None = None
    threads: int = 1
    makers: WorkerFactories = field(default_factory=WorkerFactories)
    callbacks: Sequence[tune.Callback] = ()
    stop: Any = None
    reopen: Callable[[], Search] | None = None
    _gauge: Any = field(default=None, init=False, repr=False)

    def run(self, search: Search, observer: Observer) -> None:
        """Carry out jobs until `search.finished`.

        Raises NasError when no job can be carried out, KeyboardInterrupt when Tune was stopped.
        """
        searcher = SearchSearcher(search, observer, reopen=self.reopen)
        try:
            self.tuner(searcher).fit()
        finally:
            if self._gauge is not None:
                ray.kill(self._gauge)
                self._gauge = None
        if searcher.fault is not None:
            raise searcher.fault
        if not search.finished:
            raise KeyboardInterrupt  # which Tune took for itself, and stopped its trials

    def trainable(self) -> Any:
        """Return what Tune runs.

        Also after a restore: `Tuner.restore(folder, trainable=executor.trainable())`.
        """
        # An actor ends with its last handle, and that in Tune's copy does not count.
        self._gauge = self._gauge or gauge_actor(self.spec, self.plan, self.makers)
        options = trial_options(self.plan, threads=self.threads)
        trainable = tune.with_parameters(
            JobTrainable,
            maker=self.makers.evaluator,
            spec=self.spec,
            gauge=self._gauge,
        )
        bundle = {"CPU": options["num_cpus"], "GPU": options["num_gpus"], **options["resources"]}
        strategy = "SPREAD" if self.plan.placement == "spread" else "PACK"
        bundle = {name: amount for name, amount in bundle.items() if amount}
        return tune.with_resources(
            trainable, tune.PlacementGroupFactory([bundle], strategy=strategy)
        )

    def tuner(self, searcher: SearchSearcher) -> tune.Tuner:
        """Return a tuner whose trials are the searcher's jobs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        started = 1 + sum(1 for _ in self.folder.iterdir())
        return tune.Tuner(
            self.trainable(),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=-1,
                max_concurrent_trials=self.workers,
                reuse_actors=True,
                trial_name_creator=_name,
                trial_dirname_creator=_name,
            ),
            run_config=tune.RunConfig(
                name=f"search-{started}",
                storage_path=str(self.folder.resolve()),
                callbacks=[_AtOnce(searcher), *self.callbacks],
                stop=self.stop,
                verbose=0,
            ),
        )


def _name(trial: Any) -> str:
    config = trial.config
    rung = f"-rung-{config['rung']}" if config["rung"] != -1 else ""
    return f"trial-{config['trial']}{rung}-{trial.trial_id}"
