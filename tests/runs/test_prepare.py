"""What a search needs before its first job."""

from __future__ import annotations

import os

import pytest

from nas.spec.runner import load_runner

pytestmark = pytest.mark.xdist_group("run")


def test_worker_count_follows_cores_and_threads() -> None:
    from nas.runs.prepare import worker_count

    cores = len(os.sched_getaffinity(0))
    assert worker_count(load_runner(None)) == cores
    assert worker_count(load_runner(None, ("proxy.threads=1000",))) == 1
    assert worker_count(load_runner(None, ("workers=3",))) == 3
