"""The mobile networks to begin with; any other name of a family works as well."""

from __future__ import annotations

__all__ = ["LINE_UP"]

LINE_UP: dict[str, str] = {
    "mobilenetv1_100": "MobileNetV1",
    "mobilenetv2_050": "MobileNetV2 0.5",
    "mobilenetv2_075": "MobileNetV2 0.75",
    "mobilenetv2_100": "MobileNetV2",
    "mobilenetv3_small_100": "MobileNetV3 small",
    "mobilenetv3_large_100": "MobileNetV3 large",
    "mobilenext_050": "MobileNeXt 0.5",
    "mobilenext_075": "MobileNeXt 0.75",
    "mobilenext_100": "MobileNeXt",
    "efficientnet_b0": "EfficientNet-b0",
    "mnasnet_100": "MnasNet-B1",
    "spnasnet_100": "Single-Path NAS, the nearest to ProxylessNAS in timm",
    "mixnet_s": "MixNet-S",
    "hbonet_100": "HBONet",
    "torchvision/shufflenet_v2_x1_0": "ShuffleNetV2",
    "snet_146": "ThunderNet's SNet146",
    "ghostnetv3_100": "GhostNetV3",
    "mobilenetv4_conv_small": "MobileNetV4 conv small",
    "repvit_m1": "RepViT-M1",
    "fastvit_t8": "FastViT-T8",
    "mobileone_s0": "MobileOne-S0",
    "mobilevig_ti": "MobileViG-Ti",
    "emov2_1m": "EMOv2-1M",
    "emov2_2m": "EMOv2-2M",
    "tiny_moat_0": "tiny-MOAT-0",
}
"""The line-up: name -> what it is."""
