"""The papers of a winner pack: everything but the network itself."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nas.base.machine import processor
from nas.data.reading import Resize
from nas.export import verify
from nas.export.card import write_card
from nas.export.licences import read_licences, write_notice
from nas.export.packed_graph import CALIBRATION_IMAGES, PackedGraph, describe_int8
from nas.export.parity import ValidationScores
from nas.export.target.target import Target
from nas.export.winner import Winner
from nas.models.cost import cost_of_module
from nas.spec.architecture import Architecture
from nas.spec.own_backbone import brief
from nas.spec.task import Figure, Task
from nas.study.constant_prediction import ConstantPrediction, describe_collapse

__all__ = ["Origin", "make_report", "named", "write_papers"]

_SAMPLES = 64  # images that go along, to check the pack with


@dataclass(frozen=True)
class Origin:
    """The origin of a network: where it was found, and what was measured of it there.

    run: name of its folder.
    proxy: kind of training in the search.
    seed: that the search trained it with.
    device: that the search measured latency on.
    pretrained: whether its weights began as pretrained ones.
    found: what the search measured of it, by name.
    retrained: what the full training that its weights are of has come to; None: they are of the
        search.
    constant: what is judged of one answer to all of the run's images; None: it is not known.
    """

    run: str
    trial: int
    data: str
    proxy: str
    seed: int
    device: str
    pretrained: bool
    found: Mapping[str, float]
    retrained: Mapping[str, Any] | None = None
    constant: ConstantPrediction | None = None

    @property
    def collapsed(self) -> str | None:
        """A sentence where the network is no better than one answer to all images, else None."""
        return describe_collapse(self.constant, self.recorded_accuracy)

    @property
    def recorded_accuracy(self) -> float | None:
        """The figure of the task on validation images when these weights' training was judged."""
        return (self.found if self.retrained is None else self.retrained).get("accuracy")


def make_report(
    winner: Winner,
    origin: Origin,
    to: Target,
    versions: Mapping[str, str],
    images: ValidationScores,
    graphs: Sequence[PackedGraph],
) -> dict[str, Any]:
    """Return what report.json holds, where `named` has given figures their names.

    versions: of the target's packages.
    images: that graphs were compared on.
    """
    task = winner.task
    costs = cost_of_module(winner.merged, torch.zeros(1, *winner.size.shape))
    quantised = any(graph.precision == "int8" for graph in graphs)
    return {
        "version": 1,
        "target": to.name,
        **({} if task.is_classification else {"task": asdict(task)}),
        "versions": dict(versions),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": processor(),
        **({"gpu": torch.cuda.get_device_name()} if to.clock == "device" else {}),
        "origin": asdict(origin),
        "network": {
            "images": len(images),
            "loss": _known(float(images.losses.mean())),
            "accuracy": images.accuracy,
            "recorded_accuracy": origin.recorded_accuracy,
            "collapsed": origin.collapsed,
            "departs_from_record": images.departs_from(origin.recorded_accuracy),
            "params": costs.params,
            "macs": costs.macs,
            "uncounted": list(costs.unsupported),
            **_of_task(task, images),
        },
        "calibration_images": CALIBRATION_IMAGES if quantised else 0,
        "int8": describe_int8(graphs) if quantised else to.no_int8 or "not asked for (--int8)",
        "graphs": [_graph_to_dict(graph, winner) for graph in graphs],
    }


def _of_task(task: Task, images: ValidationScores) -> dict[str, Any]:
    """Return what is said of tasks that are not classification, which says it as before."""
    if task.is_classification:
        return {}
    postprocessing_ms = images.judging.postprocessing_ms(images.scores)
    return {
        **({} if postprocessing_ms is None else {"suppression_ms": postprocessing_ms}),
        "judged_on": images.words,
        "marks": len(images.losses),
        "figures": dict(images.figures),
    }


def named(report: Mapping[str, Any], figure: Figure) -> dict[str, Any]:
    """Return a report whose accuracies go by the name of the task's figure: `miou_drop`."""
    names: dict[str, Any] = {}
    for key, value in report.items():
        if key in ("network", "origin", "found", "retrained", "constant") and value is not None:
            value = named(value, figure)
        elif key == "graphs":
            value = [named(graph, figure) for graph in value]
        names[figure.column(key)] = value
    return names


def _graph_to_dict(graph: PackedGraph, winner: Winner) -> dict[str, Any]:
    task, scores, latency = winner.task, graph.scores, graph.latency
    figures = {} if task.is_classification else {"figures": scores and dict(scores.figures)}
    if task.kind.annotated == "boxes":
        figures |= _suppression(graph, winner)
    return {
        "file": graph.file,
        "kind": graph.kind,
        "precision": graph.precision,
        "bytes": graph.bytes,
        "tolerance": graph.tolerance,
        "least_agreement": graph.least_agreement,
        "difference": scores and scores.parity.share,
        "agreement": scores and scores.parity.agreement,
        "loss": scores and _known(scores.loss),
        "accuracy": scores and scores.accuracy,
        "accuracy_drop": scores and scores.drop.mean,
        "accuracy_drop_interval": scores and [scores.drop.low, scores.drop.high],
        "loss_change": scores and _known(scores.loss_change),
        "loss_half_width": scores and _known(scores.half_width),
        "latency_ms": latency and latency.latency_ms,
        "latency_spread": latency and latency.spread,
        "clock": graph.clock,
        "delegates": [asdict(part) for part in graph.delegates],
        **figures,
    }


