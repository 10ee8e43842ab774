"""Phrases of a picture for the training of a map from text to latents, in words that are not held out.

A caption names everything; people ask for "round glasses and a beard". So most phrases here say a few of the things
that are there, and some all of them. What is not there is never said: a mean of word vectors knows no "without".
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.core.rng import stream_seed
from advgen.core.types import TextEncoder
from advgen.editing.joint_maps import RARE
from advgen.experiments.avatars import HELD_OUT_PHRASINGS, PHRASINGS
from advgen.experiments.avatars.people import HELD_OUT_COMBINATIONS
from advgen.experiments.recipes._prompts import ASPECTS, Said, mask, things, truths, words

_T = TypeVar("_T")
WHOLE = 0.3  # of the phrases say all that is there
PHRASES = 4  # of each picture, of which a step draws one
AT_ONCE = 256  # texts through an encoder
MOST = 4  # things that the others say, at most
NOT_THERE = ("none", "neutral", "young")
_SEEN = (*(p for k, p in enumerate(PHRASINGS) if k not in HELD_OUT_PHRASINGS), "{traits}")


class Speaker:
    """Draws phrases of pictures, each with the mask (A,) of what it says (see `_prompts.truths`)."""

    def __init__(self) -> None:
        self.things = [s for s in things() if not set(s.values) & set(NOT_THERE)]
        self.masks = torch.stack([mask([s]) for s in self.things])
        self.people = words("person")

    def phrase(self, code: Tensor, draws: np.random.Generator, *, whole: float = WHOLE) -> tuple[str, Tensor] | None:
        """A phrase of the picture of code (A,), and its mask; None where nothing is known to be there."""
        true = ((self.masks & code[None]) != 0).any(1).nonzero()[:, 0].tolist()
        by_aspect: dict[str, list[Said]] = {}
        for k in true:
            by_aspect.setdefault(self.things[k].aspect, []).append(self.things[k])
        if not by_aspect:
            return None
        aspects = list(by_aspect)
        n = len(aspects) if draws.random() < whole else 1 + int(draws.integers(min(MOST, len(aspects))))
        said = [_one(by_aspect[aspects[k]], draws) for k in draws.permutation(len(aspects))[:n]]
        return self.said(said, draws), mask(said)

    def said(self, several: Sequence[Said], draws: np.random.Generator) -> str:
        """These things in a drawn phrasing and drawn words."""
        traits, adjectives = [], []
        for said in several:
            if said.traits and not (said.adjectives and draws.random() < 0.5):
                traits.append(_one(said.traits, draws))
            else:
                adjectives.append(_one(said.adjectives, draws))
        after = [w for w in adjectives if " with " in w]
        before = [w for w in adjectives if w not in after]
        person = _article(" ".join([*before, _one(self.people, draws), *after]))
        if not traits:
            return person
        pattern = _one(_SEEN[:-1] if adjectives else _SEEN, draws)
        return pattern.format(
            a_person=person,
            adjectives="".join(f"{word}, " for word in [*before, *after]),
            traits=listed(traits),
            traits_bare=listed([t.removeprefix("a ").removeprefix("an ") for t in traits]),
        )


class Phrases(NamedTuple):
    """Phrases of N pictures, K each, as an encoder has them."""

    texts: tuple[str, ...]  # U different ones, those left out that hold no known word
    vectors: Tensor  # (U, T)
    masks: Tensor  # (U, A)
    of: Tensor  # (N, K) which of them are each picture's
    places: Tensor  # (N,) the picture's place among those given: of some nothing is known that can be said
    lost: int  # phrases without a known word

    @classmethod
    def of_codes(cls, encoder: TextEncoder, codes: Tensor, split: str, *, whole: bool) -> "Phrases":
        """Drawn phrases of pictures (N, A); `whole` ones say all that is there."""
        draws = np.random.default_rng(stream_seed(0, f"phrases/{split}", ""))
        speaker, number, masks, rows = Speaker(), dict[str, int](), list[Tensor](), list[list[int]]()
        for code in codes:
            row = []
            for _ in range(1 if whole else PHRASES):
                if drawn := speaker.phrase(code, draws, whole=1.0 if whole else WHOLE):
                    row.append(number.setdefault(drawn[0], len(number)))
                    masks += [drawn[1]] * (len(number) > len(masks))
            rows.append(row)
        texts = list(number)
        encoded = _encoded(encoder, texts)
        there = [k for k, vector in enumerate(encoded) if vector is not None]
        at = {k: new for new, k in enumerate(there)}
        kept = [[at[k] for k in row if k in at] for row in rows]
        places = [n for n, row in enumerate(kept) if row]
        of = [[row[k % len(row)] for k in range(1 if whole else PHRASES)] for row in kept if row]
        return cls(
            tuple(texts[k] for k in there), torch.stack([v for v in encoded if v is not None]),
            torch.stack([masks[k] for k in there]), torch.tensor(of), torch.tensor(places), len(texts) - len(there),
        )  # fmt: skip

    def truths(self, chosen: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
        """(N, M) bool each: which of the phrases chosen (N,) are known to be right of which pictures (M, A), and which
        to be wrong."""
        right, wrong = truths(codes, self.masks[chosen])
        return right.T, wrong.T


class Words(NamedTuple):
    """The words of the training's phrases that an encoder does not rest on."""

    unknown: tuple[str, ...]
    rare: tuple[str, ...]
    n: int
    lost: int  # different phrases without a known word

    def sentences(self, vectors: str) -> list[str]:
        """For the reader; nothing is passed over in silence."""
        found = []
        if self.unknown:
            found.append(
                f"{vectors} has no vector for {len(self.unknown)} of {self.n} words: {', '.join(self.unknown)}"
            )
        if self.rare:
            found.append(f"{vectors} knows {len(self.rare)} words from under {RARE} places: {', '.join(self.rare)}")
        if self.lost:
            found.append(f"{self.lost} phrases hold no word of {vectors} and are left out")
        return found

    def on_card(self) -> dict[str, Any]:
        return {
            "words of the phrases": self.n, "unknown words": list(self.unknown), "rare words": list(self.rare),
            "phrases without a known word": self.lost,
        }  # fmt: skip


