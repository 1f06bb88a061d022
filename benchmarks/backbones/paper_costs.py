"""Parameters and multiply-adds of the paper's networks, beside the published figures.

    python -m benchmarks.backbones.paper_costs

Coordinate Attention for Efficient Mobile Network Design, arXiv:2103.02907. Multiply-adds are
those of convolutions and linear layers alone at 224 x 224, 1000 classes; the paper rounds them
to ten millions. Rows marked `?` quote its tables of smaller widths and other ratios at second
hand: check them against the paper before relying on a difference.
"""

from __future__ import annotations

from dataclasses import dataclass

from nas.models.build import uniform
from nas.models.cost import cost
from nas.spec.architecture import parse_label


@dataclass(frozen=True)
class Row:
    """params, macs: as published, in millions."""

    backbone: str
    label: str
    params: float
    macs: float | None
    checked: bool = True
    why: str = ""


WIDER = "the authors' own code of MobileNeXt counts so too"
RATIO = "r=24 gives the parameters (next row); no ratio gives 330 M multiply-adds"

ROWS = (
    Row("mobilenetv2_100", "keep", 3.5, 300),
    Row("mobilenetv2_100", "se/r24", 3.89, 300),
    Row("mobilenetv2_100", "cbam/r24/k7", 3.89, 300),
    Row("mobilenetv2_100", "coord/r32", 3.95, 310),
    Row("mobilenetv2_100", "coord_x/r32", 3.89, 300, checked=False),
    Row("mobilenetv2_100", "coord_y/r32", 3.89, 300, checked=False),
    Row("mobilenetv2_100", "se/r12", 4.28, 300, checked=False),
    Row("mobilenetv2_100", "cbam/r12/k7", 4.28, 300, checked=False),
    Row("mobilenetv2_100", "coord/r16", 4.37, 310, checked=False),
    Row("mobilenetv2_075", "keep", 2.5, 200, checked=False),
    Row("mobilenetv2_075", "se/r24", 2.86, 210, checked=False),
    Row("mobilenetv2_075", "cbam/r24/k7", 2.86, 210, checked=False),
    Row("mobilenetv2_075", "coord/r32", 2.89, 210, checked=False),
    Row("mobilenetv2_050", "keep", 2.0, 100, checked=False),
    Row("mobilenetv2_050", "se/r24", 2.1, 100, checked=False),
    Row("mobilenetv2_050", "cbam/r24/k7", 2.1, 100, checked=False),
    Row("mobilenetv2_050", "coord/r32", 2.1, 100, checked=False),
    Row("mobilenext_100", "keep", 3.5, 300),
    Row("mobilenext_100", "se/r24", 3.89, 300),
    Row("mobilenext_100", "coord/r32", 4.09, 330, why=RATIO),
    Row("mobilenext_100", "coord/r24", 4.09, 330, why="the same row of the paper"),
    Row("mobilenext_075", "keep", 2.5, 210, checked=False, why=WIDER),
    Row("mobilenext_075", "se/r24", 2.9, 210, checked=False, why=WIDER),
    Row("mobilenext_075", "coord/r32", 3.0, 220, checked=False, why=WIDER),
    Row("mobilenext_050", "keep", 2.1, 110, checked=False),
    Row("mobilenext_050", "se/r24", 2.4, 110, checked=False),
    Row("mobilenext_050", "coord/r32", 2.4, 120, checked=False),
    Row("efficientnet_b0", "keep", 5.3, None),
    Row("efficientnet_b0", "coord/r32", 5.4, None),
)


def main() -> None:
    print(f"{'':<34} {'params M':>8} {'published':>9}   {'MACs M':>6} {'published':>9}")
    for row in ROWS:
        block, options = parse_label(row.label)
        # The paper leaves out the one block of MobileNetV2 that is not expanded.
        exclude = ["blocks.0.*"] if row.backbone.startswith("mobilenetv2") else []
        choices = {name: int(value) for name, value in options.items()}
        architecture = uniform(row.backbone, block, exclude=exclude, **choices)  # type: ignore[arg-type]
        counted = cost(architecture)
        mark = "" if row.checked else "?"
        params = f"{counted.params / 1e6:>8.2f} {row.params:>8}{mark:1}"
        macs = f"{counted.macs / 1e6:>6.0f} {row.macs or '':>8}{mark:1}"
        print(f"{row.backbone:<16} {row.label:<17} {params}   {macs} {row.why}".rstrip())


if __name__ == "__main__":
    main()
