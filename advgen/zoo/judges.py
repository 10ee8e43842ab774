"""The network of the judges of edits: small, residual, on blocks of 2x2 pixels; unlike every network that is judged.

He et al. 2016, arXiv 1512.03385 (residual blocks); Shi et al. 2016, arXiv 1609.05158 (pixels folded into channels).
"""

from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from advgen.core.errors import BadArgument

GRID = 24  # channels of the last maps, whose places are kept


@final
class PortraitResNet(nn.Module):
    """Portraits (N, C, R, R) in [0, 1] to numbers (N, K), K = outputs; with `unit` a vector of length 1.

    Each 2x2 block of pixels is one place of the first maps, so that nothing small is lost to a stride. size: R, a
    multiple of 8. width: channels of the first stage. last: blocks of the last stage. hidden: features before the
    outputs.
    """

    def __init__(
        self,
        outputs: int,
        channels: int = 3,
        size: int = 64,
        width: int = 32,
        last: int = 1,
        hidden: int = 160,
        unit: bool = False,
    ) -> None:
        super().__init__()
        if size < 16 or size % 8:
            raise BadArgument(f"size must be a multiple of 8 from 16 for portrait-resnet, got {size}.")
        self.unit = unit
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        blocks = [_Block(width, width, 1), _Block(width, 2 * width, 2), _Block(2 * width, 4 * width, 2)]
        self.blocks = nn.Sequential(*blocks, *(_Block(4 * width, 4 * width, 1) for _ in range(last - 1)))
        self.grid = nn.Sequential(nn.Conv2d(4 * width, GRID, 1, bias=False), nn.BatchNorm2d(GRID), nn.ReLU())
        self.hidden = nn.Sequential(
            nn.Linear(GRID * (size // 8) ** 2, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU()
        )
        self.linear = nn.Linear(hidden, outputs)

    def forward(self, images: Tensor) -> Tensor:
        x = self.grid(self.blocks(self.stem(2 * images - 1)))
        x = self.linear(self.hidden(x.flatten(1)))
        return F.normalize(x.float(), dim=1) if self.unit else x


class _Block(nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(after)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        same = stride == 1 and before == after
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.second(F.relu(self.norm1(self.first(x)))))
        return F.relu(y + self.shortcut(x))
