"""How often what the program claims is false: false claims by family, coverage, calibration, power.

    python -m benchmarks.claims.rates [--worlds 2000] [--claim belief] [--family null] [--seeds 3]

Each kind of claim is made by the program's own code on what a simulated search has trained
(`benchmarks/claims/worlds.py`), and held against the truth. A front says many things at once: it
counts as false where any of its claims of a kind is. `all` is the sum over the families that hold
something to find.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.claims.as_program import FullTruth, belief_draws, front_of, number_of, retrain
from benchmarks.claims.calibrations import calibration_claims, ceiling_claims
from benchmarks.claims.figures import figure_claims
from benchmarks.claims.tally import HEADINGS, Tallies, Tally
from benchmarks.claims.worlds import FAMILIES, NULL, Study, World, make_world, search
from benchmarks.shared.report import print_machine, print_table
from nas.belief.claims import (
    Claims,
    beats,
    cheapest_within,
    interval,
    nowhere,
    probability_best,
)
from nas.runs.compare import compare_fronts
from nas.study.front.findings import Finding, Kind
from nas.study.front.front import Front
from nas.study.front.full_training_findings import full_training_findings
from nas.study.front.search_findings import search_findings

__all__ = ["CLAIMS", "measure"]

Floats = NDArray[np.float64]
_SAME = 1e-12  # of two truths that are equal


def _network(study: Study, name: str) -> int:
    """The number of a network that a finding names."""
    if name.startswith("trial "):
        return int(study.network[int(name.removeprefix("trial "))])
    return study.names.index(name)


def _of(findings: tuple[Finding, ...], kind: Kind) -> list[Finding]:
    return [finding for finding in findings if finding.kind == kind]


def search_claims(world: World, rng: np.random.Generator, tallies: Tallies) -> None:
    """What the search's own losses are said to show."""
    study = search(world, rng)
    front = front_of(study)
    findings = search_findings(front)
    _beats_plain(study, front, findings, tallies["beats_plain"])
    _beats_placed(study, front, findings, tallies["beats_placed"])
    # With such a margin, what the family `worse` would have to be told apart from is at its edge.
    near = search_findings(replace(front, margin=0.5 * world.noise))
    _no_worse(study, front, near, tallies["no_worse"])
    for finding in _of(findings, Kind.LOSS_DIFFERENCE):
        saved = study.truth[_network(study, str(finding.rival))]
        saved -= study.truth[_network(study, finding.subject)]
        tallies["loss_interval"].interval(finding.low, finding.high, float(saved))
    _gains(study, front, tallies)
    _stars(study, front, tallies["star"])
    _at(study, front, tallies["at"])
    _seeds(study, front, tallies["seeds"])


def _gains(study: Study, front: Front, tallies: Tallies) -> None:
    """The gain that is shown beside every network of a front, with its 90 % interval."""
    numbers = number_of(study)
    for point, gain in zip(front.points, front.gains, strict=True):
        row = numbers[point.architecture.digest]
        if row == 0:
            continue
        truth = float(study.truth[0] - study.truth[row])
        tallies["gain_interval"].interval(gain.low, gain.high, truth)
        if study.world.family != "null":
            tallies["p_better"].chance(gain.p_better, truth > _SAME)


def _members(study: Study, front: Front) -> list[int]:
    numbers = number_of(study)
    return [numbers[p.architecture.digest] for p in front.members if p.reference is None]


def _beats_plain(study: Study, front: Front, findings: tuple[Finding, ...], tally: Tally) -> None:
    named = [name for item in _of(findings, Kind.NETWORKS_SAVING_LOSS) for name in item.networks]
    truth = study.truth
    better = [truth[_network(study, name)] < truth[0] - _SAME for name in named]
    possible = any(truth[row] < truth[0] - _SAME for row in _members(study, front))
    tally.claim(made=bool(named), false=not all(better), possible=possible)


