"""A run folder as its readers see it: what was asked for, and what was found.

Reading never changes the folder. torch and Optuna are imported where they are needed:
reading a front needs neither.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nas.base.errors import NasError, SpecError, StorageError
from nas.base.files import parse, read_yaml
from nas.base.html import html_paragraphs
from nas.base.object_store import location
from nas.base.size import Resolution
from nas.runs.belief import read_belief, regime_of
from nas.runs.lock import is_locked
from nas.runs.profiled_latency import predict_latencies, profile_doubts
from nas.runs.run_file import RunFile
from nas.runs.stored_trials import JOURNAL_FILE, read_trials
from nas.runs.trust import proxy_trust
from nas.spec.architecture import Architecture
from nas.spec.objective import objectives_named
from nas.spec.own_backbone import is_held
from nas.spec.space import SearchSpace
from nas.spec.storage_url import StorageUrl
from nas.spec.task import Task
from nas.study.budget_curves import CURVES_FILE, CurvesFound, load_curves
from nas.study.calibration import FILE, Calibration, load_calibration
from nas.study.constant_prediction import ConstantPrediction
from nas.study.front.front import Front
from nas.study.full_training import FullTraining
from nas.study.network_belief import NetworkBelief
from nas.study.record import COMPLETE
from nas.study.trials import TrainingCost, Trials

if TYPE_CHECKING:
    import matplotlib.figure
    from torch import nn

    from nas.data import Dataset
    from nas.runs.images import RunImages

__all__ = [
    "CHECKPOINTS",
    "CONSTANT_PREDICTION",
    "DEVICE",
    "FINISHED",
    "RETRAINED_FOLDER",
    "Run",
    "RunState",
    "Weights",
    "open_run",
    "runs_below",
]

CHECKPOINTS = "checkpoints"
CONSTANT_PREDICTION = "constant_prediction"
"""The key of environment.json, of the images, for the judgement of one answer to all of them."""
DEVICE = "device.json"
"""The profile that latencies are predicted from, or the anchor's latency, in a run folder."""
FINISHED = "finished:"
"""The beginning of the last event of a run that came to its end."""
RETRAINED_FOLDER = "retrained"
"""The folder of fully trained weights in a run folder."""

Weights = Literal["best", "search", "retrained"]
"""Which trained weights of a network: see `RunState.retrained_weights`."""

