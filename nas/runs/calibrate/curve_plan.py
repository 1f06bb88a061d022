"""The trainings of curves: hand-placed networks and halves, from scratch, at doubled budgets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nas.base.errors import SpecError
from nas.base.seeds import derive
from nas.data import Dataset
from nas.models.candidates import Candidates
from nas.runs.reading import reading_of
from nas.spec.architecture import PLAIN, Architecture
from nas.spec.proxy import Proxy
from nas.spec.recipe import FullRecipe
from nas.spec.runner import Runner
from nas.spec.space import SearchSpace
from nas.spec.task import Task
from nas.study.full_training import FullTraining
from nas.training.full import FullTrainingJob
from nas.training.recipe import steps_in
from nas.training.schedule import scale_rate

__all__ = ["CurvePlan", "curve_recipe", "images_seen", "placed_and_halves"]

_RATE = 0.1  # of the proxy `scratch`, for a batch of 128
_LEAST_EPOCHS, _MOST_DOUBLINGS = 1.0, 6


@dataclass(frozen=True, slots=True)
class CurvePlan:
    """The networks of the curves, and how often and how long each is trained.

    networks: by name, the plain one among them.
    budgets: in epochs, each twice the one before; all of them end with a rate of zero.
    seeds: of each network but the plain one.
    plain_seeds: of the plain network, whose noise every gain has.
    """

    networks: Mapping[str, Architecture]
    budgets: tuple[float, ...]
    seeds: int
    plain_seeds: int

    @classmethod
    def of(
        cls,
        space: SearchSpace,
        budget: float,
        doublings: int,
        seeds: int,
        task: Task | None = None,
    ) -> CurvePlan:
        """Plan the curves of a space. Raises SpecError for what cannot give any.

        task: as of `Candidates`.
        """
        if not _LEAST_EPOCHS <= budget < math.inf:
            raise SpecError(
                f"--budget {budget:g} epochs: under one epoch a network has not seen every image; "
                f"allowed: {_LEAST_EPOCHS:g} or more"
            )
        if not 1 <= doublings <= _MOST_DOUBLINGS:
            raise SpecError(
                f"--doublings {doublings}: a curve needs two budgets, and few can pay more than "
                f"seven; allowed: 1 to {_MOST_DOUBLINGS}"
            )
        if seeds < 1:
            raise SpecError(
                f"--seeds {seeds}: each network is trained at least once; allowed: 1 up"
            )
        networks = placed_and_halves(space, task)
        return cls(
            networks,
            tuple(budget * 2**number for number in range(doublings + 1)),
            seeds,
            # At least two, or nothing would be known of the noise.
            max(2, seeds, math.ceil(math.sqrt(len(networks) - 1))),
        )

    def __len__(self) -> int:
        """Count the trainings."""
        per_budget = (len(self.networks) - 1) * self.seeds + self.plain_seeds
        return per_budget * len(self.budgets)

    @property
    def epochs(self) -> float:
        """The epochs of all trainings together."""
        return sum(self.budgets) / len(self.budgets) * len(self)

    def jobs(
        self, runner: Runner, source: str, data: Path, folder: Path, images: int, task: Task
    ) -> list[tuple[str, FullTrainingJob]]:
        """Return every training with the name of its network.

        The short ones come first, and the first seed of all networks before the second: what is
        cut short has told most.
        data: folder of the decoded images, `images` of them for training.
        folder: for what trainings keep on the way.
        """
        named = []
        for repeat in range(max(self.seeds, self.plain_seeds)):
            for epochs in self.budgets:
                recipe = curve_recipe(runner.proxy, epochs, images)
                for name, architecture in self.networks.items():
                    if repeat < (self.plain_seeds if name == PLAIN else self.seeds):
                        about = _about(name, architecture, recipe, repeat, data, runner.proxy)
                        job = FullTrainingJob(
                            about=about,
                            architecture=architecture.to_json(),
                            source=source,
                            data=data.resolve(),
                            folder=folder.resolve(),
                            # Every training has a seed of its own: one for all would make the
                            # errors of networks with equal blocks alike.
                            run_seed=derive(runner.search.seed, "curve", about.digest, about.key),
                            task=task,
                            reading=reading_of(runner),
                            test=False,
                            looks=1,  # ten cost a third more, where trainings are short
                        )
                        named.append((name, job))
        return named


def placed_and_halves(space: SearchSpace, task: Task | None = None) -> dict[str, Architecture]:
    """Return the hand-placed networks, and of each the halves: `coord/r32 early`, `coord/r32 late`.

    Early is the half of the sites nearest to the image, the smaller one where their number is odd.
    Raises SpecError for a space of several backbones or resolutions.
    """
    candidates = Candidates(space, task)
    plains = candidates.plains()
    if len(plains) > 1:
        raise SpecError(
            f"space {space.name!r} has {len(plains)} plain networks; curves are of one: leave one "
            "backbone and one resolution in it"
        )
    order = {site.name: number for number, site in enumerate(plains[0][1])}
    networks: dict[str, Architecture] = {}
    for name, architecture in candidates.references().items():
        networks[name] = architecture
        placed = sorted(architecture.blocks, key=lambda one: order.get(one.site, -1))
        middle = len(placed) // 2
        if middle:
            networks[f"{name} early"] = replace(architecture, insertions=tuple(placed[:middle]))
            networks[f"{name} late"] = replace(architecture, insertions=tuple(placed[middle:]))
    if len(networks) < 2:
        raise SpecError(f"space {space.name!r} holds the plain network alone; add a block to it")
    return networks


def curve_recipe(proxy: Proxy, epochs: float, images: int) -> FullRecipe:
    """Return the training of the proxy `scratch` with one rung of so many epochs.

    images: for training.
    """
    batch = min(proxy.batch_size, images)
    # As a search settles what its runner leaves open; a warm-up in another unit is left open, too.
    warm_up = proxy.warm_up if proxy.unit == "epochs" else None
    alone = {"kind": "scratch", "rungs": [epochs], "unit": "epochs", "schedule": "whole"}
    settled = proxy.model_copy(update=alone | {"warm_up": warm_up}).settled(images)
    assert settled.warm_up is not None
    return FullRecipe(
        epochs=epochs,
        batch_size=batch,
        learning_rate=proxy.learning_rate or scale_rate(_RATE, proxy.batch_size),
        schedule="cosine",
        warm_up=min(settled.warm_up, epochs),
        momentum=0.9,
        weight_decay=4e-5,
        label_smoothing=0.0,
        mixup=0.0,
        cutmix=0.0,
        rand_augment=0,
        ema=None,
        weights="random",
        start=settled.start,
        precision=proxy.computed_in,
    )


def images_seen(recipe: FullRecipe, data: Dataset) -> int:
    """Return how many images a training sees, in full batches."""
    return steps_in(recipe.epochs, len(data.train), recipe.batch_size) * recipe.batch_size


def _about(
    name: str,
    architecture: Architecture,
    recipe: FullRecipe,
    repeat: int,
    data: Path,
    proxy: Proxy,
) -> FullTraining:
    values: dict[str, Any] = asdict(recipe)
    return FullTraining(
        trial=0,
        digest=architecture.digest,
        reference=name,
        seed=repeat,
        key=recipe.key(data.name),
        recipe=values,
        description=str(recipe),
        resolution=proxy.resolution or architecture.resolution,
        threads=proxy.threads,
    )
