"""A search for each task on real images, with full trainings at its end.

    python -m benchmarks.tasks.searches run DATA --task TASK --out DIR
    python -m benchmarks.tasks.searches beside NAME --task TASK

TASK: segmentation, retrieval or detection. DATA: as of `benchmarks.tasks.effects`, of `clothes`,
`faces` or `cells`. DIR: the run's folder; what is interrupted goes on when the same command is
given again. `nas front DIR` shows the result. Studies are kept in `benchmarks/tasks/searches-of/`,
without weights; one that is not whole goes on from there, with the folder of its images behind
`data:` in its run.yaml. `beside` holds full trainings of such a study against those of
`benchmarks/tasks/effects-TASK-NAME.jsonl`, which have other seeds: the plain network and ECA
everywhere, which both have with equal options. It prints the test figures of all, their difference
with its 95 % interval (Welch), and what the choice of validation images does to it in the study.

The rules, which were committed before the first search:

- Backbone, image size, head, strides, batch, rate, length and images are those of
  `benchmarks/tasks/effects.py`, chosen on the plain network alone.
- Space: SE, CBAM, coordinate attention (reduction 8 or 24) and ECA behind the depthwise convolution
  of each of the 16 inverted residuals that expand, each by itself.
- Search: the usual one (belief, gain against latency by thread time of ONNX Runtime, three seeds
  for the front and the networks placed by hand), from random weights, for a fifth of the length of
  full training: 30 networks besides the five placed by hand for segmentation, 12 for the others.
- Full trainings: 36 of retrieval and 24 of the others, which the search hands out itself (plain
  network, networks placed by hand, its own, and the plain network widened to their latency), as
  long as in `effects`. One seed of everything, 0; the test images are read once, at the end.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from scipy.stats import ttest_ind

from benchmarks.fidelity.trainings import rows_of
from benchmarks.shared.command import carry_out
from benchmarks.tasks.effect_settings import MERGED, SETTINGS, Images
from nas.base.errors import SpecError
from nas.execution.observer import SilentObserver
from nas.runs.resume import resume
from nas.runs.run import open_run
from nas.runs.start import search
from nas.spec.architecture import PLAIN
from nas.spec.runner import Runner
from nas.spec.space import SearchSpace
from nas.spec.task import TASKS, TaskName

__all__ = ["PLANS", "Plan", "runner_of", "space_of"]

EFFECTS = Path(__file__).parent
STUDIES = EFFECTS / "searches-of"

_SHARE = 5
"""The full training is so many times as long as one of the search."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many networks are searched, with those placed by hand, and how often some are trained."""

    trials: int
    full_trainings: int


PLANS: Mapping[TaskName, Plan] = {
    "segmentation": Plan(trials=35, full_trainings=24),
    "retrieval": Plan(trials=17, full_trainings=36),
    "detection": Plan(trials=17, full_trainings=24),
}


def space_of(task: TaskName) -> SearchSpace:
    """Return the space of a task."""
    setting = SETTINGS[task]
    reduction = {"reduction": [8, 24]}
    return SearchSpace.model_validate(
        {
            "name": f"{task}-effects",
            "backbones": ["mobilenetv2_035"],
            "resolutions": [setting.resolution],
            "total_stride": setting.total_stride,
            "output_stride": setting.output_stride,
            "sites": {"position": "after_depthwise", "exclude": ["blocks.0.*"]},
            "blocks": {"se": reduction, "cbam": reduction, "coord": reduction, "eca": {}},
        }
    )


def runner_of(images: Images) -> Runner:
    """Return how the search of some images goes."""
    setting, plan = SETTINGS[images.task], PLANS[images.task]
    if setting.learning_rate is None or setting.epochs is None:
        raise SpecError(f"rate and length of {images.task} are not chosen; see effects settle")
    recipe = setting.recipe(setting.learning_rate, setting.epochs)
    training: dict[str, Any] = {
        "batch_size": setting.batch_size,
        "learning_rate": setting.learning_rate,
    }
    return Runner.model_validate(
        {
            "task": images.task,
            "head": setting.head,
            "classes": {name: list(parts) for name, parts in MERGED.get(images.name, ())},
            "workers": 1,
            "search": {"trials": plan.trials, "full_trainings": plan.full_trainings},
            "proxy": training | {"rungs": [setting.epochs / _SHARE]},
            "retrain": training
            | {"epochs": setting.epochs, "warm_up": recipe.warm_up, "schedule": "cosine"},
        }
    )


def _beside(arguments: argparse.Namespace) -> None:
    task: TaskName = arguments.task
    figure = next(item.name for item in TASKS[task].figures)
    state = open_run(STUDIES / f"{task}-{arguments.name}").read()
    trainings = [item for item in state.trials.full_trainings() if item.complete]
    rows = rows_of(EFFECTS / f"effects-{task}-{arguments.name}.jsonl")
    values: dict[str, list[float]] = {}
    for name, reference in (("plain", PLAIN), ("eca everywhere", "eca")):
        searched = [100 * item.test_accuracy for item in trainings
                if item.reference == reference and item.test_accuracy is not None]  # fmt: skip
        more = [100 * row["test_figures"][figure] for row in rows if row["network"] == name]
        values[name] = [*searched, *more]
        print(f"{name}: search {_listed(searched)}; effects {_listed(more)}")
    plain, eca = values.values()
    test = ttest_ind(eca, plain, equal_var=False)
    low, high = test.confidence_interval(0.95)
    gap = fmean(eca) - fmean(plain)
    print(f"eca everywhere - plain: {gap:+.2f} [{low:+.2f}, {high:+.2f}], p {test.pvalue:.2f}")
    noises = 100 * state.front().measured.columns["accuracy_image_noise"]
    noises = noises[np.isfinite(noises)]
    print(f"by the choice of validation images: {noises.min():.2f} to {noises.max():.2f} points")


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values) or "none"


class _Lines(SilentObserver):
    """What happens, line by line."""

    def stage(self, text: str) -> None:
        """Print what is done now."""
        print(text, flush=True)


def _run(arguments: argparse.Namespace) -> None:
    images = Images(arguments.data, arguments.task)
    if (arguments.out / "run.yaml").exists():
        resume(arguments.out, observer=_Lines())
    else:
        space = space_of(images.task)
        search(space, runner_of(images), images.source, arguments.out, observer=_Lines())


def main() -> None:
    """Carry out what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(required=True)
    start = commands.add_parser("run")
    start.add_argument("data")
    start.add_argument("--task", required=True, choices=sorted(PLANS))
    start.add_argument("--out", required=True, type=Path)
    start.set_defaults(run=_run)
    compare = commands.add_parser("beside")
    compare.add_argument("name")
    compare.add_argument("--task", required=True, choices=sorted(PLANS))
    compare.set_defaults(run=_beside)
    carry_out(parser)


if __name__ == "__main__":
    main()
