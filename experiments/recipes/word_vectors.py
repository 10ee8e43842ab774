"""Small word vectors, by GloVe or Word2Vec: the most frequent words of a text and those that name faces and clothes.

Stored in half precision. The card says how many tokens they come from, what the text's licence is, by which rule it
was cut into words, and how well they rank word pairs, with how many of the pairs they know.

Pennington et al. 2014, "GloVe: Global Vectors for Word Representation" (EMNLP); Mikolov et al. 2013, arXiv 1310.4546.
"""

import platform
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, final

import gensim
import numba
import numpy as np

import advgen
from advgen.core.errors import BadArgument
from advgen.core.meter import Meter
from advgen.core.specs import Card, Scalar
from advgen.embeddings import formats, judging, word2vec_epochs, wordsets
from advgen.embeddings.corpora.tokens import Tokens
from advgen.embeddings.glove.model import GloVe
from advgen.embeddings.vectors import Vectors
from advgen.embeddings.word2vec import Word2Vec
from advgen.experiments.measures._words import SETS, TEXTS, read_set, tokens_of
from advgen.experiments.recipes._face_words import FACE_WORDS
from advgen.experiments.recipes._make import finished


@final
@dataclass(frozen=True)
class WordVectors:
    text: str = "wikipedia"  # or pubmed, excerpt, pubmed-excerpt, or a file below text/ of the data folder
    method: Literal["glove", "skip-gram", "cbow"] = "glove"
    dim: int = 64  # numbers a vector
    window: int | None = None  # words to each side; None = 10 for glove, else 5
    epochs: int | None = None  # passes; None = 15 for glove, else 5
    words: int = 12_000  # size of the vocabulary, without the words that are kept besides
    keep: Literal["faces", "none"] = "faces"  # words that stay however rare, if they occur min_count times
    min_count: int = 5
    tokens: int | None = None  # words of the text to read; None = all
    name: str | None = None  # of the checkpoint; None = TEXT_METHOD

    def train(self, out: Path, *, seed: int, device: str, resume: bool, limit: int | None, meter: Meter) -> Card:
        if self.keep not in ("faces", "none"):
            raise BadArgument(f"keep must be faces or none, got {self.keep!r}.")
        method = self._method(seed, limit)
        name = self.name or f"{Path(self.text).name.partition('.')[0]}_{self.method}".replace("-", "_")
        path, work = out / f"{name}.safetensors", out / f"{name}.work"
        tokens = tokens_of(self.text, self.tokens)
        trial: dict[str, Scalar] = {} if limit is None else {"limit": limit}
        args = {**asdict(self), **trial, "text.hash": tokens.hash}
        if resume and not work.exists() and (done := finished(path, "word_vectors", args, seed)):
            return done
        if not resume:
            shutil.rmtree(work, ignore_errors=True)
        begun = time.perf_counter(), time.process_time()
        vectors, facts = _trained(method, tokens, work)
        spent = time.perf_counter() - begun[0], time.process_time() - begun[1]
        meter.seconds += spent[0]
        # What is judged is what is stored.
        vectors = Vectors(vectors.words, vectors.matrix.astype(np.float16).astype(np.float32), vectors.counts)
        card = Card(
            name=name,
            kind="vectors",
            recipe="word_vectors",
            args=args,
            seed=seed,
            data_hash=tokens.hash,
            file_hash="",
            metrics={**_about(vectors, tokens, method.max_words), **facts, **_scores(vectors), "stored as": "float16"},
            cost={"seconds": round(spent[0], 1), "cpu seconds": round(spent[1], 1), "device": "cpu", "threads": 1,
                  "parameters": vectors.matrix.size},
            licence=f"MIT; {TEXTS[self.text].licence}" if self.text in TEXTS else "as the text",
            made_with={"advgen": advgen.__version__, "numpy": np.__version__, "numba": numba.__version__,
                       "gensim": gensim.__version__, "python": platform.python_version()},
        )  # fmt: skip
        card = formats.save(path, vectors, card, half=True)
        shutil.rmtree(work, ignore_errors=True)
        return card

    def _method(self, seed: int, limit: int | None) -> GloVe | Word2Vec:
        given: dict[str, Any] = {"window": self.window, "epochs": self.epochs}
        given = {name: value for name, value in given.items() if value is not None}
        kept = FACE_WORDS if self.keep == "faces" else ()
        given |= {"dim": self.dim, "min_count": self.min_count, "max_words": self.words, "keep": kept, "seed": seed}
        if limit is not None:
            given["epochs"] = min(limit, given.get("epochs", limit))
        return GloVe(**given) if self.method == "glove" else Word2Vec(architecture=self.method, **given)


def _trained(method: GloVe | Word2Vec, tokens: Tokens, work: Path) -> tuple[Vectors, dict[str, Any]]:
    if isinstance(method, GloVe):
        of_cells = method.train(tokens, work)
        return of_cells.vectors, {name: of_cells.facts[name] for name in ("entries", "x_max", "loss")}
    of_words = word2vec_epochs.train(method, tokens, work)
    return of_words.vectors, {"loss": of_words.losses[-1]}


def _about(vectors: Vectors, tokens: Tokens, max_words: int | None) -> dict[str, Any]:
    assert vectors.counts is not None
    known = int(vectors.counts.sum())
    return {
        "tokens": tokens.words,
        "tokens in the vocabulary": known,
        "words": len(vectors),
        "kept besides the most frequent": max(len(vectors) - (max_words or len(vectors)), 0),
        "dim": vectors.dim,
        "corpus": tokens.corpus,
        "tokeniser": tokens.rule,
    }


def _scores(vectors: Vectors) -> dict[str, Any]:
    """Of the sets that are on this machine; each with how many pairs or questions the vectors know."""
    pairs = {name: found for name in SETS if (found := read_set(name))}
    return judging.scores(vectors, pairs, wordsets.embedded()[1])
