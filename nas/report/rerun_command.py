"""The commands that make a run again, written for a POSIX shell."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from nas.runs.run import Run
from nas.spec.runner import Runner, load_runner

__all__ = ["list_overrides", "rerun_command"]

_PROFILE = "device.json"
_WIDTH = 88  # characters of a line, before the backslash that ends it


def list_overrides(runner: Runner) -> tuple[str, ...]:
    """Return the settings of a runner that are not the default, as `--set` takes them."""
    values = runner.model_dump(mode="json", exclude={"regime"})  # which proxy.kind says
    return tuple(_changes(values, load_runner().model_dump(mode="json")))


def _changes(
    values: Mapping[str, Any], defaults: Mapping[str, Any], prefix: str = ""
) -> Iterator[str]:
    for name, value in values.items():
        if name in defaults and value == defaults[name]:
            continue
        default = defaults.get(name)
        if isinstance(value, dict) and isinstance(default, dict) and default:
            yield from _changes(value, default, f"{prefix}{name}.")
        else:
            # JSON is YAML.
            yield f"{prefix}{name}={json.dumps(value)}"


def rerun_command(run: Run) -> str:
    """Return the search with the same space, data and runner, into a new folder beside the run.

    Of a network that was given in memory, the call in Python.
    """
    file = Runner(**{name: getattr(run.file, name) for name in Runner.model_fields})
    if file.device_profile is not None:
        file = file.model_copy(update={"device": str(run.path / _PROFILE)})
    if run.in_process:
        settings = [
            setting for setting in list_overrides(file) if not setting.startswith("proxy.backbone.")
        ]
        return (
            f"nas.search({str(run.path / 'space.yaml')!r}, nas.load_runner(None, "
            f"{tuple(settings)!r}), data={run.file.data!r}, out={f'{run.path}-again'!r}, "
            "backbone=network)"
        )
    words = ["nas", "search", str(run.path / "space.yaml"), "--data", run.file.data]
    for setting in list_overrides(file):
        words += ["--set", setting]
    words += ["--out", f"{run.path}-again"]
    lines, line = [], ""
    for word in _shell_words(words):
        if line and len(line) + len(word) > _WIDTH:
            lines.append(line)
            line = "   "
        line = f"{line} {word}" if line else word
    return " \\\n".join([*lines, line])


def _shell_words(words: list[str]) -> Iterator[str]:
    """Yield words quoted for the shell, an option together with its value."""
    quoted = [shlex.quote(word) for word in words]
    while quoted:
        word = quoted.pop(0)
        yield f"{word} {quoted.pop(0)}" if word.startswith("--") and quoted else word
