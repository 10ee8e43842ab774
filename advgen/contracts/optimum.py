"""What an attack must reach, and what it cannot: closed forms of linear targets, unbounded budgets, hard logits."""

import math
from dataclasses import fields

import torch

from advgen.contracts import subjects, toys
from advgen.contracts.contract import NotApplicable, first_violation, named, rows
from advgen.contracts.subjects import Scene, Variant, attempt, goal_of, known_scenes
from advgen.contracts.toys import Placed

REACHED_AT = 1.05  # times the optimal radius
MINIMUM_AT = 1.25  # for searches for the smallest change, which are heuristics
PENALISED_AT = 1.25  # for budgets without a closed form: they are searched with a penalty, and a little inside
PIXELS_AT = 4.0  # for L0: choosing pixels is a search over sets
MISSED_AT = 0.95


def reaches_the_closed_form_optimum(variant: Variant) -> str:
    """On linear targets it wins every image just above the radius at which that can be done."""
    if not variant.norm or variant.norm == "Latent":
        return NotApplicable("there is no closed form for what it moves in")
    if _through_generator(variant):
        return NotApplicable("the optimum is no image that its generator makes")
    return first_violation(*(_reaches(variant, found) for found in known_scenes(variant)))


def never_beats_the_closed_form_optimum(variant: Variant) -> str:
    """On linear targets nothing wins below the radius at which that can be done: else something is measured wrongly."""
    if not variant.norm or variant.norm == "Latent":
        return NotApplicable("there is no closed form for what it moves in")
    return first_violation(*(_beats(variant, found) for found in known_scenes(variant)))


def unbounded_always_wins(variant: Variant) -> str:
    """With a budget that forbids nothing it wins every image of a differentiable target."""
    found = []
    for one in known_scenes(variant):
        tried = attempt(variant.build(subjects.UNBOUNDED.get(variant.norm)), one)
        found.append(_lost(one, tried.reached, "with an unbounded budget"))
    return first_violation(*found)


def wins_where_all_logits_are_negative(variant: Variant) -> str:
    """A constant added to all logits changes no decision, and no attack."""
    return _wins_on(variant, toys.all_negative(), "when all logits are negative")


def wins_where_logits_are_times_100(variant: Variant) -> str:
    """Overconfident logits change no decision, and no attack."""
    return _wins_on(variant, toys.times_100(), "when logits are times 100")


def moves_pixels_that_are_0_or_1(variant: Variant) -> str:
    """Images of nothing but black and white are won, or at least moved: a tanh of the images has no slope there."""
    if not {"untargeted", "targeted"} & set(variant.goals):
        return NotApplicable("its goals need a target that decides by sign")
    if _through_generator(variant) and variant.norm != "Latent":
        return NotApplicable("black and white images are none that its generator makes")
    generator = torch.Generator().manual_seed(7)
    images = torch.randint(0, 2, (200, *toys.SHAPE), generator=generator).float()
    target = toys.two_class()
    # Near the boundary, so that small trial arguments suffice.
    images = images[target(images).logits[:, 0].abs().argsort()[:6]]
    labels = target(images).logits.argmax(1)
    name = "untargeted" if "untargeted" in variant.goals else "targeted"
    goal = goal_of(target, labels, name, 1 - labels if name == "targeted" else None)
    placed = Placed(images, labels, tuple(f"toy/test/{i}" for i in range(len(images))))
    radius = None
    if variant.norm in toys.RADII or variant.norm == "L0":
        # About half of the pixels can move the right way.
        radius = 4 * float(toys.optimal_radius(target, images, labels, variant.norm).max())
    elif variant.norm:
        radius = subjects.UNBOUNDED[variant.norm]
    tried = attempt(variant.build(radius), Scene("black and white", target, placed, goal))
    stuck = ~tried.reached & (tried.images == images).flatten(1).all(1)
    return f"moved no pixel of images made of exact 0 and 1, in {rows(stuck)}" if bool(stuck.any()) else ""


