"""`nas profile`: measuring devices, and judging what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from nas.base.files import refuse_taken
from nas.cli.tables import console, milliseconds

if TYPE_CHECKING:
    from nas.latency.profile import Profile

__all__ = ["add_to"]


class _MeasuringByDefault(TyperGroup):
    """`nas profile SPACE` measures; `nas profile show FILE` and the others have names."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in {"--help", "-h"}:
            args = ["measure", *args]
        return super().parse_args(ctx, args)


profile = typer.Typer(
    cls=_MeasuringByDefault,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Measure how long the networks of a space take on a device.\n\n"
    "Example: nas profile search_spaces/mobilenetv2.yaml --out device.json",
)

Space = Annotated[Path, typer.Argument(help="Search space file.")]
Runtime = Annotated[
    str,
    typer.Option(help="onnxruntime, openvino, litert, executorch, ncnn, torch or cuda."),
]
Threads = Annotated[int, typer.Option(min=1)]
Batch = Annotated[int, typer.Option(min=1, help="Images at once.")]
Precision = Annotated[str, typer.Option(help="fp32, or what the runtime has: int8, fp16.")]
Classes = Annotated[int, typer.Option(min=1, help="Of the classifier.")]
Networks = Annotated[int, typer.Option(min=1, help="Whole networks to fit to.")]
HeldOut = Annotated[int, typer.Option(min=0, help="Whole networks to judge by.")]


def add_to(app: typer.Typer) -> None:
    app.add_typer(profile, name="profile")


@profile.command("measure", help="Measure a space on this machine (the default).")
def _measure(
    space: Space,
    out: Annotated[Path, typer.Option(help="File to write.")],
    runtime: Runtime = "onnxruntime",
    threads: Threads = 1,
    batch: Batch = 1,
    precision: Precision = "fp32",
    classes: Classes = 1000,
    networks: Networks = 8,
    held_out: HeldOut = 6,
) -> None:
    """Measure what each block adds at each site, and whole networks to correct the sum by.

    Interrupted, the same command goes on. Example:
    nas profile search_spaces/mobilenetv2.yaml --runtime openvino --out device.json
    """
    from nas.cli.counting import counting
    from nas.latency.device import Device
    from nas.latency.runtime import check_device
    from nas.latency.survey import measure_profile
    from nas.models.candidates import Candidates, load_space

    refuse_taken(out, "--out")
    device = check_device(Device(runtime, threads, batch, precision))
    with counting("timing graphs") as progress:
        found = measure_profile(
            Candidates(load_space(space)),
            device,
            out,
            classes=classes,
            networks=networks,
            held_out=held_out,
            progress=progress,
        )
    _show_profile(found, out)


