"""Lays out a data set of boxes as `voc:PATH` reads it, with a test part.

    python -m benchmarks.tasks.box_folders SOURCE OUT

SOURCE: a folder as of VOC whose own lists are train and val, such as BCCD (github
Shenggan/BCCD_Dataset) or Penn-Fudan with boxes. Its val list is the test part in OUT, so that a
search validates on a share of the training images; images and annotations are linked, not copied.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.shared.command import carry_out
from nas.base.files import read_text

__all__ = ["lay_out"]

_LISTS = Path("ImageSets", "Main")


def lay_out(source: Path, out: Path) -> None:
    """Link images and annotations, and write the two lists."""
    texts = {part: read_text(source / _LISTS / f"{named}.txt") for part, named in _PARTS.items()}
    (out / _LISTS).mkdir(parents=True)
    for part, text in texts.items():
        (out / _LISTS / f"{part}.txt").write_text(text)
    for folder in ("JPEGImages", "Annotations"):
        (out / folder).symlink_to((source / folder).resolve())


_PARTS = {"train": "train", "test": "val"}
"""The part in OUT -> the list in SOURCE."""


def main() -> None:
    """Carry out what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.set_defaults(run=lambda given: lay_out(given.source, given.out))
    carry_out(parser)


if __name__ == "__main__":
    main()
