"""A small CLIP on captioned avatars: both towers from nothing, a few hundred thousand weights, rows of words in use.

Symmetric InfoNCE over a batch, where captions that say the same are all right, and beside each image's caption a few
that are nearly right (one attribute changed, or two colours swapped), as the rest of a batch hardly teaches detail.
Every picture is captioned anew at each step by one of the phrasings that are not held out. The token embedding keeps
the rows of these captions alone. Held-out combinations, phrasings and synonyms are measured, never trained.

Radford et al. 2021, arXiv 2103.00020, figure 3; captions that are nearly right: Yuksekgonul et al. 2022, "When and why
vision-language models behave like bags-of-words, and what to do about it?", arXiv 2210.01936, section 4.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.specs import Card
from advgen.core.types import Slice
from advgen.embeddings.encoders._clip_pixels import Pixels
from advgen.embeddings.encoders._clip_tokens import BytePairs, ids_in_use
from advgen.embeddings.encoders._clip_towers import IDS, build, description
from advgen.experiments.recipes import _captions as captions
from advgen.experiments.recipes import _clip_scores as scores
from advgen.experiments.recipes._augment import augmented
from advgen.experiments.recipes._make import Training, Work, load_splits, make
from advgen.experiments.recipes._train import Plan

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's own
CONTEXT = 40  # pieces; the longest caption has 32
HIGHEST_SCALE = 100.0  # of the logits, as in the paper


@final
@dataclass(frozen=True)
class CLIPAvatars:
    size: int = 64  # pixels of the portraits
    seen_at: int = 64  # pixels that the image tower takes; more than `size` enlarges
    variety: Literal["plain", "full"] = "full"  # of the portraits
    population: int = 0  # their seed
    images: int = 12_000  # of the train split
    width: int = 24  # channels of the image tower's stem
    text_width: int = 64
    dim: int = 128  # of the common space
    nearly_right: int = 2  # captions beside each image's own
    epochs: int = 14
    batch_size: int = 128
    learning_rate: float = 2e-3  # of AdamW, at its peak
    name: str | None = None  # of the checkpoint; None = clip_avatars_SIZE

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        if self.images < 1 or self.nearly_right < 1:
            raise BadArgument(f"images and nearly_right must be 1 or more, got {self.images} and {self.nearly_right}.")
        # Labelled by an attribute, the splits share no person.
        population = (("label", "glasses"), ("seed", self.population), ("variety", self.variety))
        splits = load_splits("avatars", self.size, population, counts={"train": self.images})
        shown = captions.attributes_of(splits.train)
        texts = [[captions.said(a, p) for p in captions.SEEN] for a in shown]
        others = [_others(a, self.nearly_right, seed, place) for place, a in enumerate(shown)]
        tokens = BytePairs(CONTEXT, ids_in_use(sorted({t for some in (*texts, *others) for t in some})))
        config, pixels = self._config(len(tokens.ids)), Pixels((self.seen_at, self.seen_at), MEAN, STD)
        tensors = (
            splits.train.images_u8,
            torch.stack([_small(tokens, some) for some in texts]),
            torch.stack([_small(tokens, some) for some in others]),
            torch.tensor(captions.contents(shown)),
        )
        validation = captions.attributes_of(splits.validation)
        plan = Plan(
            lambda network, batch: _loss(network, pixels, batch),
            lambda network: _score(network, pixels, tokens, splits.validation, validation),
            self.epochs,
            self.batch_size,
            self.learning_rate,
            weight_decay=0.02,
            half_costs=0.005,
            after_step=_bound_scale,
        )
        training = Training(
            self.name or f"clip_avatars_{self.size}", "encoder", "clip_avatars",
            {**asdict(self), **description(config, pixels)}, None, splits.hashes(), tensors, plan,
            lambda network: scores.measured(network, pixels, tokens.numbers, splits.test, splits.validation),
            stands_in_for="published CLIP", create=lambda: _fresh(config, tokens),
        )  # fmt: skip
        return make(training, Work(out, seed, device, resume, limit, meter))

    def _config(self, rows: int) -> dict[str, Any]:
        """open_clip's `model_cfg`: one block a stage of its ResNet, two layers of text."""
        return {
            "embed_dim": self.dim,
            "vision_cfg": {
                "layers": [1, 1, 1, 1],
                "width": self.width,
                "head_width": 2 * self.width,
                "image_size": self.seen_at,
            },
            "text_cfg": {
                "context_length": CONTEXT,
                "vocab_size": rows,
                "width": self.text_width,
                "heads": 4,
                "layers": 2,
            },
        }


def _others(attributes: Any, n: int, seed: int, place: int) -> list[str]:
    """`4 n` captions that are nearly right, of which each step draws n; in phrasings that are not held out."""
    found = captions.nearly_right(attributes, 4 * n, seed=seed, key=f"train {place}")
    said = [captions.said(a, captions.SEEN[(place + k) % len(captions.SEEN)]) for k, a in enumerate(found)]
    return [said[k % len(said)] for k in range(4 * n)]


def _small(tokens: BytePairs, texts: Sequence[str]) -> Tensor:
    """(K, context) int16: a training keeps hundreds of thousands of captions."""
    return tokens.numbers(texts).to(torch.int16)


def _fresh(config: dict[str, Any], tokens: BytePairs) -> nn.Module:
    network = build(config, "the recipe clip_avatars")
    network.register_buffer(IDS, torch.tensor(list(tokens.ids)))
    return network


def _loss(network: nn.Module, pixels: Pixels, batch: tuple[Tensor, ...]) -> Tensor:
    images_u8, texts, others, content = batch
    n, n_others = len(images_u8), others.shape[1] // 4
    rows = torch.arange(n)
    # On the CPU, whose generator is the one that is seeded at each step.
    phrasing = torch.randint(texts.shape[1], (n,))
    chosen = torch.rand(n, others.shape[1]).argsort(1)[:, :n_others]
    said = torch.cat([texts[rows, phrasing], others[rows[:, None], chosen].flatten(0, 1)]).long()
    images, features, scale = network(pixels(augmented(images_u8.float() / 255.0, "light")), said)
    own, nearly = features[:n], features[n:].unflatten(0, (n, n_others))
    cosines = images @ own.T
    same = (content[:, None] == content[None]).float()
    right = same / same.sum(1, keepdim=True)
    beside = torch.cat([cosines, (images[:, None] * nearly).sum(2)], dim=1)
    to_text = -(F.log_softmax(scale * beside, dim=1)[:, :n] * right).sum(1).mean()
    to_image = -(F.log_softmax(scale * cosines.T, dim=1) * right).sum(1).mean()
    return (to_text + to_image) / 2


def _score(network: nn.Module, pixels: Pixels, tokens: BytePairs, part: Slice, shown: Sequence[Any]) -> float:
    """The mean of R@1 both ways on a split."""
    said = [captions.said(a, captions.SEEN[place % len(captions.SEEN)]) for place, a in enumerate(shown)]
    images = scores.image_features(network, pixels, part.images_u8)
    found = scores.retrieval(images, scores.text_features(network, tokens.numbers(said)), captions.contents(shown))
    return (found["R@1 image to text"]["value"] + found["R@1 text to image"]["value"]) / 2


@torch.no_grad()
def _bound_scale(network: Any) -> None:
    network.logit_scale.clamp_(0, math.log(HIGHEST_SCALE))
