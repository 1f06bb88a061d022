"""TensorBoard: `tensorboard --logdir RUN/tensorboard`; several runs: `--logdir runs`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.image import imread
from torch.utils.tensorboard import SummaryWriter

from nas.runs.run import Run

__all__ = ["TensorBoard", "open"]

FOLDER = "tensorboard"


class TensorBoard:
    """A sink of TensorBoard's files: steps are trials."""

    def __init__(self, folder: Path) -> None:
        self._writer = SummaryWriter(folder)

    def figures(self, values: Mapping[str, float], trial: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, trial)
        self._writer.flush()

    def text(self, name: str, text: str, trial: int) -> None:
        self._writer.add_text(name, text, trial)

    def picture(self, path: Path) -> None:
        image = imread(path)[:, :, :3]
        self._writer.add_image(path.stem, image, dataformats="HWC")

    def close(self, *, finished: bool) -> None:
        self._writer.close()


def open(run: Run) -> TensorBoard:
    """Open a run's files; a resumed search adds to them."""
    return TensorBoard(run.path / FOLDER)
