"""Shared pieces: a small space, records made by hand, and one real run for all that read runs."""

from __future__ import annotations

import os

# Before torch is imported: tests run side by side, and threads that wait for each other crawl.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import os
from pathlib import Path

import pytest
from hypothesis import settings

from nas.architecture import Architecture, Insertion
from nas.record import Evaluation, Job, Outcome, Record

pytest_plugins = ["databases"]

# A busy machine is not a fault of the code.
settings.register_profile("nas", deadline=None)
settings.load_profile("nas")

ROOT = Path(__file__).resolve().parent.parent

SMALL_SPACE = """
name: small
backbones: [mobilenetv2_035]
resolutions: [32]
total_stride: 16
sites: {granularity: stage, exclude: ["blocks.0.*"]}
blocks:
  se: {reduction: [8, 24]}
  eca: {}
"""


@pytest.fixture(scope="session", autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Decoded images go into a temporary folder; worker processes inherit it."""
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def small_space(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL_SPACE)
    return path


def make_record(
    trial: int,
    *,
    name: str = "a",
    loss: float = 1.0,
    latency_ms: float = 1.0,
    accuracy: float = 0.5,
    seed: int = 0,
    repeat: int = 0,
    reference: str | None = None,
    failure: str | None = None,
    **more: object,
) -> Record:
    """A record of an architecture that is told apart by its name alone."""
    blocks = () if name == "plain" else (Insertion(f"site-{name}", "se", (("reduction", 8),)),)
    architecture = Architecture("net", 32, blocks)
    job = Job(
        trial=trial,
        architecture=architecture.to_json(),
        digest=architecture.digest,
        seed=seed,
        reference=reference,
        repeat=repeat,
    )
    if failure is not None:
        return Record.of(job, Outcome(failure=failure))
    values: dict[str, object] = {
        "loss": loss,
        "accuracy": accuracy,
        "latency_ms": latency_ms,
        "latency_wall_ms": latency_ms,
        "latency_spread": 0.001,
        "params": 1000,
        "macs": 2000,
        "images": 10_000,
        "seconds": 1.0,
        "train_seconds": 0.5,
    }
    evaluation = Evaluation(**(values | more))  # type: ignore[arg-type]
    return Record.of(job, Outcome(evaluation))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real search, as short as it can be: six networks, two seeds, two workers."""
    from nas.launch import search
    from nas.runner import load_runner

    folder = tmp_path_factory.mktemp("runs")
    space = folder / "small.yaml"
    space.write_text(SMALL_SPACE)
    # A backbone that has learnt something: exports are compared on sensible scores.
    runner = load_runner(None, (*QUICK, "proxy.backbone.epochs=2"))
    search(space, runner, "digits", folder / "run")
    return folder / "run"


QUICK = (
    "workers=2",
    "search.trials=5",
    "search.confirm_seeds=2",
    "proxy.unit=steps",
    "proxy.rungs=[4]",
    "proxy.backbone.epochs=0.5",
)
