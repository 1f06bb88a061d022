"""Winner packs: a folder with all that somebody needs who has never heard of this project."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save

from nas.base.clock import utc_now
from nas.base.errors import SpecError
from nas.base.files import make_folder, write_folder_whole
from nas.base.machine import processor
from nas.data import Dataset
from nas.export import verify
from nas.export.card import card
from nas.export.graphs import check, convert, network_to_ship, open_graph, write_files
from nas.export.judged import GraphScores, ValidationScores, predict_validation, real_images
from nas.export.licences import licences, notice
from nas.export.source import export_program, plain_source
from nas.export.table import TARGETS, target_named
from nas.export.target import EXACT, Delegates, Target, Winner, WrittenGraph
from nas.latency.measure import Anchor, Latency, Subject, measure_anchor, measure_together
from nas.models.cost import cost_of_module
from nas.runs.run import Run, RunState
from nas.runs.weights import Weights
from nas.study.full_training import FullTraining

__all__ = ["Origin", "Pack", "PackedGraph", "against_int8", "export_pack", "write_pack"]

_JUDGED = 512
_CALIBRATION = 128
_SAMPLES = 64
_SLACK = 0.03
"""Share of the samples whose best class may change elsewhere: processors round differently."""
_INT8_TOLERANCE = 2.0
"""Of the largest score: int8 is judged by classes and loss, not by digits. LiteRT's quantiser clips
the largest scores by 45 % and changes no class."""


@dataclass(frozen=True)
class Origin:
    """Where a network comes from. found: what the search measured of it, by name. retrained: what
    the full training that its weights are of has come to; None: they are of the search.
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


@dataclass(frozen=True)
class PackedGraph:
    """One graph of a pack. judged, latency: None where it cannot run here."""

    file: str
    kind: str
    precision: str
    bytes: int
    tolerance: float
    least_agreement: float
    judged: GraphScores | None
    latency: Latency | None
    delegates: tuple[Delegates, ...] = ()


@dataclass(frozen=True)
class Pack:
    """A winner pack that was written. network: how the trained network itself does."""

    path: Path
    target: Target
    graphs: tuple[PackedGraph, ...]
    network_loss: float
    network_accuracy: float
    images: int


def export_pack(
    run: Run,
    trial: int,
    target: str,
    out: Path | None = None,
    *,
    int8: bool = False,
    weights: Weights = "best",
    state: RunState | None = None,
) -> Pack:
    """Export the trained network of a trial as a winner pack.

    out: the folder to make; None: beside the run's files. int8: with a quantised graph, too.
    weights: see `Run.retrained_weights`. state: of the run, where it was read already; None: read
    now.
    Raises SpecError (no such target or trial, not installed, a folder that is in the way, an
    operator that the target does not have), ExportError when a graph disagrees with the network.
    """
    to = target_named(target)
    if int8 and to.quantise is None:
        able = ", ".join(name for name, other in TARGETS.items() if other.quantise)
        raise SpecError(f"{target} has no int8 here: {to.no_int8}; these have: {able}")
    to.check_installed()
    suffix = f"{target}-int8" if int8 else target
    path = out or run.path / "exports" / f"trial-{trial}-{suffix}"
    if path.exists():
        raise SpecError(f"{path} exists; name a new folder for --out")
    if not path.parent.exists() and out is not None:
        raise SpecError(f"folder {path.parent} does not exist; make it first")
    state = run.read() if state is None else state
    found = network_to_ship(state, trial, weights)
    make_folder(path.parent)
    row, training = state.row(trial), found.training
    began = training.recipe["weights"] if training else "backbone"
    if began == "backbone":
        began = run.file.proxy.backbone.weights
    origin = Origin(
        run=run.path.resolve().name,
        trial=trial,
        data=run.file.data_name,
        proxy=run.file.proxy.kind,
        seed=row["seed"],
        device=run.file.device,
        pretrained=began == "pretrained",
        found={name: row[name] for name in ("loss", "accuracy", "latency_ms", "params", "macs")},
        retrained=None if training is None else _trained(training),
    )
    return write_pack(path, found.winner, found.data, to, origin, int8=int8)


