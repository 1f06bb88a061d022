"""The runner file: how, where and how long a search runs.

Its section `search` is in nas/spec/search_plan.py, `proxy` in nas/spec/proxy.py, `retrain` in
nas/spec/recipe.py.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from nas.base.content import read_content
from nas.base.errors import SpecError
from nas.base.files import parse, read_yaml
from nas.base.object_store import check_url
from nas.spec.duration import Duration
from nas.spec.proxy import KINDS, PROBE_STEPS, Backbone, Proxy, Regime
from nas.spec.recipe import WEIGHTS, Retrain
from nas.spec.search_plan import SearchPlan
from nas.spec.side_by_side import Placement
from nas.spec.storage_url import PASSWORD, StorageUrl
from nas.spec.task import TASKS, Figure, Task, TaskName

__all__ = [
    "JOURNAL",
    "PROBE_STEPS",
    "TRAINS_HERE",
    "Backbone",
    "Normalisation",
    "Proxy",
    "Ray",
    "Regime",
    "Runner",
    "check_regime",
    "load_runner",
    "with_overrides",
]

Channels = tuple[float, float, float]

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _validation(value: object) -> object:
    number = isinstance(value, float | int) and not isinstance(value, bool) and 0 < value < 1
    folder = isinstance(value, str) and re.fullmatch(r"[\s\d.+-]*", value) is None
    if not number and not folder:
        raise ValueError(
            f"found {value!r}; allowed: less than 1 and above 0, as a share, or the path of a "
            "folder with <class>/<images>"
        )
    return value


Validation = Annotated[float | str, BeforeValidator(_validation)]


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
        raise ValueError(
            f"leave out '#{address.study}': a run names its study itself (a # in the name of a "
            "file or a database is written %23)"
        )
    return str(address)


def _checkpoints(value: object) -> object:
    if isinstance(value, str):
        try:
            check_url(value)
        except SpecError as error:
            raise ValueError(str(error)) from None
    return value


JOURNAL = "journal"
TRAINS_HERE = frozenset({"local"})
"""The executors whose workers train on the machine that a search is started on."""
Storage = Annotated[str, BeforeValidator(_storage)]


class Ray(BaseModel):
    """A Ray cluster, and what one trial gets of it (executors `ray` and `tune`)."""

    model_config = _STRICT

    address: str | None = None
    """None: RAY_ADDRESS where that is set, else a cluster of its own on this machine, reachable
    from it alone; `auto`: the one that this machine is part of; `host:port`; `ray://host:port`."""
    cpus: Annotated[float, Field(ge=0)] = 1
    gpus: Annotated[float, Field(ge=0)] = 0
    """GPUs of one trial: 0.5 puts two trials on each. Whole ones above 1."""
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
        """The resources that one trial takes of a node, by Ray's names."""
        amounts = {"CPU": self.cpus, "GPU": self.gpus, **self.resources}
        return {name: amount for name, amount in amounts.items() if amount}

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.needs:
            raise ValueError("a trial takes nothing of a node; give it cpus, gpus or resources")
        return self


class Normalisation(BaseModel):
    """How pixels are scaled for the network: (pixel - mean) / std for each channel, RGB.

    mean, std: of pixels from 0 to 1, as timm and torchvision give them.
    """

    model_config = _STRICT

    mean: Annotated[list[float], Field(min_length=3, max_length=3)]
    std: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=3, max_length=3)]


def _levels(shares: list[float]) -> Channels:
    red, green, blue = (255 * share for share in shares)
    return red, green, blue


