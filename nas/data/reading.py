"""How the images of a source are found, and how they become of one size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Annotated", "Channels", "Merging", "Reading", "Resize", "Rules"]

Resize = Literal["crop", "stretch", "pad"]

Rules = Literal[1, 2]

Channels = tuple[float, float, float]

Annotated = Literal["labels", "masks", "identities", "boxes"]
"""The kinds of annotations: the class of an image, of each of its pixels, whom it shows, or where
its objects are, and of what class each."""

Merging = tuple[tuple[str, tuple[str, ...]], ...]
"""New classes, in order, and the old ones of each; `*`: all that are in no other."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How images are read.

    resize: what becomes of an image of another shape. `crop`: the largest part in its middle that
        has the shape (a square, of squares); `stretch`: all of it, in that shape; `pad`: all of it,
        between black bars.
    rules: 1, of runs of before: ten suffixes are images, links to folders are not followed, and
        images are known by their paths, sizes and times. 2: every suffix that Pillow decodes here,
        links are followed, and images are known by relative names and content.
    normalisation: mean and deviation of pixels from 0 to 255; None: of the training images.
    annotated: what is read of each image beside its pixels.
    test: a folder of test images, laid out as one to validate on; None: those of the source.
    classes: of masks: the classes that are told apart, each of one or more in the files; what is in
        none does not count. Empty: those of the files.
    """

    resize: Resize = "crop"
    rules: Rules = 2
    normalisation: tuple[Channels, Channels] | None = None
    annotated: Annotated = "labels"
    classes: Merging = ()
    test: str | None = None
