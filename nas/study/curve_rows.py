"""The rows of curves: one for each training that has ended, kept as it comes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nas.base.errors import SpecError, StorageError
from nas.base.files import read_json, write_whole
from nas.study.full_training import FullTraining

__all__ = ["CURVES", "CurveRows", "images_of_rows"]

CURVES = "curves"
"""The folder of the trainings of curves, in that of a calibration."""

_ROWS, _ABOUT = "rows.jsonl", "about.json"


def images_of_rows(folder: Path) -> str | None:
    """Return the name of the decoded images that rows are of; None where nothing says so."""
    with suppress(OSError, ValueError, LookupError, TypeError):
        return str(json.loads((folder / _ABOUT).read_text())["data"][1])
    return None


class CurveRows:
    """A folder of ended trainings, all on the same images of the same space.

    about: what they have in common; its `data` are the source and the name of the decoded images.
    Raises SpecError when the folder holds those of anything else.
    """

    def __init__(self, folder: Path, about: Mapping[str, Any]) -> None:
        self.folder = folder
        self._path = folder / _ROWS
        wanted = json.loads(json.dumps(about))
        if (folder / _ABOUT).exists():
            there = read_json(folder / _ABOUT, "the curves")
            if "data" in wanted and wanted["data"][1] == images_of_rows(folder):
                wanted["data"] = there["data"]  # the same images, wherever they lie
            if there != wanted:
                changed = [key for key in wanted if there.get(key) != wanted[key]]
                raise SpecError(
                    f"{folder} holds curves of other {' and '.join(changed) or 'settings'}; name "
                    "another folder for --out"
                )
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with write_whole(folder / _ABOUT) as temporary:
                temporary.write_text(json.dumps(wanted, indent=1) + "\n")
        except OSError as error:
            raise StorageError(f"{folder} cannot be made: {error.strerror or error}") from None

    def read(self) -> dict[str, FullTraining]:
        """Return the trainings by their names; a last line that was cut short is left out."""
        trainings = {}
        for line in self._lines():
            try:
                training = FullTraining.from_dict(json.loads(line))
            except (ValueError, TypeError, AttributeError):
                continue
            trainings[training.name] = training
        return trainings

    def keep(self, training: FullTraining) -> None:
        """Add a training. Raises StorageError without space."""
        try:
            # One short write to a file that is open for appending is whole; what a kill has cut
            # off before gets a line of its own.
            broken = self._path.exists() and not self._path.read_bytes().endswith(b"\n")
            with self._path.open("a") as file:
                file.write(("\n" if broken else "") + json.dumps(training.to_dict()) + "\n")
        except OSError as error:
            raise StorageError(
                f"{self._path} cannot be written ({error.strerror or error}); free some space"
            ) from None

    def _lines(self) -> list[str]:
        try:
            return self._path.read_text().splitlines() if self._path.exists() else []
        except (OSError, UnicodeDecodeError) as error:
            raise StorageError(f"{self._path} cannot be read ({error}); remove it") from None
