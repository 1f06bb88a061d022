"""Lays out a data set for retrieval as `folder:PATH` reads it, with pictures that ask.

    python -m benchmarks.tasks.identity_folders faces SOURCE OUT

faces: the ORL faces of AT&T Laboratories Cambridge, as train/NN/N.png of persons 1 to 20 and
    test/NN/N.png of 21 to 40, ten pictures each. Persons 15 to 20 become those to validate on. Of
    these and of the test part pictures 1 to 5 ask, and 6 to 10 answer.
SOURCE is the folder that holds those; images are linked, not copied.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.shared.command import carry_out
from nas.base.errors import SpecError

__all__ = ["faces"]

_TAUGHT, _ASKING = 14, 5


def faces(source: Path, out: Path) -> None:
    """Link each picture to where its person and its number belong."""
    pictures = sorted(source.glob("t*/*/*.png"))
    if not pictures:
        raise SpecError(f"{source}: no train/*/*.png and test/*/*.png")
    for picture in pictures:
        person, part = picture.parent.name, picture.parent.parent.name
        if part == "train" and int(person) > _TAUGHT:
            part = "val"
        role = "" if part == "train" else "query" if int(picture.stem) <= _ASKING else "gallery"
        link = out / part / role / person / picture.name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(picture.resolve())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser(faces.__name__, help=faces.__doc__)
    command.add_argument("source", type=Path)
    command.add_argument("out", type=Path)
    command.set_defaults(run=lambda given: faces(given.source, given.out))
    carry_out(parser)


if __name__ == "__main__":
    main()
