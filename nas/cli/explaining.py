"""`nas explain`: the rules that a search has found."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from nas.base.errors import SpecError
from nas.base.files import refuse_taken
from nas.cli.asking import numbers
from nas.cli.tables import console, milliseconds
from nas.spec.storage_url import StorageUrl

if TYPE_CHECKING:
    from nas.report.explain import Advice, Effect, Explanation
    from nas.report.explain.devices import DeviceComparison

__all__ = ["add_to"]

_SHOWN = 8  # of sites with kinds, and of differences between devices


def add_to(app: typer.Typer) -> None:
    app.command("explain")(_explain)


def _explain(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    budget: Annotated[
        str | None,
        typer.Option("--for", metavar="latency_ms=NUMBER", help="What to put where for that."),
    ] = None,
    device: Annotated[
        Path | None, typer.Option(metavar="PROFILE", help="As it would be on another device.")
    ] = None,
    devices: Annotated[
        tuple[Path, Path] | None,
        typer.Option(metavar="PROFILE PROFILE", help="How the rules differ between two devices."),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw sites by blocks here: .png, .svg or .pdf.")
    ] = None,
    importances: Annotated[
        bool, typer.Option("--importances", help="Optuna's importances (functional ANOVA) too.")
    ] = False,
    prior: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the rules for nas search --prior FILE."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say what each block, site, stage and ratio does to loss and latency, and how sure that is.

    Example: nas explain runs/demo --for latency_ms=8 --picture rules.png
    """
    from nas.report.explain import advise, draw_rules, explain_front
    from nas.runs.run import open_run

    limit = _latency(budget) if budget is not None else None
    if picture is not None and picture.suffix not in {".png", ".svg", ".pdf"}:
        raise SpecError(f"--picture {picture}: found {picture.suffix or 'no suffix'!r}; "
                        "allowed: .png, .svg, .pdf")  # fmt: skip
    for path, option in ((picture, "--picture"), (prior, "--prior")):
        if path is not None:
            refuse_taken(path, option)
    opened = open_run(run)
    found = explain_front(opened.front(device=device))
    advice = None
    if limit is not None:
        advice = advise(found, limit, max_insertions=opened.space.max_insertions)
    compared = None
    if devices is not None:
        from nas.report.explain.devices import compare_devices

        compared = compare_devices(opened, devices[0], devices[1], latency_ms=limit)
    shares = _importances(opened.study, opened.file.search.objectives) if importances else {}
    written = []
    if picture is not None:
        draw_rules(found, picture, title=opened.title)
        written.append(picture)
    if prior is not None:
        from nas.models.candidates import Candidates
        from nas.report.explain.search_prior import make_search_prior

        candidates = Candidates(opened.space)
        make_search_prior(found, candidates, data=opened.file.data_name).write(prior)
        written.append(prior)
    if json_:
        print(json.dumps(_as_json(found, advice, compared, shares), indent=1))
        return
    screen = console()
    _print(found, screen)
    if advice is not None and limit is not None:
        _print_advice(advice, limit, screen)
    if compared is not None:
        _print_devices(compared, screen)
    _print_importances(shares, screen)
    for path in written:
        screen.print(f"Written: {path}")
    if prior is not None:
        screen.print(f"Search with it: nas search SPACE --prior {prior} --out RUN")


def _latency(text: str) -> float:
    found = numbers(text, "--for")
    if set(found) != {"latency_ms"} or not found["latency_ms"] > 0:
        raise SpecError(f"--for {text!r}: write latency_ms=NUMBER, above 0")
    return found["latency_ms"]


def _importances(study: Path | StorageUrl, objectives: list[str]) -> dict[str, dict[str, float]]:
    from nas.strategy.samplers.importances import rank_importances

    return {name: rank_importances(study, number) for number, name in enumerate(objectives)}


# In words.


def _print(found: Explanation, screen: Console) -> None:
    from nas.study.front.verdict import judge

    screen.print(
        f"One block more, on average over {len(found.codes)} networks (95 % intervals; "
        "loss saved in thousandths)",
        style="bold",
    )
    for subject in ("kind", "stage", "site", "ratio"):
        effects = found.effects_of(subject)
        if effects:
            screen.print(_table(subject, effects))
            screen.print()
    pairs = [item for item in found.effects_of("site and kind") if item.tried]
    told = [item for item in pairs if item.told in {"helps", "hurts"}]
    told.sort(key=lambda item: -abs(item.saved))
    if told:
        screen.print(_table("site and kind", tuple(told[:_SHOWN])))
    screen.print(
        f"Of {len(pairs)} pairs of site and block that were tried, {len(told)} are known to help "
        "or hurt; of the others the data cannot tell.",
        style="dim",
    )
    screen.print(_interactions(found), style="dim")
    for line in judge(found.front).lines:
        screen.print(line)


