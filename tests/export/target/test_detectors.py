"""Detectors in the runtimes of phones: converted, run, and the boxes of the trained network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support import own_detectors
from support.task_networks import CLASSES, MEAN, STD, detector, things

from nas.base.errors import SpecError
from nas.export import TARGETS
from nas.export.conversion import convert, open_graph, write_files
from nas.export.parity import predict_validation
from nas.export.winner import Winner
from nas.models.build import build
from nas.spec.architecture import Architecture
from nas.spec.task import OWN, TASKS, Task

SIZE = "64x48"


def own() -> Winner:
    """A detector of one's own, whose batch norms have seen some images."""
    task = Task("detection", len(CLASSES) - 1, OWN)
    architecture = Architecture(f"{own_detectors.__file__}:Small", SIZE)
    torch.manual_seed(0)
    network = build(architecture, task=task).train()
    with torch.no_grad():
        for _ in range(4):
            network(torch.randn(8, 3, 64, 48))
    network.eval()
    return Winner(network, architecture, CLASSES[1:], MEAN, STD, "stretch", network, task)


@pytest.mark.slow
@pytest.mark.parametrize("head", TASKS["detection"].heads)
@pytest.mark.parametrize("name", ["litert", "executorch", "coreml"])
def test_a_detector_gives_the_same_boxes(name: str, head: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    try:
        target.check_installed()
    except SpecError as error:
        pytest.skip(str(error))
    winner = own() if head == OWN else detector(head, SIZE, steps=20)
    files = convert(target, lambda: target.write(winner)).files
    assert all(files.values())
    if not target.runs_here:
        return
    write_files(files, tmp_path / "network")
    images = predict_validation(winner, things(SIZE), 16)
    found = images.compare(open_graph(name, tmp_path / f"network{target.main}"), target.tolerance)
    assert found.parity.holds and found.parity.agreement == 1
    assert found.figures["ap"] == pytest.approx(images.figures["ap"], abs=1e-3)
