"""CLIP: texts and images in one space, through open_clip; images differentiably. Nothing is downloaded.

`model` is the name or file of a checkpoint of ours, any of open_clip's names with `weights` (a tag whose file is on
this machine, or a file: safetensors, or torch's own format by its restricted reader), a config (.json) with a file, or
`module:function`, which returns an open_clip model (alone, or with its preprocess_cfg and tokeniser).
Images in [0, 1] pass through the model's own preprocessing: antialiased resize, crop, normalisation, as
open_clip does with PIL. A text longer than the context is refused unless its end may be cut off.

Radford et al. 2021, "Learning Transferable Visual Models From Natural Language Supervision", arXiv 2103.00020.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import final

import torch
from torch import Tensor
from torch.nn import functional

from advgen.core.errors import BadArgument
from advgen.embeddings.encoders._clip_towers import Towers, load
from advgen.embeddings.encoders._texts import listed, shown

BATCH = 64  # texts at a time
KEPT = 4096  # texts whose features are remembered


@final
@dataclass(frozen=True, eq=False)
class CLIP:
    paper = "Radford et al. 2021, arXiv 2103.00020"
    cost = "forward"

    model: str  # a checkpoint of ours, one of open_clip's names, a config (.json), a folder with one, module:function
    weights: str | None = None  # a tag of open_clip's, or a file
    truncate: bool = False  # cut the end off texts that are longer than the context
    styleclip_compat: bool = False  # images as the published StyleCLIP program shows them to CLIP: not normalised

    @property
    def dim(self) -> int:
        return int(self._towers.config["embed_dim"])

    @property
    def context_length(self) -> int:
        """The pieces that a text may have, its marks of beginning and end included."""
        return self._towers.tokens.context

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied with before a softmax over texts or images."""
        return float(self._towers.network.logit_scale.exp())

    @property
    def came_from(self) -> str:
        """One phrase for the reader: which model, and which file its weights are from."""
        return self._towers.came_from

    @cached_property
    def hash(self) -> str:
        """Of what determines the result: config, preprocessing, rows in use, weights, and whether texts are cut."""
        network, config, _, pixels, ids, _ = self._towers
        facts = ["clip 1", config, pixels, None if ids is None else ids.tolist(), self.truncate]
        facts += ["styleclip"] if self.styleclip_compat else []
        digest = blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16)
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def length(self, text: str) -> int:
        """The pieces of `text`, marks included."""
        return self._towers.tokens.length(text)

    def unknown(self, text: str) -> Sequence[str]:
        """The words of `text` that the model has no rows for, each once; they are left out. Whole vocabularies have
        rows for everything, which is not to say that every language was in their training."""
        return tuple(dict.fromkeys(word.text for word in self._towers.tokens.words(text) if not word.known))

    def encode(self, texts: list[str]) -> Tensor:
        """(N, D) rows of length one, float32 on the CPU; those of the last 4,096 texts are remembered.

        Raises:
            BadArgument: a text is empty, holds no known word, or is longer than the context.
        """
        texts = listed(texts)
        new = [text for text in dict.fromkeys(texts) if text not in self._features]
        for text in new:
            self._check(text)
        fresh: dict[str, Tensor] = {}
        for begin in range(0, len(new), BATCH):
            batch = new[begin : begin + BATCH]
            fresh.update(zip(batch, self._encoded(batch), strict=True))
        rows = [fresh[text] if text in fresh else self._features[text] for text in texts]
        self._features.update(fresh)
        for text in list(self._features)[: max(len(self._features) - KEPT, 0)]:
            del self._features[text]
        return torch.stack(rows) if rows else torch.empty((0, self.dim))

    def encode_images(self, images: Tensor) -> Tensor:
        """(N, D) rows of length one of images (N, C, H, W) in [0, 1], C = 1 or 3, any size; differentiable.

        The towers follow the images to their device.

        Raises:
            BadArgument: not (N, C, H, W) floats.
        """
        _check_images(images, images.is_floating_point(), "float")
        if not len(images):
            return torch.empty((0, self.dim), device=images.device)
        pixels = self._towers.pixels
        return self._seen((pixels.as_styleclip if self.styleclip_compat else pixels)(images.float()))

    @torch.no_grad()
    def encode_images_u8(self, images_u8: Tensor) -> Tensor:
        """(N, D) rows of length one of uint8 images (N, C, H, W), by open_clip's own transform of PIL pictures: what
        its own program gives for the saved file.

        Raises:
            BadArgument: not (N, C, H, W) uint8.
        """
        _check_images(images_u8, images_u8.dtype == torch.uint8, "uint8")
        if self.styleclip_compat:
            return self.encode_images(images_u8.float() / 255)
        if not len(images_u8):
            return torch.empty((0, self.dim), device=images_u8.device)
        return self._seen(self._towers.pixels.through_pil(images_u8).to(images_u8.device))

    def _seen(self, pixels: Tensor) -> Tensor:
        network = self._towers.network.to(pixels.device)
        return functional.normalize(network.encode_image(pixels), dim=-1)

    @cached_property
    def _towers(self) -> Towers:
        return load(self.model, self.weights)

    @cached_property
    def _features(self) -> dict[str, Tensor]:
        return {}

    @torch.no_grad()
    def _encoded(self, texts: list[str]) -> Tensor:
        network = self._towers.network
        numbers = self._towers.tokens.numbers(texts).to(next(network.parameters()).device)
        return functional.normalize(network.encode_text(numbers), dim=-1).float().cpu()

    def _check(self, text: str) -> None:
        tokens = self._towers.tokens
        words = tokens.words(text)
        if not words:
            raise BadArgument(f"the text {shown(text)} is empty; words were expected.")
        if not any(word.known for word in words):
            raise BadArgument(f"{self.model} knows none of the words of {shown(text)}; use words of its training.")
        if (pieces := tokens.length(text)) > tokens.context and not self.truncate:
            raise BadArgument(
                f"the text {shown(text)} has {pieces} pieces, marks included, and the context of {self.model} holds "
                f"{tokens.context}; shorten it, or let its end be cut off with truncate=true."
            )


def _check_images(images: Tensor, right_type: bool, wanted: str) -> None:
    if images.dim() != 4 or images.shape[1] not in (1, 3) or not right_type:
        raise BadArgument(
            f"CLIP takes {wanted} images (N, C, H, W) with C 1 or 3, got {images.dtype} {tuple(images.shape)}."
        )
