"""A folder of supernets: one for each backbone and resolution of a space."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator

from nas.base.errors import SpecError, StorageError
from nas.base.files import parse, write_whole
from nas.data import Dataset
from nas.models.candidates import Candidates
from nas.spec.architecture import Architecture
from nas.spec.runner import Proxy
from nas.spec.space import SearchSpace
from nas.spec.task import Task, TaskName
from nas.training.checkpoint import checkpoint_path, load_weights
from nas.training.schedule import Schedule
from nas.training.supernet.supernet import Paths, Supernet
from nas.training.supernet.train import load_supernet, train_supernet

__all__ = ["SupernetFile", "SupernetFolder"]

_FILE = "supernet.json"


class SupernetFile(BaseModel):
    """The file supernet.json: all that decides the weights.

    key: of the decoded images; it changes when they do.
    classes, task, head: what its networks are for.
    frozen: see Supernet.
    plain, sandwich: see Paths.
    proxy: its last rung is the length of the training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    version: Literal[1] = 1
    space: SearchSpace
    data: str
    key: str
    classes: Annotated[int, Field(ge=1)]
    task: TaskName = "classification"
    head: str = "classifier"
    validation: float | str
    seed: int
    frozen: bool = True
    plain: float = 0.0
    sandwich: int = 0
    proxy: Proxy

    @model_validator(mode="after")
    def _paths(self) -> SupernetFile:
        self.paths.check(frozen=self.frozen)
        return self

    @property
    def purpose(self) -> Task:
        """The task that its networks are for."""
        return Task.of(self.task, self.classes, self.head)

    @property
    def in_full(self) -> SupernetFile:
        """The same with its precision, which files of earlier versions do not say."""
        proxy = self.proxy.model_copy(update={"precision": self.proxy.computed_in})
        return self.model_copy(update={"proxy": proxy})

    @property
    def paths(self) -> Paths:
        """The paths that a step of the training takes."""
        return Paths(self.plain, self.sandwich)


@dataclass(frozen=True)
class SupernetFolder:
    """A folder of supernets.

    It holds supernet.json, and under checkpoints/<digest of a plain network>/ the files
    backbone.safetensors and supernet.safetensors of that network.
    """

    path: Path
    file: SupernetFile
    candidates: Candidates

    @classmethod
    def prepare(
        cls,
        path: Path,
        file: SupernetFile,
        candidates: Candidates,
        names: Collection[str] = (),
    ) -> SupernetFolder:
        """Make a folder, or take up one that is there.

        names: what the images were called by the rules of before.
        Raises SpecError when it is of something else.
        Raises StorageError when it cannot be made.
        """
        if (path / _FILE).exists():
            there = _read(path)
            if there.key in names:
                file = file.model_copy(update={"key": there.key})
            if there.key == file.key:  # the same images, wherever they lie
                place = {"data": there.data, "validation": there.validation}
                file = file.model_copy(update=place)
            if there.in_full != file.in_full:
                what = _difference(there.model_dump(), file.model_dump())
                raise SpecError(f"{path} holds supernets of {what}; name another --out")
        else:
            if path.exists() and (not path.is_dir() or any(path.iterdir())):
                raise SpecError(f"{path} exists and holds no supernet; name a new folder for --out")
            try:
                path.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StorageError(f"{path} cannot be made ({error.strerror})") from None
            with write_whole(path / _FILE) as temporary:
                temporary.write_text(json.dumps(file.model_dump(mode="json"), indent=1))
        return cls(path, file, candidates)

    @classmethod
    def open(cls, path: str | Path) -> SupernetFolder:
        """Open a folder for scoring. Raises SpecError when it holds no supernet."""
        file = _read(Path(path))
        return cls(Path(path), file, Candidates(file.space, file.purpose))

    def backbone(self, plain: Architecture) -> Path:
        """Return the file of a trained plain network's weights; `prepare_backbone` writes it."""
        return checkpoint_path(self.path / "checkpoints", plain.digest)

    def weights(self, plain: Architecture) -> Path:
        """Return the file of the weights of a plain network's supernet."""
        return self.backbone(plain).with_name("supernet.safetensors")

    def train(
        self,
        plain: Architecture,
        data: Dataset,
        *,
        device: torch.device,
        progress: Callable[[int, int], None] | None = None,
    ) -> Supernet:
        """Train the supernet of a plain network, or go on with it, or read it when it is done.

        progress: called with (step, steps).
        Raises SpecError, StorageError when its files cannot be used.
        Raises TrainingError when the training diverges.
        """
        file = self.file
        if file.proxy.subset is not None:
            data = data.subset(file.proxy.subset, seed=0)
        task = file.purpose
        schedule = Schedule(file.proxy, len(data.train))
        supernet = self._untrained(plain)
        train_supernet(
            supernet,
            data,
            task,
            # Blocks that train in turns want smaller steps than a probe's: at 0.003, on 160,000
            # images of CIFAR-10, 44 paths lost 0.002 to the plain network on average, where
            # probes saved 0.005; at 0.001, on 60,000, 32 of them saved 0.002. That served the
            # backbone, too, where it was trained (benchmarks/training/proxy_study.py).
            schedule.recipe(0.001, optimiser="adamw"),
            seed=file.seed,
            device=device,
            paths=file.paths,
            keep=self.weights(plain),
            progress=progress,
            precision=file.proxy.computed_in,
        )
        return supernet

    def supernet(self, plain: Architecture) -> Supernet:
        """Read the supernet of a plain network as far as it is trained.

        Raises StorageError when its weights cannot be read.
        """
        supernet = self._untrained(plain)
        load_supernet(supernet, self.weights(plain))
        return supernet

    def _untrained(self, plain: Architecture) -> Supernet:
        return Supernet(
            self.candidates,
            plain,
            task=self.file.purpose,
            weights=load_weights(self.backbone(plain)),
            seed=self.file.seed,
            frozen=self.file.frozen,
        )


def _read(path: Path) -> SupernetFile:
    file = path / _FILE
    if not file.is_file():
        raise SpecError(
            f"{path} holds no supernet; train one with: nas supernet SPACE --out {path}"
        )
    try:
        return parse(SupernetFile, json.loads(file.read_text(encoding="utf-8")), str(file))
    except (OSError, ValueError) as error:
        raise StorageError(f"{file} cannot be read ({error})") from None


def _difference(there: Mapping[str, Any], wanted: Mapping[str, Any], above: str = "") -> str:
    """Name the first setting that differs, readably."""
    name = next(name for name in wanted if there[name] != wanted[name])
    if name == "space":
        return f"another space, {there[name]['name']!r}"
    if name == "key":
        return "other images, or of another size"
    if isinstance(wanted[name], dict):
        return _difference(there[name], wanted[name], f"{above}{name}.")
    return f"{above}{name} {there[name]!r}, and {wanted[name]!r} is asked for"
