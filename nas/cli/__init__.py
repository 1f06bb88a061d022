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
    evaluate,
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

# One line of `nas --help` each, at 80 columns; the whole is the docstring of the command.
app.command(short_help="Ask four questions; write a space, a runner and the command.")(init.init)
app.command(short_help="Say what published results tell, before any training.")(ask.ask)
app.command()(search.search)
app.command(short_help="Go on with a run, or make it longer.")(resume.resume)
app.command(short_help="Say how far a run is, what failed, and who works on it.")(status.status)
app.command(short_help="Evaluate networks for a search that waits for workers.")(worker.worker)
app.command(
    context_settings=launch.PASSES_OPTIONS_ON,
    short_help="Submit a search to Ray, SLURM or Kubernetes.",
)(launch.launch)
app.command(short_help="Show the Pareto front of one run, or of several together.")(front.front)
app.command(short_help="Say which of two runs is ahead, and how sure that is.")(compare.compare)
app.command(short_help="Show one trial: which block stands where, and its figures.")(show.show)
app.command(short_help="Say what each block, site, stage and ratio does.")(explain.explain)
app.command(short_help="Train a placement of your own beside a search's.")(evaluate.evaluate)
app.command(short_help="Write or serve one HTML page about a run.")(report.report)
app.command(short_help="Show the sites of a space, and what may go there.")(space.space)
app.command(short_help="Show the sites of a network, and what blocks cost there.")(sites.sites)
app.command(short_help="Count parameters and multiply-adds of a network.")(cost.cost)
app.command(short_help="Export the trained network of a trial, and check it.")(export.export)
app.command(short_help="List the attention blocks, with costs and runtimes.")(blocks.blocks)
app.command(short_help="List backbones with their sites and costs.")(backbones.backbones)
app.command(short_help="Say how far short and full trainings agree.")(calibrate.calibrate)
app.command(short_help="Train all networks of a space at once, to score any.")(supernet.supernet)
app.command(short_help="Train networks fully with several seeds, and test them once.")(
    retrain.retrain
)
app.command()(doctor.doctor)
app.add_typer(profile.app, name="profile")
