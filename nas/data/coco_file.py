"""Files of COCO annotations: read at once, or piece by piece where memory would not hold that."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from nas.base.errors import SpecError
from nas.base.machine import available_memory
from nas.base.optional_package import import_optional
from nas.data.listing import readable

__all__ = ["read_coco"]

_PARTS = ("categories", "images", "annotations")

# Bytes of memory for a byte of file. Of a made one of 80,000 images with 7 polygons each, 339 MB,
# json took 6.0 and 17 seconds; piece by piece, with polygons as arrays, 1.6 and 43 seconds, since
# it is gone through for each list (November 2026, a shared core of an AMD EPYC).
_AT_ONCE, _BY_PIECES = 8.0, 2.0
_MEMORY_SHARE = 0.6


def read_coco(path: Path) -> Mapping[str, Iterable[Any]]:
    """Return the lists of a file by name, each to be gone through once.

    Raises SpecError for what is no JSON, or too large for memory, also while they are gone through.
    Of a file of JSON that is not COCO's, whatever stands in the place of the lists.
    """
    if _fits(path, _AT_ONCE):
        try:
            given: Mapping[str, Any] = json.loads(path.read_bytes())
        except OSError as error:
            raise _unreadable(path, error) from None
        except (ValueError, RecursionError) as error:
            raise _no_json(path, error) from None
        return given
    if not _fits(path, _BY_PIECES):
        raise SpecError(
            f"{readable(path)} is {_gib(path.stat().st_size)} GiB, which takes about "
            f"{_gib(path.stat().st_size * _BY_PIECES)} to read, and "
            f"{_gib(available_memory() or 0)} are free; keep the annotations of fewer images in "
            "it, or draw masks (folder:PATH with images and masks)"
        )
    ijson = import_optional(
        "ijson",
        "items",
        "segmentation",
        f"{readable(path)} is {_gib(path.stat().st_size)} GiB, and "
        f"{_gib(available_memory() or 0)} are free: it is read piece by piece by the package ijson",
    )
    return {name: entries for name in _PARTS if (entries := _entries(ijson, path, name))}


def _entries(ijson: Any, path: Path, name: str) -> Iterator[Any] | None:
    """Return the entries of a list of a file, or None where it has none."""

    def go_through() -> Iterator[Any]:
        try:
            with path.open("rb") as file:
                for entry in ijson.items(file, f"{name}.item", use_float=True, buf_size=1 << 20):
                    yield _slim(entry)
        except OSError as error:
            raise _unreadable(path, error) from None
        except (ijson.JSONError, UnicodeDecodeError) as error:
            raise _no_json(path, error) from None

    entries = go_through()
    first = next(entries, None)
    return None if first is None else chain([first], entries)


def _slim(entry: Any) -> Any:
    """Return an entry with its polygons as arrays: a sixth of the memory of lists."""
    polygons = entry.get("segmentation") if isinstance(entry, dict) else None
    if isinstance(polygons, list):
        with suppress(TypeError, ValueError):  # of what is none: who draws it says so
            entry["segmentation"] = [np.asarray(points, dtype=np.float64) for points in polygons]
    return entry


def _fits(path: Path, times: float) -> bool:
    free = available_memory()
    return free is None or path.stat().st_size * times <= free * _MEMORY_SHARE


def _gib(size: float) -> str:
    return f"{size / 2**30:.1f}"


def _unreadable(path: Path, error: OSError) -> SpecError:
    return SpecError(f"{readable(path)} cannot be read ({error.strerror})")


def _no_json(path: Path, error: Exception) -> SpecError:
    return SpecError(f"{readable(path)} is no JSON ({error}); mend it")
