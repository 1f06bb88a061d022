"""What a front may claim: its findings together, their words, and whether anything stands out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from nas.study.front.caveats import caveats
from nas.study.front.findings import PROXY, Finding, Kind
from nas.study.front.front import Front
from nas.study.front.full_training_findings import full_training_findings
from nas.study.front.prose import sentence, sentences
from nas.study.front.search_findings import search_findings
from nas.study.front.width_rival import width_findings

__all__ = ["Verdict", "compute_findings", "findings_json", "judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The words on a front.

    lines: sentences, the most important last.
    clear: something stands out of the noise of the search's own figures.
    """

    lines: tuple[str, ...]
    clear: bool


def compute_findings(front: Front) -> tuple[Finding, ...]:
    """Return all that may be said of a front, the most important last.

    First comes how far the proxy behind the figures can be trusted, and where latencies and
    multiply-adds come from; then what the search's own losses tell, whether width would do as
    well, and what full training has found.
    """
    front = front.whole  # what is left out for the eye is still evidence
    trust = (Finding(Kind.TRUST, PROXY, text=text) for text in front.trust)
    return (
        *trust,
        *caveats(front),
        *search_findings(front),
        *width_findings(front),
        *full_training_findings(front),
    )


def judge(front: Front) -> Verdict:
    """Put all findings of a front into words."""
    findings = compute_findings(front)
    lines = tuple(front.figure.worded(line) for line in sentences(findings))
    return Verdict(lines, _is_clear(findings))


def findings_json(front: Front) -> str:
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
