"""The real images of a step and the conditions of both kinds, from (seed, step) alone."""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from advgen.core.rng import stream_seed
from advgen.experiments.recipes._gan_phases import Conditions, Draws


@dataclass
class Batches:
    """Batches of a data set, each of its images once an epoch."""

    data: Tensor  # uint8 (N, C, R, R)
    conditions: Tensor | None  # (N, its length)
    batch: int  # images over all processes
    seed: int
    mirror: bool = False
    jitter: int = 0  # pixels
    _epoch: int | None = field(default=None, init=False)

    def at(
        self, step: int, attempt: int, rank: int, world: int, device: torch.device
    ) -> tuple[Tensor, Conditions | None]:
        """A process' real images (batch / world, C, R, R) in [0, 1], and conditions for them and for generated ones."""
        count, batch = len(self.data), self.batch
        places = torch.arange(step * batch, (step + 1) * batch)
        epochs = places // count
        chosen = torch.cat([self._order(int(e))[places[epochs == e] % count] for e in epochs.unique()])
        draws = Draws(self.seed, "data", f"{step}/{attempt}", rank, world, device)
        mine = chosen[rank::world]
        images = self.data[mine].to(device).float() / 255
        if self.mirror:
            flipped = draws.mine(draws.below(2, batch))
            images = torch.where(flipped[:, None, None, None] == 1, images.flip(3), images)
        if self.jitter:
            images = shifted(images, draws.mine(draws.below(2 * self.jitter + 1, batch, 2)), self.jitter)
        images = images.contiguous(memory_format=torch.channels_last)
        if self.conditions is None:
            return images, None
        drawn = self.conditions[draws.below(count, batch)]
        return images, Conditions(self.conditions[mine].to(device), draws.mine(drawn))

    def _order(self, epoch: int) -> Tensor:
        if self._epoch != epoch:
            generator = torch.Generator().manual_seed(stream_seed(self.seed, "train/order", str(epoch)))
            self._epoch, self._permutation = epoch, torch.randperm(len(self.data), generator=generator)
        return self._permutation


def shifted(images: Tensor, corners: Tensor, most: int) -> Tensor:
    """Images (N, C, H, W) cut at `corners` (N, 2), each 0 to 2 `most`, from themselves with repeated edges."""
    height, width = images.shape[2:]
    padded = functional.pad(images, (most,) * 4, mode="replicate")
    return torch.stack(
        [p[:, y : y + height, x : x + width] for p, (y, x) in zip(padded, corners.tolist(), strict=True)]
    )
