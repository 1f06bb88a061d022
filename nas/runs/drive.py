"""Driving a search: prepare what is missing, search, measure the front, write what was found."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nas.base.errors import StorageError
from nas.execution.evaluator import EvaluatorSpec
from nas.execution.executor import LatencyMachine
from nas.execution.observer import EventLog, Observer, ObserverPair, SilentObserver
from nas.latency.runtime import device_named
from nas.latency.source import measure_architectures
from nas.latency.survey import is_of_this_machine
from nas.runs.choose_executor import EXECUTORS, latency_machine
from nas.runs.elapsed import STARTED
from nas.runs.loggers import with_loggers
from nas.runs.open_study import open_study
from nas.runs.prepare import SearchInputs, make_search, prepare
from nas.runs.run import FINISHED, Run
from nas.runs.stored_trials import TRIALS_FILE, journal_stamp
from nas.spec.architecture import Architecture
from nas.strategy.storage.store import Store
from nas.study.record import FAILED, PRUNED, Record
from nas.study.trials import Trials
from nas.training.checkpoint import drop_training, training_path

__all__ = ["drive", "write_results"]


def drive(inputs: SearchInputs, observer: Observer | None = None, *, spent: float = 0.0) -> None:
    """Search as a run says, and write what was found, however the search ends.

    The caller holds the run's lock.
    observer: hears what happens, beside events.log and the run's loggers; None: they alone.
    spent: seconds of its time limit that are used up.
    """
    run = inputs.run
    log = EventLog(run.path / "events.log")
    events = ObserverPair(observer or SilentObserver(), log)
    with (
        with_loggers(run, events) as audience,
        open_study(run, audience.stage) as store,
        latency_machine(run, audience) as machine,
    ):
        started = time.monotonic() - spent
        log.stage(STARTED)
        spec = prepare(inputs, audience, machine)
        search = make_search(inputs, store, started)
        executor = EXECUTORS[run.file.executor](inputs, store, spec)
        audience.stage("searching")
        try:
            executor.run(search, audience)
            audience.stage(f"searched: {search.stop_reason}")
            _drop_trainings(spec.checkpoints, search.records)
            if cost := run.spent(Trials.of(search.records)):
                audience.stage(str(cost))
            _measure_front(inputs, spec, store, audience, machine)
        except BaseException:
            with contextlib.suppress(StorageError):
                write_results(run)
            raise
        write_results(run)
        audience.stage(f"{FINISHED} {search.stop_reason}")


def _drop_trainings(checkpoints: Path, records: Sequence[Record]) -> None:
    """Remove what would be needed to train a network further that was stopped or has failed.

    Once, at the end: a search that is killed before finds every training of a PAUSED trial.
    """
    for record in records:
        if record.state in {PRUNED, FAILED}:
            drop_training(training_path(checkpoints, record.digest, record.seed))


def _measure_front(
    inputs: SearchInputs,
    spec: EvaluatorSpec,
    store: Store,
    observer: Observer,
    machine: LatencyMachine,
) -> None:
    """Measure front and references once more, in turn, now that no training runs beside.

    A corrected latency can bring another network to the front, which is then measured too.
    On another machine than the profile's, latencies stay what they are: predictions.
    """
    profile = inputs.profile
    if profile and not machine(is_of_this_machine, profile):
        observer.stage(f"latencies stay predictions for {profile.device} on {profile.processor}")
        return
    state = inputs.run.read(Trials.of(store.records()))
    final: dict[str, tuple[float, float]] = {}
    while True:
        points = state.front().points
        new = [point.architecture for point in points if not point.latency_final]
        if not new:
            return
        observer.stage(f"measuring the latency of {len(new)} networks on the idle machine")
        latencies = machine(
            measure_architectures,
            new,
            anchor=Architecture.from_json(spec.anchor),
            anchor_ms=spec.anchor_ms,
            task=inputs.task,
            device=device_named(spec.device),
        )
        final |= {
            digest: (latency.latency_ms, latency.spread) for digest, latency in latencies.items()
        }
        store.note_final(final)
        state = replace(state, trials=Trials.of(store.records()))


def write_results(run: Run) -> None:
    """Write trials.parquet, front.csv and front.png, each whole."""
    stamp = journal_stamp(run.path) if run.file.address is None else ""
    trials = Trials.of(Store(run.study, writable=False).records())
    trials.write(run.path / TRIALS_FILE, stamp=stamp)
    front = run.read(trials).front()
    front.write_csv(run.path / "front.csv")
    from nas.study.front.plot import draw_front  # matplotlib, at the end of a search

    draw_front(front, run.path / "front.png", title=run.title)
