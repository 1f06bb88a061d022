"""The program `nas`: its own options, and how it ends when something is wrong."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from nas import __version__
from nas.base.errors import NasError
from nas.base.formats import one_line
from nas.cli.misuse import describe_misuse, refuse_empty, refuse_nan

__all__ = ["Commands", "app", "main"]

# Typer's own since 0.28; in versions before it is Click's, ClickException.
_MISUSE: Any = getattr(typer, "TyperException", typer.BadParameter.__mro__[2])


class _Command(TyperCommand):
    """A command whose help shows an argument by its name: its text says what it is."""

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters; arguments have no type, such as `<path>`, behind the name."""
        params = super().get_params(ctx)
        for argument in params:
            if argument.param_type_name == "argument":
                setattr(argument, "display_type_rich", _no_type)  # noqa: B010
        return params


def _no_type(ctx: Any) -> str:
    return ""


class Commands(typer.Typer):
    """A group of commands of this kind."""

    def command(self, *args: Any, **options: Any) -> Any:
        """Return what adds a function as a command."""
        return super().command(*args, cls=_Command, **options)


app = Commands(
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
