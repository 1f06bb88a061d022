from __future__ import annotations

from datetime import UTC, datetime, timedelta

from nas.base.clock import utc_now


def test_the_time_is_of_utc_and_to_the_second() -> None:
    text = utc_now()
    time = datetime.fromisoformat(text)
    assert text == f"{time:%Y-%m-%dT%H:%M:%S}+00:00"
    assert abs(datetime.now(UTC) - time) < timedelta(minutes=10)
