"""What a new search is checked for before anything is written, and what is made of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nas.backbones import check_scores
from nas.base.errors import MeasurementError, SpecError
from nas.base.files import refuse_below_file
from nas.base.formats import describe_uncounted
from nas.data import open_data
from nas.data.kinds import source_to_test
from nas.latency.profile import Profile, load_profile
from nas.latency.runtime import RUNTIMES, device_named
from nas.models.candidates import Candidates, given_space
from nas.models.cost import cost
from nas.models.own_network import check_outputs
from nas.runs.beside_weights import compare_with_images
from nas.runs.check_network import CLASSES, check_networks, check_own_network
from nas.runs.given_weights import match_given_weights, settle_weights
from nas.runs.images import decode_images, image_names
from nas.runs.loggers import check_loggers
from nas.runs.open_study import study_name
from nas.runs.run import CONSTANT_PREDICTION, Run, open_run
from nas.runs.run_file import RunFile
from nas.runs.search_budget import check_fits, find_curves, with_budget
from nas.spec.prior import Rules, load_rules
from nas.spec.proxy import Proxy
from nas.spec.runner import TRAINS_HERE, Runner, check_regime, given_runner
from nas.spec.space import SearchSpace
from nas.spec.task import Task
from nas.study.budget_curves import CurvesFound
from nas.study.calibration import FILE as CALIBRATION
from nas.study.calibration import load_calibration
from nas.training.device import best_device, check_placement
from nas.training.launch import check_launch
from nas.training.precision import settle_precision
from nas.training.proxies import PROXIES
from nas.training.tasks import training_task

__all__ = ["NewRun", "check_latency_device", "check_new_run"]

_PRIOR_OF_ANOTHER_TASK = (
    "published comparisons guide what is tried first, and are of classification: for {task} they "
    "say where attention may pay, not how much (--set search.published_prior=false leaves them out)"
)


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run that may be made: everything that it needs is there, and fits together.

    file: what run.yaml will say.
    data: what environment.json will say of the images.
    profile: that latencies are predicted from; None: they are measured.
    begun: a run of the same space, data and proxy, whose trials this one goes on from, or None.
    rules: of another search, for a sampler that makes use of them, or None.
    curves: of gain over budget on these images, from the calibration, or None.
    notes: what was decided that the user should hear of, in sentences.
    """

    candidates: Candidates
    file: RunFile
    data: dict[str, Any]
    profile: Profile | None
    begun: Run | None
    rules: Rules | None
    curves: CurvesFound | None = None
    notes: tuple[str, ...] = ()

    @property
    def space(self) -> SearchSpace:
        """The space that is searched."""
        return self.candidates.space


def check_new_run(
    space: SearchSpace | str | Path,
    runner: Runner | str | Path | None,
    data: str,
    out: Path,
    *,
    calibration: str | Path | None = None,
    prior: str | Path | None = None,
) -> NewRun:
    """Read and check all that a search is given, and decode its images; nothing else is written.

    The arguments are those of `nas.search`.
    Raises SpecError for a fault of any of them.
    """
    _refuse_taken(out)
    space, runner = given_space(space), given_runner(runner)
    check_loggers(runner.loggers)
    check_regime(runner, "runner")
    curves: CurvesFound | None = None
    notes: tuple[str, ...] = ()
    if calibration is not None:
        runner, curves, notes = _take_budget(runner, Path(calibration))
    file = RunFile.of(runner, data, study_name(out, runner))
    training_task(file.task_on(CLASSES))  # which needs its packages
    candidates = Candidates(space, file.task_on(CLASSES))
    plains = [plain for plain, _ in candidates.plains()]
    file, of_weights = settle_weights(file, plains)
    profile = check_latency_device(file, candidates)
    if profile is not None and profile.doubt is not None:
        notes += (profile.doubt,)
    device = device_named(file.device) if profile is None else None
    notes += check_networks(candidates, file.proxy, device, file.task_on(CLASSES))
    file, about, remarks = _check_images(space, file)
    file, beyond = _with_all_placed(file, len(candidates.references()))
    task = file.task_on(len(about["classes"]))
    if task.is_classification:
        for plain in plains:
            check_scores(plain.backbone, plain.resolution, plain.total_stride, task.outputs)
    for plain in plains:
        check_outputs(plain, task)
        check_own_network(plain, task)
    notes += (*remarks, *beyond, *of_weights, *match_given_weights(file, plains, task))
    if task.is_classification:  # else labels beside weights are of something else
        notes += tuple(compare_with_images(file.proxy.backbone, plains, about["classes"]))
    if file.search.published_prior and not task.is_classification:
        notes += (_PRIOR_OF_ANOTHER_TASK.format(task=task.name),)
    notes += _check_limits(candidates, task)
    rules = load_rules(prior) if prior is not None else None
    if rules is not None and file.search.sampler != "pareto":
        raise SpecError(f"a prior: sampler {file.search.sampler!r} cannot use it; use pareto")
    new = NewRun(candidates, file, about, profile, None, rules, curves, notes)
    if calibration is not None:
        new = _with_calibration(new, Path(calibration))
    return new


