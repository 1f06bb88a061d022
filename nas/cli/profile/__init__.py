"""`nas profile`: measuring devices, and judging what was measured."""

from __future__ import annotations

from typing import Any

from typer.core import TyperGroup

from nas.cli.application import Commands
from nas.cli.profile import adb, check, compare, fit, measure, pack, show, ssh

__all__ = ["app"]


class _MeasureByDefault(TyperGroup):
    """`nas profile SPACE` measures; `nas profile show FILE` and the others have names."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `measure` in front of what names no other command."""
        if args and args[0] not in self.commands and args[0] not in {"--help", "-h"}:
            args = ["measure", *args]
        return super().parse_args(ctx, args)


app = Commands(
    cls=_MeasureByDefault,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Measure how long the networks of a space take on a device.\n\n"
    "Example: nas profile search_spaces/mobilenetv2.yaml --out device.json",
)
app.command(help="Measure a space on this machine (the default).")(measure.measure)
app.command()(show.show)
app.command(short_help="Compare two devices: which blocks are dearer on which.")(compare.compare)
app.command(short_help="Time some networks again: has this machine drifted?")(check.check)
app.command(short_help="Write the graphs of a profile, to be timed elsewhere.")(pack.pack)
app.command(short_help="Time a pack on a phone, through adb.")(adb.adb)
app.command(short_help="Time a pack on a board, through ssh.")(ssh.ssh)
app.command(short_help="Make a profile from a pack and its timings.")(fit.fit)
