"""What a map from text to latents is asked for, and by which values of the judge it is checked.

Prompts say one to three things of a portrait, each true of at most a quarter of the generator's samples, and together
not foreign to the generator: any two of them occur together. Drawn once, so that every arm is asked the same.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from advgen.core.rng import stream_seed
from advgen.experiments.avatars import captions as wording
from advgen.experiments.avatars.people import HELD_OUT_COMBINATIONS
from advgen.experiments.avatars.synonyms import UNSEEN
from advgen.experiments.avatars.vocabulary import LONG_STYLES, PLAIN_STYLES, TINTED
from advgen.experiments.edits.attributes import VALUES, Change
from advgen.experiments.recipes._phrases import Speaker, prior
from advgen.experiments.recipes._prompts import Said, mask, things

RAREST = 20  # samples, of 20,000, that show two things at once, or no prompt asks for both
MOST = 0.25  # prior of a value


class Thing(NamedTuple):
    """Something that a prompt can say and the judge can see."""

    said: Said
    change: Change
    word: str  # the usual one, a key of the unseen synonyms


class Prompt(NamedTuple):
    name: str  # of the readings
    text: str
    mask: Tensor  # (A,) as in `_prompts`
    changes: tuple[Change, ...]
    word: str = ""  # that it hangs on, where it is one


def askable(codes: Tensor) -> list[Thing]:
    """The things that at most a quarter of the samples of codes (N, A) show, and at least RAREST of them."""
    found = []
    for thing in _things():
        share = prior(codes, mask([thing.said]))
        if RAREST / max(len(codes), 1) <= share <= MOST:
            found.append(thing)
    return found


def drawn(codes: Tensor, n: int, seed: int = 0) -> list[Prompt]:
    """`n` prompts of one to three things, in words that training has."""
    draws = np.random.default_rng(stream_seed(seed, "text to latent/prompts", ""))
    among, speaker, found, texts = askable(codes), Speaker(), list[Prompt](), set[str]()
    while len(found) < n:
        wanted = 1 + len(found) % 3
        chosen = [among[int(k)] for k in draws.permutation(len(among))[:wanted]]
        if _possible(chosen, codes) and not _kept_back(chosen):
            text = speaker.said([t.said for t in chosen], draws)
            if text not in texts:
                texts.add(text)
                found.append(Prompt(f"seen/{len(found):02}", text, *_asks(chosen)))
    return found


def combined(codes: Tensor, n: int, seed: int = 0) -> list[Prompt]:
    """`n` prompts for the combinations that training leaves out, as far as the judge sees them."""
    draws = np.random.default_rng(stream_seed(seed, "text to latent/combinations", ""))
    all_things, speaker, found = _things(), Speaker(), list[Prompt]()
    pairs = []
    for combination in HELD_OUT_COMBINATIONS:
        sides = [
            [t for t in all_things if t.said.aspect == name.replace("_", " ") and set(t.said.values) <= set(values)]
            for name, values in combination.items()
        ]
        pairs += [[a, b] for a in sides[0] for b in sides[1]]
    for k in range(n if pairs else 0):
        chosen = pairs[k % len(pairs)]
        found.append(Prompt(f"combination/{k:02}", speaker.said([t.said for t in chosen], draws), *_asks(chosen)))
    return found


def synonyms(codes: Tensor) -> list[Prompt]:
    """A prompt for each unseen synonym of a value that can be asked for."""
    found = []
    for thing in askable(codes):
        for word in UNSEEN.get(thing.word, ()):
            found.append(Prompt(f"synonym/{thing.change}/{word}", _with(thing, word), *_asks([thing]), word))
    return found


def usual(codes: Tensor) -> list[Prompt]:
    """The same values by their usual words, in the same sentence."""
    return [
        Prompt(f"usual/{t.change}/{t.word}", _with(t, t.word.removesuffix(" earrings")), *_asks([t]), t.word)
        for t in askable(codes) if t.word in UNSEEN
    ]  # fmt: skip


def _things() -> list[Thing]:
    return list(_judged())


def _judged() -> Iterator[Thing]:
    """Of everything that short texts say, what the judge has a value for."""
    for said in things():
        aspect, values = said.aspect, said.values
        match aspect, values:
            case "hair colour", (colour,):
                yield Thing(said, Change("hair_colour", colour), colour)
            case "hair style", (style,) if style in PLAIN_STYLES and style != "short":
                yield Thing(said, Change("hair_style", style), style)
            case "hair style", _ if values == LONG_STYLES:
                yield Thing(said, Change("hair_style", "long"), "long")
            case "beard", ("full",):
                yield Thing(said, Change("beard", "full"), "full beard")
            case "glasses", (shape,) if shape in VALUES["glasses_kind"] and said.traits:
                yield Thing(said, Change("glasses_kind", shape), shape)
            case "glasses", _ if values == TINTED:
                yield Thing(said, Change("glasses", "sunglasses"), "sunglasses")
            case "hat", ("beanie",):
                yield Thing(said, Change("hat", "beanie"), "beanie")
            case "earrings", (kind,) if kind != "none":
                yield Thing(said, Change("earrings_kind", kind), wording.EARRINGS[kind])
            case "mood", ("surprised",):
                yield Thing(said, Change("expression", "surprised"), "surprised")
            case "age", ("elderly",):
                yield Thing(said, Change("age", "elderly"), "elderly")


def _with(thing: Thing, word: str) -> str:
    """The thing in a plain sentence, by a word."""
    match thing.said.aspect:
        case "hair colour" | "hair style":
            text = f"a person with {word} hair"
        case "beard" | "hat":
            text = f"a person with {word}" if word.endswith("s") else f"a person with a {word}"
        case "glasses":
            text = f"a person with {word}" if thing.word == "sunglasses" else f"a person with {word} glasses"
        case "earrings":
            text = f"a person with {word} earrings"
        case _:
            text = f"a {word} person"
    return " ".join(text.split())


def _asks(chosen: Sequence[Thing]) -> tuple[Tensor, tuple[Change, ...]]:
    return mask([t.said for t in chosen]), tuple(t.change for t in chosen)


def _possible(chosen: Sequence[Thing], codes: Tensor) -> bool:
    """Different aspects, and any two of them occur together; a hat hides how hair is cut."""
    aspects = [t.said.aspect for t in chosen]
    if len(set(aspects)) < len(aspects) or {"hat", "hair style"} <= set(aspects):
        return False
    for k, one in enumerate(chosen):
        for other in chosen[:k]:
            both = mask([one.said, other.said])
            shown = (((codes & both) != 0) | (both == 0)).all(1)
            if int(shown.sum()) < RAREST:
                return False
    return True


def _kept_back(chosen: Sequence[Thing]) -> bool:
    """Whether they hold one of the combinations that training leaves out."""
    values = {t.said.aspect: set(t.said.values) for t in chosen}
    return any(
        all(values.get(name.replace("_", " "), set()) & set(held) for name, held in combination.items())
        for combination in HELD_OUT_COMBINATIONS
    )


def satisfied(codes: Tensor, asked: Tensor) -> Tensor:
    """(N,) whether pictures (N, A) are known to show what a mask (A,) asks for."""
    return (((codes & asked) != 0) | (asked == 0)).all(1)


def grid_of_phrases(codes: Tensor) -> tuple[list[str], list[tuple[int, int, int, int]]]:
    """Phrases of each value, and of hair colours with one thing more; and the analogies among them (a, b, c, d):
    "red hair" is to "red hair and sunglasses" as "blue hair" is to "blue hair and sunglasses"."""
    among = askable(codes)
    colours = [t for t in among if t.said.aspect == "hair colour"]
    more = [t for t in among if t.said.aspect in ("beard", "glasses", "earrings")]
    phrases = [_with(t, t.word.removesuffix(" earrings")) for t in among]
    alone = {t.word: k for k, t in enumerate(among)}
    pair = {}
    for colour in colours:
        for other in more:
            pair[colour.word, other.word] = len(phrases)
            phrases.append(f"{_with(colour, colour.word)} and {other.said.traits[0]}")
    quads = [
        (alone[one.word], pair[one.word, other.word], alone[two.word], pair[two.word, other.word])
        for other in more for one in colours for two in colours if one != two
    ]  # fmt: skip
    return phrases, quads


def only_known(
    phrases: Sequence[str], quads: Sequence[tuple[int, int, int, int]], known: Sequence[bool]
) -> tuple[list[str], list[tuple[int, int, int, int]]]:
    """The phrases that are known, and the analogies that still stand."""
    at = {k: new for new, k in enumerate(k for k, ok in enumerate(known) if ok)}
    left = [(at[a], at[b], at[c], at[d]) for a, b, c, d in quads if {a, b, c, d} <= set(at)]
    return [phrases[k] for k in at], left
