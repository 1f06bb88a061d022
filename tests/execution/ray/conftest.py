"""What tests of Ray share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture
def signals_stay() -> Iterator[None]:
    """Ray takes SIGTERM for itself, which tests of our own handling would find later."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)
