"""Adaptive discriminator augmentation: what a discriminator sees is transformed at random, as often as it overfits.

Karras et al., arXiv 2006.06676: section 3 (the control of p), appendix B (the operations, in this order). Agrees with
the official program at fixed percentiles, and has the second derivative that R1 needs whatever the version of torch.
Amounts (brightness, noise) are in units of the official range [-1, 1]; images here are in [0, 1], so that the grey of
what lies outside an image, or was cut out, is 0.5.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.generators.stylegan2.amounts import Amounts, Draws
from advgen.generators.stylegan2.warp import rotation, scaling, shift, warp
from advgen.generators.stylegan2.wavelets import BANDS, band_matrices


@dataclass(frozen=True)
class AugmentationConfig:
    """An operation's probability is p times its multiplier; one whose multiplier is 0 is left out."""

    xflip: float = 0.0  # multipliers
    rotate90: float = 0.0
    xint: float = 0.0  # shift by whole pixels
    scale: float = 0.0
    rotate: float = 0.0
    aniso: float = 0.0  # one axis longer, the other shorter
    xfrac: float = 0.0  # shift by fractions of a pixel
    brightness: float = 0.0
    contrast: float = 0.0
    lumaflip: float = 0.0
    hue: float = 0.0
    saturation: float = 0.0
    imgfilter: float = 0.0  # amplification of octaves
    noise: float = 0.0
    cutout: float = 0.0
    imgfilter_bands: tuple[float, ...] = (1.0,) * BANDS  # further multipliers, the lowest octave first
    xint_max: float = 0.125  # of the image's side
    scale_std: float = 0.2  # log2
    rotate_max: float = 1.0  # of a half turn, to either side
    aniso_std: float = 0.2  # log2
    xfrac_std: float = 0.125  # of the image's side
    brightness_std: float = 0.2  # of a range of 2
    contrast_std: float = 0.5  # log2
    hue_max: float = 1.0  # of a half turn, to either side
    saturation_std: float = 1.0  # log2
    imgfilter_std: float = 1.0  # log2
    noise_std: float = 0.1  # of a range of 2
    cutout_size: float = 0.5  # of the image's side

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            numbers = value if isinstance(value, tuple) else (value,)
            if not all(math.isfinite(number) and number >= 0 for number in numbers):
                raise BadArgument(f"{field.name} must be 0 or more, got {value}.")
        if len(self.imgfilter_bands) != BANDS:
            raise BadArgument(f"imgfilter_bands needs {BANDS} numbers, got {len(self.imgfilter_bands)}.")

    @property
    def moves(self) -> bool:
        return any((self.xflip, self.rotate90, self.xint, self.scale, self.rotate, self.aniso, self.xfrac))

    @property
    def changes_colour(self) -> bool:
        return any((self.brightness, self.contrast, self.lumaflip, self.hue, self.saturation))


_BLIT = dict.fromkeys(("xflip", "rotate90", "xint"), 1.0)
_GEOM = dict.fromkeys(("scale", "rotate", "aniso", "xfrac"), 1.0)
_COLOR = dict.fromkeys(("brightness", "contrast", "lumaflip", "hue", "saturation"), 1.0)
_FILTER = {"imgfilter": 1.0}
_NOISE = {"noise": 1.0}
_CUTOUT = {"cutout": 1.0}
PRESETS = {
    "blit": AugmentationConfig(**_BLIT),
    "geom": AugmentationConfig(**_GEOM),
    "color": AugmentationConfig(**_COLOR),
    "filter": AugmentationConfig(**_FILTER),
    "noise": AugmentationConfig(**_NOISE),
    "cutout": AugmentationConfig(**_CUTOUT),
    "bg": AugmentationConfig(**_BLIT, **_GEOM),
    "bgc": AugmentationConfig(**_BLIT, **_GEOM, **_COLOR),
    "bgcf": AugmentationConfig(**_BLIT, **_GEOM, **_COLOR, **_FILTER),
    "bgcfn": AugmentationConfig(**_BLIT, **_GEOM, **_COLOR, **_FILTER, **_NOISE),
    "bgcfnc": AugmentationConfig(**_BLIT, **_GEOM, **_COLOR, **_FILTER, **_NOISE, **_CUTOUT),
}


