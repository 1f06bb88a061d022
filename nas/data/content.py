"""The digest of a set of image files, which does not change with places and times."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from nas.base.errors import SpecError, StorageError
from nas.base.files import write_whole
from nas.base.machine import cache_root, usable_cores
from nas.data.listing import Listing, readable

__all__ = ["content_digest", "stamps_digest"]


def content_digest(listings: Sequence[Listing]) -> str:
    """Return a digest of the names of images, from their class folder on, and of their bytes.

    Files are read once: what their places, sizes and times were then is kept in the user's cache
    with the digest, which is taken from there while those are the same.
    """
    known = cache_root() / "digests" / _stamps(listings)
    kept = _kept(known)
    if kept is not None:
        return kept
    digest = hashlib.sha256()
    with ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        for listing in listings:
            paths = [path for _, path in listing.files]
            for path, content in zip(paths, pool.map(_file_digest, paths), strict=True):
                name = path.removeprefix(f"{listing.top}{os.sep}")
                digest.update(os.fsencode(name) + b"\0" + content)
            digest.update(b"\n")
    with suppress(OSError, StorageError):  # without a cache it is made again
        known.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(known) as temporary:
            temporary.write_text(digest.hexdigest(), encoding="ascii")
    return digest.hexdigest()


def _kept(path: Path) -> str | None:
    """Return the digest that a file of the cache keeps; None where it keeps none."""
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    # A machine that lost its power may have left an empty file.
    return text if re.fullmatch(r"[0-9a-f]{64}", text) else None


def stamps_digest(listings: Sequence[Listing]) -> str:
    """Return a digest of places, sizes and times: by it runs of before know their images."""
    digest = hashlib.sha256()
    for listing in listings:
        for _, path in listing.files:
            status = _status(path)
            digest.update(os.fsencode(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n"))
        digest.update(b"\n")
    return digest.hexdigest()


def _stamps(listings: Sequence[Listing]) -> str:
    """Return a digest that changes whenever a file is written, which sets st_ctime, too."""
    digest = hashlib.sha256()
    for listing in listings:
        digest.update(os.fsencode(f"{listing.top}\n"))
        for _, path in listing.files:
            of = _status(path)
            stamps = (of.st_size, of.st_mtime_ns, of.st_ctime_ns, of.st_dev, of.st_ino)
            digest.update(os.fsencode(f"{path}\0{stamps}\n"))
    return digest.hexdigest()


def _status(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except OSError as error:
        raise _unreadable(path, error) from None


def _file_digest(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str, error: OSError) -> SpecError:
    return SpecError(f"image {readable(path)} cannot be read ({error.strerror}); mend or remove it")
