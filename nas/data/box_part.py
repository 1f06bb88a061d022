"""Image files with the objects on them, of one part of a source."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.base.errors import SpecError
from nas.data.boxes import BoxNumbering, Objects
from nas.data.content import content_digest, stamps_digest
from nas.data.formats import open_image
from nas.data.groups import Groups
from nas.data.images import Categories, Images, ImageSource, Numbered, Parts
from nas.data.listing import Listing, readable
from nas.data.reading import Merging

__all__ = ["Annotated", "BoxPart", "boxes_source", "boxes_test_source", "numbered_boxes"]


@dataclass(frozen=True)
class Annotated:
    """The images of a part, and what is on them, as files were read.

    paths: of the images.
    called: row -> what to call an image's objects in an error.
    names: the classes there are, in order; None: those that occur.
    numbers: class -> the number that files have of it, which may have gaps; None: they have none.
    """

    paths: Sequence[str]
    objects: Sequence[Objects]
    called: Callable[[int], str]
    names: Sequence[str] | None = None
    numbers: Mapping[str, int] | None = None

    @property
    def classes(self) -> dict[int, str]:
        """The classes by number."""
        occurring = {name for one in self.objects for name in one.names}
        return dict(enumerate(sorted(occurring) if self.names is None else self.names))

    def categories(self, numbering: BoxNumbering) -> Categories:
        """Return what files call each of the classes that are told apart."""
        if self.numbers is None:
            return ()
        by_class: list[list[tuple[int, str]]] = [[] for _ in numbering.classes]
        for name, number in self.numbers.items():
            if name in numbering.numbers:
                by_class[numbering.numbers[name]].append((number, name))
        return tuple(tuple(sorted(one)) for one in by_class)

    def images(self, numbering: BoxNumbering) -> Images:
        """Return them with boxes of the classes that are told apart. Raises SpecError."""
        return numbering.images(
            lambda row: open_image(self.paths[row]),
            lambda row: f"image {readable(self.paths[row])}",
            self.objects,
            self.called,
        )


@dataclass(frozen=True)
class BoxPart:
    """A part that is not read yet.

    read: raises SpecError for files that are not as they must be.
    files: all that it is read from, by which it is known.
    notes: see `ImageSource`.
    """

    read: Callable[[], Annotated]
    files: Sequence[Listing]
    notes: tuple[str, ...] = ()


def boxes_source(
    source: str, train: BoxPart, held: BoxPart | None, merging: Merging, root: Path
) -> ImageSource[Parts]:
    """Return a source of images with boxes, whose classes are those of the training part.

    source: in errors.
    merging: see `Reading.classes`.
    root: that may hold a file of groups, which count where no validation part is.
    """
    groups = Groups.beside(root) if held is None else None

    def read() -> Parts:
        annotated = train.read()
        numbering = BoxNumbering.of(annotated.classes, merging, source)
        images = annotated.images(numbering)
        if groups is not None:
            images = groups.numbered(images)
        validation = None
        if held is not None:
            others = held.read()
            _check_apart(annotated, others, source)
            validation = others.images(numbering)
        return Parts(
            numbering.classes,
            images,
            validation,
            numbers=annotated.classes,
            categories=annotated.categories(numbering),
        )

    parts = [part for part in (train, held) if part is not None]
    files = [listing for part in parts for listing in part.files]
    notes = tuple(dict.fromkeys(note for part in parts for note in part.notes))

    def digest() -> str:
        return content_digest(files)

    return ImageSource(
        stamps_digest(files), read, digest if groups is None else groups.digest(digest), notes
    )


def boxes_test_source(
    source: str, part: BoxPart, train: BoxPart, merging: Merging
) -> ImageSource[Images]:
    """Return one part by itself, its classes numbered as those of the training part."""

    def read() -> Images:
        annotated, others = train.read(), part.read()
        _check_apart(annotated, others, source)
        return others.images(BoxNumbering.of(annotated.classes, merging, source))

    # The training part says which classes there are.
    files = [*part.files, *train.files]
    return ImageSource(stamps_digest(files), read, lambda: content_digest(files), part.notes)


def numbered_boxes(
    source: str, part: Callable[[Sequence[str]], BoxPart], merging: Merging
) -> ImageSource[Numbered]:
    """Return images for validation or test beside whichever training images.

    part: from the classes of the training images, which it may number its own by.
    """
    listed = part(())

    def read() -> Numbered:
        def numbered(parts: Parts) -> Images:
            assert parts.numbers is not None
            names = list(parts.numbers.values())
            numbering = BoxNumbering.of(parts.numbers, merging, source)
            return part(names).read().images(numbering)

        return numbered

    files = list(listed.files)
    return ImageSource(stamps_digest(files), read, lambda: content_digest(files), listed.notes)


def _check_apart(train: Annotated, others: Annotated, source: str) -> None:
    """Raises SpecError for an image in two parts: a network would be judged on what it learnt."""
    shared = set(train.paths) & set(others.paths)
    if shared:
        raise SpecError(
            f"data {source!r}: image {readable(min(shared))} is among the training images, too; an "
            "image is in one part alone"
        )
