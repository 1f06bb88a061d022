"""Climbing from rung to rung: one training, read at several budgets."""

from __future__ import annotations

from torch import Tensor

from nas.training.loop import Training
from nas.training.proxies.setting import Setting

__all__ = ["climb"]


def climb(training: Training, setting: Setting, rung: int) -> dict[str, Tensor]:
    """Train up to a rung, where the network can be judged.

    Returns the state that the way to the next rung goes on from: on a trunk, that before the rate
    fell. There `training` is then a branch, which takes up that state before it climbs on. A
    training that has taken up the state of a rung climbs to that rung again, to the same network.
    """

    def run(until: float) -> None:
        training.run(until, progress=lambda done, of: setting.after_step())

    schedule = setting.schedule
    if setting.proxy.schedule != "trunk":
        run(schedule.length(rung))
        return training.state()
    training.recipe = schedule.toward(rung, training.recipe)
    run(schedule.fork(rung))
    before = {name: tensor.detach().clone() for name, tensor in training.state().items()}
    run(schedule.length(rung))
    return before
