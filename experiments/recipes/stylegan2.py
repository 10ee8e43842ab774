"""StyleGAN2, generator and discriminator, on a data set or a folder of images.

Non-saturating loss, R1 and path lengths in lazy regularisation, style mixing, averaged weights; adaptive or
differentiable augmentation for small sets. Pictures, a log and warnings lie in NAME.progress on the way. Images whose
side is no power of two get a black border up to the next one.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", arXiv 1912.04958; "Training Generative
Adversarial Networks with Limited Data", arXiv 2006.06676.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, final

from torch import Tensor
from torch.nn import functional

from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.specs import Card, Scalar
from advgen.core.types import Slice
from advgen.experiments.recipes._gan_make import GanTraining, make_gan
from advgen.experiments.recipes._gan_phases import Weights
from advgen.experiments.recipes._gan_train import GanPlan
from advgen.experiments.recipes._make import Splits, Work, load_splits
from advgen.generators.stylegan2 import DiscriminatorConfig, GeneratorConfig, widths
from advgen.generators.stylegan2.config import MAX_RESOLUTION

_LATER: Mapping[str, Scalar] = {
    "grow": 0,
    "jitter": 0,
    "vectors": None,
    "normalisation": "demodulation",
    "noise": "random",
}  # arguments that the cards of earlier trainings do not have


@final
@dataclass(frozen=True)
class StyleGAN2:
    data: str = "avatars"  # name of a data set, or folder:PATH
    size: int | None = None  # pixels, both sides; None = as the data set is
    variety: str | None = None  # of avatars: plain or full; None = the data set's own
    count: int = 0  # images of the train split; 0 = all
    mirror: bool = False  # flip half of the real images
    jitter: int = 0  # pixels by which real images are shifted at random
    condition: Literal["none", "labels", "captions"] = "none"  # what the networks are told of an image
    vectors: str | None = None  # word vectors by name or file; captions are their SIF-weighted means
    images: int = 300_000  # real images shown in all
    batch_size: int = 32
    z_dim: int = 128
    w_dim: int = 128
    mapping_layers: int = 4
    channel_base: int = 2048  # feature maps at a size: channel_base / size ...
    channel_max: int = 128  # ... and at most so many
    architecture: Literal["skip", "orig", "resnet"] = "skip"  # of the generator
    normalisation: Literal["demodulation", "adain", "none"] = "demodulation"  # of the generator's features
    judging: Literal["resnet", "skip", "orig"] = "resnet"  # architecture of the discriminator
    learning_rate: float = 2.5e-3  # of Adam
    r1_gamma: float | None = None  # None = 0.0002 resolution^2 / batch_size
    r1_every: int = 16  # steps; 0 = without
    path_weight: float = 2.0  # of path-length regularisation
    path_every: int = 4  # steps; 0 = without
    mixing: float = 0.9  # probability of two z in one image
    ema_images: int = 10_000  # half-life of the averaged weights
    augment: Literal["none", "ada", "diffaug"] = "none"
    augmentations: str = ""  # "" = bgc of ada; color,translation,cutout of diffaug
    precision: Literal["32", "bf16"] = "32"  # of the two main losses
    # none: all that is seen comes from w, nothing from noise maps; last: these reach the last layer alone, as grain
    noise: Literal["random", "last", "none"] = "random"
    grow: int = 0  # images in which each size fades in (progressive growing); 0 = the full size from the start
    every: int = 20_000  # images between two looks
    rollbacks: int = 2  # times that a training whose numbers are not finite may go back
    # all = the trained generator and the discriminator as well; looks = the averaged generator of each look as well,
    # as IMAGES.safetensors in NAME.progress; state = all, and the finished training may go on to more images
    keep: Literal["generator", "all", "looks", "state"] = "generator"
    name: str | None = None  # of the checkpoint; None = from the arguments

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        args = () if self.variety is None else (("variety", self.variety),)
        splits = bordered(load_splits(self.data, self.size, args, counts={"train": self.count}))
        channels, resolution = splits.train.images_u8.shape[1], splits.train.images_u8.shape[-1]
        conditions = self._conditions(splits.train)
        c_dim = 0 if conditions is None else conditions.shape[1]
        maps = widths(resolution, channel_base=self.channel_base, channel_max=self.channel_max)
        generator = GeneratorConfig(
            resolution,
            maps,
            channels,
            self.z_dim,
            self.w_dim,
            c_dim,
            self.mapping_layers,
            self.architecture,
            normalisation=self.normalisation,
        )
        discriminator = DiscriminatorConfig(
            resolution, maps, channels, c_dim, maps[0] if c_dim else 0, self.mapping_layers, self.judging
        )
        training = GanTraining(
            self.name or self._name(resolution, seed), "stylegan2", self._args(), generator, discriminator, splits,
            conditions, self._plan(resolution), self.keep,
        )  # fmt: skip
        return make_gan(training, Work(out, seed, device, resume, limit, meter))

    def _args(self) -> dict[str, Scalar]:
        """What stands on the card; an argument that came later only where it is used."""
        return {name: value for name, value in asdict(self).items() if name not in _LATER or value != _LATER[name]}

    def _plan(self, resolution: int) -> GanPlan:
        gamma = 0.0002 * resolution**2 / self.batch_size if self.r1_gamma is None else self.r1_gamma
        weights = Weights(gamma, self.r1_every, self.path_weight, self.path_every, mixing=self.mixing)
        chosen = self.augmentations or {"diffaug": "color,translation,cutout"}.get(self.augment, "bgc")
        return GanPlan(
            self.images, weights, self.batch_size, self.learning_rate, self.ema_images, self.mirror, self.jitter,
            self.augment, chosen, precision=self.precision, noise=self.noise, grow=self.grow, every=self.every,
            rollbacks=self.rollbacks,
        )  # fmt: skip

    def _conditions(self, train: Slice) -> Tensor | None:
        if self.condition == "none":
            return None
        if self.condition == "captions":
            return captioned(train, self.vectors)
        return functional.one_hot(train.labels, len(train.classes)).float()

    def _name(self, resolution: int, seed: int) -> str:
        data = re.sub(r"[^a-z0-9]+", "_", self.data.lower()).strip("_")
        return f"stylegan2_{data}_{resolution}_seed{seed}"


def captioned(part: Slice, vectors: str | None) -> Tensor:
    """(N, D) unit phrase vectors of a slice's captions: text and images are learned together.

    Raises:
        BadArgument: no word vectors are named, or an image has no caption.
    """
    if vectors is None:
        raise BadArgument("condition=captions needs word vectors: vectors=NAME_OR_FILE.")
    captions = part.table["caption"].to_pylist() if "caption" in part.table.column_names else [None]
    if not all(captions):
        raise BadArgument("condition=captions needs a caption for each image, and this data set lacks some.")
    from advgen.embeddings.encoders.phrase import Phrase

    return Phrase(vectors).encode(captions)


def bordered(splits: Splits) -> Splits:
    """Square images whose side is a power of two, by a black border where it is not.

    Raises:
        BadArgument: images that are not square, or too large.
    """
    height, width = splits.train.images_u8.shape[-2:]
    if height != width or height > MAX_RESOLUTION:
        raise BadArgument(
            f"StyleGAN2 makes square images of up to {MAX_RESOLUTION} pixels a side, and these are {width}x{height}; "
            "give a size."
        )
    border = (1 << (height - 1).bit_length()) - height
    if not border:
        return splits
    around = (border // 2, border - border // 2) * 2
    return Splits(*(part._replace(images_u8=functional.pad(part.images_u8, around)) for part in splits))