def _trained(training: FullTraining) -> dict[str, Any]:
    kept = (
        "description",
        "seed",
        "resolution",
        "accuracy",
        "images",
        "test_accuracy",
        "test_images",
    )
    return {name: getattr(training, name) for name in kept}


def write_pack(
    path: Path, winner: Winner, data: Dataset, to: Target, origin: Origin, *, int8: bool
) -> Pack:
    """Write a pack of any trained network. Raises as `export_pack` does."""
    versions = to.check_installed()
    images = predict_validation(winner, data, _JUDGED)
    with write_folder_whole(path) as folder:
        _write_network(folder, winner)
        graphs = [_model(folder, images), *_graphs(folder, winner, to, data, images, int8)]
        report = _report(winner, origin, to, versions, images, graphs)
        _write_papers(folder, winner, images, to, report, origin.pretrained)
    return Pack(
        path, to, tuple(graphs), float(images.losses.mean()), images.accuracy, len(images.labels)
    )


def _write_network(folder: Path, winner: Winner) -> None:
    title = str(winner.architecture)
    source = plain_source(
        export_program(winner.network, winner.side), title=title, side=winner.side
    )
    (folder / "model.py").write_text(source.code, encoding="utf-8")
    (folder / "weights.safetensors").write_bytes(save(source.weights))


def _model(folder: Path, images: ValidationScores) -> PackedGraph:
    session = open_graph("model.py", folder / "model.py")
    judged = check("model.py", session, images, EXACT)
    size = (folder / "weights.safetensors").stat().st_size
    latency = _latencies({"fp32": session}, images)["fp32"]
    return PackedGraph("model.py", "model.py", "fp32", size, EXACT, 1 - _SLACK, judged, latency)


def _graphs(
    folder: Path, winner: Winner, to: Target, data: Dataset, images: ValidationScores, int8: bool
) -> list[PackedGraph]:
    """Convert, write, open again, check and time."""
    made: dict[str, WrittenGraph] = {"fp32": convert(to, lambda: to.write(winner))}
    if int8 and to.quantise is not None:
        quantise = to.quantise
        calibration = _calibration(winner, data)
        made["int8"] = convert(to, lambda: quantise(winner, calibration))
    names = {"fp32": "network", "int8": "network-int8"}
    for precision, written in made.items():
        write_files(written.files, folder / names[precision])
    paths = {precision: folder / f"{names[precision]}{to.main}" for precision in made}
    sessions, judged, latencies = {}, {}, {}
    if to.runs_here:
        sessions = {precision: open_graph(to.name, path) for precision, path in paths.items()}
        tolerance = {"fp32": to.tolerance, "int8": _INT8_TOLERANCE}
        judged = {
            precision: check(f"{to.name} {precision}", session, images, tolerance[precision])
            for precision, session in sessions.items()
        }
        latencies = _latencies(sessions, images)
    found = []
    for precision, written in made.items():
        told = judged.get(precision)
        # Of an int8 graph the user must know that it has not become worse than it was.
        agreement = told.parity.agreement if told and precision == "int8" else 1.0
        found.append(
            PackedGraph(
                file=paths[precision].relative_to(folder).as_posix(),
                kind=to.name,
                precision=precision,
                bytes=sum(len(content) for content in written.files.values()),
                tolerance=to.tolerance if precision == "fp32" else _INT8_TOLERANCE,
                least_agreement=max(0.0, agreement - (2 if precision == "int8" else 1) * _SLACK),
                judged=told,
                latency=latencies.get(precision),
                delegates=written.delegates(),
            )
        )
    return found


def _calibration(winner: Winner, data: Dataset) -> Any:
    pixels, _ = real_images(data.train, winner.side, _CALIBRATION)
    return verify.normalised(pixels, {"mean": winner.mean, "std": winner.std})


def _latencies(sessions: dict[str, verify.Session], images: ValidationScores) -> dict[str, Latency]:
    """Of one image, in CPU time of one thread, in turn with each other."""
    shape = (1, 3, *images.images.shape[2:])
    subjects = {name: Subject(session, shape) for name, session in sessions.items()}
    first = subjects["fp32"]
    return measure_together(subjects, Anchor(first, measure_anchor(first)), seed=0)


