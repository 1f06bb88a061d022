"""`nas resume`: go on with a search."""

from __future__ import annotations

from nas.cli.options import Budget, FullTrainings, RunFolder, TimeLimit, Trials, Workers

__all__ = ["resume"]


def resume(
    run: RunFolder,
    trials: Trials = None,
    time_limit: TimeLimit = None,
    budget: Budget = None,
    full_trainings: FullTrainings = None,
    workers: Workers = None,
) -> None:
    """Go on with a run that was stopped or killed, or make it longer.

    Example: nas resume runs/demo --trials 60
    """
    from nas.cli.foreground import carry_out
    from nas.runs.resume import resume as resume_run
    from nas.spec.duration import parse_seconds

    seconds = None if time_limit is None else parse_seconds("--time-limit", time_limit)
    more = None if budget is None else parse_seconds("--budget", budget.removeprefix("+"))
    carry_out(
        run,
        lambda observer: resume_run(
            run,
            trials=trials,
            time_limit=seconds,
            budget=more,
            full_trainings=full_trainings,
            workers=workers,
            observer=observer,
        ),
    )
