"""A forecast of a search in words: what will be trained, how long, and what that can tell."""

from __future__ import annotations

from nas.base.formats import format_bytes, format_duration
from nas.runs.forecast import Forecast, images_for
from nas.spec.proxy import PROBE_STEPS

__all__ = ["sentences"]

_POINT = 0.01
_NAMED = 6  # hand-placed networks


def sentences(forecast: Forecast) -> tuple[str, ...]:
    """Return what is to be said before a search."""
    return (_networks(forecast), _effort(forecast), *_evidence(forecast))


def _networks(forecast: Forecast) -> str:
    placed, least, most = len(forecast.placed), *forecast.repeats
    names = ", ".join(forecast.placed[:_NAMED])
    more = f" and {placed - _NAMED} more" if placed > _NAMED else ""
    text = f"{placed} placed by hand (what a search has to beat: {names}{more})"
    if forecast.in_time is None:
        text = f"{forecast.networks} networks: {forecast.searched} searched and {text}"
    else:
        text = f"{_range(*forecast.in_time)} networks until time is over, of them {text}"
    if not most:
        return text
    return f"{text}; then {_range(least, most)} further seeds of these and of the front"


def _effort(forecast: Forecast) -> str:
    side_by_side = f"{forecast.workers} side by side" if forecast.workers > 1 else "one by one"
    if forecast.elsewhere:
        side_by_side = f"{side_by_side} on a machine like this one"
    if forecast.in_time is not None and forecast.time_limit is not None:
        text = f"The search ends after {format_duration(forecast.time_limit)}, {side_by_side}"
    elif forecast.seconds is None:
        text = f"How long it takes is not known: no step could be timed; {side_by_side}"
    else:
        time = _durations(*forecast.seconds)
        text = f"The search takes {time} of training, {side_by_side}"
    if forecast.full_trainings:
        text += f", then {forecast.full_trainings} full trainings"
        if forecast.full_seconds:
            text += f" of {_durations(*forecast.full_seconds)} in all"
    text += f"; it needs up to {format_bytes(forecast.disk)} of disk"
    if forecast.disk > forecast.free:
        text += (
            f", and {format_bytes(forecast.free)} are free: make room, or ask for fewer networks"
        )
    return text


def _evidence(forecast: Forecast) -> list[str]:
    """Say what can be told with so many steps and images, and what would be needed for more."""
    judged = f"judged on {forecast.validated:,}"
    if forecast.steps is None:
        sentence = f"Networks are {judged} images"
    else:
        steps = "1 step" if forecast.steps == 1 else f"{forecast.steps:,} steps"
        sentence = (
            f"Each training takes {steps} of {forecast.batch_size} of the {forecast.images:,} "
            f"images, and is {judged}"
        )
    if forecast.resolved is not None:
        points, figure = 100 * forecast.resolved, forecast.figure.title
        sentence += f", which can show differences of {points:.1f} points of {figure} or more"
        if forecast.resolved > _POINT:
            sentence += f" (one point takes about {round(images_for(_POINT), -2):,} images)"
    lines = [sentence]
    if forecast.is_short:
        lines.append(
            f"Trainings of fewer than {PROBE_STEPS} steps tell what learns quickly rather than "
            f"what is best. For {PROBE_STEPS} steps: --set proxy.unit=steps --set "
            f"proxy.rungs=[{PROBE_STEPS}]. nas calibrate --curves finds how long these images need"
        )
    return lines


def _durations(low: float, high: float) -> str:
    """Return a range of durations: `about 45 s`, `about 10 to 26 min`, `about 90 s to 3.0 min`."""
    if high < 1:
        return "less than a second"
    least, most = format_duration(low), format_duration(high)
    if least == most:
        return f"about {most}"
    number, unit = least.split()
    return f"about {number if unit == most.split()[1] else least} to {most}"


def _range(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
