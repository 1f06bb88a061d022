"""`nas export`: trained networks in the files that they ship in."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from nas.base.errors import SpecError
from nas.runs.run import RunState, open_run
from nas.runs.weights import Weights, retrained_weights

if TYPE_CHECKING:
    from nas.export import Target
    from nas.export.pack import PackedGraph

__all__ = ["add_to"]

TO = "onnx, pt2, torchscript, timm, openvino, litert, executorch, ncnn, coreml."


def add_to(app: typer.Typer) -> None:
    app.command("export")(_export)


def _export(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    trial: Annotated[int | None, typer.Argument(help="Number of the trial.")] = None,
    number: Annotated[
        int | None, typer.Option("--trial", metavar="N", help="The same, as an option.")
    ] = None,
    to: Annotated[str, typer.Option(metavar="TARGET", help=TO)] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(
            help="A folder to make, for a winner pack; or a file of the target's kind (.onnx, "
            ".pt2, .pt, .tflite, .pte), for the graph alone. Default: a pack beside the run."
        ),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="A graph in int8 as well, with what it does to scores.")
    ] = False,
    weights: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            help="search, retrained (its best full training on validation images), or best: of "
            "these two the better on validation images.",
        ),
    ] = "best",
) -> None:
    """Export the trained network of a trial, and check it against the original.

    A winner pack holds the graph, the weights, the network in plain torch, a card with what was
    measured, and a script that checks all of it again with the target's runtime alone.

    Example: nas export runs/demo 17 --to openvino --int8 --out winner
    """
    from nas.export.table import target_named

    if trial is not None and number is not None and trial != number:
        raise SpecError(f"trial {trial} and --trial {number}; name one")
    chosen = trial if trial is not None else number
    if chosen is None:
        raise SpecError("no trial named; write its number behind the run, see: nas front RUN")
    if weights not in get_args(Weights):
        raise SpecError(f"--weights {weights}; allowed: {', '.join(get_args(Weights))}")
    which = cast(Weights, weights)
    target = target_named(to)
    _check_kind(target, out)
    if out is not None and target.alone and out.suffix == target.main and not out.is_dir():
        if int8:
            raise SpecError(f"--int8 makes two graphs; name a folder for --out instead of {out}")
        _alone(run, chosen, to, out, which)
        return
    _pack(run, chosen, to, out, int8, which)


def _check_kind(target: Target, out: Path | None) -> None:
    """A pack in a folder called winner.tflite would not be what was meant by --to onnx."""
    from nas.export.table import TARGETS

    others = [name for name, other in TARGETS.items() if out and out.suffix == other.main]
    if others and target.name not in others:
        raise SpecError(f"{out} is called like a file of {others[0]}; write --to {others[0]}")


def _alone(run: Path, trial: int, to: str, out: Path, which: Weights) -> None:
    from nas.export import export_trial

    state = open_run(run).read()
    path, parity = export_trial(state.run, trial, to, out, weights=which, state=state)
    print(_shipped(state, trial, which))
    print(
        f"{path}: agrees with the trained network to {parity.difference:.1e} on "
        f"{parity.images} validation images (scores up to {parity.largest:.1f}; "
        f"allowed {parity.tolerance:.0e} of that)"
    )


def _pack(run: Path, trial: int, to: str, out: Path | None, int8: bool, which: Weights) -> None:
    from nas.export import export_pack
    from nas.export.pack import against_int8

    state = open_run(run).read()
    pack = export_pack(state.run, trial, to, out, int8=int8, weights=which, state=state)
    print(_shipped(state, trial, which))
    print(
        f"trained network: {pack.network_accuracy:.1%} of {pack.images} validation images right, "
        f"loss {pack.network_loss:.4f}"
    )
    for graph in pack.graphs:
        print(f"{graph.file}: {_found(graph)}")
        for told in graph.delegates:
            outside = ", ".join(f"{name} x{times}" for name, times in told.outside.items())
            print(
                f"  {told.accelerator} takes {told.inside} operators, leaves {outside or 'none'} "
                f"({told.note})"
            )
    if against := against_int8(pack.graphs):
        print(against)
    script = shlex.quote(str(pack.path / "verify.py"))
    print(f"{pack.path}: check it anywhere with: python {script}")


def _shipped(state: RunState, trial: int, which: Weights) -> str:
    """Which weights went out, and which stayed."""
    row = state.row(trial)
    chosen = retrained_weights(state, trial, which)
    of_search = f"{row['accuracy']:.2%} of validation images by the {state.run.file.proxy.kind}"
    if chosen is not None:
        _, item = chosen
        return (
            f"weights: full training ({item.description}; seed {item.seed}), "
            f"{item.accuracy or 0:.2%} of {item.images:,} validation images; in the search: "
            f"{of_search}"
        )
    line = f"weights: of the search, {of_search}"
    others = [
        item.accuracy or 0.0
        for item in state.retrained()
        if item.digest == row["digest"] and item.complete
    ]
    if others:
        line += f"; not those of the full training, whose best is {max(others):.2%} (--weights)"
    return line


def _found(graph: PackedGraph) -> str:
    """What was measured of a graph, in words."""
    if graph.judged is None or graph.latency is None:
        return "converted, not verified: it does not run here"
    judged, parity = graph.judged, graph.judged.parity
    return (
        f"{graph.precision}, differs by {parity.share:.1e} of the largest score, same class for "
        f"{parity.agreement:.1%}, {judged.accuracy:.1%} right, loss {judged.loss_change:+.4f} "
        f"± {judged.half_width:.4f} against the network, {graph.latency.latency_ms:.3f} ms"
    )
