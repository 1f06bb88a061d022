"""The whole way of one trained network: given by `--weights`, searched, exported and verified.

    python -m benchmarks.runs.network_way NAME NUMBER FOLDER

is what `given_weights.py` starts for each network; it writes FOLDER/row.json.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas.backbones import find_sites, normalisation_of, plain_network
from nas.base.errors import NasError, SpecError
from nas.data import Dataset, load_data
from nas.export.verify import LEAST_LARGEST, load_onnx, normalised
from nas.models.build import build, deploy, inserted_modules, uniform
from nas.runs.run import RunState, open_run
from nas.spec.architecture import Architecture
from nas.spec.space import POSITIONS
from nas.spec.task import Task
from nas.study.record import COMPLETE, FAILED
from nas.training.checkpoint import save_weights
from nas.training.loop import Training, evaluate
from nas.training.recipe import Recipe

__all__ = [
    "FAULT",
    "HELD",
    "LEFT_OUT",
    "REFUSED",
    "Moved",
    "Row",
    "Stopped",
    "blocks_everywhere",
    "follow",
    "smallest_side",
    "walk_through",
]

HELD, REFUSED, FAULT, LEFT_OUT = "held", "refused", "fault", "left out"
"""What a way may come to: to its end; a refusal in one line; anything else; it is not in the draw.
"""

SIDES = (32, 64, 96, 128, 224)
FORMS = ("safetensors", "bare", "state_dict")
"""How weights are saved in turn: safetensors, a bare .pth, one under `state_dict` with `module.`"""

SPACE = """\
name: given
backbones: [{backbone}]
resolutions: [{side}]
blocks:
  coord: {{reduction: [32]}}
  se: {{reduction: [16]}}
max_insertions: 3
"""

_CPU = torch.device("cpu")
_CLASSES = 10
_VALIDATION = 0.1
_STEPS = 30
_SEARCH_STEPS = 8
_RATE = 0.02
_SAME = 1e-4  # of the largest score, as `nas export` holds its graphs to
_LOSS = 2e-4  # it is said to four digits
_SHAKE = 0.1  # deviation of what is added to the weights of blocks, whose gates are closed at first


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one network.

    number: its place in the draw.
    outcome: one of HELD, REFUSED, FAULT, LEFT_OUT; `reason` says the first line of what stopped it,
        at `stage`.
    sites: at the usual positions; `everywhere` at all positions.
    form: how its weights were saved.
    accuracy, loss: of the network as it was trained here, on the search's validation images.
    said_accuracy, said_loss: what the search said before it began.
    start: how far blocks that start as identities at every empty site move its scores.
    fold: how far folding moves the scores of the network with all of them, changed at random.
    graph: how far the exported graph's scores are from the unfolded network's as trained. These
        three as a share of the largest score.
    trial_accuracy: as recorded when the trial was trained; `pack_accuracy` that of the graph.
    failed: reasons of the trials that failed.
    """

    name: str
    number: int
    outcome: str = HELD
    stage: str = ""
    reason: str = ""
    side: int = 0
    params: int = 0
    sites: int = 0
    everywhere: int = 0
    filled: int = 0
    form: str = ""
    accuracy: float | None = None
    loss: float | None = None
    said_accuracy: float | None = None
    said_loss: float | None = None
    start: float | None = None
    fold: float | None = None
    blocks: tuple[str, ...] = ()
    trial_accuracy: float | None = None
    pack_accuracy: float | None = None
    graph: float | None = None
    failed: tuple[str, ...] = ()
    seconds: float = 0.0

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Row:
        """Make one of what a line of JSON holds."""
        lists = {name: tuple(values.get(name, ())) for name in ("blocks", "failed")}
        return cls(**{**values, **lists})


class Stopped(Exception):
    """What ends a way before its end: (stage, outcome, reason)."""

    def __init__(self, stage: str, outcome: str, reason: str) -> None:
        super().__init__(f"{stage}: {outcome}: {reason}")
        self.stage, self.outcome, self.reason = stage, outcome, reason


def smallest_side(name: str) -> int:
    """Return the smallest side of images at which a network has sites. Raises SpecError."""
    for side in SIDES:
        try:
            find_sites(name, side)
            return side
        except SpecError as error:
            reason = error
    raise reason


def walk_through(name: str, number: int, folder: Path) -> Row:
    """Train a network briefly, save it, and go the whole way with it.

    number: its place in the draw, which says how its weights are saved.
    folder: for what is made on the way.
    """
    row = Row(name, number, form=FORMS[number % len(FORMS)])
    try:
        side = smallest_side(name)
    except SpecError as error:
        return replace(row, outcome=LEFT_OUT, stage="sites", reason=_first_line(str(error)))
    everywhere = find_sites(name, side, positions=POSITIONS)
    sites = find_sites(name, side)
    row = replace(
        row,
        side=side,
        sites=len(sites),
        everywhere=len(everywhere),
        filled=sum(site.filled for site in sites),
    )
    network, data = train(name, side)
    row = replace(row, params=sum(weight.numel() for weight in network.parameters()))
    score = evaluate(network, data, Task(outputs=_CLASSES), device=_CPU)
    row = replace(row, accuracy=score.accuracy, loss=score.loss)
    if len(everywhere) > row.filled:
        images = normalised(data.validation.images[:16].numpy(), _pixels(data))
        moved = blocks_everywhere(name, side, network.state_dict(), images, num_classes=_CLASSES)
        row = replace(row, start=moved.start, fold=moved.fold)
    path = save(network, row.form, folder)
    return follow(row, path, folder)


