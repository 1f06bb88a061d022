"""The section `search` of the runner file: what is proposed, how often, and when to stop."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from nas.base.errors import SpecError
from nas.spec.duration import Duration
from nas.spec.objective import objectives_named
from nas.spec.task import ACCURACY, TASKS

__all__ = ["SearchPlan", "read_regret"]

_FIGURES = {kind.figures[0].name: ACCURACY.name for kind in TASKS.values()}
"""Whatever a task calls the figure that stands for it, it is one objective."""


def _stop_when(value: object) -> object:
    if value is not None:
        read_regret(str(value))
    return value


def read_regret(text: str) -> tuple[float, str]:
    """Read `0.1 points` or `0.005 loss` as (0.001, "accuracy") or (0.005, "loss").

    Raises ValueError.
    """
    match = re.fullmatch(r"(\d*\.?\d+) *(points?|loss)", text.strip())
    if match is None or float(match[1]) <= 0:
        raise ValueError(
            f"found {text!r}; allowed: a number above 0 with its unit, 0.1 points or 0.005 loss"
        )
    loss = match[2] == "loss"
    return float(match[1]) / (1 if loss else 100), "loss" if loss else "accuracy"


class SearchPlan(BaseModel):
    """The section `search`: what is proposed, how often, and when to stop."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    sampler: Literal["pareto", "evolution", "front", "nsga2", "nsga3", "tpe", "gp", "random"] = (
        "pareto"
    )
    objectives: list[str] = ["loss", "latency_ms"]
    trials: Annotated[int, Field(ge=1, le=10_000_000)] = 24
    """Architectures to evaluate, the hand-placed ones among them."""
    time_limit: Duration | None = None
    budget: Duration | None = None
    """Time for all of it: search, and full trainings at its end; None: time_limit alone counts."""
    full_share: Annotated[float, Field(gt=0, lt=1)] = 0.4
    """Share of the budget that is kept for full trainings."""
    full_trainings: Annotated[int, Field(ge=3, le=10_000)] | None = None
    """Full trainings at the end, of the networks that would be shown and of their rivals; None:
    as many as the budget allows, and none without one."""
    stop_when: Annotated[str | None, BeforeValidator(_stop_when)] = None
    """Stop proposing when the best network that is left is expected to be better than the best
    that is known by less than this: `0.1 points` of accuracy, or `0.005 loss` (`pareto` only)."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    focus: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] = {}
    """Objective -> from where to where it matters: what lies outside is nothing gained."""
    attempts: Annotated[int, Field(ge=1, le=100)] = 2
    """How often a job is given out whose worker dies with it, before its trial is FAILED."""
    confirm_seeds: Annotated[int, Field(ge=1, le=100)] = 3
    """Seeds that every member of the final front, and every reference, is trained with."""
    seeds_in_turn: Annotated[int, Field(ge=1, le=100)] | None = None
    """The seeds that networks take turns with, so that what one seed does to networks that are
    alike is not taken for a gain of theirs. None: 8 with `pareto`, which learns what each seed
    does to all of them, else one for all (see `settled`)."""
    published_prior: bool | None = None
    """True where published comparisons of attention guide what is proposed, beside the trainings
    (`pareto` only); what is said of a front rests on trainings alone. None: they do, but in a run
    of an earlier version."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Proposals in a row that are expected to add less to the front than training its members
    again would seem to, by luck, before the search stops (`pareto` only). None: go on, since
    where noise is large that comes long before all is known; see `stop_when`."""
    reduction: Annotated[int, Field(ge=2, le=1000)] | None = 3
    """One of so many networks goes on from a rung to the next, where proxy.rungs has several (see
    `nas.strategy.halving`); None: all are trained up to the last one."""

    def describe_planned(self, networks: int) -> str | None:
        """Say how many networks were planned, beside so many; None where time ends a search.

        There are more where hand-placed ones alone are, or where full trainings bring others.
        """
        if self.budget is not None:
            return None
        if networks <= self.trials:
            return f"of {self.trials} planned"
        return f"{networks - self.trials} beyond the {self.trials} planned"

    @field_validator("objectives")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        try:
            objectives = objectives_named([_FIGURES.get(name, name) for name in names])
        except SpecError as error:
            raise ValueError(str(error)) from None
        late = [objective.name for objective in objectives if not objective.searched]
        if late:
            raise ValueError(f"found {late[0]!r}, which is known after a search only (nas retrain)")
        return [objective.name for objective in objectives]

    @model_validator(mode="after")
    def _focused(self) -> Self:
        for name, (low, high) in self.focus.items():
            if name not in self.objectives:
                raise ValueError(
                    f"focus on {name!r}, which is no objective; there are: "
                    + ", ".join(self.objectives)
                )
            if low >= high:
                raise ValueError(f"focus {name}: found {low} to {high}; allowed: the lower first")
        if self.focus and self.sampler != "pareto":
            raise ValueError(f"focus: sampler {self.sampler!r} cannot; use pareto")
        return self

    def settled(self) -> SearchPlan:
        """Return the plan of a new search, with what it does not say itself.

        Not part of reading: in a run of an earlier version one seed serves all networks.
        Of 60 networks that were trained once, eight seeds in turn, or one to each network, told as
        much as one for all, and their 90 % intervals held 91 and 93 % for 85 %
        (benchmarks/belief/seeds.py).
        """
        pareto = self.sampler == "pareto"
        usual = {"seeds_in_turn": 8 if pareto else 1, "published_prior": pareto}
        missing = {key: value for key, value in usual.items() if getattr(self, key) is None}
        return self.model_copy(update=missing)
