"""`nas resume`: go on with a search."""

from __future__ import annotations

from nas.cli.foreground import carry_out
from nas.cli.options import RunFolder, TimeLimit, Trials, Workers
from nas.cli.parsing import with_option

__all__ = ["resume"]


def resume(
    run: RunFolder,
    trials: Trials = None,
    time_limit: TimeLimit = None,
    workers: Workers = None,
) -> None:
    """Go on with a run that was stopped or killed, or make it longer.

    Example: nas resume runs/demo --trials 60
    """
    from nas.runs.resume import resume as resume_run
    from nas.spec.runner import load_runner

    seconds = None
    if time_limit is not None:
        limited = with_option(load_runner(), "--time-limit", f"search.time_limit={time_limit}")
        seconds = limited.search.time_limit
    carry_out(
        run,
        lambda observer: resume_run(
            run, trials=trials, time_limit=seconds, workers=workers, observer=observer
        ),
    )
