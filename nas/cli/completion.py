"""The names that a shell completes after TAB, where an option takes one that the program knows.

Each function is for `autocompletion=` of an option or argument: (what was typed) -> names that
begin with it. Where there are none the shell completes files. Imports of torch wait for the
question.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from nas.base.content import content_files
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
    from nas.data.kinds import DATA

    return _beginning(
        incomplete, [f"{name}:" if kind.argument else name for name, kind in DATA.items()]
    )


def block_names(incomplete: str) -> list[str]:
    from nas.blocks import BLOCKS

    return _beginning(incomplete, BLOCKS)


def backbone_names(incomplete: str) -> list[str]:
    """Return the mobile line-up; as soon as a letter is typed, the names of all families."""
    from nas.backbones import FAMILIES, LINE_UP

    everything = [name for family in FAMILIES for name in family.names()]
    return _beginning(incomplete, everything if incomplete else LINE_UP)


def runtime_names(incomplete: str) -> list[str]:
    from nas.latency.runtime import RUNTIMES

    return _beginning(incomplete, RUNTIMES)


def target_names(incomplete: str) -> list[str]:
    from nas.export.target import TARGETS

    return _beginning(incomplete, TARGETS)


def _beginning(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
