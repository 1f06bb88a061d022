"""A run folder as its readers see it: what was asked, what was found, trained networks.

Reading never changes the folder. torch and Optuna are imported where they are needed:
reading a front needs neither.
"""

from __future__ import annotations

import errno
import fcntl
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from nas.base.errors import SpecError, StorageError
from nas.base.files import parse, read_yaml
from nas.base.object_store import location
from nas.base.process import describe_process, this_process
from nas.runs.calibrate.result import FILE, Calibration, load_calibration
from nas.spec.objective import objectives_named
from nas.spec.runner import JOURNAL, PROBE_STEPS, Runner
from nas.spec.space import SearchSpace
from nas.spec.storage_url import StorageUrl
from nas.study.front.front import Front
from nas.study.full_training import FullTraining, read_retrainings
from nas.study.record import COMPLETE
from nas.study.trials import TrainingCost, Trials

if TYPE_CHECKING:
    from torch import nn

    from nas.data import Dataset

CHECKPOINTS = "checkpoints"
JOURNAL_FILE = "study.journal"
RETRAINED_FOLDER = "retrained"
FINISHED = "finished:"
"""Begins the last event of a run that came to its end."""
Weights = Literal["best", "search", "retrained"]
"""Which trained weights of a network: see `Run.retrained_weights`."""

_LOCK = ".lock"
_HELD = {errno.EWOULDBLOCK, errno.EACCES}
_LOOKING = 0.5  # seconds

__all__ = [
    "CHECKPOINTS",
    "FINISHED",
    "JOURNAL_FILE",
    "RETRAINED_FOLDER",
    "Run",
    "RunFile",
    "Weights",
    "journal_stamp",
    "open_run",
    "run_lock",
    "train_resolution",
]


class RunFile(Runner):
    """run.yaml: the runner as it was resolved, and the data."""

    data: str
    study: str = "search"
    """Its name in the storage."""
    begun: Annotated[int, Field(ge=0)] = 0
    """Trials that it began with, of a calibration."""

    @property
    def data_name(self) -> str:
        """For pictures and packs: where a folder lies on this machine is nobody's business."""
        kind, _, argument = self.data.partition(":")
        return f"{kind}:{Path(argument).name}" if argument.startswith("/") else self.data

    @property
    def address(self) -> StorageUrl | None:
        """Where the study is; None: in the run folder's journal."""
        return None if self.storage == JOURNAL else StorageUrl.parse(self.storage).of(self.study)


