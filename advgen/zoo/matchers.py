"""Networks of face matchers: a picture to a place on a sphere; convolutions, or layers that mix patches.

Two architectures with nothing in common but what they look at, the middle of the picture, so that what fools one says
something by fooling the other: convolutions with PReLU that end as in Deng et al. 2019 (arXiv 1801.07698, section 3.1:
the grid is kept, then a linear layer and batch norm), and MLP-Mixer (Tolstikhin et al. 2021, arXiv 2105.01601, section
2) on patches of what one early convolution sees (Xiao et al. 2021, arXiv 2106.14881).
"""

from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from advgen.core.errors import BadArgument

INNER = 40  # pixels a side of what the networks look at
PATCH = 4  # pixels a side that one patch of the mixer stands for
EARLY = 24  # channels of its first convolution


@final
class FaceCNN(nn.Module):
    """Faces (N, 3, R, R) in [0, 1] to places (N, D) of length 1, through three halvings.

    size: R. border: pixels that are cut off on each side, hair and background. width: channels of the first layer.
    dimensions: D.
    """

    def __init__(self, size: int = 64, border: int = 12, width: int = 24, dimensions: int = 96) -> None:
        super().__init__()
        self.border = _checked(size, border, "face-cnn")
        layers: list[nn.Module] = []
        before = 3
        for after, stride in (
            (width, 1), (4 * width // 3, 2), (2 * width, 1), (8 * width // 3, 2), (8 * width // 3, 1), (4 * width, 2),
            (4 * width, 1),
        ):  # fmt: skip
            layers += [
                nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.PReLU(after),
            ]
            before = after
        self.features = nn.Sequential(*layers)
        self.linear = nn.Linear(before * (INNER // 8) ** 2, dimensions, bias=False)
        self.norm = nn.BatchNorm1d(dimensions)

    def forward(self, images: Tensor) -> Tensor:
        x = self.norm(self.linear(self.features(middle(images, self.border)).flatten(1)))
        return F.normalize(x.float(), dim=1)


@final
class FaceMixer(nn.Module):
    """Faces (N, 3, R, R) in [0, 1] to places (N, D) of length 1: patches mixed over places and over channels.

    size, border, dimensions: as `FaceCNN`. width: channels of a patch. layers: of mixing.
    """

    def __init__(
        self, size: int = 64, border: int = 12, width: int = 96, layers: int = 3, dimensions: int = 96
    ) -> None:
        super().__init__()
        self.border = _checked(size, border, "face-mixer")
        patches = (INNER // PATCH) ** 2
        self.early = nn.Conv2d(3, EARLY, 5, stride=2, padding=2)
        self.patches = nn.Conv2d(EARLY, width, PATCH // 2, stride=PATCH // 2)
        self.layers = nn.Sequential(*(_Mixing(patches, width) for _ in range(layers)))
        self.last = nn.LayerNorm(width)
        self.squeeze = nn.Linear(width, width // 4)
        self.linear = nn.Linear(patches * (width // 4), dimensions, bias=False)
        self.norm = nn.BatchNorm1d(dimensions)

    def forward(self, images: Tensor) -> Tensor:
        x = F.gelu(self.early(middle(images, self.border)))
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = F.gelu(self.squeeze(self.last(self.layers(x))))
        return F.normalize(self.norm(self.linear(x.flatten(1))).float(), dim=1)


class _Mixing(nn.Module):
    def __init__(self, patches: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.places = nn.Sequential(nn.Linear(patches, patches), nn.GELU(), nn.Linear(patches, patches))
        self.channels = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.places(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


def middle(images: Tensor, border: int) -> Tensor:
    """(N, 3, INNER, INNER) in [-1, 1]: the picture without its border, scaled if need be."""
    inner = images[..., border : images.shape[-2] - border, border : images.shape[-1] - border]
    if inner.shape[-1] != INNER:
        inner = F.interpolate(inner, (INNER, INNER), mode="bilinear", antialias=True, align_corners=False)
    return 2 * inner - 1


def _checked(size: int, border: int, architecture: str) -> int:
    if size < 32 or not 0 <= border <= (size - 16) // 2:
        raise BadArgument(
            f"{architecture} takes a size of 32 or more and a border that leaves 16 pixels, got {size} and {border}."
        )
    return border
