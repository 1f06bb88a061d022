"""Several runs on one page: how far each is, what it has found, and how they compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from nas import __version__
from nas.base.errors import NasError, SpecError
from nas.report.document import asset, content_policy, script_of, templates
from nas.report.explain import Effect, explain_front
from nas.report.report_file import MARK
from nas.report.snapshot import read_stamp, read_state
from nas.runs.compare import FrontComparison, alike, compare_fronts
from nas.runs.elapsed import Elapsed, read_elapsed
from nas.runs.run import RunState, open_run, runs_below
from nas.study.front.answer import best_point
from nas.study.front.front import Front
from nas.study.front.point import Point
from nas.study.front.verdict import judge

__all__ = ["Overview", "RunSummary", "summarise_run"]

_SUBJECTS = ("kind", "stage")
_SCRIPTS = ("draw", "theme", "overview")


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as it stands among others.

    failure: why it cannot be read; the rest is then None.
    evaluated, planned: networks; planned is None where time ends the search.
    best: the network that gains most, where there is one.
    answer: the first sentences on its front.
    effects: of each kind of block and of each stage, the most helpful first; none where too few
        networks are complete.
    """

    path: Path
    state: str
    failure: str | None = None
    title: str = ""
    evaluated: int = 0
    planned: int | None = None
    elapsed: Elapsed | None = None
    read: RunState | None = None
    front: Front | None = None
    best: Point | None = None
    answer: tuple[str, ...] = ()
    effects: tuple[tuple[str, tuple[Effect, ...]], ...] = ()

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.name

    @property
    def address(self) -> str:
        """The address of its own page, from that of all."""
        return f"{quote(self.name)}/"


def summarise_run(path: Path) -> RunSummary:
    """Read a run; what keeps it from being read is part of what is returned."""
    try:
        run = open_run(path)
        read = run.read()
        front, state = read.front(), read_state(run)
        plan = run.file.search
        evaluated = read.trials.evaluated
        return RunSummary(
            path=path,
            state=state,
            title=run.title,
            evaluated=evaluated,
            planned=None if plan.budget is not None else max(plan.trials, evaluated),
            elapsed=read_elapsed(run, running=state == "running"),
            read=read,
            front=front,
            best=best_point(front),
            answer=judge(front).answer,
            effects=_effects(front),
        )
    except NasError as error:
        return RunSummary(path=path, state="not read", failure=str(error))


def _effects(front: Front) -> tuple[tuple[str, tuple[Effect, ...]], ...]:
    try:
        explanation = explain_front(front)
    except SpecError:  # too few networks, which says itself
        return ()
    rows = []
    for subject in _SUBJECTS:
        effects = sorted(explanation.effects_of(subject), key=lambda effect: -effect.saved)
        rows.append((subject, tuple(effects)))
    return tuple(rows)


@dataclass(frozen=True, slots=True)
class Group:
    """Runs whose figures may be compared, with at least one front among them.

    lead: by name of each other run, the lead of the first run over it by hypervolume.
    """

    runs: tuple[RunSummary, ...]
    lead: tuple[tuple[str, FrontComparison], ...]


class Overview:
    """The page of all runs in a folder. Each is read again when it has changed, and not before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[Path, tuple[str, RunSummary]] = {}

    def read_state(self) -> dict[str, str]:
        """Return what names the state of all runs now."""
        return {str(path): _stamp(path) for path in runs_below(self.folder)}

    def summaries(self) -> list[RunSummary]:
        """Return the runs by name."""
        stamps = self.read_state()
        for path, stamp in ((Path(name), stamp) for name, stamp in stamps.items()):
            if self._known.get(path, ("",))[0] != stamp:
                self._known[path] = stamp, summarise_run(path)
        return [self._known[Path(name)][1] for name in stamps]

    def render(self) -> str:
        """Return the page."""
        runs = self.summaries()
        groups = _groups(runs)
        script = script_of(*_SCRIPTS)
        return (
            templates()
            .get_template("overview.html")
            .render(
                title=f"{len(runs)} runs in {self.folder}",
                folder=self.folder,
                mark=MARK,
                version=__version__,
                written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
                runs=runs,
                groups=groups,
                data=[_chart(group) for group in groups],
                running=sum(run.state == "running" for run in runs),
                policy=content_policy(script, live=True),
                style=asset("report.css"),
                script=script,
            )
        )


def _stamp(path: Path) -> str:
    try:
        run = open_run(path)
        return f"{read_stamp(run)} {read_state(run)}"
    except NasError as error:
        return str(error)


def _groups(runs: Sequence[RunSummary]) -> list[Group]:
    """Return the runs with fronts, those together whose figures are of the same things."""
    groups: list[list[RunSummary]] = []
    for run in runs:
        if run.front is None or not run.front.members:
            continue
        for group in groups:
            if _alike(group[0], run):
                group.append(run)
                break
        else:
            groups.append([run])
    return [_compared(group) for group in groups]


def _alike(one: RunSummary, other: RunSummary) -> bool:
    assert one.front is not None and other.front is not None
    assert one.read is not None and other.read is not None
    if (one.front.objectives, one.front.figure) != (other.front.objectives, other.front.figure):
        return False
    try:
        return alike(one.read, other.read)
    except NasError:  # one does not say what its images were
        return False


def _compared(group: list[RunSummary]) -> Group:
    """Return a group, the run of the largest hypervolume first."""
    fronts = {run.name: run.front for run in group if run.front is not None}
    if len(fronts) < 2:
        return Group(tuple(group), ())
    reference = Front.joined(fronts).hypervolume().reference
    group = sorted(group, key=lambda run: -fronts[run.name].hypervolume(**reference).value)
    first, *others = group
    lead = [(run.name, compare_fronts(fronts[first.name], fronts[run.name])) for run in others]
    return Group(tuple(group), tuple(lead))


def _chart(group: Group) -> dict[str, Any]:
    """Return the fronts of a group for their chart; what is not known is None."""
    fronts = [run.front for run in group.runs if run.front is not None]
    believed = all(not math.isnan(p.gain_loss) for front in fronts for p in front.members)
    height = "gain_loss" if believed else "loss_saved"
    return {
        "height": height,
        "runs": [
            {
                "name": run.name,
                "points": [
                    {
                        "name": point.name,
                        "latency_ms": _known(point.latency_ms),
                        "height": _known(getattr(point, height)),
                    }
                    for point in front.members
                ],
            }
            for run, front in zip(group.runs, fronts, strict=True)
        ],
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(f"{value:.6g}")
