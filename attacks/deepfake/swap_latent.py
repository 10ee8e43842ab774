"""Face swap in latent space: the rows of w that carry identity come from one face, all others from the other.

Both faces are inverted; rows `first` to `last` of the driving face's w, which carry its person, are replaced by the
source's, and the picture is made again. So pose, expression, light and what is worn are the driving face's. Inside a
soft mask the change is blended into the driving picture, whose border stays as it was: `difference` adds what the rows
change to the driving picture itself, so that what its inversion has lost is kept; `paste` lays the new face over it.
As an attack it is unrestricted: the source is a picture of the wanted class (of the nearest other class, where none is
wanted), the driving face is the image itself. Which rows carry identity is measured against the renderer's true swaps:
see docs/detecting_fakes.md.

Style mixing after Karras et al. 2019, arXiv 1812.04948, section 3.1; identity in rows of W+ of inverted faces after
Nitzan et al. 2020, arXiv 2005.07728, section 1, and Xu et al. 2022, "High-resolution Face Swapping via Latent
Semantics Disentanglement", arXiv 2203.15958, section 3.1.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

import torch
from torch import Tensor

from advgen.attacks.engine import begin_in_latents
from advgen.core.errors import BadArgument
from advgen.core.meter import Counted, Meter
from advgen.core.rng import SampleRng
from advgen.core.types import AttackResult, Budget, Generator, Goal, Inverter, Target

CENTRE, HALF_AXES = (0.54, 0.5), (0.36, 0.27)  # of an aligned face: (down, across), shares of the sides
EDGE = 0.25  # of the axes, over which the mask fades


@final
@dataclass(frozen=True)
class SwapLatent:
    paper = "Xu et al. 2022, arXiv 2203.15958"
    access = "score"
    needs = ("generator", "inverter", "gallery")
    cost = "forward"
    trial: ClassVar = {"first": 0, "last": 1, "mask": "none", "blend": "paste"}
    waives: ClassVar = {
        "unbounded_always_wins": "it does not search: what is made of the wanted class need not be taken for it",
    }

    budget: Budget | None = field(default=None, repr=False, compare=False)
    first: int = 1  # row of w, counted from 0, where identity begins
    last: int = 2  # row of w where it ends, itself included
    blend: Literal["difference", "paste"] = "difference"  # the change alone, or the whole new face
    mask: Literal["ellipse", "none"] = "ellipse"  # where the new face shows: an aligned face's middle, or everywhere
    limit: float | None = None  # of the inversions' distances; None = any
    weights: str | None = None  # of the generator; None = the shipped one of the data
    inversion: Literal["encoder", "hybrid", "image2stylegan", "pivotal"] = "hybrid"  # how images get their latents
    inversion_steps: int | None = None  # of the optimiser; None = the method's
    generator: Generator | None = field(default=None, repr=False, compare=False)
    inverter: Inverter | None = field(default=None, repr=False, compare=False)
    gallery: Tensor | None = field(default=None, repr=False, compare=False)  # (K, C, H, W), a picture of each class

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last:
            raise BadArgument(
                f"deepfake/swap_latent: first and last are rows of w from 0 on, got {self.first} to {self.last}."
            )
        for name, known in (("mask", ("ellipse", "none")), ("blend", ("difference", "paste"))):
            if getattr(self, name) not in known:
                raise BadArgument(
                    f"deepfake/swap_latent: {name} must be {' or '.join(known)}, got {getattr(self, name)!r}."
                )

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        assert self.gallery is not None
        others = self.gallery.to(images)[_other(Counted(target, meter), images, goal, rng)]
        return self.swap(others, images, rng=rng, meter=meter)

    @torch.no_grad()
    def swap(
        self, source: Tensor, driving: Tensor, *, rng: SampleRng, meter: Meter, mask: Tensor | None = None
    ) -> AttackResult:
        """The persons of `source` in the pictures `driving`, both (N, C, H, W) in [0, 1]; notes how far each inversion
        lies from its picture.

        mask: (1 or N, 1, H, W) in [0, 1], 1 where the new face shows, in place of the argument.

        Raises:
            BadArgument: images of another size than the generator's, an inversion beyond the limit, rows that the
                generator has not.
        """
        assert self.generator is not None
        if self.last >= self.generator.num_ws:
            raise BadArgument(
                f"deepfake/swap_latent: the generator has rows 0 to {self.generator.num_ws - 1} of w, and last is "
                f"{self.last}."
            )
        with torch.enable_grad():
            there, here = (
                begin_in_latents(
                    self.generator, self.inverter, faces, kind="w+", limit=self.limit, reach=None,
                    rng=rng.fork(purpose), meter=meter,
                )
                for faces, purpose in ((source, "source"), (driving, "driving"))
            )  # fmt: skip
        change = torch.zeros_like(here.space.w)
        rows = slice(self.first, self.last + 1)
        change[:, rows] = (there.space.w - here.space.w)[:, rows] / here.space.spread
        made = here.space.decode(change)
        if self.blend == "difference":
            made = (driving + made - here.space.decode(torch.zeros_like(change))).clamp(0.0, 1.0)
        shown = mask if mask is not None else ellipse(driving) if self.mask == "ellipse" else None
        images = made if shown is None else torch.lerp(driving, made, shown.to(made))
        return AttackResult(images, {"inversion_distance": here.distance, "source_distance": there.distance})


def ellipse(images: Tensor) -> Tensor:
    """(1, 1, H, W) in [0, 1]: 1 in the middle of an aligned face, 0 at its border, smooth between."""
    height, width = images.shape[-2:]
    down = (torch.arange(height, device=images.device) + 0.5) / height - CENTRE[0]
    across = (torch.arange(width, device=images.device) + 0.5) / width - CENTRE[1]
    away = ((down[:, None] / HALF_AXES[0]).square() + (across / HALF_AXES[1]).square()).sqrt()
    share = ((1 + EDGE - away) / EDGE).clamp(0.0, 1.0)
    return (share.square() * (3 - 2 * share))[None, None].to(images)


def _other(target: Target, images: Tensor, goal: Goal, rng: SampleRng) -> Tensor:
    """(N,) classes whose picture is the source."""
    if goal.wanted is not None:
        return goal.wanted
    with torch.no_grad():
        logits = target(images, rng).logits
    if logits.shape[1] == 1:
        return 1 - goal.labels
    return logits.scatter(1, goal.labels[:, None], -torch.inf).argmax(1)
