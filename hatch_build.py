"""Puts search spaces and runners into the wheel, where `nas.base.content` finds them.

Not into an editable install: files within `nas` there would hide the checkout's package.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ContentHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds content to a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the folders. version: `standard` or `editable`."""
        if version == "standard":
            for name in ("runners", "search_spaces"):
                build_data["force_include"][name] = f"nas/content/{name}"
