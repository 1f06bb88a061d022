"""When a search comes to its end, and why: its time, its failures, what is still to be gained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from nas.spec.search_plan import SearchPlan, read_regret
from nas.strategy.samplers.proposer import Proposer
from nas.study.record import COMPLETE, FAILED, Record

__all__ = ["Stopping"]

_HOPELESS = 8  # failures, and nothing else, since this search was started or resumed


class Stopping:
    """The rules by which a search comes to its end.

    plan: how many networks, how long, and what is too little to go on for.
    clock: reads seconds.
    started: reading of the clock from which the time limit counts.
    """

    def __init__(self, plan: SearchPlan, clock: Callable[[], float], started: float) -> None:
        self._plan = plan
        self._clock = clock
        self._started = started
        self._end_states: list[str] = []  # of what was told to this object
        self.exhausted = False  # the space gave no further network
        self._futile = False
        self._satisfied = False

    @property
    def remaining_seconds(self) -> float:
        """The time until the plan's limit; infinite without one."""
        if self._plan.time_limit is None:
            return math.inf
        return self._plan.time_limit - (self._clock() - self._started)

    def note(self, state: str) -> None:
        """Take in how a training has ended."""
        self._end_states.append(state)

    @property
    def obstacle(self) -> str | None:
        """Why nothing more may be started, whatever it is; None where it may."""
        if self.remaining_seconds <= 0:
            return "the time limit is reached"
        # Where nothing works, the cause is not in single networks.
        if len(self._end_states) >= _HOPELESS and set(self._end_states) == {FAILED}:
            return f"the first {_HOPELESS} trials all failed"
        return None

    def may_propose(self, networks: int) -> bool:
        """Say whether further networks may be proposed, beside so many."""
        if self._satisfied:
            return False
        return not (self.exhausted or self._futile or networks >= self._plan.trials)

    def worth_proposing(self, proposer: Proposer) -> bool:
        """Say whether a proposal is expected to pay, by all that the sampler has been told."""
        if self._little_is_left(proposer):
            self._satisfied = True
            return False
        patience = self._plan.patience
        self._futile = patience is not None and proposer.futile_proposals >= patience
        return not self._futile

    def _little_is_left(self, proposer: Proposer) -> bool:
        """Say whether the belief expects less than the plan asks for."""
        if self._plan.stop_when is None:
            return False
        least, figure = read_regret(self._plan.stop_when)
        return proposer.regret.get(figure, math.nan) < least

    def time_is_for(self, trainings: int, records: Sequence[Record], *, at_once: int) -> bool:
        """Say whether what is left of the time limit is needed for so many trainings.

        records: which tell how long one takes; without any that is complete, it is not.
        at_once: how many trainings run side by side.
        """
        seconds = [
            record.seconds for record in records if record.state == COMPLETE and record.seconds
        ]
        if not seconds:
            return False
        # One round is lost to what is under way.
        rounds = 1 + math.ceil(trainings / at_once)
        return self.remaining_seconds < rounds * sum(seconds) / len(seconds)

    def reason(self, networks: int) -> str:
        """Return why no more is proposed, for people."""
        return f"{networks} networks are evaluated{self._why_no_more()}"

    def _why_no_more(self) -> str:
        if self.exhausted:
            return "; the space gave no further one"
        if self._satisfied:
            return f"; less than {self._plan.stop_when} is expected of further ones"
        if self._futile:
            return (
                f"; the last {self._plan.patience} of them (search.patience) promised less than "
                "what training the front again would seem to gain by luck"
            )
        return ""