@dataclass(frozen=True)
class Run:
    """A run folder. Reading never changes it, and needs no lock."""

    path: Path
    space: SearchSpace
    file: RunFile

    @property
    def title(self) -> str:
        return f"{self.space.name} on {self.file.data_name}"

    def trials(self) -> Trials:
        """Every trial of the study. Raises StorageError.

        From trials.parquet where that shows the study as it is, otherwise from the study.
        """
        from_file = self.path / "trials.parquet"
        if from_file.exists() and self.file.address is None:
            stamp = journal_stamp(self.path)
            with suppress(StorageError):  # a broken copy: the study has it all
                trials = Trials.read(from_file, stamp=stamp)
                if trials is not None:
                    return trials
        from nas.strategy.storage.store import Store

        # Looked at first: a search that goes on meanwhile makes both longer.
        copied = self._copied(from_file)
        found = Trials.of(Store(self.study, writable=False).records())
        if len(found) < copied:
            raise StorageError(
                f"{self.path / JOURNAL_FILE} holds {len(found)} trials, where {from_file} has "
                f"{copied}: it was cut short; put back a copy, or remove {from_file.name} to go on "
                "with what is left"
            )
        return found

    def _copied(self, copy: Path) -> int:
        """Trials in the copy of a journal, which only ever grows."""
        if self.file.address is None and copy.exists():
            with suppress(StorageError):
                return len(Trials.read(copy) or ())
        return 0

    @property
    def study(self) -> Path | StorageUrl:
        """Where `Store` finds the study."""
        return self.file.address or self.path / JOURNAL_FILE

    @property
    def checkpoints(self) -> Path:
        """Folder of the trained weights, which may be in object storage."""
        kept = self.file.checkpoints
        return self.path / CHECKPOINTS if kept is None else location(kept)

    def front(self, by: Sequence[str] | None = None, *, device: str | Path | None = None) -> Front:
        """The front by the run's objectives, or by others. Raises SpecError, StorageError.

        device: a profile; latencies are then what it predicts, and nothing is trained again.
        """
        trials = self.trials()
        return self.front_of(trials if device is None else _projected(trials, device), by)

    def front_of(self, trials: Trials, by: Sequence[str] | None = None) -> Front:
        """The front of some trials of this run."""
        objectives = objectives_named(by or self.file.search.objectives)
        late = [item.name for item in objectives if not item.searched]
        if late and not any(item.complete for item in self.retrained(trials)):
            raise SpecError(
                f"{late[0]}: nothing of {self.path} was trained fully yet; "
                f"nas retrain {self.path} --front does it"
            )
        return Front(
            trials,
            objectives,
            latency_limit=self.space.constraints.latency_ms,
            least_seeds=self.file.search.confirm_seeds,
            trust=self._trust(),
            kinds=tuple(self.space.blocks),
        )

    def retrained(self, trials: Trials | None = None) -> list[FullTraining]:
        """Every full training, of whichever recipe, by network and seed."""
        texts = (self.trials() if trials is None else trials)["retrained"]
        distinct = dict.fromkeys(text for text in texts if text is not None)
        return [item for text in distinct for item in read_retrainings(text)]

    def _trust(self) -> list[str]:
        calibration = self.calibration
        if calibration is None:
            kind = self.file.proxy.kind
            said = [f"Whether {kind} orders networks as full training does: see nas calibrate."]
            return [*self._short(), *said]
        return [f"The proxy: {calibration.verdict}", *calibration.warnings]

    def _short(self) -> list[str]:
        """Probes of 94 steps ranked thirty networks against full training, longer ones with it
        (benchmarks/training/proxy_study.py).
        """
        proxy, images = self.file.proxy, self.train_images
        if proxy.kind != "probe" or proxy.unit == "seconds" or images is None:
            return []
        steps = round(proxy.steps(proxy.budgets[-1], images))
        if steps >= PROBE_STEPS:
            return []
        return [
            f"Probes of {steps} steps are short: they may show what learns quickly rather than "
            f"what is best. For {PROBE_STEPS}: --set proxy.unit=steps "
            f"--set proxy.rungs=[{PROBE_STEPS}]"
        ]

    def spent(self, trials: Trials) -> TrainingCost | None:
        """What its training has cost; None where no network is stopped early."""
        budgets = self.file.proxy.budgets
        if self.file.search.reduction is None or len(budgets) == 1:
            return None
        return trials.spent(budgets)

    @property
    def calibration(self) -> Calibration | None:
        """How far its proxy can be trusted, where that was calibrated. Raises SpecError."""
        path = self.path / FILE
        return load_calibration(path) if path.exists() else None

    @property
    def train_images(self) -> int | None:
        """How many; None in a run of an earlier version, or whose environment.json is gone."""
        try:
            number = self.environment["data"].get("images")
        except StorageError:
            return None
        return None if number is None else int(number)

    @property
    def finished(self) -> bool:
        """Whether its last search came to its own end."""
        try:
            events = (self.path / "events.log").read_text().splitlines()
        except OSError:
            return False
        return bool(events) and FINISHED in events[-1]

    @property
    def running(self) -> bool:
        """Whether a driver works on it now, from this machine or on this file system.

        Looks without leaving a trace: a folder that can only be read has no driver to be seen.
        """
        try:
            file = (self.path / _LOCK).open()
        except OSError:
            return False
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError as error:
                return error.errno in _HELD
        return False

    def retrained_weights(
        self, trial: int, which: Weights = "best"
    ) -> tuple[Path, FullTraining] | None:
        """The fully trained weights that count for a network, a safetensors file of its whole
        state, and how they came about; None: those of the search count.

        Of all recipes and seeds the best by accuracy on validation images, never by test images.
        `best`: the search's count where they are better, and were trained at the resolution of
        the network. Raises SpecError when there are none and `retrained` was asked for.
        """
        from nas.spec.architecture import Architecture

        row = self.row(trial)
        found = [
            (self.path / RETRAINED_FOLDER / item.weights, item)
            for item in self.retrained()
            if item.digest == row["digest"] and item.complete and item.weights
        ]
        there = [pair for pair in found if which != "search" and pair[0].is_file()]
        if which == "retrained" and not there:
            raise SpecError(
                f"trial {trial} has no fully trained weights; train them: nas retrain {self.path} "
                f"--trial {trial}"
            )
        best = max(there, key=lambda pair: pair[1].accuracy or 0.0, default=None)
        if best is None or which == "retrained":
            return best
        deployed = Architecture.from_json(row["architecture"]).resolution
        alike = train_resolution(self.space, self.file) == deployed
        better = alike and (row["accuracy"] or 0.0) > (best[1].accuracy or 0.0)
        return None if better else best

    def network(self, trial: int, weights: Weights = "best") -> nn.Module:
        """The trained network of a trial, ready to ship: in evaluation mode, gates folded.

        weights: see `retrained_weights`. Raises SpecError when the trial is not complete.
        """
        from nas.models.build import build, deploy
        from nas.spec.architecture import Architecture
        from nas.spec.recipe import block_start
        from nas.training.checkpoint import load_weights, restore

        row = self.row(trial)
        if row["state"] != COMPLETE:
            cause = f": {row['failure']}" if row["failure"] else ""
            raise SpecError(
                f"trial {trial} is {row['state']}{cause}; only COMPLETE trials have a network"
            )
        architecture = Architecture.from_json(row["architecture"])
        num_classes = len(self.environment["data"]["classes"])
        best = self.retrained_weights(trial, weights)
        if best is not None:
            file, training = best
            start = block_start(training.recipe["weights"])
            network = build(architecture, num_classes=num_classes, start=start)
            network.load_state_dict(load_weights(file))
        else:
            try:
                network = restore(
                    self.checkpoints,
                    architecture,
                    self.file.proxy.kind,
                    row["seed"],
                    num_classes,
                )
            except StorageError as error:
                raise StorageError(
                    f"{error}; train it anew: nas retrain {self.path} --trial {trial}"
                ) from None
        return deploy(network.eval(), architecture)

    def dataset(self, resolution: int | None = None) -> Dataset:
        """The images the run was trained and judged on; decoded again where need be.

        resolution: of the same images for a full training. Raises SpecError when they are gone or
        have changed.
        """
        from nas.data import open_data

        folder = self.data_folder()
        if folder.name != self.environment["data"]["key"]:
            raise SpecError(
                f"the images of {self.file.data} have changed since {self.path} was started; "
                "put them back"
            )
        return open_data(folder if resolution is None else self.data_folder(resolution))

    def data_folder(self, resolution: int | None = None) -> Path:
        """Its decoded images on this machine, decoded now where need be; named by their digest."""
        from nas.data import cached_data

        return cached_data(
            self.file.data,
            resolution or train_resolution(self.space, self.file),
            validation=self.file.validation,
            seed=self.file.search.seed,
        )

    def row(self, trial: int) -> dict[str, Any]:
        """One trial as plain values. Raises SpecError when there is none with this number."""
        trials = self.trials()
        if not 0 <= trial < len(trials):
            raise SpecError(
                f"{self.path} has no trial {trial}; it has 0 to {len(trials) - 1}"
                if len(trials)
                else f"{self.path} has no trials yet"
            )
        return trials.record(trial)

    @property
    def environment(self) -> dict[str, Any]:
        """environment.json: versions, hardware and data of the run."""
        path = self.path / "environment.json"
        try:
            found: dict[str, Any] = json.loads(path.read_text())
            if not isinstance(found, dict) or not isinstance(found.get("data"), dict):
                raise ValueError("it does not say what the images were")
        except (OSError, ValueError) as error:
            raise StorageError(f"{path} cannot be read ({error})") from None
        return found


