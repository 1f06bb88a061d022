"""What a front may claim: its findings together, their words, and whether anything stands out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from nas.study.front.answer import ANSWERS, answer
from nas.study.front.caveats import caveats
from nas.study.front.findings import PROXY, Finding, Kind
from nas.study.front.full_training_findings import full_training_findings
from nas.study.front.pareto_front import ParetoFront
from nas.study.front.prose import sentence, sentences
from nas.study.front.search_findings import search_findings
from nas.study.front.width_rival import width_findings

__all__ = ["Verdict", "compute_findings", "findings_json", "full_trainings_wanted", "judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The words on a front.

    answer: what to put where, what it brings, and how sure that is; empty where nothing is known.
    lines: all other sentences, the most important last.
    essentials: those of them that a reader needs who decides by the answer: what is shown, and
        what makes its figures doubtful.
    details: the others of them: how it was measured, and what the essentials sum up.
    clear: something stands out of the noise of the search's own figures.
    """

    answer: tuple[str, ...]
    lines: tuple[str, ...]
    essentials: tuple[str, ...]
    details: tuple[str, ...]
    clear: bool


_DETAILS = frozenset({
    Kind.TRUST,
    Kind.SEED_NOISE,
    Kind.FRONT_EXPECTED,
    Kind.NETWORKS_SAVING_LOSS,
    Kind.FASTER_UNSURE,
    Kind.SEVERAL_RECIPES,
    Kind.LACKING_SEEDS,
    Kind.NOT_RETRAINED,
    Kind.PROXY_ORDER,
    Kind.FULL_LOSS_DIFFERENCE,
    Kind.WIDTH_DIFFERENCE,
    Kind.FULL_TRAINING,
    Kind.NONE_AS_FAST,
    Kind.NO_PLACED,
    Kind.NO_SEARCHED,
})  # fmt: skip
"""Kinds that are no essentials: others sum them up, or they are about how it was measured."""


def compute_findings(front: ParetoFront) -> tuple[Finding, ...]:
    """Return all that may be said of a front: the answer, then the rest, the most important last.

    The rest begins with how far the proxy behind the figures can be trusted, and where latencies
    and multiply-adds come from; then comes what the search's own losses tell, whether width would
    do as well, and what full training has found.
    """
    front = front.whole  # what is left out for the eye is still evidence
    trust = (Finding(Kind.TRUST, PROXY, text=text) for text in front.trust)
    return (
        *answer(front),
        *trust,
        *caveats(front),
        *search_findings(front),
        *width_findings(front),
        *full_training_findings(front),
    )


def judge(front: ParetoFront) -> Verdict:
    """Put all findings of a front into words."""
    findings = compute_findings(front)

    def told(some: Iterable[Finding]) -> tuple[str, ...]:
        return tuple(front.figure.worded(line) for line in sentences(some))

    others = [finding for finding in findings if finding.kind not in ANSWERS]
    return Verdict(
        answer=told(finding for finding in findings if finding.kind in ANSWERS),
        lines=told(others),
        essentials=told(finding for finding in others if _is_essential(finding)),
        details=told(finding for finding in others if not _is_essential(finding)),
        clear=_is_clear(findings),
    )


def _is_essential(finding: Finding) -> bool:
    if finding.kind is Kind.ACCURACY_DIFFERENCE:
        return finding.is_above or finding.is_below
    return finding.kind not in _DETAILS


def full_trainings_wanted(front: ParetoFront) -> int:
    """Return how many full trainings in all would tell more of a run; 0 where none are asked for.

    So many check the networks that gain most beside the plain one widened to their latency.
    """
    unsure = (Kind.WIDTH_CHECKED, Kind.WIDTH_UNCHECKED)
    wanted = [
        finding.count("wanted") for finding in width_findings(front.whole) if finding.kind in unsure
    ]
    return max(wanted, default=0)


def findings_json(front: ParetoFront) -> str:
    """Return all findings of a front as a JSON list of objects, each with its sentence as `text`.

    Besides those that `judge` puts into words, each difference in loss stands there by itself.
    """
    rows = [
        finding.to_dict() | {"text": front.figure.worded(sentence(finding))}
        for finding in compute_findings(front)
    ]
    return json.dumps(rows, indent=1, allow_nan=False)


def _is_clear(findings: Iterable[Finding]) -> bool:
    better = (Kind.NETWORKS_SAVING_LOSS, Kind.PLACED_BEATEN)
    return any(finding.kind in better and finding.estimate > 0 for finding in findings)