_LISTED = 8  # runs in an error


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder. Reading never changes it, and needs no lock.

    Each method reads the folder as it is then, since a search may go on meanwhile. Whoever asks
    several things of one moment reads once (`read`) and asks the state.
    """

    path: Path
    space: SearchSpace
    file: RunFile

    @property
    def title(self) -> str:
        """The space and the data, for headings."""
        return f"{self.space.name} on {self.file.data_name}"

    @property
    def in_process(self) -> bool:
        """True where its network was given in memory, so that no other process can train it."""
        return any(is_held(backbone) for backbone in self.space.backbones)

    @property
    def study(self) -> Path | StorageUrl:
        """The place where `Store` finds the study."""
        return self.file.address or self.path / JOURNAL_FILE

    @property
    def profile_path(self) -> Path | None:
        """The profile that its latencies are predicted from; None: they are measured."""
        return None if self.file.device_profile is None else self.path / DEVICE

    @property
    def checkpoints(self) -> Path:
        """The folder of the trained weights, which may be in object storage."""
        kept = self.file.checkpoints
        return self.path / CHECKPOINTS if kept is None else location(kept)

    def __repr__(self) -> str:
        return f"<Run {self.path}: {self.title}>"

    def _repr_html_(self) -> str:
        state = "finished" if self.is_finished() else "not finished"
        try:
            front = self.front()._repr_html_()
        except NasError as error:
            return html_paragraphs([repr(self), str(error)])
        return html_paragraphs([f"{self.path}: {self.title}, {state}"]) + front

    def plot(self) -> matplotlib.figure.Figure:
        """Return the picture of its front; see `Front.plot`. Raises SpecError, StorageError."""
        return self.front().plot(self.title)

    # What is read of the folder.

    def read(self, trials: Trials | None = None) -> RunState:
        """Read the run as it is now: its study, its environment and its calibration, each once.

        trials: those of its study, where the caller has them already; None: read them, too.
        Raises StorageError when the study cannot be read.
        """
        environment: dict[str, Any] | None = None
        calibration: Calibration | None = None
        with suppress(StorageError):  # old runs have none; who needs it is told (`data`)
            environment = self.environment()
        with suppress(SpecError):  # a broken one troubles fronts alone (`front`)
            calibration = self.calibration()
        trials = self.trials() if trials is None else trials
        return RunState(self, trials, environment, calibration)

    def trials(self) -> Trials:
        """Read every trial of the study.

        Raises StorageError as `read_trials` does.
        """
        return read_trials(self.path, self.study)

    def environment(self) -> dict[str, Any]:
        """Read environment.json: versions, hardware and data of the run.

        Raises StorageError when it is gone or damaged.
        """
        path = self.path / "environment.json"
        try:
            environment: dict[str, Any] = json.loads(path.read_text())
            if not isinstance(environment, dict) or not isinstance(environment.get("data"), dict):
                raise ValueError("it does not say what the images were")
        except (OSError, ValueError) as error:
            raise StorageError(f"{path} cannot be read ({error})") from None
        return environment

    def calibration(self) -> Calibration | None:
        """Read how far its proxy can be trusted; None where that was not calibrated.

        Raises SpecError for a file that is none.
        """
        path = self.path / FILE
        return load_calibration(path) if path.exists() else None

    def curves(self) -> CurvesFound | None:
        """Read how gains grow with the budget on its images; None where that was not calibrated.

        Raises SpecError for a file that is none.
        """
        path = self.path / CURVES_FILE
        return load_curves(path) if path.exists() else None

    def is_finished(self) -> bool:
        """Return whether its last search came to its own end."""
        try:
            log = (self.path / "events.log").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        events = log.splitlines()
        return bool(events) and FINISHED in events[-1]

    def is_running(self) -> bool:
        """Return whether a driver works on it now; see `is_locked`."""
        return is_locked(self.path)

    # What is asked of the folder as it is now.

    def front(self, by: Sequence[str] | None = None, *, device: str | Path | None = None) -> Front:
        """Return the front by the run's objectives, or by others; see `RunState.front`."""
        return self.read().front(by, device=device)

    def row(self, trial: int) -> dict[str, Any]:
        """Return one trial as plain values. Raises SpecError when there is none of this number."""
        return self.read().row(trial)

    def retrained(self) -> list[FullTraining]:
        """Return every full training, of whichever recipe, by network and seed."""
        return self.read().retrained()

    def retrained_weights(
        self, trial: int, which: Weights = "best"
    ) -> tuple[Path, FullTraining] | None:
        """Return the fully trained weights that count; see `RunState.retrained_weights`."""
        return self.read().retrained_weights(trial, which)

    def network(self, trial: int, weights: Weights = "best") -> nn.Module:
        """Build the trained network of a trial, ready to ship: in evaluation mode, gates folded.

        weights: `best`, `search` or `retrained`; see `RunState.retrained_weights`.
        Raises SpecError when the trial is not complete.
        """
        return self.read().network(trial, weights)

    def images(self, key: str | None = None) -> RunImages:
        """Return the images that the run was started with.

        key: of them, where the caller has it already; None: environment.json says.
        Raises StorageError where that is gone or damaged.
        """
        from nas.runs.images import RunImages

        known = self.environment()["data"]["key"] if key is None else key
        return RunImages(self.path, self.space, self.file, known)

    def dataset(self, resolution: Resolution | None = None) -> Dataset:
        """Open the images that the run was trained and judged on; decoded again where need be.

        resolution: of the same images for a full training; None: that of the proxies.
        Raises SpecError when they are gone or have changed.
        """
        return self.images().open(resolution)

    def spent(self, trials: Trials) -> TrainingCost | None:
        """Return what its training has cost; None where no network is stopped early."""
        budgets = self.file.proxy.budgets
        if self.file.search.reduction is None or len(budgets) == 1:
            return None
        return trials.spent(budgets)


