"""What a user's own networks were when a run began, and whether their code still makes these."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nas.backbones import plain_network
from nas.backbones.structure import Structure
from nas.base.errors import SpecError
from nas.base.machine import version
from nas.base.own_name import OwnName
from nas.runs.run import Run
from nas.spec.width import split_width

__all__ = ["OWN_BACKBONES", "check_own_backbones", "describe_own_backbones"]

OWN_BACKBONES = "backbones"
"""The key of environment.json."""


def describe_own_backbones(backbones: Iterable[str], num_classes: int) -> dict[str, dict[str, Any]]:
    """Return what environment.json keeps of a user's own networks: name -> what it is made of."""
    own = {name: _own_name(name) for name in backbones}
    return {
        name: Structure.of(plain_network(name, num_classes=num_classes)).to_dict()
        | {"source": _source(place)}
        for name, place in own.items()
        if place is not None
    }


def _own_name(backbone: str) -> OwnName | None:
    """Return where the code of a backbone is; None where it is no user's own."""
    return OwnName.parse(split_width(backbone)[0])


def check_own_backbones(run: Run) -> list[str]:
    """Check that the code of a run's own networks makes what it made when the run began.

    There is one network of a name, that of the code as it is now. Where its code has changed and it
    is still made of the same layers, it is taken, which is what is returned, in sentences. Runs of
    before do not say what theirs were.
    Raises SpecError where it is made of others: trained weights and candidates would not fit it.
    """
    if not any(_own_name(name) for name in run.space.backbones):
        return []
    about = run.environment()
    before: dict[str, dict[str, Any]] = about.get(OWN_BACKBONES, {})
    if not before:
        return []
    now = describe_own_backbones(before, len(about["data"]["classes"]))
    same_torch = about["versions"].get("torch") == version("torch")  # it writes layers as they are
    notes = []
    for name, were in before.items():
        difference = Structure.from_dict(were).difference(
            Structure.from_dict(now[name]), layers=same_torch
        )
        if difference is not None:
            raise SpecError(
                f"backbone {name} is not what {run.path} was started with: {difference}; put its "
                "code back, or start another run"
            )
        if were["source"] != now[name]["source"]:
            notes.append(
                f"the code of {name} has changed since {run.path} was started; its layers are the "
                "same, and it is taken as it is now"
            )
    return notes


def _source(own: OwnName) -> str | None:
    """Return the digest of the file that a network is made by; None: it is named by a module."""
    return hashlib.sha256(Path(own.place).read_bytes()).hexdigest() if own.is_file else None
