"""The profile of a device: how long networks take on it, as a file that a person can read.

A profile holds the latency of each plain backbone and what each block adds at each site, and
corrects their sum by a few whole networks. No torch here: a finished front is projected onto
another device in a moment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from nas.base.errors import SpecError
from nas.base.files import parse, read_json, write_model
from nas.base.formats import one_line
from nas.base.size import Resolution
from nas.spec.architecture import EMPTY, KEEP, Architecture
from nas.spec.resolution import WrittenResolution
from nas.spec.task import Task, TaskName

__all__ = [
    "BackboneLatencies",
    "Correction",
    "Prediction",
    "Profile",
    "WholeNetwork",
    "correct",
    "fit_correction",
    "load_profile",
]

VERSION = 1
_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
# Where memory happens to lie moves all networks of a process against its anchor; one profile is
# measured in one process and cannot know. Seen between five processes.
_BETWEEN_PROCESSES = 0.007
_COVERAGE = 0.9
_LEAST_NOISE = 0.005
"""The relative noise that repeated measurements of one network have at best."""
_CERTIFIED = 0.03
"""How far measurements of whole networks repeat in a profile that is certified."""
_MOST = 1e9
"""Above any figure of a profile in size; squares of it are still numbers."""
Milliseconds = Annotated[float, Field(ge=1e-9, le=_MOST)]
Bounded = Annotated[float, Field(ge=-_MOST, le=_MOST)]
Row = Annotated[list[Bounded], Field(min_length=3, max_length=3)]
Line = Annotated[str, AfterValidator(one_line)]
"""A text that is shown: a profile may come from anywhere."""


def _without(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """Leave a field out that is not set, which earlier versions of this program do not know."""
    return {key: value for key, value in fields.items() if key != name or value is not None}


class BackboneLatencies(BaseModel):
    """A backbone at a resolution.

    plain_ms: its own latency.
    added_ms: site -> label -> what the block adds, ms.
    """

    model_config = _STRICT

    backbone: Line
    resolution: WrittenResolution
    total_stride: int | None
    output_stride: int | None = None
    plain_ms: Milliseconds
    added_ms: dict[Line, dict[Line, Bounded]]

    @model_serializer(mode="wrap")
    def _leave_out(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without(write(self), "output_stride")

    @property
    def key(self) -> tuple[str, Resolution, int | None, int | None]:
        """What it is of: backbone, resolution, total stride and output stride."""
        return self.backbone, self.resolution, self.total_stride, self.output_stride


class WholeNetwork(BaseModel):
    """A whole network as measured.

    architecture: canonical JSON.
    spread: half the relative difference of two halves; None when it was timed once.
    fitted: whether it took part in the correction.
    """

    model_config = _STRICT

    architecture: str
    measured_ms: Milliseconds
    spread: Annotated[float, Field(ge=0)] | None
    fitted: bool


class Correction(BaseModel):
    """The correction of a sum: plain + offset_ms + slope * added + each_ms * blocks.

    covariance: (3, 3) of the three coefficients.
    noise: relative standard deviation of a network about its prediction.
    freedom: degrees of freedom that the noise is known to.
    """

    model_config = _STRICT

    offset_ms: Bounded = 0.0
    slope: Bounded = 1.0
    each_ms: Bounded = 0.0
    covariance: Annotated[list[Row], Field(min_length=3, max_length=3)] = [[0.0] * 3] * 3
    noise: Annotated[float, Field(ge=0, le=_MOST)] = 0.0
    freedom: Annotated[float, Field(ge=1, le=_MOST)] = 1.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """A predicted latency.

    latency_ms: of one inference of a batch.
    half_width_ms: of its 90 % interval.
    """

    latency_ms: float
    half_width_ms: float


class Profile(BaseModel):
    """The latencies of a space's networks on one device.

    device: runtime, threads, batch and precision in one name.
    runtime: with its version.
    clock: what the times were told by.
    measured: the date and time.
    classes: number of them, in the whole networks.
    purpose, head: the task of the whole networks, and what stands around their backbone.
    branches: one for each backbone and resolution.
    networks: those that were measured whole.
    repeatability: 95th percentile of the relative split-half difference of whole networks; None
        when they were timed once.
    conditions: of a GPU when all was measured: its clock and what held it back, in words.
    """

    model_config = _STRICT

    version: Literal[1] = 1
    device: Line
    runtime: Line
    processor: Line
    clock: Line
    measured: Line
    space: Line
    classes: int
    purpose: TaskName = "classification"
    head: str = "classifier"
    branches: list[BackboneLatencies]
    networks: list[WholeNetwork]
    correction: Correction
    repeatability: Annotated[float, Field(ge=0)] | None
    conditions: Line | None = None

    @model_serializer(mode="wrap")
    def _leave_out(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _without(write(self), "conditions")

    @property
    def task(self) -> Task:
        """The task that its networks are for."""
        return Task(self.purpose, self.classes, self.head)

    def check_task(self, task: Task, called: str) -> None:
        """Check that its networks are for a task, with its head.

        called: what the user calls the profile, for the error.
        Raises SpecError.
        """
        of = self.task
        if (of.name, of.head) != (task.name, task.head):
            raise SpecError(
                f"profile {called} is of {of.name} with head {of.head}, and networks are for "
                f"{task.name} with head {task.head}; measure another: nas profile SPACE --task "
                f"{task.name} --head {task.head} --out FILE.json"
            )

    @property
    def certified(self) -> bool:
        """True where repeated measurements of whole networks agree well enough."""
        return self.repeatability is not None and self.repeatability <= _CERTIFIED

    @property
    def doubt(self) -> str | None:
        """A sentence on why its latencies are to be doubted; None where it is certified."""
        if self.certified:
            return None
        why = "it was timed once, so how far its latencies can be trusted is not known"
        if self.repeatability is not None:
            repeats = f"{self.repeatability:.1%} ({_CERTIFIED:.0%} is asked for)"
            why = f"its measurements repeat to {repeats}"
        return f"The profile of {self.device} on {self.processor} is not certified: {why}."

    def predict(self, architecture: Architecture) -> Prediction:
        """Predict the latency of a network.

        Raises SpecError for a backbone, site or block that was not measured: never 0 ms.
        """
        plain, added, blocks = self.parts(architecture)
        mean, half = correct(
            self.correction, np.array([plain]), np.array([added]), np.array([blocks])
        )
        return Prediction(float(mean[0]), float(half[0]))

    def predict_many(
        self, architectures: Sequence[Architecture]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Predict latencies of n networks.

        Returns latencies and half-widths of their 90 % intervals, (n,) each, ms.
        Raises SpecError as `predict` does.
        """
        parts = np.array([self.parts(item) for item in architectures]).reshape(-1, 3)
        return correct(self.correction, parts[:, 0], parts[:, 1], parts[:, 2])

    def parts(self, architecture: Architecture) -> tuple[float, float, int]:
        """Return the plain network's latency, what the insertions add to it, how many blocks.

        Both are milliseconds. Raises SpecError for what was not measured.
        """
        branch = self.branch(architecture)
        added = 0.0
        for insertion in architecture.insertions:
            site = branch.added_ms.get(insertion.site)
            if site is None:
                raise SpecError(self._lacks(f"no site {insertion.site}"))
            if insertion.label not in site:
                raise SpecError(self._lacks(f"no {insertion.label} at {insertion.site}"))
            added += site[insertion.label]
        return branch.plain_ms, added, len(architecture.blocks)

    def branch(self, architecture: Architecture) -> BackboneLatencies:
        """Return what was measured of an architecture's backbone at its resolution.

        Raises SpecError when nothing was.
        """
        wanted = (
            architecture.backbone,
            architecture.resolution,
            architecture.total_stride,
            architecture.output_stride,
        )
        for branch in self.branches:
            if branch.key == wanted:
                return branch
        stride = f", total stride {wanted[2]}" if wanted[2] else ""
        stride += f", output stride {wanted[3]}" if wanted[3] else ""
        raise SpecError(self._lacks(f"no {wanted[0]} at {architecture.size}{stride}"))

    def _lacks(self, what: str) -> str:
        return (
            f"the profile of {self.device} for space {self.space!r} holds {what}; measure one for "
            "the space that is searched: nas profile SPACE --out FILE"
        )

    def choices(
        self, branch: BackboneLatencies, sites: Sequence[str], labels: Sequence[str]
    ) -> NDArray[np.float64]:
        """Return what each choice of one decision adds: (labels, 2), milliseconds and blocks.

        To predict a million networks, add up one row of each decision, and give the sums to
        `correct` with the branch's plain latency.

        sites: those that are chosen as one.
        labels: the choices.
        Raises SpecError for a block that was not measured there.
        """
        tables = [branch.added_ms.get(site, {}) for site in sites]
        rows = []
        for label in labels:
            if label == KEEP:
                rows.append((0.0, 0))
            elif label == EMPTY:
                rows.append((sum(table.get(EMPTY, 0.0) for table in tables), 0))
            elif all(label in table for table in tables):
                rows.append((sum(table[label] for table in tables), len(tables)))
            else:
                raise SpecError(self._lacks(f"no {label} at {sites[0]}"))
        return np.array(rows, dtype=np.float64)

    def write(self, path: str | Path) -> None:
        """Write the profile as JSON, whole. Raises StorageError."""
        write_model(path, self)


