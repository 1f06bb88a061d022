"""Files that come with the program: search spaces and runners, named from anywhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from nas.base.files import read_text
from nas.base.program import PACKAGE

__all__ = ["Content", "content_files", "content_path", "read_content"]

Content = Literal["search_spaces", "runners", "recipes"]

_KINDS: dict[Content, tuple[str, tuple[str, ...]]] = {
    "search_spaces": ("search_spaces", ("backbone",)),
    "runners": ("runners", ("executor:",)),
    "recipes": ("runners", ("#SBATCH", "kind: RayJob")),
}
"""The folder of each kind, and what a line of its files begins with.

Recipes are what `nas launch` takes. Files of other programs lie beside them, as for `ray up`.
"""
_TOPS = PACKAGE / "content", PACKAGE.parent  # of a wheel, and of a clone


@cache
def content_files(kind: Content) -> dict[str, Path]:
    """Return the files of a kind that come with the program, by name.

    A name has no suffix where that is .yaml.
    """
    name, marks = _KINDS[kind]
    folder = next((top / name for top in _TOPS if (top / name).is_dir()), None)
    files = [path for path in sorted(folder.iterdir()) if path.is_file()] if folder else []
    return {path.name.removesuffix(".yaml"): path for path in files if _holds(path, marks)}


def _holds(path: Path, marks: tuple[str, ...]) -> bool:
    """Say whether a line begins with one of the marks."""
    return any(line.startswith(marks) for line in path.read_text(encoding="utf-8").splitlines())


def content_path(kind: Content, path: str | Path) -> Path:
    """Return the file that a user names: one of his own, or one that comes with the program.

    path: `mobilenetv2-small`, `search_spaces/mobilenetv2-small.yaml` and such a file in the working
        folder; what is there comes first.
    """
    path = Path(path)
    if path.is_file() or path.parent not in (Path(), Path(_KINDS[kind][0])):
        return path
    return content_files(kind).get(path.name.removesuffix(".yaml"), path)


def read_content(kind: Content, path: str | Path, what: str) -> str:
    """Read such a file. what: it is, for the error. Raises SpecError, which lists the names."""
    names = ", ".join(content_files(kind))
    return read_text(content_path(kind, path), what, f"by name there are {names}" if names else "")