def _table(subject: str, effects: tuple[Effect, ...]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(subject, no_wrap=True)
    for name in ("loss saved", "95 %", "added ms", "95 %", "best", "tried"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for item in effects:
        known = item.told in {"helps", "hurts"}
        table.add_row(
            item.name,
            f"{item.saved * 1e3:+.2f}",
            f"{item.saved_low * 1e3:+.2f} to {item.saved_high * 1e3:+.2f}",
            f"{item.latency_ms:+.4f}",
            f"{item.latency_low:+.4f} to {item.latency_high:+.4f}",
            f"{item.best:.0%}",
            str(item.tried),
            item.told,
            style=None if known else "dim",
        )
    return table


def _interactions(found: Explanation) -> str:
    if not found.gained:
        return "Interactions could not be looked for: too few blocks stand together."
    words = {"crowding": "many blocks together", "stages": "pairs of stages"}
    told = [
        f"{words[name]} {'counts' if name in found.terms.interactions else 'not needed'} "
        f"({gain:+.1f} nats)"
        for name, gain in found.gained.items()
    ]
    return (
        "Interactions, by predicting each network from the others: " + "; ".join(told)
        + f". Beyond the sum, networks differ by ±{found.loss.own:.4f}."
    )  # fmt: skip


def _print_advice(advice: Advice, limit: float, screen: Console) -> None:
    screen.print(f"\nFor latency_ms <= {limit:g}, by the rules:", style="bold")
    _print_network(advice, screen)
    choice = advice.evaluated
    if choice is None:
        screen.print("No evaluated network keeps this budget.")
        return
    if math.isnan(advice.ahead):
        screen.print("It is the best evaluated one as well.")
        return
    point = choice.best
    saved = "?" if math.isnan(point.loss_saved) else f"{point.loss_saved:+.4f}"
    screen.print(
        f"Best evaluated: trial {point.trial}, {milliseconds(point.latency_ms)} ms, loss saved "
        f"{saved}. By the rules the network above is ahead with a probability of "
        f"{advice.ahead:.0%}" + ("." if advice.known else "; it has not been evaluated.")
    )


def _print_network(advice: Advice, screen: Console) -> None:
    for insertion in advice.architecture.insertions:
        screen.print(f"  {insertion.site:28} {insertion.label}")
    if not advice.architecture.insertions:
        screen.print("  no block: the backbone as it comes")
    screen.print(
        f"  predicted: loss saved {advice.saved:+.4f} [{advice.saved_low:+.4f}, "
        f"{advice.saved_high:+.4f}], {milliseconds(advice.latency_ms)} ms "
        f"[{milliseconds(max(0.0, advice.latency_low))}, {milliseconds(advice.latency_high)}]"
    )


def _print_devices(found: DeviceComparison, screen: Console) -> None:
    screen.print(f"\n{found.names[0]} against {found.names[1]}", style="bold")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("one block more", no_wrap=True)
    table.add_column("")
    for name in found.names:
        table.add_column(name, justify="right", no_wrap=True)
    kinds = [item for item in found.rules if item.subject != "site and kind"]
    pairs = [item for item in found.rules if item.subject == "site and kind"]
    for item in [*kinds, *pairs[:_SHOWN]]:
        table.add_row(item.name, item.subject, f"{item.first:+.1%}", f"{item.second:+.1%}")
    screen.print(table)
    screen.print("Shares of the plain network's latency on each device.", style="dim")
    for name, budget, advice in zip(found.names, found.budgets, found.advice, strict=True):
        screen.print(f"For {milliseconds(budget)} ms on {name}:")
        _print_network(advice, screen)
    screen.print(f"They agree at {found.agreed} of {found.sites} sites.")


def _print_importances(shares: dict[str, dict[str, float]], screen: Console) -> None:
    for name, found in shares.items():
        screen.print(f"\nOptuna's importances for {name} (functional ANOVA)", style="bold")
        for place, share in list(found.items())[:_SHOWN]:
            screen.print(f"  {place:28} {share:.1%}")


# For machines.


def _as_json(
    found: Explanation,
    advice: Advice | None,
    compared: DeviceComparison | None,
    shares: dict[str, dict[str, float]],
) -> dict[str, Any]:
    from nas.study.front.verdict import judge

    report: dict[str, Any] = {
        "networks": len(found.codes),
        "effects": [item.to_dict() for item in found.effects if item.tried],
        "interactions": list(found.terms.interactions),
        "gained": found.gained,
        "beyond_the_sum": found.loss.own,
        "verdict": list(judge(found.front).lines),
    }
    if advice is not None:
        report["advice"] = _advice_as_json(advice)
    if compared is not None:
        report["devices"] = {
            "names": list(compared.names),
            "rules": [
                {"subject": r.subject, "name": r.name, "first": r.first, "second": r.second}
                for r in compared.rules
            ],
            "advice": [_advice_as_json(item) for item in compared.advice],
            "agreed": compared.agreed,
            "sites": compared.sites,
        }
    if shares:
        report["importances"] = shares
    return report


def _advice_as_json(advice: Advice) -> dict[str, Any]:
    choice = advice.evaluated
    return {
        "architecture": advice.architecture.to_dict(),
        "evaluated_already": advice.known,
        "saved": [advice.saved_low, advice.saved, advice.saved_high],
        "latency_ms": [advice.latency_low, advice.latency_ms, advice.latency_high],
        "best_evaluated": choice.best.to_dict() if choice else None,
        "ahead": None if math.isnan(advice.ahead) else advice.ahead,
    }
