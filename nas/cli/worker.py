"""`nas worker`: evaluate for a search that is driven elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.base.clock import utc_now
from nas.cli.options import RunFolderOrUrl

__all__ = ["worker"]

_ENDS = {"finished": "the search is finished", "stopped": "stopped"}


def worker(
    run: RunFolderOrUrl,
    folder: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="The run folder on this machine, if its path is another here."
        ),
    ] = None,
    grace: Annotated[
        str, typer.Option(metavar="TIME", help="Time that a job may take to end after SIGTERM.")
    ] = "10s",
    idle: Annotated[
        str | None, typer.Option(metavar="TIME", help="End after this long without a job.")
    ] = None,
) -> None:
    """Evaluate networks for a search that was started with --set executor=worker.

    Any number of them, on any machine that sees the run folder; they may come late and end at any
    time. Example: nas worker runs/demo
    """
    from nas.runs.join import work
    from nas.spec.duration import parse_seconds

    try:
        reason = work(
            run,
            folder=folder,
            grace=parse_seconds("--grace", grace),
            idle=None if idle is None else parse_seconds("--idle", idle),
            say=_say,
        )
    except KeyboardInterrupt:
        _say("stopped; its job goes to another")
        raise typer.Exit(130) from None
    _say(_ENDS.get(reason, "nothing to do"))


def _say(text: str) -> None:
    print(f"{utc_now()} {text}", flush=True)
