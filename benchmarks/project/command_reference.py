"""The reference of commands, from their own help: docs/reference/commands.md.

Run: python -m benchmarks.project.command_reference > docs/reference/commands.md
(a test says where the page is not what the program says)
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from nas.cli.application import app

_HEAD = """# Commands

Every command and option, as `--help` says it. Wrong input ends with one line and exit code 2.
(`python -m benchmarks.project.command_reference`)
"""


def main() -> None:
    """Print the page."""
    print(page())


def page() -> str:
    """Return the page as Markdown."""
    return "\n".join([_HEAD, *_sections(typer.main.get_command(app), "nas")])


def _sections(command: Any, path: str) -> Iterator[str]:
    context = command.make_context(path, [], resilient_parsing=True)
    inner = command.list_commands(context) if hasattr(command, "list_commands") else []
    for name in inner:
        yield from _sections(command.get_command(context, name), f"{path} {name}")
    if inner and not command.invoke_without_command:
        return
    text = re.sub(r"\n(?!\n)\s*", " ", (command.help or "").strip()).replace("\n ", "\n")
    about, _, example = text.partition("Example:")
    yield f"## {path}\n\n{about.strip()}\n"
    if example.strip():
        yield f"```text\n{example.strip()}\n```\n"
    found = [_row(parameter, context) for parameter in command.params]
    rows = [row for row in found if row is not None]
    if rows:
        yield "| argument or option | is |\n| --- | --- |"
        yield "\n".join(rows) + "\n"


def _row(parameter: Any, context: Any) -> str | None:
    """Return the row of an argument or an option; None of `--help`."""
    if parameter.name == "help" or getattr(parameter, "hidden", False):
        return None
    names, told = parameter.get_help_record(context) or (parameter.name.upper(), "")
    told = re.sub(r"\s+", " ", told).replace("|", "\\|")
    return f"| `{names.replace('|', chr(92) + '|')}` | {told} |"


if __name__ == "__main__":
    main()
