"""A new search, drafted from four answers: data, backbone, device and time.

Each answer is checked when it is given, as far as it can be without training, and what is written
runs as it is.
"""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from nas.base.errors import SpecError
from nas.base.files import parse, read_yaml, write_folder_whole
from nas.base.formats import format_duration
from nas.base.machine import usable_cores
from nas.base.size import Resolution, Size
from nas.data.searched import Searched
from nas.models.candidates import Candidates
from nas.models.fitting_sites import with_fitting_sites
from nas.runs.check import check_latency_device
from nas.runs.run_file import RunFile
from nas.runs.training_speed import seconds_per_image
from nas.spec.architecture import Architecture
from nas.spec.duration import parse_seconds
from nas.spec.own_backbone import absolute
from nas.spec.proxy import PROBE_STEPS
from nas.spec.runner import Runner, with_overrides
from nas.spec.space import SearchSpace
from nas.spec.task import Task
from nas.training.device import best_device, times_as_fast

__all__ = [
    "RUNNER",
    "SPACE",
    "Draft",
    "Images",
    "Network",
    "check_data",
    "check_network",
    "check_target",
]

SPACE, RUNNER = "space.yaml", "runner.yaml"

_SMALL = ("digits", "cluttered-digits", "cifar10", "cifar100", "fashion-mnist", "svhn")
_SMALL_SIDE, _SIDE, _SIDE_ON_GPU = 32, 128, 224
_STRIDE = 16  # of small images, whose deepest maps are then 2x2

_FULL_SHARE = 0.4  # of the time, as search.full_share
_SHORT, _FULL = 40, 6  # trainings that the time is to hold: in the search, and at its end
_ROOM = 1.1  # times the least time is what is asked for, since steps are never timed alike
_JUDGED = 1.3  # times its steps takes a short training with its judgement and latency
_EPOCHS, _MOST_EPOCHS, _RECIPE = 5, 30, 200

_BLOCKS = """\
  se:    {reduction: [8, 16, 24, 32]}
  cbam:  {reduction: [8, 16, 24, 32], kernel_size: [3, 7]}
  coord: {reduction: [8, 16, 32]}
  eca:   {}
"""


@dataclass(frozen=True, slots=True)
class Images:
    """Images that can be read, of a size, not decoded yet.

    file: with the task that they are for.
    classes, train: how many there are of each; the latter without validation images.
    """

    source: str
    file: RunFile
    resolution: Resolution
    classes: int
    train: int

    @property
    def task(self) -> Task:
        """The task that networks are for."""
        return self.file.task_on(self.classes)


def check_data(source: str, resolution: Resolution | None = None) -> Images:
    """Return the images of a source, at a resolution; None: one that suits them and this machine.

    Raises SpecError for data that cannot be read.
    """
    file = RunFile.of(Runner(), source)
    if resolution is None:
        large = _SIDE_ON_GPU if best_device().type == "cuda" else _SIDE
        resolution = _SMALL_SIDE if source in _SMALL else large
    searched = Searched.of(file.data, file.validation, file.search.seed, file.reading)
    parts, train, _ = searched.divide()
    return Images(source, file, resolution, len(parts.classes), len(train))


@dataclass(frozen=True, slots=True)
class Network:
    """A backbone that blocks can be put into, for some images.

    notes: what was decided, in sentences.
    """

    images: Images
    space: SearchSpace
    candidates: Candidates
    notes: tuple[str, ...]

    @property
    def plain(self) -> Architecture:
        """The network without blocks."""
        return self.candidates.plains()[0][0]


def check_network(images: Images, backbone: str) -> Network:
    """Return the space of a backbone for these images.

    Raises SpecError for a backbone that there is not, or that no block fits.
    """
    strides = (_STRIDE, None) if Size.of(images.resolution).height <= _SMALL_SIDE else (None,)
    for stride in strides:
        values = {
            "name": "mine",
            "backbones": [absolute(backbone)],
            "resolutions": [images.resolution],
            "total_stride": stride,
            "sites": {"position": "after_depthwise"},
            "blocks": read_yaml(_BLOCKS, "blocks"),
        }
        try:
            space, notes = with_fitting_sites(
                parse(SearchSpace, values, f"backbone {backbone!r}"), images.task
            )
            return Network(images, space, Candidates(space, images.task), tuple(notes))
        except SpecError:  # many networks have a stride that cannot be changed
            if stride is None:
                raise
    raise AssertionError(strides)