def _refuse_taken(out: Path) -> None:
    if (out / "run.yaml").exists():
        raise SpecError(f"{out} is a run already; go on with it (nas resume {out}) or name another")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SpecError(f"{out} exists and is not empty; name a new folder for --out")
    refuse_below_file(out, "--out")


def check_latency_device(file: RunFile, candidates: Candidates) -> Profile | None:
    """Return the profile that a runner names, checked against the space; None for a runtime here.

    Raises SpecError.
    """
    if file.device_profile is None:
        try:
            RUNTIMES[device_named(file.device).runtime].version()
        except MeasurementError as error:
            raise SpecError(str(error)) from None
        return None
    profile = load_profile(file.device_profile)
    profile.check_task(file.task_on(profile.classes), str(file.device_profile))
    for plain, sites in candidates.plains():
        branch = profile.branch(plain)
        for decision in candidates.decisions(plain):
            profile.choices(branch, [site.name for site in decision.sites], decision.choices)
        assert sites
    return profile


def _check_images(
    space: SearchSpace, file: RunFile
) -> tuple[RunFile, dict[str, Any], tuple[str, ...]]:
    """Decode the images; return the file with what is left to the program decided for so many,
    what environment.json says of them, and what a user should hear of them.
    """
    notes: list[str] = []
    if file.test is not None:  # found out before the search, not after it
        source_to_test(file.data, file.reading)
    folder = decode_images(space, file, note=notes.append)
    images = open_data(folder)
    if file.proxy.subset is not None:
        images.check_subset(file.proxy.subset)
    count = len(images.train)
    kind = file.task_on(CLASSES).kind
    proxy = file.proxy.settled(count, kind.least_steps)
    if file.executor in TRAINS_HERE:
        check_launch(proxy.launch, best_device())
        check_placement(file.side_by_side, best_device())
    if file.executor in TRAINS_HERE or proxy.precision is None:
        proxy = settle_precision(proxy, best_device())
    settled = {"proxy": proxy, "search": file.search.settled()}
    file = file.model_copy(update=settled)
    if PROXIES[file.proxy.kind].shared:  # a further seed would score the same weights again
        once = file.search.model_copy(update={"confirm_seeds": 1})
        file = file.model_copy(update={"search": once})
    about = {"key": folder.name, "classes": list(images.classes), "images": count}
    task = training_task(file.task_on(len(images.classes)))
    constant = task.constant_prediction(images.validation)
    return file, about | {CONSTANT_PREDICTION: constant.to_dict()}, tuple(notes)


