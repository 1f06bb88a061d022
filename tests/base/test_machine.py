from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

import nas
from nas.base.errors import SpecError
from nas.base.machine import (
    REPORTED,
    cache_root,
    describe_environment,
    processor,
    source_digest,
    version,
)


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


def test_commit_is_that_of_the_checkout_or_unknown() -> None:
    root = Path(nas.__file__).parents[1]
    head = None
    if (root / ".git").exists():
        told = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True)
        head = told.stdout.decode().strip() or None
    assert describe_environment({})["commit"] == head


def test_digest_is_of_the_files_of_every_floor(tmp_path: Path) -> None:
    """Workers of a checkout that trains otherwise are told by it."""
    package = tmp_path / "nas"
    unwanted = shutil.ignore_patterns("__pycache__", "*.json", "*.js", "*.css", "*.html")
    shutil.copytree(Path(nas.__file__).parent, package, ignore=unwanted)
    assert _digest_of(tmp_path) == source_digest()
    for floor in ("base", "training", "cli"):
        before = _digest_of(tmp_path)
        (package / floor / "__init__.py").write_text(f"# another {floor}")
        assert _digest_of(tmp_path) != before


def _digest_of(root: Path) -> str:
    code = "from nas.base.machine import source_digest; print(source_digest())"
    environment = {**os.environ, "PYTHONPATH": str(root)}
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, cwd=root, env=environment, capture_output=True, check=True)
    return told.stdout.decode().strip()


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


def test_a_cache_without_a_home_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "~nobody-of-this-name/cache")
    with pytest.raises(SpecError, match="that home folder is not known; name a folder for it"):
        cache_root()
