"""Mixed local channel attention. Wan et al., https://doi.org/10.1016/j.engappai.2023.106442

Own code, as the authors'. The map is averaged into 5 x 5 patches. One convolution along the
channels, as ECA's, reads these averages, another reads the average of them; each gate is a
sigmoid. Half the patch's gate and half the map's are brought back to the map's size, and
multiply it. As there, channels of one patch follow those of the one before, so that the
convolution reaches a few channels of its neighbour. Parameters: 2k, with ECA's k.
"""

from __future__ import annotations

from timm.layers.eca import EcaModule
from torch import Tensor, nn

from nas.blocks.adaptive_average import adaptive_average
from nas.blocks.block import Block

__all__ = ["MLCA"]


class MixedLocalChannelAttention(nn.Module):
    """Channel gates of patches and of the whole map, half and half."""

    def __init__(self, channels: int, patches: int) -> None:
        super().__init__()
        self.patches = patches
        kernel = EcaModule(channels).conv.kernel_size[0]
        self.whole = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)
        self.local = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        channels, patches = x.shape[1], self.patches**2
        averages = adaptive_average(x, self.patches, self.patches).flatten(2)  # (N, C, patches)
        whole = self.whole(averages.mean(dim=2).unsqueeze(1)).reshape(-1, channels, 1, 1)
        local = self.local(averages.transpose(1, 2).reshape(-1, 1, patches * channels))
        local = local.reshape(-1, patches, channels).transpose(1, 2)
        local = local.reshape(-1, channels, self.patches, self.patches)
        mixed = 0.5 * self.gate(whole) + 0.5 * self.gate(local)
        return x * adaptive_average(mixed, int(x.shape[2]), int(x.shape[3]))


def _make(channels: int, height: int, width: int, *, patches: int) -> nn.Module:
    return MixedLocalChannelAttention(channels, patches)


MLCA = Block(
    name="mlca",
    title="Mixed local channel attention",
    paper="https://doi.org/10.1016/j.engappai.2023.106442",
    make=_make,
    closed_by=("whole.weight", "local.weight"),
    options={"patches": (5, 3, 7)},
)
