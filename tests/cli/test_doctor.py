"""`nas doctor` as its users meet it."""

from __future__ import annotations

import json


def test_doctor_says_what_is_here(nas) -> None:  # type: ignore[no-untyped-def]
    ran = nas("doctor", "--json")
    subjects = [finding["subject"] for finding in json.loads(ran.out)]
    assert subjects[:2] == ["python", "packages"]
    assert {"cores", "memory", "disk", "GPU", "latency", "clock"} <= set(subjects)
    assert "[ ok ] python" in nas("doctor").out
