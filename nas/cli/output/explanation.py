"""The rules that a search has found, in words and as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from nas.base.formats import format_milliseconds
from nas.cli.output.console import plain_table
from nas.cli.output.formats import format_signed
from nas.spec.width import is_widened
from nas.study.front.caveats import caveat_lines
from nas.study.front.point import Point
from nas.study.front.verdict import judge

if TYPE_CHECKING:
    from nas.report.explain import Advice, Effect, Explanation
    from nas.report.explain.devices import DeviceComparison

__all__ = ["Answers", "answers_to_dict", "print_answers"]

_MOST_ROWS = 8  # of sites with kinds, and of differences between devices
_MOST_NAMED = 4  # in a sentence
_TOLD = ("helps", "hurts")
_UNKNOWN = "not known"
_WORDS = {
    "helps": "known to help",
    "hurts": "known to hurt",
    "about nothing": "known to change about nothing",
    _UNKNOWN: "not known",
}
_INTERACTIONS = {"crowding": "many blocks together", "stages": "pairs of stages"}


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers to what was asked for besides the rules.

    limit: the latency that the advice keeps, ms; None: no advice was asked for.
    advice: what to put where within it.
    devices: how the rules differ between two devices.
    importances: shares of the places, by objective; empty: not asked for.
    """

    limit: float | None
    advice: Advice | None
    devices: DeviceComparison | None
    importances: Mapping[str, Mapping[str, float]]


# In words.


def print_answers(explanation: Explanation, answers: Answers, screen: Console) -> None:
    """Print what to put where, if that was asked, what the rules come to, and the rules."""
    if answers.advice is not None and answers.limit is not None:
        _print_advice(explanation, answers.advice, answers.limit, screen)
        screen.print()
    for line in _summary(explanation):
        screen.print(line)
    screen.print()
    _print_rules(explanation, screen)
    if answers.devices is not None:
        _print_devices(answers.devices, screen)
    _print_importances(answers.importances, screen)


def _summary(explanation: Explanation) -> list[str]:
    """Say which blocks help, and where, as far as that is known."""
    subjects = {"kind": "Blocks", "stage": "Stages", "site": "Sites"}
    groups = {word: explanation.effects_of(subject) for subject, word in subjects.items()}
    if len(groups["Stages"]) < 2:
        del groups["Stages"]
    lines = [_told_of(word, effects) for word, effects in groups.items() if effects]
    _, clear = _pairs(explanation)
    if clear:
        lines.append(_told_of("Blocks at a site", clear))
    return lines


def _told_of(subject: str, effects: Sequence[Effect]) -> str:
    """Say what helps, what hurts, and of what it is not known."""
    parts = []
    for told in _WORDS:
        mine = sorted((e for e in effects if e.told == told), key=lambda effect: -effect.saved)
        if told == _UNKNOWN and len(mine) == len(effects):
            return f"{subject}: whether one helps is not known of any of the {len(mine)}."
        names = [
            f"{effect.name} ({effect.saved:+.4f} of loss saved)" if told in _TOLD else effect.name
            for effect in mine[:_MOST_NAMED]
        ]
        if mine:
            parts.append(f"{_WORDS[told]}: {_listed(names, len(mine))}")
    return f"{subject} {'; '.join(parts)}."


def _listed(names: Sequence[str], count: int) -> str:
    more = count - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")


def _print_rules(explanation: Explanation, screen: Console) -> None:
    screen.print(
        f"One block more, on average over {len(explanation.codes)} networks (95 % intervals; "
        "loss saved in thousandths)",
        style="bold",
    )
    for subject in ("kind", "stage", "site", "ratio"):
        effects = explanation.effects_of(subject)
        if effects:
            screen.print(_effect_table(subject, effects))
            screen.print()
    pairs, clear = _pairs(explanation)
    clear.sort(key=lambda effect: -abs(effect.saved))
    if clear:
        screen.print(_effect_table("site and kind", clear[:_MOST_ROWS]))
    screen.print(
        f"Of {len(pairs)} pairs of site and block that were tried, {len(clear)} are known to help "
        "or hurt; of the others the data cannot tell.",
        style="dim",
    )
    screen.print(_interactions(explanation), style="dim")
    for line in caveat_lines(explanation.front):
        screen.print(line)


