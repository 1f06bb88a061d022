"""The page: sections rendered on the server side, charts drawn in the browser from its data.

Everything that comes from a run is untrusted: templates escape it, the script writes text alone,
and the page's own policy lets nothing run or load but what is written here.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from nas import __version__
from nas.base.errors import NasError
from nas.base.formats import format_duration, format_milliseconds, format_probability
from nas.report.captions import describe_latency_source, describe_remeasured_latency
from nas.report.chart_data import MOST_NETWORKS, chart_heights, collect_chart_data
from nas.report.document import asset, content_policy, script_of, templates
from nas.report.progress import summarise_rungs, trace_progress
from nas.report.remeasured_latency import compare_latencies
from nas.report.report_file import MARK, write_report_file
from nas.report.rerun_command import rerun_command
from nas.report.snapshot import Snapshot
from nas.report.template_filters import format_gain, format_number
from nas.runs.elapsed import read_elapsed
from nas.runs.run import Run
from nas.study.budget_curves import kind_of
from nas.study.front.answer import best_point
from nas.study.front.front import Front
from nas.study.front.verdict import judge
from nas.study.record import COMPLETE, FAILED, PAUSED, PRUNED, RUNNING
from nas.study.trials import Trials

__all__ = ["PAGE", "SECTIONS", "Section", "render", "write_report"]

PAGE = "front.html"
"""The file of the page in a run folder, beside front.csv and front.png."""

_SCRIPTS = ("draw", "network", "front", "charts", "theme", "page")
_LISTED_FAILURES = 50


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    name: of its template, NAME.html, and of its anchor.
    values: returns what the template is rendered with.
    shown: whether the run has anything for it.
    """

    name: str
    title: str
    values: Callable[[Snapshot], dict[str, Any]]
    shown: Callable[[Snapshot], bool] = lambda snapshot: True


def _answer(snapshot: Snapshot) -> dict[str, Any]:
    verdict = judge(snapshot.front)
    return {"verdict": verdict}


def _front(snapshot: Snapshot) -> dict[str, Any]:
    front = snapshot.front
    networks = len(front.cloud["trial"])
    return {
        "points": front.points,
        "heights": chart_heights(front),
        "believed": front.has_gain_loss,
        "measured": front.has_gain,
        "retrained": any(point.retrained_seeds for point in front),
        "tested": any(not math.isnan(point.retrained_test_accuracy) for point in front),
        "names": front.figure.worded(" and ".join(item.title for item in front.objectives)),
        "figure": front.figure.title,
        "latency": describe_latency_source(front.points, snapshot.run.file.device),
        "suppression": _suppression(snapshot.trials),
        "left_out": max(0, networks - MOST_NETWORKS),
        "every": networks,
    }


def _suppression(trials: Trials) -> dict[int, float]:
    """Return trial -> milliseconds that keeping boxes of an image takes; of detectors alone."""
    times = trials["suppression_ms"]
    known = np.isfinite(times)
    return dict(zip(trials["trial"][known].tolist(), times[known].tolist(), strict=True))


def _progress(snapshot: Snapshot) -> dict[str, Any]:
    trials, run = snapshot.trials, snapshot.run
    cost = run.spent(trials)
    counts = {state: trials.count(state) for state in (COMPLETE, RUNNING, PAUSED, PRUNED, FAILED)}
    failures = [row for row in range(len(trials)) if trials["failure"][row]]
    return {
        "states": {state: count for state, count in counts.items() if count},
        "progress": trace_progress(trials, snapshot.front.objectives),
        "objectives": snapshot.front.objectives,
        "promises": snapshot.promises,
        "prospect": snapshot.prospects[-1][1] if snapshot.prospects else None,
        "elapsed": read_elapsed(run, running=snapshot.state == "running"),
        "running": snapshot.state == "running",
        "full_trainings": run.file.search.full_trainings,
        "cost": cost,
        "rungs": summarise_rungs(trials, run.file.proxy.budgets) if cost else [],
        "unit": run.file.proxy.unit,
        "failures": [trials.record(row) for row in failures[:_LISTED_FAILURES]],
        "more_failures": max(0, len(failures) - _LISTED_FAILURES),
    }


def _latency(snapshot: Snapshot) -> dict[str, Any]:
    latency = compare_latencies(snapshot.trials)
    return {"latency": latency, "caption": describe_remeasured_latency(latency)}


def _trust(snapshot: Snapshot) -> dict[str, Any]:
    return {"calibration": snapshot.calibration, "sentences": snapshot.front.trust}


def _curves(snapshot: Snapshot) -> dict[str, Any]:
    curves = snapshot.curves
    assert curves is not None
    return {
        "found": curves,
        "kinds": list(dict.fromkeys(kind_of(curve.network) for curve in curves.curves)),
        "own": snapshot.run.file.proxy.budgets[-1],
        "unit": snapshot.run.file.proxy.unit,
    }


def _predictions(snapshot: Snapshot) -> dict[str, Any]:
    return {"found": snapshot.predictions}


