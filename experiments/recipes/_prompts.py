"""Short texts about one to three things of a portrait ("round glasses", "a smiling person with red hair"), and of which
portraits each is true.

A portrait's things are ASPECTS; one that cannot be seen (the colour of a bald head's hair) is unknown, and a text about
it is neither right nor wrong. Both sides are numbers: a bit a value, so that a batch is compared in one go.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from advgen.experiments.avatars import HELD_OUT_SYNONYMS, SYNONYMS
from advgen.experiments.avatars import captions as wording
from advgen.experiments.avatars.avatar import Attributes
from advgen.experiments.avatars.styles import STYLES
from advgen.experiments.avatars.vocabulary import (
    BEARDS,
    EARRINGS,
    FABRIC_COLOURS,
    GLASSES,
    HAIR_COLOURS,
    HAIR_STYLES,
    HATS,
    LONG_STYLES,
    TINTED,
)

AGES = ("young", "middle-aged", "elderly")
MOODS = ("neutral", "smiling", "laughing", "sad", "angry", "surprised", "winking", "smirking")
ASPECTS: Mapping[str, tuple[str, ...]] = {
    "hair colour": tuple(HAIR_COLOURS),
    "hair style": HAIR_STYLES,
    "beard": BEARDS,
    "glasses": GLASSES,
    "hat": HATS,
    "hat colour": tuple(FABRIC_COLOURS),
    "earrings": EARRINGS,
    "mood": MOODS,
    "age": AGES,
}
FRAMES = ("{}", "a person with {}", "a human with {}", "a face with {}", "a photo of a person with {}")


class Said(NamedTuple):
    """One thing that a text can say, in several words."""

    aspect: str
    values: tuple[str, ...]  # those of which it is true
    traits: tuple[str, ...] = ()  # what hangs on "with"
    adjectives: tuple[str, ...] = ()  # what stands before "person"
    lacks: str = ""  # what hangs on "without"


def seen(attributes: Attributes) -> dict[str, str | None]:
    """What a viewer can tell of a portrait, by aspect; None where it is hidden."""
    a, bare = attributes, attributes.hat == "none"
    style = a.hair_style if bare or a.hair_style in wording.SHOWN_UNDER_HAT else None
    hidden = a.hair_style == "bald" or (not bare and a.hair_style in wording.GONE_UNDER_HAT)
    return {
        "hair colour": None if hidden else wording.seen_hair_colour(a),
        "hair style": style,
        "beard": a.beard,
        "glasses": a.glasses,
        "hat": a.hat,
        "hat colour": None if bare else a.hat_colour,
        "earrings": a.earrings,
        "mood": wording.MOODS.get(a.expression, "neutral"),
        "age": AGES[(a.age > 0.4) + (a.age > 0.7)],
    }


def codes(shown: Sequence[Attributes]) -> Tensor:
    """(N, A) int32: the bit of each aspect's value, 0 where it is hidden."""
    rows = [seen(a) for a in shown]
    bits = [[_bits(aspect, () if row[aspect] is None else (row[aspect],)) for aspect in ASPECTS] for row in rows]
    return torch.tensor(bits, dtype=torch.int32).reshape(len(rows), len(ASPECTS))