def _pairs(explanation: Explanation) -> tuple[list[Effect], list[Effect]]:
    """Return the pairs of site and block that were tried, and those known to help or hurt."""
    pairs = [effect for effect in explanation.effects_of("site and kind") if effect.tried]
    return pairs, [effect for effect in pairs if effect.told in _TOLD]


def _effect_table(subject: str, effects: Sequence[Effect]) -> Table:
    table = plain_table()
    table.add_column(subject, no_wrap=True)
    for name in ("loss saved", "95 %", "added ms", "95 %", "best", "tried"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for effect in effects:
        table.add_row(
            effect.name,
            f"{effect.saved * 1e3:+.2f}",
            f"{effect.saved_low * 1e3:+.2f} to {effect.saved_high * 1e3:+.2f}",
            f"{effect.latency_ms:+.4f}",
            f"{effect.latency_low:+.4f} to {effect.latency_high:+.4f}",
            f"{effect.best:.0%}",
            str(effect.tried),
            effect.told,
            style=None if effect.told in _TOLD else "dim",
        )
    return table


def _interactions(explanation: Explanation) -> str:
    if not explanation.gained:
        return "Interactions could not be looked for: too few blocks stand together."
    needed = explanation.terms.interactions
    parts = [
        f"{_INTERACTIONS[name]}: {_describe_gain(gain, needed=name in needed)}"
        for name, gain in explanation.gained.items()
    ]
    return (
        f"Interactions, when each network is predicted from the others: {'; '.join(parts)}. "
        f"Beyond the sum, networks differ by ±{explanation.loss.own:.4f}."
    )


def _describe_gain(gain: float, *, needed: bool) -> str:
    """Say what an interaction does to predictions. gain: of their log probability, all together."""
    factor = math.exp(min(abs(gain), 99.0))
    many = f"{factor:.3g}" if factor < 1e4 else "over 10,000"
    word = "more" if gain > 0 else "less"
    return f"{'they count' if needed else 'not needed'} (predictions {many} times {word} likely)"


def _print_advice(explanation: Explanation, advice: Advice, limit: float, screen: Console) -> None:
    screen.print(f"For latency_ms <= {limit:g}, by the rules:", style="bold")
    _print_network(advice, screen)
    if advice.worse:
        screen.print(
            "It is not to be recommended: it is predicted to be worse than the trained network "
            "that it comes from, and nothing better keeps the budget."
        )
    choice = advice.evaluated
    if choice is None:
        screen.print("No evaluated network keeps this budget and is to be recommended.")
        return
    point = choice.best
    if point.architecture == advice.architecture:
        screen.print("It is the best evaluated one as well.")
        return
    widened = f" ({point.reference})" if is_widened(point.reference) else ""
    best = (
        f"Best evaluated: trial {point.trial}{widened}, "
        f"{format_milliseconds(point.latency_ms)} ms, {_describe_saved(point)}."
    )
    if math.isnan(advice.ahead):
        screen.print(f"{best} The rules say nothing of a backbone that is widened.")
        return
    screen.print(
        f"{best} By the rules the network above is ahead "
        f"with a probability of {advice.ahead:.0%}"
        + ("." if advice.known else "; it has not been evaluated.")
    )
    pairs, clear = _pairs(explanation)
    if not clear:
        screen.print(
            f"That probability takes the rules for granted: none of the {len(pairs)} pairs of site "
            "and block is known to help by itself, and the network adds up many of them. Train it "
            "before you rely on it."
        )


def _describe_saved(point: Point) -> str:
    """Say what a network saves by full training, or by what was measured where that is unknown."""
    if math.isnan(point.gain_loss):
        return f"loss saved {format_signed(point.loss_saved)}"
    ends = f"[{point.gain_loss_low:+.4f}, {point.gain_loss_high:+.4f}]"
    return f"loss saved {point.gain_loss:+.4f} {ends} (90 %)"


def _print_network(advice: Advice, screen: Console) -> None:
    for insertion in advice.architecture.insertions:
        screen.print(f"  {insertion.site:28} {insertion.label}")
    if not advice.architecture.insertions:
        screen.print("  no block: the backbone as it comes")
    latency = format_milliseconds(advice.latency_ms)
    low = format_milliseconds(max(0.0, advice.latency_low))
    high = format_milliseconds(advice.latency_high)
    screen.print(
        f"  predicted: loss saved {advice.saved:+.4f} [{advice.saved_low:+.4f}, "
        f"{advice.saved_high:+.4f}], {latency} ms [{low}, {high}]"
    )


def _print_devices(comparison: DeviceComparison, screen: Console) -> None:
    names, rules = comparison.names, comparison.rules
    screen.print(f"\n{names[0]} against {names[1]}", style="bold")
    table = plain_table()
    table.add_column("one block more", no_wrap=True)
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    kinds = [rule for rule in rules if rule.subject != "site and kind"]
    pairs = [rule for rule in rules if rule.subject == "site and kind"]
    for rule in [*kinds, *pairs[:_MOST_ROWS]]:
        table.add_row(rule.name, rule.subject, f"{rule.first:+.1%}", f"{rule.second:+.1%}")
    screen.print(table)
    screen.print("Shares of the plain network's latency on each device.", style="dim")
    for name, budget, advice in zip(names, comparison.budgets, comparison.advice, strict=True):
        screen.print(f"For {format_milliseconds(budget)} ms on {name}:")
        _print_network(advice, screen)
    screen.print(f"They agree at {comparison.agreed} of {comparison.sites} sites.")
    for doubt in comparison.doubts:
        screen.print(doubt)


def _print_importances(importances: Mapping[str, Mapping[str, float]], screen: Console) -> None:
    for name, shares in importances.items():
        screen.print(f"\nOptuna's importances for {name} (functional ANOVA)", style="bold")
        for place, share in list(shares.items())[:_MOST_ROWS]:
            screen.print(f"  {place:28} {share:.1%}")


# For machines.


def answers_to_dict(explanation: Explanation, answers: Answers) -> dict[str, Any]:
    """Return the rules, and what else was asked for, as plain values."""
    report: dict[str, Any] = {
        "networks": len(explanation.codes),
        "effects": [effect.to_dict() for effect in explanation.effects if effect.tried],
        "interactions": list(explanation.terms.interactions),
        "gained": explanation.gained,
        "beyond_the_sum": explanation.loss.own,
        "verdict": list(judge(explanation.front).lines),
    }
    if answers.advice is not None:
        report["advice"] = _advice_to_dict(answers.advice)
    if answers.devices is not None:
        report["devices"] = _devices_to_dict(answers.devices)
    if answers.importances:
        report["importances"] = answers.importances
    return report


def _devices_to_dict(comparison: DeviceComparison) -> dict[str, Any]:
    return {
        "names": list(comparison.names),
        "rules": [
            {"subject": rule.subject, "name": rule.name, "first": rule.first, "second": rule.second}
            for rule in comparison.rules
        ],
        "advice": [_advice_to_dict(advice) for advice in comparison.advice],
        "agreed": comparison.agreed,
        "sites": comparison.sites,
    }


def _advice_to_dict(advice: Advice) -> dict[str, Any]:
    choice = advice.evaluated
    return {
        "architecture": advice.architecture.to_dict(),
        "evaluated_already": advice.known,
        "saved": [advice.saved_low, advice.saved, advice.saved_high],
        "latency_ms": [advice.latency_low, advice.latency_ms, advice.latency_high],
        "best_evaluated": choice.best.to_dict() if choice else None,
        "ahead": None if math.isnan(advice.ahead) else advice.ahead,
        "worse": advice.worse,
    }
