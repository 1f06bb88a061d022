"""The end of a script with commands: what was typed is carried out, and a fault is one line."""

from __future__ import annotations

import argparse

from nas.base.errors import NasError

__all__ = ["carry_out"]


def carry_out(parser: argparse.ArgumentParser) -> None:
    """Call what the arguments have as `run`; a fault of theirs ends the script with exit code 2."""
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except NasError as error:
        parser.exit(2, f"{error}\n")
