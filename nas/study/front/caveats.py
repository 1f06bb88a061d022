"""What stands beside the figures of a front wherever they are shown: where they come from."""

from __future__ import annotations

from collections.abc import Sequence

from nas.study.constant_prediction import ConstantPrediction
from nas.study.front.findings import FRONT, FULL_TRAINING, Finding, Kind
from nas.study.front.pareto_front import ParetoFront
from nas.study.front.prose import sentences
from nas.study.full_training import read_full_trainings

__all__ = ["caveat_lines", "caveats"]


def caveats(front: ParetoFront) -> tuple[Finding, ...]:
    """Return what holds of figures whoever reads them.

    Networks that tell all images the same; latencies and multiply-adds in doubt.
    """
    findings = [*_constant_predictions(front), *_collapsed_in_full(front)]
    if any(point.latency_predicted for point in front):
        findings += [
            Finding(Kind.UNCERTIFIED_PROFILE, FRONT, estimate=repeatability, text=doubt)
            for doubt, repeatability in front.uncertified
        ]
    uncounted = {name for point in front for name in (point.uncounted or "").split()}
    if uncounted:
        findings.append(Finding(Kind.UNCOUNTED_MACS, FRONT, text=" ".join(sorted(uncounted))))
    return tuple(findings)


def caveat_lines(front: ParetoFront) -> tuple[str, ...]:
    """Return the same in words."""
    return tuple(front.figure.worded(line) for line in sentences(caveats(front)))


def _constant_predictions(front: ParetoFront) -> list[Finding]:
    """Name the networks whose short trainings tell no more than one answer to all images."""
    alike = [
        (point.name, point.accuracy, constant)
        for point in front
        if (constant := front.constant.get(point.run)) and constant.explains(point.accuracy)
    ]
    if not alike:
        return []
    names, accuracies, constants = zip(*alike, strict=True)
    counts = (("networks", len(alike)), ("shown", len(front)))
    return [_told_alike(Kind.CONSTANT_PREDICTION, names, accuracies, constants, counts)]


def _collapsed_in_full(front: ParetoFront) -> list[Finding]:
    """Name the networks of which a full training tells no more, and how many of them do."""
    names, accuracies, constants, every = [], [], [], 0
    for point, row in zip(front.points, front.point_rows.tolist(), strict=True):
        constant = front.constant.get(point.run)
        texts = front.measured.columns["retrained"]
        full = [item.accuracy for item in read_full_trainings(texts[row])]
        trained = [accuracy for accuracy in full if accuracy is not None]
        fallen = [one for one in trained if constant is not None and constant.explains(one)]
        if constant is not None and fallen:
            names.append(f"{point.name} ({len(fallen)} of {len(trained)} seeds)")
            accuracies += fallen
            constants.append(constant)
        every += len(trained)
    if not names:
        return []
    counts = (("trainings", len(accuracies)), ("of", every))
    return [_told_alike(Kind.COLLAPSED_IN_FULL, names, accuracies, constants, counts)]


def _told_alike(
    kind: Kind,
    names: Sequence[str],
    accuracies: Sequence[float],
    constants: Sequence[ConstantPrediction],
    counts: tuple[tuple[str, int], ...],
) -> Finding:
    figures = {"accuracy": max(constant.accuracy for constant in constants)}
    losses = [constant.loss for constant in constants if constant.loss is not None]
    if losses:
        figures["loss"] = max(losses)
    return Finding(
        kind,
        FULL_TRAINING if kind is Kind.COLLAPSED_IN_FULL else FRONT,
        estimate=max(accuracies),
        unit="share",
        counts=counts,
        figures=tuple(figures.items()),
        networks=tuple(names),
    )
