"""The graphs of a winner pack: written, opened again, compared with the network, and timed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nas.base.errors import SpecError
from nas.data import Dataset
from nas.export.conversion import check, convert, open_graph, write_files
from nas.export.parity import GraphScores, ValidationScores, sample_images
from nas.export.target.target import EXACT, Delegates, Images, Target, WrittenGraph
from nas.export.verify import Session, normalised
from nas.export.winner import Winner
from nas.latency.device import Clock
from nas.latency.measure import Anchor, Latency, Subject, measure_anchor, measure_together

__all__ = [
    "CALIBRATION_IMAGES",
    "PackedGraph",
    "check_plain_torch",
    "describe_int8",
    "write_graphs",
]

CALIBRATION_IMAGES = 128
"""The number of training images that the ranges of an int8 graph are seen on."""

_FILES = {"fp32": "network", "int8": "network-int8"}
_SLACK = 0.03
"""The share of the samples whose best class may change elsewhere: processors round differently."""
_INT8_TOLERANCE = 2.0
"""The most that an int8 graph may differ, as a share of the largest score.

It is judged by classes and loss, not by digits: LiteRT's quantiser clips the largest scores by
45 % and changes no class.
"""


@dataclass(frozen=True)
class PackedGraph:
    """One graph of a pack.

    file: inside the pack.
    kind: of `verify.LOADERS`: the target's name, or `model.py`.
    precision: `fp32` or `int8`.
    bytes: size of its files.
    tolerance: how far its scores may be from the network's, as a share of the largest score.
    least_agreement: the share of images whose best class must stay, or of their pixels, or whose
        nearest other image.
    scores: beside the network's; None where it cannot run here.
    latency: of one image, without suppression of boxes; None where it cannot run here.
    clock: that tells it: CPU time of one thread, or the GPU's own.
    delegates: what accelerators take of it.
    suppressing: its latency with suppression, where that is within it: of the validation image of
        which it keeps as many boxes as of the median one.
    """

    file: str
    kind: str
    precision: str
    bytes: int
    tolerance: float
    least_agreement: float
    scores: GraphScores | None
    latency: Latency | None
    delegates: tuple[Delegates, ...] = ()
    suppressing: Latency | None = None
    clock: Clock = "thread"


def check_plain_torch(folder: Path, images: ValidationScores) -> PackedGraph:
    """Open model.py with its weights, compare and time it. Raises ExportError."""
    session = open_graph("model.py", folder / "model.py")
    scores = check("model.py", session, images, EXACT)
    return PackedGraph(
        file="model.py",
        kind="model.py",
        precision="fp32",
        bytes=(folder / "weights.safetensors").stat().st_size,
        tolerance=EXACT,
        least_agreement=1 - _SLACK,
        scores=scores,
        latency=_latencies({"fp32": session}, images)["fp32"],
    )


def write_graphs(
    folder: Path,
    winner: Winner,
    to: Target,
    data: Dataset,
    images: ValidationScores,
    *,
    int8: bool,
    max_drop: float | None = None,
) -> list[PackedGraph]:
    """Write the graphs of a target into a pack, open them again, compare and time them.

    data: whose training images an int8 graph is quantised with.
    images: that the graphs are compared on.
    int8: whether to write a quantised graph, too.
    max_drop: points of the task's figure that the quantised graph may lose; None: any.
    Raises SpecError when the target cannot take the network, or the quantised graph loses more.
    Raises ExportError when a graph disagrees with it.
    """
    written = _convert(replace(winner, suppression=None), to, data, int8=int8)
    if winner.suppression is None:
        opened = _open(written, to, folder)
        scores, latencies = _check(opened, to, images), _latencies(opened, images, to.clock)
        suppressing: dict[str, Latency] = {}
    else:
        with tempfile.TemporaryDirectory() as beside:
            bare = _open(written, to, Path(beside))
            scores, latencies = _check(bare, to, images), _latencies(bare, images, to.clock)
        written = _convert(winner, to, data, int8=int8)
        opened = _open(written, to, folder)
        within = _check(opened, to, images)
        scores = {name: one.with_boxes_of(within[name]) for name, one in scores.items()}
        suppressing = _latencies(opened, images, to.clock, of_validation=True)
    if int8 and max_drop is not None and scores:
        _check_drop(to, scores["int8"], images, max_drop)
    return [
        PackedGraph(
            file=f"{_FILES[precision]}{to.main}",
            kind=to.name,
            precision=precision,
            bytes=sum(len(content) for content in graph.files.values()),
            tolerance=_tolerance(to, precision),
            least_agreement=_least_agreement(precision, scores.get(precision)),
            scores=scores.get(precision),
            latency=latencies.get(precision),
            delegates=graph.delegates(),
            suppressing=suppressing.get(precision),
            clock=to.clock,
        )
        for precision, graph in written.items()
    ]


def _open(written: Mapping[str, WrittenGraph], to: Target, folder: Path) -> dict[str, Session]:
    """Write graphs into a folder and open them again, where they run here: by precision."""
    for precision, graph in written.items():
        write_files({**graph.files, **graph.source}, folder / _FILES[precision])
    if not to.runs_here:
        return {}
    return {
        precision: open_graph(to.name, folder / f"{_FILES[precision]}{to.main}")
        for precision in written
    }


def _check(
    opened: Mapping[str, Session], to: Target, images: ValidationScores
) -> dict[str, GraphScores]:
    """Compare graphs with the network. Raises ExportError where one disagrees."""
    return {
        precision: check(f"{to.name} {precision}", session, images, _tolerance(to, precision))
        for precision, session in opened.items()
    }


def _tolerance(to: Target, precision: str) -> float:
    return _INT8_TOLERANCE if precision == "int8" else to.tolerance


def _check_drop(to: Target, scores: GraphScores, images: ValidationScores, max_drop: float) -> None:
    """Raise SpecError where an int8 graph loses more points of accuracy than are allowed."""
    figure = images.task.figure
    if 100 * scores.drop.mean > max_drop:
        raise SpecError(
            f"the {to.name} graph in int8 loses {scores.drop} of {figure.title} on "
            f"{images.words}, more than the {max_drop:g} of --max-drop; "
            "nothing was written; allow more, or export without --int8"
        )


def _convert(winner: Winner, to: Target, data: Dataset, *, int8: bool) -> dict[str, WrittenGraph]:
    """Convert a network to each precision. Raises SpecError."""
    suppresses = winner.suppression is not None
    written = {"fp32": convert(to, lambda: to.write(winner), suppresses=suppresses)}
    quantise = to.quantise
    if int8 and quantise is not None:
        images = _calibration_images(winner, data)
        written["int8"] = convert(to, lambda: quantise(winner, images), suppresses=suppresses)
    return written


def _calibration_images(winner: Winner, data: Dataset) -> Images:
    pixels, _ = sample_images(winner.task, data.train, winner.size, CALIBRATION_IMAGES)
    return normalised(pixels, {"mean": winner.mean, "std": winner.std})


def _least_agreement(precision: str, scores: GraphScores | None) -> float:
    """Return the share of images whose best class must stay where the pack is used."""
    if precision != "int8":
        return max(0.0, 1.0 - _SLACK)
    # Of an int8 graph the user must know that it has not become worse than it was.
    agreement = scores.parity.agreement if scores else 1.0
    return max(0.0, agreement - 2 * _SLACK)


def _latencies(
    sessions: Mapping[str, Session],
    images: ValidationScores,
    clock: Clock = "thread",
    *,
    of_validation: bool = False,
) -> dict[str, Latency]:
    """Time one image, by default in CPU time of one thread, in turn with each other.

    of_validation: the image of which as many boxes are kept as of the median one; else noise, which
        does for networks: what suppression takes goes by how many boxes there are.
    """
    if not sessions:
        return {}
    if of_validation:
        kept = (images.judged.answers[..., 5] >= 0).sum(axis=1)
        pixels = images.pixels[np.argsort(kept, kind="stable")[len(kept) // 2]]
        one = normalised(pixels[None], dict(images.preprocessing))
        sessions = {name: _OfOne(session, one) for name, session in sessions.items()}
    shape = (1, *images.size.shape)
    subjects = {name: Subject(session, shape) for name, session in sessions.items()}
    first = subjects["fp32"]
    core = 0 if clock == "thread" else None
    anchor = Anchor(first, measure_anchor(first, core=core, clock=clock))
    return measure_together(subjects, anchor, seed=0, core=core, clock=clock)


class _OfOne:
    """A session of the same image whatever it is given, with the time that it tells, if any."""

    def __init__(self, session: Session, image: Images) -> None:
        self._session, self._image = session, image

    def __call__(self, _given: Images) -> Images:
        return self._session(self._image)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def describe_int8(graphs: Sequence[PackedGraph]) -> str:
    """Say in a sentence what was measured against the int8 graph.

    Returns an empty text where nothing was, or the graph does not run here.
    """
    by_precision = {graph.precision: graph for graph in graphs if graph.kind != "model.py"}
    plain, small = by_precision.get("fp32"), by_precision.get("int8")
    if plain is None or small is None or not (plain.latency and small.latency and small.scores):
        return ""
    faults = []
    if small.latency.latency_ms >= plain.latency.latency_ms:
        faults.append(
            f"no faster here ({small.latency.latency_ms:.3f} ms for {plain.latency.latency_ms:.3f})"
        )
    if small.scores.loss_change > small.scores.half_width:
        faults.append("worse in loss beyond the noise of the images")
    if not faults:
        return ""
    return f"int8 is {' and '.join(faults)}: what it brings is measured on the device it is for"
