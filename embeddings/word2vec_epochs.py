"""Word2Vec an epoch at a time, by gensim, with a state on disk after each: a killed training goes on there.

gensim takes each epoch as a training of its own whose rate begins where the last one's ended. What is kept is its two
tables of weights and its random stream, in safetensors, never its pickle.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from advgen.core.errors import BadFile
from advgen.embeddings.corpora.tokens import LONGEST_SENTENCE, Tokens
from advgen.embeddings.vectors import Vectors
from advgen.embeddings.vocabulary import Vocabulary, count_words
from advgen.embeddings.word2vec_loss import draw, mean_loss

if TYPE_CHECKING:
    from advgen.embeddings.word2vec import Word2Vec

LAST_RATE = 0.0001  # gensim's
_TABLES = ("syn1neg", "syn1")


class Trained(NamedTuple):
    """Vectors and how they came to be."""

    vectors: Vectors
    losses: tuple[float, ...]  # nats a prediction on the same drawn pairs, after each epoch; empty where not asked for


def train(
    method: "Word2Vec",
    tokens: Tokens,
    folder: Path | None = None,
    *,
    with_loss: bool = True,
    tell: Callable[[str], None] = lambda _: None,
    each_epoch: Callable[[Vectors], None] | None = None,
) -> Trained:
    """Vectors from `tokens`; a killed training goes on from `folder` at its last finished epoch.

    With one worker it ends in the same vectors as an undisturbed one. `each_epoch` is called with a copy of the vectors
    at the end of each pass.
    """
    vocabulary = count_words(tokens.path, min_count=method.min_count, max_words=method.max_words, keep=method.keep)
    tell(f"vocabulary: {len(vocabulary.words):,} words")
    model = _model(method, vocabulary, tokens)
    rows = [model.wv.key_to_index[word] for word in vocabulary.words]  # gensim orders equal counts otherwise
    work = None if folder is None else folder / f"word2vec-{_key(method, tokens)}"
    losses = _resumed(work / "state.safetensors", model) if work else None
    first = len(losses) if losses is not None else 0
    if first:
        tell(f"going on after epoch {first}")
    losses = losses or []
    pairs = draw(model, tokens.path, negative=method.negative, seed=method.seed) if with_loss else None
    words = int(vocabulary.counts.sum())
    for epoch in range(first, method.epochs):
        model.train(
            corpus_file=str(tokens.path), total_examples=tokens.sentences, total_words=words, epochs=1,
            start_alpha=rate_at(method, epoch), end_alpha=rate_at(method, epoch + 1),
        )  # fmt: skip
        losses.append(mean_loss(model, pairs) if pairs else float("nan"))
        if work:
            _keep(work / "state.safetensors", model, losses)
        tell(f"epoch {epoch + 1} of {method.epochs}" + (f": loss {losses[-1]:.4f} nats a prediction" if pairs else ""))
        if each_epoch is not None:
            each_epoch(Vectors(vocabulary.words, model.wv.vectors[rows], vocabulary.counts))
    if work:
        shutil.rmtree(work)
    vectors = Vectors(vocabulary.words, model.wv.vectors[rows], vocabulary.counts)
    return Trained(vectors, tuple(losses) if with_loss else ())


def rate_at(method: "Word2Vec", epoch: int) -> float:
    """The rate after so many epochs: it falls linearly to 0.0001."""
    return method.rate - (method.rate - LAST_RATE) * epoch / method.epochs


def _model(method: "Word2Vec", vocabulary: Vocabulary, tokens: Tokens) -> Any:
    from gensim.models.word2vec import MAX_WORDS_IN_BATCH, Word2Vec

    assert MAX_WORDS_IN_BATCH >= LONGEST_SENTENCE, "gensim would cut sentences"
    model = Word2Vec(
        vector_size=method.dim, window=method.window, sg=int(method.architecture == "skip-gram"), alpha=method.rate,
        min_alpha=LAST_RATE, negative=method.negative, hs=int(method.hierarchical), sample=method.subsample,
        min_count=1, seed=method.seed, workers=method.workers,
    )  # fmt: skip
    counts = dict(zip(vocabulary.words, vocabulary.counts.tolist(), strict=True))
    model.build_vocab_from_freq(counts, corpus_count=tokens.sentences)
    return model


def _key(method: "Word2Vec", tokens: Tokens) -> str:
    """What determines the result; the number of workers is left out, a training may go on with another one."""
    what = [asdict(replace(method, workers=1)), tokens.hash]
    return hashlib.blake2b(json.dumps(what).encode(), digest_size=8).hexdigest()


def _tables(model: Any) -> dict[str, Any]:
    """The weights that are learned, by name, not copied."""
    outputs = {name: getattr(model, name) for name in _TABLES if getattr(model, name, None) is not None}
    return {"syn0": model.wv.vectors, **outputs}


def _keep(path: Path, model: Any, losses: list[float]) -> None:
    import torch

    from advgen.core.checkpoints import save_state

    tables = {name: torch.from_numpy(table) for name, table in _tables(model).items()}
    save_state(path, {"losses": losses, "random": model.random.get_state(), "tables": tables})


def _resumed(path: Path, model: Any) -> list[float] | None:
    """Puts the state after the last finished epoch into `model`; None where there is none that is whole."""
    if not path.is_file():
        return None
    from advgen.core.checkpoints import load_state

    try:
        state = load_state(path)
        kept = {name: np.asarray(state["tables"][name]) for name in _tables(model)}
    except (BadFile, KeyError):
        return None
    for name, table in _tables(model).items():
        table[...] = kept[name]
    model.random.set_state(state["random"])
    return [float(loss) for loss in state["losses"]]
