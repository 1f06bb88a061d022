"""Measurements of each block: its time at a usual site, and what runs it.

The numbers are in `measured.json`, which a person can read; `benchmarks/blocks/measured.py` writes
it. Nothing is measured when it is read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from nas.base.files import parse, read_json

__all__ = ["MeasuredAccelerator", "MeasuredBlock", "MeasuredBlocks", "UsualSite"]

_STRICT = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
_FILE = Path(__file__).with_name("measured.json")
_SAME = 1e-4
"""The largest difference of a runtime that is rounding, as a share of the largest score."""


class UsualSite(BaseModel):
    """The place where blocks were timed.

    time_ms: of the residual block around the site, with nothing there.
    """

    model_config = _STRICT

    backbone: str
    resolution: Annotated[int, Field(ge=1)]
    site: str
    channels: Annotated[int, Field(ge=1)]
    height: Annotated[int, Field(ge=1)]
    width: Annotated[int, Field(ge=1)]
    time_ms: Annotated[float, Field(gt=0)]


class MeasuredAccelerator(BaseModel):
    """The operators of a small network around a block that an accelerator takes.

    inside: how many it takes.
    outside: operator -> how many it leaves to the processor.
    """

    model_config = _STRICT

    inside: Annotated[int, Field(ge=0)]
    outside: dict[str, Annotated[int, Field(ge=1)]]


class MeasuredBlock(BaseModel):
    """The measurements of one block, with the paper's options.

    time: added at the usual site, as a share of the time of the residual block there; None where
        the block does not fit it.
    spread: half the difference between the even and the odd rounds of it, as a share of both.
    differences: runtime or format -> the largest difference of its scores from torch's, as a share
        of the largest; None where it does not run the block.
    failures: runtime or format -> why it does not.
    accelerators: name -> what it takes, by ONNX Runtime's own checker.
    """

    model_config = _STRICT

    time: float | None
    spread: float | None
    differences: dict[str, Annotated[float, Field(ge=0)] | None]
    failures: dict[str, str]
    accelerators: dict[str, MeasuredAccelerator]

    @property
    def taken_by(self) -> tuple[str, ...]:
        """Return the runtimes and formats that give torch's scores."""
        return tuple(
            name
            for name, difference in self.differences.items()
            if difference is not None and difference < _SAME
        )

    @property
    def refused_by(self) -> tuple[str, ...]:
        """Return those that were tried and do not."""
        return tuple(name for name in self.differences if name not in self.taken_by)


class MeasuredBlocks(BaseModel):
    """The file.

    machine, date: what times were taken on, and when.
    timed_by: the runtime that times are of.
    versions: runtime or format -> what was installed.
    """

    model_config = _STRICT

    version: Literal[1]
    about: str
    machine: str
    date: str
    timed_by: str
    site: UsualSite
    versions: dict[str, str]
    blocks: dict[str, MeasuredBlock]

    @classmethod
    def load(cls, path: str | Path | None = None) -> MeasuredBlocks:
        """Read what was measured; without a path, that of the package.

        Raises SpecError when the file cannot be read or is wrong.
        """
        path = _FILE if path is None else Path(path)
        advice = "python -m benchmarks.blocks.measured writes one"
        return parse(cls, read_json(path, "what was measured of blocks", advice), str(path))
