"""What stands beside the figures of a front wherever they are shown: where they come from."""

from __future__ import annotations

from nas.study.front.findings import FRONT, Finding, Kind
from nas.study.front.front import Front
from nas.study.front.prose import sentences

__all__ = ["caveat_lines", "caveats"]


def caveats(front: Front) -> tuple[Finding, ...]:
    """Return what holds of figures whoever reads them: latencies and multiply-adds in doubt."""
    found: list[Finding] = []
    if any(point.latency_predicted for point in front):
        found += [
            Finding(Kind.UNCERTIFIED_PROFILE, FRONT, estimate=repeatability, text=doubt)
            for doubt, repeatability in front.uncertified
        ]
    uncounted = {name for point in front for name in (point.uncounted or "").split()}
    if uncounted:
        found.append(Finding(Kind.UNCOUNTED_MACS, FRONT, text=" ".join(sorted(uncounted))))
    return tuple(found)


def caveat_lines(front: Front) -> tuple[str, ...]:
    """Return the same in words."""
    return sentences(caveats(front))
