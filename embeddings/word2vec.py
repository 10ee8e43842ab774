"""Word2Vec through gensim: skip-gram and CBOW (Mikolov et al. 2013, arXiv 1301.3781), negative sampling and
hierarchical softmax (arXiv 1310.4546).

gensim's own loss is not reported: it is a 32-bit sum that stops growing (RaRe-Technologies/gensim, issue 2617).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from advgen.core.errors import BadArgument
from advgen.embeddings.corpora.tokens import LONGEST_SENTENCE, Tokens
from advgen.embeddings.vectors import Vectors
from advgen.embeddings.vocabulary import count_words


@dataclass(frozen=True)
class Word2Vec:
    """The method's arguments; with one worker the same seed gives the same vectors."""

    architecture: Literal["skip-gram", "cbow"] = "skip-gram"
    dim: int = 100
    window: int = 5  # words to each side at most; each place draws its own width up to it
    epochs: int = 5
    rate: float = 0.025  # falls linearly to 0.0001
    negative: int = 5  # noise words a pair; 0 with hierarchical softmax alone
    hierarchical: bool = False
    subsample: float = 1e-3  # words more frequent than this are thinned out; 0 = never
    min_count: int = 5
    max_words: int | None = None
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        for name in ("dim", "window", "epochs", "workers"):
            if getattr(self, name) < 1:
                raise BadArgument(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.architecture not in ("skip-gram", "cbow"):
            raise BadArgument(f"the architecture must be skip-gram or cbow, got {self.architecture!r}.")
        if self.negative < 0 or (self.negative == 0 and not self.hierarchical):
            raise BadArgument("Word2Vec needs negative samples (1 or more) or hierarchical softmax, got neither.")
        if not self.rate > 0:
            raise BadArgument(f"rate must be above 0, got {self.rate}.")

    def train(self, tokens: Tokens, *, tell: Callable[[str], None] = lambda _: None) -> Vectors:
        """Vectors from `tokens`, read from their file by gensim's compiled loop."""
        from gensim.models.callbacks import CallbackAny2Vec
        from gensim.models.word2vec import MAX_WORDS_IN_BATCH
        from gensim.models.word2vec import Word2Vec as Model

        assert MAX_WORDS_IN_BATCH >= LONGEST_SENTENCE, "gensim would cut sentences"
        vocabulary = count_words(tokens.path, min_count=self.min_count, max_words=self.max_words)
        tell(f"vocabulary: {len(vocabulary.words):,} words")
        epochs = self.epochs

        class Tell(CallbackAny2Vec):  # type: ignore[misc]
            finished = 0

            def on_epoch_end(self, model: Any) -> None:
                self.finished += 1
                tell(f"epoch {self.finished} of {epochs}")

        model = Model(
            vector_size=self.dim, window=self.window, sg=int(self.architecture == "skip-gram"), alpha=self.rate,
            negative=self.negative, hs=int(self.hierarchical), sample=self.subsample, min_count=1, seed=self.seed,
            workers=self.workers,
        )  # fmt: skip
        counts = dict(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True))
        model.build_vocab_from_freq(counts, corpus_count=tokens.sentences)
        model.train(
            corpus_file=str(tokens.path), total_examples=tokens.sentences, total_words=sum(counts.values()),
            epochs=epochs, callbacks=[Tell()],
        )  # fmt: skip
        rows = [model.wv.key_to_index[word] for word in vocabulary.words]  # gensim orders equal counts otherwise
        return Vectors(vocabulary.words, model.wv.vectors[rows], vocabulary.counts)
