"""Exports of one file: a graph by itself, without a pack."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from nas.base.errors import SpecError
from nas.base.files import write_whole
from nas.export.conversion import check, convert, naming_collapse, open_graph
from nas.export.parity import Parity, predict_validation, without_wrong_folds
from nas.export.target import TARGETS, target_named
from nas.export.winner import prepare_export
from nas.runs.run import Run, RunState, Weights
from nas.spec.suppression import SUPPRESSION, SuppressedIn

__all__ = ["export_trial"]

_IMAGES = 64


def export_trial(
    run: Run,
    trial: int,
    target: str,
    out: Path | None = None,
    *,
    weights: Weights = "best",
    nms: SuppressedIn = "outside",
    state: RunState | None = None,
) -> tuple[Path, Parity]:
    """Export the trained network of a trial as one file.

    target: a name in `TARGETS`.
    out: the file to write; None: beside the run's files.
    weights: see `RunState.retrained_weights`.
    nms: where boxes are suppressed: outside the graph, or within.
    state: of the run, where it was read already; None: read now.
    Returns the file, and how far its graph agrees with the network.
    Raises SpecError when there is no such target or trial, a file is in the way, or the target
    is of several files.
    Raises ExportError when the graph disagrees with the network.
    """
    to = target_named(target)
    if not to.alone:
        single = ", ".join(name for name, other in TARGETS.items() if other.alone)
        raise SpecError(
            f"{target} is more than one file; name a folder for --out (one file are: {single})"
        )
    if not to.runs_here:
        raise SpecError(f"{target} cannot be checked here; name a folder for --out")
    state = run.read() if state is None else state
    to.check_task(state.task)
    if nms == "graph":
        to.check_suppresses(state.task, int8=False)
    to.check_installed()
    path = out or run.path / "exports" / f"trial-{trial}{to.main}"
    if path.is_dir() or (out is not None and path.exists()):
        raise SpecError(f"{path} exists; name a new file for --out")
    trained = prepare_export(run, trial, path, weights=weights, made=out is None, state=state)
    images = predict_validation(trained.winner, trained.data, _IMAGES)
    winner = without_wrong_folds(trained.winner, images)
    graph = convert(to, lambda: to.write(winner))
    if nms == "graph":
        winner = replace(winner, suppression=SUPPRESSION)
        graph = convert(to, lambda: to.write(winner), suppresses=True)
    with naming_collapse(trained.collapsed), write_whole(path) as temporary:
        temporary.write_bytes(graph.files[to.main])
        scores = check(target, open_graph(target, temporary), images, to.tolerance)
    return path, scores.parity