@profile.command("show")
def _show(
    file: Annotated[Path, typer.Argument(help="Device profile.")],
    json_: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show what a profile holds and how far it can be trusted.

    Example: nas profile show device.json
    """
    from nas.latency.profile import load_profile

    found = load_profile(file)
    if json_:
        import json
        from dataclasses import asdict

        from nas.latency.quality import judge_profile

        print(json.dumps(found.model_dump() | {"quality": asdict(judge_profile(found))}, indent=1))
        return
    _show_profile(found, file)


def _show_profile(found: Profile, path: Path) -> None:
    from nas.latency.quality import judge_profile

    screen = console()
    screen.print(f"{found.device} ({found.runtime}) on {found.processor}, {found.measured[:10]}")
    for branch in found.branches:
        table = Table(box=None, pad_edge=False, header_style="bold")
        plain = milliseconds(branch.plain_ms)
        table.title = f"{branch.backbone} at {branch.resolution}: {plain} ms plain; µs added by"
        table.title_justify = "left"
        table.add_column("site", no_wrap=True)
        kinds = _shown_labels(branch.added_ms)
        for label in kinds:
            table.add_column(label, justify="right", no_wrap=True)
        for site, added in branch.added_ms.items():
            cells = [f"{added[label] * 1e3:.0f}" if label in added else "" for label in kinds]
            table.add_row(site, *cells)
        screen.print(table)
    judged = judge_profile(found)
    if judged.networks:
        screen.print(
            f"On {judged.networks} networks it has not seen: {judged.mape:.1%} off on average, "
            f"{judged.worst:.1%} at most; rank correlation {judged.spearman:.2f}; "
            f"{judged.covered:.0%} within their 90 % intervals."
        )
    if found.repeatability is None:
        screen.print("Not certified: timed once, so how far it can be trusted is not known.")
    else:
        word = "Certified" if found.certified else "Not certified (3 % is asked for)"
        screen.print(f"{word}: measurements repeat to {found.repeatability:.1%} (95th percentile).")
    screen.print(f"Use it: nas search SPACE --set device={path}", style="dim", soft_wrap=True)


def _shown_labels(added: dict[str, dict[str, float]]) -> list[str]:
    """One label for each kind of block: ratios hardly change the time."""
    kinds: dict[str, str] = {}
    for labels in added.values():
        for label in labels:
            kinds.setdefault(label.partition("/")[0], label)
    return list(kinds.values())


@profile.command("compare")
def _compare(
    first: Annotated[Path, typer.Argument(help="Device profile.")],
    second: Annotated[Path, typer.Argument(help="Another.")],
) -> None:
    """Compare two devices: which blocks are dearer on the one than on the other?

    Example: nas profile compare laptop.json phone.json
    """
    from nas.latency.profile import load_profile
    from nas.latency.quality import compare_profiles

    one, two = load_profile(first), load_profile(second)
    found = compare_profiles(one, two)
    screen = console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for name in (one.device, two.device, "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, ours, theirs in found.rows:
        table.add_row(name, f"{ours:+.1%}", f"{theirs:+.1%}", f"{theirs / ours:.2f}")
    screen.print("What a block at all its sites adds, of the plain network's time:")
    screen.print(table)
    screen.print(f"Rank correlation of {found.entries} table entries: {found.spearman:.2f}")


@profile.command("check")
def _check(
    file: Annotated[Path, typer.Argument(help="Device profile, measured on this machine.")],
) -> None:
    """Time some whole networks again: has this machine drifted? Exit code 1 when it has.

    Example: nas profile check device.json
    """
    from nas.latency.profile import load_profile
    from nas.latency.survey import measure_drift

    found = measure_drift(load_profile(file))
    print(f"now {found.ratio:.3f} times what the profile says, spread {found.spread:.1%}")
    if abs(found.ratio - 1) > 0.05:
        print("this machine has drifted: measure the profile again")
        raise typer.Exit(1)


@profile.command("pack")
def _pack(
    space: Space,
    out: Annotated[Path, typer.Option(help="Folder to make.")],
    runtime: Runtime = "onnxruntime",
    threads: Threads = 1,
    batch: Batch = 1,
    precision: Precision = "fp32",
    classes: Classes = 1000,
    networks: Networks = 8,
    held_out: HeldOut = 6,
) -> None:
    """Write the graphs that a profile needs, to be timed on someone else's device.

    Example: nas profile pack search_spaces/mobilenetv2.yaml --runtime litert --out phone
    """
    from nas.cli.counting import counting
    from nas.latency.device import Device
    from nas.latency.pack import pack_space
    from nas.latency.runtime import check_device
    from nas.models.candidates import Candidates, load_space

    device = check_device(Device(runtime, threads, batch, precision))
    with counting("writing graphs") as progress:
        pack_space(
            Candidates(load_space(space)),
            device,
            out,
            classes=classes,
            networks=networks,
            held_out=held_out,
            progress=progress,
        )
    print(f"{out}: see its README.md; then: nas profile fit {out} timings.csv --out device.json")


@profile.command("fit")
def _fit(
    pack: Annotated[Path, typer.Argument(help="Folder that `nas profile pack` made.")],
    timings: Annotated[Path, typer.Argument(help="CSV: file,latency_ms[,again_ms].")],
    out: Annotated[Path, typer.Option(help="Profile to write.")],
    name: Annotated[str, typer.Option(help="What the device is called.")] = "another device",
) -> None:
    """Make a profile from a pack and the timings that came back.

    Example: nas profile fit phone timings.csv --out phone.json --name "Pixel 9"
    """
    from nas.latency.pack import fit_pack

    refuse_taken(out, "--out")
    found = fit_pack(pack, timings, processor=name)
    found.write(out)
    _show_profile(found, out)
