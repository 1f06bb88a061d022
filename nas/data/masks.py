"""Masks: what class numbers in files mean, and which classes each image has."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nas.base.errors import SpecError
from nas.base.machine import usable_cores
from nas.data.geometry import IGNORED
from nas.data.images import Images, Masks, pillow_as_needed
from nas.data.reading import Merging

__all__ = [
    "Numbering",
    "class_numbers",
    "found_numbers",
    "merged_classes",
    "numbers_found",
    "rarest_classes",
]

Numbers = NDArray[np.bool_]
"""Which of the numbers 0 to 255 occur in each mask: (N, 256)."""

_REST = "*"
_SHOWN = 12  # classes in an error

# Pillow spreads grey of few bits over 0 to 255.
_FEW_BITS = {"L;2": 85, "L;4": 17}


def class_numbers(image: Image.Image) -> NDArray[np.uint8]:
    """Return the class numbers in a mask: levels of grey, or places in a palette: (H, W).

    Raises ValueError for an image that holds something else.
    """
    if image.format in {"JPEG", "MPO"}:
        raise ValueError("JPEG changes class numbers; PNG keeps them")
    tiles = getattr(image, "tile", None)  # of a file that is not decoded yet
    raw = tiles[0].args if image.format == "PNG" and tiles else None
    levels = np.asarray(image)
    if image.mode == "RGB" and (levels == levels[..., :1]).all():
        levels = levels[..., 0]  # grey that was saved as colours
    elif image.mode not in {"1", "L", "P"} and not image.mode.startswith("I"):
        raise ValueError(
            f"its pixels are {image.mode}; allowed: one class number each, as grey or in a palette"
        )
    beyond = levels[(levels < 0) | (levels > IGNORED)]
    if beyond.size:
        raise ValueError(
            f"it holds class number {beyond[0]}; allowed: 0 to 254, and {IGNORED} for pixels that "
            "do not count"
        )
    return levels.astype(np.uint8) // _FEW_BITS.get(raw if isinstance(raw, str) else "", 1)


def found_numbers(masks: Masks, count: int) -> Numbers:
    """Return which numbers occur in each of so many masks. Reads them all.

    Raises SpecError, which names the first mask that cannot be read.
    """

    def numbers(row: int) -> NDArray[np.bool_]:
        counts: NDArray[np.int64] = np.bincount(masks.checked(row).ravel(), minlength=256)
        return np.greater(counts, 0)

    with pillow_as_needed(), ThreadPoolExecutor(max_workers=usable_cores()) as pool:
        try:
            rows = list(pool.map(numbers, range(count)))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return np.stack(rows) if rows else np.zeros((0, 256), dtype=np.bool_)


def numbers_found(present: Numbers) -> dict[int, str]:
    """Return the classes of masks without names: each number that counts, by itself."""
    return {int(number): str(number) for number in np.flatnonzero(present[:, :IGNORED].any(axis=0))}


@dataclass(frozen=True, slots=True)
class Numbering:
    """Which classes are told apart, and of which of them each number in a file is.

    names: number in files -> class there.
    classes: those that are told apart, in order.
    table: (256,) uint8, number in files -> place in `classes`; 255: does not count.
    """

    names: Mapping[int, str]
    classes: tuple[str, ...]
    table: NDArray[np.uint8]

    @classmethod
    def of(cls, names: Mapping[int, str], merging: Merging, source: str) -> Numbering:
        """Return the classes of files, merged where that is asked for.

        source: in errors.
        Raises SpecError for classes that are not there or in two others, and for fewer than two.
        """
        merged = merged_classes(names, merging, source)
        if len(merged) < 2:
            only = f" ({', '.join(merged)})" if merged else ""
            raise SpecError(
                f"data {source!r}: {len(merged)} class{only} in masks; at least 2 are needed, one "
                f"of which may be the background ({IGNORED} is no class: it does not count)"
            )
        if len(merged) > IGNORED:
            raise SpecError(f"data {source!r}: {len(merged)} classes in masks; at most {IGNORED}")
        table = np.full(256, IGNORED, dtype=np.uint8)
        for place, olds in enumerate(merged.values()):
            table[[number for number, name in names.items() if name in olds]] = place
        return cls(names, tuple(merged), table)

    def check(self, present: Numbers, masks: Masks) -> None:
        """Raises SpecError for a mask with a number of no class, or without any that counts."""
        known = np.zeros(256, dtype=np.bool_)
        known[[*self.names, IGNORED]] = True
        rows, numbers = np.nonzero(np.where(known, False, present))
        for row, number in zip(rows[:1], numbers[:1], strict=True):
            raise SpecError(
                f"{masks.called(int(row))}: class number {number}; allowed: {_range(self.names)}, "
                f"and {IGNORED} for pixels that do not count; mend the mask or the names of classes"
            )
        for row in np.flatnonzero(~present[:, :IGNORED].any(axis=1))[:1]:
            raise SpecError(
                f"{masks.called(int(row))}: no pixel of it counts (all are {IGNORED}); remove it "
                "and its image"
            )

    def images(
        self,
        read: Callable[[int], Image.Image],
        called: Callable[[int], str],
        masks: Masks,
        present: Numbers,
    ) -> Images:
        """Return images with masks of the classes that are told apart.

        Images that show none of them are left out, which is noted: nothing of them counts.
        masks: with the numbers of files; `found` says which of them each has.
        Raises SpecError as `check` does, and where no image is left.
        """
        self.check(present, masks)
        there = np.zeros((len(present), len(self.classes)), dtype=np.bool_)
        for place in range(len(self.classes)):
            there[:, place] = present[:, self.table == place].any(axis=1)
        rows = np.flatnonzero(there.any(axis=1))
        if not len(rows):
            raise SpecError(
                f"{called(0) if len(present) else 'data'} and all others show none of the classes "
                f"{_listed(self.classes)}; name others (classes:)"
            )
        numbered = replace(masks, read=lambda row: self.table[masks.read(row)])
        images = Images(rarest_classes(there), read, called, numbered)
        if len(rows) == len(present):
            return images
        gone = len(present) - len(rows)
        note = f"left out: {gone} of {len(present)} images, with none of the classes"
        return replace(images.only(rows), notes=(note,))


def rarest_classes(there: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each image the class among its own that fewest images have: (N,).

    there: (N, classes), which classes each image has; -1 for an image that has none. Of classes as
        rare the last: the background is the first most often.
    """
    if not len(there):
        return np.zeros(0, dtype=np.int64)
    images = np.where(there, there.sum(axis=0), len(there) + 1)
    rarest = there.shape[1] - 1 - images[:, ::-1].argmin(axis=1)
    return np.where(there.any(axis=1), rarest, -1).astype(np.int64)


