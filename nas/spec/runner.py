"""The runner file: how, where and how long a search runs."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from nas.base.errors import SpecError
from nas.base.files import parse, read_yaml
from nas.base.object_store import check_url
from nas.spec.objective import objectives_named
from nas.spec.recipe import Retrain
from nas.spec.storage_url import PASSWORD, StorageUrl

__all__ = [
    "JOURNAL",
    "PROBE_STEPS",
    "Backbone",
    "Proxy",
    "Ray",
    "Runner",
    "SearchPlan",
    "load_runner",
    "parse_seconds",
    "with_overrides",
]

PROBE_STEPS = 300
_STEPS = {"probe": PROBE_STEPS, "supernet-whole": 3750}
_EPOCHS = {
    "probe": 3.0,
    "finetune": 3.0,
    "scratch": 3.0,
    "supernet": 20.0,
    "supernet-whole": 20.0,
}
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _seconds(value: object) -> object:
    """`90`, `90s`, `30m`, `2h`: seconds. Anything else is left for the type check to refuse."""
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", value.strip())
        if match is None:
            raise ValueError(f"found {value!r}; allowed: seconds, or a number with s, m, h or d")
        return float(match[1]) * _UNITS[match[2] or "s"]
    return value


def parse_seconds(option: str, text: str) -> float:
    """`90s`, `30m`, `2h` on a command line. Raises SpecError, naming the option."""
    try:
        found = _seconds(text)
    except ValueError as error:
        raise SpecError(f"{option}: {error}") from None
    assert isinstance(found, float)
    return found


Duration = Annotated[float, BeforeValidator(_seconds), Field(gt=0)]


def _workers(value: object) -> object:
    whole = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1024
    if value != "auto" and not whole:
        raise ValueError(f"found {value!r}; allowed: auto, or a whole number from 1 to 1024")
    return value


Workers = Annotated[Literal["auto"] | int, BeforeValidator(_workers)]


def _storage(value: object) -> object:
    if not isinstance(value, str) or value == JOURNAL:
        return value
    try:
        address = StorageUrl.parse(value)
    except SpecError as error:
        raise ValueError(str(error).replace("allowed: ", "allowed: journal, ")) from None
    if address.password:
        raise ValueError(
            "the URL holds a password, and runs are kept in files; leave it out, and set "
            f"{PASSWORD} in the environment"
        )
    if address.study:
        raise ValueError("leave out '#...': a run names its study itself")
    return str(address)


def _checkpoints(value: object) -> object:
    if isinstance(value, str):
        try:
            check_url(value)
        except SpecError as error:
            raise ValueError(str(error)) from None
    return value


JOURNAL = "journal"
Storage = Annotated[str, BeforeValidator(_storage)]


class SearchPlan(BaseModel):
    """What is proposed, how often, and when to stop."""

    model_config = _STRICT

    sampler: Literal["pareto", "evolution", "front", "nsga2", "nsga3", "tpe", "gp", "random"] = (
        "pareto"
    )
    objectives: list[str] = ["loss", "latency_ms"]
    trials: Annotated[int, Field(ge=1, le=10_000_000)] = 24
    """Architectures to evaluate, the hand-placed ones among them."""
    time_limit: Duration | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    focus: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] = {}
    """Objective -> from where to where it matters: what lies outside is nothing gained."""
    attempts: Annotated[int, Field(ge=1, le=100)] = 2
    """How often a job is given out whose worker dies with it, before its trial is FAILED."""
    confirm_seeds: Annotated[int, Field(ge=1, le=100)] = 3
    """Seeds that every member of the final front, and every reference, is trained with."""
    patience: Annotated[int, Field(ge=1)] | None = 20
    """Proposals in a row that are expected to add less to the front than training its members
    again would seem to, by luck, before the search stops (`pareto` only); None: go on."""
    reduction: Annotated[int, Field(ge=2, le=1000)] | None = 3
    """With several proxy.rungs, one of so many networks goes on from a rung to the next (see
    `nas.strategy.halving`); None: all are trained up to the last one."""

    @field_validator("objectives")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        try:
            objectives = objectives_named(names)
        except SpecError as error:
            raise ValueError(str(error)) from None
        late = [item.name for item in objectives if not item.searched]
        if late:
            raise ValueError(f"found {late[0]!r}, which is known after a search only (nas retrain)")
        return names

    @model_validator(mode="after")
    def _focused(self) -> Self:
        for name, (low, high) in self.focus.items():
            if name not in self.objectives:
                raise ValueError(
                    f"focus on {name!r}, which is no objective; there are: "
                    + ", ".join(self.objectives)
                )
            if low >= high:
                raise ValueError(f"focus {name}: found {low} to {high}; allowed: the lower first")
        if self.focus and self.sampler != "pareto":
            raise ValueError(f"focus: sampler {self.sampler!r} cannot; use pareto")
        return self


class Backbone(BaseModel):
    """The plain network that probes and fine-tuning start from."""

    model_config = _STRICT

    weights: Literal["train", "pretrained"] = "train"
    """`train`: on the training images, once per run; `pretrained`: timm's."""
    epochs: Annotated[float, Field(gt=0)] = 8.0
    """Not to the end: blocks on a backbone that fits its training images have nothing to learn.
    On digits, after 20 epochs no network saved loss; after 8, most did."""
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """None: 0.1 from random weights and 0.01 from pretrained ones, for a batch of 128, and in
    proportion for others."""