def _pixels(data: Dataset) -> dict[str, Any]:
    return {"mean": data.mean, "std": data.std}


def train(name: str, side: int) -> tuple[nn.Module, Dataset]:
    """Train a network for some steps on the digits that a search trains on."""
    data = load_data("digits", side, validation=_VALIDATION, seed=0)
    network = plain_network(name, num_classes=_CLASSES)
    if (channels := normalisation_of(network, name)) is not None:
        mean, std = (tuple(255 * value for value in values) for values in channels)
        data = replace(data, mean=mean, std=std)  # type: ignore[arg-type]
    training = Training(
        network,
        data,
        Task(outputs=_CLASSES),
        Recipe(length=_STEPS, batch_size=batch_size(side), learning_rate=_RATE),
        parameters=network.parameters(),
        seed=0,
        device=_CPU,
    )
    training.run()
    return network.eval(), data


def batch_size(side: int) -> int:
    """Return the batch of a training: a smaller one of larger images, which take longer."""
    return 32 if side <= 64 else 8


@dataclass(frozen=True, slots=True)
class Moved:
    """How far the scores of a network move, as a share of the largest.

    start: with a block that starts as an identity at every empty site.
    changed: with weights of these blocks changed at random.
    fold: of the changed network, when its gates are folded.
    """

    start: float
    changed: float
    fold: float


def blocks_everywhere(
    name: str,
    side: int,
    weights: Mapping[str, Tensor],
    images: NDArray[np.float32],
    num_classes: int = 1000,
) -> Moved:
    """Put a block at every empty site of a trained network, and see what that does to its scores.

    images: (N, 3, side, side), normalised.
    """
    filled = [site.name for site in find_sites(name, side, positions=POSITIONS) if site.filled]
    placed = uniform(
        name, "coord", resolution=side, exclude=filled, position=POSITIONS, where_it_fits=True
    )
    plain = build(placed.plain, num_classes=num_classes, weights=weights)
    grown = build(placed, num_classes=num_classes, start="identity", weights=weights)
    given, first = _scores(plain, images), _scores(grown, images)
    torch.manual_seed(0)
    with torch.no_grad():
        for block in inserted_modules(grown, placed):
            for weight in block.parameters():
                weight.add_(_SHAKE * torch.randn_like(weight))
    changed = _scores(grown, images)
    folded = _scores(deploy(grown, placed), images)
    return Moved(share(first, given), share(changed, given), share(folded, changed))


