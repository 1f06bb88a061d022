"""Weights & Biases: with the key of `wandb login`, or with WANDB_MODE=offline into the run folder
(`wandb sync RUN/wandb/offline-run-*` sends it later). WANDB_PROJECT names the project.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import wandb

from nas.base.errors import SpecError, first_line
from nas.runs.run import Run

__all__ = ["WeightsAndBiases", "open"]

_PROJECT = "attention-nas"
_AWAY = {"offline", "disabled", "dryrun"}


class WeightsAndBiases:
    """A sink in Weights & Biases.

    Its own steps only rise, and trials overtake each other: figures go by `trial` instead.
    """

    def __init__(self, run: wandb.Run) -> None:
        self._run = run
        run.define_metric("trial")
        run.define_metric("*", step_metric="trial")

    def figures(self, values: Mapping[str, float], trial: int) -> None:
        self._run.log({**values, "trial": trial})

    def text(self, name: str, text: str, trial: int) -> None:
        self._run.summary[f"{name}/{trial}"] = text

    def picture(self, path: Path) -> None:
        self._run.log({path.stem: wandb.Image(str(path))})

    def close(self, *, finished: bool) -> None:
        self._run.finish(exit_code=0 if finished else 1)


def open(run: Run) -> WeightsAndBiases:
    """Open a run in Weights & Biases, or go on with it.

    Raises SpecError without a key, since asking for one would stop the search.
    """
    away = os.environ.get("WANDB_MODE", "online") in _AWAY
    if not away and not (os.environ.get("WANDB_API_KEY") or wandb.api.api_key):
        raise SpecError(
            "logger wandb: there is no key; run `wandb login` first, or set WANDB_MODE=offline"
        )
    # Where a run stands and when it began: a folder's name may be used again.
    mark = f"{run.path.resolve()} {run.environment()['started']}"
    try:
        opened = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            name=run.path.name,
            id=hashlib.sha256(mark.encode()).hexdigest()[:12],
            resume=None if away else "allow",
            dir=str(run.path),
            config={"space": run.space.name, **run.file.model_dump(mode="json")},
            settings=wandb.Settings(silent=True, console="off"),
        )
    except wandb.errors.Error as error:
        raise SpecError(f"logger wandb: {first_line(error)}") from None
    return WeightsAndBiases(opened)
