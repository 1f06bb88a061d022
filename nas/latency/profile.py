"""Device profiles: how long things take on one device, as a file that a person can read.

A profile holds the latency of each plain backbone and what each block adds at each site, and
corrects their sum by a few whole networks. No torch here: a finished front is projected onto
another device in a moment.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from nas.base.errors import SpecError
from nas.base.files import parse, read_json, write_whole
from nas.spec.architecture import EMPTY, KEEP, Architecture

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
"""Relative; what repeated measurements of one network differ by at best."""
Milliseconds = Annotated[float, Field(gt=0)]


class BackboneLatencies(BaseModel):
    """A backbone at a resolution: its own latency, and site -> label -> what that adds, ms."""

    model_config = _STRICT

    backbone: str
    resolution: int
    total_stride: int | None
    plain_ms: Milliseconds
    added_ms: dict[str, dict[str, float]]


class WholeNetwork(BaseModel):
    """A whole network as measured. spread: half the relative difference of two halves, None
    when it was timed once. fitted: it took part in the correction.
    """

    model_config = _STRICT

    architecture: str
    measured_ms: Milliseconds
    spread: Annotated[float, Field(ge=0)] | None
    fitted: bool


class Correction(BaseModel):
    """latency = plain + offset_ms + slope * added + each_ms * blocks, and how sure that is.

    covariance: of the three coefficients; noise: relative standard deviation of a network
    about its prediction, known to `freedom` degrees of freedom.
    """

    model_config = _STRICT

    offset_ms: float = 0.0
    slope: float = 1.0
    each_ms: float = 0.0
    covariance: list[list[float]] = [[0.0] * 3] * 3
    noise: Annotated[float, Field(ge=0)] = 0.0
    freedom: Annotated[float, Field(ge=1)] = 1.0


@dataclass(frozen=True, slots=True)
class Prediction:
    """latency_ms: of one inference of a batch; half_width_ms: of its 90 % interval."""

    latency_ms: float
    half_width_ms: float


class Profile(BaseModel):
    """How long the networks of a space take on one device.

    device: runtime, threads, batch and precision in one name; runtime: with its version.
    repeatability: 95th percentile of the relative split-half difference of whole networks;
    above 0.03, or None (timed once), a profile is not certified.
    """

    model_config = _STRICT

    version: Literal[1] = 1
    device: str
    runtime: str
    processor: str
    clock: str
    measured: str
    space: str
    classes: int
    branches: list[BackboneLatencies]
    networks: list[WholeNetwork]
    correction: Correction
    repeatability: Annotated[float, Field(ge=0)] | None

    @property
    def certified(self) -> bool:
        return self.repeatability is not None and self.repeatability <= 0.03

    def predict(self, architecture: Architecture) -> Prediction:
        """Raises SpecError for a backbone, site or block that was not measured: never 0 ms."""
        plain, added, blocks = self.parts(architecture)
        mean, half = correct(
            self.correction, np.array([plain]), np.array([added]), np.array([blocks])
        )
        return Prediction(float(mean[0]), float(half[0]))

    def predict_many(
        self, architectures: Sequence[Architecture]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latencies and half-widths of their 90 % intervals, (n,) each, ms. Raises SpecError."""
        parts = np.array([self.parts(item) for item in architectures]).reshape(-1, 3)
        return correct(self.correction, parts[:, 0], parts[:, 1], parts[:, 2])

    def parts(self, architecture: Architecture) -> tuple[float, float, int]:
        """The plain network's latency, what the insertions add to it, and how many blocks."""
        branch = self.branch(architecture)
        added = 0.0
        for insertion in architecture.insertions:
            known = branch.added_ms.get(insertion.site)
            if known is None:
                raise SpecError(self._unknown(f"no site {insertion.site}"))
            if insertion.label not in known:
                raise SpecError(self._unknown(f"no {insertion.label} at {insertion.site}"))
            added += known[insertion.label]
        return branch.plain_ms, added, len(architecture.blocks)

    def branch(self, architecture: Architecture) -> BackboneLatencies:
        wanted = (architecture.backbone, architecture.resolution, architecture.total_stride)
        for branch in self.branches:
            if (branch.backbone, branch.resolution, branch.total_stride) == wanted:
                return branch
        stride = f", total stride {wanted[2]}" if wanted[2] else ""
        raise SpecError(self._unknown(f"no {wanted[0]} at {wanted[1]}x{wanted[1]}{stride}"))

    def _unknown(self, what: str) -> str:
        return (
            f"the profile of {self.device} for space {self.space!r} holds {what}; measure one for "
            "the space that is searched: nas profile SPACE --out FILE"
        )

    def choices(
        self, branch: BackboneLatencies, sites: Sequence[str], labels: Sequence[str]
    ) -> NDArray[np.float64]:
        """What each choice of a place adds: (labels, 2), milliseconds and number of blocks.

        To predict a million networks, add up one row of each place, and give the sums to
        `correct` with the branch's plain latency. Raises SpecError.
        """
        held = [branch.added_ms.get(site, {}) for site in sites]
        rows = []
        for label in labels:
            if label == KEEP:
                rows.append((0.0, 0))
            elif label == EMPTY:
                rows.append((sum(known.get(EMPTY, 0.0) for known in held), 0))
            elif all(label in known for known in held):
                rows.append((sum(known[label] for known in held), len(held)))
            else:
                raise SpecError(self._unknown(f"no {label} at {sites[0]}"))
        return np.array(rows, dtype=np.float64)

    def write(self, path: str | Path) -> None:
        """As JSON, whole. Raises StorageError."""
        with write_whole(Path(path)) as temporary:
            temporary.write_text(json.dumps(self.model_dump(), indent=1) + "\n")


def load_profile(path: str | Path) -> Profile:
    """Read a profile. Raises SpecError: no such file, not a profile, of another version."""
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
    """Latencies and half-widths of 90 % intervals from the parts of n networks, (n,) each."""
    rows = np.stack([np.ones_like(added_ms), added_ms, blocks], axis=1)
    coefficients = np.array([correction.offset_ms, correction.slope, correction.each_ms])
    # Nothing is slower for standing nowhere: the plain network was itself measured.
    mean = plain_ms + np.where(blocks > 0, rows @ coefficients, added_ms)
    mean = np.maximum(mean, 0.01 * plain_ms)
    variance = np.einsum("ni,ij,nj->n", rows, np.array(correction.covariance), rows)
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
    """Least squares on relative errors of a few whole networks, (n,) each, held near the plain
    sum by a weak prior: blocks cost up to 15 % less or more in a network than alone, and the
    rest is up to 2 % of it.
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
        found = covariance @ (rows.T @ target / noise**2 + center / scale**2)
        residuals = target - rows @ found
        used = float(np.trace(rows @ covariance @ rows.T)) / noise**2
        freedom = max(1.0, len(target) - used)
        noise = max(_LEAST_NOISE, float(np.sqrt(residuals @ residuals / freedom)))
    offset, slope, each = (float(value) for value in found)
    return Correction(
        offset_ms=offset,
        slope=slope,
        each_ms=each,
        covariance=covariance.tolist(),
        noise=noise,
        freedom=freedom,
    )