def _with_all_placed(file: RunFile, placed: int) -> tuple[RunFile, tuple[str, ...]]:
    """Return the file with at least as many networks as are placed by hand, and what is said of it.

    They come first and are all trained, so that whatever counts networks counts to one number.
    """
    asked = file.search.trials
    if asked >= placed:
        return file, ()
    search = file.search.model_copy(update={"trials": placed})
    return file.model_copy(update={"search": search}), (
        f"{placed} networks are placed by hand, more than the {asked} asked for: they are trained, "
        f"and none is searched; --trials {placed + 10} searches 10",
    )


def _check_limits(candidates: Candidates, task: Task) -> tuple[str, ...]:
    """Return what is to be said of the limits of a space.

    Raises SpecError when no network of the space can keep them.
    """
    limits = candidates.space.constraints
    costs = [cost(leanest, task=task) for leanest in candidates.leanest()]
    for name in ("params", "macs"):
        limit, least = getattr(limits, name), min(getattr(counted, name) for counted in costs)
        if limit is not None and limit < least:
            raise SpecError(
                f"no network of space {candidates.space.name!r} keeps its limit of {limit:,.0f} "
                f"{name}: the smallest has {least:,}; raise constraints.{name} or take a "
                "smaller backbone"
            )
    uncounted = {name for counted in costs for name in counted.unsupported}
    if limits.macs is None or not uncounted:
        return ()
    return (
        f"constraints.macs lets more pass than it says. {describe_uncounted(sorted(uncounted))}",
    )


def _take_budget(
    runner: Runner, calibration: Path
) -> tuple[Runner, CurvesFound | None, tuple[str, ...]]:
    """Return the runner with the budget that curves advise, where the calibration has some."""
    curves = find_curves(calibration)
    if curves is None:
        return runner, None, ()
    calibrated = (calibration / CALIBRATION).exists()
    runner, note = with_budget(runner, curves, calibration, calibrated=calibrated)
    return runner, curves, (note,)


def _with_calibration(new: NewRun, calibration: Path) -> NewRun:
    """Check what the calibration is of, and begin with its trainings where it has some."""
    if new.curves is not None:
        check_fits(
            new.curves,
            calibration,
            data=new.file.data,
            images=image_names(new.space, new.file),
            plains=[plain for plain, _ in new.candidates.plains()],
            task=new.file.task_on(CLASSES),
        )
        if not (calibration / CALIBRATION).exists():
            return new
    return _begin_with(new, calibration)


def _begin_with(new: NewRun, calibration: Path) -> NewRun:
    """Let a run go on from the proxy's run in a calibration.

    Raises SpecError when it is of anything else.
    """
    load_calibration(calibration)
    begun = open_run(calibration / "proxy")
    state = begun.read()
    theirs, ours = begun.file, new.file
    compared = {
        "space": (begun.space, new.space),
        "task": (theirs.task_on(CLASSES).name, ours.task_on(CLASSES).name),
        "head": (theirs.task_on(CLASSES).head, ours.task_on(CLASSES).head),
        "images": (_today(state.data()["key"], new), new.data["key"]),
        "proxy": (
            _proxy_alone(theirs),
            _proxy_alone(ours),
        ),
        "objectives": (theirs.search.objectives, ours.search.objectives),
        "search.seed": (theirs.search.seed, ours.search.seed),
        "device": (theirs.device, ours.device),
    }
    for name, (one, other) in compared.items():
        if one != other:
            raise SpecError(
                f"{calibration} was calibrated with another {name}; search with the same, or "
                "calibrate again"
            )
    file = ours.model_copy(update={"begun": len(state.trials)})
    return replace(new, file=file, begun=begun)


def _proxy_alone(file: RunFile) -> Proxy:
    """Return a run's proxy without what two runs of it may differ in."""
    alone = {"seeds": 1, "precision": file.proxy.computed_in, "launch": "eager"}
    return file.proxy.by_content.model_copy(update=alone)


def _today(key: str, new: NewRun) -> str:
    """Return what images are called now, where a name by the rules of before is that of these."""
    return new.data["key"] if key in image_names(new.space, new.file) else key
