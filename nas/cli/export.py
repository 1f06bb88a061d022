"""`nas export`: trained networks in the files that they ship in."""

from __future__ import annotations

import shlex
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from nas.base.errors import SpecError
from nas.cli.completion import target_names
from nas.cli.options import RunFolder
from nas.spec.suppression import SuppressedIn
from nas.spec.task import ACCURACY

if TYPE_CHECKING:
    from nas.export import Pack, Target
    from nas.export.packed_graph import PackedGraph
    from nas.export.tasks import ExportTask
    from nas.runs.run import RunState, Weights

__all__ = ["export"]

_TARGETS = (
    "Format: onnx, pt2, torchscript, timm, openvino, litert, executorch, ncnn, coreml, tensorrt."
)


def export(
    run: RunFolder,
    trial: Annotated[int | None, typer.Argument(min=0, help="Number of the trial.")] = None,
    number: Annotated[
        int | None,
        typer.Option("--trial", min=0, metavar="N", help="Number of the trial, as an option."),
    ] = None,
    to: Annotated[
        str, typer.Option(autocompletion=target_names, metavar="TARGET", help=_TARGETS)
    ] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="A folder to make, for a winner pack; or a file of the target's kind (.onnx, "
            ".pt2, .pt, .tflite, .pte), for the graph alone. Default: a pack beside the run.",
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="A graph in int8 as well, with what it does to scores.")
    ] = False,
    max_drop: Annotated[
        float | None,
        typer.Option(
            "--max-drop",
            min=0,
            max=100,
            metavar="POINTS",
            help="Points of accuracy, or of mIoU or rank-1, that the graph in int8 may lose on "
            "validation images; where it loses more, nothing is written.",
        ),
    ] = None,
    nms: Annotated[
        str,
        typer.Option(
            metavar="WHERE",
            help="Where a detector's double boxes are removed: outside (behind the graph), or "
            "graph: within it, which then gives boxes, scores and classes.",
        ),
    ] = "outside",
    weights: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            help="Weights: search, retrained (its best full training on validation images), or "
            "best: of these two the better on validation images.",
        ),
    ] = "best",
) -> None:
    """Export the trained network of a trial, and check it against the original.

    A winner pack holds the graph, the weights, the network in plain torch, a card with what was
    measured, and a script that checks all of it again with the target's runtime alone.

    Example: nas export runs/demo 17 --to openvino --int8 --out winner
    """
    from nas.export import check_max_drop, export_pack, export_trial, target_named
    from nas.runs.run import Weights, open_run

    chosen = _trial(trial, number)
    if weights not in get_args(Weights):
        raise SpecError(f"--weights {weights}; allowed: {', '.join(get_args(Weights))}")
    if nms not in get_args(SuppressedIn):
        raise SpecError(f"--nms {nms}; allowed: {', '.join(get_args(SuppressedIn))}")
    which, where = cast(Weights, weights), cast(SuppressedIn, nms)
    target = target_named(to)
    one_file = out is not None and _is_one_file(target, out)
    if one_file and int8:
        raise SpecError(f"--int8 makes two graphs; name a folder for --out instead of {out}")
    check_max_drop(max_drop, int8=int8)
    state = open_run(run).read()
    if one_file:
        path, parity = export_trial(
            state.run, chosen, to, out, weights=which, nms=where, state=state
        )
        print(_describe_weights(state, chosen, which))
        print(
            f"{path}: agrees with the trained network to {parity.difference:.1e} on "
            f"{parity.images} validation images (scores up to {parity.largest:.1f}; "
            f"allowed {parity.tolerance:.0e} of that)"
        )
        return
    pack = export_pack(
        state.run,
        chosen,
        to,
        out,
        int8=int8,
        max_drop=max_drop,
        weights=which,
        nms=where,
        state=state,
    )
    print(_describe_weights(state, chosen, which))
    _print_pack(pack)


def _trial(argument: int | None, option: int | None) -> int:
    """Return the trial that was named in one of two ways. Raises SpecError."""
    if argument is not None and option is not None and argument != option:
        raise SpecError(f"trial {argument} and --trial {option}; name one")
    trial = argument if argument is not None else option
    if trial is None:
        raise SpecError("no trial named; write its number behind the run, see: nas front RUN")
    return trial


