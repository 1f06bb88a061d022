"""Exporting trained networks, each checked against the original before it is kept.

`export_trial` writes the graph alone, `export_pack` a winner pack around it.
"""

from __future__ import annotations

from nas.export.judged import GraphScores, Parity
from nas.export.pack import Pack, export_pack
from nas.export.single import export_trial
from nas.export.table import TARGETS
from nas.export.target import Target

__all__ = ["TARGETS", "GraphScores", "Pack", "Parity", "Target", "export_pack", "export_trial"]
