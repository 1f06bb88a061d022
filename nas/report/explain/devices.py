"""How the rules of one run differ between two devices: what is dear on one and cheap elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.base.errors import SpecError
from nas.report.explain.advice import Advice, advise
from nas.report.explain.rules import Explanation, explain_front
from nas.runs.run import Run

__all__ = ["DeviceComparison", "DeviceRule", "compare_devices"]

_SLOWER = 1.25  # of the plain network: the budget, when none is named


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """What a block costs on each of two devices, as a share of the plain network's latency."""

    subject: str
    name: str
    first: float
    second: float


@dataclass(frozen=True, eq=False)
class DeviceComparison:
    """names: of the devices. rules: the greatest difference first. budgets: in ms on each.
    advice: the best by the rules on each; agreed: sites where both say the same, of all.
    """

    names: tuple[str, str]
    rules: tuple[DeviceRule, ...]
    budgets: tuple[float, float]
    advice: tuple[Advice, Advice]
    agreed: int
    sites: int


def compare_devices(
    run: Run,
    first: str | Path,
    second: str | Path,
    *,
    latency_ms: float | None = None,
) -> DeviceComparison:
    """Compare two device profiles by the networks of a run; nothing is trained or measured.

    latency_ms: the budget on both; None: a quarter more than the plain network takes on each.
    Raises SpecError.
    """
    from nas.latency.profile import load_profile

    profiles = [load_profile(path) for path in (first, second)]
    names = profiles[0].device, profiles[1].device
    if names[0] == names[1]:  # two phones with one runtime: their files tell them apart
        names = Path(first).stem, Path(second).stem
    found = [explain_front(run.front(device=path)) for path in (first, second)]
    plain = [_plain_ms(item) for item in found]
    rules = []
    for subject in ("kind", "stage", "site and kind"):
        theirs = {item.name: item for item in found[1].of(subject)}
        rules += [
            DeviceRule(
                subject, item.name, item.latency_ms / plain[0],
                theirs[item.name].latency_ms / plain[1],
            )
            for item in found[0].of(subject)
            if item.tried
        ]  # fmt: skip
    rules.sort(key=lambda item: -abs(item.first - item.second))
    limit = run.space.max_insertions
    budgets = [latency_ms or _SLOWER * item for item in plain]
    advice = [
        advise(item, budget, max_insertions=limit)
        for item, budget in zip(found, budgets, strict=True)
    ]
    # By the rules' own columns: of several backbones each has sites of its own.
    chosen = found[0].terms.codes([item.architecture for item in advice])
    alike = chosen[0] == chosen[1]  # the network first, then its sites
    return DeviceComparison(
        names=names,
        rules=tuple(rules),
        budgets=(budgets[0], budgets[1]),
        advice=(advice[0], advice[1]),
        agreed=int(alike[1:].sum()) if alike[0] else 0,
        sites=len(alike) - 1,
    )


def _plain_ms(found: Explanation) -> float:
    plain = [item.latency_ms for item in found.front.references if not item.architecture.insertions]
    latency = found.front.measured.columns["latency_ms"]
    if not len(latency):
        raise SpecError("no network is complete")
    return plain[0] if plain else float(np.nanmin(latency))
