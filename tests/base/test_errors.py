from __future__ import annotations

import pytest

from nas.base.errors import TrainingError, reason_of


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TrainingError("loss became NaN"), "loss became NaN"),
        (ValueError("first\nsecond"), "first"),
        (ValueError(""), "ValueError"),
        (ValueError("\n"), "ValueError"),
        (MemoryError(), "out of memory; take less"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory\nat ..."),
            "out of memory (DefaultCPUAllocator: can't allocate memory); take less",
        ),
    ],
)
def test_a_failure_is_one_line(error: Exception, said: str) -> None:
    assert reason_of(error, "take less") == said
