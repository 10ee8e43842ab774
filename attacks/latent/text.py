"""A sentence says what changes in the picture, and the change it finds is one that fools the target.

The search in w+ (or another latent space) goes down the goal's loss, with the prompt as a condition beside it: the
picture's score for the prompt, against a neutral text, must rise by `gain` standard deviations of that score over the
generator's own samples. The condition enters as a detector's alarm does, so that fooling buys no slack for the
prompt, nor the prompt for fooling; the budget (LPIPS, identity or latent distance) holds as in `latent/pgd`.
`only="edit"` leaves the target out and `only="attack"` the prompt: the ablations without which a success says little.

After Shamshad et al. 2023, "CLIP2Protect", arXiv 2306.10008, section 3.2 (equation 5: adversarial, text and identity
terms over w+, the generator tuned to the image first; here inversion="pivotal"), and Patashnik et al. 2021, StyleCLIP,
arXiv 2103.17249, section 4. Written from the papers. CLIP2Protect's method is subject to a patent application, and its
authors' program carries no licence.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, final

from torch import Tensor

from advgen.attacks.engine import (
    Adam,
    Found,
    Problem,
    Says,
    StepRule,
    TextAlone,
    WithText,
    begin_in_latents,
    descend,
    latent_result,
    random_start,
    steepest,
    with_restarts,
)
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import AttackResult, Budget, Generator, Goal, ImageTextEncoder, Inverter, Target


@final
@dataclass(frozen=True)
class Text:
    paper = "Shamshad et al. 2023, arXiv 2306.10008"
    access = "white-box"
    budgets = ("Lpips", "Identity", "Latent")
    needs = ("generator", "inverter", "image_text_encoder")
    cost = "gradient"
    trial: ClassVar = {"steps": 60, "prompt": "round glasses", "only": "attack"}
    waives: ClassVar = {
        "a_raising_target_is_not_silenced": "the image that makes the toy raise is one that no generator makes"
    }

    budget: Budget
    prompt: str = "a person with glasses"  # what the picture is to show
    neutral: str = "a person"  # what it shows in any case
    gain: float = 1.0  # standard deviations by which the score must rise
    only: Literal["both", "edit", "attack"] = "both"  # the ablations
    space: Literal["w", "w+", "s"] = "w+"  # what moves
    steps: int = 80  # gradient steps a restart
    step_size: float | None = None  # in the space's unit; None = 2.5 radius / steps, or Adam's for learned distances
    restarts: int = 1  # each on the samples that have not been won yet
    samples: int = 1  # draws of a random target averaged a step (EOT)
    penalty: float = 10.0  # for each radius that a learned distance is too far
    limit: float | None = None  # of the inversion's distance; None = any
    reach: float | None = None  # keeps w within so many typical distances of its mean; None = anywhere
    weights: str | None = None  # of the generator; None = the shipped one of the data
    clip: str | None = None  # the encoder of texts and images; None = the shipped one of the data
    inversion: Literal["encoder", "hybrid", "image2stylegan", "pivotal"] = "hybrid"  # how images get their latents
    inversion_steps: int | None = None  # of the optimiser; None = the method's
    generator: Generator | None = field(default=None, repr=False, compare=False)
    inverter: Inverter | None = field(default=None, repr=False, compare=False)
    image_text_encoder: ImageTextEncoder | None = field(default=None, repr=False, compare=False)

    def run(self, target: Target, images: Tensor, goal: Goal, *, rng: SampleRng, meter: Meter) -> AttackResult:
        assert self.generator is not None
        assert self.image_text_encoder is not None
        where = begin_in_latents(
            self.generator, self.inverter, images, kind=self.space, limit=self.limit, reach=self.reach, rng=rng,
            meter=meter,
        )  # fmt: skip
        says = Says.of(self.image_text_encoder, self.prompt, self.neutral, self.generator)
        before = says.score(images).detach()
        asked: Target = target
        if self.only != "attack":
            asked = WithText(target, says, before + self.gain * says.sigma)
        searched: Goal = TextAlone(goal) if self.only == "edit" else goal
        problem = Problem(asked, where.space, self.budget, searched, images, rng, meter)
        found = latent_result(with_restarts(problem, self._attempt, restarts=self.restarts), problem, where)
        gained = (says.score(found.images) - before).detach() / says.sigma
        return AttackResult(found.images, {**found.note, "text_gain": gained})

    def _attempt(self, problem: Problem, r: int) -> Found:
        return descend(
            problem,
            steps=self.steps,
            step_rule=self._step_rule(problem),
            start=random_start(problem) if r > 0 else None,
            samples=self.samples,
            penalty=self.penalty,
        )

    def _step_rule(self, problem: Problem) -> StepRule:
        if problem.budget.of == "coordinates":
            return steepest(problem.budget, self.step_size, steps=self.steps)
        return Adam(0.03 if self.step_size is None else self.step_size)
