"""A picture of one network of a run, over the backbone that its space searches."""

from __future__ import annotations

from pathlib import Path

from nas.report.backbone_sites import find_backbone_sites
from nas.report.report_file import MARK, write_report_file
from nas.runs.check_network import CLASSES
from nas.runs.run import RunState
from nas.spec.architecture import Architecture

__all__ = ["write_network_picture"]


def write_network_picture(state: RunState, trial: int, path: Path) -> None:
    """Write the blocks of a trial over the sites of its backbone as SVG.

    A user's own function is not called for it; see `find_backbone_sites`.
    Raises SpecError where there is no such trial, or another file has that name; StorageError.
    """
    network = Architecture.from_json(state.row(trial)["architecture"])
    run = state.run
    backbones = find_backbone_sites(run.space, run.file.task_on(CLASSES), [network])
    drawing = network.draw(backbones[network.backbone, network.resolution].sites)
    write_report_file(path, lambda part: drawing.save(part, MARK))
