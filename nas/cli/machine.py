"""`nas doctor`: what is installed here, what the machine can do, what is missing."""

from __future__ import annotations

import json
from typing import Annotated

import typer

__all__ = ["add_to"]


def add_to(app: typer.Typer) -> None:
    app.command("doctor")(_doctor)


def _doctor(
    json_: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say what this machine has, what is missing, and how to get it.

    Example: nas doctor
    """
    from nas.cli.doctor import examine

    findings = examine()
    if json_:
        print(json.dumps([finding.to_dict() for finding in findings], indent=1))
    else:
        for finding in findings:
            mark = {"ok": " ok ", "note": "note", "missing": "MISS"}[finding.level]
            print(f"[{mark}] {finding.subject}: {finding.found}")
            if finding.remedy:
                print(f"       {finding.remedy}")
    if any(finding.level == "missing" for finding in findings):
        raise typer.Exit(1)
