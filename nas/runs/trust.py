"""What the pages and pictures of a front say of its proxy: whether it can be trusted."""

from __future__ import annotations

from nas.spec.runner import PROBE_STEPS, Proxy
from nas.study.calibration import Calibration

__all__ = ["proxy_trust"]


def proxy_trust(proxy: Proxy, calibration: Calibration | None, images: int | None) -> list[str]:
    """Return sentences on how far a proxy orders networks as full training does.

    calibration: of this proxy; None: there is none.
    images: that it trains on; None: their number was not recorded.
    """
    if calibration is not None:
        return [f"The proxy: {calibration.verdict}", *calibration.warnings]
    unknown = f"Whether {proxy.kind} orders networks as full training does: see nas calibrate."
    return [*_short_probes(proxy, images), unknown]


def _short_probes(proxy: Proxy, images: int | None) -> list[str]:
    """Say so of probes that are too short.

    Probes of 94 steps ranked thirty networks against full training, longer ones with it
    (benchmarks/training/proxy_study.py).
    """
    if proxy.kind != "probe" or proxy.unit == "seconds" or images is None:
        return []
    steps = round(proxy.steps(proxy.budgets[-1], images))
    if steps >= PROBE_STEPS:
        return []
    return [
        f"Probes of {steps} steps are short: they may show what learns quickly rather than "
        f"what is best. For {PROBE_STEPS}: --set proxy.unit=steps "
        f"--set proxy.rungs=[{PROBE_STEPS}]"
    ]