def _beats_placed(study: Study, front: Front, findings: tuple[Finding, ...], tally: Tally) -> None:
    pairs = [
        (_network(study, winner), _network(study, name))
        for item in _of(findings, Kind.PLACED_BEATEN)
        for winner, name in zip(item.winners, item.networks, strict=True)
    ]
    truth, latency = study.truth, study.latency_ms
    true = [truth[a] < truth[b] - _SAME and latency[a] <= latency[b] for a, b in pairs]
    placed = [row for row, name in enumerate(study.names) if name and row]
    possible = any(
        truth[a] < truth[b] - _SAME and latency[a] <= latency[b]
        for a in _members(study, front)
        for b in placed
    )
    tally.claim(made=bool(pairs), false=not all(true), possible=possible)


def _no_worse(study: Study, front: Front, findings: tuple[Finding, ...], tally: Tally) -> None:
    """Claimed of a hand-placed network: some member is faster at a loss that is no higher."""
    truth, latency = study.truth, study.latency_ms
    members = _members(study, front)

    def is_true(rival: int, margin: float) -> bool:
        faster = [row for row in members if latency[row] < latency[rival]]
        return any(truth[row] < truth[rival] + margin + _SAME for row in faster)

    false, made = False, False
    for item in _of(findings, Kind.PLACED_SLOWER):
        margin = item.figure("margin")
        margin = 0.0 if math.isnan(margin) else 0.999 * margin
        made = made or bool(item.networks)
        false = false or not all(is_true(_network(study, name), margin) for name in item.networks)
    placed = [row for row, name in enumerate(study.names) if name and row]
    possible = any(is_true(rival, 0.0) for rival in placed)
    tally.claim(made=made, false=false, possible=possible)


def _stars(study: Study, front: Front, tally: Tally) -> None:
    """A star says: no evaluated network is better at no more latency."""
    truth, latency = study.truth, study.latency_ms
    numbers = number_of(study)
    for point, gain in zip(front.points, front.gains, strict=True):
        row = numbers[point.architecture.digest]
        if not point.on_front or point.reference:
            continue
        better = (truth < truth[row] - _SAME) & (latency <= latency[row])
        if study.world.family != "null":
            tally.chance(gain.p_front, not better.any())
        tally.figures["truly on it"].append(float(not better.any()))
        tally.figures["worse by, sd"].append(
            float(truth[row] - truth[latency <= latency[row]].min()) / study.world.noise
        )


def _at(study: Study, front: Front, tally: Tally) -> None:
    if study.world.family == "null":
        return  # all are the best
    budget = float(np.median(study.latency_ms))
    choice = front.at(latency_ms=budget)
    row = number_of(study)[choice.best.architecture.digest]
    kept = study.latency_ms <= budget
    best = float(study.truth[kept].min())
    tally.chance(choice.probability, bool(study.truth[row] <= best + _SAME))
    tally.figures["regret, sd"].append(float(study.truth[row] - best) / study.world.noise)


def _seeds(study: Study, front: Front, tally: Tally) -> None:
    """By how much the first seed is said to be easier than it is."""
    effects = front.measured.loss.effects
    if study.world.own_seeds or 0 not in effects or len(effects) < 3:
        return
    seeds = sorted(effects)
    found = np.array([effects[seed] for seed in seeds])
    true = np.array([study.seed_effects[seed] for seed in seeds])
    error = (found - found.mean()) - (true - true.mean())
    tally.figures["first seed, sd"].append(float(error[0]) / study.world.noise)
    tally.figures["off, sd"].append(float(np.abs(error).mean()) / study.world.noise)