def merged_classes(
    names: Mapping[int, str], merging: Merging, source: str
) -> dict[str, frozenset[str]]:
    """Return the classes that are told apart, and the classes of files in each.

    Raises SpecError for classes that are not there or in two others.
    """
    olds = list(dict.fromkeys(name for _, name in sorted(names.items())))
    if not merging:
        return {name: frozenset([name]) for name in olds}
    taken: dict[str, str] = {}
    merged: dict[str, frozenset[str]] = {}
    for new, parts in merging:
        if new in merged or not parts:
            reason = "is there twice" if new in merged else "holds no class"
            raise SpecError(
                f"classes: {new!r} {reason}; each needs a name, and classes, of its own"
            )
        for name in parts:
            if name != _REST and name not in olds:
                near = difflib.get_close_matches(name, olds, n=3)
                known = list(dict.fromkeys([*near, *olds]))
                raise SpecError(
                    f"classes: {new!r}: {name!r} is no class of data {source!r}; allowed: "
                    f"{_listed(known)}, or * for all that are in no other"
                )
            if name in taken:
                raise SpecError(
                    f"classes: {name!r} is in {taken[name]!r} and {new!r}; one takes it"
                )
            taken[name] = new
        merged[new] = frozenset(parts)
    unnamed = frozenset(olds) - taken.keys()
    return {new: parts | unnamed if _REST in parts else parts for new, parts in merged.items()}


def _listed(names: Sequence[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _range(names: Mapping[int, str]) -> str:
    numbers = sorted(names)
    if numbers == list(range(len(numbers))):
        return f"0 to {numbers[-1]}"
    return _listed([str(number) for number in numbers])
