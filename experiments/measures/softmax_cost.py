"""Skip-gram by full softmax, hierarchical softmax or negative sampling: time a token, and how good the vectors are.

Everything but the objective is the same: tokens, vocabulary, dimension, windows, sub-sampling, rate and its fall. The
two cheap objectives are gensim's compiled loops with one worker; the full softmax is ours, one matrix product for a
batch of centres, on one thread. Time is that of the passes over the text: counting words and judging are left out.
Quality is Spearman's correlation with people's similarity scores.

Mikolov et al. 2013 (arXiv 1310.4546, sections 2.1 and 2.2); Morin & Bengio 2005 for the hierarchical softmax.
"""

import heapq
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, final

import torch

from advgen.core.errors import BadArgument
from advgen.core.files import sha256
from advgen.core.meter import Meter
from advgen.embeddings.corpora.tokens import Tokens
from advgen.embeddings.full_softmax import FullSoftmax
from advgen.embeddings.vectors import Vectors
from advgen.embeddings.vocabulary import Vocabulary, count_words
from advgen.embeddings.word2vec import Word2Vec
from advgen.experiments.measured import Curve, Measured, Reading
from advgen.experiments.measures._words import judged, read_set, set_file, tokens_of

SIMILARITY = ("WordSim-353", "MEN")


@final
@dataclass(frozen=True)
class SoftmaxCost:
    """One training and its judging."""

    quantities: ClassVar = {
        "time a token": {
            "means": "wall time of training for each word of the text in the vocabulary and each pass",
            "unit": "µs", "better": "lower", "timing": True, "log": True,
        },
        "CPU time a token": {
            "means": "the same in processor time, which other programs disturb less",
            "unit": "µs", "better": "lower", "timing": True, "log": True,
        },
        "CPU time": {
            "means": "processor time of the whole training", "unit": "s", "better": "lower",
            "timing": True, "log": True,
        },
        "outputs a pair": {
            "means": "output vectors that a training pair touches (the full softmax: shared by a centre's contexts)",
            "better": "lower", "log": True,
        },
        "MEN": {"means": "Spearman's correlation with people's scores of MEN's 3,000 pairs", "better": "higher"},
        "WordSim-353": {"means": "Spearman's correlation with the scores of WordSim-353", "better": "higher"},
        "coverage of MEN": {"means": "share of pairs both of whose words have a vector", "unit": "share"},
        "coverage of WordSim-353": {"means": "share of pairs both of whose words have a vector", "unit": "share"},
    }  # fmt: skip
    plots = (
        ("CPU time a token", "MEN"),
        ("CPU time", "MEN"),
        ("CPU time a token", "WordSim-353"),
    )

    objective: Literal["full", "hierarchical", "negative"] = "negative"  # what stands for the softmax over all words
    k: int = 5  # noise words a pair, of negative sampling alone
    text: str = "excerpt"  # of gensim's package, or a file below text/ of the data folder
    tokens: int = 500_000  # words read of it
    words: int = 10_000  # size of the vocabulary at most
    min_count: int = 1  # words that occur less often are left out
    dim: int = 50  # numbers a vector
    window: int = 5  # words to each side at most
    epochs: int = 3  # passes over the text
    rate: float = 0.025  # falls linearly to 0.0001
    batch: int = 64  # centres of a matrix product, of the full softmax alone

    def __post_init__(self) -> None:
        if self.k < 1:
            raise BadArgument(f"k must be at least 1, got {self.k}.")
        if self.tokens < 1_000:
            raise BadArgument(f"tokens must be at least 1,000, got {self.tokens}.")

    def inputs(self) -> Mapping[str, str]:
        files = {name: path for name in SIMILARITY if (path := set_file(name)) is not None}
        return {"text": self._tokens().hash, **{name: sha256(path) for name, path in files.items()}}

    def run(self, *, seed: int, device: torch.device, meter: Meter, out: Path) -> Measured:
        tokens = self._tokens()
        vocabulary = count_words(tokens.path, min_count=self.min_count, max_words=self.words)
        pairs = {name: read_set(name) for name in SIMILARITY}
        clock, passes = _Clock(), list[_Pass]()
        last: list[Vectors] = []

        def each_epoch(vectors: Vectors) -> None:
            with clock.stopped():
                found = {name: judged(vectors, of, name)[0] for name, of in pairs.items() if of}
                passes.append(_Pass(clock.wall, clock.cpu, found))
                last[:] = [vectors]

        # The text is counted again and, for the cheap objectives, a model is set up: told before the clock starts.
        self._method(seed).train(tokens, tell=lambda said: clock.start() if "vocabulary" in said else None,
                                 each_epoch=each_epoch)  # fmt: skip
        meter.seconds += clock.wall
        read = int(vocabulary.counts.sum()) * self.epochs
        end = passes[-1]
        readings = [
            Reading.of_arm(seed, "time a token", 1e6 * end.wall / read),
            Reading.of_arm(seed, "CPU time a token", 1e6 * end.cpu / read),
            Reading.of_arm(seed, "CPU time", end.cpu),
            Reading.of_arm(seed, "outputs a pair", outputs_a_pair(vocabulary, self.objective, self.k)),
        ]
        curves = []
        for name, of in pairs.items():
            readings += judged(last[0], of, name)[1] if of else []
            points = [(p.cpu, rho) for p in passes if (rho := p.spearman.get(name)) is not None]
            curves += [Curve(f"seed/{seed}", "CPU time", name, points)] if points else []
        return Measured(readings, curves, notes=self._notes(tokens, vocabulary, pairs))

    def _tokens(self) -> Tokens:
        return tokens_of(self.text, self.tokens)

    def _method(self, seed: int) -> FullSoftmax | Word2Vec:
        shared: dict[str, Any] = {
            "dim": self.dim, "window": self.window, "epochs": self.epochs, "rate": self.rate, "seed": seed,
            "min_count": self.min_count, "max_words": self.words,
        }  # fmt: skip
        if self.objective == "full":
            return FullSoftmax(**shared, batch=self.batch)
        hierarchical = self.objective == "hierarchical"
        return Word2Vec(**shared, hierarchical=hierarchical, negative=0 if hierarchical else self.k)

    def _notes(self, tokens: Tokens, vocabulary: Vocabulary, pairs: Mapping[str, object]) -> list[str]:
        read = int(vocabulary.counts.sum())
        told = (
            f"{self.text}: {tokens.words:,} words, of which {read:,} are in the vocabulary of "
            f"{len(vocabulary.words):,}; dimension {self.dim}, window {self.window}, {self.epochs} passes."
        )
        missing = [name for name, of in pairs.items() if not of]
        return [told, *(f"{name} is not on this machine, and was not asked." for name in missing)]


