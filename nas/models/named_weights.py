"""Weights by name, as timm names them: `hf-hub:NAME` on the Hub, `local-dir:PATH` in a folder."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas.backbones.hub import hub_file
from nas.base.errors import SpecError
from nas.spec.weight_places import WEIGHT_PLACES

__all__ = ["CONFIG", "NamedWeights", "find_weights", "read_config"]

CONFIG = "config.json"
"""The file beside weights in which timm describes a network and its images."""
_HUB, _FOLDER = WEIGHT_PLACES
_FILES = ("model.safetensors", "pytorch_model.bin")
"""The files of weights that timm writes."""


@dataclass(frozen=True, slots=True)
class NamedWeights:
    """Weights that were found by their name.

    architecture: timm's name of the network that they are of; None where nothing tells.
    """

    file: Path
    architecture: str | None


def find_weights(name: str) -> NamedWeights | None:
    """Find the file of weights that a name means; None where the text is no such name.

    Raises SpecError where there is none, or it cannot be had.
    """
    if name.startswith(_FOLDER):
        return _in_folder(name, Path(os.path.expanduser(name.removeprefix(_FOLDER))))
    if name.startswith(_HUB):
        return _on_hub(name)
    return None


def read_config(folder: Path) -> Mapping[str, Any]:
    """Read what timm says beside weights; empty where nothing is said."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or of another program
        return {}
    return config if isinstance(config, dict) else {}


def _in_folder(name: str, folder: Path) -> NamedWeights:
    if not folder.is_dir():
        state = (
            "is a file; name it without local-dir:" if folder.is_file() else "there is no folder"
        )
        raise SpecError(f"weights {name!r}: {state}")
    file = next((folder / each for each in _FILES if (folder / each).is_file()), None)
    if file is None:
        raise SpecError(
            f"weights {name!r}: the folder has neither {' nor '.join(_FILES)}, as timm writes "
            "them; name a file of weights"
        )
    return NamedWeights(file, _architecture(folder))


def _on_hub(name: str) -> NamedWeights:
    address = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", name.removeprefix(_HUB))
    if address is None:
        raise SpecError(
            f"weights {name!r}; allowed: hf-hub:OWNER/NAME or hf-hub:OWNER/NAME@REVISION"
        )
    repository, revision = address.groups()
    subject = f"weights {name!r} cannot be had"
    instead = "connect, or name a file of weights"
    about = {"subject": subject, "instead": instead, "revision": revision}
    file = hub_file(repository, _FILES, **about)
    if file is None:
        raise SpecError(f"weights {name!r}: it has neither {' nor '.join(_FILES)}; {instead}")
    with suppress(SpecError):  # weights may be in the cache alone; what they are, matching tells
        hub_file(repository, (CONFIG,), **about)
    return NamedWeights(file, _architecture(file.parent))


def _architecture(folder: Path) -> str | None:
    name = read_config(folder).get("architecture")
    return name.partition(".")[0] if isinstance(name, str) else None
