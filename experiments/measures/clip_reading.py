"""What a CLIP tells of portraits by text alone: attributes against a linear probe, captions, unseen words.

The pictures are held-out portraits (true attributes), the same made again by a generator from what its encoder saw, or
the generator's own samples, read by the judge's network of attributes. An attribute is asked for by a text a value
("a person with red hair"), each the mean over several phrasings; accuracy is balanced, a mean over values. Captions
compete with 99 that differ in one attribute or have two colours swapped; those that say the same are right. A word
alone is judged by how well its cosine parts pictures with the value from others: 0.5 says that it means nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, final

import torch
from torch import Tensor

from advgen.core import checkpoints
from advgen.core.files import sha256
from advgen.core.images import to_uint8
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.specs import DataSpec
from advgen.core.types import Slice
from advgen.embeddings.encoders.clip import CLIP
from advgen.experiments.avatars import held_out
from advgen.experiments.avatars.synonyms import UNSEEN
from advgen.experiments.data._load import load
from advgen.experiments.edits.reading import read
from advgen.experiments.measured import Measured, Reading
from advgen.experiments.recipes import _captions as captions
from advgen.experiments.recipes import _clip_scores as scores
from advgen.experiments.recipes import _prompts as prompts
from advgen.experiments.recipes._rebuilt import again
from advgen.generators.stylegan2.load import load_stylegan2, located
from advgen.zoo.load import zoo_load

BATCH = 128
JUDGED = {"hair_colour": "hair colour", "hair_style": "hair style", "beard": "beard", "glasses_kind": "glasses"}
JUDGED |= {"hat": "hat", "earrings_kind": "earrings", "expression": "mood", "age": "age"}
MOODS = {"smile": "smiling", "grin": "smiling"}


class _Shown(NamedTuple):
    """Images and what is seen on them; attributes only where they are known in full."""

    ids: Sequence[str]
    images_u8: Tensor
    seen: Sequence[scores.Seen]
    attributes: Sequence[Any]


@final
@dataclass(frozen=True)
class CLIPReading:
    """The arguments of one measurement."""

    quantities: ClassVar = {
        "zero_shot": {"means": "balanced accuracy of an attribute by text", "unit": "share", "better": "higher"},
        "probe": {"means": "balanced accuracy of an attribute by a linear probe", "unit": "share", "better": "higher"},
        "worst": {"means": "lowest zero-shot accuracy of an attribute", "unit": "share", "better": "higher"},
        "r1": {"means": "right caption first of 100 nearly right", "unit": "share", "better": "higher"},
        "r1_phrasings": {"means": "the same in unseen phrasings", "unit": "share", "better": "higher"},
        "r1_seen": {"means": "the same, combinations of training", "unit": "share", "better": "higher"},
        "r1_unseen": {"means": "the same, unseen combinations", "unit": "share", "better": "higher"},
        "usual": {"means": "ROC area of a value's usual word", "better": "higher"},
        "synonym": {"means": "ROC area of a value's unseen synonym", "better": "higher"},
        "known": {"means": "unseen synonyms that the model has rows for", "unit": "share"},
    }

    pictures: Literal["portraits", "made again", "samples"] = "portraits"
    clip: str = "clip_avatars_64"  # as of the encoder `clip`
    weights: str | None = None
    variety: Literal["plain", "full"] = "plain"  # of the portraits
    generator: str = "stylegan2_avatars_64"
    encoder: str | None = None  # None = the one named after the generator
    judge: str = "judge_attributes_64"  # reads samples
    count: int = 1024
    probed: int = 2048  # other pictures, that the linear probe learns from

    def inputs(self) -> Mapping[str, str]:
        found = {"clip": CLIP(self.clip, self.weights).hash}
        if self.pictures != "portraits":
            found["generator"] = sha256(located(self.generator))
        if self.pictures == "samples":
            return {**found, "judge": sha256(checkpoints.find(self.judge))}
        return {**found, "data": self._portraits("test", self.count).hash}

    def run(self, *, seed: int, device: torch.device, meter: Meter, out: Any) -> Measured:
        clip = CLIP(self.clip, self.weights)
        asked, known = self._pictures("test", self.count, seed), self._pictures("train", self.probed, seed)
        seen, learnt = (self._features(clip, some, device) for some in (asked, known))
        zero = scores.zero_shot(seen, asked.seen, lambda texts: clip.encode(list(texts)))
        linear = scores.probe(seen, asked.seen, learnt, known.seen)
        readings = [Reading(name, "zero_shot", answer.balanced) for name, answer in zero.items()]
        readings += [Reading(name, "probe", answer.balanced) for name, answer in linear.items()]
        readings.append(Reading.of_arm(seed, "worst", min(answer.balanced for answer in zero.values())))
        if asked.attributes:
            readings += _captions(clip, asked, seen, self.variety)
        readings += _synonyms(clip, asked.seen, seen)
        notes = [f"{name}: {answer.answers} values, {answer.n} pictures" for name, answer in zero.items()]
        stands_in = {"published CLIP": self.clip} if self.clip == "clip_avatars_64" else {}
        return Measured(readings, (), (), notes, stands_in)

    def _portraits(self, split: str, count: int) -> Slice:
        args = (("identities", 1024), ("label", "glasses"), ("variety", self.variety))
        return load(DataSpec("avatars", split, count, 64, args))

    def _pictures(self, split: str, count: int, seed: int) -> _Shown:
        if self.pictures == "samples":
            return self._samples(split, count, seed)
        part = self._portraits(split, count)
        attributes = captions.attributes_of(part)
        images = part.images_u8
        if self.pictures == "made again":
            images = again(self.generator, self.encoder or f"{located(self.generator).stem}_encoder", images)
        return _Shown(part.ids, images, [prompts.seen(a) for a in attributes], attributes)

    @torch.no_grad()
    def _samples(self, split: str, count: int, seed: int) -> _Shown:
        generator = load_stylegan2(located(self.generator)).generator.eval()
        ids = [f"{split}/{k}" for k in range(count)]
        z = SampleRng.for_samples(seed, "clip/samples", ids).normal((generator.z_dim,))
        made = torch.cat([to_uint8(generator(some, noise="const").clamp(0, 1)) for some in z.split(BATCH)])
        judged = read(zoo_load(self.judge)[0], made)
        rows = [_judged(judged.said(k)) for k in range(count)]
        return _Shown(ids, made, rows, ())

    @torch.no_grad()
    def _features(self, clip: CLIP, shown: _Shown, device: torch.device) -> Tensor:
        pieces = shown.images_u8.split(BATCH)
        return torch.cat([clip.encode_images(some.to(device).float() / 255).cpu() for some in pieces])


def _judged(said: Mapping[str, str]) -> dict[str, str | None]:
    """What the judge's network says, by the aspects of texts; it does not tell the colour of a hat."""
    row: dict[str, str | None] = dict.fromkeys(prompts.ASPECTS)
    row |= {aspect: said[name] for name, aspect in JUDGED.items()}
    row["mood"] = MOODS.get(said["expression"], said["expression"])
    if said["hat"] != "none" and said["hair_style"] not in ("bob", "long straight"):
        row["hair style"] = None  # all alike under a hat
    return row


