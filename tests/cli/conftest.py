"""The command line, called as a user would."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from nas.cli import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def nas(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ran]:
    def run(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["nas", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        found = capsys.readouterr()
        return Ran(code, found.out, found.err)

    return run
