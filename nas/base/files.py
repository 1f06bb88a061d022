"""Reading texts, JSON and strict YAML, and writing files whole."""

from __future__ import annotations

import codecs
import errno
import json
import os
import re
import secrets
import shutil
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from nas.base.errors import SpecError, StorageError, disk_is_full, first_line

if TYPE_CHECKING:  # where networks are only trained, it is not needed and may not be there
    from pydantic import BaseModel

__all__ = [
    "decoded",
    "dump_yaml",
    "make_folder",
    "parse",
    "read_json",
    "read_text",
    "read_yaml",
    "refuse_below_file",
    "refuse_taken",
    "write_folder_whole",
    "write_model",
    "write_whole",
]

_MAX_BYTES = 1_000_000
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order mark -> the encoding of what follows."""
_HELD = {
    type(None): "nothing",
    list: "a list",
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
}
"""Type of what a file holds instead of keys -> its name for a reader."""
_Model = TypeVar("_Model", bound="BaseModel")


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML without aliases (they can expand without bound) and without duplicate keys."""

    allowed_keys: tuple[type, ...] = (str,)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(
                None, None, "aliases (*name) are not allowed", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, self.allowed_keys):
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is not a text", key_node.start_mark
                )
            if key in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} stands twice", key_node.start_mark
                )
            keys.add(key)
        return super().construct_mapping(node, deep)


def _refuse_tag(loader: yaml.SafeLoader, node: yaml.Node) -> None:
    raise yaml.constructor.ConstructorError(
        None, None, f"tags ({node.tag}) are not allowed", node.start_mark
    )


_StrictLoader.add_constructor(None, _refuse_tag)


class _NumberedLoader(_StrictLoader):
    """The same, with numbers for keys, too."""

    allowed_keys = (str, int)


# YAML 1.1, PyYAML's, reads 4.5e6 as a text: it wants 4.5e+6. People write 4.5e6.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)$"),
    list("-+0123456789."),
)


def read_text(path: str | Path, what: str = "", advice: str = "") -> str:
    """Read a text file that a user names.

    what: the kind of file, for the error: `the runner`.
    advice: what to do without it, for the error.
    Raises SpecError.
    """
    try:
        return decoded(Path(path).read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, what, error, "it is not a text file", advice) from None


def decoded(content: bytes) -> str:
    """Decode a text: UTF-8, or what its byte order mark says. Raises UnicodeDecodeError.

    Windows puts such marks: Notepad and Excel before UTF-8, PowerShell's `>` before UTF-16.
    """
    encoding = next((name for mark, name in _MARKS.items() if content.startswith(mark)), "utf-8")
    return content.decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: str | Path, what: str = "", advice: str = "") -> Any:
    """Read a JSON file that a user names, with the arguments of `read_text`. Raises SpecError."""
    try:
        return json.loads(decoded(Path(path).read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(path, what, error, "it is not JSON", advice) from None


def _unreadable(
    path: str | Path, what: str, error: Exception, otherwise: str, advice: str
) -> SpecError:
    """Return an error with the system's reason, or `otherwise` where the content is at fault."""
    reason = getattr(error, "strerror", None) or otherwise
    file = f"{what} {path}" if what else f"{path}"
    return SpecError(f"cannot read {file}: {reason}" + (f"; {advice}" if advice else ""))


def read_yaml(text: str, source: str, *, numbered: bool = False) -> Any:
    """Parse one YAML document.

    source: its name in errors.
    numbered: whether numbers may be keys, too.
    Raises SpecError.
    """
    if len(text) > _MAX_BYTES:
        raise SpecError(f"{source}: {len(text)} characters; at most {_MAX_BYTES} are read")
    try:
        return yaml.load(text, Loader=_NumberedLoader if numbered else _StrictLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark else ""
        problem = getattr(error, "problem", None) or first_line(error)
        raise SpecError(f"{source}: not plain YAML{where}: {problem}") from None
    except RecursionError:
        raise SpecError(f"{source}: not plain YAML: it is nested too deeply") from None
    except ValueError as error:
        raise SpecError(f"{source}: not plain YAML: {error}") from None


def dump_yaml(model: BaseModel) -> str:
    """Write a model as YAML, with every key.

    Keys that are null are written too, since some have another default.
    """
    return yaml.safe_dump(model.model_dump(mode="json"), sort_keys=False)


def parse(model: type[_Model], data: object, source: str) -> _Model:
    """Check data against a model and return it as one.

    source: name of the data in errors.
    Raises SpecError, which names the key of the first fault.
    """
    if not isinstance(data, dict):
        held = _HELD.get(type(data), "something else")
        raise SpecError(f"{source}: holds {held}; needed: keys with values, as in name: value")
    from pydantic import ValidationError

    from nas.base.faults import first_fault

    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise SpecError(f"{source}: {first_fault(model, error)}") from None


def refuse_taken(path: Path, option: str, what: str = "file") -> None:
    """Check that nothing is at the path of a new file.

    option: the one that named it, for the error.
    what: it is to be, for the error.
    Raises SpecError when something is there.
    """
    if os.path.lexists(path):
        raise SpecError(f"{option} {path} exists; name a new {what}")
    refuse_below_file(path, option)


def refuse_below_file(path: Path, option: str) -> None:
    """Check that what is to hold a new file or folder is no file itself. Raises SpecError."""
    above = next((place for place in path.absolute().parents if os.path.lexists(place)), None)
    if above is not None and not above.is_dir():
        raise SpecError(f"{option} {path}: {above} is a file, not a folder; name another place")


def _unique() -> str:
    """Return a part of a temporary name that no other process uses.

    The process id alone would not do: in containers on one file system, processes share theirs.
    """
    return f"{os.getpid()}-{secrets.token_hex(4)}"


def make_folder(folder: Path) -> None:
    """Make a folder with those above it. Raises StorageError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"{folder} cannot be made ({error.strerror or error})") from None


@contextmanager
def write_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on leaving, it takes the place of `path`.

    A reader sees the old file or the new one, never half of one.
    Raises StorageError when the file cannot be written; the old file is then as it was.
    """
    temporary = path.with_name(f".{path.stem}.{_unique()}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if disk_is_full(error):
            raise StorageError(
                f"no space left for {path}; free some space and try again (a stopped search goes "
                "on with nas resume)"
            ) from None
        raise StorageError(f"{path} cannot be written ({error.strerror or error})") from None
    finally:
        with suppress(OSError):  # of a folder that cannot be written, which is said above
            temporary.unlink()


def write_model(path: str | Path, model: BaseModel) -> None:
    """Write a model as JSON, whole. Raises StorageError as `write_whole` does."""
    with write_whole(Path(path)) as temporary:
        temporary.write_text(json.dumps(model.model_dump(), indent=1) + "\n")


@contextmanager
def write_folder_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on leaving, it becomes `path`.

    Raises SpecError when something has that name already.
    Raises StorageError when it cannot be written.
    Then, or when the body fails, nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{_unique()}")
    try:
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        temporary.mkdir()
        yield temporary
        # Fails where meanwhile somebody has put something there.
        os.rename(temporary, path)
    except OSError as error:
        if error.errno in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR} and os.path.lexists(path):
            raise SpecError(f"{path} exists; name a new folder") from None
        if disk_is_full(error):
            raise StorageError(f"no space left for {path}; free some space and try again") from None
        raise StorageError(f"{path} cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
