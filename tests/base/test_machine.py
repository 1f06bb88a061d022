from __future__ import annotations

import json
import re
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from nas.base.machine import REPORTED, describe_environment, processor, version


def test_tells_what_a_run_was_made_with() -> None:
    found = describe_environment({"name": "digits"})
    assert json.loads(json.dumps(found)) == found
    assert found["data"] == {"name": "digits"}
    assert set(found["versions"]) == set(REPORTED)
    assert found["versions"]["numpy"] == np.__version__
    assert re.fullmatch(r"3\.\d+\.\d+\S*", found["python"])
    assert found["cores"] >= 1
    assert datetime.fromisoformat(found["started"]).utcoffset() == timedelta(0)


def test_absent_package_has_no_version() -> None:
    assert version("no-such-package-anywhere") is None


def test_commit_is_a_hash_or_unknown() -> None:
    commit = describe_environment({})["commit"]
    assert commit is None or re.fullmatch(r"[0-9a-f]{40}", commit)


@pytest.mark.parametrize(
    "error", [FileNotFoundError("git"), subprocess.CalledProcessError(128, "git")]
)
def test_without_git_the_commit_is_unknown(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", fail)
    monkeypatch.setattr("platform.platform", lambda: "somewhere")
    monkeypatch.setattr("platform.processor", lambda: "something")
    assert describe_environment({})["commit"] is None


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("processor: 0\nmodel name\t: Fast CPU: 3 GHz\nmodel name: other", "Fast CPU: 3 GHz"),
        ("processor: 0\nCPU part: 0xd0c", "fallback"),
        (None, "fallback"),
    ],
)
def test_processor_is_named(
    monkeypatch: pytest.MonkeyPatch, content: str | None, name: str
) -> None:
    def read_text(path: Path) -> str:
        if content is None:
            raise FileNotFoundError(path)
        return content

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr("platform.processor", lambda: "fallback")
    assert processor() == name
