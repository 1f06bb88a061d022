"""`nas explain`: the rules that a search has found."""

from __future__ import annotations

import shlex
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated

import typer

from nas.base.errors import SpecError
from nas.base.files import refuse_taken
from nas.cli.evaluate import train_and_tell
from nas.cli.options import Json, OtherDevice, RunFolder
from nas.cli.output.console import make_console, print_json
from nas.cli.parsing import parse_numbers

if TYPE_CHECKING:
    from nas.cli.output.explanation import Answers
    from nas.report.explain import Explanation
    from nas.runs.run import Run

__all__ = ["explain"]

_PICTURES = (".png", ".svg", ".pdf")


def explain(
    run: RunFolder,
    budget: Annotated[
        str | None,
        typer.Option(
            "--for", metavar="latency_ms=NUMBER", help="Propose a network within this latency."
        ),
    ] = None,
    device: OtherDevice = None,
    devices: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="PROFILE PROFILE", help="Say how the rules differ between two devices."
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw sites by blocks: .png, .svg or .pdf."),
    ] = None,
    importances: Annotated[
        bool,
        typer.Option("--importances", help="Print Optuna's importances (functional ANOVA), too."),
    ] = False,
    prior: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the rules to a file, for nas search --prior FILE."
        ),
    ] = None,
    evaluate: Annotated[
        bool,
        typer.Option("--evaluate", help="With --for: train that network as the search does."),
    ] = False,
    json_: Json = False,
) -> None:
    """Say what each block, site, stage and ratio does to loss and latency, and how sure that is.

    Example: nas explain runs/demo --for latency_ms=8 --picture rules.png
    """
    from nas.cli.output.explanation import answers_to_dict, print_answers
    from nas.report.explain import explain_front
    from nas.runs.run import open_run

    limit = _parse_latency(budget) if budget is not None else None
    if evaluate and (limit is None or json_):
        raise SpecError("--evaluate trains what --for names: give --for, and leave --json out")
    _refuse_files(picture, prior)
    opened = open_run(run)
    explanation = explain_front(opened.front(device=device))
    answers = _answer(opened, explanation, limit, devices, importances=importances)
    written = _write(opened, explanation, picture, prior)
    if json_:
        print_json(answers_to_dict(explanation, answers))
        return
    screen = make_console()
    print_answers(explanation, answers, screen)
    if evaluate and answers.advice is not None and not answers.advice.known:
        train_and_tell(opened, answers.advice.architecture, screen)
    for line in [] if evaluate else _next_commands(run, budget, explanation, answers):
        screen.print(line, soft_wrap=True)
    for path in written:
        screen.print(f"Written: {path}")
    if prior is not None:
        screen.print(f"Search with it: nas search SPACE --prior {prior} --out RUN")


def _next_commands(
    run: Path, budget: str | None, explanation: Explanation, answers: Answers
) -> list[str]:
    """Return what to type next, and what each command is for."""
    name = shlex.quote(str(run))
    if answers.advice is None:
        middle = median(point.latency_ms for point in explanation.front)
        lines = [f"What to put where: nas explain {name} --for latency_ms={middle:.2g}"]
    elif not answers.advice.known:
        lines = [f"Train it as the search does: nas explain {name} --for {budget} --evaluate"]
    else:
        lines = []
    return [*lines, f"What the networks themselves show, and how sure: nas front {name} --findings"]


def _parse_latency(text: str) -> float:
    """Return the number of `latency_ms=NUMBER`. Raises SpecError."""
    numbers = parse_numbers(text, "--for")
    if set(numbers) != {"latency_ms"} or not numbers["latency_ms"] > 0:
        raise SpecError(f"--for {text!r}: write latency_ms=NUMBER, above 0")
    return numbers["latency_ms"]


def _refuse_files(picture: Path | None, prior: Path | None) -> None:
    """Refuse files that exist or cannot be drawn, before anything is read. Raises SpecError."""
    if picture is not None and picture.suffix not in _PICTURES:
        suffix = picture.suffix or "no suffix"
        allowed = ", ".join(_PICTURES)
        raise SpecError(f"--picture {picture}: found {suffix!r}; allowed: {allowed}")
    for path, option in ((picture, "--picture"), (prior, "--prior")):
        if path is not None:
            refuse_taken(path, option)


def _answer(
    run: Run,
    explanation: Explanation,
    limit: float | None,
    devices: tuple[Path, Path] | None,
    *,
    importances: bool,
) -> Answers:
    """Work out what was asked for besides the rules."""
    from nas.cli.output.explanation import Answers
    from nas.report.explain import advise

    advice = comparison = None
    if limit is not None:
        advice = advise(explanation, limit, max_insertions=run.space.max_insertions)
    if devices is not None:
        from nas.report.explain.devices import compare_devices

        comparison = compare_devices(run, devices[0], devices[1], latency_ms=limit)
    shares = _importances(run) if importances else {}
    return Answers(limit, advice, comparison, shares)


def _importances(run: Run) -> dict[str, dict[str, float]]:
    """Return Optuna's importances of the places, by objective."""
    from nas.strategy.samplers.importances import rank_importances

    objectives = run.file.search.objectives
    return {name: rank_importances(run.study, number) for number, name in enumerate(objectives)}


def _write(
    run: Run, explanation: Explanation, picture: Path | None, prior: Path | None
) -> list[Path]:
    """Write the files that were named, and return them."""
    written = []
    if picture is not None:
        from nas.report.explain import draw_rules

        draw_rules(explanation, picture, title=run.title)
        written.append(picture)
    if prior is not None:
        from nas.models.candidates import Candidates
        from nas.report.explain.search_prior import make_search_prior
        from nas.runs.check_network import CLASSES

        candidates = Candidates(run.space, run.file.task_on(CLASSES))
        rules = make_search_prior(explanation, candidates, data=run.file.data_name)
        rules.write(prior)
        written.append(prior)
    return written
