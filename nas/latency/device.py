"""What a latency is measured on: a runtime, its threads, a batch and a precision."""

from __future__ import annotations

import re
from dataclasses import dataclass

from nas.errors import SpecError
from nas.latency.measure import Clock
from nas.latency.runtime import RUNTIMES

__all__ = ["Device"]

_MOST = 1024


@dataclass(frozen=True, slots=True)
class Device:
    """One way of running networks on this machine. Raises SpecError for what there is not."""

    runtime: str
    threads: int = 1
    batch: int = 1
    precision: str = "fp32"

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise SpecError(f"unknown runtime {self.runtime!r}; known: {', '.join(RUNTIMES)}")
        runtime = RUNTIMES[self.runtime]
        if self.precision not in runtime.precisions:
            allowed = ", ".join(runtime.precisions)
            raise SpecError(f"{self.runtime} has no {self.precision!r}; allowed: {allowed}")
        for what, value in (("threads", self.threads), ("batch", self.batch)):
            if not 1 <= value <= _MOST:
                raise SpecError(f"{what} {value} of {self.runtime}; allowed: 1 to {_MOST}")
        if runtime.clock == "device" and self.threads > 1:
            raise SpecError(f"threads {self.threads}; {self.runtime} runs on a GPU: leave it at 1")

    @property
    def clock(self) -> Clock:
        """What time is told by: on several threads only the clock on the wall will do."""
        return "wall" if self.threads > 1 else RUNTIMES[self.runtime].clock

    @property
    def core(self) -> int | None:
        """The core to stay on; None where the runtime's own threads need all of them."""
        return 0 if self.clock == "thread" else None

    @property
    def name(self) -> str:
        """Canonical: `onnxruntime`, `onnxruntime-int8`, `openvino-threads4-batch8`."""
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
        """Read a name; `local-` in front, as runner files have it, says nothing more."""
        runtime, *parts = name.removeprefix("local-").split("-")
        found: dict[str, str] = {}
        for part in parts:
            match = re.fullmatch(r"(threads|batch)([0-9]{1,9})", part)
            key, value = (match[1], match[2]) if match else ("precision", part)
            if key in found:
                raise SpecError(f"device {name!r} says {key} twice: {found[key]} and {value}")
            found[key] = value
        return cls(
            runtime,
            threads=int(found.get("threads", 1)),
            batch=int(found.get("batch", 1)),
            precision=found.get("precision", "fp32"),
        )
