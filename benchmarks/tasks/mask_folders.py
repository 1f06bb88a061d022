"""Lays out data sets for segmentation as `folder:PATH` reads them: images, masks, lists, names.

    python -m benchmarks.tasks.mask_folders clothes SOURCE OUT
    python -m benchmarks.tasks.mask_folders persons SOURCE OUT

clothes: Clothing Co-Parsing (github bearpaw/clothing-co-parsing), as images/NAME.jpg and
    masks/NAME.png with the numbers of labels.tsv (number, name, ...).
persons: Penn-Fudan, as JPEGImages and InstanceMasks (0 background, 1 to n persons), which become
    background and person.
SOURCE is the folder that holds those. Its own validation list is the test part in OUT, so that a
search validates on a share of the training images; images are linked, not copied.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.shared.command import carry_out
from nas.base.errors import SpecError

__all__ = ["clothes", "persons"]

_PERSON = ("background", "person")


def clothes(source: Path, out: Path) -> None:
    """Name the classes of labels.tsv, and link the rest."""
    rows = csv.DictReader(_text(source / "labels.tsv").splitlines(), delimiter="\t")
    names = {int(row["index"]): row["name"] for row in rows}
    lists = {"train": source / "train.txt", "test": source / "val.txt"}
    _lay_out(out, lists, [names[number] for number in sorted(names)])
    for folder in ("images", "masks"):
        for path in sorted((source / folder).iterdir()):
            (out / folder / path.name).symlink_to(path.resolve())


def persons(source: Path, out: Path) -> None:
    """Make one class of all persons of an image."""
    lists = {
        part: source / "ImageSets" / "Main" / f"{name}.txt"
        for part, name in (("train", "train"), ("test", "val"))
    }
    _lay_out(out, lists, _PERSON)
    for path in sorted((source / "InstanceMasks").iterdir()):
        with Image.open(path) as mask:
            drawn = (np.asarray(mask) > 0).astype(np.uint8)
        Image.fromarray(drawn).save(out / "masks" / f"{path.stem}.png")
    for path in sorted((source / "JPEGImages").iterdir()):
        (out / "images" / path.name).symlink_to(path.resolve())


def _lay_out(out: Path, lists: Mapping[str, Path], names: Sequence[str]) -> None:
    texts = {part: _text(path) for part, path in lists.items()}
    for folder in ("images", "masks"):
        (out / folder).mkdir(parents=True)
    for part, text in texts.items():
        (out / f"{part}.txt").write_text(text)
    (out / "classes.txt").write_text("".join(f"{name}\n" for name in names))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError(f"{path} cannot be read ({error.strerror})") from None


def main() -> None:
    """Carry out a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for lay_out in (clothes, persons):
        command = commands.add_parser(lay_out.__name__, help=lay_out.__doc__)
        command.add_argument("source", type=Path)
        command.add_argument("out", type=Path)
        command.set_defaults(run=lambda given, lay_out=lay_out: lay_out(given.source, given.out))
    carry_out(parser)


if __name__ == "__main__":
    main()
