"""Text to the numbers that a CLIP's text tower takes: the whole vocabulary, some rows of it, or the hub's tokenisers.

A model may keep only the rows of its token embedding that its training used; `ids` then says which token of the whole
vocabulary each row stands for. A word with a piece that has no row is unknown and left out, as if it were not written.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from advgen.core.errors import BadFile, MissingFile
from advgen.embeddings.encoders._clip_files import in_hub_cache


class Word(NamedTuple):
    text: str
    known: bool


class Tokens(Protocol):
    """How a model's texts become numbers."""

    @property
    def context(self) -> int:
        """The pieces that a text may have, its marks of beginning and end included."""
        ...

    def words(self, text: str) -> list[Word]: ...
    def length(self, text: str) -> int:
        """Pieces of `text`, marks included."""
        ...

    def numbers(self, texts: Sequence[str]) -> Tensor:
        """(N, context) int64; what is beyond the context is cut off."""
        ...


class BytePairs:
    """open_clip's byte pair encoding of 49,408 tokens, or the tokens `ids` of it."""

    def __init__(self, context: int, ids: Tensor | None = None, **options: Any) -> None:
        from open_clip.tokenizer import SimpleTokenizer

        self.context = context
        self._tokenizer = SimpleTokenizer(context_length=context, **options)
        self.ids = range(self._tokenizer.vocab_size) if ids is None else ids.tolist()
        self._row = {token: row for row, token in enumerate(self.ids)}
        self._words: dict[str, list[int] | None] = {}

    def words(self, text: str) -> list[Word]:
        return [Word(word, self._rows(word) is not None) for word in self._split(text)]

    def length(self, text: str) -> int:
        return len(self._framed(text))

    def numbers(self, texts: Sequence[str]) -> Tensor:
        numbers = torch.zeros((len(texts), self.context), dtype=torch.int64)  # row 0 is the padding
        for place, text in enumerate(texts):
            framed = self._framed(text)
            if len(framed) > self.context:
                framed = [*framed[: self.context - 1], framed[-1]]
            numbers[place, : len(framed)] = torch.tensor(framed)
        return numbers

    def lacks_marks(self) -> bool:
        """Whether `ids` cannot serve: padding first, the end mark last, rising in between, and the beginning mark."""
        own, ids = self._tokenizer, list(self.ids)
        rising = all(one < other for one, other in pairwise(ids))
        # The text tower finds the end of a text by its highest number.
        ends = ids[:1] == [0] and ids[-1:] == [own.eot_token_id]
        return not (rising and ends and own.sot_token_id in self._row)

    def _framed(self, text: str) -> list[int]:
        pieces = [row for word in self._split(text) for row in self._rows(word) or ()]
        return [self._row[self._tokenizer.sot_token_id], *pieces, self._row[self._tokenizer.eot_token_id]]

    def _split(self, text: str) -> list[str]:
        words: list[str] = self._tokenizer.pat.findall(self._tokenizer.clean_fn(text))
        return words

    def _rows(self, word: str) -> list[int] | None:
        if word not in self._words:
            ids = self._tokenizer.encode(word)
            known = all(token in self._row for token in ids)
            self._words[word] = [self._row[token] for token in ids] if known else None
        return self._words[word]


class HubTokens:
    """A tokeniser of the transformers library, as open_clip wraps it; unknown words become its own mark for them."""

    def __init__(self, wrapped: Any, context: int) -> None:
        self.context, self._wrapped, self._tokenizer = context, wrapped, wrapped.tokenizer

    def words(self, text: str) -> list[Word]:
        unknown = self._tokenizer.unk_token_id
        return [
            Word(word, unknown not in self._tokenizer(word, add_special_tokens=False)["input_ids"])
            for word in self._wrapped.clean_fn(text).split()
        ]

    def length(self, text: str) -> int:
        return len(self._tokenizer(self._wrapped.clean_fn(text))["input_ids"])

    def numbers(self, texts: Sequence[str]) -> Tensor:
        numbers: Tensor = self._wrapped(list(texts), context_length=self.context)
        return numbers


def of_config(text: dict[str, Any], ids: Tensor | None, where: str) -> Tokens:
    """The tokens that a `text_cfg` of open_clip asks for; `ids` where only their rows are kept.

    Raises:
        BadFile: `ids` that cannot serve.
        MissingFile: a tokeniser of the hub whose files or library are not here.
    """
    context, options = int(text.get("context_length", 77)), dict(text.get("tokenizer_kwargs") or {})
    name = text.get("hf_tokenizer_name")
    if name and ids is None:
        return _of_hub(str(name), context, text.get("tokenizer_mode"), options)
    if ids is not None and (name or ids.dim() != 1 or ids.is_floating_point() or BytePairs(context, ids).lacks_marks()):
        raise BadFile(f"{where}: its token ids are not rows of open_clip's own vocabulary, in rising order with marks.")
    return BytePairs(context, ids, **options)


def ids_in_use(texts: Sequence[str]) -> Tensor:
    """(R,) int64, rising: the tokens of `texts`, padding and marks, for a model that keeps no other rows."""
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    used = {0, tokenizer.sot_token_id, tokenizer.eot_token_id}
    for text in texts:
        used.update(tokenizer.encode(text))
    return torch.tensor(sorted(used))


def _of_hub(name: str, context: int, mode: str | None, options: dict[str, Any]) -> HubTokens:
    files = (in_hub_cache(name, file) for file in ("tokenizer.json", "tokenizer_config.json"))
    folder = next((file.parent for file in files if file is not None), None)
    if folder is None:
        raise MissingFile(
            f"the tokeniser {name} of this CLIP was not found; bring the repository huggingface.co/{name} into the "
            "hub's cache (`hf download`), or take a model with open_clip's own tokeniser, such as ViT-B-32."
        )
    from open_clip.tokenizer import HFTokenizer

    try:
        wrapped = HFTokenizer(str(folder), context_length=context, tokenizer_mode=mode, **options)
    except ImportError:
        raise MissingFile(
            f"the tokeniser {name} of this CLIP needs the package transformers: pip install transformers."
        ) from None
    return HubTokens(wrapped, context)
