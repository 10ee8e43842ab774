"""What encoders of text keep, and of images beside it; the subject is an instance.

The texts are made of common words that the encoder itself says it knows.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from advgen.contracts.contract import GlobalRandomness, NotApplicable, named, rows
from advgen.core.errors import UserError

WORDS = (
    "person", "man", "woman", "face", "hair", "red", "black", "white", "old", "young", "and", "with", "the", "of",
    "eyes", "hand", "light", "water", "city", "year", "blood", "cell", "study", "music",
)  # fmt: skip
NONSENSE = "qzxjvkw"
FEWEST = 3  # known words with which there is something to look at
ROWS_DIFFER = 1e-5  # networks sum in another order in another batch
LENGTH = 1e-5  # by which a row may be longer or shorter than one
SHAPE = (3, 32, 24)


def returns_a_unit_row_a_text(encoder: Any) -> str:
    """float32 (N, D) of length one, D as `dim` says; none for no texts."""
    texts = _texts(encoder)
    if isinstance(texts, NotApplicable):
        return texts
    for asked in (texts, texts[:1], []):
        if wrong := _bad_rows(encoder.encode(asked), len(asked), encoder.dim):
            return wrong
    return ""


def encodes_each_text_by_itself(encoder: Any) -> str:
    """The same text has the same row twice in a batch, in another order, and alone."""
    texts = _texts(encoder)
    if isinstance(texts, NotApplicable):
        return texts
    whole = encoder.encode(texts)
    gap = (encoder.encode([*texts[::-1], texts[0]]) - torch.cat([whole.flip(0), whole[:1]])).abs().amax(1)
    if bool((gap > ROWS_DIFFER).any()):
        return f"gave another row to a text in a batch that is reversed and repeats one, by {float(gap.max()):.1g}"
    gap = (torch.cat([encoder.encode([text]) for text in texts]) - whole).abs().amax(1)
    return f"gave another row to a text alone, by {float(gap.max()):.1g}" if bool((gap > ROWS_DIFFER).any()) else ""


def different_texts_differ(encoder: Any) -> str:
    """Two words are not one vector."""
    texts = _texts(encoder)
    if isinstance(texts, NotApplicable):
        return texts
    found = encoder.encode(texts)
    near = (found @ found.T).fill_diagonal_(-1) > 1 - 1e-7
    return f"gave the same row to {int(near.any(1).sum())} different texts" if bool(near.any()) else ""


def names_the_words_it_lacks(encoder: Any) -> str:
    """`unknown` gives words of the text; a text of unknown words alone is refused, beside known ones it is encoded."""
    texts = _texts(encoder)
    if isinstance(texts, NotApplicable):
        return texts
    text = f"{texts[0]} {NONSENSE}"
    lacks = list(encoder.unknown(text))
    strange = [word for word in lacks if not isinstance(word, str) or word.lower() not in text.lower()]
    if strange:
        return f"named {strange[0]!r} as a word of {text!r}"
    if lacks != list(encoder.unknown(text)) or list(encoder.unknown(texts[0])):
        return "named other unknown words the second time"
    if wrong := _bad_rows(encoder.encode([text]), 1, encoder.dim):
        return wrong
    if not lacks:
        return _bad_rows(encoder.encode([NONSENSE]), 1, encoder.dim)
    return _refusal(lambda: encoder.encode([texts[0], NONSENSE]), f"a text of the unknown word {NONSENSE!r}")


def refuses_an_empty_text(encoder: Any) -> str:
    """In one sentence; a zero vector or the mean of nothing would be a direction that nobody asked for."""
    for text in ("", " \n\t "):
        if wrong := _refusal(lambda text=text: encoder.encode([text]), f"the empty text {text!r}"):
            return wrong
    return ""


def leaves_texts_and_randomness_alone(encoder: Any) -> str:
    """Encoding draws no random numbers, and the list of texts stays as it was."""
    texts = _texts(encoder)
    if isinstance(texts, NotApplicable):
        return texts
    before, given = GlobalRandomness(), list(texts)
    encoder.encode(given)
    if moved := before.changed():
        return moved
    return "" if given == texts else "changed the list of texts that it was given"


def says_what_it_is(encoder: Any) -> str:
    """`dim` is a whole number above 0; `hash` a text that stays the same while it works."""
    if not isinstance(encoder.dim, int) or encoder.dim < 1:
        return f"says dim = {encoder.dim!r}"
    first = encoder.hash
    if not isinstance(first, str) or not first:
        return f"says hash = {first!r}"
    if not isinstance(texts := _texts(encoder), NotApplicable):
        encoder.encode(texts)
    return "" if encoder.hash == first else "changed its hash by encoding"


def returns_a_unit_row_an_image(encoder: Any) -> str:
    """float32 (N, D) of length one for images of any size, of one channel or three; `logit_scale` is above 0."""
    if not hasattr(encoder, "encode_images"):
        return NotApplicable("it encodes no images")
    for shape in (SHAPE, (3, 40, 40), (1, 32, 24)):
        images = _images(shape)
        for n in (len(images), 0):
            if wrong := _bad_rows(encoder.encode_images(images[:n]).detach(), n, encoder.dim):
                return f"{wrong}, for images {shape}"
    scale = encoder.logit_scale
    good = isinstance(scale, float) and math.isfinite(scale) and scale > 0
    return "" if good else f"says logit_scale = {scale!r}; a float above 0 was expected"


def encodes_each_image_by_itself(encoder: Any) -> str:
    """Another order of the batch and each image alone give the same rows; the images stay as they were."""
    if not hasattr(encoder, "encode_images"):
        return NotApplicable("it encodes no images")
    images = _images(SHAPE)
    given = images.clone()
    whole = encoder.encode_images(given).detach()
    if not torch.equal(given, images):
        return "changed the images that it was given"
    gap = (encoder.encode_images(images.flip(0)).detach().flip(0) - whole).abs().amax(1)
    if bool((gap > ROWS_DIFFER).any()):
        return f"gave other rows when the batch was reversed, in {rows(gap > ROWS_DIFFER)}"
    alone = torch.cat([encoder.encode_images(image[None]).detach() for image in images])
    gap = (alone - whole).abs().amax(1)
    return f"gave other rows to images alone, in {rows(gap > ROWS_DIFFER)}" if bool((gap > ROWS_DIFFER).any()) else ""


def images_have_a_gradient(encoder: Any) -> str:
    """The cosine with a text has a finite gradient in every image, and its weights are left without one."""
    if not hasattr(encoder, "encode_images"):
        return NotApplicable("it encodes no images")
    texts = _texts(encoder)
    if isinstance(texts, NotApplicable):
        return texts
    images = _images(SHAPE).requires_grad_()
    cosines = encoder.encode_images(images) @ encoder.encode(texts[:1])[0]
    if not cosines.requires_grad:
        return "lets no gradient through to images"
    (slope,) = torch.autograd.grad(cosines.sum(), images)
    if not bool(slope.isfinite().all()):
        return f"has a gradient that is not finite in {rows(~slope.isfinite().flatten(1).all(1))}"
    dead = ~(slope.flatten(1).abs().amax(1) > 0)
    return f"has no gradient in {rows(dead)}" if bool(dead.any()) else ""


ENCODERS = named(
    returns_a_unit_row_a_text,
    encodes_each_text_by_itself,
    different_texts_differ,
    names_the_words_it_lacks,
    refuses_an_empty_text,
    leaves_texts_and_randomness_alone,
    says_what_it_is,
    returns_a_unit_row_an_image,
    encodes_each_image_by_itself,
    images_have_a_gradient,
)


def _texts(encoder: Any) -> list[str] | NotApplicable:
    """Texts of one, two and three words that it knows."""
    known = [word for word in WORDS if not encoder.unknown(word)]
    if len(known) < FEWEST:
        return NotApplicable(f"it knows {len(known)} of the {len(WORDS)} common English words that it is asked")
    return [known[0], known[1], f"{known[0]} {known[1]}", f"{known[2]} {known[1]} {known[0]}"]


def _images(shape: tuple[int, int, int]) -> Tensor:
    return torch.rand((4, *shape), generator=torch.Generator().manual_seed(0))


def _bad_rows(found: object, n: int, dim: int) -> str:
    if not isinstance(found, Tensor):
        return f"returned {type(found).__name__} where a tensor was expected"
    if found.shape != (n, dim):
        return f"returned the shape {tuple(found.shape)} where {(n, dim)} was expected"
    if found.dtype != torch.float32 or found.requires_grad:
        return f"returned {found.dtype}{' with a graph' * found.requires_grad} where plain float32 was expected"
    lengths = found.norm(dim=1)
    if n and not bool(((lengths - 1).abs() < LENGTH).all()):
        return f"returned rows of length {float(lengths.min()):.6g} to {float(lengths.max()):.6g} where 1 was expected"
    return ""


def _refusal(ask: Callable[[], object], what: str) -> str:
    """Empty when `ask` raises one of the user's errors in one line."""
    try:
        ask()
    except UserError as error:
        return "" if str(error).strip() and "\n" not in str(error) else f"refused {what} with {str(error)!r}"
    except Exception as error:
        return f"answered {what} with a {type(error).__name__}; one of the errors for users was expected"
    return f"gave a row for {what}"
