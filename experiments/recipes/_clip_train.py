"""What the recipes of small CLIPs share: the towers' sizes, texts encoded at their own length, and the losses."""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advgen.embeddings.encoders._clip_pixels import Pixels
from advgen.embeddings.encoders._clip_tokens import BytePairs
from advgen.embeddings.encoders._clip_towers import IDS, build
from advgen.experiments.recipes import _distort
from advgen.experiments.recipes._augment import augmented
from advgen.experiments.recipes._prompts import truths

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # CLIP's own
CONTEXT = 40  # pieces; the longest caption of an avatar has 32
HIGHEST_SCALE = 100.0  # of the logits, as in the paper
BY_GROUP = 3.0  # weight of the short texts of a picture, group by group
SPOILT = 0.25  # share of the pictures
SPOILING = {name: _distort.TRAINED[name] for name in ("blur", "noise")} | {"compress": _distort.compress}


class Bank(NamedTuple):
    """Short texts that are asked at every step: of each thing all its texts, one of which is drawn."""

    numbers: list[Tensor]  # (K_t, context) each
    masks: Tensor  # (T, A)
    groups: Tensor  # (T,) the aspect that a text is about


def config(seen_at: int, width: int, text_width: int, dim: int, rows: int, context: int = CONTEXT) -> dict[str, Any]:
    """open_clip's `model_cfg`: one block a stage of its ResNet, two layers of text."""
    return {
        "embed_dim": dim,
        "vision_cfg": {"layers": [1, 1, 1, 1], "width": width, "head_width": 2 * width, "image_size": seen_at},
        "text_cfg": {
            "context_length": context,
            "vocab_size": rows,
            "width": text_width,
            "heads": 4,
            "layers": 2,
        },
    }


def fresh(config: dict[str, Any], tokens: BytePairs, recipe: str) -> nn.Module:
    """Both towers with first weights, and which tokens their rows stand for."""
    network = build(config, recipe)
    network.register_buffer(IDS, torch.tensor(list(tokens.ids)))
    return network


def lock_texts(network: Any) -> None:
    """Texts stay where they are, and cost no backward pass."""
    for module in (network.token_embedding, network.transformer, network.ln_final):
        module.requires_grad_(False)
    network.positional_embedding.requires_grad_(False)
    network.text_projection.requires_grad_(False)


def texts_encoded(network: Any, numbers: Tensor) -> Tensor:
    """(N, D) of length one, as `encode_text` gives them: a text costs its own length, not the context."""
    numbers = numbers.long().to(network.positional_embedding.device)
    longest = int((numbers != 0).sum(1).max())
    numbers = numbers[:, :longest]
    told = network.token_embedding(numbers) + network.positional_embedding[:longest]
    told = network.ln_final(network.transformer(told, attn_mask=network.attn_mask[:longest, :longest]))
    told = told[torch.arange(len(told)), numbers.argmax(1)] @ network.text_projection
    return F.normalize(told.float(), dim=-1)


def spoilt(images: Tensor) -> Tensor:
    """Moved and lit a little, and some of them blurred, noisy or compressed."""
    images = augmented(images, "light")
    rows = torch.rand(len(images)) < SPOILT
    if bool(rows.any()):
        images[rows] = _distort.distorted(images[rows].cpu(), SPOILING).to(images)
    return images


def loss(network: Any, pixels: Pixels, batch: tuple[Tensor, ...], bank: Bank, *, half: bool = False) -> Tensor:
    """Of a batch of images with whole captions, nearly right ones and short texts; `half`: images in bfloat16."""
    images_u8, texts, others, content, codes, short, masks = batch
    n, n_others = len(images_u8), others.shape[1] // 4
    rows = torch.arange(n)
    # On the CPU, whose generator is the one that is seeded at each step.
    phrasing = torch.randint(texts.shape[1], (n,))
    chosen = torch.rand(n, others.shape[1]).argsort(1)[:, :n_others]
    asking, pair = rows[: n // 2, None], 2 * torch.randint(short.shape[1] // 2, (n // 2, 1)) + torch.arange(2)
    asked = torch.stack([some[int(torch.randint(len(some), ()))] for some in bank.numbers]).to(short)
    said = torch.cat([texts[rows, phrasing], others[rows[:, None], chosen].flatten(0, 1)])
    seen = pixels(spoilt(images_u8.float() / 255.0))
    with torch.autocast(seen.device.type, torch.bfloat16, enabled=half):
        images = F.normalize(network.visual(seen).float(), dim=-1)
    whole = texts_encoded(network, said)
    brief = texts_encoded(network, torch.cat([asked, short[asking, pair].flatten(0, 1)]))
    about = torch.cat([bank.masks.to(masks), masks[asking, pair].flatten(0, 1)])
    scale = network.logit_scale.exp()
    right, wrong = truths(codes, about)
    # Texts about one aspect, and those about several.
    groups = torch.cat([bank.groups, bank.groups.max() + torch.ones(2 * len(asking), dtype=torch.int64)]).to(
        codes.device
    )
    brief_loss = short_texts(scale * images @ brief.T, right, wrong, groups)
    return whole_captions(images, whole, scale, content) + brief_loss


def whole_captions(images: Tensor, texts: Tensor, scale: Tensor, content: Tensor) -> Tensor:
    """InfoNCE both ways: the first N texts are the images' own, then each image's nearly right ones in a row."""
    n = len(images)
    own, nearly = texts[:n], texts[n:].unflatten(0, (n, len(texts) // n - 1))
    cosines = images @ own.T
    same = (content[:, None] == content[None]).float()
    right = same / same.sum(1, keepdim=True)
    beside = torch.cat([cosines, (images[:, None] * nearly).sum(2)], dim=1)
    to_text = -(F.log_softmax(scale * beside, dim=1)[:, :n] * right).sum(1).mean()
    to_image = -(F.log_softmax(scale * cosines.T, dim=1) * right).sum(1).mean()
    return (to_text + to_image) / 2


def short_texts(logits: Tensor, right: Tensor, wrong: Tensor, groups: Tensor) -> Tensor:
    """Each right pair of `logits` (N, T) against the wrong texts of its group (T,), and the wrong images of its text.

    Groups count alike, however many texts they have: what is small in a picture is learnt with what is large.
    """
    masked = logits.masked_fill(~wrong, -1e4)
    beside = torch.empty_like(logits)
    for group in groups.unique():
        which = groups == group
        beside[:, which] = masked[:, which].logsumexp(1, keepdim=True)
    to_text = F.softplus(beside - logits) * right
    of_text = to_text.sum(0) / right.sum(0).clamp(min=1)
    there = right.any(0)
    sums = torch.zeros(int(groups.max()) + 1, device=logits.device).index_add(0, groups[there], of_text[there])
    counts = torch.zeros_like(sums).index_add(0, groups[there], torch.ones_like(of_text[there]))
    to_image = (F.softplus(masked.logsumexp(0, keepdim=True) - logits) * right).sum(0) / right.sum(0).clamp(min=1)
    return BY_GROUP * (sums / counts.clamp(min=1))[counts > 0].mean() + to_image[there].mean() / 2


@torch.no_grad()
def bound_scale(network: nn.Module) -> None:
    scale: Any = network.logit_scale
    scale.clamp_(0, math.log(HIGHEST_SCALE))