class AdaptiveAugmentation(nn.Module):
    """Images (N, C, H, W) in [0, 1] to augmented ones, float32, not clamped; differentiable twice in the images.

    `p` may be set between calls; nothing else changes. `share` is this process' number and how many share the batch.
    At p = 0 the images come back as they are, and so does, to the bit, every image to which no operation was applied.
    """

    def __init__(self, config: AugmentationConfig, p: float = 0.0, *, share: tuple[int, int] = (0, 1)) -> None:
        super().__init__()
        self.config = config
        self.p = p
        self.share = share

    @property
    def p(self) -> float:
        return self._p

    @p.setter
    def p(self, p: float) -> None:
        if not 0 <= p <= 1:
            raise BadArgument(f"p, the strength of the augmentation, must be in [0, 1], got {p}.")
        self._p = float(p)

    def forward(
        self, images: Tensor, *, percentile: float | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draws from torch's global generators, or from `generator` (of the CPU).

        At a `percentile` in (0, 1) every operation whose multiplier is not 0 is applied to every image, by that
        percentile of its amount, whatever p is; only the noise itself stays random.

        Raises:
            BadArgument: colour operations on images that have neither 1 nor 3 channels; a percentile out of range.
        """
        self._check(images, percentile, generator)
        if self.p == 0 and percentile is None:
            return images
        images = images.to(torch.promote_types(images.dtype, torch.float32))
        amounts = Amounts(len(images), self.p, percentile, Draws(generator, *self.share))
        with torch.autocast(images.device.type, enabled=False):
            images = self._moved(images, amounts)
            images = self._recoloured(images, amounts)
            images = self._filtered(images, amounts)
            images = self._noisy(images, amounts)
            return self._cut_out(images, amounts)

    def _moved(self, images: Tensor, amounts: Amounts) -> Tensor:
        if not self.config.moves:
            return images
        inverse = self._inverse_transforms(amounts, *images.shape[2:])
        chosen = (inverse != torch.eye(3)).any(2).any(1)
        if amounts.percentile is not None:
            chosen = torch.ones_like(chosen)
        return _about_grey(images, chosen, lambda some: warp(some, inverse[chosen]))

    def _inverse_transforms(self, amounts: Amounts, height: int, width: int) -> Tensor:
        """(N, 3, 3) from output places to input places, in pixels from the centre."""
        config = self.config
        mirrored = 1 - 2 * amounts.steps(2, config.xflip)
        inverse = scaling(mirrored, torch.ones_like(mirrored))
        inverse = inverse @ rotation(math.pi / 2 * amounts.steps(4, config.rotate90))
        x, y = (amounts.uniform(config.xint, 2) * config.xint_max).unbind(1)
        inverse = inverse @ shift(-(x * width).round(), -(y * height).round())

        factor = (amounts.normal(config.scale) * config.scale_std).exp2()
        inverse = inverse @ scaling(1 / factor, 1 / factor)
        # Before or after, or both: together with probability p times the multiplier.
        once = (1 - math.sqrt(max(1 - config.rotate * amounts.p, 0))) / amounts.p if amounts.p else config.rotate
        before = amounts.uniform(once) * (math.pi * config.rotate_max)
        longer = (amounts.normal(config.aniso) * config.aniso_std).exp2()
        shorter = 1 / longer
        after = amounts.uniform(once) * (math.pi * config.rotate_max)
        if amounts.percentile is not None:
            after = torch.zeros_like(after)
        inverse = inverse @ rotation(before) @ scaling(1 / longer, 1 / shorter) @ rotation(after)
        x, y = (amounts.normal(config.xfrac, 2) * config.xfrac_std).unbind(1)
        return inverse @ shift(-x * width, -y * height)

    def _recoloured(self, images: Tensor, amounts: Amounts) -> Tensor:
        """Gains along the grey axis and across it, hue as a turn about it: all of them commute."""
        config = self.config
        if not config.changes_colour:
            return images
        n, channels, height, width = images.shape
        brightness = amounts.normal(config.brightness).double() * config.brightness_std
        contrast = (amounts.normal(config.contrast).double() * config.contrast_std).exp2()
        along = contrast * (1 - 2 * amounts.steps(2, config.lumaflip))
        offset = ((brightness - 1) * along + 1) / 2  # 2 x - 1 -> along (2 x - 1 + brightness), in terms of x
        if channels == 1:
            return images * _columns(along, images) + _columns(offset, images)
        angle = amounts.uniform(config.hue).double() * (math.pi * config.hue_max)
        across = contrast * (amounts.normal(config.saturation).double() * config.saturation_std).exp2()
        grey = torch.full((3, 3), 1 / 3, dtype=torch.float64)
        turn = torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64) / math.sqrt(3)
        along, across, angle = (column[:, None, None] for column in (along, across, angle))
        matrices = along * grey + across * (angle.cos() * (torch.eye(3) - grey) + angle.sin() * turn)
        changed = matrices.to(images) @ images.reshape(n, channels, height * width)
        return changed.reshape(images.shape) + _columns(offset, images)

    def _filtered(self, images: Tensor, amounts: Amounts) -> Tensor:
        config = self.config
        if not config.imgfilter:
            return images
        gains = [amounts.normal(config.imgfilter * band) * config.imgfilter_std for band in config.imgfilter_bands]
        gains = torch.stack(gains, 1).double().exp2()
        # The power of a picture whose spectrum falls as 1 / f is kept, band by band.
        power = torch.tensor([10.0, 1.0, 1.0, 1.0], dtype=torch.float64) / 13
        gains = gains / (1 + power * (gains.square() - 1)).prod(1, keepdim=True).sqrt()
        chosen = (gains != 1).any(1)
        gains = gains[chosen].to(images)
        vertical, horizontal = (
            torch.tensordot(gains, band_matrices(size, like=images), 1)[:, None] for size in images.shape[2:]
        )
        return _about_grey(images, chosen, lambda some: vertical @ (some @ horizontal.mT))

    def _noisy(self, images: Tensor, amounts: Amounts) -> Tensor:
        if not self.config.noise:
            return images
        sigma = amounts.half_normal(self.config.noise) * (self.config.noise_std / 2)
        noise = amounts.draws.normal(*images.shape).to(images)
        return images + noise * _columns(sigma, images)

    def _cut_out(self, images: Tensor, amounts: Amounts) -> Tensor:
        if not self.config.cutout:
            return images
        size = torch.where(amounts.applied(self.config.cutout), self.config.cutout_size, 0.0)
        x, y = amounts.anywhere(2).unbind(1)
        far_x, far_y = (
            ((torch.arange(side) + 0.5) / side - centre[:, None]).abs() >= size[:, None] / 2
            for side, centre in ((images.shape[3], x), (images.shape[2], y))
        )
        kept = (far_x[:, None, None, :] | far_y[:, None, :, None]).to(images.device)
        return torch.where(kept, images, 0.5)

    def _check(self, images: Tensor, percentile: float | None, generator: torch.Generator | None) -> None:
        if images.ndim != 4:
            raise BadArgument(f"images must have the shape (N, C, H, W), got {tuple(images.shape)}.")
        if self.config.changes_colour and images.shape[1] not in (1, 3):
            raise BadArgument(
                f"colour operations need images of 1 or 3 channels, got {images.shape[1]}; take the preset 'bg', or "
                f"set brightness, contrast, lumaflip, hue and saturation to 0."
            )
        if percentile is not None and not 0 < percentile < 1:
            raise BadArgument(f"percentile must lie between 0 and 1, got {percentile}.")
        if generator is not None and generator.device.type != "cpu":
            raise BadArgument(f"generator must be one of the CPU, got one of {generator.device}.")


class AugmentationStrength:
    """p, raised while the discriminator is surer than `target` that real images are real, lowered otherwise.

    The heuristic r_t = E[sign(D(real))] of the paper's section 3. `images` is how many it takes p to go from 0 to 1.
    """

    def __init__(self, *, target: float = 0.6, interval: int = 4, images: int = 500_000, p: float = 0.0) -> None:
        if interval < 1 or images < 1:
            raise BadArgument(f"interval and images must be 1 or more, got {interval} and {images}.")
        if not 0 <= p <= 1:
            raise BadArgument(f"p, the strength of the augmentation, must be in [0, 1], got {p}.")
        self.target = target
        self.interval = interval
        self.images = images
        self.p = p
        self._signs: tuple[float, ...] = ()

    def observe(self, sign: float, batch: int) -> float:
        """p after a step over `batch` images, whose real ones' logits have the mean sign `sign`.

        It moves at every `interval`th call. Under several processes `sign` and `batch` are those of all of them.
        """
        self._signs = (*self._signs, float(sign))
        if len(self._signs) == self.interval:
            sureness = math.fsum(self._signs) / self.interval
            direction = (sureness > self.target) - (sureness < self.target)
            # The official program has no upper bound; above 1 nothing would be augmented more often.
            self.p = min(max(self.p + direction * batch * self.interval / self.images, 0.0), 1.0)
            self._signs = ()
        return self.p

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs, as plain numbers."""
        return {"p": self.p, "signs": list(self._signs)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.p = float(state["p"])
        self._signs = tuple(float(sign) for sign in state["signs"])


def _about_grey(images: Tensor, chosen: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """`change` of the `chosen` (N,) images, for which middle grey is 0; the others as they are, to the bit."""
    if not chosen.any():
        return images
    if chosen.all():
        return change(images - 0.5) + 0.5
    rows = chosen.nonzero().squeeze(1).to(images.device)
    return images.index_copy(0, rows, change(images[rows] - 0.5) + 0.5)


def _columns(values: Tensor, like: Tensor) -> Tensor:
    """(N,) numbers as (N, 1, 1, 1) beside images."""
    return values.to(like)[:, None, None, None]