@dataclass(frozen=True, slots=True)
class Draft:
    """A search that was drafted.

    short, full: epochs of a training in the search, and of a full one.
    """

    network: Network
    device: str
    budget: str
    short: float
    full: float

    @classmethod
    def of(cls, network: Network, device: str, budget: str) -> Draft:
        """Draft a search for a device, as long as it may take.

        A few steps of the plain network are timed.
        device: of `check_target`.
        budget: `2h`.
        Raises SpecError for less time than the least trainings take.
        """
        seconds = parse_seconds("--budget", budget)
        few = seconds_per_image(
            network.plain,
            network.images.task,
            batch_size=network.images.file.proxy.batch_size,
            threads=1,
        )
        epoch = network.images.train * few
        steps = max(1, network.images.train // network.images.file.proxy.batch_size)
        time = seconds * times_as_fast(usable_cores())
        full = _FULL_SHARE * time / (_FULL * epoch)
        short = (1 - _FULL_SHARE) * time / (_SHORT * _JUDGED * epoch)
        if min(short, full) < 1:
            ways = _FULL * epoch / _FULL_SHARE, _SHORT * _JUDGED * epoch / (1 - _FULL_SHARE)
            least = max(ways) / times_as_fast(usable_cores())
            needed = format_duration(math.ceil(_ROOM * least))
            raise SpecError(
                f"--budget {budget}: {_SHORT} trainings of one epoch each, and {_FULL} full ones, "
                f"do not fit; an epoch of the plain network takes {format_duration(epoch)} here; "
                f"allowed: {needed} or more, or smaller images (--resolution)"
            )
        wanted = min(_MOST_EPOCHS, max(_EPOCHS, math.ceil(PROBE_STEPS / steps)))
        short = math.floor(min(short, wanted))
        return cls(network, device, budget, short, math.floor(min(full, _RECIPE)))

    def write(self, folder: Path) -> None:
        """Write space and runner into a new folder.

        Raises SpecError when something is there, StorageError when it cannot be written.
        """
        files = {SPACE: self.space_text(), RUNNER: self.runner_text()}
        parse(SearchSpace, read_yaml(files[SPACE], SPACE), SPACE)
        parse(Runner, read_yaml(files[RUNNER], RUNNER), RUNNER)
        with write_folder_whole(folder) as building:
            for name, text in files.items():
                (building / name).write_text(text, encoding="utf-8")

    def space_text(self) -> str:
        """Return the space file."""
        space = self.network.space
        stride = [(f"total_stride: {space.total_stride}", "so that small images keep their maps")]
        position = json.dumps([str(position) for position in space.sites.position])
        return _commented(
            ("", "Which attention block goes where? nas space FILE shows what this holds."),
            ("name: mine", ""),
            (f"backbones: [{_quoted(space.backbones[0])}]", "others: nas backbones"),
            (f"resolutions: [{_quoted(space.resolutions[0])}]", 'pixels; or as in "224x160"'),
            *(stride if space.total_stride else ()),
            ("sites:", ""),
            (f"  position: {position}", "nas sites NAME shows where blocks may go"),
            ("  granularity: block", "a choice for each block; stage: a smaller space"),
            ("  exclude: []", 'patterns of sites to leave out, as in ["blocks.0.*"]'),
            ("blocks:", "nas blocks lists all, with what was published of each"),
            *((line, "") for line in _BLOCKS.splitlines()),
            ("constraints: {}", "hard limits, as in {latency_ms: 8, params: 4.0e6}"),
        )

    def runner_text(self) -> str:
        """Return the runner file."""
        return _commented(
            ("", "How and how long the search runs; what is left out is as in runners/local.yaml."),
            ("", "--set KEY=VALUE behind nas search sets a key for one run."),
            (f"task: {self.network.images.file.task}", ""),
            ("regime: scratch", "finetune: of a trained network (nas search --weights FILE)"),
            (f"device: {_quoted(self.device)}", "of latencies: a runtime here, or a profile"),
            ("workers: auto", "trainings side by side: one per core"),
            ("search:", ""),
            (f"  budget: {self.budget}", "for the search and the full trainings at its end"),
            ("  seed: 0", ""),
            ("proxy:", ""),
            (f"  rungs: [{self.short:g}]", "epochs of a short training, which the search goes by"),
            ("  unit: epochs", ""),
            ("retrain:", ""),
            (f"  epochs: {self.full:g}", f"of a full training; {_RECIPE} where there is time"),
        )

    def command(self, folder: Path) -> str:
        """Return the command that searches. folder: that was written."""
        words = ["nas", "search", str(folder / SPACE), "--runner", str(folder / RUNNER)]
        words += ["--data", self.network.images.source, "--out", str(folder / "run")]
        return shlex.join(words)


def check_target(network: Network, device: str) -> str:
    """Return a device as a runner has it: a runtime of this machine, or a profile's file.

    Raises SpecError for a runtime that is not here, and for a profile that cannot be read or is of
    another space.
    """
    if device.endswith(".json"):
        device = os.path.realpath(os.path.expanduser(device))
    setting = f"device={json.dumps(device, ensure_ascii=False)}"
    file = RunFile.of(with_overrides(Runner(), (setting,)), network.images.source)
    check_latency_device(file, network.candidates)
    return device


def _commented(*lines: tuple[str, str]) -> str:
    """Return YAML with its comments below each other."""
    column = 2 + max(len(text) for text, comment in lines if comment)
    rows = []
    for text, comment in lines:
        shown = f"# {comment}" if comment else ""
        rows.append(f"{text:<{column}}{shown}".rstrip() if text else shown)
    return "\n".join(rows) + "\n"


def _quoted(value: object) -> str:
    """Return a value as YAML has it, whatever it holds: as JSON, but for plain names."""
    text = str(value)
    plain = isinstance(value, int) or re.fullmatch(r"[A-Za-z_][\w./-]*", text) is not None
    return text if plain else json.dumps(text, ensure_ascii=False)