def _captions(clip: CLIP, asked: _Shown, seen: Tensor, variety: str) -> Iterator[Reading]:
    """Of the first pictures, and of all with an unseen combination: whether the right caption came first."""
    apart = torch.tensor([held_out(a) for a in asked.attributes])
    first = torch.arange(len(apart)) < scores.ASKED
    for quantity, phrasings, which in (("r1", captions.SEEN, first | apart), ("r1_phrasings", captions.UNSEEN, first)):
        rows = which.nonzero().flatten().tolist()
        shown = [asked.attributes[i] for i in rows]
        hits = scores.hard(seen[rows], shown, lambda texts: clip.encode(list(texts)), phrasings, variety)
        for row, hit in zip(rows, hits.tolist(), strict=True):
            if first[row]:
                yield Reading(asked.ids[row], quantity, float(hit))
            if quantity == "r1":
                yield Reading(asked.ids[row], "r1_unseen" if apart[row] else "r1_seen", float(hit))


def _synonyms(clip: CLIP, rows: Sequence[scores.Seen], seen: Tensor) -> Iterator[Reading]:
    """Each value asked for by its usual word and by unseen ones, in one sentence."""
    for aspect, answers in scores.occurring(rows).items():
        for said in answers:
            name = _word(said)
            for word in UNSEEN.get(name, ()):
                texts = [_sentence(said, name), _sentence(said, word)]
                usual, unseen = (scores.told_apart(seen, rows, said, text) for text in clip.encode(texts))
                where = f"{aspect}/{name}/{word}"
                yield Reading(where, "known", float(not clip.unknown(texts[1])), name)
                yield Reading(where, "usual", usual, name)
                yield Reading(where, "synonym", unseen, name)


def _word(said: prompts.Said) -> str:
    """The usual word of an answer, as the list of unseen synonyms has it."""
    if said.lacks or not (said.traits or said.adjectives):
        return said.values[0]
    match said.aspect:
        case "hair colour":
            return said.values[0]
        case "hair style":
            return "long" if said.values == ("long straight",) else said.traits[0]
        case "glasses":
            return said.values[0] if len(said.values) == 1 else "sunglasses"
        case "mood" | "age":
            return said.values[0]
    return said.traits[0].removeprefix("a ").removeprefix("an ")


def _sentence(said: prompts.Said, word: str) -> str:
    """A plain sentence with the word in the place of the usual one."""
    if said.lacks:
        return f"a person without {said.lacks}"
    match said.aspect:
        case "hair colour":
            return f"a person with {word} hair"
        case "hair style":
            return f"a person with {word} hair" if said.values == ("long straight",) else f"a person with {word}"
        case "glasses":
            return f"a person with {word}" + ("" if len(said.values) > 1 else " glasses")
        case "mood" | "age":
            return f"{'an' if word[0] in 'aeiou' else 'a'} {word} person"
    bare = word.endswith("s") or word == "stubble"
    return f"a person with {word}" if bare else f"a person with a {word}"
