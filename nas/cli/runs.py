"""`nas search`, `nas resume`, `nas status`: making runs."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.tables import console, print_front
from nas.study.front.front import Front
from nas.study.front.point import Point
from nas.study.front.verdict import judge

if TYPE_CHECKING:
    from nas.execution.observer import Observer
    from nas.runs.run import Run
    from nas.spec.runner import Runner

__all__ = ["add_to"]

Workers = Annotated[int | None, typer.Option(min=1, help="Processes; default: one per core.")]
Trials = Annotated[int | None, typer.Option(min=1, help="Networks to evaluate.")]
TimeLimit = Annotated[
    str | None, typer.Option(metavar="TIME", help="Stop after this long: 90s, 30m, 2h.")
]


def add_to(app: typer.Typer) -> None:
    app.command("search")(_search)
    app.command("resume")(_resume)
    app.command("status")(_status)


def _search(
    space: Annotated[Path, typer.Argument(help="Search space file.")],
    data: Annotated[
        str,
        typer.Option(
            metavar="DATA",
            help="digits, cifar10, folder:PATH, imagenet:PATH, cifar100, fashion-mnist, svhn, "
            "hf:NAME or module:function.",
        ),
    ] = "digits",
    out: Annotated[Path, typer.Option(help="Run folder to make.")] = Path("runs/demo"),
    runner: Annotated[Path | None, typer.Option(help="Runner file.")] = None,
    backbone: Annotated[
        list[str] | None, typer.Option(help="Instead of the space's; may be repeated.")
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="Folder of nas calibrate; its trainings come first.")
    ] = None,
    prior: Annotated[
        Path | None, typer.Option(help="Rules of another search: nas explain RUN --prior FILE.")
    ] = None,
    trials: Trials = None,
    time_limit: TimeLimit = None,
    focus: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LOW..HIGH",
            help="Where you will deploy: latency_ms=5..10. What lies outside is nothing gained.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random.")] = None,
    workers: Workers = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Any key of the runner; may be repeated."),
    ] = None,
) -> None:
    """Search a space and show the front.

    Example: nas search search_spaces/mobilenetv2-small.yaml --data digits --out runs/demo
    """
    from nas.models.candidates import check_names, load_space
    from nas.runs.start import search
    from nas.spec.runner import load_runner

    plan = load_runner(runner, tuple(set_ or ()))
    for option, key, value in (
        ("--trials", "search.trials", trials),
        ("--time-limit", "search.time_limit", time_limit),
        ("--seed", "search.seed", seed),
        ("--focus", "search.focus", _focused(focus) if focus else None),
        ("--workers", "workers", workers),
    ):
        if value is not None:
            plan = _with(plan, option, f"{key}={value}")
    loaded = load_space(space)
    if backbone:
        loaded = loaded.model_copy(update={"backbones": backbone})
        check_names(loaded)
    _carry_out(
        out,
        lambda observer: search(
            loaded,
            plan,
            data,
            out,
            calibration=calibration,
            prior=prior,
            observer=observer,
        ),
    )


def _with(plan: Runner, option: str, override: str) -> Runner:
    """Faults are said of the option that was typed. Raises SpecError."""
    from nas.base.errors import SpecError
    from nas.spec.runner import with_overrides

    try:
        return with_overrides(plan, (override,))
    except SpecError as error:
        raise SpecError(re.sub(r"^--set: [\w.]+:", f"{option}:", str(error))) from None


def _focused(asked: list[str]) -> str:
    """`latency_ms=5..10` as the runner's key has it. Raises SpecError."""
    from nas.base.errors import SpecError

    found = []
    for text in asked:
        match = re.fullmatch(r"\s*(\w+)\s*=\s*([\d.eE+-]+?)\s*\.\.\s*([\d.eE+-]+)\s*", text)
        if match is None:
            raise SpecError(f"--focus {text!r}: write NAME=LOW..HIGH, as in latency_ms=5..10")
        found.append(f"{match[1]}: [{match[2]}, {match[3]}]")
    return "{" + ", ".join(found) + "}"


def _resume(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    trials: Trials = None,
    time_limit: TimeLimit = None,
    workers: Workers = None,
) -> None:
    """Go on with a run that was stopped or killed, or make it longer.

    Example: nas resume runs/demo --trials 60
    """
    from nas.runs.resume import resume
    from nas.spec.runner import load_runner

    seconds = None
    if time_limit is not None:
        limited = _with(load_runner(), "--time-limit", f"search.time_limit={time_limit}")
        seconds = limited.search.time_limit
    _carry_out(
        run,
        lambda observer: resume(
            run, trials=trials, time_limit=seconds, workers=workers, observer=observer
        ),
    )


