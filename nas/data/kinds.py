"""The kinds of data that may be named, in one table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nas.base.errors import NoTestPart, SpecError
from nas.base.own_name import OwnName
from nas.base.user_code import is_function
from nas.data.cluttered_digits import cluttered_digits, cluttered_digits_test
from nas.data.folder import folder, folder_test, imagenet, imagenet_test
from nas.data.huggingface import huggingface, huggingface_test
from nas.data.images import Images, ImageSource, Parts
from nas.data.listing import local_path, portable_path
from nas.data.own_function import own_function
from nas.data.published import PUBLISHED, digits, digits_test
from nas.data.reading import Rules

__all__ = [
    "DATA",
    "Kind",
    "check_source",
    "resolve_source",
    "resolve_validation",
    "source_to_search",
    "source_to_test",
]

_PATH = "PATH"


@dataclass(frozen=True)
class Kind:
    """A kind of data.

    search: argument behind the colon, and the rules of a folder -> what a search may see.
    test: the same -> the test part; None when it brings none.
    argument: what must be behind the colon; empty means no colon.
    """

    search: Callable[..., ImageSource[Parts]]
    test: Callable[..., ImageSource[Images]] | None = None
    argument: str = ""

    def arguments(self, argument: str, rules: Rules) -> tuple[str] | tuple[str, Rules]:
        """Return what its functions are called with."""
        return (argument, rules) if self.argument == _PATH else (argument,)


DATA: dict[str, Kind] = {
    "digits": Kind(digits, digits_test),
    "cifar10": Kind(PUBLISHED["cifar10"].search, PUBLISHED["cifar10"].test),
    "folder": Kind(folder, folder_test, _PATH),
    "imagenet": Kind(imagenet, imagenet_test, _PATH),
    "cluttered-digits": Kind(cluttered_digits, cluttered_digits_test),
    "cifar100": Kind(PUBLISHED["cifar100"].search, PUBLISHED["cifar100"].test),
    "fashion-mnist": Kind(PUBLISHED["fashion-mnist"].search, PUBLISHED["fashion-mnist"].test),
    "svhn": Kind(PUBLISHED["svhn"].search, PUBLISHED["svhn"].test),
    "hf": Kind(huggingface, huggingface_test, "NAME"),
}


def resolve_source(source: str) -> str:
    """Make the path in a source, of a folder or a file of code, absolute.

    A run is resumed from anywhere.
    """
    name, _, argument = source.partition(":")
    own = OwnName.parse(source) if _is_own(source) else None
    if own is not None:
        return str(own.absolute())
    if name == "hf":
        return f"hf:{_absolute_folder(argument)}"
    if not argument or name not in DATA or DATA[name].argument != _PATH:
        return source
    return f"{name}:{_absolute(argument)}"


def _absolute_folder(argument: str) -> str:
    """Make the folder in what names a data set of the Hub, or one kept here, absolute."""
    place, comma, options = argument.partition(",")
    whole, (name, colon, config) = place, place.partition(":")
    if whole and local_path(whole).expanduser().is_dir():
        place = _absolute(whole)
    elif name and local_path(name).expanduser().is_dir():
        place = f"{_absolute(name)}{colon}{config}"
    return place + comma + options


def resolve_validation(validation: float | str) -> float | str:
    """Make the path of a folder absolute; a share stays as it is."""
    return _absolute(validation) if isinstance(validation, str) else validation


def _absolute(path: str) -> str:
    return portable_path(local_path(path).expanduser().resolve())


def check_source(source: str) -> None:
    """Check that a text names data, wherever the images may be. Raises SpecError."""
    if not _is_own(source):
        _kind(source)


def source_to_search(source: str, rules: Rules = 2) -> ImageSource[Parts]:
    """Return what a search may see of a source, not read yet.

    rules: see `Reading`.
    Raises SpecError when there is no such source.
    """
    if _is_own(source):
        return own_function(source)
    kind, argument = _kind(source)
    return kind.search(*kind.arguments(argument, rules))


def source_to_test(source: str, rules: Rules = 2) -> ImageSource[Images]:
    """Return the test part of a source, not read yet. Raises SpecError when it brings none.

    rules: see `Reading`.
    """
    kind, argument = (None, "") if _is_own(source) else _kind(source)
    if kind is None or kind.test is None:
        raise NoTestPart(
            f"data {source!r} brings no test part; these do: "
            f"{', '.join(_usage(name) for name in DATA if DATA[name].test)}"
        )
    return kind.test(*kind.arguments(argument, rules))


def _is_own(source: str) -> bool:
    return source.partition(":")[0] not in DATA and is_function(source)


def _kind(source: str) -> tuple[Kind, str]:
    name, _, argument = source.partition(":")
    if name not in DATA or bool(argument) != bool(DATA[name].argument):
        if source and Path(source).expanduser().is_dir():
            raise SpecError(f"data {source!r} is a folder; write folder:{source}")
        own = ["module:function", "path/to/file.py:function"]
        allowed = ", ".join([*(_usage(name) for name in DATA), *own])
        raise SpecError(f"data {source!r}; allowed: {allowed}")
    return DATA[name], argument


def _usage(name: str) -> str:
    return f"{name}:{DATA[name].argument}" if DATA[name].argument else name