class _Pass(NamedTuple):
    """Where a training stood at the end of a pass."""

    wall: float  # seconds since its begin, judging left out
    cpu: float
    spearman: Mapping[str, float | None]


class _Clock:
    """Wall and processor seconds since `start`, without what happened while it was stopped."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0
        self._since: tuple[float, float] | None = None

    def start(self) -> None:
        self._since = (time.perf_counter(), time.process_time())

    def stopped(self) -> "_Clock":
        return self

    def __enter__(self) -> None:
        assert self._since is not None
        self.wall += time.perf_counter() - self._since[0]
        self.cpu += time.process_time() - self._since[1]

    def __exit__(self, *exc: object) -> None:
        self.start()


def outputs_a_pair(vocabulary: Vocabulary, objective: str, k: int) -> float:
    """Output vectors that one training pair touches, on average over the text."""
    if objective == "full":
        return float(len(vocabulary.words))
    return mean_code_length(vocabulary.counts.tolist()) if objective == "hierarchical" else 1.0 + k


def mean_code_length(counts: list[int]) -> float:
    """Bits of a word's Huffman code, on average over the text: the sum of all inner nodes' counts, over all counts."""
    heap = list(counts)
    heapq.heapify(heap)
    inner = 0
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        inner += both
        heapq.heappush(heap, both)
    return inner / sum(counts)