def _carry_out(out: Path, start: Callable[[Observer], Run]) -> None:
    """Run with a progress display; then the front, or how to go on."""
    from nas.cli.progress import watched

    screen = console()
    try:
        with watched(screen) as observer:
            run = start(observer)
    except KeyboardInterrupt:
        if (out / "run.yaml").exists():
            again = shlex.quote(str(out))
            print(f"stopped; nothing finished is lost. Go on with: {_program()} resume {again}")
        raise typer.Exit(130) from None
    front = run.front()
    screen.print()
    print_front(front, screen)
    screen.print(f"\nWritten: {out}/front.csv, {out}/front.png, {out}/trials.parquet")
    nas, run_there = _program(), shlex.quote(str(out))
    if not front.members:
        screen.print(f"See why: {nas} status {run_there}")
        raise typer.Exit(1)
    best = _worth_a_look(front)
    what = "" if best.reference is None else f"  # {best.reference}, hand-placed"
    screen.print("Next:")
    # A line to copy is not to be broken, nor read as markup.
    for words in (
        f"report {run_there}",
        f"show {run_there} {best.trial}{what}",
        f"export {run_there} {best.trial} --to onnx --out winner.onnx",
    ):
        screen.print(f"  {nas} {words}", soft_wrap=True, markup=False, highlight=False)


def _worth_a_look(front: Front) -> Point:
    """The best loss on the front, but the fastest where losses are known not to differ."""
    if judge(front).clear or math.isnan(front.seed_noise):
        return min(front.members, key=lambda point: point.loss)
    return min(front.members, key=lambda point: point.latency_ms)


def _program() -> str:
    """How this program is called from here: `make search` leaves it in .venv/bin."""
    if shutil.which("nas"):
        return "nas"
    called = Path(sys.argv[0])
    if called.name == "nas":
        return os.path.relpath(called)
    return f"{shlex.quote(sys.executable)} -m nas"


def _status(
    run: Annotated[str, typer.Argument(help="Run folder, or URL of its study.")],
    json_: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """How far a run is, what failed in it, and who works on it.

    Example: nas status runs/demo
    """
    from nas.cli.workers import print_afar, print_workers, workers_of
    from nas.runs.run import open_run
    from nas.spec.storage_url import is_url
    from nas.study.record import COMPLETE, FAILED, PAUSED, PRUNED, RUNNING

    if is_url(run):
        print_afar(run, as_json=json_)
        return
    opened = open_run(run)
    state = opened.read()
    trials = state.trials
    alive = opened.is_running()
    counts = {state: trials.count(state) for state in (COMPLETE, RUNNING, PAUSED, PRUNED, FAILED)}
    failures = [
        {"trial": row["trial"], "state": row["state"], "reason": row["failure"]}
        for row in (trials.row(number) for number in range(len(trials)))
        if row["failure"]
    ]
    plan = opened.file.search
    firsts = trials["state"][trials["repeat"] == 0].tolist()
    evaluated = sum(state not in (RUNNING, PAUSED) for state in firsts)
    spent = opened.spent(trials)
    workers: list[dict[str, Any]] = []
    if opened.file.executor == "worker":
        from nas.runs.open_study import exchange_of

        workers = workers_of(exchange_of(opened))
    report = {
        "run": str(run),
        "space": opened.space.name,
        "data": opened.file.data,
        "driver": "running" if alive else "not running",
        "trials": counts,
        "networks": {"evaluated": evaluated, "planned": plan.trials},
        "front": len(state.front().members),
        "training": asdict(spent) if spent else None,
        "failures": failures,
        "workers": workers,
    }
    if json_:
        json.dump(report, sys.stdout, indent=1)
        print()
        return
    print(f"{run}: space {opened.space.name} on {opened.file.data}; {report['driver']}")
    print(f"networks: {evaluated} evaluated of {plan.trials}; on the front: {report['front']}")
    states = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    print(f"trials: {states or 'none yet'}")
    if spent:
        print(spent)
    print_workers(workers)
    for failure in failures:
        print(f"  trial {failure['trial']} {failure['state']}: {failure['reason']}")
    if not alive and not opened.is_finished():
        print(f"It was stopped before its end; go on with: nas resume {run}")
