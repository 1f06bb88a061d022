"""The length of a search's trainings, taken from the curves of a calibration."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from nas.base.errors import SpecError
from nas.base.files import parse
from nas.data import resolve_source
from nas.spec.architecture import Architecture
from nas.spec.runner import Runner
from nas.spec.task import Task
from nas.study.budget_curves import CURVES_FILE, CurvesFound, load_curves
from nas.study.curve_rows import CURVES, images_of_rows

__all__ = ["check_fits", "find_curves", "with_budget"]


def find_curves(folder: Path) -> CurvesFound | None:
    """Return the curves of a calibration's folder; None where it has none.

    Raises SpecError for those that no budget can be taken from.
    """
    if not (folder / CURVES_FILE).exists():
        return None
    growth, path = load_curves(folder), folder / CURVES_FILE
    if not growth.curves:
        raise SpecError(f"{path} holds the plain network alone: no gain, and no budget")
    reached = {point.epochs for curve in growth.curves for point in curve.gains}
    if growth.advice.epochs not in reached:
        there = ", ".join(f"{epochs:g}" for epochs in sorted(reached)) or "none"
        raise SpecError(
            f"{path} advises {growth.advice.epochs:g} epochs, which its curves do not reach (they "
            f"have gains at: {there}); nas calibrate --curves on its folder goes on with them"
        )
    # An earlier version says it of the rows alone.
    return growth.model_copy(update={"images": growth.images or images_of_rows(folder / CURVES)})


def with_budget(
    runner: Runner, growth: CurvesFound, folder: Path, *, calibrated: bool
) -> tuple[Runner, str]:
    """Return the runner with the advised budget, and what was done in one sentence.

    A budget that the user has set stays, and so does that of a proxy that was calibrated.
    calibrated: the folder also holds trainings of the proxy, which the search goes on from.
    Raises SpecError where trainings from scratch say nothing of the runner's proxy.
    """
    proxy = runner.proxy
    if proxy.kind != "scratch":
        raise SpecError(
            f"{folder} holds curves of training from scratch, which say nothing of regime "
            f"{runner.regime} with proxy.kind {proxy.kind}; leave out --calibration, or search "
            "with regime scratch"
        )
    advised = f"{growth.advice.epochs:g} epochs: {growth.reason}"
    twice = [curve.network for curve in growth.curves if len(curve.crossings) > 1]
    if twice:
        advised += f" (more than once crosses plain: {', '.join(twice)}; a longer one may again)"
    if proxy.rungs is not None or calibrated:
        if proxy.rungs is None:
            kept = "the budget is that of the calibrated proxy"
        else:
            kept = f"{', '.join(f'{rung:g}' for rung in proxy.rungs)} {proxy.unit}, as asked for"
        return runner, f"{kept}; the curves of {folder} advise {advised}"
    given = runner.model_dump(exclude_unset=True)
    section = {"rungs": [growth.advice.epochs], "unit": "epochs"}
    given["proxy"] = given.get("proxy", {}) | section
    taken = parse(Runner, given, f"the budget of {folder}")
    return taken, f"each training takes, by the curves of {folder}, {advised}"


def check_fits(
    growth: CurvesFound,
    folder: Path,
    *,
    data: str,
    images: Collection[str],
    plains: Sequence[Architecture],
    task: Task,
) -> None:
    """Raise SpecError for curves of other images, another backbone or head, than a search.

    data, images: the source of the search, and the names of its decoded images, by any rules.
    plains: the plain networks of its space.
    task: what they are for.
    """
    if growth.head != task.unusual_head:
        usual = task.kind.heads[0]
        raise SpecError(
            f"{folder} holds curves with head {growth.head or usual}, and the search has "
            f"{task.head}; draw them for that, or leave out --calibration"
        )
    if growth.images is None:
        same = resolve_source(growth.data) == resolve_source(data)
    else:
        same = growth.images in images
    if not same:
        source = resolve_source(growth.data) == resolve_source(data)
        theirs = "another resolution, validation or search.seed" if source else f"{growth.data}"
        raise SpecError(
            f"{folder} holds curves of other images than the search, which is of {data}: those are "
            f"of {theirs}; draw curves for the search's, or leave out --calibration"
        )
    of_curves = Architecture.from_json(growth.curves[0].architecture).plain
    if [plain.digest for plain in plains] != [of_curves.digest]:
        names = ", ".join(f"{plain.backbone} at {plain.resolution}" for plain in plains)
        raise SpecError(
            f"{folder} holds curves of {of_curves.backbone} at {of_curves.resolution}, and the "
            f"search is of {names}; draw them for that, or leave out --calibration"
        )
