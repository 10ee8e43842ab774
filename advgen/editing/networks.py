"""Networks that look at edited images: at their own size, and as an identity."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Network = Callable[[Tensor], Tensor]


def sized(network: Network, image_shape: tuple[int, int, int] | None) -> Network:
    """The network for images (N, C, H, W) of any size, resized to its own; differentiable."""

    def seen(images: Tensor) -> Tensor:
        if image_shape is not None and tuple(images.shape[-2:]) != tuple(image_shape[-2:]):
            size = list(image_shape[-2:])
            images = functional.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)
        return network(images)

    return seen


def as_identity(network: Network, image_shape: tuple[int, int, int] | None) -> Network:
    """Images to unit rows (N, F): what a face matcher says of them, less the mean of its outputs."""
    seen = sized(network, image_shape)

    def rows(images: Tensor) -> Tensor:
        found = torch.flatten(seen(images), 1)
        return functional.normalize(found - found.mean(1, keepdim=True), dim=1)

    return rows
