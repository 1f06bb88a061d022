"""`nas status`: how far a run is, from its folder or from its storage alone."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nas.cli.options import Json, RunFolderOrUrl
from nas.cli.output.console import print_json
from nas.cli.output.formats import format_clock
from nas.study.record import COMPLETE, FAILED, PAUSED, PRUNED, RUNNING
from nas.study.trials import TrainingCost, Trials

if TYPE_CHECKING:
    from nas.execution.exchange import Exchange
    from nas.runs.run import RunState
    from nas.strategy.storage.store import Store, StoredTrial
    from nas.study.prospect import Prospect

__all__ = ["status"]

_MOST_READ = 10_000  # trials: more take long, and an ended search expects nothing any more
_STATES = (COMPLETE, RUNNING, PAUSED, PRUNED, FAILED)


def status(run: RunFolderOrUrl, json_: Json = False) -> None:
    """How far a run is, what failed in it, and who works on it.

    Example: nas status runs/demo
    """
    from nas.spec.storage_url import is_url

    if is_url(run):
        _status_of_study(run, as_json=json_)
    else:
        _status_of_folder(run, as_json=json_)


# By its folder.


def _status_of_folder(folder: str, *, as_json: bool) -> None:
    from nas.runs.run import open_run

    run = open_run(folder)
    state = run.read()
    running = run.is_running()
    cost = run.spent(state.trials)
    prospect = _latest_prospect(_stored(state))
    report = _report_folder(folder, state, running=running, cost=cost) | _of_prospect(prospect)
    if as_json:
        print_json(report)
        return
    stopped = not running and not run.is_finished()
    going = "running" if running else "stopped" if stopped else "finished"
    print(
        f"{folder}: space {report['space']} on {report['data']}, regime {report['regime']}; {going}"
    )
    networks = report["networks"]
    planned = run.file.search.describe_planned(networks["evaluated"])
    beside = "" if planned is None else f", {planned}"
    print(f"networks: {networks['evaluated']} evaluated{beside}; on the front: {report['front']}")
    # Without a driver and workers nobody goes on with what was under way.
    idle = not running and not report["workers"]
    _print_counts(report["trials"], under_way="interrupted" if idle else RUNNING)
    if cost:
        print(cost)
    _print_time(report["time"], run.file.search.full_trainings)
    _print_prospect(prospect)
    _print_workers(report["workers"])
    _print_failures(report["failures"])
    if stopped:
        print(f"It was stopped before its end; go on with: nas resume {folder}")
        if shutil.which("squeue"):
            print("A SLURM job that was put back into the queue goes on by itself: squeue --me")


def _report_folder(
    folder: str, state: RunState, *, running: bool, cost: TrainingCost | None
) -> dict[str, Any]:
    from nas.runs.elapsed import read_elapsed

    run, trials = state.run, state.trials
    failures = [
        {"trial": row["trial"], "state": row["state"], "reason": row["failure"]}
        for row in (trials.row(number) for number in range(len(trials)))
        if row["failure"]
    ]
    workers: list[dict[str, Any]] = []
    if run.file.executor == "worker":
        from nas.runs.open_study import exchange_of

        workers = _report_workers(exchange_of(run))
    elapsed = read_elapsed(run, running=running)
    return {
        "run": folder,
        "space": run.space.name,
        "data": run.file.data,
        "regime": run.file.regime,
        "driver": "running" if running else "not running",
        "trials": {state: trials.count(state) for state in _STATES},
        "networks": {
            "evaluated": trials.evaluated,
            "planned": max(trials.evaluated, run.file.search.trials),
        },
        "front": len(state.front().members),
        "training": asdict(cost) if cost else None,
        "time": asdict(elapsed) if elapsed else None,
        "failures": failures,
        "workers": workers,
    }


# By its storage alone: no run folder is needed.


def _status_of_study(url: str, *, as_json: bool) -> None:
    from nas.base.process import describe_process
    from nas.spec.storage_url import StorageUrl
    from nas.strategy.storage.lease import driver_of
    from nas.strategy.storage.store import Store

    store = Store(StorageUrl.parse(url), writable=False)
    report = _report_study(store) | {
        "storage": str(StorageUrl.parse(url).of(store.name)),
        "driver": driver_of(store.connection, store.name),
    }
    exchange = _find_exchange(store)
    report["workers"] = _report_workers(exchange) if exchange else []
    if as_json:
        print_json(report)
        return
    about, driver = report["run"], report["driver"]
    print(f"{report['storage']}: run folder {about.get('folder')} on {about.get('host')}")
    print(
        f"driver: {describe_process(driver)}; last heard of {driver['heard']}"
        if driver
        else "driver: none"
    )
    _print_counts(report["trials"])
    _print_prospect(_latest_prospect(store.trials()))
    _print_workers(report["workers"])
    _print_failures(report["failures"])


def _report_study(store: Store) -> dict[str, Any]:
    stored = store.trials()
    records = [trial.record for trial in stored]
    return {
        "run": {name: store.about().get(name) for name in ("folder", "host")},
        "trials": {state: sum(record.state == state for record in records) for state in _STATES},
        "networks": {"evaluated": Trials.of(records).evaluated},
        "failures": [
            {"trial": record.trial, "state": record.state, "reason": record.failure}
            for record in records
            if record.failure
        ],
    } | _of_prospect(_latest_prospect(stored))


def _find_exchange(store: Store) -> Exchange | None:
    """Look for the exchange of a study without making one."""
    from nas.execution.exchange.study import StudyExchange
    from nas.strategy.storage.lease import find_housekeeping

    if find_housekeeping(store.connection, store.name, "jobs", make=False) is None:
        return None
    return StudyExchange(store.connection, store.name)


# Of both.


def _stored(state: RunState) -> Sequence[StoredTrial]:
    """Return the trials of a run with what the sampler noted; none of a very large, ended one."""
    from nas.strategy.storage.store import Store

    if state.run.is_finished() and len(state.trials) > _MOST_READ:
        return ()
    return Store(state.run.study, writable=False).trials()


def _latest_prospect(stored: Sequence[StoredTrial]) -> tuple[int, Prospect] | None:
    """Return what was believed when a network was proposed last, and the trial of that."""
    from nas.study.prospect import PROSPECT, Prospect

    for trial in reversed(stored):
        if PROSPECT in trial.marks:
            return trial.record.trial, Prospect.of(trial.marks[PROSPECT])
    return None


def _of_prospect(found: tuple[int, Prospect] | None) -> dict[str, Any]:
    return {"prospect": None if found is None else found[1].to_dict() | {"trial": found[0]}}


def _print_prospect(found: tuple[int, Prospect] | None) -> None:
    if found is not None:
        print(f"{found[1]} (when trial {found[0]} was proposed)")


def _print_time(time: dict[str, Any] | None, full_trainings: int | None) -> None:
    if time is None:
        return
    text = f"searching: {format_clock(time['spent']).strip()} spent"
    if time["left"] is not None:
        text += f", about {format_clock(time['left']).strip()} left"
        if full_trainings:
            text += f", then {full_trainings} full trainings"
    print(text)


def _report_workers(exchange: Exchange) -> list[dict[str, Any]]:
    """Return the workers and what they work on, as they last showed themselves."""
    return [
        {
            "worker": sign.worker,
            "host": sign.process["host"],
            "trial": sign.trial,
            "heard": sign.heard,
            "left": sign.left,
        }
        for sign in sorted(exchange.workers(), key=lambda sign: sign.worker)
    ]


def _print_counts(counts: dict[str, int], *, under_way: str = RUNNING) -> None:
    """Print how many trials there are. under_way: how those are called that have not ended."""
    words = {RUNNING: under_way}
    states = ", ".join(
        f"{number} {words.get(state, state)}" for state, number in counts.items() if number
    )
    print(f"trials: {states or 'none yet'}")


def _print_workers(workers: list[dict[str, Any]]) -> None:
    for worker in workers:
        what = "idle" if worker["trial"] is None else f"trial {worker['trial']}"
        what = f"has left ({worker['left']})" if worker["left"] else what
        print(f"  {worker['worker']} on {worker['host']}: {what}; last heard of {worker['heard']}")


def _print_failures(failures: list[dict[str, Any]]) -> None:
    for failure in failures:
        print(f"  trial {failure['trial']} {failure['state']}: {failure['reason']}")