def load_profile(path: str | Path) -> Profile:
    """Read a profile.

    Raises SpecError when there is no such file, it is no profile, or of another version.
    """
    path = Path(path)
    data = read_json(path, "the device profile")
    if not isinstance(data, dict) or "branches" not in data:
        raise SpecError(f"{path} is no device profile; measure one: nas profile SPACE --out FILE")
    if data.get("version") != VERSION:
        raise SpecError(
            f"{path} is a profile of version {data.get('version')!r}; {VERSION} is read here: "
            "measure it again"
        )
    return parse(Profile, data, str(path))


def correct(
    correction: Correction,
    plain_ms: NDArray[np.float64],
    added_ms: NDArray[np.float64],
    blocks: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Correct the sums of n networks.

    plain_ms, added_ms, blocks: (n,) each, as `Profile.parts` tells them apart.
    Returns latencies and half-widths of their 90 % intervals, (n,) each, ms.
    """
    rows = np.stack([np.ones_like(added_ms), added_ms, blocks], axis=1)
    coefficients = np.array([correction.offset_ms, correction.slope, correction.each_ms])
    # Nothing is slower for standing nowhere: the plain network was itself measured.
    mean = plain_ms + np.where(blocks > 0, rows @ coefficients, added_ms)
    mean = np.maximum(mean, 0.01 * plain_ms)
    variance = np.einsum("ni,ij,nj->n", rows, np.array(correction.covariance), rows)
    variance = np.maximum(variance, 0.0)  # of what is no covariance, from elsewhere
    variance += (correction.noise**2 + _BETWEEN_PROCESSES**2) * mean**2
    from scipy.stats import t as student  # half a second, for those who ask for a prediction

    quantile = float(student.ppf((1 + _COVERAGE) / 2, correction.freedom))
    return mean, quantile * np.sqrt(variance)


def fit_correction(
    plain_ms: NDArray[np.float64],
    added_ms: NDArray[np.float64],
    blocks: NDArray[np.float64],
    measured_ms: NDArray[np.float64],
) -> Correction:
    """Fit a correction by least squares on the relative errors of a few whole networks.

    A weak prior holds it near the plain sum: blocks cost up to 15 % less or more in a network
    than alone, and the rest is up to 2 % of it.

    plain_ms, added_ms, blocks: (n,) each, as `Profile.parts` tells them apart.
    measured_ms: (n,).
    """
    if len(measured_ms) == 0:
        return Correction(noise=0.05)
    rows = np.stack([np.ones_like(added_ms), added_ms, blocks], axis=1) / measured_ms[:, None]
    target = (measured_ms - plain_ms) / measured_ms
    typical = float(np.mean(plain_ms))
    most = max(1.0, float(blocks.max(initial=1.0)))
    center = np.array([0.0, 1.0, 0.0])
    scale = np.array([0.02 * typical, 0.15, 0.02 * typical / most])
    noise = _LEAST_NOISE
    for _ in range(10):
        precision = rows.T @ rows / noise**2 + np.diag(scale**-2.0)
        covariance = np.linalg.inv(precision)
        coefficients = covariance @ (rows.T @ target / noise**2 + center / scale**2)
        residuals = target - rows @ coefficients
        used = float(np.trace(rows @ covariance @ rows.T)) / noise**2
        freedom = max(1.0, len(target) - used)
        noise = max(_LEAST_NOISE, float(np.sqrt(residuals @ residuals / freedom)))
    offset, slope, each = (float(value) for value in coefficients)
    return Correction(
        offset_ms=offset,
        slope=slope,
        each_ms=each,
        covariance=covariance.tolist(),
        noise=noise,
        freedom=freedom,
    )