def _is_one_file(target: Target, out: Path) -> bool:
    """Tell a file of the target's kind from the folder of a pack.

    Raises SpecError where it is called like a file of another target: a pack in a folder called
    winner.tflite would not be what was meant by --to onnx.
    """
    from nas.export import TARGETS

    owners = [name for name, other in TARGETS.items() if out.suffix == other.main]
    if owners and target.name not in owners:
        raise SpecError(f"{out} is called like a file of {owners[0]}; write --to {owners[0]}")
    return target.alone and out.suffix == target.main and not out.is_dir()


def _print_pack(pack: Pack) -> None:
    from nas.export.card import DEPARTS
    from nas.export.packed_graph import describe_int8
    from nas.export.tasks import export_task

    recorded = (
        "" if pack.recorded_accuracy is None else f" (recorded: {pack.recorded_accuracy:.1%})"
    )
    task = export_task(pack.task)
    if pack.task.is_classification:
        worth = f"{pack.network_accuracy:.1%} of {pack.judged_on} right"
    else:
        worth = f"{task.describe_figures(pack.network_figures)} on {pack.judged_on}"
    loss = "" if isnan(pack.network_loss) else f", loss {pack.network_loss:.4f}"
    print(f"trained network: {worth}{recorded}{loss}")
    if pack.departs_from_record:
        print(f"warning: {pack.network_accuracy:.1%} for {pack.recorded_accuracy:.1%}: {DEPARTS}")
    if pack.collapsed is not None:
        print(f"warning: {pack.collapsed}")
    if not pack.folded:
        print("doubled gates stay operators: folded, they would change what the network says")
    if not pack.merged:
        print("parallel branches stay apart: merged, they would change what the network says")
    for graph in pack.graphs:
        print(f"{graph.file}: {_describe_graph(graph, task)}")
        for part in graph.delegates:
            outside = ", ".join(f"{name} x{times}" for name, times in part.outside.items())
            print(
                f"  {part.accelerator} takes {part.inside} operators, leaves {outside or 'none'} "
                f"({part.note})"
            )
    if pack.suppression_ms is not None:
        print(
            f"suppression of double boxes behind a graph: {pack.suppression_ms:.3f} ms of CPU time "
            "more, the median over these images (numpy, one thread)"
        )
    if warning := describe_int8(pack.graphs):
        print(warning)
    script = shlex.quote(str(pack.path / "verify.py"))
    print(f"{pack.path}: check it anywhere with: python {script}")


def _describe_weights(state: RunState, trial: int, which: Weights) -> str:
    """Say which weights went out, and which stayed."""
    row = state.row(trial)
    figure = state.task.figure

    def found(share: float, images: str) -> str:
        if figure == ACCURACY:
            return f"{share:.2%} of {images}"
        return f"{figure.title} {share:.2%} on {images}"

    of_search = found(row["accuracy"], f"validation images by the {state.run.file.proxy.kind}")
    chosen = state.retrained_weights(trial, which)
    if chosen is not None:
        _, training = chosen
        return (
            f"weights: full training ({training.description}; seed {training.seed}), "
            f"{found(training.accuracy or 0, f'{training.images:,} validation images')}; in the "
            f"search: {of_search}"
        )
    line = f"weights: of the search, {of_search}"
    others = [
        training.accuracy or 0.0
        for training in state.retrained()
        if training.digest == row["digest"] and training.complete
    ]
    if others:
        line += f"; not those of the full training, whose best is {max(others):.2%} (--weights)"
    return line


def _describe_graph(graph: PackedGraph, task: ExportTask) -> str:
    """Say what was measured of a graph."""
    if graph.scores is None or graph.latency is None:
        return "converted, not verified: it does not run here"
    scores, parity = graph.scores, graph.scores.parity
    lost = f", loses {scores.drop}" if graph.precision == "int8" else ""
    loss = f"loss {scores.loss_change:+.4f} ± {scores.half_width:.4f} against the network, "
    if isnan(scores.loss_change):  # a network's own, which is not made of what a graph gives
        loss = ""
    figures = task.describe_figures(scores.figures)
    return (
        f"{graph.precision}, differs by {parity.share:.1e} of the largest score, "
        f"{task.agreement_phrase} {parity.agreement:.1%}, {figures}{lost}, {loss}"
        f"{graph.latency.latency_ms:.3f} ms" + _with_suppression(graph)
    )


def _with_suppression(graph: PackedGraph) -> str:
    if graph.suppressing is None:
        return ""
    return f", {graph.suppressing.latency_ms:.3f} ms with suppression in it"
