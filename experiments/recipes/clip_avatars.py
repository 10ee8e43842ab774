"""A small CLIP on captioned avatars: both towers from nothing, a few million weights, rows of words in use.

Every step asks two things. Symmetric InfoNCE over whole captions, where captions that say the same are all right, and
beside each image's caption a few that are nearly right (one attribute changed, or two colours swapped), as the rest of
a batch hardly teaches detail. And short texts ("round glasses", "a smiling person with red hair"), each of which must
lie nearer to the pictures of which it is true than to those of which it is not. Some pictures are blurred, noisy,
compressed, or made again by a generator from what its encoder saw, so that its own images are read too. Held-out
combinations, phrasings and synonyms are measured, never trained; the token embedding keeps the rows in use alone.

A training may go on from another: then texts stay where they are, and the image tower alone learns (Zhai et al. 2022,
"LiT", arXiv 2111.07991, lock images; here texts are locked).

Radford et al. 2021, arXiv 2103.00020, figure 3; captions that are nearly right: Yuksekgonul et al. 2022, "When and why
vision-language models behave like bags-of-words, and what to do about it?", arXiv 2210.01936, section 4.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, final

import numpy as np
import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.files import sha256
from advgen.core.meter import Meter
from advgen.core.rng import stream_seed
from advgen.core.specs import Card, Scalar
from advgen.core.types import Slice
from advgen.embeddings.encoders._clip_pixels import Pixels
from advgen.embeddings.encoders._clip_tokens import BytePairs, ids_in_use
from advgen.embeddings.encoders._clip_towers import description, load
from advgen.embeddings.encoders.clip import CLIP
from advgen.experiments.recipes import _captions as captions
from advgen.experiments.recipes import _clip_scores as scores
from advgen.experiments.recipes import _clip_train as clip_train
from advgen.experiments.recipes import _prompts as prompts
from advgen.experiments.recipes._clip_train import CONTEXT, MEAN, STD
from advgen.experiments.recipes._make import Splits, Training, Work, load_splits, make
from advgen.experiments.recipes._rebuilt import Rebuilt, rebuilt
from advgen.experiments.recipes._train import Plan
from advgen.experiments.trained import PREFIX, checkpoint_of

SHORT_TEXTS = 2  # pairs of a right and a wrong short text an image, of which a step draws one


@final
@dataclass(frozen=True)
class CLIPAvatars:
    size: int = 64  # pixels of the portraits
    seen_at: int = 64  # pixels that the image tower takes; more than `size` enlarges
    population: int = 0  # the seed of the portraits
    identities: int = 1024  # persons among them; six in ten are for training
    images: int = 15_000  # plain portraits of the train split
    full: int = 3_000  # and of the variety "full"
    generator: str | None = None  # whose encoder has seen `rebuilt` of the plain ones; None = none are made again
    encoder: str | None = None
    rebuilt: int = 4_000
    measured: int = 2_048  # portraits of the test split
    width: int = 24  # channels of the image tower's stem
    text_width: int = 64
    dim: int = 128  # of the common space
    nearly_right: int = 1  # captions beside each image's own
    start: str | None = None  # a CLIP of this recipe to go on from, by name, file or recipe:...; None = from nothing
    epochs: int = 6
    batch_size: int = 128
    learning_rate: float = 2e-3  # of AdamW, at its peak
    precision: Literal["32", "bf16"] = "32"  # of the image tower in training; bf16 is faster where the processor has it
    name: str | None = None  # of the checkpoint; None = clip_avatars_SIZE

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        self._check()
        begun = None if self.start is None else _begun(self.start, device)
        plain, full = self._splits("plain", self.images), self._splits("full", self.full)
        again = None if self.generator is None else rebuilt(self.generator, self.encoder, plain, self.rebuilt)
        shown = captions.attributes_of(plain.train) + (captions.attributes_of(full.train) if self.full else [])
        varieties = ["plain"] * self.images + ["full"] * self.full
        texts = [[captions.said(a, p) for p in captions.SEEN] for a in shown]
        others = [self._others(a, v, seed, k) for k, (a, v) in enumerate(zip(shown, varieties, strict=True))]
        draws = np.random.default_rng(stream_seed(seed, "train/captions", "short texts"))
        short = prompts.several(shown, SHORT_TEXTS, draws)
        single = prompts.single()
        said = [t for some in (*texts, *others, *(s for s, _ in single)) for t in some]
        said += [t for some in short for t, _ in some]
        # A token never reaches over a blank, and there are far fewer words than texts.
        ids = ids_in_use(sorted({word for t in said for word in t.split()})) if begun is None else begun.ids
        tokens = BytePairs(CONTEXT, ids)
        config = clip_train.config(self.seen_at, self.width, self.text_width, self.dim, len(tokens.ids))
        if begun is not None and begun.config != config:
            raise BadArgument(f"{self.start} has other sizes than seen_at, width, text_width and dim say.")
        pixels = Pixels((self.seen_at, self.seen_at), MEAN, STD)
        rows = [*range(len(shown)), *range(0 if again is None else self.rebuilt)]
        images = [plain.train.images_u8, *([full.train.images_u8] if self.full else [])]
        tensors = (
            torch.cat(images if again is None else [*images, again.train]),
            torch.stack([_small(tokens, some) for some in texts])[rows],
            torch.stack([_small(tokens, some) for some in others])[rows],
            torch.tensor(captions.contents(shown))[rows],
            prompts.codes(shown)[rows],
            torch.stack([_small(tokens, [t for t, _ in some]) for some in short])[rows],
            torch.stack([torch.stack([m for _, m in some]) for some in short])[rows],
        )
        about = torch.stack([m for _, m in single])
        # Each says one thing, so one column of its mask is not 0.
        bank = clip_train.Bank([_small(tokens, some) for some, _ in single], about, (about != 0).int().argmax(1))
        validation = captions.attributes_of(plain.validation)
        plan = Plan(
            lambda network, batch: clip_train.loss(network, pixels, batch, bank, half=self.precision == "bf16"),
            lambda network: _score(network, pixels, tokens, plain.validation, validation),
            self.epochs,
            self.batch_size,
            self.learning_rate,
            weight_decay=0.02,
            half_costs=0.005,
            after_step=clip_train.bound_scale,
        )
        hashes: dict[str, Scalar] = {**plain.hashes("plain"), **(full.hashes("full") if self.full else {})}
        from_files = {} if again is None else {"generator.sha256": sha256(again.generator)}
        if begun is not None:
            from_files["start.hash"] = begun.hash
        training = Training(
            self.name or f"clip_avatars_{self.size}", "encoder", "clip_avatars",
            {**asdict(self), **description(config, pixels), **from_files}, None, hashes, tensors, plan,
            lambda network: _measured(network, pixels, tokens, plain, full if self.full else None, again),
            stands_in_for="published CLIP", create=lambda: _first_weights(config, tokens, begun),
        )  # fmt: skip
        return make(training, Work(out, seed, device, resume, limit, meter))

    def _check(self) -> None:
        if self.images < 1 or self.nearly_right < 1:
            raise BadArgument(f"images and nearly_right must be 1 or more, got {self.images} and {self.nearly_right}.")
        if self.generator is not None and not (self.encoder and 0 < self.rebuilt <= self.images):
            raise BadArgument(
                f"pictures are made again by a generator and the encoder trained for it, 1 to {self.images} of them; "
                f"got encoder={self.encoder!r} and rebuilt={self.rebuilt}."
            )

    def _splits(self, variety: Literal["plain", "full"], count: int) -> Splits:
        # Labelled by an attribute, the splits share no person.
        args = (("identities", self.identities), ("label", "glasses"), ("seed", self.population), ("variety", variety))
        return load_splits("avatars", self.size, args, counts={"train": max(count, 1), "test": self.measured})

    def _others(self, attributes: Any, variety: str, seed: int, place: int) -> list[str]:
        """`4 nearly_right` captions, of which each step draws a quarter; in phrasings that are not held out."""
        n = 4 * self.nearly_right
        found = captions.nearly_right(attributes, n, seed=seed, key=f"train {place}", variety=variety)
        said = [captions.said(a, captions.SEEN[(place + k) % len(captions.SEEN)]) for k, a in enumerate(found)]
        return [said[k % len(said)] for k in range(n)]


def _small(tokens: BytePairs, texts: Sequence[str]) -> Tensor:
    """(K, context) int16: a training keeps hundreds of thousands of captions."""
    return tokens.numbers(texts).to(torch.int16)


class _Begun(NamedTuple):
    """A CLIP that a training goes on from."""

    network: nn.Module
    config: Any
    ids: Tensor | None
    hash: str


def _begun(start: str, device: str) -> _Begun:
    ref = str(checkpoint_of(start, device=device)) if start.startswith(PREFIX) else start
    towers = load(ref, None)
    return _Begun(towers.network, towers.config, towers.ids, CLIP(ref).hash)


def _first_weights(config: dict[str, Any], tokens: BytePairs, begun: _Begun | None) -> nn.Module:
    network = clip_train.fresh(config, tokens, "the recipe clip_avatars")
    if begun is not None:
        network.load_state_dict(begun.network.state_dict(), strict=False)
        clip_train.lock_texts(network)
    return network


def _measured(
    network: nn.Module, pixels: Pixels, tokens: BytePairs, plain: Splits, full: Splits | None, again: Rebuilt | None
) -> dict[str, Any]:
    """On the plain portraits, on them made again, and on the varied ones, each with a probe of its own."""
    kept: dict[str, Tensor] = {}

    def texts(several: Sequence[str]) -> Tensor:
        new = [t for t in dict.fromkeys(several) if t not in kept]
        if new:
            kept.update(zip(new, clip_train.texts_encoded(network, tokens.numbers(new)), strict=True))
        return torch.stack([kept[t] for t in several])

    sets = [("", plain, plain.train.images_u8, plain.test.images_u8, "plain")]
    if again is not None:
        sets.append(("made again: ", plain, again.train, again.test, "plain"))
    if full is not None:
        sets.append(("full variety: ", full, full.train.images_u8, full.test.images_u8, "full"))
    found: dict[str, Any] = {}
    for which, splits, known, asked, variety in sets:
        seen = scores.image_features(network, pixels, asked)
        probed = scores.image_features(network, pixels, known[: scores.PROBED])
        found |= scores.measured(seen, probed, splits.test, splits.train, texts, variety, which)
    return found


def _score(network: nn.Module, pixels: Pixels, tokens: BytePairs, part: Slice, shown: Sequence[Any]) -> float:
    """The mean of R@1 both ways on a split."""
    said = [captions.said(a, captions.SEEN[place % len(captions.SEEN)]) for place, a in enumerate(shown)]
    images = scores.image_features(network, pixels, part.images_u8)
    found = scores.retrieval(images, scores.text_features(network, tokens.numbers(said)), captions.contents(shown))
    return float(found["R@1 image to text"]["value"] + found["R@1 text to image"]["value"]) / 2
