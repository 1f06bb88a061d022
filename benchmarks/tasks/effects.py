"""Does attention pay in segmentation, retrieval and detection, which, and where?

    python -m benchmarks.tasks.effects settle DATA --task TASK [--work DIR]
    python -m benchmarks.tasks.effects run DATA --task TASK [--work DIR]
        [--seeds 3] [--weights FILE] [--rate RATE]
    python -m benchmarks.tasks.effects report [DATA] [--task TASK]

TASK: segmentation, retrieval or detection. DATA: `folder:PATH` or `voc:PATH`, whose last folder
gives the rows their name. `clothes` is laid out by `benchmarks/tasks/mask_folders.py`, `faces` by
`identity_folders.py`, `cells` and `pedestrians` by `box_folders.py`; all bring their test part.
WORK: for trainings under way, and their weights. Rows are in
`benchmarks/tasks/effects-<task>-<data>.jsonl` (`-given` behind it where FILE brings the weights of
a classifier to start from, `-rate-RATE` where that is another than was chosen). What is killed goes
on from its checkpoint, of a minute ago at most, and repeats nothing; rows of another recipe or of
other images are refused.

The rules, which were committed before the first row:

- Networks: `NETWORKS`, each of mobilenetv2_035 with a block behind the depthwise convolution of
  each inverted residual that expands, as the paper of coordinate attention places them: 16 sites,
  the first 8 early, the others late. Blocks start as the identity. Reduction 8, for all that have
  one: at a width of .35 the paper's 24 and 32 leave SE and CBAM 2 to 14 channels, and coordinate
  attention its least of 8 at all sites but three.
- From given weights (ImageNet's): tf_efficientnet_lite0, of whose 15 sites the first 8 are early,
  for half the length at a fifth of the rate. (Until the first such row it was efficientnet_lite0,
  which pads otherwise than the network that the weights are of.) FILE may have names of its own:
  its tensors are taken by their order.
- Segmentation: `clothes`, 6 classes (`MERGED`; shoes, bags and what is small do not count),
  LR-ASPP, which is the mobile head, 96x64, output stride 16. Retrieval: `faces`, 56x48, total
  stride 16, so that the last maps are not 2x2. Both by `nas.training.full`: crops, mirrors, one
  cosine to zero, a fifth of it warm-up (a short one holds attention back), weight decay 4e-5,
  batches of 16 and 32. Detection: `cells` (three classes of blood cells) and `pedestrians`, FCOS,
  128x128, batches of 16.
- Rate: of a ladder, the one with which the plain network alone has the lowest validation loss, with
  seeds that are not compared (`settle`; its rows are beside the others): one, and two for faces,
  of which six persons validate. Where it is the last one at an end, the ladder gets a further one.
- Length: 25 epochs for `clothes`, 50 for `faces` and 30 for `cells`, at which rates are tried;
  twice as many where that lowers the validation loss of the plain network by 2 % or more, at the
  chosen rate and with the first of those seeds. Four times as many are more than there is time for
  here. `pedestrians` have the rate and the length of `cells`, and these keep 30: twice as many
  lowered the plain network's loss by 8 % at .04 and by 3 % at the chosen .16, but there was no time
  for it (said before the first row that compares).
- Order: all networks with seed 0, then with 1, then with 2; only seeds that all networks have are
  judged. A training ends at its length, whatever it shows. One that diverges is a row that says so,
  and its network is not judged, which counts as nothing shown. (So since before the first row of
  segmentation; until then one that diverges would have ended the run, and none had.)
- Pairs: equal seeds give the same first weights of backbone, head and blocks at a site, and the
  same images in the same order with the same crops.
- What decides: the test images, which each network sees once. The figure is mIoU at the images'
  own size, mean average precision (rank-1 has steps of a query), and COCO's AP. The loss stands
  beside, with a verdict of its own.
- Comparison: six networks with the plain one. A gain is the mean over seeds of its difference. Its
  variance is that over images (bootstrap, the same draws for all networks; of faces over persons,
  whose pictures are much alike) and that over trainings (what is left of networks and seeds in a
  two-way table, over the seeds). A t test of as many degrees of freedom as the latter has; Holm's
  correction over the six. Intervals are of 95 %, uncorrected.

Asked afterwards, when coordinate attention and CBAM had collapsed in retrieval with the first seeds
(vectors that are all alike, a test loss of the logarithm of 20): the same at the other rate that
the plain network had hardly lost by, .006 (`--rate`). It decides nothing that is said above.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.fidelity.trainings import append, rows_of
from benchmarks.shared.command import carry_out
from benchmarks.tasks.effect_settings import NETWORKS, SETTINGS, Images, Setting, networks
from benchmarks.tasks.effect_tests import Effect, effects_of, repeatability
from nas.base.clock import utc_now
from nas.base.errors import SpecError, TrainingError
from nas.base.machine import processor, results_depend_on
from nas.data import open_data
from nas.models.cost import cost
from nas.spec.architecture import PLAIN
from nas.spec.proxy import Backbone
from nas.spec.recipe import FullRecipe
from nas.spec.task import TASKS, Task, TaskName
from nas.study.full_training import FullTraining, unpack_losses, unpack_marks
from nas.study.marks import figures_of
from nas.training.checkpoint import save_weights
from nas.training.full import FullTrainingJob, train_fully, training_file
from nas.training.plain_backbone import given_network

__all__ = ["run", "settle"]

FOLDER = Path(__file__).parent
_UNCOMPARED = 100  # the first of the seeds that the rate is settled with
_CPU = torch.device("cpu")


def rows_file(task: str, data: str, kind: str = "", folder: Path = FOLDER) -> Path:
    """Return where the rows of a task on some data are."""
    return folder / f"effects-{task}-{data}{kind}.jsonl"


def settle(arguments: argparse.Namespace) -> None:
    """Train the plain network at each rate, and at the best for twice as long."""
    images = Images(arguments.data, arguments.task)
    setting = SETTINGS[images.task]
    path = rows_file(images.task, images.name, "-settling", arguments.rows)
    jobs = _Jobs(images, arguments.work)

    def settled(rate: float, times: int, seed: int) -> dict[str, Any]:
        recipe = setting.recipe(rate, times * setting.tried)
        job = jobs.job(PLAIN, seed, recipe, test=False)
        done = {(row["key"], row["seed"]): row for row in rows_of(path)}
        return done.get((job.about.key, seed)) or jobs.finish(PLAIN, job, path)

    seeds = range(_UNCOMPARED, _UNCOMPARED + setting.settling)
    tried = {rate: [settled(rate, 1, seed) for seed in seeds] for rate in setting.rates}
    best = min(tried, key=lambda rate: _mean_loss(tried[rate]))
    for row in [*chain(*tried.values()), settled(best, 2, _UNCOMPARED)]:
        print(_described(row))


def _mean_loss(rows: Sequence[Mapping[str, Any]]) -> float:
    return fmean(math.inf if row["loss"] is None else row["loss"] for row in rows)


def _described(row: Mapping[str, Any]) -> str:
    start = f"{row['network']}, seed {row['seed']}, {row['description']}: "
    if row["failure"] is not None:
        return start + str(row["failure"])
    parts = ("validation", "loss", "figures"), ("test", "test_loss", "test_figures")
    told = []
    for part, loss, figures in parts:
        if row[loss] is not None:
            shares = (f"{name} {value:.4f}" for name, value in row[figures].items())
            told.append(f"{part} loss {row[loss]:.4f}, {', '.join(shares)}")
    return start + "; ".join(told)


def run(arguments: argparse.Namespace) -> None:
    """Train every network with every seed."""
    images = Images(arguments.data, arguments.task)
    given = arguments.weights is not None
    setting = _setting(images.task, given=given)
    if setting.learning_rate is None or setting.epochs is None:
        raise SpecError(f"rate and length of {images.task} are not chosen; settle them first")
    kind = f"{'-given' * given}{'' if arguments.rate is None else f'-rate-{arguments.rate:g}'}"
    path = rows_file(images.task, images.name, kind, arguments.rows)
    jobs = _Jobs(images, arguments.work, arguments.weights)
    recipe = setting.recipe(arguments.rate or setting.learning_rate, setting.epochs)
    for name, seed in _missing(path, arguments.seeds):
        job = jobs.job(name, seed, recipe, test=True)
        others = {row["key"] for row in rows_of(path)} - {job.about.key}
        if others:
            raise SpecError(f"{path}: it has rows of another recipe, or other images; move it away")
        jobs.finish(name, job, path)


def _setting(task: TaskName, *, given: bool) -> Setting:
    return SETTINGS[task].from_weights() if given else SETTINGS[task]


def _missing(path: Path, seeds: int) -> Iterator[tuple[str, int]]:
    for seed in range(seeds):
        for name in NETWORKS:
            if (name, seed) not in {(row["network"], row["seed"]) for row in rows_of(path)}:
                yield name, seed


class _Jobs:
    """The trainings on some images, whose state is in a folder. weights: of a classifier."""

    def __init__(self, images: Images, work: Path, weights: Path | None = None) -> None:
        torch.set_num_threads(1)
        self._images = images
        self._setting = _setting(images.task, given=weights is not None)
        self._data = images.decoded()
        data = open_data(self._data)
        self._task = Task.of(images.task, len(data.classes), self._setting.head)
        self._networks = networks(self._setting)
        self._work = work / f"{images.task}-{images.name}"
        self._backbone = None if weights is None else self._kept(weights)

    def _kept(self, weights: Path) -> Path:
        """Write the plain network that starts from given weights where trainings find it."""
        plain = self._networks[PLAIN]
        network, _ = given_network(plain, Backbone(weights=str(weights), match="order"), self._task)
        path = self._work / "given.safetensors"
        save_weights(path, network.state_dict())
        return path

    def job(self, name: str, seed: int, recipe: FullRecipe, *, test: bool) -> FullTrainingJob:
        architecture = self._networks[name]
        about = FullTraining(
            trial=0,
            digest=architecture.digest,
            reference=None,
            seed=seed,
            key=recipe.key(self._data.name),
            recipe=asdict(recipe),
            description=str(recipe),
            resolution=architecture.resolution,
        )
        return FullTrainingJob(
            about,
            architecture.to_json(),
            self._images.source,
            self._data,
            self._work,
            run_seed=0,
            task=self._task,
            test=test,
            backbone=self._backbone,
            reading=self._images.reading,
        )

    def finish(self, name: str, job: FullTrainingJob, path: Path) -> dict[str, Any]:
        """Train to the end, from where an earlier process left it, and add the row."""
        begun = time.process_time()
        try:
            found = train_fully(job, device=_CPU)
        except TrainingError as error:
            found = replace(job.about, failure=str(error), diverged=True)
        row = {
            "network": name,
            "classes": self._task.outputs,
            "asking": self._images.asking() if self._task.name == "retrieval" else None,
            # Of the process that ended it.
            "cpu_seconds": round(time.process_time() - begun, 1),
            "machine": processor(),
            "versions": results_depend_on(),
            **replace(found, finished=utc_now()).to_dict(),
        }
        append(path, row)
        (self._work / training_file(job.about)).unlink(missing_ok=True)
        print(f"{_described(row)}; {row['cpu_seconds']:.0f} CPU s", flush=True)
        return row


def report(arguments: argparse.Namespace) -> None:
    """Print a table of each task and data that there are rows of."""
    for task in TASKS if arguments.task is None else [arguments.task]:
        data = "*" if arguments.data is None else Images(arguments.data, task).name
        for path in sorted(arguments.rows.glob(rows_file(task, data).name)):
            if not path.stem.endswith("-settling"):
                _print_effects(task, path)


def _print_effects(task: TaskName, path: Path) -> None:
    rows = rows_of(path)
    by_seed: dict[int, dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_seed.setdefault(row["seed"], {})[row["network"]] = row
    whole = [found for _, found in sorted(by_seed.items()) if len(found) == len(NETWORKS)]
    print(f"\n**{path.stem}**: {len(rows)} trainings, {len(whole)} whole seeds\n")
    if not whole:
        return
    first = whole[0][PLAIN]
    setting = _setting(task, given=first["recipe"]["weights"] == "backbone")
    judged = [name for name in NETWORKS if all(found[name]["loss"] is not None for found in whole)]
    marks = {name: [_marks(task, found[name]) for found in whole] for name in judged}
    losses = {name: [_losses(found[name]) for found in whole] for name in judged}
    compared = len(NETWORKS) - 1
    figure = effects_of(marks, lambda some: 100 * figures_of(task, some)[setting.figure], compared)
    loss = effects_of(losses, lambda some: -float(some.mean()), compared)
    titles = {item.name: item.title for item in TASKS[task].figures}
    print(
        f"| network | params, M | multiply-adds, M | test {titles[setting.figure]} by seed, % "
        "| mean | gain, points | p (Holm) | verdict | test loss | gain | p (Holm) | verdict |"
    )
    print("| --- |" + " --- |" * 11)
    for name, architecture in networks(setting).items():
        counted = cost(architecture, task=Task.of(task, first["classes"], setting.head))
        costs = [name, f"{counted.params / 1e6:.3f}", f"{counted.macs / 1e6:.1f}"]
        if name in judged:
            shown = [100 * found[name]["test_figures"][setting.figure] for found in whole]
            lost = fmean(found[name]["test_loss"] for found in whole)
            seeds = ", ".join(f"{value:.1f}" for value in shown)
            means = [seeds, f"{fmean(shown):.2f}", *_cells(figure.get(name), 2)]
            cells = [*costs, *means, f"{lost:.4f}", *_cells(loss.get(name), 4)]
        else:
            cells = [*costs, "diverged", *[""] * 8]
        print(f"| {' | '.join(cells)} |")
    _print_repeatability(task, judged, whole)
    finished = sorted(row["finished"] for row in rows)
    machines = ", ".join(sorted({row["machine"] for row in rows}))
    versions = ", ".join(f"{name} {number}" for name, number in first["versions"].items())
    seconds = sum(row["cpu_seconds"] for row in rows) / 60
    print(f"\n{first['description']}; {finished[0][:10]} to {finished[-1][:10]}, ", end="")
    print(f"{seconds:.0f} CPU minutes, {machines}; {versions}")


def _print_repeatability(
    task: TaskName, judged: Sequence[str], whole: Sequence[Mapping[str, Mapping[str, Any]]]
) -> None:
    """Say which of loss and figures orders networks as another training would."""
    if min(len(judged), len(whole)) < 2:
        return
    told = []
    for part in ("", "test_"):
        values = {"loss": [[found[name][f"{part}loss"] for found in whole] for name in judged]}
        for item in TASKS[task].figures:
            values[item.title] = [
                [found[name][f"{part}figures"].get(item.name, np.nan) for found in whole]
                for name in judged
            ]
        # Some images say nothing of a figure, such as AP of large objects without any.
        said = {name: each for name, each in values.items() if np.ptp(each) > 0}
        shares = (
            f"{name} {share:.2f} [{low:.2f}, {high:.2f}]"
            for name, (share, low, high) in (
                (name, repeatability(np.array(each))) for name, each in said.items()
            )
        )
        told.append(f"{'test' if part else 'validation'}: {', '.join(shares)}")
    print(f"\nOne training orders networks as another would, by {'; '.join(told)}")


def _cells(effect: Effect | None, digits: int) -> tuple[str, str, str]:
    if effect is None:
        return "", "", ""
    half = effect.error * effect.reach
    gain = f"{effect.gain:+.{digits}f}"
    if not np.isfinite(half):
        return gain, "", "one seed: none"
    return f"{gain} ± {half:.{digits}f}", f"{effect.corrected:.3f}", effect.verdict


def _marks(task: TaskName, row: Mapping[str, Any]) -> NDArray[Any]:
    return _together(unpack_marks(task, row["test_marks"]), row["asking"])


def _losses(row: Mapping[str, Any]) -> NDArray[Any]:
    return _together(unpack_losses(row["test_losses"]), row["asking"])


def _together(values: NDArray[Any], asking: Sequence[int] | None) -> NDArray[Any]:
    """Return the mean over the images of each person, who all have as many; else the images'."""
    if asking is None:
        return values
    assert len(set(asking)) == 1
    means: NDArray[Any] = values.reshape(len(asking), asking[0], *values.shape[1:]).mean(axis=1)
    return means


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for command in (settle, run, report):
        one = commands.add_parser(command.__name__, help=command.__doc__)
        printing = command is report
        one.add_argument("data", nargs="?" if printing else None)
        one.add_argument("--task", choices=tuple(SETTINGS), required=not printing)
        one.add_argument("--rows", type=Path, default=FOLDER, help="folder of the rows")
        if not printing:
            work = Path(tempfile.gettempdir()) / "nas-effects"
            one.add_argument("--work", type=Path, default=work)
        if command is run:
            one.add_argument("--seeds", type=int, default=3)
            one.add_argument("--weights", type=Path)
            one.add_argument("--rate", type=float)
        one.set_defaults(run=command)
    carry_out(parser)


if __name__ == "__main__":
    main()
