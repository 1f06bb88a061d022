"""A finished run whose losses and latencies follow known rules."""

from __future__ import annotations

import json
import random
from pathlib import Path

from support.samples import make_record

from nas.base.files import dump_yaml
from nas.base.machine import describe_environment
from nas.runs.run_file import RunFile
from nas.spec.architecture import Architecture, Insertion
from nas.spec.objective import objectives_named
from nas.spec.space import SearchSpace
from nas.study.front.front import Front
from nas.study.record import Record
from nas.study.trials import Trials

SITES = [f"blocks.{s}.{n}/after_depthwise" for s, size in ((1, 2), (2, 3)) for n in range(size)]
LABELS = ("se/r8", "se/r24", "coord/r32")
SAVED = {"se/r8": 0.01, "se/r24": 0.01, "coord/r32": 0.03}
ADDED = {"se/r8": 0.02, "se/r24": 0.01, "coord/r32": 0.05}
"""Label -> loss that a block saves in stage 2, and ms that it adds; in stage 1 it saves nothing."""
BACKBONE, SIDE, STRIDE = "mobilenetv2_035", 32, 16


def true_loss(architecture: Architecture, crowding: float = 0.0) -> float:
    saved = sum(SAVED[item.label] for item in architecture.blocks if "blocks.2" in item.site)
    blocks = len(architecture.blocks)
    return 1.0 - saved + crowding * blocks * (blocks - 1) / 2


def true_latency(architecture: Architecture) -> float:
    return 0.2 + sum(ADDED[item.label] for item in architecture.blocks)


def records(count: int = 60, *, noise: float = 0.003, crowding: float = 0.0) -> list[Record]:
    """The plain network and random others; the first ten with three seeds."""
    rng = random.Random(0)
    found: list[Record] = []
    for number in range(count):
        chosen = [(site, rng.choice(LABELS)) for site in SITES if number and rng.random() < 0.5]
        architecture = Architecture(
            BACKBONE, SIDE, tuple(Insertion.of(*item) for item in chosen), STRIDE
        )
        if any(architecture.digest == item.digest for item in found):
            continue
        for repeat in range(3 if number < 10 else 1):
            record = make_record(
                len(found),
                loss=true_loss(architecture, crowding) + rng.gauss(0, noise) * bool(chosen),
                latency_ms=true_latency(architecture) * rng.gauss(1, 0.002),
                seed=repeat,
                repeat=repeat,
                reference=None if number else "plain",
                trained=bool(chosen),
            )
            values = record.to_dict() | {
                "architecture": architecture.to_json(), "digest": architecture.digest,
            }  # fmt: skip
            found.append(Record.from_dict(values))
    return found


def front_of(rows: list[Record]) -> Front:
    return Front.of(Trials.of(rows), objectives_named(["loss", "latency_ms"]))


def make_run(path: Path, rows: list[Record]) -> Path:
    """A run folder as a search leaves it, but for its journal, of which only the size is read."""
    path.mkdir(parents=True)
    space = SearchSpace.model_validate(
        {
            "name": "known", "backbones": [BACKBONE], "resolutions": [SIDE],
            "total_stride": STRIDE, "blocks": {"se": {"reduction": [8, 24]}, "coord": {}},
        }
    )  # fmt: skip
    (path / "space.yaml").write_text(dump_yaml(space))
    # As long as full training is: what shorter ones show would be known less surely.
    file = RunFile.model_validate({"data": "digits", "retrain": {"epochs": 5}})
    (path / "run.yaml").write_text(dump_yaml(file))
    about = describe_environment({"key": "0" * 16, "classes": [str(label) for label in range(10)]})
    (path / "environment.json").write_text(json.dumps(about))
    (path / "study.journal").write_bytes(b"\n" * 7)
    Trials.of(rows).write(path / "trials.parquet", stamp="7")
    return path