class Proxy(BaseModel):
    """The cheap stand-in for full training (FACTS: which of them can be trusted)."""

    model_config = _STRICT

    kind: Literal["probe", "finetune", "scratch", "supernet", "supernet-whole"] = "probe"
    """`supernet`: one for the whole run, of the largest budget; candidates inherit its weights.
    Its backbone stays frozen, and with `supernet-whole` is trained, too."""
    rungs: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] | None = None
    """Budgets, each larger than the one before. None: what suits the kind and the images (see
    `settled`)."""
    unit: Literal["epochs", "steps", "images", "seconds"] = "epochs"
    """Budgets in seconds differ from machine to machine, and so do their results."""
    schedule: Literal["whole", "restart"] = "whole"
    """`whole`: one cycle of the learning rate over the largest budget, so that lower rungs stop
    on the way; `restart`: a cycle to each rung."""
    subset: Annotated[int, Field(ge=2)] | None = None
    """Train on this many of the training images, of each class its share; None: on all."""
    seeds: Annotated[int, Field(ge=1, le=100)] = 1
    """Seeds that every candidate is trained with (see also search.confirm_seeds)."""
    threads: Annotated[int, Field(ge=1)] = 1
    batch_size: Annotated[int, Field(ge=2)] = 64
    learning_rate: Annotated[float, Field(gt=0)] | None = None
    """None: what suits the kind and the batch."""
    resolution: Annotated[int, Field(ge=8, le=1024)] | None = None
    """Train on smaller images than the network will be deployed at; None: the same."""
    backbone: Backbone = Backbone()

    @field_validator("rungs")
    @classmethod
    def _rising(cls, rungs: list[float] | None) -> list[float] | None:
        if any(low >= high for low, high in pairwise(rungs or ())):
            raise ValueError(f"found {rungs}; allowed: each larger than the one before")
        return rungs

    @model_validator(mode="after")
    def _counted(self) -> Self:
        if self.rungs is None and self.unit != "epochs":
            raise ValueError(f"unit {self.unit!r} says what rungs count; give rungs, too")
        return self

    @property
    def budgets(self) -> list[float]:
        """The rungs of a run, whose file has them."""
        assert self.rungs is not None
        return self.rungs

    def steps(self, budget: float, images: int) -> float:
        """What a budget that is not in seconds comes to with so many training images."""
        per_epoch = max(1, min(images, self.subset or images) // self.batch_size)
        units = {"epochs": float(per_epoch), "steps": 1.0, "images": 1.0 / self.batch_size}
        return budget * units[self.unit]

    def settled(self, images: int) -> Proxy:
        """With the budget that suits so many training images, unless one is given.

        A probe gets 300 steps: thirty networks were ranked no better by three times as many, and
        the wrong way round by a third (benchmarks/training/proxy_study.py). Of a small set it
        gets no more than 3 epochs, which is then said. A supernet that trains its backbone
        gets 3,750 steps, which ranked those networks better than a fourth or four times as many; at
        most 20 epochs. Other kinds get their epochs.
        """
        if self.rungs is not None:
            return self
        epochs, steps = _EPOCHS[self.kind], _STEPS.get(self.kind)
        if steps is not None and self.steps(epochs, images) > steps:
            return self.model_copy(update={"rungs": [float(steps)], "unit": "steps"})
        return self.model_copy(update={"rungs": [epochs], "unit": "epochs"})


class Ray(BaseModel):
    """A Ray cluster, and what one trial gets of it (executors `ray` and `tune`)."""

    model_config = _STRICT

    address: str | None = None
    """None: RAY_ADDRESS where that is set, else a cluster of its own on this machine, reachable
    from it alone; `auto`: the one that this machine is part of; `host:port`; `ray://host:port`."""
    cpus: Annotated[float, Field(ge=0)] = 1
    gpus: Annotated[float, Field(ge=0)] = 0
    """Of a GPU: 0.5 puts two trials on each. Whole ones above 1."""
    resources: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Others that the nodes were given a name for, such as {a100: 1}."""
    placement: Literal["pack", "spread"] = "pack"
    latency: str | None = None
    """The resource of the node that latencies are measured on; None: the driver's node."""
    modules: list[str] = []
    """Folders of packages of one's own that workers need, sent along."""
    send_code: bool = True
    """Send this program to the workers of a cluster; False: they have it installed."""

    @field_validator("gpus")
    @classmethod
    def _whole_above_one(cls, gpus: float) -> float:
        if gpus > 1 and gpus != int(gpus):
            raise ValueError(f"found {gpus}; allowed: a fraction of one, or whole ones")
        return gpus

    @field_validator("resources")
    @classmethod
    def _others(cls, resources: dict[str, float]) -> dict[str, float]:
        if own := {"CPU", "GPU", "cpu", "gpu"} & set(resources):
            raise ValueError(f"found {sorted(own)[0]}; that is said by ray.cpus and ray.gpus")
        return resources

    @field_validator("address")
    @classmethod
    def _reachable(cls, address: str | None) -> str | None:
        if address is None or address == "auto":
            return address
        if re.fullmatch(r"(ray://)?[\w.-]+:\d{1,5}", address) is None:
            raise ValueError(f"found {address!r}; allowed: auto, host:port or ray://host:port")
        return address

    @property
    def needs(self) -> dict[str, float]:
        """What one trial takes of a node, by Ray's names."""
        taken = {"CPU": self.cpus, "GPU": self.gpus, **self.resources}
        return {name: amount for name, amount in taken.items() if amount}

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.needs:
            raise ValueError("a trial takes nothing of a node; give it cpus, gpus or resources")
        return self


class Runner(BaseModel):
    """Everything about a run that is not the space or the data."""

    model_config = _STRICT

    executor: Literal["local", "worker", "ray", "tune"] = "local"
    """`local`: processes of this machine; `worker`: whoever runs `nas worker` on this run; `ray`
    and `tune`: a Ray cluster, the latter through Ray Tune."""
    workers: Workers = "auto"
    """At most; `auto`: one per core, and with executor `worker` as many as there are."""
    storage: Storage = "journal"
    """`journal`: a file in the run folder; or the URL of a database, without its password."""
    checkpoints: Annotated[str, BeforeValidator(_checkpoints)] | None = None
    """Where trained weights are kept: `s3://BUCKET/FOLDER` or another object store of fsspec, from
    which workers then get images, too; None: in the run folder, which workers must share."""
    lease: Annotated[Duration, Field(ge=1)] = 60.0
    """Silence after which a worker's job is given to another, and a driver counts as dead."""
    search: SearchPlan = SearchPlan()
    proxy: Proxy = Proxy()
    ray: Ray = Ray()
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the training images that is cut off for validation, when there is no val/."""
    retrain: Retrain = Retrain()
    device: str = "local-onnxruntime"
    """A runtime to measure with on this machine (`openvino`, `onnxruntime-int8-threads4`), or
    the path of a device profile (`device.json`), from which latencies are then predicted."""
    loggers: list[Literal["tensorboard", "mlflow", "wandb"]] = []
    """Tools that are told what happens as well; each needs its extra."""

    @model_validator(mode="after")
    def _kept(self) -> Self:
        if self.executor == "tune" and self.storage != JOURNAL:
            raise ValueError(
                f"executor tune keeps its study in a journal; found storage {self.storage!r}; "
                "use executor ray with a database"
            )
        return self


def load_runner(path: str | Path | None = None, overrides: tuple[str, ...] = ()) -> Runner:
    """Read a runner file (None: the defaults) and apply `key.path=value` overrides.

    Raises SpecError: an unreadable file, an unknown key, a value out of range.
    """
    source = str(path) if path else "runner"
    data: Any = {}
    if path is not None:
        try:
            data = read_yaml(Path(path).read_text(encoding="utf-8"), source)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not a text file"
            raise SpecError(f"cannot read the runner {path}: {reason}") from None
    return with_overrides(parse(Runner, {} if data is None else data, source), overrides)


def with_overrides(runner: Runner, overrides: tuple[str, ...]) -> Runner:
    """A runner with `key.path=value` overrides applied. Raises SpecError."""
    if not overrides:
        return runner
    merged = runner.model_dump(mode="python")
    for override in overrides:
        _override(merged, override)
    return parse(Runner, merged, "--set")


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise SpecError(f"--set {override!r}: write key=value, as in --set proxy.kind=finetune")
    value = read_yaml(text, f"--set {key}")
    for depth, part in enumerate(path):
        if not isinstance(data, dict) or part not in data:
            allowed = ", ".join(sorted(data)) if isinstance(data, dict) else "none, it is a value"
            below = ".".join(path[:depth]) or "the runner"
            raise SpecError(
                f"--set {override!r}: unknown key {part!r}; allowed in {below}: {allowed}"
            )
        if depth == len(path) - 1:
            data[part] = value
        else:
            data = data[part]
