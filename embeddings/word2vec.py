"""Word2Vec through gensim: skip-gram and CBOW (Mikolov et al. 2013, arXiv 1301.3781), negative sampling and
hierarchical softmax (arXiv 1310.4546).

`word2vec_epochs.train` takes the same arguments, tells the loss of each epoch and goes on after a kill.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from advgen.core.errors import BadArgument
from advgen.embeddings import word2vec_epochs
from advgen.embeddings.corpora.tokens import Tokens
from advgen.embeddings.vectors import Vectors


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
    max_words: int | None = None  # size of the vocabulary, None = all
    keep: tuple[str, ...] = ()  # words that max_words does not leave out, if they occur min_count times
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        for name in ("dim", "window", "epochs", "workers", "min_count"):
            if getattr(self, name) < 1:
                raise BadArgument(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.architecture not in ("skip-gram", "cbow"):
            raise BadArgument(f"the architecture must be skip-gram or cbow, got {self.architecture!r}.")
        if self.negative < 0 or (self.negative == 0 and not self.hierarchical):
            raise BadArgument("Word2Vec needs negative samples (1 or more) or hierarchical softmax, got neither.")
        if not 0 < self.rate < float("inf"):
            raise BadArgument(f"rate must be above 0 and finite, got {self.rate}.")
        if not 0 <= self.subsample < float("inf"):
            raise BadArgument(f"subsample must be 0 (keep all words) or above, got {self.subsample}.")

    def train(
        self,
        tokens: Tokens,
        *,
        tell: Callable[[str], None] = lambda _: None,
        each_epoch: Callable[[Vectors], None] | None = None,
    ) -> Vectors:
        """Vectors from `tokens`, read from their file by gensim's compiled loop.

        `each_epoch` is called with the vectors at the end of each pass, a copy.
        """
        return word2vec_epochs.train(self, tokens, with_loss=False, tell=tell, each_epoch=each_epoch).vectors
