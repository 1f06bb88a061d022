"""Retrieval: a vector for each image, near those of its identity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas.base.errors import SpecError
from nas.base.size import Size
from nas.data import Split
from nas.export.outputs import retrieval as outputs
from nas.export.tasks.task import ExportTask, Judged, Outputs, Targets
from nas.study.marks import Marks

__all__ = ["Retrieval"]

_MOST = 2048
"""Images that graphs are compared on: a smaller gallery is easier, so that it should be all."""


class Retrieval(ExportTask):
    """The task of vectors, of which those of one identity are near each other."""

    outputs_file: Path | None = Path(outputs.__file__)
    names_classes = False
    judged_together = True
    part_tells = False
    paired_by = "query"
    agreement_phrase = outputs.ALIKE

    def most_images(self, size: Size, wanted: int) -> int:
        """Return four times as many: what is held of each image is a short vector."""
        return wanted * _MOST // 512

    def rows(self, split: Split, most: int) -> NDArray[np.int64]:
        """Choose all images of identities drawn at random, as long as they fit."""
        return _whole_identities(split.labels.numpy(), most)

    def targets(self, split: Split, rows: NDArray[np.int64], size: Size) -> Targets:
        """Return identity, camera, and whether it is a query: (N, 3)."""
        labels = split.labels.numpy()[rows]
        if split.annotations is None:  # images of a training part are not asked for
            return np.stack([labels, np.full(len(labels), -1), np.zeros_like(labels)], axis=1)
        return np.column_stack([labels, split.annotations.numpy()[rows]])

    def judge(self, outputs_: Outputs, targets: Targets) -> Judged:
        """Judge vectors (N, length) by identities. Raises SpecError where there are no queries."""
        losses, marks = outputs.judge(outputs_, targets)
        if not len(marks):
            raise SpecError("no query of the validation images has an image of its identity")
        return Judged(losses, marks, outputs.answers(outputs_))

    def right(self, marks: Marks) -> NDArray[np.bool_] | None:
        """Return of each query whether its identity was the first."""
        correct: NDArray[np.bool_] = marks[:, 1] == 1
        return correct

    def samples(
        self, most: int, scores: Outputs, targets: Targets, answers: NDArray[Any]
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
        """Take all images of a few identities, those first that have a query."""
        queries = np.unique(targets[outputs.asking(targets), 0])
        rows = np.flatnonzero(np.isin(targets[:, 0], queries))
        rows = rows[_whole_identities(targets[rows, 0], most)]
        return rows, {"scores": scores[rows], "identities": targets[rows]}

    def describe_purpose(self, size: str, classes: int) -> str:
        """Say that it gives vectors."""
        return (
            f"Gives for images of {size} vectors of {self.task.outputs} numbers and length 1, "
            "which are similar where images are of one identity"
        )

    def judged_on(self, images: int, marks: int) -> str:
        """Count queries, and the images that they are asked of."""
        return f"{marks} queries of {images} validation images"

    def describe_figures(self, figures: Mapping[str, float]) -> str:
        """Name rank-1 and mAP; of a record there is rank-1 alone."""
        text = f"rank-1 {figures['rank1']:.1%}"
        return text + (f", mAP {figures['map']:.1%}" if "map" in figures else "")

    def describe_output(self) -> str:
        """Say how long vectors are."""
        return f"vectors (N, {self.task.outputs}) of length 1"

    def usage(self) -> list[str]:
        """Show how images are found."""
        return [
            "",
            "    python verify.py PICTURE    # names the samples that are nearest to it",
            "",
            "    from outputs import nearest",
            "    rows = nearest(vectors_of_queries, vectors_of_gallery)  # the most similar first",
        ]


def _whole_identities(labels: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return the rows of identities drawn at random, in order, that are at most so many.

    Of a single identity that is more, its first.
    """
    if len(labels) <= most:
        return np.arange(len(labels))
    chosen = np.zeros(len(labels), np.bool_)
    for label in np.random.default_rng(0).permutation(np.unique(labels)):
        rows = labels == label
        if chosen.sum() + rows.sum() <= most:
            chosen |= rows
    return np.flatnonzero(chosen) if chosen.any() else np.arange(most)
