"""The program `nas`: its own options, and how it ends when something is wrong."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from nas import __version__
from nas.base.errors import NasError
from nas.base.formats import one_line
from nas.cli.misuse import describe_misuse, refuse_empty, refuse_nan

__all__ = ["app", "main"]

# Typer's own since 0.28; in versions before it is Click's, ClickException.
_MISUSE: Any = getattr(typer, "TyperException", typer.BadParameter.__mro__[2])

app = typer.Typer(
    name="nas",
    help="Where to put which attention block in a mobile network, for your data and your device.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
)


@app.callback(invoke_without_command=True)
def _print_version(
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    if version:
        print(f"attention-nas {__version__}")
        raise typer.Exit


def _commands() -> Any:
    """Return the program with all of its commands, none of which takes NaN for a number."""
    program: Any = typer.main.get_command(app)
    commands = [program]
    for command in commands:
        commands += getattr(command, "commands", {}).values()
        for parameter in command.params:
            parameter.callback = parameter.callback or refuse_nan
    return program


def main() -> None:
    """Run the command line; wrong input ends with one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):  # what a locale has no letter for is printed as numbers
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        refuse_empty(sys.argv[1:])
        sys.exit(_commands()(standalone_mode=False) or 0)
    except _MISUSE as error:
        sys.exit(_print_misuse(error))
    except NasError as error:
        # Names of files, columns and tensors are whatever somebody wrote.
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # `nas front RUN | head` closes our output: nothing is wrong.
        sys.stderr.close()
        sys.exit(0)


def _print_misuse(error: Exception) -> int:
    """Print one line instead of the usage; the help where no argument was typed."""
    context: Any = getattr(error, "ctx", None)
    if context and (len(sys.argv) == 1 or type(error).__name__ == "NoArgsIsHelpError"):
        print(context.get_help())
    else:
        print(f"error: {describe_misuse(error)}", file=sys.stderr)
    return 2
