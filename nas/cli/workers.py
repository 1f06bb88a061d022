"""`nas worker`: evaluate for a run that is driven elsewhere; `nas status URL`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.base.clock import utc_now

if TYPE_CHECKING:
    from nas.execution.exchange import Exchange
    from nas.strategy.storage.store import Store

__all__ = ["add_to", "print_afar", "print_workers", "workers_of"]


def add_to(app: typer.Typer) -> None:
    app.command("worker")(_worker)


def _worker(
    run: Annotated[str, typer.Argument(help="Run folder, or URL of its study.")],
    folder: Annotated[
        Path | None, typer.Option(help="Where the run folder is here, if at another path.")
    ] = None,
    grace: Annotated[
        str, typer.Option(metavar="TIME", help="After SIGTERM, for a job that is nearly done.")
    ] = "10s",
    idle: Annotated[
        str | None, typer.Option(metavar="TIME", help="End after so long without a job.")
    ] = None,
) -> None:
    """Evaluate networks for a search that was started with --set executor=worker.

    Any number of them, on any machine that sees the run folder; they may come late and end at any
    time. Example: nas worker runs/demo
    """
    from nas.runs.join import work
    from nas.spec.runner import parse_seconds

    def say(text: str) -> None:
        print(f"{utc_now()} {text}", flush=True)

    try:
        reason = work(
            run,
            folder=folder,
            grace=parse_seconds("--grace", grace),
            idle=None if idle is None else parse_seconds("--idle", idle),
            say=say,
        )
    except KeyboardInterrupt:
        say("stopped; its job goes to another")
        raise typer.Exit(130) from None
    say({"finished": "the search is finished", "stopped": "stopped"}.get(reason, "nothing to do"))


def print_afar(url: str, *, as_json: bool) -> None:
    """How far a search is, by its storage alone: no run folder is needed."""
    from nas.spec.storage_url import StorageUrl
    from nas.strategy.storage.lease import driver_of
    from nas.strategy.storage.store import Store

    store = Store(StorageUrl.parse(url), writable=False)
    report = _standing(store) | {
        "storage": str(StorageUrl.parse(url).of(store.name)),
        "driver": driver_of(store.connection, store.name),
    }
    exchange = _exchange(store)
    report["workers"] = workers_of(exchange) if exchange else []
    if as_json:
        json.dump(report, sys.stdout, indent=1)
        print()
        return
    about = report["run"]
    print(f"{report['storage']}: run folder {about.get('folder')} on {about.get('host')}")
    _print_standing(report)


def _standing(store: Store) -> dict[str, Any]:
    """Trials by state, and why some failed."""
    from nas.study.record import COMPLETE, FAILED, PAUSED, PRUNED, RUNNING

    records = store.records()
    return {
        "run": {name: store.about().get(name) for name in ("folder", "host")},
        "trials": {
            state: sum(record.state == state for record in records)
            for state in (COMPLETE, RUNNING, PAUSED, PRUNED, FAILED)
        },
        "networks": {
            "evaluated": sum(
                record.repeat == 0 and record.state not in (RUNNING, PAUSED) for record in records
            )
        },
        "failures": [
            {"trial": record.trial, "state": record.state, "reason": record.failure}
            for record in records
            if record.failure
        ],
    }


def workers_of(exchange: Exchange) -> list[dict[str, Any]]:
    """Workers and what they work on, as they last showed themselves."""
    return [
        {
            "worker": item.worker,
            "host": item.process["host"],
            "trial": item.trial,
            "heard": item.heard,
            "left": item.left,
        }
        for item in sorted(exchange.workers(), key=lambda item: item.worker)
    ]


def _print_standing(report: dict[str, Any]) -> None:
    from nas.base.process import describe_process

    driver = report["driver"]
    said = f"{describe_process(driver)}; last heard of {driver['heard']}" if driver else "none"
    print(f"driver: {said}")
    counts = ", ".join(f"{number} {state}" for state, number in report["trials"].items() if number)
    print(f"trials: {counts or 'none yet'}")
    print_workers(report["workers"])
    for failure in report["failures"]:
        print(f"  trial {failure['trial']} {failure['state']}: {failure['reason']}")


def print_workers(workers: list[dict[str, Any]]) -> None:
    for item in workers:
        what = "idle" if item["trial"] is None else f"trial {item['trial']}"
        what = f"has left ({item['left']})" if item["left"] else what
        print(f"  {item['worker']} on {item['host']}: {what}; last heard of {item['heard']}")


def _exchange(store: Store) -> Exchange | None:
    """Looked for, not made."""
    from nas.execution.exchange.study import StudyExchange
    from nas.strategy.storage.lease import find_housekeeping

    if find_housekeeping(store.connection, store.name, "jobs", make=False) is None:
        return None
    return StudyExchange(store.connection, store.name)