@dataclass(frozen=True)
class RunState:
    """A run's files as they were at one moment, read once and handed on.

    environment: None where it is gone or damaged.
    calibration: None where there is none, or none that can be read.
    """

    run: Run
    trials: Trials
    environment: dict[str, Any] | None
    calibration: Calibration | None

    def belief(self) -> NetworkBelief | None:
        """Return what its networks are believed to gain by full training; None for fewer than two.

        Fitted when it is first asked for.
        """
        return self._belief

    @cached_property
    def _belief(self) -> NetworkBelief | None:
        return read_belief(self.run.file, self.trials, self.train_images)

    def data(self) -> dict[str, Any]:
        """Return what environment.json says of the images: `key`, `classes`, `images`.

        Raises StorageError, as reading it did, where it is gone or damaged.
        """
        environment = self.run.environment() if self.environment is None else self.environment
        data: dict[str, Any] = environment["data"]
        return data

    @property
    def task(self) -> Task:
        """The task that its networks are for. Raises StorageError as `data` does."""
        return self.run.file.task_on(len(self.data()["classes"]))

    @property
    def train_images(self) -> int | None:
        """The number of training images; None in a run of an earlier version."""
        number = None if self.environment is None else self.environment["data"].get("images")
        return None if number is None else int(number)

    @property
    def constant_prediction(self) -> ConstantPrediction | None:
        """The judgement of one answer to all images; None in a run of an earlier version."""
        known = {} if self.environment is None else self.environment["data"]
        values = known.get(CONSTANT_PREDICTION)
        return None if values is None else ConstantPrediction.from_dict(values)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What is to be said of the profile that latencies are predicted from, where it is one."""
        return tuple(doubt for doubt, _ in profile_doubts(self.run.profile_path))

    def front(
        self,
        by: Sequence[str] | None = None,
        *,
        device: str | Path | None = None,
        once: bool = False,
    ) -> Front:
        """Return the front by the run's objectives, or by others.

        by: names of objectives; None: those of the search.
        device: a profile; latencies are then what it predicts, and nothing is trained again.
        once: networks that were trained once may be on it, too, beside the confirmed ones.
        Raises SpecError for objectives of full training where nothing was trained fully.
        """
        run, trials = self.run, self.trials
        if device is not None:
            trials = predict_latencies(trials, device)
        names = by.split(",") if isinstance(by, str) else by or ()
        asked = [run.file.figure.known_as(name.strip()) for name in names]
        objectives = objectives_named(asked or run.file.search.objectives)
        late = [objective.name for objective in objectives if not objective.searched]
        if late and not any(training.complete for training in self.retrained()):
            raise SpecError(
                f"{late[0]}: nothing of {run.path} was trained fully yet; "
                f"nas retrain {run.path} --front does it"
            )
        calibration = self.calibration or run.calibration()  # which says why there is none
        return Front.of(
            trials,
            objectives,
            latency_limit=run.space.constraints.latency_ms,
            least_seeds=1 if once else run.file.search.confirm_seeds,
            trust=proxy_trust(run.file.proxy, calibration, self.train_images),
            uncertified=profile_doubts(run.profile_path if device is None else Path(device)),
            kinds=tuple(run.space.blocks),
            belief=self.belief(),
            regime=regime_of(run.file),
            figure=run.file.figure,
            constant=self.constant_prediction,
        )

    def row(self, trial: int) -> dict[str, Any]:
        """Return one trial as plain values. Raises SpecError when there is none of this number."""
        path, count = self.run.path, len(self.trials)
        if not (isinstance(trial, Integral) and 0 <= trial < count):
            raise SpecError(
                f"{path} has no trial {trial}; it has 0 to {count - 1}"
                if count
                else f"{path} has no trials yet"
            )
        return self.trials.row(trial)

    def retrained(self) -> list[FullTraining]:
        """Return every full training, of whichever recipe, by network and seed."""
        return self.trials.full_trainings()

    @property
    def images(self) -> RunImages:
        """The images that it was started with. Raises StorageError as `data` does."""
        return self.run.images(self.data()["key"])

    # Trained networks.

    def retrained_weights(
        self, trial: int, which: Weights = "best"
    ) -> tuple[Path, FullTraining] | None:
        """Return the fully trained weights that count for a network, and how they came about.

        They are a safetensors file of its whole state. Of all recipes and seeds the best by
        accuracy on validation images counts, never by test images.
        which: `best`: those of the search count where they are better, and were trained at the
            resolution of the network; `search`: those of the search count; `retrained`: these do.
        Returns None where those of the search count.
        Raises SpecError when there are none and `retrained` was asked for.
        """
        run, row = self.run, self.row(trial)
        trainings = [
            (run.path / RETRAINED_FOLDER / training.weights, training)
            for training in self.retrained()
            if training.digest == row["digest"] and training.complete and training.weights
        ]
        there = [pair for pair in trainings if which != "search" and pair[0].is_file()]
        if which == "retrained" and not there:
            raise SpecError(
                f"trial {trial} has no fully trained weights; train them: nas retrain {run.path} "
                f"--trial {trial}"
            )
        best = max(there, key=lambda pair: pair[1].accuracy or 0.0, default=None)
        if best is None or which == "retrained":
            return best
        from nas.runs.images import train_resolution

        deployed = Architecture.from_json(row["architecture"]).resolution
        alike = train_resolution(run.space, run.file) == deployed
        better = alike and (row["accuracy"] or 0.0) > (best[1].accuracy or 0.0)
        return None if better else best

    def network(self, trial: int, which: Weights = "best", *, folded: bool = True) -> nn.Module:
        """Build the trained network of a trial, ready to ship: in evaluation mode, gates folded.

        which: see `retrained_weights`.
        folded: whether gates are folded; else it is the network as it was trained.
        Raises SpecError when the trial is not complete, StorageError when its weights are gone.
        """
        from nas.models.build import build, deploy
        from nas.spec.recipe import FullRecipe
        from nas.training.candidate_checkpoint import restore
        from nas.training.checkpoint import load_weights

        run, row = self.run, self.row(trial)
        if row["state"] != COMPLETE:
            cause = f": {row['failure']}" if row["failure"] else ""
            raise SpecError(
                f"trial {trial} is {row['state']}{cause}; only COMPLETE trials have a network"
            )
        architecture, task = Architecture.from_json(row["architecture"]), self.task
        best = self.retrained_weights(trial, which)
        if best is not None:
            file, training = best
            start = FullRecipe(**training.recipe).block_start
            network = build(architecture, task=task, start=start)
            network.load_state_dict(load_weights(file))
        else:
            try:
                network = restore(run.checkpoints, architecture, run.file.proxy, row["seed"], task)
            except StorageError as error:
                raise StorageError(
                    f"{error}; train it anew: nas retrain {run.path} --trial {trial}"
                ) from None
        return deploy(network.eval(), architecture) if folded else network.eval()


def open_run(path: str | Path, *, backbone: nn.Module | None = None) -> Run:
    """Open a run folder for reading.

    backbone: the network that its search was given in memory, for whoever builds its networks.
    Raises SpecError when it is none, or the network is another.
    """
    run = _open_run(Path(path))
    if backbone is not None:
        from nas.backbones.held_networks import check_same, hold

        check_same(backbone, run.space.backbones, str(run.path))
        hold(backbone)
    return run


def runs_below(folder: Path) -> list[Path]:
    """Return the run folders in a folder that is none itself."""
    return sorted(file.parent for file in folder.glob("*/run.yaml"))


def _runs_within(folder: Path) -> list[Path]:
    """Return the run folders in a folder; where there is none, those one or two folders further."""
    deeper = (folder.glob(f"{'*/' * depth}run.yaml") for depth in (1, 2, 3))
    folders = (sorted(file.parent for file in files) for files in deeper)
    return next(filter(None, folders), [])


def _open_run(path: Path) -> Run:
    if not (path / "run.yaml").is_file():
        if path.is_file():
            raise SpecError(f"{path} is a file; name the folder of a run")
        within = [str(run) for run in _runs_within(path)]
        if within:
            more = f" and {len(within) - _LISTED} more" if len(within) > _LISTED else ""
            listed = ", ".join(within[:_LISTED]) + more
            raise SpecError(f"{path} is a folder of runs; name one of them: {listed}")
        if path.is_dir() and any(path.iterdir()):
            raise SpecError(f"{path} holds no run, but something else; name the folder of a run")
        fault = "holds no run" if path.is_dir() else "does not exist"
        raise SpecError(f"{path} {fault}; start one with: nas search SPACE --out {path}")
    return Run(
        path,
        parse(SearchSpace, _read_file(path / "space.yaml"), str(path / "space.yaml")),
        parse(RunFile, _read_file(path / "run.yaml"), str(path / "run.yaml")),
    )


def _read_file(path: Path) -> Any:
    try:
        return read_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise StorageError(f"{path} cannot be read ({reason})") from None
