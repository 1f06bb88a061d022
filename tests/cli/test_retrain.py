"""What `nas retrain` refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("options", "processes", "told"),
    [
        (("--trial", "0"), 1, "--rivals stand beside a front"),
        (("--front", "--no-references"), 1, "without --no-references"),
        (("--front", "--dry-run"), 1, "leave out --dry-run"),
        (("--front",), 2, "enter them without it first"),
        (("--front", "--rivals", "-1"), 1, "--rivals"),
    ],
)
def test_rivals_that_cannot_be_entered_are_refused(
    options: tuple[str, ...],
    processes: int,
    told: str,
    nas: Callable[..., object],
    finished_run: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    code, out, err = nas("retrain", finished_run, "--rivals", 1, *options)  # type: ignore[misc]
    assert code == 2 and told in err and not out
