"""Winner packs: a folder with all that somebody needs who has never heard of this project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save

from nas.base.errors import SpecError
from nas.base.files import write_folder_whole
from nas.data import Dataset
from nas.export.conversion import naming_collapse
from nas.export.pack_papers import Origin, make_report, write_papers
from nas.export.packed_graph import PackedGraph, check_plain_torch, write_graphs
from nas.export.parity import predict_validation, without_wrong_folds
from nas.export.plain_torch import export_program, plain_source
from nas.export.target import TARGETS, target_named
from nas.export.target.target import Target
from nas.export.winner import TrainedNetwork, Winner, prepare_export
from nas.runs.run import Run, RunState, Weights
from nas.spec.own_backbone import brief
from nas.spec.suppression import SUPPRESSION, SuppressedIn
from nas.spec.task import Task
from nas.study.full_training import FullTraining

__all__ = ["Pack", "check_max_drop", "export_pack", "write_pack"]

_MOST_IMAGES = 512  # of the validation part, that graphs are compared on


@dataclass(frozen=True)
class Pack:
    """A winner pack that was written.

    graphs: the plain torch of model.py first, then those of the target.
    task: what the network is for.
    network_loss: mean loss of the trained network itself on validation images.
    network_figures: what the task judges it by on them; the figure that stands for it first.
    judged_on: what these are, in words.
    images: their number.
    recorded_accuracy: that figure when its training was judged; None: not known.
    departs_from_record: whether it is beyond the noise of the images from that.
    collapsed: that its network is no better than one answer to all images, where it is not.
    folded: whether doubled gates are folded, where they can be: else folding would have changed
        what the network says of these images.
    merged: likewise of parallel branches, as RepVGG has them.
    suppression_ms: what `kept` of outputs.py takes of an image where there are boxes to suppress.
    """

    path: Path
    target: Target
    graphs: tuple[PackedGraph, ...]
    task: Task
    network_loss: float
    network_figures: Mapping[str, float]
    judged_on: str
    images: int
    recorded_accuracy: float | None
    departs_from_record: bool
    collapsed: str | None
    folded: bool
    merged: bool
    suppression_ms: float | None = None

    @property
    def network_accuracy(self) -> float:
        """The figure that stands for the task: the share of the images that it gets right."""
        return next(iter(self.network_figures.values()))


def export_pack(
    run: Run,
    trial: int,
    target: str,
    out: Path | None = None,
    *,
    int8: bool = False,
    max_drop: float | None = None,
    weights: Weights = "best",
    nms: SuppressedIn = "outside",
    state: RunState | None = None,
) -> Pack:
    """Export the trained network of a trial as a winner pack.

    target: a name in `TARGETS`.
    out: the folder to make; None: beside the run's files.
    int8: whether to write a quantised graph, too.
    max_drop: points of the task's figure that it may lose; None: any.
    weights: see `RunState.retrained_weights`.
    nms: where boxes are suppressed: outside the graphs, or within.
    state: of the run, where it was read already; None: read now.
    Raises SpecError when there is no such target or trial, packages are not installed, a folder
    is in the way, the target lacks an operator of the network, or the quantised graph loses too
    much; and where there are no boxes to suppress.
    Raises ExportError when a graph disagrees with the network.
    """
    to = target_named(target)
    if int8 and to.quantise is None:
        able = ", ".join(name for name, other in TARGETS.items() if other.quantise)
        raise SpecError(f"{target} has no int8 here: {to.no_int8}; these have: {able}")
    check_max_drop(max_drop, int8=int8)
    state = run.read() if state is None else state
    to.check_task(state.task)
    if nms == "graph":
        to.check_suppresses(state.task, int8=int8)
    to.check_installed()
    suffix = "-".join([target, *["int8"] * int8, *["nms"] * (nms == "graph")])
    path = out or run.path / "exports" / f"trial-{trial}-{suffix}"
    if path.exists():
        raise SpecError(f"{path} exists; name a new folder for --out")
    trained = prepare_export(run, trial, path, weights=weights, made=out is None, state=state)
    origin = _origin(run, trained)
    winner = trained.winner
    if nms == "graph":
        winner = replace(winner, suppression=SUPPRESSION)
    return write_pack(path, winner, trained.data, to, origin, int8=int8, max_drop=max_drop)


def check_max_drop(max_drop: float | None, *, int8: bool) -> None:
    """Check a limit to what a quantised graph may lose. Raises SpecError."""
    if max_drop is None:
        return
    if not int8:
        raise SpecError("--max-drop limits what a graph in int8 loses; write --int8 as well")
    if not 0 <= max_drop <= 100:
        raise SpecError(f"--max-drop {max_drop:g}; allowed: points of accuracy, from 0 to 100")


def _origin(run: Run, trained: TrainedNetwork) -> Origin:
    row, training = trained.row, trained.training
    start = training.recipe["weights"] if training else "backbone"
    if start == "backbone":
        start = run.file.proxy.backbone.weights
    return Origin(
        run=run.path.resolve().name,
        trial=row["trial"],
        data=run.file.data_name,
        proxy=run.file.proxy.kind,
        seed=row["seed"],
        device=run.file.device,
        pretrained=start == "pretrained",
        found={name: row[name] for name in ("loss", "accuracy", "latency_ms", "params", "macs")},
        retrained=None if training is None else _training_to_dict(training),
        constant=trained.constant,
    )


def _training_to_dict(training: FullTraining) -> dict[str, Any]:
    names = (
        "description",
        "seed",
        "resolution",
        "accuracy",
        "images",
        "test_accuracy",
        "test_images",
    )
    return {name: getattr(training, name) for name in names}


def write_pack(
    path: Path,
    winner: Winner,
    data: Dataset,
    to: Target,
    origin: Origin,
    *,
    int8: bool,
    max_drop: float | None = None,
) -> Pack:
    """Write a pack of any trained network.

    data: images to compare graphs on, and to quantise with.
    origin: where the network comes from, for the card.
    int8: whether to write a quantised graph, too.
    max_drop: points of the task's figure that it may lose; None: any.
    Raises as `export_pack` does.
    """
    to.check_task(winner.task)
    versions = to.check_installed()
    images = predict_validation(winner, data, _MOST_IMAGES)
    shipped = without_wrong_folds(winner, images)
    with naming_collapse(origin.collapsed), write_folder_whole(path) as folder:
        _write_plain_torch(folder, shipped)
        graphs = [
            check_plain_torch(folder, images),
            *write_graphs(folder, shipped, to, data, images, int8=int8, max_drop=max_drop),
        ]
        report = make_report(shipped, origin, to, versions, images, graphs)
        write_papers(folder, shipped, images, to, report)
    return Pack(
        path,
        to,
        tuple(graphs),
        task=winner.task,
        network_loss=float(images.losses.mean()),
        network_figures=images.figures,
        judged_on=images.words,
        images=len(images),
        recorded_accuracy=origin.recorded_accuracy,
        departs_from_record=images.departs_from(origin.recorded_accuracy),
        collapsed=origin.collapsed,
        folded=shipped.network is winner.network,
        merged=shipped.merges,
        suppression_ms=report["network"].get("suppression_ms"),
    )


def _write_plain_torch(folder: Path, winner: Winner) -> None:
    architecture = winner.architecture
    title = str(replace(architecture, backbone=brief(architecture.backbone)))
    source = plain_source(
        export_program(winner.network, winner.size),
        title=title,
        size=winner.size,
        gives=winner.judging.describe_output(),
    )
    (folder / "model.py").write_text(source.code, encoding="utf-8")
    (folder / "weights.safetensors").write_bytes(save(source.weights))
