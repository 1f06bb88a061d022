"""Parameters and multiply-adds of the paper's networks of segmentation and detection.

    python -m benchmarks.tasks.paper_costs

Coordinate Attention for Efficient Mobile Network Design, arXiv:2103.02907: DeepLabV3 on
MobileNetV2, on Pascal VOC 2012 (21 classes) at output stride 16, on Cityscapes (19) at 8.
Multiply-adds are those of convolutions and linear layers alone at 512 x 512, of backbone, pyramid
and classifier; the 1x1 convolution behind MobileNetV2's last block is left out (see
nas/backbones/feature_maps.py). The paper's columns of parameters are not here: nobody has checked
them. Then SSDLite on MobileNetV2 at 320 x 320, on COCO (80 classes and the background) and Pascal
VOC 2007 (20), beside the paper's parameters of the former and its AP and mAP.
Needs attention-nas[segmentation]; runs in seconds.
"""

from __future__ import annotations

from nas.backbones import plain_network
from nas.models.build import uniform
from nas.models.cost import cost
from nas.spec.architecture import Architecture, parse_label
from nas.spec.task import Task

LABELS = {"plain": "keep", "SE": "se/r24", "CBAM": "cbam/r24/k7", "CA": "coord/r32"}
DATA = {
    ("VOC 2012", 16, 21): {"plain": 70.84, "SE": 71.69, "CBAM": 71.28, "CA": 73.32},
    ("Cityscapes", 8, 19): {"plain": 71.4, "SE": 72.2, "CBAM": 71.4, "CA": 74.0},
}
"""Data, output stride, classes -> the paper's mIoU, %."""

BOXES = {
    ("COCO", 80): {"plain": 22.3, "SE": 23.7, "CBAM": 23.0, "CA": 24.5},
    ("VOC 2007", 20): {"plain": 71.7, "SE": 71.7, "CBAM": 71.7, "CA": 73.1},
}
"""Data, classes -> the paper's AP, or mAP, %."""

PARAMS = {"plain": 4.3, "SE": 4.7, "CBAM": 4.7, "CA": 4.8}
"""The paper's parameters of SSDLite on COCO, M."""

BACKBONE = "mobilenetv2_100"
SIDE = 512
BOXES_SIDE = 320


def placed(label: str, output_stride: int | None = None, side: int = SIDE) -> Architecture:
    """Place a block at every inverted residual that expands, as the paper does."""
    block, options = parse_label(label)
    return uniform(
        BACKBONE,
        block,
        resolution=side,
        output_stride=output_stride,
        exclude="blocks.0.*",
        **options,  # type: ignore[arg-type]
    )


def main() -> None:
    _segmentation()
    _detection()


def _detection() -> None:
    columns = ("data", "classes", "blocks", "params, M", "paper's", "multiply-adds, G")
    print(f"\n| {' | '.join(columns)} | paper's AP or mAP |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (data, classes), published in BOXES.items():
        for name, label in LABELS.items():
            architecture = placed(label, side=BOXES_SIDE)
            counted = cost(architecture, task=Task.of("detection", classes, "ssdlite"))
            assert not counted.unsupported
            params = str(PARAMS[name]) if data == "COCO" else ""
            print(
                f"| {data} | {classes} | {name} | {counted.params / 1e6:.2f} | {params} "
                f"| {counted.macs / 1e9:.2f} | {published[name]} |"
            )


def _segmentation() -> None:
    columns = ("data", "classes", "output stride", "blocks", "params, M", "multiply-adds, G")
    print(f"| {' | '.join(columns)} | paper's mIoU |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for (data, output_stride, classes), published in DATA.items():
        for name, label in LABELS.items():
            counted = cost(placed(label, output_stride), task=Task.of("segmentation", classes))
            assert not counted.unsupported
            print(
                f"| {data} | {classes} | {output_stride} | {name} | {counted.params / 1e6:.2f} "
                f"| {counted.macs / 1e9:.2f} | {published[name]} |"
            )
    features = plain_network(BACKBONE).get_submodule("conv_head")
    left_out = sum(item.numel() for item in features.parameters())
    print(f"left out: the 1x1 convolution behind the last block, {left_out / 1e6:.2f} M parameters")


if __name__ == "__main__":
    main()
