"""The command line: one module for each command, in the order of `nas --help`.

A command is thin: it reads its arguments, calls the library, and prints.
"""

from __future__ import annotations

from nas.cli import (
    ask,
    backbones,
    blocks,
    calibrate,
    compare,
    cost,
    doctor,
    explain,
    export,
    front,
    init,
    launch,
    profile,
    report,
    resume,
    retrain,
    search,
    show,
    sites,
    space,
    status,
    supernet,
    worker,
)
from nas.cli.application import app, main

__all__ = ["app", "main"]

app.command()(init.init)
app.command()(ask.ask)
app.command()(search.search)
app.command()(resume.resume)
app.command()(status.status)
app.command()(worker.worker)
app.command(context_settings=launch.PASSES_OPTIONS_ON)(launch.launch)
app.command()(front.front)
app.command()(compare.compare)
app.command()(show.show)
app.command()(explain.explain)
app.command()(report.report)
app.command()(space.space)
app.command()(sites.sites)
app.command()(cost.cost)
app.command()(export.export)
app.command()(blocks.blocks)
app.command()(backbones.backbones)
app.command()(calibrate.calibrate)
app.command()(supernet.supernet)
app.command()(retrain.retrain)
app.command()(doctor.doctor)
app.add_typer(profile.app, name="profile")
