"""The state of a GPU that latencies are measured on: its clock, its heat, what holds it back.

Asked of NVML through its own package where that is installed (nvidia-ml-py), else of nvidia-smi.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import torch

from nas.latency.device import Clock

__all__ = ["GpuState", "conditions_during", "describe"]

_P = ParamSpec("_P")
_T = TypeVar("_T")

_EVERY_SECONDS = 2.0
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
    def of(cls, clock_mhz: int, most_mhz: int, celsius: int, reasons: int) -> GpuState:
        """Return a state by NVML's bits of reasons."""
        held = dict.fromkeys(name for bit, name in _REASONS.items() if reasons & bit)
        return cls(clock_mhz, most_mhz, celsius, tuple(held))

    @classmethod
    def parse(cls, line: str) -> GpuState | None:
        """Read a line of nvidia-smi's CSV; None where it does not say all of it."""
        try:
            clock, most, celsius, bits = (part.strip() for part in line.split(","))
            return cls.of(int(clock), int(most), int(celsius), int(bits, 16))
        except ValueError:  # such as [N/A], on boards that do not tell
            return None


def describe(states: Sequence[GpuState]) -> str | None:
    """Say in words what a GPU did meanwhile; None: nothing is known.

    states: at several moments.
    """
    if not states:
        return None
    clocks = sorted({state.clock_mhz for state in states})
    low_to_high = " to ".join(str(clock) for clock in dict.fromkeys((clocks[0], clocks[-1])))
    hottest = max(state.celsius for state in states)
    held = [state for state in states if state.held_back]
    throttling = "not held back"
    if held:
        names = dict.fromkeys(name for state in held for name in state.held_back)
        times = "" if len(held) == len(states) else f" in {len(held)} of {len(states)} looks"
        throttling = f"held back by {' and '.join(names)}{times}"
    return f"{low_to_high} of {states[0].most_mhz} MHz, {hottest} C, {throttling}"


def conditions_during(
    clock: Clock, measure: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
) -> tuple[_T, str | None]:
    """Measure, and return with what is found what the GPU did meanwhile, in words.

    Looked at every two seconds while it works: behind a measurement its clock falls at once.
    clock: None is said where times are not of a GPU, or it does not say.
    """
    if clock != "device":
        return measure(*args, **kwargs), None
    states: list[GpuState] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_EVERY_SECONDS if states else 0.0):
            state = _read_gpu_state()
            if state is None:
                return
            states.append(state)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        measured = measure(*args, **kwargs)
    finally:
        ended.set()
        watching.join()
    return measured, describe(states)


def _read_gpu_state() -> GpuState | None:
    """Ask for the state of the GPU of this process; None: it does not say."""
    name = _name_of_gpu()
    return _ask_nvml(name) or _ask_nvidia_smi(name)


def _name_of_gpu() -> str:
    """Return what NVML calls the GPU of this process.

    By what tells it for certain, where that is known: CUDA numbers the fastest first, NVML by slot.
    """
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0] or "0"
    if first.isdecimal() and torch.cuda.is_available():
        known = getattr(torch.cuda.get_device_properties(), "uuid", None)
        return first if known is None else f"GPU-{known}"
    return first


def _ask_nvml(name: str) -> GpuState | None:
    try:
        # The package is optional, and has no types.
        import pynvml  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        try:
            by = pynvml.nvmlDeviceGetHandleByUUID
            gpu = pynvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdecimal() else by(name)
            return GpuState.of(
                pynvml.nvmlDeviceGetClockInfo(gpu, pynvml.NVML_CLOCK_SM),
                pynvml.nvmlDeviceGetMaxClockInfo(gpu, pynvml.NVML_CLOCK_SM),
                pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU),
                pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu),
            )
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:  # no driver, no such GPU, or a board that does not tell
        return None


def _ask_nvidia_smi(name: str) -> GpuState | None:
    command = ["nvidia-smi", f"--query-gpu={_ASKED}", "--format=csv,noheader,nounits", "-i", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return GpuState.parse(done.stdout)
