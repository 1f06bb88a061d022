"""The rows of `published.csv`: which comparisons count, and what each says of place and kind."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.base.errors import SpecError

__all__ = ["Comparison", "left_out", "read_comparisons"]

_COLUMNS = (
    "study dataset backbone backbone_class block ratio sites position "
    "metric plain_value gain caveat"
).split()

_KINDS = {
    "SE": "se",
    "CBAM": "cbam",
    "CBAM (k=3)": "cbam",
    "BAM": "bam",
    "CA": "coord",
    "ECA": "eca",
    "GC": "gc",
    "non-local": "nl",
    "triplet": "triplet",
    "triplet (k=3)": "triplet",
    "triplet (k=7)": "triplet",
    "AA": "aa",
    "SRM": "srm",
    "FCA": "fca",
    "A2": "a2",
    "GSoP": "gsop",
    "GE": "ge",
    "EMA": "ema",
}
"""Names of blocks here; others are kinds of their own, and tell how far kinds are spread."""

_NO_BLOCKS = re.compile(
    r"SE \(.*|SE without pooling|CBAM (channel \(|\(1x1|spatial first|parallel|\(residual).*"
    r"|.* (conv|replacing SE|\+ skip)|MQA .*|DFC"
)
"""Ablations, convolutions with attention inside, other networks."""

_PROPOSED = {
    "1709.01507": "se",
    "1711.07971": "nl",
    "1807.06521": "cbam bam",
    "1903.06586": "SK",
    "1903.10829": "srm",
    "1904.11492": "gc",
    "1905.09646": "SGE",
    "1905.10671": "DIA",
    "1910.03151": "eca",
    "2010.03045": "triplet",
    "2103.02907": "coord",
    "2305.13563": "ema",
    "KaiyuYue/cgnl-network": "CGNL",
}
"""Study -> the kinds that its authors propose."""

_CONFOUNDED = re.compile(
    r"X and Y searched|plain already has SE|swish added|h-swish|ReLU6|activation and stem"
    r"|training recipe differs|networks searched|stem differs|epochs differ|test crop"
    r"|official weights of two|plain copied from the CA paper"
)
"""Caveats that say something else differs, too."""

_FINETUNING = {"dogs notes"}
"""Studies that put blocks into a finished network and trained on."""

_STAGES = {"50": (3, 4, 6, 3), "101": (3, 4, 23, 3), "152": (3, 8, 36, 3)}
"""Residual blocks of the stages c2 to c5 of a ResNet, by its layers."""

_NAMED_SITES = {
    "all": (1.0, 0.5),
    "all blocks of a pretrained net": (1.0, 0.5),
    "stages:1-2 (first 2 of 13 blocks)": (2 / 13, 0.5 / 12),
    "stage:middle (blocks 7-8 of 13)": (2 / 13, 6.5 / 12),
    "stage:last (last 2 of 13 blocks)": (2 / 13, 11.5 / 12),
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """A network with blocks against the same network without.

    gain: points of its metric.
    share: of the sites that hold a block.
    depth: mean over the blocks, 0 at the input to 1 at the output.
    kind: name of the block here, or the paper's where there is none.
    proposed: whether the study's authors invented it.
    log_ratio: log2 of the reduction by 16; 0 where it is not stated.
    context: what shares the plain network's own error.
    error: share that the plain network gets wrong; a quarter where the metric is no accuracy.
    """

    gain: float
    share: float
    depth: float
    kind: str
    proposed: bool
    log_ratio: float
    position: str
    mobile: bool
    metric: str
    study: str
    context: str
    error: float
    finetuned: bool


def read_comparisons(path: Path) -> list[Comparison]:
    """Read the comparisons that say what a block alone does to a network, with known sites.

    Raises SpecError, which names the line, for a table or row that is broken.
    """
    return [found for _, found in _rows(path) if isinstance(found, Comparison)]


def left_out(path: Path) -> Counter[str]:
    """Count the rows that are not read, by reason. Raises SpecError."""
    return Counter(found for _, found in _rows(path) if isinstance(found, str))


def _rows(path: Path) -> list[tuple[int, Comparison | str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise SpecError(
                    f"{path}: column {missing[0]!r} is missing; name the published table"
                )
            rows = [(reader.line_num, _comparison(row, path, reader.line_num)) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError(f"cannot read the published table {path}: {error}") from None
    if not any(isinstance(found, Comparison) for _, found in rows):
        raise SpecError(f"{path}: no row compares a block with the same plain network")
    return rows


def _comparison(row: dict[str, str], path: Path, line: int) -> Comparison | str:
    """Return the row, or why it is left out."""
    gain, plain = (_number(row, name, path, line) for name in ("gain", "plain_value"))
    if not row["study"] or not row["block"]:
        raise SpecError(f"{path}, line {line}: no study or no block; both are needed")
    if _NO_BLOCKS.fullmatch(row["block"]):
        return "no block of its own"
    if _CONFOUNDED.match(row["caveat"]):
        return "something else differs, too"
    placed = _placed(row["sites"] or "", row["backbone"])
    if placed is None:
        return "outside the backbone, or sites not known"
    kind = _KINDS.get(row["block"], row["block"])
    accuracy = row["metric"] == "top1"
    if accuracy and not 0 <= plain <= 100:
        raise SpecError(f"{path}, line {line}: plain_value {plain}; 0 to 100 is allowed")
    return Comparison(
        gain=gain,
        share=placed[0],
        depth=placed[1],
        kind=kind,
        proposed=kind in _PROPOSED.get(row["study"], "").split(),
        log_ratio=_log_ratio(row, path, line),
        position=row["position"],
        mobile=row["backbone_class"] == "mobile",
        metric=row["metric"],
        study=row["study"],
        context="|".join(row[name] for name in ("study", "backbone", "dataset", "plain_value")),
        error=1 - plain / 100 if accuracy else 0.25,
        finetuned=row["study"] in _FINETUNING,
    )


def _number(row: dict[str, str], name: str, path: Path, line: int) -> float:
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise SpecError(f"{path}, line {line}: {name} {row[name]!r} is no finite number")
    return value


def _log_ratio(row: dict[str, str], path: Path, line: int) -> float:
    if not row["ratio"]:
        return 0.0
    ratio = _number(row, "ratio", path, line)
    if ratio <= 0:
        raise SpecError(f"{path}, line {line}: ratio {row['ratio']!r}; above 0 is allowed")
    return math.log2(ratio / 16)


def _placed(sites: str, backbone: str) -> tuple[float, float] | None:
    """Return share and mean depth of the sites; None where they are not known."""
    if sites in _NAMED_SITES:
        return _NAMED_SITES[sites]
    if stage := re.fullmatch(r"stage:([1-7])", sites):
        return 1 / 7, (int(stage[1]) - 1) / 6
    named = re.fullmatch(r"((?:c[2-5]\+?)+)(?:, (all blocks|one block|(\d+) blocks))?", sites)
    layers = re.search(r"Res(?:Net|NeXt)-(50|101|152)", backbone)
    if not named or not layers:
        return None
    blocks = np.repeat([2, 3, 4, 5], _STAGES[layers[1]])
    chosen = np.flatnonzero(np.isin(blocks, [int(name[1]) for name in named[1].split("+")]))
    count = int(named[3]) if named[3] else len(chosen)
    if named[2] == "one block":
        chosen, count = chosen[-1:], 1  # they stand before the last block of a stage
    return count / len(blocks), float(chosen.mean() / (len(blocks) - 1))
