"""Networks of face matchers: a picture to a place on a sphere; convolutions, or layers that mix patches.

Two architectures with nothing in common but their input, so that what fools one says something by fooling the other:
convolutions with PReLU in the order of Deng et al. 2019 (arXiv 1801.07698, section 3.1: BN, grid kept, linear, BN),
and MLP-Mixer (Tolstikhin et al. 2021, arXiv 2105.01601, section 2) on patches.
"""

from typing import final

import torch.nn.functional as F
from torch import Tensor, nn

from advgen.core.errors import BadArgument

STEM = 8  # pixels a side that one patch of the mixer covers


@final
class FaceCNN(nn.Module):
    """Faces (N, 3, R, R) in [0, 1] to places (N, D) of length 1, through four halvings.

    size: R, a multiple of 16. width: channels of the first stage. dimensions: D.
    """

    def __init__(self, size: int = 64, width: int = 24, dimensions: int = 128) -> None:
        super().__init__()
        if size < 32 or size % 16:
            raise BadArgument(f"size must be a multiple of 16 from 32 for face-cnn, got {size}.")
        layers: list[nn.Module] = []
        before = 3
        for after, stride in (
            (width, 2), (width, 1), (2 * width, 2), (2 * width, 1), (3 * width, 2), (3 * width, 1), (4 * width, 2),
        ):  # fmt: skip
            layers += [
                nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.PReLU(after),
            ]
            before = after
        self.features = nn.Sequential(*layers)
        self.linear = nn.Linear(before * (size // 16) ** 2, dimensions, bias=False)
        self.norm = nn.BatchNorm1d(dimensions)

    def forward(self, images: Tensor) -> Tensor:
        x = self.norm(self.linear(self.features(2 * images - 1).flatten(1)))
        return F.normalize(x.float(), dim=1)


@final
class FaceMixer(nn.Module):
    """Faces (N, 3, R, R) in [0, 1] to places (N, D) of length 1: patches of 8x8, mixed over places and over channels.

    size: R, a multiple of 8. width: channels of a patch. layers: of mixing. dimensions: D.
    """

    def __init__(self, size: int = 64, width: int = 96, layers: int = 4, dimensions: int = 128) -> None:
        super().__init__()
        if size < 32 or size % STEM:
            raise BadArgument(f"size must be a multiple of {STEM} from 32 for face-mixer, got {size}.")
        patches = (size // STEM) ** 2
        self.patches = nn.Conv2d(3, width, STEM, stride=STEM)
        self.layers = nn.Sequential(*(_Mixing(patches, width) for _ in range(layers)))
        self.last = nn.LayerNorm(width)
        self.squeeze = nn.Linear(width, width // 8)
        self.linear = nn.Linear(patches * (width // 8), dimensions, bias=False)
        self.norm = nn.BatchNorm1d(dimensions)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(2 * images - 1).flatten(2).transpose(1, 2)
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