def compare_claims(world: World, rng: np.random.Generator, tallies: Tallies) -> None:
    """Which of two searches of one world is said to be ahead."""
    from nas.study.front.indicators import hypervolume

    studies = [search(world, rng, networks=count) for count in (60, int(rng.choice([20, 60])))]
    fronts = [front_of(study) for study in studies]
    if not all(front.members for front in fronts):
        return
    found = compare_fronts(*fronts)
    bound = np.array([found.reference["loss"], found.reference["latency_ms"]])
    volumes = []
    for study, front in zip(studies, fronts, strict=True):
        rows = [number_of(study)[point.architecture.digest] for point in front.members]
        volumes.append(hypervolume(np.stack([study.truth, study.latency_ms], axis=1)[rows], bound))
    truth = volumes[0] - volumes[1]
    tally = tallies["compare"]
    made = found.low > 0 or found.high < 0
    right = truth > 0 if found.low > 0 else truth < 0
    tally.claim(made=made, false=made and not right, possible=abs(truth) > 0)
    tally.interval(found.low, found.high, truth)
    sure = max(found.probability, 1 - found.probability)
    tally.chance(sure, truth > 0 if found.probability >= 0.5 else truth < 0)


def full_claims(
    world: World, rng: np.random.Generator, tallies: Tallies, tested: bool = True
) -> None:
    """What full training is said to show, of some searched networks and the hand-placed ones.

    tested: whether by test images. Without, the best is chosen by the images that judge it, and
        among twice as many, so that choice does more harm.
    """
    study = search(world, rng)
    state, winners = rng.bit_generator.state, 5 if tested else 10
    for by_image, name in ((False, "by accuracy"), (True, "by loss")):
        rng.bit_generator.state = state  # the same trainings, judged by either
        front, truth = retrain(study, rng, winners=winners, by_image=by_image, tested=tested)
        name += "" if tested else ", untested"
        _beats_in_full(study, front, truth, by_image, tallies, name)


def _beats_in_full(
    study: Study, front: Front, truth: FullTruth, by_image: bool, tallies: Tallies, name: str
) -> None:
    kind = Kind.FULL_LOSS_DIFFERENCE if by_image else Kind.ACCURACY_DIFFERENCE
    quality = -truth.loss if by_image else 100 * truth.accuracy
    found = _of(full_training_findings(front), kind)
    gained = [
        float(quality[_network(study, item.subject)] - quality[_network(study, str(item.rival))])
        for item in found
    ]
    claims = [gain for item, gain in zip(found, gained, strict=True) if item.is_above]
    possible = any(gain > _SAME for gain in gained)
    tallies[f"full {name}"].claim(
        made=bool(claims), false=any(gain <= _SAME for gain in claims), possible=possible
    )
    if found:
        # They are said to hold all at once, at 95 %.
        held = all(item.low <= gain <= item.high for item, gain in zip(found, gained, strict=True))
        tallies[f"full intervals, {name}"].interval(0.0, 0.0, 0.0 if held else 1.0)


def belief_claims(world: World, rng: np.random.Generator, tallies: Tallies, seeds: int = 3) -> None:
    """What the belief of `nas.belief` allows to claim of the same searches.

    seeds: of the hand-placed networks and those that look best.
    """
    study = search(world, rng, seeds=seeds)
    rows = np.arange(len(study.codes))
    draws = belief_draws(study, rows)
    truth = study.truth[0] - study.truth
    placed = [row for row, name in enumerate(study.names) if name and row]
    searched = rows[len(study.names) - study.names.count(None) :]
    against_plain = beats(draws[:, searched], np.zeros((len(draws), 1)))
    _count_claims(tallies["belief beats_plain"], against_plain, truth[searched], np.zeros(1))
    latency = study.latency_ms
    asked = latency[searched][:, None] <= latency[placed][None, :]
    against_placed = beats(draws[:, searched], draws[:, placed], asked=asked)
    _count_claims(tallies["belief beats_placed"], against_placed, truth[searched], truth[placed])
    margin = 0.5 * world.noise
    near = beats(draws[:, searched], draws[:, placed], asked=asked, margin=margin)
    # At the margin itself the claim is false.
    _count_claims(tallies["belief no_worse"], near, truth[searched], truth[placed] - 0.999 * margin)
    low, high = interval(draws, 0.9)
    for row in rows[1:].tolist():
        tallies["belief interval"].interval(low[row], high[row], float(truth[row]))
    if np.ptp(truth) == 0:
        return
    better = (draws > 0).mean(axis=0)
    for row in _members(study, front_of(study)):
        tallies["belief p_better"].chance(float(better[row]), bool(truth[row] > _SAME))
    kept = latency <= np.median(latency)
    best = int(np.where(kept, draws.mean(axis=0), -np.inf).argmax())
    chance = float(probability_best(draws, kept)[best])
    tallies["belief at"].chance(chance, bool(truth[best] >= truth[kept].max() - _SAME))
    tallies["belief at"].figures["regret, sd"].append(
        float(truth[kept].max() - truth[best]) / world.noise
    )
    delta = 0.5 * world.noise
    cheap = cheapest_within(draws[:, kept], latency[kept], delta)
    tallies["belief cheapest"].chance(
        cheap.probability, bool(truth[kept][cheap.row] >= truth[kept].max() - delta)
    )
    ruled_out = nowhere(draws[:, 1:], delta)
    most = float(truth[1:].max())
    tallies["belief nowhere"].chance(ruled_out.probability, most <= delta)
    tallies["belief ruled out"].interval(-np.inf, ruled_out.gain, most)


