"""`nas profile`: measuring devices, and judging what was measured."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from nas.cli.profile import adb, check, compare, fit, measure, pack, show, ssh

__all__ = ["app"]


class _MeasureByDefault(TyperGroup):
    """`nas profile SPACE` measures; `nas profile show FILE` and the others have names."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `measure` in front of what names no other command."""
        if args and args[0] not in self.commands and args[0] not in {"--help", "-h"}:
            args = ["measure", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_MeasureByDefault,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Measure how long the networks of a space take on a device.\n\n"
    "Example: nas profile search_spaces/mobilenetv2.yaml --out device.json",
)
app.command(help="Measure a space on this machine (the default).")(measure.measure)
app.command()(show.show)
app.command()(compare.compare)
app.command()(check.check)
app.command()(pack.pack)
app.command()(adb.adb)
app.command()(ssh.ssh)
app.command()(fit.fit)
