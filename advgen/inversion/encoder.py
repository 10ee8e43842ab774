"""Inversion by a feed-forward encoder: one pass, milliseconds an image, good enough to start an optimiser from.

The network is `LatentEncoder` (pSp, arXiv 2008.00951; e4e, arXiv 2102.02766), trained by the recipe
`stylegan2_encoder` for one generator.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from advgen.core import checkpoints
from advgen.core.errors import BadArgument, MissingFile
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import Generator, Latents
from advgen.generators.stylegan2.encoder import LatentEncoder
from advgen.inversion.gate import resemblance
from advgen.inversion.latents import at_rest
from advgen.inversion.likeness import Metric

# Shipped encoders hold the mean of w in half precision.
_SAME_MEAN = 1e-2


@final
@dataclass(frozen=True)
class EncoderInverter:
    """Latents as an encoder gives them, with the distance that their re-synthesis has from the image.

    Raises:
        BadArgument: the encoder was made for another generator.
    """

    encoder: LatentEncoder  # on the generator's device
    generator: Generator
    perceptual: Metric | None  # measures the distance; None = root mean square error
    batch_size: int = 32

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise BadArgument(f"batch_size must be at least 1, got {self.batch_size}.")
        check_fits(self.encoder, self.generator)

    @torch.no_grad()
    def invert(self, images: Tensor, *, rng: SampleRng, meter: Meter) -> Latents:
        """Latents of images (N, C, R, R) in [0, 1]; nothing here is random.

        Raises:
            BadArgument: images of another size or number of channels than the generator's.
        """
        del rng
        rows, distances = [], []
        with at_rest(self.encoder, self.generator):
            for some in images.to(self.generator.mean_w.device).split(self.batch_size):
                w = self.encoder(some)
                made = self.generator.synthesis(w, noise="const").clamp(0, 1)
                meter.generator_calls += len(some)
                rows.append(w)
                distances.append(resemblance(made, some, self.perceptual))
        return Latents(torch.cat(rows), None, torch.cat(distances), None)


def check_fits(encoder: nn.Module, generator: Generator) -> None:
    """Refuses an encoder that was not made for this generator.

    Raises:
        BadArgument: another network than a latent encoder, other sizes, or another mean of w.
    """
    if not isinstance(encoder, LatentEncoder):
        raise BadArgument(f"a latent encoder was expected, got a {type(encoder).__name__}; train stylegan2_encoder.")
    mean = generator.mean_w
    made_for = (encoder.shape[1:], encoder.num_ws, len(encoder.mean_w))
    given = (generator.resolution, generator.num_ws, len(mean))
    if made_for != given:
        raise BadArgument(
            f"the encoder was made for a generator of {_told(*made_for)}, this one has {_told(*given)}; take the "
            "encoder that was trained for it."
        )
    if (encoder.mean_w - mean).abs().max() > _SAME_MEAN * (1 + mean.abs().max()):
        raise BadArgument(
            "the encoder was made for another generator of the same sizes: their means of w differ; take the encoder "
            "that was trained for this one."
        )


def _told(size: tuple[int, int], num_ws: int, w_dim: int) -> str:
    return f"{size[1]}x{size[0]} pixels with {num_ws} rows of {w_dim}"


def belonging(weights: str) -> str:
    """The name or path of the encoder that belongs to a generator's: NAME_encoder, beside its file or shipped.

    Raises:
        MissingFile: there is none.
    """
    path = Path(weights).expanduser()
    beside = path.with_name(f"{path.stem}_encoder.safetensors")
    if beside.exists():
        return str(beside)
    try:
        checkpoints.find(beside.stem)
    except MissingFile:
        raise MissingFile(
            f"no encoder {beside.stem} was found for {weights}; name one with --encoder, train one with "
            "`advgen train stylegan2_encoder`, or use a method that needs none."
        ) from None
    return beside.stem
