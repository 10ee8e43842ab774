"""The inversion alone: what a generator makes of an image, with nothing searched; the base rate of latent attacks.

A target that is wrong about the inversion was not fooled by what an attack did after it. An inversion outside the
budget is no answer: the image comes back as it was, and the notes say so.

Abdal et al. 2019, "Image2StyleGAN", arXiv 1904.03189, for inversions in W+.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

from torch import Tensor

from advgen.attacks.engine import Adam, Problem, begin_in_latents, descend, latent_result
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import AttackResult, Budget, Generator, Goal, Inverter, Target


@final
@dataclass(frozen=True)
class Inversion:
    paper = "Abdal et al. 2019, arXiv 1904.03189"
    access = "score"
    budgets = ("Latent", "Lpips", "Identity")
    needs = ("generator", "inverter")
    cost = "forward"
    waives: ClassVar = {
        "a_raising_target_is_not_silenced": "the image that makes the toy raise is one that no generator makes",
        "unbounded_always_wins": "a control: it does not search",
    }

    budget: Budget
    limit: float | None = None  # of the inversion's distance; None = any
    weights: str | None = None  # of the generator; None = the shipped one of the data
    inversion: Literal["encoder", "hybrid", "image2stylegan", "pivotal"] = "hybrid"  # how images get their latents
    inversion_steps: int | None = None  # of the optimiser; None = the method's
    generator: Generator | None = field(default=None, repr=False, compare=False)
    inverter: Inverter | None = field(default=None, repr=False, compare=False)

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        assert self.generator is not None
        where = begin_in_latents(
            self.generator, self.inverter, images, kind="w+", limit=self.limit, reach=None, rng=rng, meter=meter
        )
        problem = Problem(target, where.space, self.budget, goal, images, rng, meter)
        return latent_result(descend(problem, steps=0, step_rule=Adam(0.0)), problem, where)
