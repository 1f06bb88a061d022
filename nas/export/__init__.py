"""Exporting trained networks, each checked against the original before it is kept.

`export_trial` writes the graph alone, `export_pack` a winner pack around it.
"""

from __future__ import annotations

from nas.export.one_file import export_trial
from nas.export.pack import Pack, check_max_drop, export_pack
from nas.export.parity import GraphScores, Parity
from nas.export.target import TARGETS, Target, target_named

__all__ = [
    "TARGETS",
    "GraphScores",
    "Pack",
    "Parity",
    "Target",
    "check_max_drop",
    "export_pack",
    "export_trial",
    "target_named",
]
