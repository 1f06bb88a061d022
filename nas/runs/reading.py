"""How the images of a run are read, and what its networks are for."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from nas.spec.recipe import Retrain
from nas.spec.runner import Proxy, Regime, Runner
from nas.spec.task import TASKS, TaskKind, TaskName

if TYPE_CHECKING:
    from nas.data import Reading
    from nas.data.reading import Rules

__all__ = ["reading_of", "settle_task"]

Section = TypeVar("Section", Proxy, Retrain)


def reading_of(runner: Runner, rules: Rules | None = None) -> Reading:
    """Return how a runner's images are read.

    rules: see `Reading`; None: today's.
    """
    from nas.data import Reading

    kind = TASKS[runner.task or "classification"]
    return Reading(
        resize=runner.resize or kind.resize,
        rules=Reading().rules if rules is None else rules,
        normalisation=runner.pixel_levels,
        annotated=kind.annotated,
        classes=tuple((name, tuple(parts)) for name, parts in runner.classes.items()),
        test=runner.test,
    )


def _guess(data: str) -> TaskName:
    """Return the task that data is annotated for."""
    from nas.data import guess_annotated

    annotated = guess_annotated(data) or "labels"
    return next(name for name, kind in TASKS.items() if kind.annotated == annotated)


def settle_task(runner: Runner, data: str) -> Runner:
    """Return a runner that says what its networks are for, with which head and which resizing.

    Where it does not say, it is what the data is clearly annotated for, else classification.
    Raises SpecError for data that brings nothing of the kind, or a head of another task.
    """
    task = runner.task or _guess(data)
    settled = runner.model_copy(update={"task": task})
    return settled.model_copy(
        update={
            "head": settled.task_on(2).head,
            "resize": runner.resize or TASKS[task].resize,
            "proxy": _with_batches(runner.proxy, TASKS[task], runner.proxy.regime),
            "retrain": _with_batches(runner.retrain, TASKS[task], runner.regime),
        }
    )


def _frozen(section: Proxy | Retrain) -> bool:
    """Say whether blocks alone are trained, by another optimiser, which has a rate of its own."""
    return isinstance(section, Proxy) and section.kind not in ("scratch", "finetune")


def _with_batches(section: Section, kind: TaskKind, regime: Regime) -> Section:
    """Return how trainings go, with the batch and the rate of a task where it does not say."""
    update: dict[str, object] = {}
    if kind.batch_size is not None and "batch_size" not in section.model_fields_set:
        update["batch_size"] = kind.batch_size
        rate = kind.learning_rate
        if rate is not None and section.learning_rate is None and not _frozen(section):
            update["learning_rate"] = rate if regime == "scratch" else rate / 5
    return section.model_copy(update=update)
