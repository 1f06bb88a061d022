"""What README.md and docs/ show exists: commands and their options, targets, files, anchors."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from support.documentation import (
    ROOT,
    Block,
    Command,
    blocks,
    commands,
    inline_commands,
    pages,
    prose,
)

from benchmarks.project import command_reference
from nas.base.user_code import is_function
from nas.blocks import BLOCKS
from nas.cli import app
from nas.data.kinds import DATA
from nas.export import TARGETS
from nas.latency.runtime import RUNTIMES
from nas.spec.runner import load_runner

CLI = typer.main.get_command(app)
# typer brings a click of its own, of which it shows only some names.
UsageError = typer.BadParameter.__mro__[1]
BLOCKS_SHOWN = [block for page in pages() for block in blocks(page)]
SHOWN = [item for block in BLOCKS_SHOWN for item in commands(block)]
RIGHT = [item for block in BLOCKS_SHOWN if not block.exit_code for item in commands(block)]
INLINE = [item for page in pages() for item in inline_commands(page)]
_FILES = re.compile(r"(?<![\w/.-])((?:search_spaces|runners|docs|benchmarks|tests|nas)/[\w./-]*\w)")
_TESTS = re.compile(r"(tests/[\w/]+\.py)::(test_\w+)")
_LINKS = re.compile(r"\]\(([^)\s]+)\)")
_LEFT_OUT = {"MissingParameter", "BadOptionUsage", "NoArgsIsHelpError"}
_PLACEHOLDER = re.compile(r"[A-Z][A-Z_]+")
_STANDS_FOR = {"TRIAL": "17"}


def check(command: Command) -> list[str]:
    """Parse a command as the program would, and run nothing. Returns its words behind the
    subcommands. Raises UsageError.
    """
    words, group, context = list(command.words), CLI, None
    while True:
        context = group.make_context("nas", words, parent=context, resilient_parsing=False)
        rest = [*context._protected_args, *context.args]
        if not hasattr(group, "resolve_command") or not rest:
            return rest
        _, group, words = group.resolve_command(context, rest)
        assert group is not None
        if group.name == "launch":
            # What is not its own option is one of `nas search`, for the search there.
            inner = group.make_context("launch", list(words), parent=context)
            searched = ("search", "SPACE", *inner.args)
            return check(Command(command.page, command.line, "nas", searched))


@pytest.mark.parametrize("command", SHOWN, ids=str)
def test_every_command_shown_is_one(command: Command) -> None:
    if command.program == "make":
        check_target(command)
        return
    try:
        check(command)
    except typer.Exit:
        pass
    except UsageError as error:
        pytest.fail(f"{command}: {error.format_message()}")


@pytest.mark.parametrize("command", RIGHT, ids=str)
def test_its_values_are_allowed(command: Command) -> None:
    check_values(command)


@pytest.mark.parametrize("command", INLINE, ids=str)
def test_every_command_named_in_a_sentence_is_one(command: Command) -> None:
    """Arguments may be left out of these."""
    if command.program == "make":
        check_target(command)
        return
    words = tuple(_STANDS_FOR.get(word, word) for word in command.words if word != "...")
    try:
        check(Command(command.page, command.line, "nas", words))
    except typer.Exit:
        pass
    except UsageError as error:
        if type(error).__name__ not in _LEFT_OUT:
            pytest.fail(f"{command}: {error.format_message()}")
    check_values(command)


def check_target(command: Command) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    wanted = [word for word in command.words if "=" not in word]
    assert set(wanted) <= set(targets), str(command)


def check_values(command: Command) -> None:
    """Keys of a runner exist and take such values; data is of a kind that there is."""
    pairs = list(zip(command.words, command.words[1:], strict=False))
    settings = [value for option, value in pairs if option == "--set"]
    load_runner(None, tuple(text for text in settings if not text.startswith("device=")))
    for option, value in pairs:
        if option == "--data" and not _PLACEHOLDER.fullmatch(value):
            assert value.partition(":")[0] in DATA or is_function(value), str(command)
        if option == "--to" and not _PLACEHOLDER.fullmatch(value):
            assert value in TARGETS, str(command)
        if option == "--runtime":
            assert value in RUNTIMES, str(command)


def test_there_are_commands_to_check() -> None:
    programs = {item.program for item in SHOWN}
    assert programs == {"nas", "make"} and len(SHOWN) > 50 and len(INLINE) > 20
    # Every command of the program is shown somewhere.
    shown = {item.words[0] for item in [*SHOWN, *INLINE] if item.program == "nas"}
    assert set(CLI.commands) <= shown


def test_what_is_wrong_is_found() -> None:
    def found(*words: str) -> Command:
        return Command(ROOT / "README.md", 1, "nas", words)

    for words in (
        ("surch", "SPACE"),
        ("front", "runs/demo", "--knees"),
        ("search", "SPACE", "--trials", "many"),
        ("show", "runs/demo"),
        ("launch", "runners/slurm.sbatch", "SPACE", "--out", "x", "--trails", "3"),
    ):
        with pytest.raises(UsageError):
            check(found(*words))
    with pytest.raises(Exception, match="proxy.kind"):
        check_values(found("search", "SPACE", "--set", "proxy.kind=none-such"))


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    for name in _FILES.findall(page.read_text(encoding="utf-8")):
        assert (ROOT / name).exists() or _made_by(page, name), f"{page.name} names {name}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_tests_that_are_named_exist(page: Path) -> None:
    for name, test in _TESTS.findall(page.read_text(encoding="utf-8")):
        assert f"def {test}(" in (ROOT / name).read_text(encoding="utf-8"), f"{name}::{test}"


def _made_by(page: Path, name: str) -> bool:
    return any(block.title == name for block in blocks(page))


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINKS.findall(prose(page)):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


@cache
def anchors(page: Path) -> frozenset[str]:
    """As GitHub and mkdocs make them from headings."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", head)).strip().lower() for head in heads)
    return frozenset(head.replace(" ", "-") for head in plain)


