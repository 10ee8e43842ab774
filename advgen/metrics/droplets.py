"""Droplet artefacts: how far a feature map's highest point stands out of its median.

A generator that normalises each feature map by its own mean and variance (AdaIN) can smuggle the strength of its signal
past the normalisation as one strong spot; it shows as a droplet in all feature maps from 64x64 up. The magnitude of a
pixel is the length of its feature vector over the channels; the number of an image and a layer is the largest magnitude
over the median one. 1 is a constant map; one pixel of value A among ones gives A.

Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN", arXiv 1912.04958, section 2 and figure 1.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument, UnknownName
from advgen.metrics._intervals import Interval, wilson


class DropletReport(NamedTuple):
    """Peak over median of feature maps, and how many images stand out."""

    ratios: Tensor  # (L, N) of each layer and image
    median: tuple[float, ...]  # over the images, a layer
    share: float  # of images whose largest ratio over the layers is above the limit
    interval: Interval
    limit: float
    n: int


def peak_over_median(maps: Sequence[Tensor]) -> Tensor:
    """(L, N), float64: largest over median magnitude of each layer's map (N, C, H, W).

    A map whose median is 0 gives infinity, or 1 if it is 0 everywhere.

    Raises:
        BadArgument: no maps, not (N, C, H, W), or of different N.
    """
    if not maps or any(m.ndim != 4 or len(m) != len(maps[0]) for m in maps):
        told = ", ".join(str(tuple(m.shape)) for m in maps) or "none"
        raise BadArgument(f"droplets are looked for in feature maps (N, C, H, W) of one N, got {told}.")
    rows = []
    for layer in maps:
        magnitude = torch.linalg.vector_norm(layer.detach().double(), dim=1).flatten(1)
        peak, middle = magnitude.amax(1), magnitude.quantile(0.5, dim=1)
        rows.append(torch.where(peak > 0, peak / middle, torch.ones_like(peak)).cpu())
    return torch.stack(rows)


def peak_over_deviation(maps: Sequence[Tensor]) -> Tensor:
    """(L, N), float64: how far the point furthest from a map's mean lies from it, in its standard deviations, mean over
    the channels; maps (N, C, H, W).

    Scaling and shifting each map, as AdaIN does, changes nothing. One spot in a constant map of n points gives
    sqrt(n - 1), normal noise about sqrt(2 ln n). Maps that are constant count as 0.
    """
    rows = []
    for layer in maps:
        flat = layer.detach().double().flatten(2)
        variance, mean = torch.var_mean(flat, 2, correction=0, keepdim=True)
        furthest = (flat - mean).abs().amax(2) / variance[..., 0].sqrt()
        rows.append(torch.where(variance[..., 0] > 0, furthest, 0.0).mean(1).cpu())
    return torch.stack(rows)


def droplets(maps: Sequence[Tensor], *, limit: float) -> DropletReport:
    """The ratios of `maps`, and the share of images above `limit`.

    The limit is to be taken from maps that have no droplets (a quantile of theirs): no number fits every network.
    """
    ratios = peak_over_median(maps)
    share = float((ratios.amax(0) > limit).double().mean())
    return DropletReport(
        ratios=ratios,
        median=tuple(float(row.median()) for row in ratios),
        share=share,
        interval=wilson(share, ratios.shape[1]),
        limit=limit,
        n=ratios.shape[1],
    )


def feature_maps_of(
    network: nn.Module, layers: Sequence[str], run: Callable[[], object], *, inputs: bool = False
) -> list[Tensor]:
    """What the submodules `layers` of `network` give while `run()` uses it, in that order; or are given: `inputs`.

    Raises:
        UnknownName: there is no such submodule.
        BadArgument: a layer did not run.
    """
    modules = dict(network.named_modules())
    for name in layers:
        if name not in modules:
            raise UnknownName.among("layer", name, [key for key in modules if key])
    kept: dict[str, Tensor] = {}
    hooks = [modules[name].register_forward_hook(_keeper(kept, name, inputs)) for name in layers]
    try:
        with torch.no_grad():
            run()
    finally:
        for hook in hooks:
            hook.remove()
    if missing := [name for name in layers if name not in kept]:
        raise BadArgument(f"these layers did not run: {', '.join(missing)}.")
    return [kept[name] for name in layers]


def _keeper(
    kept: dict[str, Tensor], name: str, inputs: bool
) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def keep(_module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        kept[name] = (given[0] if inputs else output).detach()

    return keep