class Runner(BaseModel):
    """The runner file: everything about a run that is not the space or the data."""

    model_config = _STRICT

    executor: Literal["local", "worker", "ray", "tune"] = "local"
    """`local`: processes of this machine; `worker`: whoever runs `nas worker` on this run; `ray`
    and `tune`: a Ray cluster, the latter through Ray Tune."""
    workers: Workers = "auto"
    """At most; `auto`: one per core, and with executor `worker` as many as there are."""
    side_by_side: Placement = "processes"
    """How the trainings of one GPU share it, with executor `local`: see `nas.spec.side_by_side`."""
    storage: Storage = "journal"
    """`journal`: a file in the run folder; or the URL of a database, without its password."""
    checkpoints: Annotated[str, BeforeValidator(_checkpoints)] | None = None
    """Where trained weights are kept: `s3://BUCKET/FOLDER` or another object store of fsspec, from
    which workers then get images, too; None: in the run folder, which workers must share."""
    lease: Annotated[Duration, Field(ge=1)] = 60.0
    """Silence after which a worker's job is given to another, and a driver counts as dead."""
    regime: Regime = "scratch"
    """The question. `scratch`: of networks that will be trained from random weights, which proxy
    and full training then do; `finetune`: of trained weights that will be trained on, from where
    both start. Left out beside a kind of proxy: that of the kind; beside a file of weights:
    finetune."""
    search: SearchPlan = SearchPlan()
    proxy: Proxy = Proxy()
    ray: Ray = Ray()
    validation: Validation = 0.2
    """Share of the training images that is cut off for validation, when there is no val/; or the
    path of a folder with <class>/<images>, which are used instead."""
    test: str | None = None
    """The path of such a folder of test images, which full trainings are judged by once; None: the
    test part that the data brings."""
    task: TaskName | None = None
    """What networks are for; None: what the data is clearly annotated for, else classification. A
    search writes it down."""
    head: str | None = None
    """The network around the backbone (see `nas.spec.task`); None: the task's usual one."""
    classes: dict[str, list[str]] = {}
    """Classes of masks and boxes: a name -> the names of the classes that it is made of; `*`
    stands for all that no other names, and what none names does not count, or is no object. Empty:
    the data's own classes."""
    resize: Literal["crop", "stretch", "pad"] | None = None
    """What becomes of images of another shape than networks read: `crop` takes the largest part of
    that shape in the middle, `stretch` all of it in that shape, `pad` all of it between black
    bars. None: crop, but stretch where all of an image counts, as for segmentation and
    detection."""
    normalisation: Normalisation | None = None
    """None: by mean and deviation of the training images; beside trained weights, as those were
    trained, where that is known. A search writes it down."""
    retrain: Retrain = Retrain()
    device: str = "local-onnxruntime"
    """A runtime to measure with on this machine (`openvino`, `onnxruntime-int8-threads4`), or
    the path of a device profile (`device.json`), from which latencies are then predicted."""
    loggers: list[Literal["tensorboard", "mlflow", "wandb"]] = []
    """Tools that are told what happens as well; each needs its extra."""

    @property
    def pixel_levels(self) -> tuple[Channels, Channels] | None:
        """Mean and deviation of pixels from 0 to 255, where `normalisation` gives them."""
        if self.normalisation is None:
            return None
        return _levels(self.normalisation.mean), _levels(self.normalisation.std)

    @property
    def figure(self) -> Figure:
        """The figure that networks are judged by, beside their loss."""
        return TASKS[self.task or "classification"].figures[0]

    def task_on(self, classes: int) -> Task:
        """Return what networks are for, on images of so many classes. Raises SpecError."""
        return Task.of(self.task or "classification", classes, self.head)

    @property
    def device_profile(self) -> Path | None:
        """The profile that `device` names; None where it names a runtime of this machine."""
        return Path(self.device) if self.device.endswith(".json") else None

    @model_validator(mode="after")
    def _asked(self) -> Self:
        # What is concluded is not marked as given, so that a change of the other concludes anew.
        asked, kind_left_out = self.regime, "kind" not in self.proxy.model_fields_set
        if "regime" not in self.model_fields_set:
            # Whoever brings weights has a network to train on from.
            given = self.proxy.backbone.file is not None and kind_left_out
            asked = "finetune" if given else self.proxy.regime
            object.__setattr__(self, "regime", asked)
        if kind_left_out and self.proxy.regime != asked:
            proxy = self.proxy.model_copy()
            object.__setattr__(proxy, "kind", KINDS[asked][0])
            object.__setattr__(self, "proxy", proxy)
        if self.proxy.regime != self.regime:
            raise ValueError(
                f"regime {self.regime} with proxy.kind {self.proxy.kind}; allowed: "
                f"{' or '.join(KINDS[self.regime])}, or regime {self.proxy.regime}"
            )
        if self.regime == "finetune" and self.proxy.start == "paper":
            raise ValueError(
                "regime finetune with proxy.start paper: beside trained weights blocks start as "
                "identities; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _kept(self) -> Self:
        if self.executor == "tune" and self.storage != JOURNAL:
            raise ValueError(
                f"executor tune keeps its study in a journal; found storage {self.storage!r}; "
                "use executor ray with a database"
            )
        if self.side_by_side != "processes" and self.executor != "local":
            raise ValueError(
                f"side_by_side {self.side_by_side} is of executor local; found {self.executor}, "
                "whose workers have one training each: use processes"
            )
        return self


def load_runner(path: str | Path | None = None, overrides: tuple[str, ...] = ()) -> Runner:
    """Read a runner file and apply overrides.

    path: of a file, or the name of one that comes with the program; None means the defaults.
    overrides: texts of `key.path=value`.
    Raises SpecError for an unreadable file, an unknown key or a value out of range.
    """
    source = str(path) if path else "runner"
    data: Any = {}
    if path is not None:
        data = read_yaml(read_content("runners", path, "the runner"), source)
    runner = with_overrides(parse(Runner, {} if data is None else data, source), overrides)
    check_regime(runner, source)
    return runner


def given_runner(runner: Runner | str | Path | None) -> Runner:
    """Return a runner that is given as it is, or as its file. Raises SpecError as `load_runner`.

    None means the defaults.
    """
    return runner if isinstance(runner, Runner) else load_runner(runner)


def with_overrides(runner: Runner, overrides: tuple[str, ...], source: str = "--set") -> Runner:
    """Return a runner with `key.path=value` overrides applied.

    source: of the overrides, in errors.
    Raises SpecError.
    """
    if not overrides:
        return runner
    known = runner.model_dump(mode="python")
    # Into what was given, so that what follows from it follows from the change.
    given = runner.model_dump(mode="python", exclude_unset=True)
    for override in overrides:
        _override(known, given, override)
    changed = parse(Runner, given, source)
    check_regime(changed, source)
    return changed


def check_regime(runner: Runner, source: str) -> None:
    """Raise SpecError where a training would start from other weights than the regime says.

    Not part of reading: files from before there were regimes hold both, each as it was meant.
    """
    trained = runner.proxy.backbone.weights
    if runner.regime == "scratch" and trained != "train":
        raise SpecError(
            f"{source}: regime scratch with proxy.backbone.weights {trained}, from which nothing "
            "would start; leave it out, or take regime finetune"
        )
    weights, regime = runner.retrain.weights, runner.regime
    if "regime" in runner.model_fields_set and weights not in (None, *WEIGHTS[regime]):
        other = next(name for name in WEIGHTS if weights in WEIGHTS[name])
        raise SpecError(
            f"{source}: regime {regime} with retrain.weights {weights}; allowed: "
            f"{' or '.join(WEIGHTS[regime])}, or regime {other}"
        )


def _override(known: dict[str, Any], given: dict[str, Any], override: str) -> None:
    """Put one override into what was given. known: every key, with its value."""
    key, equals, text = override.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise SpecError(f"--set {override!r}: write key=value, as in --set proxy.kind=finetune")
    value = read_yaml(text, f"--set {key}")
    for depth, part in enumerate(path):
        if not isinstance(known, dict) or part not in known:
            allowed = ", ".join(sorted(known)) if isinstance(known, dict) else "none, it is a value"
            below = ".".join(path[:depth]) or "the runner"
            raise SpecError(
                f"--set {override!r}: unknown key {part!r}; allowed in {below}: {allowed}"
            )
        if depth == len(path) - 1:
            known[part] = given[part] = value
        else:
            known, given = known[part], given.setdefault(part, {})