def spoken(encoder: TextEncoder, phrases: Phrases) -> Words:
    """What an encoder lacks of the words that are said in training."""
    words_ = sorted({word for text in phrases.texts for word in re.findall(r"[\w'-]+", text.lower())})
    rare = getattr(encoder, "rare", None)
    together = " ".join(words_)
    return Words(
        tuple(encoder.unknown(together)), tuple(rare(together, under=RARE)) if rare else (), len(words_), phrases.lost
    )


def _encoded(encoder: TextEncoder, texts: Sequence[str]) -> list[Tensor | None]:
    """A vector each; None of a text that holds no known word."""
    found: list[Tensor | None] = []
    for begin in range(0, len(texts), AT_ONCE):
        some = list(texts[begin : begin + AT_ONCE])
        try:
            found += list(encoder.encode(some))
        except BadArgument:
            for text in some:
                try:
                    found.append(encoder.encode([text])[0])
                except BadArgument:
                    found.append(None)
    return found


def listed(items: Sequence[str]) -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def kept_back(codes: Tensor) -> Tensor:
    """(N,) whether a picture of code (N, A) shows one of the combinations that training leaves out."""
    found = torch.zeros(len(codes), dtype=torch.bool)
    for combination in HELD_OUT_COMBINATIONS:
        each = [Said(name.replace("_", " "), values) for name, values in combination.items()]
        asked = mask(each)
        found |= (((codes & asked) != 0) | (asked == 0)).all(1)
    return found


def prior(codes: Tensor, asked: Tensor) -> float:
    """The share of the pictures of codes (N, A) of which a mask (A,) is true, among those that show what it asks of."""
    spoken = asked != 0
    known = (codes[:, spoken] != 0).all(1)
    true = ((codes & asked)[:, spoken] != 0).all(1)
    return float(true[known].float().mean()) if bool(known.any()) else 0.0


def place(aspect: str) -> int:
    """The column of an aspect."""
    return list(ASPECTS).index(aspect)


def _article(text: str) -> str:
    return ("an " if text[0] in "aeiou" else "a ") + text


def _one(among: Sequence[_T], draws: np.random.Generator) -> _T:
    return among[int(draws.integers(len(among)))]