def _report(
    winner: Winner,
    origin: Origin,
    to: Target,
    versions: dict[str, str],
    images: ValidationScores,
    graphs: list[PackedGraph],
) -> dict[str, Any]:
    costs = cost_of_module(winner.network, torch.zeros(1, 3, winner.side, winner.side))
    quantised = any(graph.precision == "int8" for graph in graphs)
    return {
        "version": 1,
        "target": to.name,
        "versions": versions,
        "made": utc_now(),
        "machine": processor(),
        "origin": asdict(origin),
        "network": {
            "images": len(images.labels),
            "loss": float(images.losses.mean()),
            "accuracy": images.accuracy,
            "params": costs.params,
            "macs": costs.macs,
        },
        "calibration_images": _CALIBRATION if quantised else 0,
        "int8": against_int8(graphs) if quantised else to.no_int8 or "not asked for (--int8)",
        "graphs": [_told(graph) for graph in graphs],
    }


def against_int8(graphs: Sequence[PackedGraph]) -> str:
    """What was measured against the int8 graph, in a sentence; empty: nothing, or it is not run."""
    by_precision = {graph.precision: graph for graph in graphs if graph.kind != "model.py"}
    plain, small = by_precision.get("fp32"), by_precision.get("int8")
    if plain is None or small is None or not (plain.latency and small.latency and small.judged):
        return ""
    faults = []
    if small.latency.latency_ms >= plain.latency.latency_ms:
        faults.append(
            f"no faster here ({small.latency.latency_ms:.3f} ms for {plain.latency.latency_ms:.3f})"
        )
    if small.judged.loss_change > small.judged.half_width:
        faults.append("worse in loss beyond the noise of the images")
    if not faults:
        return ""
    return f"int8 is {' and '.join(faults)}: what it brings is measured on the device it is for"


def _told(graph: PackedGraph) -> dict[str, Any]:
    judged, latency = graph.judged, graph.latency
    return {
        "file": graph.file,
        "kind": graph.kind,
        "precision": graph.precision,
        "bytes": graph.bytes,
        "tolerance": graph.tolerance,
        "least_agreement": graph.least_agreement,
        "difference": judged and judged.parity.share,
        "agreement": judged and judged.parity.agreement,
        "loss": judged and judged.loss,
        "accuracy": judged and judged.accuracy,
        "loss_change": judged and judged.loss_change,
        "loss_half_width": judged and judged.half_width,
        "latency_ms": latency and latency.latency_ms,
        "latency_spread": latency and latency.spread,
        "delegates": [asdict(told) for told in graph.delegates],
    }


def _write_papers(
    folder: Path,
    winner: Winner,
    images: ValidationScores,
    to: Target,
    report: dict[str, Any],
    pretrained: bool,
) -> None:
    """Everything but the network itself."""
    preprocessing = {
        "size": [winner.side, winner.side],
        "channels": "RGB; grey images three times the same, transparent pixels over white",
        "orientation": "upright, as EXIF says",
        "crop": "the largest square in the middle",
        "resize": "bilinear, antialiased (Pillow's BILINEAR)",
        "range": [0, 255],
        "mean": list(winner.mean),
        "std": list(winner.std),
        "layout": "NCHW",
        "dtype": "float32",
        "formula": "(pixel - mean) / std, for each channel, with pixels from 0 to 255",
    }
    texts = {
        "README.md": card(winner, to, report),
        "report.json": json.dumps(report, indent=1),
        "preprocessing.json": json.dumps(preprocessing, indent=1),
        "architecture.json": json.dumps(winner.architecture.to_dict(), indent=1),
        "labels.txt": "".join(f"{' '.join(name.split())}\n" for name in winner.classes),
        "NOTICE": notice(winner.architecture, pretrained),
        "verify.py": Path(verify.__file__).read_text(encoding="utf-8"),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "licences").mkdir()
    for name, content in licences(winner.architecture).items():
        (folder / "licences" / name).write_bytes(content)
    kept = slice(0, len(images.labels), max(1, len(images.labels) // _SAMPLES))
    np.savez_compressed(
        folder / "samples.npz",
        images=images.pixels[kept][:_SAMPLES],
        scores=images.scores[kept][:_SAMPLES],
        labels=images.labels[kept][:_SAMPLES],
    )