@pytest.mark.parametrize(
    "block",
    [item for page in pages() for item in blocks(page) if item.language == "python"],
    ids=lambda block: f"{block.page.name}-{block.line}",
)
def test_python_is_python(block: Block) -> None:
    compile(block.text, f"{block.page.name}:{block.line}", "exec")


@pytest.mark.parametrize(
    "block",
    [item for page in pages() for item in blocks(page) if item.language == "python" and item.runs],
    ids=lambda block: f"{block.page.name}-{block.line}",
)
def test_python_stands_by_itself(block: Block) -> None:
    """A reader copies one block; each is executed alone by the slow tests, too."""
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821", "-"]
    done = subprocess.run(ruff, input=block.text, capture_output=True, text=True)
    assert done.returncode == 0, f"{block.page.name}:{block.line}\n{done.stdout}{done.stderr}"


def test_notes_are_understood() -> None:
    for page in pages():
        for block in blocks(page):
            known = re.fullmatch(r"not run: \w.*|ends with [12]|", block.note)
            assert known, f"{page.name}:{block.line}: {block.note}"


def test_the_reference_is_what_the_program_says() -> None:
    shown = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
    again = "python -m benchmarks.project.command_reference > docs/reference/commands.md"
    assert shown == command_reference.page() + "\n", again


def test_the_catalogue_names_all_that_there_is() -> None:
    from nas.backbones.line_up import LINE_UP

    catalogue = ROOT / "docs/reference/catalogue.md"
    table = catalogue.read_text(encoding="utf-8").partition("## Names")[2]
    rows: dict[str, Any] = dict(re.findall(r"^\| \*\*(\w+)\*\* \| (.+) \|$", table, re.MULTILINE))
    for name, known in {
        "Backbones": LINE_UP,
        "Blocks": BLOCKS,
        "Runtimes": RUNTIMES,
        "Targets": TARGETS,
    }.items():
        assert re.findall(r"`([^`]+)`", rows[name]) == list(known), name
