"""Texts as directions: prompts ensembled over templates, and the way from a neutral text to the wanted one.

Ensembling: Radford et al. 2021, arXiv 2103.00020, section 3.1.4. The difference of two texts: Patashnik et al. 2021,
"StyleCLIP", arXiv 2103.17249, section 6. Templates whose own words an encoder lacks are left out for it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from advgen.core.errors import BadArgument
from advgen.core.types import TextEncoder

TEMPLATES = (
    "{}",
    "{}.",
    "a photo of {}",
    "a picture of {}",
    "an image of {}",
    "a portrait of {}",
    "a drawing of {}",
    "this is {}",
    "a close-up photo of {}",
    "a good photo of {}",
    "a bad photo of {}",
    "a blurry photo of {}",
    "a bright photo of {}",
    "a dark photo of {}",
    "a cropped photo of {}",
    "a small picture of {}",
    "the face of {}",
    "a painting of {}",
    "a cartoon of {}",
    "a rendering of {}",
)
_SAME = 1e-4  # length of a difference of two unit vectors that is rounding


def check_template(template: str) -> None:
    """Refuses a template without exactly one place for the text."""
    if template.count("{}") != 1:
        raise BadArgument(f"a template must hold {{}} once, where the text goes, got {template!r}.")


def usable(encoder: TextEncoder, templates: Sequence[str] = TEMPLATES) -> tuple[str, ...]:
    """The templates all of whose words the encoder knows; "{}" at least."""
    for template in templates:
        check_template(template)
    kept = tuple(t for t in templates if not t.replace("{}", "").strip(" .,") or not encoder.unknown(t.format("")))
    return kept or ("{}",)


@torch.no_grad()
def ensembled(encoder: TextEncoder, text: str, templates: Sequence[str] = TEMPLATES) -> Tensor:
    """(D,) of length one: the mean over templates of the text's unit vectors.

    Raises:
        BadArgument: an empty text, one that the encoder cannot hold, or a template that is none.
    """
    if not text.strip():
        raise BadArgument("the prompt is empty; words that say what the picture should show were expected.")
    rows = encoder.encode([template.format(text.strip()) for template in usable(encoder, templates)])
    return functional.normalize(rows.mean(0), dim=0)


@torch.no_grad()
def text_direction(encoder: TextEncoder, target: str, neutral: str, templates: Sequence[str] = TEMPLATES) -> Tensor:
    """(D,) of length one, from the neutral text to the target.

    Raises:
        BadArgument: as `ensembled`, or both texts are the same to the encoder.
    """
    away = ensembled(encoder, target, templates) - ensembled(encoder, neutral, templates)
    if float(away.norm()) < _SAME:
        raise BadArgument(
            f"{target!r} and the neutral {neutral!r} are the same to the encoder, so there is no way between them; "
            "use words that it knows."
        )
    return functional.normalize(away, dim=0)
