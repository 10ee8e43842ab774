"""CLIP against a list of prompts as a target: `clip:a face with glasses|a face without glasses`, logits a prompt each.

Prompts are parted by `|`, or lie in a file, one a line: `clip:@prompts.txt`. Arguments of the part: `model` and
`weights` (as of the encoder `clip`; the shipped CLIP by default), `templates` ("none"; "ensemble" for the built-in
ones; or a file, one a line with {} for the prompt), `truncate`, and `styleclip_compat`. The logits are the cosines
times the model's own scale, as in the paper's figure 3. Images pass through CLIP's preprocessing and keep their
gradient.

Radford et al. 2021, arXiv 2103.00020, sections 3.1.2 and 3.1.4.
"""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from advgen.core.errors import BadArgument, BadFile, MissingFile
from advgen.core.specs import Card, Part
from advgen.core.types import ImageTextEncoder
from advgen.zoo import load as zoo

PREFIX = "clip:"
SHIPPED = "clip_avatars_64"
ARGS = ("model", "weights", "templates", "truncate", "styleclip_compat")
SAME = 1e-6  # two rows of length one whose cosine is this near to 1 are one text to the model


class ZeroShot(nn.Module):
    """Logits of images against texts, by an encoder of both."""

    def __init__(self, encoder: ImageTextEncoder, texts: Tensor) -> None:
        super().__init__()
        self.encoder = encoder
        self.scale = encoder.logit_scale
        self.register_buffer("texts", texts)  # (K, D) of length one

    def forward(self, images: Tensor) -> Tensor:
        texts: Any = self.texts
        return self.scale * self.encoder.encode_images(images) @ texts.to(images.device).T


def is_zero_shot(part: Part) -> bool:
    return part.name.startswith(PREFIX)


def zero_shot(part: Part) -> zoo.Loaded:
    """The target of `clip:PROMPTS`.

    Raises:
        BadArgument: fewer than two prompts, an empty one, one that the model cannot hold, two that are the same to it.
    """
    from advgen.editing.prompts import TEMPLATES, check_template, ensembled
    from advgen.embeddings.encoders.clip import CLIP

    args = {name: value for name, value in part.args if name in ARGS}
    prompts = _prompts(part.name)
    given, templates = str(args.pop("templates", "none")), ("{}",)
    if given == "ensemble":
        templates = TEMPLATES
    elif given != "none":
        templates = tuple(_lines(Path(given), "templates"))
        for template in templates:
            check_template(template)
    model = str(args.setdefault("model", SHIPPED))
    encoder = CLIP(**args)  # type: ignore[arg-type]
    texts = torch.stack([ensembled(encoder, prompt, templates) for prompt in prompts])
    _refuse_equal(encoder, prompts, texts)
    digest = blake2b("\x1f".join([encoder.hash, *prompts, *templates]).encode(), digest_size=32).hexdigest()
    card = Card(
        name=part.name, kind="classifier", recipe="zero-shot", args=args, seed=0, data_hash="",
        file_hash=digest, metrics={}, cost={}, licence="the model's own",
        stands_in_for="published CLIP" if model == SHIPPED else None,
    )  # fmt: skip
    network = ZeroShot(encoder, texts).eval()
    return zoo.Loaded(network, card, prompts, None, "argmax", None, None, f"zero-shot by {encoder.came_from}")


def _prompts(name: str) -> tuple[str, ...]:
    said = name.removeprefix(PREFIX)
    prompts = _lines(Path(said[1:]), "prompts") if said.startswith("@") else [p.strip() for p in said.split("|")]
    if len(prompts) < 2 or not all(prompts):
        raise BadArgument(
            f"{name!r} has {sum(map(bool, prompts))} prompts; two or more were expected, parted by |, none empty, such "
            "as 'clip:a face with glasses|a face without glasses'."
        )
    if len(set(prompts)) < len(prompts):
        twice = next(p for p in prompts if prompts.count(p) > 1)
        raise BadArgument(f"the prompt {twice!r} stands twice in the list.")
    return tuple(prompts)


def _refuse_equal(encoder: Any, prompts: Sequence[str], texts: Tensor) -> None:
    same = (texts @ texts.T).triu(1) > 1 - SAME
    if bool(same.any()):
        one, other = (prompts[int(i)] for i in same.nonzero()[0])
        unknown = [*encoder.unknown(one), *encoder.unknown(other)]
        why = f", which lacks the words {', '.join(dict.fromkeys(unknown))}" if unknown else ""
        raise BadArgument(f"{one!r} and {other!r} are the same to the model{why}; use words that it knows.")


def _lines(path: Path, what: str) -> list[str]:
    try:
        return [line.strip() for line in path.expanduser().read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except FileNotFoundError:
        raise MissingFile(f"there is no file {str(path)!r} of {what}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(f"{path} cannot be read as {what}, one a line: {error}.") from None