def _projected(trials: Trials, device: str | Path) -> Trials:
    """Trials as they would be on another device. Raises SpecError for what it cannot predict."""
    from nas.latency.profile import load_profile
    from nas.spec.architecture import Architecture

    profile = load_profile(device)
    texts, row = np.unique(trials["architecture"], return_inverse=True)
    latency_ms, half_width = profile.predict_many([Architecture.from_json(text) for text in texts])
    return trials.with_latency(latency_ms[row], (half_width / latency_ms)[row])


def open_run(path: str | Path) -> Run:
    """Open a run folder for reading. Raises SpecError when it is none."""
    path = Path(path)
    if not (path / "run.yaml").is_file():
        if path.is_file():
            raise SpecError(f"{path} is a file; name the folder of a run")
        if path.is_dir() and any(path.iterdir()):
            raise SpecError(f"{path} holds no run, but something else; name the folder of a run")
        found = "holds no run" if path.is_dir() else "does not exist"
        raise SpecError(f"{path} {found}; start one with: nas search SPACE --out {path}")
    return Run(
        path,
        parse(SearchSpace, _read(path / "space.yaml"), str(path / "space.yaml")),
        parse(RunFile, _read(path / "run.yaml"), str(path / "run.yaml")),
    )


def _read(path: Path) -> Any:
    try:
        return read_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise StorageError(f"{path} cannot be read ({reason})") from None


def train_resolution(space: SearchSpace, file: Runner) -> int:
    """Side of the images that proxies train on. Raises SpecError when it is not clear."""
    if file.proxy.resolution is not None:
        return file.proxy.resolution
    if len(space.resolutions) > 1:
        raise SpecError(
            f"space {space.name!r} has resolutions {space.resolutions}: say at which all are "
            f"trained, as in --set proxy.resolution={min(space.resolutions)}"
        )
    return space.resolutions[0]


def journal_stamp(path: Path) -> str:
    """Names the state of the study: a journal only ever grows."""
    try:
        return str((path / JOURNAL_FILE).stat().st_size)
    except OSError as error:
        raise StorageError(f"{path} has no study.journal ({error.strerror})") from None


@contextmanager
def run_lock(path: Path) -> Iterator[None]:
    """One driver at a time; the lock dies with its process. Raises SpecError."""
    try:
        file = (path / _LOCK).open("a+")
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror})") from None
    with file:
        try:
            _take(file)
        except OSError as error:
            if error.errno not in _HELD:
                raise StorageError(
                    f"{path} is on a file system that locks no files ({error.strerror}); keep "
                    "runs on another"
                ) from None
            file.seek(0)
            raise SpecError(
                f"{path} is being worked on by {file.read().strip() or 'another process'}; "
                "wait for it or stop it"
            ) from None
        file.truncate(0)
        file.write(describe_process(this_process()))
        file.flush()
        yield


def _take(file: IO[str]) -> None:
    """Waits for those who only look (`Run.running`), which takes them no time."""
    end = time.monotonic() + _LOOKING
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _HELD or time.monotonic() > end:
                raise
        time.sleep(0.01)
