"""What the searches over latents and noise maps share: where they start, what is evaluated, what comes out."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.images import check_images
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.types import Generator, Latents
from advgen.inversion.descent import Keep, Trace, Variables, descend, identity_of
from advgen.inversion.gate import resemblance
from advgen.inversion.latents import at_rest, synthesised
from advgen.inversion.likeness import Likeness, Style, Terms
from advgen.inversion.noise import correlation, maps_of

LatentSpace = Literal["w", "w+"]
W = "w"  # the name of the latents among the variables


class Plan(NamedTuple):
    """How a search moves."""

    steps: int
    rates: Callable[[int], Mapping[str, float]]  # step to learning rates of what moves
    together: Callable[[int], bool] = lambda step: False  # whether the rows of w move as one in a step
    wander: Callable[[int], float] = lambda step: 0.0  # standard deviation of noise added to w in a step
    correlation_weight: float = 0.0  # of noise maps
    afterwards: Callable[[dict[str, Tensor], Mapping[str, float]], None] = lambda variables, moved: None


class Around(NamedTuple):
    """What belongs to one call: the images and what surrounds them."""

    images: Tensor
    rng: SampleRng
    meter: Meter
    mask: Tensor | None = None
    style: Style | None = None
    keep: Keep | None = None
    trace: Trace | None = None


def search(
    generator: Generator, likeness: Likeness, start: Variables, plan: Plan, around: Around, *, settings: object
) -> Latents:
    """Follows the plan from `start`, all samples at once, and measures what was found."""
    images, rng = around.images, around.rng
    assert len(rng) == len(images), f"{len(rng)} random streams for {len(images)} images"
    if not len(images):
        return Latents(images.new_zeros(0, generator.num_ws, generator.w_dim), None, images.new_zeros(0), None)
    with at_rest(generator, likeness.perceptual):
        terms = likeness.to(images, mask=around.mask, style=around.style)

        def evaluate(variables: Variables, step: int) -> Terms:
            w, maps = variables[W], maps_of(variables)
            if plan.together(step):
                w = w.mean(1, keepdim=True)
            if sigma := plan.wander(step):
                w = w + sigma * rng.fork(f"wander/{step}").normal(w.shape[1:]).to(w)
            noise: Any = "const" if maps is None else maps
            found = terms(generator.synthesis(w.expand(-1, generator.num_ws, -1), noise=noise))
            if maps is None or not plan.correlation_weight or not maps[0].requires_grad:
                return found
            return found._replace(penalty=plan.correlation_weight * correlation(maps))

        ended = descend(
            start,
            evaluate,
            plan.rates,
            steps=plan.steps,
            # What was seen under noise is not what comes out.
            counts=lambda step: not plan.wander(step),
            afterwards=plan.afterwards,
            keep=around.keep,
            identity=None if around.keep is None else identity(generator, likeness, start, around, settings),
            trace=around.trace,
            meter=around.meter,
        )
        w = ended.variables[W].expand(-1, generator.num_ws, -1).clone()
        latents = Latents(w, maps_of(ended.variables), ended.loss, None)
        made = synthesised(generator, latents)
        return latents._replace(distance=resemblance(made, images, likeness.perceptual, around.mask))


def identity(
    generator: Generator, likeness: Likeness, start: Variables, around: Around, settings: object
) -> dict[str, str]:
    """What a kept state belongs to, part by part."""
    style = around.style
    masks = [x for x in (around.mask, *((style.images, style.mask) if style else ())) if x is not None]
    measure = getattr(likeness.perceptual, "definition", type(likeness.perceptual).__name__)
    rng = around.rng
    return {
        "images": identity_of("images", around.images),
        "masks": identity_of(None if style is None else style.weight, *masks),
        "generator": identity_of(type(generator).__name__, *weights_of(generator)),
        "settings": identity_of((settings, measure, likeness.perceptual_weight, likeness.pixel_weight)),
        "start": identity_of(sorted(start), *(start[name] for name in sorted(start))),
        "samples": identity_of((rng.seed, rng.purpose, rng.ids)),
    }


def weights_of(generator: Generator) -> list[Tensor]:
    """Every parameter and buffer, in order; none for what is no torch module."""
    return list(generator.state_dict().values()) if isinstance(generator, nn.Module) else []


def starting_w(generator: Generator, n: int, space: LatentSpace, start: Latents | Tensor | None) -> Tensor:
    """(N, 1, D) in W, (N, L, D) in W+: the mean, or what was found before (in W the mean of its rows).

    Raises:
        BadArgument: no such space, or a start of another shape.
    """
    if space not in ("w", "w+"):
        raise BadArgument(f"the space must be w or w+, got {space!r}.")
    rows = 1 if space == "w" else generator.num_ws
    if start is None:
        return generator.mean_w.detach().expand(n, rows, -1).clone()
    given = start.w if isinstance(start, Latents) else start
    if tuple(given.shape) != (n, generator.num_ws, generator.w_dim):
        raise BadArgument(
            f"a start for {n} images must be w of the shape ({n}, {generator.num_ws}, {generator.w_dim}), "
            f"got {tuple(given.shape)}."
        )
    given = given.detach().to(generator.mean_w)
    return given.mean(1, keepdim=True) if space == "w" else given.clone()


def fitting(generator: Generator, images: Tensor) -> Tensor:
    """The images on the generator's device, if they are of its size.

    Raises:
        BadArgument: not (N, C, H, W) floats in [0, 1], or of another size.
    """
    check_images(images)
    if tuple(images.shape[-2:]) != tuple(generator.resolution):
        height, width = generator.resolution
        raise BadArgument(
            f"the generator makes {width}x{height} images, and these are {images.shape[3]}x{images.shape[2]}; "
            "resize them first."
        )
    return images.to(generator.mean_w)


def ramp(t: float, *, up: float, down: float) -> float:
    """The share of the learning rate at `t` in [0, 1]: linear over the first `up`, a cosine to 0 over the last `down`.

    As in arXiv 1912.04958, appendix D.
    """
    rising = min(1.0, t / up) if up else 1.0
    falling = 0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - t) / down)) if down else 1.0
    return rising * falling
