"""The commands that make a run again, written for a POSIX shell."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from nas.runs.run import Run
from nas.spec.runner import Runner, load_runner

__all__ = ["overrides", "reproduce"]

_PROFILE = "device.json"


def overrides(runner: Runner) -> tuple[str, ...]:
    """What of a runner is not the default, as `--set` takes it."""
    return tuple(_changed(runner.model_dump(mode="json"), load_runner().model_dump(mode="json")))


def _changed(values: Mapping[str, Any], usual: Mapping[str, Any], at: str = "") -> Iterator[str]:
    for name, value in values.items():
        if name in usual and value == usual[name]:
            continue
        known = usual.get(name)
        if isinstance(value, dict) and isinstance(known, dict) and known:
            yield from _changed(value, known, f"{at}{name}.")
        else:
            # JSON is YAML.
            yield f"{at}{name}={json.dumps(value)}"


def reproduce(run: Run) -> str:
    """The search with the same space, data and runner, into a new folder beside the run."""
    file = Runner(**{name: getattr(run.file, name) for name in Runner.model_fields})
    if file.device_profile is not None:
        file = file.model_copy(update={"device": str(run.path / _PROFILE)})
    words = ["nas", "search", str(run.path / "space.yaml"), "--data", run.file.data]
    for item in overrides(file):
        words += ["--set", item]
    words += ["--out", f"{run.path}-again"]
    lines, line = [], ""
    for word in _options(words):
        if line and len(line) + len(word) > 88:
            lines.append(line)
            line = "   "
        line = f"{line} {word}" if line else word
    return " \\\n".join([*lines, line])


def _options(words: list[str]) -> Iterator[str]:
    """An option and its value stay on one line."""
    quoted = [shlex.quote(word) for word in words]
    while quoted:
        word = quoted.pop(0)
        yield f"{word} {quoted.pop(0)}" if word.startswith("--") and quoted else word
