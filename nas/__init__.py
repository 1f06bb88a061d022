"""Attention NAS: where to put which attention block, for your data and your device.

Names are loaded when they are first used: reading a front does not import torch.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nas import blocks
    from nas.base.errors import NasError, SpecError
    from nas.models.build import build, uniform
    from nas.models.candidates import Candidates, load_space
    from nas.models.cost import Cost, cost
    from nas.models.draw import draw
    from nas.models.insert import insert, sites
    from nas.models.own_network import OwnNetwork
    from nas.report.outlook import ask
    from nas.runs.choose_executor import tuning
    from nas.runs.compare import compare, front_of_runs
    from nas.runs.further_trial import evaluate
    from nas.runs.resume import resume
    from nas.runs.run import Run, open_run
    from nas.runs.start import search
    from nas.spec.architecture import Architecture, Insertion
    from nas.spec.runner import Runner, load_runner
    from nas.spec.space import SearchSpace
    from nas.spec.task import Task
    from nas.strategy.samplers.pareto import ParetoSampler
    from nas.study.front.front import Front
    from nas.study.front.point import Point

__all__ = [
    "Architecture",
    "Candidates",
    "Cost",
    "Front",
    "Insertion",
    "NasError",
    "OwnNetwork",
    "ParetoSampler",
    "Point",
    "Run",
    "Runner",
    "SearchSpace",
    "SpecError",
    "Task",
    "ask",
    "blocks",
    "build",
    "compare",
    "cost",
    "draw",
    "evaluate",
    "front_of_runs",
    "insert",
    "load_runner",
    "load_space",
    "open_run",
    "resume",
    "search",
    "sites",
    "tuning",
    "uniform",
]

__version__ = "0.2.0"

# Threads of torch that wait for one another at full speed take the cores from those they wait for,
# as soon as anything else runs: two trainings side by side then make a third of the steps, more of
# them hardly any. One alone pays for it (benchmarks/training/thread_waiting.py).
# OpenMP reads this once, when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_HOMES = {
    "Architecture": "spec.architecture",
    "Candidates": "models.candidates",
    "Cost": "models.cost",
    "Front": "study.front.front",
    "Insertion": "spec.architecture",
    "NasError": "base.errors",
    "OwnNetwork": "models.own_network",
    "ParetoSampler": "strategy.samplers.pareto",
    "Point": "study.front.point",
    "Run": "runs.run",
    "Runner": "spec.runner",
    "SearchSpace": "spec.space",
    "SpecError": "base.errors",
    "Task": "spec.task",
    "ask": "report.outlook",
    "build": "models.build",
    "compare": "runs.compare",
    "cost": "models.cost",
    "draw": "models.draw",
    "evaluate": "runs.further_trial",
    "front_of_runs": "runs.compare",
    "insert": "models.insert",
    "load_runner": "spec.runner",
    "load_space": "models.candidates",
    "open_run": "runs.run",
    "resume": "runs.resume",
    "search": "runs.start",
    "sites": "models.insert",
    "tuning": "runs.choose_executor",
    "uniform": "models.build",
}


def __getattr__(name: str) -> Any:
    if name == "blocks":
        return import_module("nas.blocks")
    if name not in _HOMES:
        raise AttributeError(f"module 'nas' has no attribute {name!r}")
    return getattr(import_module(f"nas.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
