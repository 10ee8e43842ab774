"""The engine: a goal, a budget, a search space and an optimiser are four independent parts, joined by one loop.

An attack assembles pieces (space, budget, goal, step rule, gradient rules) and calls `descend`, or `descend_adaptively`
for APGD's schedule. The loss is summed over the batch, never averaged, so that a sample's gradient does not depend on
its neighbours; gradients go to the search variable only. Best-so-far ranks by (inside the budget, goal reached, loss).
"""

from advgen.attacks.engine._adaptive import descend_adaptively
from advgen.attacks.engine._descent import Best, descend, fools_on_bytes, random_start, with_restarts
from advgen.attacks.engine._goals import Towards, likeliest_rivals, with_objective
from advgen.attacks.engine._gradients import (
    Blurred,
    GradientRule,
    Momentum,
    Resized,
    Scaled,
    SlopeAt,
    Variance,
    transfer_rules,
)
from advgen.attacks.engine._latents import begin_in_latents, latent_result
from advgen.attacks.engine._nearest import Nearest, asked_on_bytes, free_ball, on_bytes
from advgen.attacks.engine._perceptual import FeatureNorm
from advgen.attacks.engine._prepared import Fast, prepare
from advgen.attacks.engine._problem import Attempt, Found, Problem, Stop, ask, slope_of
from advgen.attacks.engine._projections import onto_hyperplane_and_box, onto_l1_and_box
from advgen.attacks.engine._says import Says, TextAlone, WithText
from advgen.attacks.engine._schedules import checkpoints
from advgen.attacks.engine._steps import Adam, Normalised, Sign, Sparse, StepRule, steepest
from advgen.attacks.engine._tanh import EDGE, into_tanh, out_of_tanh

__all__ = [
    "EDGE",
    "Adam",
    "Attempt",
    "Best",
    "Blurred",
    "Fast",
    "FeatureNorm",
    "Found",
    "GradientRule",
    "Momentum",
    "Nearest",
    "Normalised",
    "Problem",
    "Resized",
    "Says",
    "Scaled",
    "Sign",
    "SlopeAt",
    "Sparse",
    "StepRule",
    "Stop",
    "TextAlone",
    "Towards",
    "Variance",
    "WithText",
    "ask",
    "asked_on_bytes",
    "begin_in_latents",
    "checkpoints",
    "descend",
    "descend_adaptively",
    "fools_on_bytes",
    "free_ball",
    "into_tanh",
    "latent_result",
    "likeliest_rivals",
    "on_bytes",
    "onto_hyperplane_and_box",
    "onto_l1_and_box",
    "out_of_tanh",
    "prepare",
    "random_start",
    "slope_of",
    "steepest",
    "transfer_rules",
    "with_objective",
    "with_restarts",
]
