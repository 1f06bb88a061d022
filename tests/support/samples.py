"""Pieces that many tests share: a small space, a quick search, records made by hand."""

from __future__ import annotations

from pathlib import Path

from support.evaluations import make_outcome

from nas.spec.architecture import Architecture, Insertion
from nas.study.record import Job, Outcome, Record

ROOT = Path(__file__).resolve().parents[2]

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

QUICK = (
    "workers=2",
    "search.trials=5",
    "search.confirm_seeds=2",
    "proxy.kind=probe",
    "proxy.unit=steps",
    "proxy.rungs=[4]",
    "proxy.backbone.epochs=0.5",
)


def make_job(trial: int, *, seed: int = 7, repeat: int = 0, rung: int = -1) -> Job:
    """Return a job for the architecture that `make_record` has by default."""
    record = make_record(trial)
    return Job(trial, record.architecture, record.digest, seed, repeat=repeat, rung=rung)


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
    figures = {
        "loss": loss,
        "accuracy": accuracy,
        "latency_ms": latency_ms,
        "latency_spread": 0.001,
        "seconds": 1.0,
        "train_seconds": 0.5,
    }
    return Record.of(job, make_outcome(**(figures | more)))
