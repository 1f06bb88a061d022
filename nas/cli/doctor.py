"""`nas doctor`: what is installed here, what the machine can do, what is missing."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import typer

from nas.base.errors import MeasurementError, SpecError
from nas.base.machine import available_memory, cache_root, processor, usable_cores, version
from nas.cli.options import Json
from nas.cli.output.console import print_json

__all__ = ["Check", "doctor", "examine"]

_MARKS = {"ok": " ok ", "note": "note", "missing": "MISS"}


def doctor(json_: Json = False) -> None:
    """Say what this machine has, what is missing, and how to get it.

    Example: nas doctor
    """
    checks = examine()
    if json_:
        print_json([check.to_dict() for check in checks])
    else:
        for check in checks:
            print(f"[{_MARKS[check.level]}] {check.subject}: {check.found}")
            if check.remedy:
                print(f"       {check.remedy}")
    if any(check.level == "missing" for check in checks):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class Check:
    """A look at one part of this machine, and what came of it.

    subject: what was looked at: `memory`.
    level: `ok`, `note` (works without) or `missing` (a search fails).
    found: what is there, in words.
    remedy: what to do; empty where nothing is.
    """

    subject: str
    level: str
    found: str
    remedy: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def examine() -> list[Check]:
    """Look at everything a search depends on, most basic first; change nothing."""
    return [
        Check("python", "ok", f"{platform.python_version()} on {platform.platform()}"),
        *_packages(),
        _cores(),
        _memory(),
        _disk(),
        _accelerator(),
        _runtime(),
        _thread_clock(),
    ]


def _packages() -> list[Check]:
    """Check the distribution's own requirements, read from its metadata."""
    try:
        requirements = metadata.requires("attention-nas") or []
    except metadata.PackageNotFoundError:
        remedy = "pip install attention-nas, or pip install -e . in its checkout"
        return [Check("packages", "missing", "attention-nas is not installed", remedy)]
    missing, present = [], []
    for requirement in requirements:
        if "extra ==" in requirement:
            continue
        name = requirement.split(";")[0].strip()
        for sign in "~<>=![ ":
            name = name.split(sign)[0]
        installed = version(name)
        (present.append(f"{name} {installed}") if installed else missing.append(name))
    checks = [Check("packages", "ok", ", ".join(present))]
    if missing:
        remedy = f"pip install {' '.join(missing)}"
        checks.append(Check("packages", "missing", ", ".join(missing), remedy))
    return checks


def _cores() -> Check:
    cores = f"{usable_cores()} usable of {os.cpu_count()} ({processor()}): as many workers"
    return Check("cores", "ok", cores)


def _memory() -> Check:
    free = available_memory()
    if free is None:
        return Check("memory", "note", "not known on this system")
    gigabytes = free / 2**30
    text = f"{gigabytes:.1f} GiB free; a worker on small images takes about 0.7"
    if gigabytes < 2:
        return Check("memory", "note", text, "use fewer workers: --workers 1")
    return Check("memory", "ok", text)


def _disk() -> Check:
    root = cache_root()
    existing = next(path for path in (root, *root.parents) if path.exists())
    gigabytes = shutil.disk_usage(existing).free / 2**30
    text = f"{gigabytes:.1f} GiB free for decoded images under {root}"
    if not os.access(existing, os.W_OK):
        return Check("disk", "missing", f"{existing} is not writable", "set XDG_CACHE_HOME")
    if gigabytes < 1:
        return Check("disk", "note", text, "free some space, or set XDG_CACHE_HOME")
    return Check("disk", "ok", text)


def _accelerator() -> Check:
    try:
        import torch
    except ImportError as error:
        return Check("GPU", "missing", f"torch cannot be loaded ({error})", "pip install torch")
    from nas.training.device import best_device
    from nas.training.precision import usual_precision

    try:
        device = best_device()
    except SpecError as error:
        return Check("GPU", "missing", str(error))
    if device.type != "cpu":
        name = torch.cuda.get_device_name() if device.type == "cuda" else device.type
        precision = usual_precision(device)
        return Check("GPU", "ok", f"{name}; trainings use it, in {precision} (docs/gpus.md)")
    built = f"torch {torch.__version__} is built for CUDA {torch.version.cuda}"
    if torch.version.cuda:
        return Check("GPU", "note", f"none found ({built}); trainings run on the cores")
    return Check("GPU", "note", "this torch has no CUDA; trainings run on the cores")


def _runtime() -> Check:
    try:
        import onnxruntime  # noqa: F401

        from nas.latency.runtime import RUNTIMES
    except ImportError as error:
        text = f"ONNX Runtime cannot be loaded ({error})"
        return Check("latency", "missing", text, "pip install onnxruntime")
    present, missing = [], []
    for name, runtime in RUNTIMES.items():
        try:
            present.append(f"{name} {runtime.version()}")
        except MeasurementError:
            missing.append(name)
    text = ", ".join(present) + (f"; not here: {', '.join(missing)}" if missing else "")
    return Check("latency", "ok", text)


def _thread_clock() -> Check:
    import time

    resolution = time.get_clock_info("thread_time").resolution
    if resolution > 1e-5:
        return Check(
            "clock",
            "note",
            f"thread CPU time ticks every {resolution * 1e3:.2f} ms: short latencies are coarse",
        )
    return Check("clock", "ok", "thread CPU time in nanoseconds: latency holds beside other work")
