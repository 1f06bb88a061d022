"""U-Net, arXiv:1505.04597: the decoder of segmentation-models-pytorch, on any number of maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from nas.backbones import FeatureMap
from nas.models.heads.smp import decoder

__all__ = ["UNet"]

_CHANNELS = (256, 128, 64, 32, 16)
"""Of segmentation-models-pytorch, up to the size of the image; fewer maps have the last of them."""


class UNet(nn.Module):
    """Maps joined one by one, from the coarsest to the finest and then up to the image."""

    neck: ClassVar[tuple[str, ...]] = ("decoder",)

    def __init__(self, maps: Sequence[FeatureMap], classes: int) -> None:
        super().__init__()
        channels = _CHANNELS[-len(maps) :]
        self.decoder = decoder("unet", "unet").UnetDecoder(
            encoder_channels=(3, *(one.channels for one in maps)),
            decoder_channels=channels,
            n_blocks=len(maps),
        )
        self.classifier = nn.Conv2d(channels[-1], classes, 3, padding=1)

    @staticmethod
    def read(maps: tuple[FeatureMap, ...]) -> tuple[FeatureMap, ...]:
        """Choose all, up to the last five."""
        return maps[-len(_CHANNELS) :] if len(maps) > 1 else ()

    def forward(self, maps: list[Tensor], size: tuple[int, int]) -> Tensor:
        """Map all to scores of pixels."""
        # The decoder asks the first, which stands for the images, for its size alone.
        whole = maps[0][:, :1, :1, :1].expand(-1, -1, *size)
        scores: Tensor = self.classifier(self.decoder([whole, *maps]))
        return scores