def _known(loss: float) -> float | None:
    """Return a loss; None where a network's own is not made of what its graph gives."""
    return None if math.isnan(loss) else loss


def _suppression(graph: PackedGraph, winner: Winner) -> dict[str, Any]:
    """Return where boxes of a graph are suppressed, and what it takes with that within."""
    within = graph.kind != "model.py" and winner.suppression is not None
    latency = graph.suppressing
    return {
        "nms": "graph" if within else "outside",
        "latency_with_nms_ms": latency and latency.latency_ms,
        "latency_with_nms_spread": latency and latency.spread,
    }


def write_papers(
    folder: Path,
    winner: Winner,
    images: ValidationScores,
    to: Target,
    report: Mapping[str, Any],
) -> None:
    """Write everything but the network itself into a pack.

    images: some of them go along, to check the pack with.
    report: see `make_report`.
    """
    task = winner.judging
    texts = {
        "README.md": write_card(winner, to, report),
        "report.json": json.dumps(named(report, winner.task.figure), indent=1),
        "preprocessing.json": json.dumps(_preprocessing(winner), indent=1),
        "architecture.json": json.dumps(_for_others(winner.architecture), indent=1),
        "NOTICE": write_notice(
            winner.architecture, report["origin"]["pretrained"], winner.task.head
        ),
        "verify.py": Path(verify.__file__).read_text(encoding="utf-8"),
    }
    if task.names_classes:
        texts["labels.txt"] = "".join(f"{' '.join(name.split())}\n" for name in winner.classes)
    if task.outputs_file is not None:
        texts["outputs.py"] = task.outputs_file.read_text(encoding="utf-8")
    for name, file in task.more_files.items():
        texts[name] = file.read_text(encoding="utf-8")
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
    (folder / "licences").mkdir()
    for name, content in read_licences(winner.architecture, winner.task.head).items():
        (folder / "licences" / name).write_bytes(content)
    _write_samples(folder / "samples.npz", images)


def _for_others(architecture: Architecture) -> dict[str, Any]:
    """Return the plain values of an architecture, without the folder of a user's file."""
    return replace(architecture, backbone=brief(architecture.backbone)).to_dict()


def _preprocessing(winner: Winner) -> dict[str, Any]:
    """Return what preprocessing.json holds: how a picture becomes what the network reads."""
    size = winner.size
    shaped = _SQUARE if size.height == size.width else _SHAPED
    return {
        "size": [size.height, size.width],
        "channels": "RGB; grey images three times the same, transparent pixels over white",
        "orientation": "upright, as EXIF says",
        **shaped[winner.resize],
        "resize": "bilinear, antialiased (Pillow's BILINEAR)",
        "range": [0, 255],
        "mean": list(winner.mean),
        "std": list(winner.std),
        "layout": "NCHW",
        "dtype": "float32",
        "formula": "(pixel - mean) / std, for each channel, with pixels from 0 to 255",
        **_for_outputs(winner),
    }


def _for_outputs(winner: Winner) -> dict[str, Any]:
    """Return what verify.py and outputs.py read of preprocessing.json beside its words.

    fit: what becomes of pictures of another shape.
    draft: sides to which Pillow's `Image.draft` may bring a JPEG while it is decoded; None: whole.
    """
    task, size = winner.judging, winner.size
    if task.outputs_file is None:
        return {}
    back = task.describe_way_back()
    # Drafts round sides, so that bars would not lie where those of the masks do.
    whole = back is not None and winner.resize == "pad"
    return {
        "fit": winner.resize,
        "draft": None if whole else 2 * max(size.height, size.width),
        "outputs": winner.describe_output(),
        **task.settings(),
        **_categories(winner),
        **({} if back is None else {"back": back}),
    }


def _categories(winner: Winner) -> dict[str, Any]:
    """Return what files call each class, where they number them."""
    if not winner.categories:
        return {}
    numbered = [[{"id": n, "name": name} for n, name in one] for one in winner.categories]
    return {"categories": numbered}


_SQUARE: dict[Resize, dict[str, str]] = {
    "crop": {"crop": "the largest square in the middle"},
    "stretch": {"crop": "none", "shape": "width and height are scaled apart, to the size"},
    "pad": {"crop": "none", "shape": "the longer side to the size, black bars beside the other"},
}
"""How images that are not square become so."""

_SHAPED: dict[Resize, dict[str, str]] = {
    "crop": {"crop": "the largest part in the middle that has the shape of the size"},
    "stretch": _SQUARE["stretch"],
    "pad": {"crop": "none", "shape": "as large as fits into the size, black bars at two sides"},
}
"""How images become of a size that is not square; it is height, then width."""


def _write_samples(path: Path, images: ValidationScores) -> None:
    """Write some validation images with what the network gives for them."""
    rows, held = images.judging.samples(
        _SAMPLES, images.scores, images.targets, images.judged.answers
    )
    arrays: dict[str, Any] = {"images": images.pixels[rows], **held}
    np.savez_compressed(path, **arrays)
