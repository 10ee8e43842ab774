"""Latents and what their images show: a generator's own samples read by a captioner, and inverted portraits.

Of own samples w is exact and what is seen is read off the image (an answer that the captioner is not sure of is
unknown); of portraits what is seen is known and w+ is an encoder's. What shows a held-out combination is left out.
Tables are kept in the platform's cache, by the hashes of what made them.
"""

from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from advgen.core.files import sha256, write_atomically
from advgen.core.rng import stream_seed
from advgen.core.specs import DataSpec
from advgen.experiments.data._files import cache_folder
from advgen.experiments.data._load import load
from advgen.experiments.recipes._captions import attributes_of
from advgen.experiments.recipes._phrases import kept_back
from advgen.experiments.recipes._prompts import codes
from advgen.experiments.recipes.text_to_latent_captioner import SURE, read
from advgen.generators.stylegan2 import StyleGAN2Generator

BATCH = 64


class Part(NamedTuple):
    """N latents with what is seen."""

    w: Tensor  # (N, L, D)
    codes: Tensor  # (N, A) int32, see `_prompts`; 0 where it is not known
    own: Tensor  # (N,) bool: samples of the generator, all of whose rows are equal
    hash: str

    def take(self, index: Tensor) -> "Part":
        return Part(self.w[index], self.codes[index], self.own[index], self.hash)


def joined(one: Part, other: Part) -> Part:
    """Both, one after the other."""
    tensors = (torch.cat(pair) for pair in zip(one[:3], other[:3], strict=True))
    return Part(*tensors, f"{one.hash}+{other.hash}")


def own_samples(
    generator: StyleGAN2Generator, file: Path, captioner: nn.Module, read_by: str, n: int, split: str
) -> Part:
    """`n` samples of a generator (from `file`), read by a captioner whose hash is `read_by`; without truncation."""
    key = _key("own", sha256(file), read_by, SURE, n, split)
    if (kept := _kept(key)) is None:
        draws = torch.Generator().manual_seed(stream_seed(0, f"text to latent/{split}", ""))
        ws, seen = [], []
        with torch.no_grad():
            for piece in torch.randn(n, generator.z_dim, generator=draws).split(BATCH):
                w = generator.mapping(piece)
                seen.append(read(captioner, generator.synthesis(w).clamp(0, 1)))
                ws.append(w[:, 0])
        kept = _keep(key, torch.cat(ws), torch.cat(seen))
    w, found = kept
    rows = w[:, None].expand(-1, generator.num_ws, -1)
    return _seen_only(Part(rows, found, torch.ones(len(w), dtype=torch.bool), key))


def portraits(encoder: nn.Module, file: Path, variety: str | None, size: int, n: int) -> Part:
    """`n` avatars of the train split, inverted by a latent encoder (from `file`)."""
    args = () if variety is None else (("variety", variety),)
    part = load(DataSpec("avatars", "train", n, size, args))
    key = _key("portraits", sha256(file), part.hash)
    if (kept := _kept(key)) is None:
        with torch.no_grad():
            w = torch.cat([encoder(piece.float() / 255) for piece in part.images_u8.split(BATCH)])
        kept = _keep(key, w, codes(attributes_of(part)))
    return _seen_only(Part(*kept, torch.zeros(len(kept[0]), dtype=torch.bool), key))


def _seen_only(part: Part) -> Part:
    return part.take((~kept_back(part.codes)).nonzero()[:, 0])


def _key(*facts: object) -> str:
    return blake2b("\x1f".join(map(str, facts)).encode(), digest_size=16).hexdigest()


def _file(key: str) -> Path:
    return cache_folder() / "text_to_latent" / f"{key}.safetensors"


def _kept(key: str) -> tuple[Tensor, Tensor] | None:
    if not _file(key).is_file():
        return None
    tensors = load_file(_file(key))
    return tensors["w"], tensors["codes"]


def _keep(key: str, w: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    write_atomically(_file(key), save({"w": w.contiguous(), "codes": seen.contiguous()}))
    return w, seen
