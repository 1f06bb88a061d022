"""What can be said of a space before anything is trained, as sentences and a table."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from nas.base.formats import describe_uncounted, format_count, format_milliseconds
from nas.base.size import Size
from nas.cli.output.console import make_console, plain_table, print_json

if TYPE_CHECKING:
    from nas.report.outlook import Narrowing, NetworkOutlook, Outlook, Placement

__all__ = ["print_outlook"]

_SHOWN = 12  # rows of a table, for people


def print_outlook(
    outlook: Outlook, space: Path, device: str | None, data: str | None, *, as_json: bool
) -> None:
    """Print the answer first, then what it rests on, then what to do.

    space, device, data: as they were typed, for the commands shown.
    as_json: print one object with everything instead.
    """
    profile = device if outlook.profiled else None
    command = _search_command(outlook, space, profile, data)
    if as_json:
        print_json(asdict(outlook) | {"command": command})
        return
    screen = make_console()
    for network in outlook.networks:
        for line in [_headline(outlook, network), *_answer(outlook, network)]:
            screen.print(line, soft_wrap=True)
        screen.print(_table(network))
        if network.uncounted:
            screen.print(describe_uncounted(network.uncounted), soft_wrap=True)
        left = len(network.placements) - _SHOWN
        if left > 0:
            screen.print(f"and {left} more: --json shows all", style="dim")
        if network.narrowing:
            screen.print(_hour(network.narrowing), soft_wrap=True)
        screen.print()
    for line in [_sources(outlook), *_latency_lines(outlook, space, device)]:
        screen.print(line, soft_wrap=True)
    screen.print(f"Next: {command}", soft_wrap=True)


def _headline(outlook: Outlook, network: NetworkOutlook) -> str:
    costs = f"{format_count(network.macs)} multiply-adds, {format_count(network.params)} parameters"
    latency = f", {format_milliseconds(network.latency_ms)} ms" if network.latency_ms else ""
    size = Size.of(network.resolution)
    around = "" if outlook.task == "retrieval" else f", {outlook.outputs:,} classes"
    if not _is_classification(outlook):
        around += f", {outlook.task} with {outlook.head}"
    return f"{network.backbone} at {size}{around}: {network.sites} sites; plain: {costs}{latency}"


def _is_classification(outlook: Outlook) -> bool:
    return outlook.task == "classification"


def _answer(outlook: Outlook, network: NetworkOutlook) -> list[str]:
    best = network.suggested
    if best is None:
        return ["No hand-placed network keeps the limits of the space; widen them."]
    where = "at every site" if best.place == "everywhere" else f"in the {best.place}"
    lines = [
        "Nothing was trained here yet. Published results let one expect "
        f"{best.gain:+.1f} accuracy points from one kind of block {where}.",
        f"The 90 % interval is {best.gain_low:+.1f} to {best.gain_high:+.1f}; it helps with "
        f"probability {best.p_helps:.2f}.",
    ]
    if not _is_classification(outlook):
        lines.append(
            "These are published results of classification, in points of its accuracy: for "
            f"{outlook.task} they say where attention may pay, not how much."
        )
    if network.p_late is not None:
        lines.append(
            f"The late half gains more than the early half with probability {network.p_late:.2f}."
        )
    kinds = {placement.kind for placement in network.placements}
    if len(kinds) > 1:
        lines.append(
            "Which block is best is not known: which did best in some studies does not tell which "
            f"does in another. The cheapest here is {best.block}."
        )
    return lines


def _table(network: NetworkOutlook) -> Table:
    table = plain_table()
    for name in ("block", "where"):
        table.add_column(name, no_wrap=True)
    names = ("sites", "gain", "90 % interval", "helps", "MACs", "params")
    for name in (*names, "ms") if network.latency_ms is not None else names:
        table.add_column(name, justify="right", no_wrap=True)
    for placement in network.placements[:_SHOWN]:
        table.add_row(*_cells(placement, network), style=None if placement.allowed else "dim")
    return table


def _cells(placement: Placement, network: NetworkOutlook) -> list[str]:
    cells = [
        placement.block + ("" if placement.allowed else " (over a limit)"),
        placement.place,
        str(placement.blocks),
        f"{placement.gain:+.1f}",
        f"{placement.gain_low:+.1f} to {placement.gain_high:+.1f}",
        f"{placement.p_helps:.2f}",
        f"{placement.macs / network.macs:+.1%}",
        f"{placement.params / network.params:+.1%}",
    ]
    if placement.latency_ms is not None:
        cells.append(f"{placement.latency_ms:+.3f}")
    return cells


def _hour(narrowing: Narrowing) -> str:
    speed = f"{narrowing.images_per_second:.0f} images a second"
    if narrowing.trainings < 2:
        return (
            f"The interval is {narrowing.width:.1f} points wide. An hour of training here sees too "
            f"few images to narrow it ({speed}, {narrowing.trainings:.1f} short trainings)."
        )
    return (
        f"The interval is {narrowing.width:.1f} points wide. An hour of training here "
        f"({speed}, {narrowing.trainings:.0f} short trainings) would narrow it to about "
        f"{narrowing.narrowed:.1f}."
    )


def _sources(outlook: Outlook) -> str:
    published = outlook.published
    counts = ", ".join(
        f"{kind} {rows} in {studies}" for kind, (rows, studies) in published.kinds.items()
    )
    scale = (
        "for a plain network that gets three quarters right (--plain-accuracy changes that)"
        if outlook.plain_accuracy is None
        else f"for a plain network that gets {outlook.plain_accuracy:.1%} right"
    )
    tuned = (
        " One study alone tells of training on from finished weights."
        if outlook.regime == "finetune"
        else ""
    )
    return (
        f"Read from {published.rows} published comparisons in {published.studies} studies "
        f"({counts}), {scale}; {published.late_studies} studies compared places.{tuned}"
    )


def _latency_lines(outlook: Outlook, space: Path, device: str | None) -> list[str]:
    if outlook.profiled:
        line = f"Latencies are predicted by the profile of {outlook.device}."
        return [line] if outlook.doubt is None else [line, outlook.doubt]
    runtime = f" --runtime {outlook.device.partition('-')[0]}" if outlook.device else ""
    options = "".join(f" {word}" for word in _task_options(outlook))
    file = "device.json"
    return [
        f"Latency is not known. Measure it: nas profile {shlex.quote(str(space))}{runtime}"
        f"{options} --out {file}; then ask again with --device {file}"
    ]


def _search_command(outlook: Outlook, space: Path, profile: str | None, data: str | None) -> str:
    words = ["nas", "search", str(space), "--data", data or "DATA", "--time-limit", "1h"]
    words += _task_options(outlook)
    if profile is not None:
        words += ["--set", f"device={profile}"]
    return shlex.join([*words, "--out", f"runs/{space.stem}"])


def _task_options(outlook: Outlook) -> list[str]:
    if _is_classification(outlook):
        return []
    return ["--task", outlook.task, "--head", outlook.head]
