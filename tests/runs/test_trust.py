"""What a front says of its proxy where that was not calibrated."""

from __future__ import annotations

import pytest

from nas.runs.trust import proxy_trust
from nas.spec.runner import Proxy

UNKNOWN = "Whether probe orders networks as full training does: see nas calibrate."


@pytest.mark.parametrize(
    ("keys", "images", "short"),
    [
        ({"rungs": [94.0], "unit": "steps"}, 1000, "Probes of 94 steps are short"),
        ({"rungs": [300.0], "unit": "steps"}, 1000, None),
        ({"rungs": [1.0], "unit": "epochs", "batch_size": 100}, 1000, "Probes of 10 steps"),
        ({"rungs": [1.0], "unit": "epochs", "batch_size": 100}, None, None),
        ({"rungs": [1.0], "unit": "seconds"}, 1000, None),
    ],
)
def test_short_probes_are_said(keys: dict[str, object], images: int | None, short: str) -> None:
    *before, last = proxy_trust(Proxy(kind="probe", **keys), None, images)  # type: ignore[arg-type]
    assert last == UNKNOWN
    assert [line.startswith(short) for line in before] == ([True] if short else [])
