"""The folder that this program's own code lies in."""

from __future__ import annotations

from pathlib import Path

__all__ = ["PACKAGE"]

PACKAGE = Path(__file__).parents[1]
"""The folder of the package `nas`, by the path that it was imported from.

It is told here alone: a module that counts the folders above itself is wrong once it is moved.
"""
