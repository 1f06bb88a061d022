"""The time of day, as this project writes it."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["utc_now"]


def utc_now() -> str:
    """Return the time in UTC to the second: `2026-11-20T10:00:00+00:00`."""
    return datetime.now(UTC).isoformat(timespec="seconds")