def _making(snapshot: Snapshot) -> dict[str, Any]:
    run = snapshot.run
    return {
        "command": rerun_command(run),
        "calibrated": snapshot.calibration is not None,
        "environment": snapshot.environment,
        "space": (run.path / "space.yaml").read_text(encoding="utf-8"),
        "runner": (run.path / "run.yaml").read_text(encoding="utf-8"),
        "storage": shlex.quote(str(run.study)),
    }


SECTIONS = (
    Section("answer", "The answer", _answer),
    Section("front", "The front", _front),
    Section(
        "predictions",
        "What the winners make of images",
        _predictions,
        lambda snapshot: snapshot.predictions is not None,
    ),
    Section("progress", "How the search went", _progress),
    Section("latency", "Latency, known before and measured after", _latency),
    Section("trust", "How far the proxy can be trusted", _trust),
    Section(
        "curves", "How long a training must be", _curves, lambda snapshot: bool(snapshot.curves)
    ),
    Section("made", "How this was made", _making),
)
"""The sections in the order of the page. Another one is a line here and its template."""


@dataclass(frozen=True, slots=True)
class _Tile:
    title: str
    value: str
    note: str


def _tiles(snapshot: Snapshot) -> list[_Tile]:
    seconds = float(np.nansum(snapshot.trials["train_seconds"]))
    return [
        _networks_tile(snapshot),
        *_front_tiles(snapshot.front),
        *_prospect_tiles(snapshot),
        _Tile("training", format_duration(seconds), "all trials together"),
    ]


def _networks_tile(snapshot: Snapshot) -> _Tile:
    trials = snapshot.trials
    networks = trials.evaluated
    notes = [
        snapshot.run.file.search.describe_planned(networks),
        f"{int((trials['repeat'] > 0).sum())} further trainings with other seeds",
    ]
    return _Tile("networks", str(networks), "; ".join(note for note in notes if note))


def _front_tiles(front: Front) -> list[_Tile]:
    members = front.members
    placed = sum(point.reference is not None for point in members)
    tiles = [_Tile("on the front", str(len(members)), f"{placed} of them placed by hand")]
    best = best_point(front)
    if best is not None:
        name = best.reference or f"trial {best.trial}"
        title = "most gained, points" if front.has_gain else "most gained, loss"
        gain, _, interval = format_gain(best).partition(" ")
        chance = format_probability(best.p_better)
        if not front.measured.knows_noise:
            chance += " by one training of each"
        tiles.append(_Tile(title, gain, f"{interval} by {name}, better with {chance}"))
    if members:
        ends = [format_milliseconds(members[row].latency_ms) for row in (0, -1)]
        tiles.append(_Tile("latency, ms", " – ".join(dict.fromkeys(ends)), "of the front"))
    return tiles


def _prospect_tiles(snapshot: Snapshot) -> list[_Tile]:
    if not snapshot.prospects:
        return []
    trial, prospect = snapshot.prospects[-1]
    regret = prospect.shown()[3]
    value = format_number(max(0.0, regret), 2 if prospect.in_points else 4)
    title = f"may be left, {prospect.unit}"
    return [_Tile(title, value, f"expected regret when trial {trial} was proposed")]


def render(run: Run, *, live: bool = False, among: bool = False) -> str:
    """Return the whole page, but for pictures of predictions.

    live: whether it asks the server that it came from for news.
    among: whether it is served below a page of several runs.
    Raises SpecError, StorageError.
    """
    return _render(Snapshot.of(run), live=live, among=among)


def _render(snapshot: Snapshot, *, live: bool, among: bool = False) -> str:
    run, script = snapshot.run, script_of(*_SCRIPTS)
    return (
        templates()
        .get_template("page.html")
        .render(
            title=run.title,
            mark=MARK,
            version=__version__,
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            snapshot=snapshot,
            run=run,
            path=shlex.quote(str(run.path)),
            tiles=_tiles(snapshot),
            sections=[
                (section, section.values(snapshot))
                for section in SECTIONS
                if section.shown(snapshot)
            ],
            data=collect_chart_data(snapshot),
            live=live,
            among=among,
            policy=content_policy(script, live=live, pictures=snapshot.predictions is not None),
            style=asset("report.css"),
            script=script,
        )
    )


def write_report(run: Run, out: Path, *, images: bool = True) -> str | None:
    """Write the page whole.

    images: whether it shows validation images, with what the winners tell of them.
    Returns why these are not shown although they were to be.
    Raises SpecError when out is another file, and StorageError.
    """
    why: list[str] = []

    def write(path: Path) -> None:
        snapshot = Snapshot.of(run)
        if images:
            snapshot, reason = _with_predictions(snapshot)
            why.extend([reason] if reason else [])
        path.write_text(_render(snapshot, live=False), "utf-8", "backslashreplace")

    write_report_file(out, write)
    return why[0] if why else None


def _with_predictions(snapshot: Snapshot) -> tuple[Snapshot, str | None]:
    """Return it with pictures of predictions, or why there are none."""
    # torch is imported for these alone.
    from nas.report.pictures import find_predictions

    try:
        state = snapshot.run.read(snapshot.trials)
        return replace(snapshot, predictions=find_predictions(state, snapshot.front)), None
    except NasError as error:
        return snapshot, str(error)
