"""The rules of one run on two devices: what is dear on one and cheap on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.base.errors import SpecError
from nas.report.explain.advice import Advice, advise
from nas.report.explain.explanation import Explanation
from nas.report.explain.rules import explain_front, plain_points
from nas.runs.run import Run

__all__ = ["DeviceComparison", "DeviceRule", "compare_devices"]

_SLOWER = 1.25  # than the plain network: the budget, when none is named


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """The cost of one block more on each of two devices.

    subject, name: see `Effect`.
    first, second: shares of the plain network's latency on that device.
    """

    subject: str
    name: str
    first: float
    second: float


@dataclass(frozen=True, eq=False)
class DeviceComparison:
    """The rules of one run on two devices.

    names: of the devices.
    rules: the greatest difference first.
    budgets: ms, on each.
    advice: the best network by the rules on each.
    agreed: number of sites where both say the same.
    sites: number of all sites.
    doubts: what is to be said of profiles that are not certified.
    """

    names: tuple[str, str]
    rules: tuple[DeviceRule, ...]
    budgets: tuple[float, float]
    advice: tuple[Advice, Advice]
    agreed: int
    sites: int
    doubts: tuple[str, ...] = ()


def compare_devices(
    run: Run,
    first: str | Path,
    second: str | Path,
    *,
    latency_ms: float | None = None,
) -> DeviceComparison:
    """Compare two device profiles by the networks of a run; nothing is trained or measured.

    first, second: files of the profiles.
    latency_ms: the budget on both; None takes a quarter more than the plain network on each.
    Raises SpecError.
    """
    explanations = [explain_front(run.front(device=path)) for path in (first, second)]
    plain = [_plain_latency(explanation) for explanation in explanations]
    budgets = [latency_ms or _SLOWER * latency for latency in plain]
    advice = [
        advise(explanation, budget, max_insertions=run.space.max_insertions)
        for explanation, budget in zip(explanations, budgets, strict=True)
    ]
    # By the rules' own columns: of several backbones each has sites of its own.
    codes = explanations[0].terms.codes([each.architecture for each in advice])
    alike = codes[0] == codes[1]  # the network first, then its sites
    return DeviceComparison(
        names=_device_names(first, second),
        rules=tuple(_compare_effects(explanations, plain)),
        budgets=(budgets[0], budgets[1]),
        advice=(advice[0], advice[1]),
        agreed=int(alike[1:].sum()) if alike[0] else 0,
        sites=len(alike) - 1,
        doubts=tuple(
            dict.fromkeys(
                doubt for explanation in explanations for doubt, _ in explanation.front.uncertified
            )
        ),
    )


def _device_names(first: str | Path, second: str | Path) -> tuple[str, str]:
    from nas.latency.profile import load_profile

    names = load_profile(first).device, load_profile(second).device
    if names[0] == names[1]:  # two phones with one runtime: their files tell them apart
        return Path(first).stem, Path(second).stem
    return names


def _compare_effects(
    explanations: Sequence[Explanation], plain: Sequence[float]
) -> list[DeviceRule]:
    """Return the rules on both devices, the greatest difference first.

    plain: latency of the plain network on each, ms.
    """
    rules = []
    for subject in ("kind", "stage", "site and kind"):
        on_second = {effect.name: effect for effect in explanations[1].effects_of(subject)}
        rules += [
            DeviceRule(
                subject,
                effect.name,
                effect.latency_ms / plain[0],
                on_second[effect.name].latency_ms / plain[1],
            )
            for effect in explanations[0].effects_of(subject)
            if effect.tried
        ]
    return sorted(rules, key=lambda rule: -abs(rule.first - rule.second))


def _plain_latency(explanation: Explanation) -> float:
    front = explanation.front
    plain = [point.latency_ms for point in plain_points(front)]
    latency = front.measured.columns["latency_ms"]
    if not len(latency):
        raise SpecError("no network is complete")
    return plain[0] if plain else float(np.nanmin(latency))
