"""An edit asked for in words, made for a batch of latents: which method, which texts, how strong.

What judges (perceptual network, identity, attributes, a second CLIP) is handed in; see `strength` for what is done
with it when the strength is to be found.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from advgen.core.errors import BadArgument, UnknownName
from advgen.core.meter import Meter
from advgen.core.types import Generator, ImageTextEncoder, Latents
from advgen.editing import regions
from advgen.editing.directions import load_direction
from advgen.editing.entanglement import Logits
from advgen.editing.global_directions import BETA, FEW, colour_gram, global_direction, solved
from advgen.editing.latent import Identity, LatentOptimisation
from advgen.editing.mapper import load_mapper
from advgen.editing.prompts import TEMPLATES, ensembled, text_direction
from advgen.editing.relevance import RelevanceOf
from advgen.editing.shifts import Shift, pictures, together
from advgen.editing.strength import STEPS, Chosen, Wanted, chosen
from advgen.editing.stylespace import sampled_w
from advgen.inversion.likeness import Metric

METHODS = ("global", "solved", "latent", "mapper", "direction")
UNITS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)  # strengths to try where 1 is the whole edit
SURE = 0.75  # probability of the text against the neutral one, from which on CLIP says that an image shows it
MOST_LPIPS = 0.3
LEAST_IDENTITY = 0.5
SAMPLES = 48  # of the generator, on which the region of a direction is found


@dataclass(frozen=True)
class Edit:
    """What is asked for."""

    prompts: tuple[str, ...]  # all of them at once
    neutral: str = "a person"
    method: str = "global"
    beta: float = BETA  # of global
    templates: tuple[str, ...] = TEMPLATES
    files: tuple[str, ...] = ()  # mappers, one a prompt, or directions
    settings: Mapping[str, Any] | None = None  # of the latent optimisation
    region: float | None = None  # share of the largest effect, from which on a pixel may change; None = all may
    relevance: RelevanceOf = field(default=RelevanceOf())

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UnknownName.among("editing method", self.method, METHODS)
        if not self.prompts:
            raise BadArgument("an edit needs a text.")
        if self.method == "mapper" and len(self.files) != len(self.prompts):
            raise BadArgument(
                f"each text needs the mapper that was trained for it: {len(self.prompts)} texts and {len(self.files)} "
                "mappers were given."
            )
        if self.method == "direction" and not self.files:
            raise BadArgument("the method direction needs the file of a direction.")

    @property
    def steps(self) -> tuple[float, ...]:
        """Strengths to try, smallest first: standard deviations for directions of S, shares of the whole otherwise."""
        return STEPS if self.method in ("global", "solved", "direction") else UNITS

    @property
    def same_for_all(self) -> bool:
        """Whether the shift does not depend on the image, so that it can be kept as a direction."""
        return self.method in ("global", "solved", "direction")


@dataclass(frozen=True)
class Judges:
    """What looks at edited images. Images (N, C, H, W) are in [0, 1]."""

    perceptual: Metric | None = None  # distance of two images; None = root mean square error
    net: str = "none"  # what it is called
    identity: Identity | None = None
    attributes: Logits | None = None
    names: tuple[str, ...] = ()  # of the attributes
    second: ImageTextEncoder | None = None  # a CLIP that did not guide the edit
    wanted: tuple[tuple[str, bool], ...] = ()  # attributes that the edit must show, or must not

    def __post_init__(self) -> None:
        for name, _ in self.wanted:
            if name not in self.names:
                raise UnknownName.among("attribute", name, self.names)

    def distance(self, images: Tensor, originals: Tensor) -> Tensor:
        """(N,) perceptual distance."""
        if self.perceptual is None:
            return (images - originals).square().flatten(1).mean(1).sqrt()
        return self.perceptual(images, originals)

    def likeness(self, images: Tensor, originals: Tensor) -> Tensor:
        """(N,) cosine of identity features."""
        assert self.identity is not None, "no identity network was given"
        return (self.identity(images) * self.identity(originals)).sum(1)

    def shows(self, images: Tensor) -> Tensor:
        """(N,) bool: all attributes are as wanted."""
        assert self.attributes is not None, "no attribute network was given"
        logits = self.attributes(images)
        found = torch.ones(len(images), dtype=torch.bool, device=logits.device)
        for name, present in self.wanted:
            found &= (logits[:, self.names.index(name)] > 0) == present
        return found


class Prepared(NamedTuple):
    """An edit of a batch of latents, not yet at a strength."""

    shift: Shift
    about: Mapping[str, Any]  # numbers of the method


def prepared(
    edit: Edit,
    generator: Generator,
    encoder: ImageTextEncoder,
    latents: Latents,
    *,
    identity: Identity | None = None,
    cache: Path | None = None,
    meter: Meter,
    say: Callable[[str], None] = lambda sentence: None,
) -> Prepared:
    """The shift that does what is asked.

    Raises:
        UserError: a text, file or setting that does not fit the encoder or the generator.
    """
    if edit.method == "direction":
        loaded = [load_direction(Path(file), generator) for file in edit.files]
        return Prepared(together([d.shift for d in loaded]), {"directions": [dict(d.about) for d in loaded]})
    if edit.method == "mapper":
        mappers = [load_mapper(file, generator) for file in edit.files]
        return Prepared(
            together([m.network.shift(latents.w) for m in mappers]), {"mappers": [m.card.name for m in mappers]}
        )
    if edit.method == "latent":
        texts = [ensembled(encoder, prompt, edit.templates) for prompt in edit.prompts]
        text = torch.nn.functional.normalize(torch.stack(texts).sum(0), dim=0)
        optimisation = LatentOptimisation(generator, encoder, identity, **(edit.settings or {}))
        return Prepared(
            optimisation.shift(latents.w, text, noise=latents.noise, meter=meter), {"steps": optimisation.steps}
        )
    directions = [text_direction(encoder, prompt, edit.neutral, edit.templates) for prompt in edit.prompts]
    relevance = edit.relevance.of(generator, encoder, cache=cache)  # type: ignore[arg-type]
    if edit.method == "global":
        found = [global_direction(relevance, text, beta=edit.beta) for text in directions]
    else:
        colours = colour_gram(generator, relevance.std, cache=cache)  # type: ignore[arg-type]
        found = [solved(relevance, text, colours) for text in directions]
    for prompt, one in zip(edit.prompts, found, strict=True):
        if one.channels < FEW and edit.method == "global":
            say(
                f"note: only {one.channels} of {len(relevance.std)} style channels reach beta {edit.beta:g} for "
                f"{prompt!r}, which may change little; lower beta."
            )
    return Prepared(together([one.shift for one in found]), {"channels": [one.channels for one in found]})


def region(
    edit: Edit, generator: Generator, encoder: ImageTextEncoder, latents: Latents, shift: Shift
) -> Tensor | None:
    """(1 or N, 1, H, W) where the edit may show; None = everywhere. What is the same for all is found over samples."""
    if edit.region is None:
        return None
    masks = []
    for prompt in edit.prompts:
        text = text_direction(encoder, prompt, edit.neutral, edit.templates)
        if edit.same_for_all:
            at = shift.times(edit.steps[len(edit.steps) // 2])
            w = sampled_w(generator, SAMPLES, seed=3)
            masks.append(regions.found(generator, encoder, w, at, text, share=edit.region))
        else:
            masks.append(regions.found(generator, encoder, latents.w, shift, text, share=edit.region, each=True))
    return torch.stack(masks).amax(0)


def text_score(encoder: ImageTextEncoder, edit: Edit) -> Callable[[Tensor], Tensor]:
    """Images to (N,) cosines with the texts, less the cosine with the neutral one; of several texts the least."""
    rows = torch.stack([ensembled(encoder, prompt, edit.templates) for prompt in edit.prompts])
    neutral = ensembled(encoder, edit.neutral, edit.templates)

    @torch.no_grad()
    def score(images: Tensor) -> Tensor:
        seen = encoder.encode_images(images)
        return (seen @ rows.to(seen).T).amin(1) - seen @ neutral.to(seen)

    return score


def strengths(
    edit: Edit,
    generator: Generator,
    encoder: ImageTextEncoder,
    latents: Latents,
    shift: Shift,
    originals: Tensor,
    judges: Judges,
    *,
    most_distance: float = MOST_LPIPS,
    least_likeness: float = LEAST_IDENTITY,
    keep: Callable[[Tensor, Tensor], Tensor] = lambda images, index: images,
) -> Chosen:
    """The smallest strength a sample that does what is asked inside the budget.

    Attributes decide where some are wanted; otherwise CLIP does (the second one, where there is one): it must be
    `SURE` that the image shows the text rather than the neutral one. `keep(images, index)` restricts edited images.
    """
    judge = judges.second or encoder
    score = text_score(judge, edit)
    least = torch.logit(torch.tensor(SURE)).item() / judge.logit_scale
    wanted = Wanted(
        score,
        0.0,
        judges.shows if judges.wanted else lambda images: score(images) >= least,
        judges.distance,
        most_distance,
        judges.likeness if judges.identity is not None else None,
        least_likeness,
    )

    def images_at(strength: float, index: Tensor) -> Tensor:
        from advgen.inversion.latents import taken

        return keep(pictures(generator, taken(latents, index), shift.take(index), strength), index)

    return chosen(images_at, originals, wanted, steps=edit.steps)
