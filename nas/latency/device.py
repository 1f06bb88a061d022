"""The device that a latency is measured on: a runtime, its threads, a batch and a precision."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from nas.base.errors import SpecError

__all__ = ["Clock", "Device"]

Clock = Literal["thread", "process", "device", "wall"]
"""The clock that a time is told by.

thread: CPU time of the thread that calls; sees the work of one thread, and holds beside other work.
process: CPU time of all threads of this process, added up.
device: CUDA events, which sessions keep as `device_ms` of their last call.
wall: the clock on the wall; right on several threads, and wants an idle machine.
"""

_MOST = 1024


@dataclass(frozen=True, slots=True)
class Device:
    """A way of running networks on this machine.

    It is a plain value: whether there is such a runtime, and what tells its time, is known to
    `nas.latency.runtime`.

    threads: that one inference runs on.
    batch: images in one inference.
    Raises SpecError for numbers that no device takes.
    """

    runtime: str
    threads: int = 1
    batch: int = 1
    precision: str = "fp32"

    def __post_init__(self) -> None:
        for what, value in (("threads", self.threads), ("batch", self.batch)):
            if not 1 <= value <= _MOST:
                raise SpecError(f"{what} {value} of {self.runtime}; allowed: 1 to {_MOST}")

    @property
    def name(self) -> str:
        """The canonical name: `onnxruntime`, `onnxruntime-int8`, `openvino-threads4-batch8`."""
        parts = [self.runtime]
        if self.precision != "fp32":
            parts.append(self.precision)
        if self.threads != 1:
            parts.append(f"threads{self.threads}")
        if self.batch != 1:
            parts.append(f"batch{self.batch}")
        return "-".join(parts)

    @classmethod
    def parse(cls, name: str) -> Device:
        """Read a name; `local-` in front, as runner files have it, says nothing more.

        Raises SpecError for a name that says something twice.
        """
        runtime, *parts = name.removeprefix("local-").split("-")
        settings: dict[str, str] = {}
        for part in parts:
            match = re.fullmatch(r"(threads|batch)([0-9]{1,9})", part)
            key, value = (match[1], match[2]) if match else ("precision", part)
            if key in settings:
                raise SpecError(f"device {name!r} says {key} twice: {settings[key]} and {value}")
            settings[key] = value
        return cls(
            runtime,
            threads=int(settings.get("threads", 1)),
            batch=int(settings.get("batch", 1)),
            precision=settings.get("precision", "fp32"),
        )
