"""open_clip's image preprocessing as a differentiable function of images in [0, 1].

open_clip resizes 8-bit pictures with PIL: antialiased, one side after the other, rounded and clipped to bytes after
each. Here the width comes first, in float and clipped, so values differ by the rounding alone, a grey level at most.
Only where both sides are scaled differently (squashed) does PIL begin with the side that it deems faster, and then
hard edges of black and white come out a few levels apart; `through_pil` is open_clip's own path, to the bit.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from advgen.core.errors import BadFile

INTERPOLATIONS = ("bicubic", "bilinear")
RESIZE_MODES = ("shortest", "longest", "squash")


class Pixels(NamedTuple):
    """What becomes of an image before a model sees it, by the names of open_clip's `preprocess_cfg`."""

    size: tuple[int, int]  # H, W that the model takes
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    resize_mode: str = "shortest"  # the shorter side fills the size, the longer one does, or both
    fill_color: int = 0  # grey level around what "longest" leaves free

    @classmethod
    def from_config(cls, config: Mapping[str, Any], where: str) -> "Pixels":
        """From open_clip's dictionary; what it does not know of is left alone.

        Raises:
            BadFile: a value that open_clip would not take either; `where` is what errors call its source.
        """
        try:
            size = config["size"]
            height, width = size if isinstance(size, list | tuple) else (size, size)
            pixels = cls(
                (int(height), int(width)),
                tuple(float(x) for x in config["mean"]),
                tuple(float(x) for x in config["std"]),
                config.get("interpolation") or "bicubic",
                config.get("resize_mode") or "shortest",
                int(config.get("fill_color") or 0),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadFile(f"{where} describes the preprocessing of images wrongly: {error!r}.") from None
        for name, value, known in (
            ("interpolation", pixels.interpolation, INTERPOLATIONS),
            ("resize_mode", pixels.resize_mode, RESIZE_MODES),
        ):
            if value not in known:
                raise BadFile(f"{where}: {name} is {value!r}; {', '.join(known)} are known.")
        if len(pixels.mean) != 3 or len(pixels.std) != 3 or not min(pixels.std) > 0 or not min(pixels.size) > 0:
            raise BadFile(f"{where}: three means, three standard deviations above 0 and a size above 0 were expected.")
        return pixels

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [0, 1], C = 1 or 3, to what the model takes, (N, 3, *size)."""
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        height, width = images.shape[-2:]
        images = self._resized(images, *self._scaled(height, width))
        images = _cropped_or_padded(images, self.size, self.fill_color / 255)
        mean = torch.tensor(self.mean, device=images.device)[:, None, None]
        std = torch.tensor(self.std, device=images.device)[:, None, None]
        return (images - mean) / std

    def as_styleclip(self, images: Tensor) -> Tensor:
        """What the published StyleCLIP optimisation shows to CLIP: values in [-1, 1], enlarged seven times and averaged
        down to CLIP's size, without its normalisation (orpatashnik/StyleCLIP, criteria/clip_loss.py). To compare with.
        """
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        return functional.adaptive_avg_pool2d(functional.interpolate(2 * images - 1, scale_factor=7.0), self.size)

    def through_pil(self, images_u8: Tensor) -> Tensor:
        """(N, C, H, W) uint8 to what the model takes, by open_clip's own transform of PIL pictures."""
        from open_clip.transform import PreprocessCfg, image_transform_v2
        from PIL import Image

        transform = image_transform_v2(PreprocessCfg(**self._asdict()), is_train=False)
        arrays = images_u8.permute(0, 2, 3, 1).cpu().numpy()
        return torch.stack([transform(Image.fromarray(a.squeeze(-1) if a.shape[-1] == 1 else a)) for a in arrays])

    def _scaled(self, height: int, width: int) -> tuple[int, int]:
        """The size after resizing and before cropping, rounded as open_clip and torchvision do."""
        if self.resize_mode == "squash":
            return self.size
        ratios = height / self.size[0], width / self.size[1]
        if self.resize_mode == "longest" or self.size[0] != self.size[1]:
            ratio = max(ratios) if self.resize_mode == "longest" else min(ratios)
            return round(height / ratio), round(width / ratio)
        side = self.size[0]
        if width <= height:
            return int(side * height / width), side
        return side, int(side * width / height)

    def _resized(self, images: Tensor, height: int, width: int) -> Tensor:
        # open_clip leaves its choice of interpolation out where the shortest side fills a size that is not square.
        plain = self.resize_mode == "shortest" and self.size[0] != self.size[1]
        mode = "bicubic" if plain else self.interpolation
        for size in ((images.shape[-2], width), (height, width)):
            if size != tuple(images.shape[-2:]):
                images = functional.interpolate(images, size=size, mode=mode, antialias=True).clamp(0, 1)
        return images


def _cropped_or_padded(images: Tensor, size: tuple[int, int], fill: float) -> Tensor:
    """The middle of the images, with `fill` where they are smaller."""
    high, wide = (max(wanted - has, 0) for wanted, has in zip(size, images.shape[-2:], strict=True))
    if high or wide:
        images = functional.pad(images, (wide // 2, (wide + 1) // 2, high // 2, (high + 1) // 2), value=fill)
    top, left = (round((has - wanted) / 2) for wanted, has in zip(size, images.shape[-2:], strict=True))
    return images[..., top : top + size[0], left : left + size[1]]
