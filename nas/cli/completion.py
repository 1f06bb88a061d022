"""The names that a shell completes after TAB, where an option takes one that the program knows.

Each function is for `autocompletion=` of an option or argument: (what was typed) -> names that
begin with it. Where there are none the shell completes files. Names that only an import of torch
tells, which takes seconds, are kept in the cache: they are waited for once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import get_args

from nas.base.content import content_files
from nas.base.errors import NasError
from nas.base.files import make_folder, write_whole
from nas.base.machine import cache_root, source_digest, version
from nas.spec.task import OWN, TaskName, task_named

__all__ = [
    "backbone_names",
    "block_names",
    "data_kinds",
    "head_names",
    "runner_names",
    "runtime_names",
    "space_names",
    "target_names",
    "task_names",
]


def space_names(incomplete: str) -> list[str]:
    return _beginning(incomplete, content_files("search_spaces"))


def runner_names(incomplete: str) -> list[str]:
    return _beginning(incomplete, content_files("runners"))


def task_names(incomplete: str) -> list[str]:
    return _beginning(incomplete, get_args(TaskName))


def head_names(incomplete: str) -> list[str]:
    """Return the heads of the tasks that have a choice of them."""
    choices = [task_named(name).heads for name in get_args(TaskName)]
    named = [head for heads in choices if OWN in heads for head in heads]
    return _beginning(incomplete, dict.fromkeys(named))


def data_kinds(incomplete: str) -> list[str]:
    """Return the kinds of data, with a colon where a path or a name follows."""

    def found() -> list[str]:
        from nas.data.kinds import DATA

        return [f"{name}:" if kind.argument else name for name, kind in DATA.items()]

    return _beginning(incomplete, _kept("data", found))


def block_names(incomplete: str) -> list[str]:
    from nas.blocks import BLOCKS

    return _beginning(incomplete, BLOCKS)


def backbone_names(incomplete: str) -> list[str]:
    """Return the mobile line-up; as soon as a letter is typed, the names of all families."""

    def line_up() -> Iterable[str]:
        from nas.backbones import LINE_UP

        return LINE_UP

    def everything() -> list[str]:
        from nas.backbones import FAMILIES

        return [name for family in FAMILIES for name in family.names()]

    names = _kept("backbones", everything) if incomplete else _kept("line-up", line_up)
    return _beginning(incomplete, names)


def runtime_names(incomplete: str) -> list[str]:
    from nas.latency.runtime import RUNTIMES

    return _beginning(incomplete, RUNTIMES)


def target_names(incomplete: str) -> list[str]:

    def found() -> Iterable[str]:
        from nas.export.target import TARGETS

        return TARGETS

    return _beginning(incomplete, _kept("targets", found))


def _kept(what: str, find: Callable[[], Iterable[str]]) -> list[str]:
    """Return names from the cache, or found now and kept there, where that can be written."""
    versions = [source_digest(), *(version(name) or "" for name in ("timm", "torchvision"))]
    try:
        path = cache_root() / "completion" / f"{what}-{'-'.join(versions)}.json"
        kept = json.loads(path.read_text())
    except (OSError, ValueError):
        kept = None
    except NasError:  # there is no place for a cache
        return list(find())
    if isinstance(kept, list) and all(isinstance(name, str) for name in kept):
        return kept
    names = list(find())
    with suppress(NasError):
        make_folder(path.parent)
        with write_whole(path) as temporary:
            temporary.write_text(json.dumps(names))
    return names


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