def _count_claims(
    tally: Tally, claims: Claims, truth: NDArray[np.float64], rivals: NDArray[np.float64]
) -> None:
    """truth, rivals: gains of the networks that are compared, (k,) and (r,)."""
    true = truth[:, None] > rivals[None, :] + _SAME
    asked = ~np.isnan(claims.chance)
    tally.claim(
        made=bool(claims.claimed.any()),
        false=bool((claims.claimed & ~true).any()),
        possible=bool((asked & true).any()),
    )


CLAIMS: dict[str, Callable[[World, np.random.Generator, Tallies], None]] = {
    "search": search_claims,
    "belief": belief_claims,
    "figure": figure_claims,
    "figure-by-loss": partial(figure_claims, by_image=False),
    "compare": compare_claims,
    "full": full_claims,
    "full-untested": partial(full_claims, tested=False),
    "agreement": ceiling_claims,
    "calibration": calibration_claims,
}
"""What makes the claims of one world, by name."""


def measure(
    claim: str, worlds: int, families: tuple[str, ...] = FAMILIES, seed: int = 0, seeds: int = 3
) -> dict[str, dict[str, Tally]]:
    """Return the tallies of what is claimed, by name and by family.

    worlds: of each family.
    seeds: see `belief_claims`; other claims are of three.
    """
    make = partial(belief_claims, seeds=seeds) if claim == "belief" else CLAIMS[claim]
    found: dict[str, dict[str, Tally]] = {}
    for number in range(worlds * len(families)):
        family = families[number % len(families)]
        rng = np.random.default_rng([seed, number])
        tallies = found.setdefault(family, defaultdict(Tally))
        make(make_world(rng, family), rng, tallies)
    names = dict.fromkeys(name for tallies in found.values() for name in tallies)
    return {name: {family: found[family][name] for family in found} for name in names}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=2000, help="of each family")
    parser.add_argument("--claim", choices=sorted(CLAIMS), help="one kind; all without")
    parser.add_argument("--family", choices=FAMILIES, help="one family; all without")
    parser.add_argument("--seeds", type=int, default=3, help="of what is confirmed; of belief")
    options = parser.parse_args()
    families = (options.family,) if options.family else FAMILIES
    print_machine("numpy", "scipy")
    rows = []
    for claim in [options.claim] if options.claim else CLAIMS:
        for name, tallies in measure(claim, options.worlds, families, seeds=options.seeds).items():
            whole = Tally()
            for family, tally in tallies.items():
                rows.append([f"{name} {family}", *tally.row()])
                if family not in NULL:
                    whole.add(tally)
            if not options.family:
                rows.append([f"{name} all", *whole.row()])
    print_table(["claim, family", *HEADINGS], rows)


if __name__ == "__main__":
    main()
