"""`nas report`: a run as a page for people, and as figures for a paper."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nas.base.errors import SpecError

__all__ = ["report"]


def report(
    run: Annotated[
        Path,
        typer.Argument(
            help="Run folder, finished or still going; or, for --serve, a folder of runs."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Default: front.html in the run folder.")
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write each figure as PNG and SVG, for a paper."),
    ] = None,
    images: Annotated[
        bool,
        typer.Option(
            "--images/--no-images", help="Show validation images, and what winners tell of them."
        ),
    ] = True,
    serve: Annotated[
        bool, typer.Option("--serve", help="Follow the run, or all of a folder, in a browser.")
    ] = False,
    port: Annotated[
        int,
        typer.Option(metavar="PORT", min=0, max=65535, help="Port of --serve; 0: any free one."),
    ] = 0,
) -> None:
    """Write one HTML page that needs no network: front, progress, trust, how to reproduce.

    Example: nas report runs/demo --out demo.html; all at once: nas report runs --serve
    """
    from nas.report import PAGE, write_figures, write_report
    from nas.report import serve as serve_report
    from nas.runs.run import open_run, runs_below

    if serve:
        if out or figures:
            raise SpecError("--serve writes no file; leave --out and --figures away")
        several = not (run / "run.yaml").exists() and bool(runs_below(run))
        serve_report(
            run if several else open_run(run),
            port,
            ready=lambda url: print(f"{url}  (Ctrl-C ends it)", flush=True),
        )
        return
    opened = open_run(run)
    if figures is not None and figures.exists() and not figures.is_dir():
        raise SpecError(f"--figures {figures} is a file; name a folder")
    page = out or run / PAGE
    why_not = write_report(opened, page, images=images)
    print(f"Written: {page}")
    if why_not is not None:
        print(f"It shows no images: {why_not}")
    if figures is not None:
        for path in write_figures(opened, figures):
            print(f"Written: {path}")
