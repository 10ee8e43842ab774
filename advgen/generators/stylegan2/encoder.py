"""A feed-forward encoder: images to rows of w around the mean, small enough for real time on a CPU.

A feature pyramid whose coarse, middle and fine level make the rows of the generator's coarse, middle and fine layers:
Richardson et al. 2020, "Encoding in Style", arXiv 2008.00951, section 3 (pSp). The rows are a first one and small
differences to it, switched on one after another in training: Tov et al. 2021, "Designing an Encoder for StyleGAN Image
Manipulation", arXiv 2102.02766, section 4 (e4e).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from advgen.core.errors import BadArgument
from advgen.generators.stylegan2.config import sizes

SIDE = 4  # of the grid of features that rows are made of
TOP = 32  # pixels a side, at most, of the first feature maps: cost hardly grows with the size of the images


class LatentEncoder(nn.Module):
    """Images (N, C, R, R) in [0, 1] to latents w (N, L, D); untrained, it gives `mean_w` for every image.

    resolution, channels: R and C. num_ws, w_dim: L and D of the generator. space: "w" makes all rows equal. width:
    feature maps at the largest size. depth: residual blocks a size. hidden: features that a level's rows are made of.
    """

    mean_w: Tensor  # (D,) of the generator
    active: Tensor  # rows that may differ from the first one, itself counted; 1 = none

    def __init__(
        self,
        resolution: int,
        num_ws: int,
        w_dim: int,
        channels: int = 3,
        space: str = "w+",
        width: int = 32,
        depth: int = 1,
        hidden: int = 256,
    ) -> None:
        super().__init__()
        sizes(resolution)
        if min(num_ws, w_dim, channels, width, depth, hidden) < 1:
            raise BadArgument(
                "num_ws, w_dim, channels, width, depth and hidden of a latent encoder must be 1 or more, got "
                f"{num_ws}, {w_dim}, {channels}, {width}, {depth} and {hidden}."
            )
        if space not in ("w", "w+"):
            raise BadArgument(f"the space of a latent encoder must be w or w+, got {space!r}.")
        self.shape = (channels, resolution, resolution)
        self.num_ws, self.space = num_ws, space
        stride = max(1, resolution // TOP)
        self.stem = _convolved(channels, width, kernel=2 * stride if stride > 1 else 3, stride=stride)
        maps = [width]
        self.stages = nn.ModuleList([_stage(width, width, 1, depth)])
        for _ in range((resolution // stride // SIDE).bit_length() - 1):
            maps.append(min(2 * maps[-1], 4 * width))
            self.stages.append(_stage(maps[-2], maps[-1], 2, depth))
        counts = _rows_of_levels(num_ws) if space == "w+" else [1]
        self.levels = nn.ModuleList()
        for index, count in enumerate(counts):
            doublings = min(index, len(maps) - 1)
            self.levels.append(_Level(maps[-1 - doublings], 2 * width, hidden, count * w_dim, doublings))
        self.register_buffer("mean_w", torch.zeros(w_dim))
        self.register_buffer("active", torch.tensor(num_ws))

    def forward(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or tuple(images.shape[1:]) != self.shape:
            raise BadArgument(
                f"the encoder takes images of the shape (N, {self.shape[0]}, {self.shape[1]}, {self.shape[2]}), got "
                f"{tuple(images.shape)}; scale them first."
            )
        x = self.stem(2 * images - 1)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        made, pyramid = [], None
        for level in self.levels:
            rows, pyramid = level(features, pyramid)
            made.append(rows.unflatten(1, (-1, len(self.mean_w))))
        rows = torch.cat(made, 1)
        first = self.mean_w + rows[:, :1]
        if self.space == "w":
            return first.repeat(1, self.num_ws, 1)
        on = torch.arange(1, self.num_ws, device=rows.device) < self.active
        return torch.cat([first, first + rows[:, 1:] * on[:, None]], 1)


def delta_norm(w: Tensor) -> Tensor:
    """(N,) lengths of the differences between each row and the first one, summed over rows (e4e, equation 5)."""
    return torch.linalg.vector_norm(w[:, 1:] - w[:, :1], dim=2).sum(1)


class _Level(nn.Module):
    """One level of the pyramid: features at 4 * 2^doublings pixels, and what is above them, to rows of w."""

    def __init__(self, ins: int, inner: int, hidden: int, outs: int, doublings: int) -> None:
        super().__init__()
        self.doublings = doublings
        self.lateral = nn.Conv2d(ins, inner, 1)
        self.down = nn.Sequential(
            *(
                nn.Sequential(_convolved(inner, inner, kernel=3, stride=2), nn.ReLU(inplace=True))
                for _ in range(doublings)
            )
        )
        self.hidden = nn.Linear(inner * SIDE * SIDE, hidden)
        self.rows = nn.Linear(hidden, outs)
        nn.init.zeros_(self.rows.weight)
        nn.init.zeros_(self.rows.bias)

    def forward(self, features: list[Tensor], above: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self.lateral(features[-1 - self.doublings])
        if above is not None:
            # Bilinear, as in the paper; a level of the same size (tiny images) is added as it is.
            same = above.shape[-1] == x.shape[-1]
            x = x + (above if same else functional.interpolate(above, scale_factor=2.0, mode="bilinear"))
        flat = functional.relu(self.down(x)).flatten(1)
        return self.rows(functional.relu(self.hidden(flat))), x


class _Block(nn.Module):
    """Two convolutions and a shortcut (He et al. 2016, arXiv 1512.03385)."""

    def __init__(self, ins: int, outs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolved(ins, outs, kernel=3, stride=stride)
        self.conv2 = _convolved(outs, outs, kernel=3, stride=1)
        same = ins == outs and stride == 1
        self.shortcut = nn.Identity() if same else _convolved(ins, outs, kernel=stride, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.conv2(functional.relu(self.conv1(x))) + self.shortcut(x))


def _stage(ins: int, outs: int, stride: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(ins if k == 0 else outs, outs, stride if k == 0 else 1) for k in range(depth)))


def _convolved(ins: int, outs: int, *, kernel: int, stride: int) -> nn.Sequential:
    """A convolution to 1/stride of the size, and batch norm."""
    conv = nn.Conv2d(ins, outs, kernel, stride=stride, padding=(kernel - stride + 1) // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outs))


def _rows_of_levels(num_ws: int) -> list[int]:
    """Rows of the coarse (4 and 8 pixels), middle (16) and fine (32 on) layers; row i stands at 4 * 2^((i + 1) / 2)."""
    coarse, middle = min(num_ws, 3), min(max(num_ws - 3, 0), 2)
    return [count for count in (coarse, middle, num_ws - coarse - middle) if count]
