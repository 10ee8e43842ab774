"""Generated: samples of a StyleGAN2, all labelled as generated; what a detector of fakes is attacked on.

No detector learns from these: each split draws from a stream of its own. `count` 0 is 1,024 images.
"""

from dataclasses import dataclass
from typing import final

import numpy as np

from advgen.core.errors import BadArgument
from advgen.core.types import Slice
from advgen.experiments.data import _table

NAME = "generated"
ALL = 1024


@final
@dataclass(frozen=True)
class Generated:
    """`size` None is the generator's own; other sizes are scaled."""

    kind = "image"
    splits = ("train", "validation", "calibration", "test")
    classes = ("real", "generated")
    licence = "as the generator's"

    weights: str = "stylegan2_avatars_64"  # the generator: a name or a file
    seed: int = 0  # of all draws

    def load(self, split: str, count: int, size: int | None) -> Slice:
        """The first `count` samples of `split`, rounded to bytes."""
        import torch

        from advgen.core.files import sha256
        from advgen.core.images import to_uint8
        from advgen.experiments import latent_parts
        from advgen.generators.stylegan2.load import located

        _table.check_split(NAME, split)
        if count < 0:
            raise BadArgument(f"the number of images must be 0 ({ALL}) or more, got {count}.")
        count = count or ALL
        generator = latent_parts.generator(self.weights, torch.device("cpu"))
        made = to_uint8(latent_parts.samples(generator, count, self.seed, purpose=f"generated/{split}"))
        return _table.make_slice(
            NAME,
            split,
            range(count),
            _table.resized(made.permute(0, 2, 3, 1).numpy(), size),
            np.ones(count, np.int64),
            self.classes,
            preprocessing={"weights": sha256(located(self.weights)), "seed": self.seed, "resize": size},
        )
