"""Flow: pixels are moved, not recoloured; the search space is a field of small displacements.

The four parts are independent, and this is the file that shows it: the space is a flow field, the budget the root mean
square displacement in pixels (`Latent`), the goal anything, the optimiser PGD's or APGD's. The field lives on a grid
of `spacing` pixels and is interpolated between, which keeps it smooth; the paper has a penalty for that, and L-BFGS.

Xiao et al. 2018, "Spatially Transformed Adversarial Examples", arXiv 1801.02612, section 3.2 and equation 1.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self, final

import torch
import torch.nn.functional as F
from torch import Tensor

from advgen.attacks.engine import Found, Problem, descend, descend_adaptively, random_start, steepest, with_restarts
from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import AttackResult, Budget, Goal, Index, Target


@final
@dataclass(frozen=True)
class Flow:
    paper = "Xiao et al. 2018, arXiv 1801.02612"
    access = "white-box"
    budgets = ("Latent",)
    cost = "gradient"
    trial: ClassVar = {"steps": 20, "spacing": 1}
    waives: ClassVar = {
        "unbounded_always_wins": "it moves pixels and cannot make a colour that the image does not have",
    }

    budget: Budget  # root mean square displacement of the grid's points, pixels
    optimiser: Literal["pgd", "apgd"] = "apgd"  # which loop searches the field
    steps: int = 100  # gradient steps a restart
    restarts: int = 1  # each on the samples that have not been won yet
    spacing: int = 4  # pixels between the grid's points; 1 = every pixel for itself
    farthest: float = 8.0  # pixels that a point may move at most, in each direction
    samples: int = 1  # draws of a random target averaged a step (EOT)
    stop: Literal["never", "success"] = "never"  # whether a sample leaves once its saved bytes fool

    def __post_init__(self) -> None:
        if self.budget.of != "coordinates":
            raise BadArgument(
                f"image/flow is bounded by how far pixels move, a budget in Latent, and this one is in "
                f"{self.budget.name}; write Latent 0.5."
            )
        if min(self.steps, self.restarts, self.spacing, self.samples) < 1:
            raise BadArgument(
                "steps, restarts, spacing and samples of image/flow must be 1 or more, "
                f"got {self.steps}, {self.restarts}, {self.spacing} and {self.samples}."
            )

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        if not len(images):
            return AttackResult(images.clone())
        space = _Field(images, self.spacing, self.farthest)
        found = with_restarts(
            Problem(target, space, self.budget, goal, images, rng, meter), self._attempt, restarts=self.restarts
        )
        moved = self.budget.distance(found.coordinates, torch.zeros_like(found.coordinates))
        return AttackResult(found.images, found.note() | {"displacement": moved})

    def _attempt(self, problem: Problem, r: int) -> Found:
        start = random_start(problem)
        if self.optimiser == "apgd":
            return descend_adaptively(problem, steps=self.steps, start=start, samples=self.samples, stop=self.stop)
        rule = steepest(problem.budget, None, steps=self.steps)
        return descend(problem, steps=self.steps, step_rule=rule, start=start, samples=self.samples, stop=self.stop)


@final
@dataclass(frozen=True)
class _Field:
    """Coordinates (N, h * w, 2): displacements in pixels, right and down, of a grid over the images."""

    originals: Tensor
    spacing: int
    farthest: float
    unit: float = 1.0
    pixels: bool = False

    def take(self, index: Index) -> Self:
        return type(self)(self.originals[index], self.spacing, self.farthest)

    def start(self, originals: Tensor, rng: SampleRng) -> Tensor:
        down, across = self._size()
        return originals.new_zeros(len(originals), down * across, 2)

    def decode(self, coordinates: Tensor) -> Tensor:
        """Each pixel of the image is read where the field points to; beyond the border, the border."""
        height, width = self.originals.shape[-2:]
        field = coordinates.reshape(-1, *self._size(), 2).movedim(-1, 1)
        if field.shape[-2:] != (height, width):
            field = F.interpolate(field, (height, width), mode="bilinear", align_corners=True)
        rows = torch.arange(height, device=field.device, dtype=field.dtype)[:, None]
        columns = torch.arange(width, device=field.device, dtype=field.dtype)
        # grid_sample counts from -1 to 1 between the outermost pixels.
        x = 2 * (columns + field[:, 0]) / max(width - 1, 1) - 1
        y = 2 * (rows + field[:, 1]) / max(height - 1, 1) - 1
        grid = torch.stack([x, y], dim=-1)
        moved = F.grid_sample(self.originals, grid, mode="bilinear", padding_mode="border", align_corners=True)
        return moved.clamp(0.0, 1.0)

    def clip(self, coordinates: Tensor) -> Tensor:
        return coordinates.clamp(-self.farthest, self.farthest)

    def _size(self) -> tuple[int, int]:
        height, width = self.originals.shape[-2:]
        return -(-(height - 1) // self.spacing) + 1, -(-(width - 1) // self.spacing) + 1
