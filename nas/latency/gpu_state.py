"""The state of a GPU that latencies are measured on: its clock, its heat, what holds it back."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass

from nas.latency.device import Clock

__all__ = ["GpuState", "conditions_of"]

_ASKED = "clocks.sm,clocks.max.sm,temperature.gpu,clocks_throttle_reasons.active"
_REASONS = {
    0x4: "its power cap",
    0x8: "its hardware",
    0x20: "its heat",
    0x40: "its heat",
    0x80: "its power supply",
}
"""The bits of NVML's reasons why a clock is lower than asked for, that spoil a measurement."""


@dataclass(frozen=True, slots=True)
class GpuState:
    """A GPU at one moment.

    clock_mhz, most_mhz: of its processors, now and at most.
    celsius: its temperature.
    held_back: by what its clock was held back; empty: by nothing.
    """

    clock_mhz: int
    most_mhz: int
    celsius: int
    held_back: tuple[str, ...] = ()

    @classmethod
    def parse(cls, line: str) -> GpuState | None:
        """Read a line of nvidia-smi's CSV; None where it does not say all of it."""
        try:
            clock, most, celsius, bits = (part.strip() for part in line.split(","))
            reasons = int(bits, 16)
            held = dict.fromkeys(name for bit, name in _REASONS.items() if reasons & bit)
            return cls(int(clock), int(most), int(celsius), tuple(held))
        except ValueError:  # such as [N/A], on boards that do not tell
            return None

    def __str__(self) -> str:
        held = f"held back by {' and '.join(self.held_back)}" if self.held_back else "not held back"
        return f"{self.clock_mhz} of {self.most_mhz} MHz, {self.celsius} C, {held}"


def conditions_of(clock: Clock) -> str | None:
    """Return in words what a GPU does just now; None: it does not say, or times are of a CPU."""
    state = _read_gpu_state() if clock == "device" else None
    return None if state is None else str(state)


def _read_gpu_state() -> GpuState | None:
    """Ask nvidia-smi for the state of the first GPU of this process; None: it does not say."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0] or "0"
    command = ["nvidia-smi", f"--query-gpu={_ASKED}", "--format=csv,noheader,nounits", "-i", first]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return GpuState.parse(done.stdout)