def truths(pictures: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """(N, T) bool each: which texts are right of which pictures, and which are wrong; hidden things make neither."""
    asked, shown = masks[None] != 0, pictures[:, None] != 0
    holds = (pictures[:, None] & masks[None]) != 0
    return (holds | ~asked).all(2), (asked & shown & ~holds).any(2)


def words(word: str) -> tuple[str, ...]:
    """A word and its synonyms, those left out that are kept for tests."""
    return tuple(w for w in SYNONYMS.get(word, (word,)) if w not in HELD_OUT_SYNONYMS)


def things() -> list[Said]:
    """Everything that short texts say, single values first, by aspect."""
    found = [Said("hair colour", (c,), tuple(f"{w} hair" for w in words(c))) for c in HAIR_COLOURS]
    found += [Said("hair style", (s,), (_style(s),), ("bald",) if s == "bald" else ()) for s in HAIR_STYLES]
    found += [Said("beard", (b,), tuple(_a(w) for w in words(wording.BEARDS[b]))) for b in BEARDS[1:]]
    for shape in ("round", "square", "cat-eye"):
        found.append(Said("glasses", (shape,), tuple(f"{shape} {w}" for w in words("glasses"))))
    found.append(Said("glasses", TINTED, words("sunglasses")))
    found += [Said("hat", (h,), tuple(_a(w) for w in words(h))) for h in HATS[1:]]
    found += [Said("hat colour", (c,), (f"{_a(c)} hat",)) for c in FABRIC_COLOURS]
    found += [Said("earrings", (e,), words(wording.EARRINGS[e])) for e in EARRINGS[1:]]
    found.append(Said("mood", ("neutral",), ("a neutral expression",), ("neutral",)))
    found += [Said("mood", (m,), ("a smile",) if m == "smiling" else (), words(m)) for m in MOODS[1:]]
    found += [Said("age", (a,), (), words(a)) for a in AGES]
    for aspect, noun in (("beard", "a beard"), ("glasses", "glasses"), ("hat", "a hat"), ("earrings", "earrings")):
        adjectives = ("clean-shaven",) if aspect == "beard" else ()
        bare = noun.removeprefix("a ")
        found.append(Said(aspect, ("none",), (f"no {bare}",), adjectives, noun))
    return [*found, *_broad()]


def questions() -> dict[str, list[Said]]:
    """By aspect, the answers that exclude each other: one text a value."""
    broad = len(_broad())
    return {aspect: [s for s in things()[:-broad] if s.aspect == aspect] for aspect in ASPECTS}


def phrased(said: Said) -> list[str]:
    """Every text about this one thing."""
    texts = [frame.format(t) for t in said.traits for frame in FRAMES]
    for adjective in said.adjectives:
        nouns = ("person", "human", "face")
        person = [f"{n} {adjective}" if " with " in adjective else f"{adjective} {n}" for n in nouns]
        texts += [adjective, *(_a(p) for p in person), f"a photo of {_a(person[0])}"]
    if said.lacks:
        texts += [f"{start} without {said.lacks}" for start in ("a person", "a human", "a face")]
    return texts


def single() -> list[tuple[list[str], Tensor]]:
    """All texts about each thing, and the mask (A,) that is theirs."""
    return [(phrased(said), mask([said])) for said in things()]


def mask(several: Sequence[Said]) -> Tensor:
    """(A,) int32 of a text that says several things."""
    return torch.tensor([_all(s for s in several if s.aspect == aspect) for aspect in ASPECTS], dtype=torch.int32)


def several(shown: Sequence[Attributes], variants: int, draws: np.random.Generator) -> list[list[tuple[str, Tensor]]]:
    """For each portrait 2 `variants` texts about two or three things: one that is right, one with a thing exchanged."""
    by_aspect: dict[str, list[Said]] = {aspect: [] for aspect in ASPECTS}
    for said in things():
        by_aspect[said.aspect].append(said)
    return [list(_pairs(seen(a), by_aspect, variants, draws)) for a in shown]


def _pairs(
    row: Mapping[str, str | None], by_aspect: Mapping[str, list[Said]], variants: int, draws: np.random.Generator
) -> Iterator[tuple[str, Tensor]]:
    true = {aspect: [s for s in by_aspect[aspect] if value in s.values] for aspect, value in row.items() if value}
    # What is not there is seldom spoken of.
    spoken = [aspect for aspect in true if row[aspect] not in ("none", "neutral", "young")]
    rest = [aspect for aspect in true if aspect not in spoken]
    for _ in range(variants):
        wanted = int(draws.integers(2, 4))
        chosen = [str(a) for a in draws.permutation(spoken)[:wanted]]
        if len(chosen) < wanted:
            chosen += [str(a) for a in draws.permutation(rest)[: wanted - len(chosen)]]
        right = [_one(true[aspect], draws) for aspect in chosen]
        place = int(draws.integers(len(right)))
        aspect, value = right[place].aspect, row[right[place].aspect]
        false = [s for s in by_aspect[aspect] if value not in s.values]
        wrong = [*right[:place], _one(false, draws), *right[place + 1 :]]
        yield _sentence(right, draws), mask(right)
        yield _sentence(wrong, draws), mask(wrong)


def _sentence(several: Sequence[Said], draws: np.random.Generator) -> str:
    traits, adjectives = [], []
    for said in several:
        if said.traits and not (said.adjectives and draws.random() < 0.5):
            traits.append(said.traits[int(draws.integers(len(said.traits)))])
        else:
            adjectives.append(said.adjectives[int(draws.integers(len(said.adjectives)))])
    after = [w for w in adjectives if " with " in w]
    noun = ("person", "human", "face")[int(draws.integers(3))]
    person = _a(" ".join([*(w for w in adjectives if w not in after), noun, *after]))
    listed = traits[0] if len(traits) == 1 else f"{', '.join(traits[:-1])} and {traits[-1]}" if traits else ""
    if not listed:
        return person
    frames = (f"{person} with {listed}", f"a photo of {person} with {listed}", listed if not adjectives else "")
    return frames[int(draws.integers(3))] or frames[0]


def _broad() -> list[Said]:
    curly = tuple(s for s in HAIR_STYLES if STYLES[s].curl > 0.5)
    return [
        Said("hair style", LONG_STYLES, ("long hair",)),
        Said("hair style", curly, ("curly hair",)),
        Said("beard", ("stubble", "goatee", "full", "long"), ("a beard",)),
        Said("glasses", ("round", "square", "cat-eye"), words("glasses")),
        Said("glasses", ("round sunglasses",), tuple(f"round {w}" for w in words("sunglasses"))),
        Said("hat", HATS[1:], ("a hat",)),
        Said("earrings", EARRINGS[1:], ("earrings",)),
    ]


def _style(style: str) -> str:
    if style == "bald":
        return "a bald head"
    return " ".join(wording.HAIR[style].format("").split()).replace("a afro", "an afro")


def _one(among: Sequence[Said], draws: np.random.Generator) -> Said:
    return among[int(draws.integers(len(among)))]


def _a(text: str) -> str:
    if text.startswith("a ") or text == "stubble":
        return text
    return ("an " if text[0] in "aeiou" else "a ") + text


def _bits(aspect: str, values: Sequence[str]) -> int:
    return sum(1 << ASPECTS[aspect].index(value) for value in values)


def _all(several: Iterator[Said]) -> int:
    found = 0
    for said in several:
        bits = _bits(said.aspect, said.values)
        found = found & bits if found else bits
    return found
