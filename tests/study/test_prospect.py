from __future__ import annotations

import json
import math

import pytest

from nas.study.prospect import Prospect


@pytest.mark.parametrize(
    ("prospect", "said"),
    [
        (
            Prospect(0.1, 0.04, 0.2, 0.035, 0.1),
            "best gain over plain +1.00 [+0.40, +2.00], expected regret 0.35 points",
        ),
        (
            Prospect(0.1, 0.04, 0.2, 0.035, math.nan),
            "best gain over plain +0.1000 [+0.0400, +0.2000], expected regret 0.0350 loss",
        ),
        # Where accuracy falls as loss does, points would turn every sign round.
        (
            Prospect(0.1, 0.04, 0.2, -1e-12, -0.1),
            "best gain over plain +0.1000 [+0.0400, +0.2000], expected regret 0.0000 loss",
        ),
        (Prospect(0.0, 0.0, 0.0, 0.02, 0.1), "no gain over plain yet, expected regret 0.20 points"),
        (
            Prospect(0.1, 0.04, 0.2, math.nan, 0.1),
            "best gain over plain +1.00 [+0.40, +2.00] points",
        ),
    ],
)
def test_it_is_said_in_points_where_those_are_known(prospect: Prospect, said: str) -> None:
    assert str(prospect) == said
    again = Prospect.of(json.loads(json.dumps(prospect.row, allow_nan=False)))
    assert str(again) == said


def test_what_is_longest_fits_a_narrow_terminal() -> None:
    for scale in (0.1, math.nan):
        assert len(str(Prospect(-0.1234, -0.9876, 0.9876, 0.9876, scale))) <= 80
