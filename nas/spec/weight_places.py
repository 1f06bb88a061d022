"""Weights that are named as timm names them."""

from __future__ import annotations

__all__ = ["WEIGHT_PLACES"]

WEIGHT_PLACES = ("hf-hub:", "local-dir:")
"""How their names begin: those on the Hub, and those in a folder."""
