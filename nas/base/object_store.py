"""Folders in object storage (`s3://`, `gs://`: fsspec), beside those of this machine.

Paths of universal_pathlib reach what lies there and answer as pathlib's do, so that the same
functions read and write both.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from nas.base.errors import NasError, SpecError, StorageError, disk_is_full, first_line
from nas.base.optional_package import install

__all__ = [
    "check_url",
    "copy",
    "fetch",
    "is_remote",
    "location",
    "remove",
    "send",
    "storage_errors",
]

_EXTRAS = {"s3": "s3", "gs": "gcs", "gcs": "gcs"}
_ALLOWED = "s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or another of fsspec's object stores"
_LOCAL = ("file", "local")
_OWN_PROCESS = {
    "memory",
    "cached",
    "blockcache",
    "filecache",
    "simplecache",
    "dir",
    "reference",
    "data",
}
_WHOLE = ".whole"  # written last into a folder that was sent


def check_url(text: str) -> None:
    """Check the URL of a folder in object storage.

    Raises SpecError when it is none, or when it holds keys, since files keep it.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or not scheme or "::" in text or not rest.strip("/"):
        raise SpecError(f"found {text!r}; allowed: {_ALLOWED}")
    if scheme in _OWN_PROCESS:
        raise SpecError(
            f"{scheme}:// is gone with the process that writes there; allowed: {_ALLOWED}"
        )
    if ":" in rest.partition("/")[0].rpartition("@")[0]:
        raise SpecError(
            f"the {scheme}:// URL holds keys, and runs are kept in files; leave them out: they "
            "come from the environment, or from the store's own settings"
        )


def location(text: str) -> Path:
    """Return the path that a text names: of this machine, or `SCHEME://...` in object storage.

    Raises SpecError, also when the scheme is unknown or its package is not installed.
    """
    if "://" not in text:
        return Path(text)
    check_url(text)
    scheme, _, rest = text.partition("://")
    if scheme in _LOCAL:
        return Path("/", rest)
    try:
        from upath import UPath

        # Other machines write there, too: what was listed once is not what is there.
        path = UPath(text, use_listings_cache=False)
        _ = path.fs  # imports what reaches it
    except ImportError:
        extra = _EXTRAS.get(scheme)
        how = install(extra) if extra else f"install fsspec's for {scheme}"
        raise SpecError(f"{text}: nothing here reaches {scheme}://; {how}") from None
    except Exception as error:  # of the package that reaches it
        raise SpecError(
            f"{text} cannot be reached ({first_line(error)}); allowed: {_ALLOWED}"
        ) from None
    return cast(Path, path)


def is_remote(path: Path) -> bool:
    """Say whether a path lies in object storage."""
    return not isinstance(path, Path)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn whatever the library of a store raises into a StorageError.

    path: where the body reads or writes; errors of this machine's own folders stay as they come.
    """
    try:
        yield
    except NasError:
        raise
    except Exception as error:
        if not is_remote(path):
            raise
        if isinstance(error, OSError) and disk_is_full(error):
            raise StorageError(
                f"no space left on this machine to copy {path}; free some and try again"
            ) from None
        raise StorageError(f"{path} cannot be reached ({first_line(error)})") from None


def send(path: Path, folder: Path) -> Path:
    """Return the path at which workers find a file or folder of this machine.

    folder: where workers read; into a remote one, `path` is copied unless it is there already,
    and with a local one, `path` is found where it is.
    Raises StorageError when the store cannot be reached.
    """
    if not is_remote(folder):
        return path.resolve()
    target = folder / path.name
    mark = target / _WHOLE if path.is_dir() else target
    with storage_errors(target):
        if not mark.exists():
            copy(path, target)
            if path.is_dir():
                mark.write_bytes(b"")
    return target


def fetch(path: Path, folder: Path) -> Path:
    """Return a local copy of a remote file or folder, made once.

    path: what to copy; a local path comes back as it is.
    folder: of this machine, for the copy.
    Raises StorageError when the store cannot be reached.
    """
    if not is_remote(path) or (folder / path.name).exists():
        return folder / path.name if is_remote(path) else path
    folder.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder, prefix=f".{path.name}."))
    try:
        copy(path, building / path.name)
        with suppress(OSError):  # another process was faster
            (building / path.name).rename(folder / path.name)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder / path.name


def copy(source: Path, target: Path) -> None:
    """Copy a file, or a folder with all that is in it, from anywhere to anywhere."""
    remote = source if is_remote(source) else target
    with storage_errors(remote):
        if not source.is_dir():
            _copy_file(source, target)
            return
        for file in source.rglob("*"):
            if file.is_file() and file.name != _WHOLE:
                _copy_file(file, target / str(file)[len(str(source)) :].lstrip("/"))


def _copy_file(source: Path, target: Path) -> None:
    # In pieces where one end is local: decoded images may be larger than memory.
    there: Any = target if is_remote(target) else source
    if is_remote(source) is is_remote(target):
        target.write_bytes(source.read_bytes())
    elif is_remote(target):
        there.fs.put_file(str(source), there.path)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        there.fs.get_file(there.path, str(target))


def remove(folder: Path) -> None:
    """Remove a remote folder with all that is in it; one of this machine is left alone."""
    if not is_remote(folder):
        return
    with storage_errors(folder):
        if folder.exists():
            cast(Any, folder).fs.rm(cast(Any, folder).path, recursive=True)
