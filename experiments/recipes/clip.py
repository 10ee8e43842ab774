"""A small CLIP on your own pictures with captions: both towers from nothing, rows of words in use.

The folder holds pictures and a `captions.csv` (columns `file`, `caption`), or a `.txt` beside each picture. A tenth of
the pictures chooses the epoch and a tenth is measured, chosen by their names; captions that are equal are all right.
The checkpoint is used by its path or name wherever a CLIP is asked for. For towers that were trained on hundreds of
millions of pictures give the encoder `clip` one of open_clip's names instead.

Radford et al. 2021, arXiv 2103.00020, figure 3.
"""

from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, NamedTuple, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.specs import Card
from advgen.embeddings.encoders._clip_pixels import Pixels
from advgen.embeddings.encoders._clip_tokens import BytePairs, ids_in_use
from advgen.embeddings.encoders._clip_towers import description
from advgen.experiments.recipes import _clip_train as clip_train
from advgen.experiments.recipes._clip_scores import image_features, retrieval
from advgen.experiments.recipes._clip_train import MEAN, STD
from advgen.experiments.recipes._make import Training, Work, make
from advgen.experiments.recipes._own_captions import Captioned, read_captioned
from advgen.experiments.recipes._train import Plan

FEWEST = 20  # pictures: below, a tenth is one


class _Parts(NamedTuple):
    train: Captioned
    validation: Captioned
    test: Captioned


@final
@dataclass(frozen=True)
class CLIPRecipe:
    data: str = "captioned"  # the folder of pictures
    captions: str | None = None  # a CSV elsewhere
    size: int = 64  # pixels that the image tower takes; pictures are cut to their centre square
    context: int = 77  # pieces of a text; longer captions are refused
    width: int = 32  # channels of the image tower's stem
    text_width: int = 128
    dim: int = 256  # of the common space
    epochs: int = 30
    batch_size: int = 128
    learning_rate: float = 1e-3  # of AdamW, at its peak
    precision: Literal["32", "bf16"] = "32"  # of the image tower in training; bf16 is faster where the processor has it
    name: str = "clip_own"  # of the checkpoint

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        table = None if self.captions is None else Path(self.captions).expanduser()
        parts = _parted(read_captioned(Path(self.data).expanduser(), table, self.size))
        texts = sorted({text for part in parts for several in part.captions for text in several})
        tokens = BytePairs(
            self.context, ids_in_use(sorted({w for t in parts.train.captions for s in t for w in s.split()}))
        )
        self._refuse_long(texts, tokens)
        config = clip_train.config(self.size, self.width, self.text_width, self.dim, len(tokens.ids), self.context)
        pixels = Pixels((self.size, self.size), MEAN, STD)
        number = {text: k for k, text in enumerate(texts)}
        most = max(len(several) for several in parts.train.captions)
        said = torch.tensor([[number[s[k % len(s)]] for k in range(most)] for s in parts.train.captions])
        numbers = tokens.numbers(texts)
        plan = Plan(
            lambda network, batch: _loss(network, pixels, batch, numbers, half=self.precision == "bf16"),
            lambda network: _score(network, pixels, tokens, parts.validation),
            self.epochs,
            self.batch_size,
            self.learning_rate,
            weight_decay=0.02,
            half_costs=0.005,
            after_step=clip_train.bound_scale,
        )
        training = Training(
            self.name, "encoder", "clip", {**asdict(self), **description(config, pixels)}, None,
            {f"data.{split}": part.hash() for split, part in parts._asdict().items()},
            (parts.train.images_u8, said), plan,
            lambda network: _measured(network, pixels, tokens, parts.test), licence="the pictures' own",
            create=lambda: clip_train.fresh(config, tokens, "the recipe clip"),
        )  # fmt: skip
        return make(training, Work(out, seed, device, resume, limit, meter))

    def _refuse_long(self, texts: list[str], tokens: BytePairs) -> None:
        longest = max(texts, key=tokens.length)
        if tokens.length(longest) > self.context:
            raise BadArgument(
                f"the caption {longest[:60]!r}… has {tokens.length(longest)} pieces and context={self.context}; "
                "shorten it, or raise context."
            )


def _parted(found: Captioned) -> _Parts:
    """By the names alone, so that a picture stays where it is when others come."""
    if len(found.names) < FEWEST:
        raise BadArgument(f"{len(found.names)} pictures were found; {FEWEST} or more are needed to train and measure.")
    order = sorted(range(len(found.names)), key=lambda i: blake2b(found.names[i].encode(), digest_size=8).digest())
    tenth = len(order) // 10
    return _Parts(*(found.take(sorted(o)) for o in (order[2 * tenth :], order[:tenth], order[tenth : 2 * tenth])))


def _loss(network: Any, pixels: Pixels, batch: tuple[Tensor, ...], numbers: Tensor, *, half: bool) -> Tensor:
    images_u8, said = batch
    rows = torch.arange(len(said))
    chosen = said[rows, torch.randint(said.shape[1], (len(said),))]
    seen = pixels(clip_train.spoilt(images_u8.float() / 255.0))
    with torch.autocast(seen.device.type, torch.bfloat16, enabled=half):
        images = F.normalize(network.visual(seen).float(), dim=-1)
    texts = clip_train.texts_encoded(network, numbers[chosen.cpu()].to(seen.device))
    return clip_train.whole_captions(images, texts, network.logit_scale.exp(), chosen)


def _score(network: nn.Module, pixels: Pixels, tokens: BytePairs, part: Captioned) -> float:
    found = _measured(network, pixels, tokens, part)
    return float(found["R@1 image to text"]["value"] + found["R@1 text to image"]["value"]) / 2


@torch.no_grad()
def _measured(network: nn.Module, pixels: Pixels, tokens: BytePairs, part: Captioned) -> dict[str, Any]:
    """R@1 and R@5 both ways among the pictures of a part, each by its first caption."""
    texts = [several[0] for several in part.captions]
    numbers = {text: k for k, text in enumerate(dict.fromkeys(texts))}
    told = clip_train.texts_encoded(network, tokens.numbers(texts))
    return retrieval(image_features(network, pixels, part.images_u8), told.cpu(), [numbers[t] for t in texts])
