"""A device profile as tables: what each block adds at each site."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from nas.base.formats import format_milliseconds
from nas.cli.output.console import make_console, plain_table

if TYPE_CHECKING:
    from nas.latency.profile import BackboneLatencies, Profile

__all__ = ["print_profile"]


def print_profile(profile: Profile, path: Path) -> None:
    """Print a profile, how far it can be trusted, and how to use it.

    path: where it is written.
    """
    screen = make_console()
    screen.print(
        f"{profile.device} ({profile.runtime}) on {profile.processor}, {profile.measured[:10]}"
    )
    if profile.conditions is not None:
        screen.print(f"the GPU afterwards: {profile.conditions}")
    for branch in profile.branches:
        screen.print(_branch_table(branch))
    _print_trust(profile, screen)
    screen.print(f"Use it: nas search SPACE --set device={path}", style="dim", soft_wrap=True)


def _branch_table(branch: BackboneLatencies) -> Table:
    plain = format_milliseconds(branch.plain_ms)
    table = plain_table(f"{branch.backbone} at {branch.resolution}: {plain} ms plain; µs added by")
    table.add_column("site", no_wrap=True)
    labels = _one_label_per_kind(branch.added_ms)
    for label in labels:
        table.add_column(label, justify="right", no_wrap=True)
    for site, added in branch.added_ms.items():
        cells = [f"{added[label] * 1e3:.0f}" if label in added else "" for label in labels]
        table.add_row(site, *cells)
    return table


def _one_label_per_kind(added: dict[str, dict[str, float]]) -> list[str]:
    """Return one label for each kind of block: ratios hardly change the time."""
    kinds: dict[str, str] = {}
    for labels in added.values():
        for label in labels:
            kinds.setdefault(label.partition("/")[0], label)
    return list(kinds.values())


def _print_trust(profile: Profile, screen: Console) -> None:
    from nas.latency.quality import judge_profile

    quality = judge_profile(profile)
    if quality.networks:
        screen.print(
            f"On {quality.networks} networks it has not seen: {quality.mape:.1%} off on average, "
            f"{quality.worst:.1%} at most; rank correlation {quality.spearman:.2f}; "
            f"{quality.covered:.0%} within their 90 % intervals."
        )
    if profile.doubt is not None:
        screen.print(profile.doubt)
        return
    screen.print(
        f"Certified: measurements repeat to {profile.repeatability:.1%} (95th percentile)."
    )
