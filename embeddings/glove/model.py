"""GloVe from a tokenised corpus to vectors: vocabulary, counts, descent, and the sum of both vectors of a word."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from advgen.core.errors import BadArgument
from advgen.core.files import write_atomically
from advgen.embeddings.corpora.tokens import Tokens
from advgen.embeddings.glove.cooccurrence import WIDEST, count_pairs
from advgen.embeddings.glove.descent import Parameters, arrange, start, train
from advgen.embeddings.vectors import Vectors
from advgen.embeddings.vocabulary import count_words, write_ids

LARGE_CORPUS = 1_000_000_000  # words; from here on the paper's x_max of 100


class Trained(NamedTuple):
    """Vectors and how they came to be."""

    vectors: Vectors
    losses: tuple[float, ...]  # mean of f (...)^2 over the cells, an epoch each
    facts: dict[str, Any]


@dataclass(frozen=True)
class GloVe:
    """The method's arguments; the same seed gives the same vectors on any number of threads."""

    dim: int = 100
    window: int = 10  # words to each side, at most 20
    epochs: int = 15
    rate: float = 0.05
    x_max: float | None = None  # None: 10 for under a billion words of corpus, else 100
    min_count: int = 5
    max_words: int | None = None  # size of the vocabulary, None = all
    keep: tuple[str, ...] = ()  # words that max_words does not leave out, if they occur min_count times
    symmetric: bool = True  # False counts the words to the left only
    program_bias: bool = False  # biases without rate and clipping, as the reference program moves them
    seed: int = 0
    threads: int = 1  # at most 16 are used
    memory_bytes: int = 1 << 30  # for counting

    def __post_init__(self) -> None:
        for name in ("dim", "epochs", "threads", "min_count"):
            if getattr(self, name) < 1:
                raise BadArgument(f"{name} must be at least 1, got {getattr(self, name)}.")
        if not 1 <= self.window <= WIDEST:
            raise BadArgument(f"the window must be from 1 to {WIDEST} words, got {self.window}.")
        for name in ("rate", "x_max"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise BadArgument(f"{name} must be above 0 and finite, got {value}.")
        if self.memory_bytes < 1 << 24:
            raise BadArgument(f"GloVe needs at least 16 MB of memory, got {self.memory_bytes:,} bytes.")

    def chosen_x_max(self, words: int) -> float:
        """The given x_max, or the one for a corpus of so many words."""
        return self.x_max if self.x_max is not None else (100.0 if words >= LARGE_CORPUS else 10.0)

    def train(self, tokens: Tokens, folder: Path, *, tell: Callable[[str], None] = lambda _: None) -> Trained:
        """Vectors from `tokens`; a killed training goes on from `folder` at its last finished epoch."""
        work = folder / f"glove-{self._key(tokens)}"
        work.mkdir(parents=True, exist_ok=True)
        vocabulary = count_words(
            tokens.path,
            min_count=self.min_count,
            max_words=self.max_words,
            keep=self.keep,
            memory_bytes=self.memory_bytes,
        )
        size, x_max = len(vocabulary.words), self.chosen_x_max(tokens.words)
        tell(f"vocabulary: {size:,} words")
        ids = write_ids(tokens.path, vocabulary, work / "ids")
        cells = count_pairs(
            ids, size, work, window=self.window, symmetric=self.symmetric, memory_bytes=self.memory_bytes
        )
        tell(f"co-occurrence: {cells.entries:,} entries, {cells.runs} sorted runs; x_max {x_max:g}")
        arranged = arrange(cells, work, x_max=x_max, seed=self.seed)
        parameters, losses = _resumed(work / "state.safetensors") or (start(size, self.dim, self.seed), [])

        def done(epochs: int, loss: float) -> None:
            losses.append(loss)
            _keep(work / "state.safetensors", parameters, losses)
            tell(f"epoch {epochs} of {self.epochs}: loss {loss:.5f}")

        train(
            arranged, parameters, epochs=self.epochs, first=len(losses), seed=self.seed, rate=self.rate,
            threads=self.threads, program_bias=self.program_bias, done=done,
        )  # fmt: skip
        vectors = Vectors(vocabulary.words, parameters.rows + parameters.columns, vocabulary.counts)
        facts = {"entries": cells.entries, "runs": cells.runs, "x_max": x_max, "loss": losses[-1]}
        del arranged, cells, ids
        shutil.rmtree(work)
        return Trained(vectors, tuple(losses), facts)

    def _key(self, tokens: Tokens) -> str:
        """What determines the result; threads and memory do not."""
        what = asdict(replace(self, threads=1, memory_bytes=1 << 30))
        return hashlib.blake2b(json.dumps([what, tokens.hash]).encode(), digest_size=8).hexdigest()


def _keep(path: Path, parameters: Parameters, losses: list[float]) -> None:
    write_atomically(path, save(parameters._asdict(), metadata={"losses": json.dumps(losses)}))


def _resumed(path: Path) -> tuple[Parameters, list[float]] | None:
    """The state after the last finished epoch; None where there is none that is whole."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            state = {name: np.array(file.get_tensor(name)) for name in Parameters._fields}
            return Parameters(**state), json.loads(file.metadata()["losses"])
    except (SafetensorError, KeyError, ValueError):
        return None
