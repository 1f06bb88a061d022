"""A full training of one network on digits, as short as it can be."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from nas.data import cached_data
from nas.models.build import uniform
from nas.spec.recipe import FullRecipe
from nas.spec.task import Task
from nas.study.full_training import FullTraining
from nas.training.full import FullTrainingJob

__all__ = ["SE", "TASK", "digit_images", "make_job"]

TASK = Task(outputs=10)
SE = uniform("mobilenetv2_035", "se", resolution=16, total_stride=8, reduction=24)


def digit_images() -> Path:
    """Return the folder of the decoded images."""
    return cached_data("digits", 16, validation=0.05, seed=0)


def make_job(
    recipe: FullRecipe, images: Path, folder: Path, backbone: Path | None = None
) -> FullTrainingJob:
    about = FullTraining(
        trial=3,
        digest=SE.digest,
        reference=None,
        seed=1,
        key=recipe.key(images.name),
        recipe=asdict(recipe),
        description=str(recipe),
        resolution=16,
    )
    return FullTrainingJob(
        about,
        SE.to_json(),
        "digits",
        images,
        folder,
        run_seed=0,
        task=TASK,
        test=True,
        backbone=backbone,
    )
