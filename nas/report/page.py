"""The page: sections rendered on the server side, charts drawn in the browser from its data.

Everything that comes from a run is untrusted: templates escape it, the script writes text alone,
and the page's own policy lets nothing run or load but what is written here.
"""

from __future__ import annotations

import base64
import hashlib
import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from nas.report import words
from nas.report.command import reproduce
from nas.report.content import MOST_NETWORKS, content
from nas.report.latency import remeasured_latencies
from nas.report.ours import MARK, write_ours
from nas.report.progress import course, levels
from nas.report.snapshot import Snapshot
from nas.runs.run import Run
from nas.spec.architecture import PLAIN
from nas.study.front.front import Front, Point
from nas.study.front.verdict import judge
from nas.study.record import COMPLETE, FAILED, PAUSED, PRUNED, RUNNING

__all__ = ["PAGE", "SECTIONS", "Section", "render", "write_report"]

PAGE = "front.html"
"""In the run folder, beside front.csv and front.png."""

_SCRIPTS = ("draw", "network", "front", "charts", "page")
_FAILURES = 50  # that a page lists


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: templates/NAME.html, given what `values` makes of a run.

    shown: whether the run has anything for it.
    """

    name: str
    title: str
    values: Callable[[Snapshot], dict[str, Any]]
    shown: Callable[[Snapshot], bool] = lambda snapshot: True


def _verdict(snapshot: Snapshot) -> dict[str, Any]:
    found = judge(snapshot.front)
    return {"lines": found.lines, "stands_out": found.clear}


def _front(snapshot: Snapshot) -> dict[str, Any]:
    front = snapshot.front
    every = len(front.cloud["trial"])
    return {
        "points": front.points,
        "retrained": any(point.retrained_seeds for point in front),
        "tested": any(not math.isnan(point.retrained_test_accuracy) for point in front),
        "names": " and ".join(item.title for item in front.objectives),
        "latency": _how(snapshot),
        "left_out": max(0, every - MOST_NETWORKS),
        "every": every,
    }


def _how(snapshot: Snapshot) -> str:
    points = snapshot.front.points
    device = snapshot.run.file.device
    if points and all(point.latency_predicted for point in points):
        return f"predicted by the device profile {device} (~)"
    final = sum(point.latency_final for point in points)
    again = f", {final} of these {len(points)} once more on the idle machine" if final else ""
    return f"measured with {device}, one image{again}"


def _progress(snapshot: Snapshot) -> dict[str, Any]:
    trials, run = snapshot.trials, snapshot.run
    found = course(trials, snapshot.front.objectives)
    states = {
        state: trials.count(state)
        for state in (COMPLETE, RUNNING, PAUSED, PRUNED, FAILED)
        if trials.count(state)
    }
    rows = [row for row in range(len(trials)) if trials["failure"][row]]
    return {
        "states": states,
        "course": found,
        "objectives": snapshot.front.objectives,
        "promises": snapshot.promises,
        "spent": run.spent(trials),
        "levels": levels(trials, run.file.proxy.budgets) if run.spent(trials) else [],
        "unit": run.file.proxy.unit,
        "failures": [trials.record(row) for row in rows[:_FAILURES]],
        "more_failures": max(0, len(rows) - _FAILURES),
    }


def _latency(snapshot: Snapshot) -> dict[str, Any]:
    return {"found": remeasured_latencies(snapshot.trials)}


def _trust(snapshot: Snapshot) -> dict[str, Any]:
    return {"calibration": snapshot.calibration, "known": snapshot.front.trust}


def _made(snapshot: Snapshot) -> dict[str, Any]:
    run = snapshot.run
    return {
        "command": reproduce(run),
        "calibrated": snapshot.calibration is not None,
        "environment": snapshot.environment,
        "space": (run.path / "space.yaml").read_text(encoding="utf-8"),
        "runner": (run.path / "run.yaml").read_text(encoding="utf-8"),
        "storage": shlex.quote(str(run.study)),
    }


SECTIONS = (
    Section("verdict", "What can be said", _verdict),
    Section("front", "The front", _front),
    Section("progress", "How the search went", _progress),
    Section("latency", "Latency, known before and measured after", _latency),
    Section("trust", "How far the proxy can be trusted", _trust),
    Section("made", "How this was made", _made),
)
"""In the order of the page. Another one is a line here and its template."""


@dataclass(frozen=True, slots=True)
class _Tile:
    title: str
    value: str
    note: str


def _tiles(snapshot: Snapshot) -> list[_Tile]:
    trials, front = snapshot.trials, snapshot.front
    firsts = int((trials["repeat"] == 0).sum())
    planned = snapshot.run.file.search.trials
    tiles = [
        _Tile(
            "networks",
            str(firsts),
            f"of {planned} planned; {len(trials) - firsts} further trainings with other seeds",
        )
    ]
    members = front.members
    placed = sum(point.reference is not None for point in members)
    tiles.append(_Tile("on the front", str(len(members)), f"{placed} of them placed by hand"))
    best = _best(front)
    if best is not None:
        noise = float(np.hypot(best.loss_noise, np.nan_to_num(best.image_noise)))
        known = "noise not known" if np.isnan(noise) else f"± {noise:.4f} standard error"
        name = best.reference or f"trial {best.trial}"
        tiles.append(_Tile("most loss saved", words.signed(best.loss_saved), f"{known}, {name}"))
    if members:
        ends = [words.milliseconds(members[row].latency_ms) for row in (0, -1)]
        tiles.append(_Tile("latency, ms", " – ".join(dict.fromkeys(ends)), "of the front"))
    seconds = float(np.nansum(trials["train_seconds"]))
    tiles.append(_Tile("training", words.duration(seconds), "all trials together"))
    return tiles


def _best(front: Front) -> Point | None:
    known = [point for point in front.members if not np.isnan(point.loss_saved)]
    return max(known, key=lambda point: point.loss_saved, default=None)


def render(run: Run, *, live: bool = False) -> str:
    """The whole page. live: it asks the server that it came from for news."""
    snapshot = Snapshot.of(run)
    script = _script()
    return (
        _templates()
        .get_template("page.html")
        .render(
            title=run.title,
            mark=MARK,
            version=metadata.version("attention-nas"),
            written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            snapshot=snapshot,
            run=run,
            path=shlex.quote(str(run.path)),
            tiles=_tiles(snapshot),
            sections=[(item, item.values(snapshot)) for item in SECTIONS if item.shown(snapshot)],
            data=content(snapshot),
            live=live,
            policy=_policy(script, live=live),
            style=_style(),
            script=script,
        )
    )


def write_report(run: Run, out: Path) -> None:
    """Write the page whole. Raises SpecError for a file that is no report; StorageError."""
    write_ours(out, lambda path: path.write_text(render(run), encoding="utf-8"))


def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("nas.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = (
        "count",
        "duration",
        "kinds",
        "mean_percent",
        "milliseconds",
        "number",
        "percent",
        "signed",
    )
    made.filters |= {name: getattr(words, name) for name in names}
    made.filters["short"] = lambda value: f"{value:g}"
    made.globals["PLAIN"] = PLAIN
    return made


def _asset(name: str) -> str:
    return (resources.files("nas.report") / "templates" / name).read_text(encoding="utf-8")


def _script() -> str:
    parts = [_asset(f"{name}.js") for name in _SCRIPTS]
    return "\n".join(['"use strict";', "(() => {", *parts, "})();"])


def _style() -> str:
    return _asset("report.css")


def _policy(script: str, *, live: bool) -> str:
    """Content-Security-Policy: this script and this style, and nothing else of any kind."""

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    parts = [
        "default-src 'none'",
        f"script-src 'sha256-{digest(script)}'",
        f"style-src 'sha256-{digest(_style())}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return "; ".join([*parts, "connect-src 'self'"] if live else parts)
