"""A user's own CLIP: `module:function` or `path/to/file.py:function`, which returns an open_clip model.

It returns the model, or the model with open_clip's `preprocess_cfg` as a dictionary (None = the model's own, else
OpenAI's) and a tokeniser (None = open_clip's own): texts to (N, context) token ids.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from advgen.core import registry
from advgen.core.errors import AdvgenError, BadArgument, UnknownName
from advgen.embeddings.encoders._clip_pixels import Pixels
from advgen.embeddings.encoders._clip_tokens import BytePairs, Tokens, Word

LONGEST = 4096  # pieces of a text that are counted
NEEDED = ("encode_image", "encode_text", "visual", "logit_scale")


class Made(NamedTuple):
    network: nn.Module
    dim: int
    tokens: Tokens
    pixels: Pixels


class CalledTokens:
    """A tokeniser that is a function of texts; which words it lacks it does not tell, nor where it cuts, unless it
    takes open_clip's argument `context_length`."""

    def __init__(self, tokenizer: Callable[..., Tensor], context: int) -> None:
        self._tokenizer, self.context = tokenizer, context

    def words(self, text: str) -> list[Word]:
        return [Word(word, True) for word in text.split()]

    def length(self, text: str) -> int:
        try:
            numbers = self._tokenizer([text], context_length=LONGEST)
        except TypeError:
            numbers = self.numbers([text])
        return int((numbers != 0).sum())

    def numbers(self, texts: Sequence[str]) -> Tensor:
        return self._tokenizer(list(texts)).long()


def made(ref: str) -> Made:
    """What the function gives, frozen and in eval mode.

    Raises:
        UnknownName: there is no such module or function.
        BadArgument: it fails, or returns something else than an open_clip model.
    """
    where, _, name = ref.rpartition(":")
    module = _calling(ref, lambda: registry.load_file(Path(where)) if where.endswith(".py") else _imported(where, ref))
    function = getattr(module, name, None)
    if not callable(function):
        public = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise UnknownName.among(f"function of {where}", name, public)
    found = _calling(ref, function)
    network, preprocess, tokenizer = (*found, None, None)[:3] if isinstance(found, tuple) else (found, None, None)
    lacks = [n for n in NEEDED if not hasattr(network, n)]
    if not isinstance(network, nn.Module) or lacks:
        raise BadArgument(
            f"{ref} must return an open_clip model, alone or with its preprocess_cfg and tokeniser; what it returned, "
            f"a {type(network).__name__}, has no {', '.join(lacks) or 'weights'}."
        )
    network.eval().requires_grad_(False)
    pixels = _pixels(network, preprocess, ref)
    with torch.no_grad():
        seen = network.encode_image(torch.zeros(1, 3, *pixels.size))  # type: ignore[operator]
    return Made(network, int(seen.shape[1]), _tokens(network, tokenizer, ref), pixels)


def _pixels(network: Any, preprocess: Mapping[str, Any] | None, ref: str) -> Pixels:
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict

    given = dict(getattr(network.visual, "preprocess_cfg", {}) if preprocess is None else preprocess)
    merged = merge_preprocess_dict(asdict(PreprocessCfg()), {**given, "size": network.visual.image_size})
    return Pixels.from_config(merged, f"what {ref} returned")


def _tokens(network: Any, tokenizer: Any, ref: str) -> Tokens:
    context = int(getattr(network, "context_length", 77))
    if tokenizer is not None:
        return CalledTokens(tokenizer, context)
    own = BytePairs(context)
    if int(getattr(network, "vocab_size", len(own.ids))) != len(own.ids):
        raise BadArgument(
            f"the model of {ref} has {network.vocab_size} tokens, open_clip's own tokeniser {len(own.ids)}; let it "
            "return (model, None, tokenizer)."
        )
    return own


def _imported(module: str, ref: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise UnknownName(
            f"{ref!r}: there is no module {error.name!r} on the import path, and the current folder is not on it; "
            "write `path/to/file.py:function` for a file."
        ) from None


def _calling(ref: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except AdvgenError:
        raise
    except Exception as error:
        said = (str(error).splitlines() or [""])[0]
        raise BadArgument(f"{ref} failed with {type(error).__name__}: {said or 'no message'}.") from error