def _scores(network: nn.Module, images: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.no_grad():
        parts = [
            network(torch.from_numpy(images[row : row + 64])) for row in range(0, len(images), 64)
        ]
    return np.asarray(torch.cat(parts).numpy())


def share(scores: NDArray[np.float32], wanted: NDArray[np.float32]) -> float:
    """Return the largest difference as a share of the largest score."""
    return float(np.abs(scores - wanted).max()) / max(LEAST_LARGEST, float(np.abs(wanted).max()))


def save(network: nn.Module, form: str, folder: Path) -> Path:
    """Save a network's weights in one of the forms that people have them in."""
    state = network.state_dict()
    if form == "safetensors":
        path = folder / "given.safetensors"
        save_weights(path, state)
        return path
    path = folder / "given.pth"
    if form == "state_dict":
        torch.save({"epoch": 1, "state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    else:
        torch.save(state, path)
    return path


# By the command line, as people go it.


def follow(row: Row, weights: Path, folder: Path, *options: str) -> Row:
    """Search from a file of weights, export a network with blocks, verify it, and compare.

    row: of what was done before.
    options: of `nas search`, beside or instead of the ones here.
    """
    try:
        row = _search(row, weights, folder, *options)
        return _export(row, folder)
    except Stopped as stop:
        return replace(row, outcome=stop.outcome, stage=stop.stage, reason=stop.reason)


def _search(row: Row, weights: Path, folder: Path, *options: str) -> Row:
    """Search two networks beside the hand-placed ones."""
    space = folder / "space.yaml"
    space.write_text(SPACE.format(backbone=row.name, side=row.side))
    hand_placed = 4 if row.filled else 3
    settings = (
        "search.sampler=random",
        "search.confirm_seeds=1",
        "proxy.unit=steps",
        f"proxy.rungs=[{_SEARCH_STEPS}]",
        f"proxy.batch_size={batch_size(row.side)}",
        f"proxy.learning_rate={_RATE}",
    )
    told = _nas(
        "search",
        *("search", str(space), "--weights", str(weights), "--trials", str(hand_placed + 2)),
        *("--workers", "1", "--seed", "0", "--validation", str(_VALIDATION)),
        *("--out", str(folder / "run")),
        *(part for setting in settings for part in ("--set", setting)),
        *options,
    )
    said = re.search(r"plain \S+: validation loss ([\d.]+|nan|inf), accuracy ([\d.]+)%", told)
    if said is None:
        raise Stopped("search", FAULT, "it does not say how good the given network is")
    loss, accuracy = float(said[1]), float(said[2]) / 100
    row = replace(row, said_loss=loss, said_accuracy=accuracy)
    if row.loss is not None and row.accuracy is not None:
        same = abs(loss - row.loss) <= _LOSS and abs(accuracy - row.accuracy) <= 0.001
        if not same:
            measured = f"loss {row.loss:.4f}, accuracy {row.accuracy:.1%}"
            raise Stopped("search", FAULT, f"{said[0]}; measured: {measured}")
    return row


def _export(row: Row, folder: Path) -> Row:
    """Export the last network with blocks that the search drew, and verify it."""
    state = open_run(folder / "run").read()
    rows = [state.trials.row(index) for index in range(len(state.trials))]
    row = replace(
        row,
        failed=tuple(_first_line(str(item["failure"])) for item in rows if item["state"] == FAILED),
    )
    have = [item for item in rows if item["state"] == COMPLETE and _blocks(item)]
    drawn = [item for item in have if item["reference"] is None] or have
    if not drawn:
        raise Stopped("search", FAULT, "no network with blocks is complete")
    trial = drawn[-1]
    pack = folder / "pack"
    row = replace(row, blocks=_blocks(trial), trial_accuracy=trial["accuracy"])
    _nas("export", "export", str(folder / "run"), str(trial["trial"]), "--out", str(pack))
    _command("verify", str(pack / "verify.py"), "--model")
    return _compare(row, state, trial["trial"], pack)


def _blocks(trial: dict[str, Any]) -> tuple[str, ...]:
    insertions = Architecture.from_json(trial["architecture"]).insertions
    return tuple(f"{item.label}@{item.site}" for item in insertions if item.block != "none")


def _compare(row: Row, state: RunState, trial: int, pack: Path) -> Row:
    """Compare the graph with the unfolded network as it was trained, on all validation images."""
    about = json.loads((pack / "preprocessing.json").read_text())
    split = state.images.open().validation
    images = normalised(split.images.numpy(), about)
    wanted = _scores(state.network(trial, folded=False), images)
    graph = load_onnx(pack / "network.onnx")
    scores = np.concatenate([graph(images[at : at + 64]) for at in range(0, len(images), 64)])
    accuracy = float((scores.argmax(axis=1) == split.labels.numpy()).mean())
    row = replace(row, graph=share(scores, wanted), pack_accuracy=accuracy)
    assert row.graph is not None and row.trial_accuracy is not None
    if not row.graph <= _SAME:
        raise Stopped("export", FAULT, f"the graph differs by {row.graph:.1e}, and nothing says so")
    # Where two scores are as good as equal, another arithmetic may choose the other.
    if abs(accuracy - row.trial_accuracy) > 1.5 / len(images):
        raise Stopped(
            "export", FAULT, f"accuracy {accuracy:.1%} in the pack, {row.trial_accuracy:.1%} before"
        )
    for what, value in (("blocks that start as identities", row.start), ("folding", row.fold)):
        if value is not None and not value <= _SAME:
            raise Stopped("blocks everywhere", FAULT, f"{what} move the scores by {value:.1e}")
    return row


def _nas(stage: str, *arguments: str) -> str:
    return _command(stage, "-m", "nas", *arguments)


def _command(stage: str, *arguments: str) -> str:
    """Run a command of this interpreter and return what it printed. Raises Stopped."""
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "1000", "NO_COLOR": "1"},
    )
    if done.returncode == 0:
        return done.stdout + done.stderr
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()] or [
        line.strip() for line in done.stdout.splitlines() if line.strip()
    ]
    reason = f"exit code {done.returncode}: {lines[-1] if lines else 'nothing said'}"
    if done.returncode == 2 and "Traceback" not in done.stderr:
        raise Stopped(stage, REFUSED, reason)
    raise Stopped(stage, FAULT, reason)


def _first_line(text: str) -> str:
    return next(iter(text.splitlines()), "")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("number", type=int)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    try:
        row = walk_through(arguments.name, arguments.number, arguments.folder)
    except NasError as error:
        reason = _first_line(str(error))
        row = Row(arguments.name, arguments.number, REFUSED, "before the search", reason)
    (arguments.folder / "row.json").write_text(json.dumps(asdict(row)))


if __name__ == "__main__":
    main()
