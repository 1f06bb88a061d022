"""Curves of gain from trainings of several budgets, and the budget that they advise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nas.base.errors import SpecError
from nas.belief.gain_curve import (
    BudgetChoice,
    CurveRow,
    GainCurve,
    choose_budget,
    gain_curves,
    training_noise,
)
from nas.data import open_data, resolve_source
from nas.runs.calibrate.curve_plan import CurvePlan, curve_recipe, images_seen
from nas.spec.architecture import PLAIN
from nas.spec.runner import Runner
from nas.spec.space import SearchSpace
from nas.study.budget_curves import Advice, Curve, CurvePoint, CurvesFound
from nas.study.curve_rows import CurveRows
from nas.study.full_training import FullTraining

__all__ = ["measure_growth"]


@dataclass(frozen=True, slots=True)
class _Ended:
    """A training of a curve that has come to its end, or failed.

    name: of its network.
    images: that it was to see.
    """

    name: str
    epochs: float
    images: int
    result: FullTraining

    @property
    def row(self) -> CurveRow:
        """Its point on the curve of its network."""
        loss = self.result.loss
        return CurveRow(
            self.name, self.images, math.nan if loss is None else loss, self.result.seed
        )


def measure_growth(
    plan: CurvePlan,
    runner: Runner,
    space: SearchSpace,
    data: str,
    images: Path,
    rows: CurveRows,
) -> CurvesFound:
    """Judge what has been trained. Raises SpecError where it gives no curve."""
    dataset, there = open_data(images), rows.read()
    task = runner.task_on(len(dataset.classes))
    jobs = plan.jobs(runner, resolve_source(data), images, rows.folder, len(dataset.train), task)
    seen = {
        epochs: images_seen(curve_recipe(runner.proxy, epochs, len(dataset.train)), dataset)
        for epochs in plan.budgets
    }
    ended = [
        _Ended(name, job.recipe.epochs, seen[job.recipe.epochs], there[job.about.name])
        for name, job in jobs
        if job.about.name in there
    ]
    points = [training.row for training in ended]
    try:
        curves = gain_curves(points, PLAIN)
        choice = choose_budget(curves)
    except ValueError as error:
        raise SpecError(
            f"no curve can be drawn: {error}; a lower proxy.learning_rate may help where trainings "
            "diverge"
        ) from None
    epochs_of = {number: epochs for epochs, number in seen.items()}
    noise, freedom = training_noise(points)
    return CurvesFound(
        space=space.name,
        data=data,
        recipe=str(curve_recipe(runner.proxy, plan.budgets[-1], len(dataset.train))),
        budgets=list(plan.budgets),
        noise=noise if freedom else None,
        trainings=len(ended),
        seconds=sum(training.result.seconds for training in ended),
        curves=[
            _curve(curve, plan.networks[curve.network].to_json(), ended, epochs_of)
            for curve in curves
        ],
        advice=_advice(choice, curves, epochs_of),
        head=task.unusual_head,
        images=images.name,
    )


def _curve(
    curve: GainCurve, architecture: str, ended: Sequence[_Ended], epochs_of: Mapping[int, float]
) -> Curve:
    """Return a curve as it is kept. epochs_of: budgets by the images that they show."""
    accuracy = _mean_accuracy(ended)
    return Curve(
        network=curve.network,
        architecture=architecture,
        verdict=curve.verdict,
        gains=[
            CurvePoint(
                epochs=epochs_of[int(gain.images)],
                images=int(gain.images),
                gain=gain.gain,
                deviation=_known(gain.deviation),
                margin=_known(gain.margin),
                points=100
                * (accuracy[curve.network, int(gain.images)] - accuracy[PLAIN, int(gain.images)]),
                trainings=gain.trainings,
            )
            for gain in curve.gains
        ],
        crossings=[
            crossing.images if crossing.upwards else -crossing.images
            for crossing in curve.crossings
        ],
        catching_up=curve.catching_up,
        failed=sum(one.name == curve.network and one.result.loss is None for one in ended),
    )


def _advice(
    choice: BudgetChoice, curves: Sequence[GainCurve], epochs_of: Mapping[int, float]
) -> Advice:
    if not choice.settled:
        reason = "rising"
    elif not choice.told:
        reason = "noise"
    else:
        reason = "shortest" if choice.images < choice.longest else "longest"
    return Advice(
        epochs=epochs_of[int(choice.images)],
        reason=reason,  # type: ignore[arg-type]
        told=choice.told,
        contradicted=choice.contradicted or 0,
    )


def _mean_accuracy(ended: Sequence[_Ended]) -> dict[tuple[str, int], float]:
    """Return mean accuracies over seeds, by network and images seen."""
    by_training: dict[tuple[str, int], list[float]] = {}
    for training in ended:
        if training.result.accuracy is not None:
            key = training.name, training.images
            by_training.setdefault(key, []).append(training.result.accuracy)
    return {key: sum(values) / len(values) for key, values in by_training.items()}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
