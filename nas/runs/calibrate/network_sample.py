"""The sample of a calibration: the same random networks as two runs, by the proxy and fully."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nas.base.errors import SpecError
from nas.base.files import parse, refuse_below_file
from nas.execution.observer import Observer
from nas.models.candidates import Candidates
from nas.runs.check_network import CLASSES
from nas.runs.given_weights import settle_weights
from nas.runs.images import decode_images
from nas.runs.lock import run_lock
from nas.runs.reading import settle_task
from nas.runs.resume import resume, write_plan
from nas.runs.run import Run, open_run
from nas.runs.run_file import RunFile
from nas.runs.start import search
from nas.spec.runner import Runner
from nas.spec.space import SearchSpace
from nas.spec.task import Task
from nas.study.curve_rows import CURVES
from nas.training.schedule import scale_rate

__all__ = ["FULL", "LEAST_NETWORKS", "PROXY", "Sample", "refuse_taken"]

FULL, PROXY = "full", "proxy"
"""The folders of the two runs."""
LEAST_NETWORKS = 8
"""The number of networks below which nothing can be said of ranks."""

_EPOCHS = {"random": 40.0, "backbone": 3.0}
_KINDS = {"random": "scratch", "backbone": "finetune"}
_RATE = 0.1  # of full training, for a batch of 128; a finetune is given less


@dataclass(frozen=True, slots=True)
class Sample:
    """The networks that a calibration trains, and how they are trained fully.

    networks: how many.
    seeds: how often each is trained, by the proxy and fully.
    full_epochs: of full training; None: what suits its weights.
    full_weights: what full training starts from.
    """

    networks: int
    seeds: int
    full_epochs: float | None
    full_weights: Literal["random", "backbone"]

    @classmethod
    def of(
        cls,
        runner: Runner,
        networks: int,
        seeds: int,
        full_epochs: float | None,
        full_weights: Literal["random", "backbone"] | None,
    ) -> Sample:
        """Return that of a runner; full training starts from the weights that are given, if any.

        Raises SpecError where random ones are asked for instead.
        """
        given = runner.proxy.backbone.weights
        if given == "train":
            return cls(networks, seeds, full_epochs, full_weights or "random")
        if full_weights == "random":
            raise SpecError(
                f"--full-weights random beside weights {given}: the search would start from these, "
                "and so must full training; leave it out"
            )
        return cls(networks, seeds, full_epochs, "backbone")

    def check(self, space: SearchSpace, task: Task, out: Path) -> None:
        """Raise SpecError for too few networks or seeds, or a folder with anything else in it."""
        placed = len(Candidates(space, task).references())
        least = max(LEAST_NETWORKS, placed)
        if self.networks < least:
            raise SpecError(
                f"--networks {self.networks}: at least {least} are needed ({placed} are placed by "
                "hand), and 30 tell more"
            )
        if self.seeds < 2:
            raise SpecError(
                f"--seeds {self.seeds}: at least 2, or the noise between seeds stays unknown"
            )
        refuse_taken(out)

    def train(
        self, space: SearchSpace, runner: Runner, data: str, out: Path, observer: Observer | None
    ) -> tuple[Run, Run]:
        """Train it fully and by the runner's proxy; what is there already goes on.

        Returns the run of full training and the run of the proxy.
        Raises SpecError when `out` holds the calibration of anything else.
        """
        batch_size = settle_task(runner, data).proxy.batch_size
        full, proxy = (
            _start_or_resume(out / name, space, self._runner(runner, keys), data, observer)
            for name, keys in ((FULL, self._full_proxy(runner, batch_size)), (PROXY, {}))
        )
        return full, proxy

    def _full_proxy(self, runner: Runner, batch_size: int) -> dict[str, Any]:
        """Return the keys of a proxy that is full training."""
        from_backbone = self.full_weights == "backbone"
        return {
            "kind": _KINDS[self.full_weights],
            "rungs": [self.full_epochs or _EPOCHS[self.full_weights]],
            "unit": "epochs",
            "schedule": "whole",
            "warm_up": None,
            "cooldown": None,
            "start": None if from_backbone else runner.proxy.start,
            "learning_rate": scale_rate(_RATE, batch_size) if from_backbone else None,
            "subset": None,
        }

    def _runner(self, runner: Runner, proxy: dict[str, Any]) -> Runner:
        """Return a runner that evaluates random networks, each with all seeds."""
        plan = {
            "sampler": "random",
            "trials": self.networks,
            "confirm_seeds": self.seeds,
            "time_limit": None,
            "reduction": None,
        }
        # What the runner leaves open stays open: it is settled by the task, as for a search.
        changed = runner.model_dump(exclude_unset=True)
        changed.pop("regime", None)  # full training may answer another question than the proxy
        changed["search"] = changed.get("search", {}) | plan
        own = {"kind": runner.proxy.kind} | changed.get("proxy", {})
        changed["proxy"] = own | proxy | {"seeds": self.seeds}
        return parse(Runner, changed, "nas calibrate")


def refuse_taken(out: Path) -> None:
    """Raise SpecError for a folder with anything but a calibration in it."""
    if out.exists() and not out.is_dir():
        raise SpecError(f"{out} is a file; name a new folder for --out")
    refuse_below_file(out, "--out")
    begun = any((out / name).exists() for name in (FULL, PROXY, CURVES))
    if out.exists() and not begun and any(not p.name.startswith(".") for p in out.iterdir()):
        raise SpecError(f"{out} exists and holds no calibration; name a new folder for --out")


def _start_or_resume(
    out: Path, space: SearchSpace, runner: Runner, data: str, observer: Observer | None
) -> Run:
    """Start the run, or go on with it when it is the same."""
    if not (out / "run.yaml").exists():
        return search(space, runner, data, out, observer=observer)
    run = open_run(out)
    file = RunFile.of(runner, data)
    plains = [plain for plain, _ in Candidates(space, file.task_on(CLASSES)).plains()]
    asked, _ = settle_weights(file, plains)
    # Calibrations of before do not say what they are for; nor do they need to.
    known = RunFile.model_validate(settle_task(run.file, data).model_dump())
    there, wanted = (file.model_copy(update={"proxy": file.proxy.by_content}).model_dump()
                     for file in (known, asked))  # fmt: skip
    for name in _OF_IMAGES:  # the images themselves are compared
        wanted[name] = there[name]
    if runner.checkpoints is not None:  # a run has a folder of its own there
        wanted["checkpoints"] = there["checkpoints"]
    if runner.proxy.rungs is None:  # then it was settled by the number of images
        wanted["proxy"] |= {name: there["proxy"][name] for name in ("rungs", "unit")}
    there["proxy"]["precision"] = run.file.proxy.computed_in
    for name in ("precision", "warm_up", "start"):  # by the machine; from scratch, the others too
        wanted["proxy"][name] = wanted["proxy"][name] or there["proxy"][name]
    for name in ("seeds_in_turn", "published_prior"):  # and these by the sampler
        if wanted["search"][name] is None:
            wanted["search"][name] = there["search"][name]
    same = run.space == space and there | {"workers": 1} == wanted | {"workers": 1}
    if not same or not _same_images(run, asked):
        raise SpecError(
            f"{out.parent} is the calibration of another space or runner, or of other data; name "
            "another folder"
        )
    run = _found_where_asked(run, asked)
    workers = runner.workers if isinstance(runner.workers, int) else None
    return run if run.is_finished() else resume(out, workers=workers, observer=observer)


_OF_IMAGES = "data", "validation", "test", "image_rules"
"""The keys of a run that say which its images are."""


def _same_images(run: Run, asked: RunFile) -> bool:
    """Say whether the images that are asked for are a run's, wherever they lie now.

    Raises SpecError when they cannot be read.
    """
    places = [(file.data, file.validation) for file in (run.file, asked)]
    if places[0] == places[1]:  # the run knows whether its images have changed
        return True
    there = _at(run, asked)
    folder = decode_images(there.space, there.file)
    return there.images(run.environment()["data"]["key"]).are_in(folder)


def _found_where_asked(run: Run, asked: RunFile) -> Run:
    """Return a run that finds its images and its weights where they are asked for."""
    there = _at(run, asked)
    if there.file == run.file:
        return run
    with run_lock(run.path):
        write_plan(run.path, there.file)
    return open_run(run.path)


def _at(run: Run, asked: RunFile) -> Run:
    """Return a run whose images and weights lie where others do that are asked for."""
    backbone = run.file.proxy.backbone.model_copy(update={"weights": asked.proxy.backbone.weights})
    places = {
        "data": asked.data,
        "validation": asked.validation,
        "proxy": run.file.proxy.model_copy(update={"backbone": backbone}),
    }
    return replace(run, file=run.file.model_copy(update=places))