def more_steps_never_lose(variant: Variant) -> str:
    """Four times the steps win at least as many images near the optimal radius, or move them no farther."""
    given = {f.name: f.default for f in fields(variant.cls)}
    if "steps" not in given:
        return NotApplicable("it has no steps")
    if not variant.norm:
        return NotApplicable("there is no closed form for what it moves in")
    found = known_scenes(variant)[0]
    few = getattr(variant.cls, "trial", {}).get("steps", given["steps"])
    if variant.minimum:
        near, far = (attempt(variant.build(steps=s), found) for s in (few, 4 * few))
        if int(far.reached.sum()) < int(near.reached.sum()):
            return f"wins {int(near.reached.sum())} images with {few} steps and {int(far.reached.sum())} with {4 * few}"
        both = near.reached & far.reached
        moved = [float(_moved(variant, found, t.images)[both].sum()) for t in (near, far)]
        return f"moves images {moved[1] / moved[0] - 1:.1%} farther with {4 * few} steps" * (moved[1] > 1.01 * moved[0])
    for share in (1.01, 1.03):
        radius = share * toys.RADII.get(variant.norm, subjects.USUAL[variant.norm])
        won = [int(attempt(variant.build(radius, steps=s), found).reached.sum()) for s in (few, 4 * few)]
        if won[1] < won[0]:
            return f"wins {won[0]} images with {few} steps and {won[1]} with {4 * few}"
    return ""


OPTIMUM = named(
    reaches_the_closed_form_optimum,
    never_beats_the_closed_form_optimum,
    unbounded_always_wins,
    wins_where_all_logits_are_negative,
    wins_where_logits_are_times_100,
    moves_pixels_that_are_0_or_1,
    more_steps_never_lose,
)


def _through_generator(variant: Variant) -> bool:
    return "generator" in getattr(variant.cls, "needs", ())


def _reaches(variant: Variant, found: Scene) -> str:
    if variant.minimum:
        tried = attempt(variant.build(), found)
        far = _moved(variant, found, tried.images) / _optimum(variant, found)
        late = ~tried.reached | (far > MINIMUM_AT)
        return f"needs more than {MINIMUM_AT} times the optimal radius ({found.name}) in {rows(late)}" * bool(
            late.any()
        )
    share = PIXELS_AT if variant.norm == "L0" else REACHED_AT if variant.build().budget.closed_form else PENALISED_AT
    radius = share * float(_optimum(variant, found).max())
    if variant.norm == "L0":
        radius = math.ceil(radius)
    return _lost(found, attempt(variant.build(radius), found).reached, f"at {share} times the optimal radius")


def _beats(variant: Variant, found: Scene) -> str:
    optimum = _optimum(variant, found)
    if variant.minimum:
        tried = attempt(variant.build(), found)
        early = tried.reached & (_moved(variant, found, tried.images) / optimum < MISSED_AT)
    else:
        radius = MISSED_AT * float(optimum.min())
        early = attempt(variant.build(math.floor(radius) if variant.norm == "L0" else radius), found).reached
    return f"wins below the optimal radius ({found.name}) in {rows(early)}" * bool(early.any())


def _wins_on(variant: Variant, target: toys.Toy, when: str) -> str:
    """Against logits that decide alike it wins what it wins against the plain ones."""
    if not {"untargeted", "targeted"} & set(variant.goals):
        return NotApplicable("its goals need a target that decides by sign")
    found = []
    for plain in (s for s in known_scenes(variant) if s.name.startswith("four")):
        radius = subjects.USUAL.get(variant.norm)
        if variant.norm in toys.RADII:
            radius = MINIMUM_AT * toys.RADII[variant.norm]
        attack = variant.build(radius)
        lost = attempt(attack, plain).reached & ~attempt(attack, plain._replace(target=target)).reached
        found.append(f"loses {rows(lost)} {when} ({plain.name})" if bool(lost.any()) else "")
    return first_violation(*found)


def _lost(found: Scene, reached: torch.Tensor, when: str) -> str:
    return "" if bool(reached.all()) else f"does not win {when} ({found.name}): {rows(~reached)}"


def _optimum(variant: Variant, found: Scene) -> torch.Tensor:
    assert isinstance(found.target, toys.Toy)
    return toys.optimal_radius(found.target, found.placed.images, found.placed.labels, variant.norm)


def _moved(variant: Variant, found: Scene, images: torch.Tensor) -> torch.Tensor:
    return subjects.make_ball(variant.norm, 1.0).distance(images, found.placed.images)
