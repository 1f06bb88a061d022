"""Attention NAS: where to put which attention block, for your data and your device.

Names are loaded when they are first used: reading a front does not import torch.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas import blocks
    from nas.architecture import Architecture, Insertion
    from nas.candidates import Candidates, load_space
    from nas.costs import Cost, cost
    from nas.errors import NasError, SpecError
    from nas.front import Front, Point
    from nas.launch import resume, search
    from nas.networks import build, uniform
    from nas.run import Run, open_run
    from nas.runner import Runner, load_runner
    from nas.space import SearchSpace

__all__ = [
    "Architecture",
    "Candidates",
    "Cost",
    "Front",
    "Insertion",
    "NasError",
    "Point",
    "Run",
    "Runner",
    "SearchSpace",
    "SpecError",
    "blocks",
    "build",
    "cost",
    "load_runner",
    "load_space",
    "open_run",
    "resume",
    "search",
    "uniform",
]

# Threads of torch that wait for one another at full speed take the cores from those they wait for,
# as soon as anything else runs: two trainings side by side then make a third of the steps, more of
# them hardly any. One alone pays for it (benchmarks/thread_waiting.py). OpenMP reads this once,
# when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_HOMES = {
    "Architecture": "architecture",
    "Candidates": "candidates",
    "Cost": "costs",
    "Front": "front",
    "Insertion": "architecture",
    "NasError": "errors",
    "Point": "front",
    "Run": "run",
    "Runner": "runner",
    "SearchSpace": "space",
    "SpecError": "errors",
    "build": "networks",
    "cost": "costs",
    "load_runner": "runner",
    "load_space": "candidates",
    "open_run": "run",
    "resume": "launch",
    "search": "launch",
    "uniform": "networks",
}


def __getattr__(name: str) -> Any:
    if name == "blocks":
        return import_module("nas.blocks")
    if name not in _HOMES:
        raise AttributeError(f"module 'nas' has no attribute {name!r}")
    return getattr(import_module(f"nas.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
