"""Word2Vec goes on where it was killed, and its loss is the true one."""

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gensim.models import Word2Vec as Peer

from advgen.core.errors import BadArgument
from advgen.embeddings import word2vec_epochs, word2vec_loss
from advgen.embeddings.corpora.text import PlainText
from advgen.embeddings.corpora.tokeniser import Tokeniser
from advgen.embeddings.corpora.tokens import Tokens, tokenise
from advgen.embeddings.glove.model import GloVe
from advgen.embeddings.vectors import Vectors
from advgen.embeddings.vocabulary import count_words
from advgen.embeddings.word2vec import Word2Vec

SMALL = Word2Vec(dim=8, epochs=4, min_count=1)
METHODS = [SMALL, replace(SMALL, architecture="cbow"), replace(SMALL, negative=0, hierarchical=True)]


def _trained_until_killed(method: Word2Vec, tokens: Tokens, folder: Path, line: str) -> None:
    def kill(told: str) -> None:
        if told.startswith(line):
            os.kill(os.getpid(), signal.SIGKILL)

    word2vec_epochs.train(method, tokens, folder, tell=kill)


@pytest.mark.parametrize("method", METHODS)
def test_a_killed_training_ends_in_the_same_vectors(method: Word2Vec, tokens: Tokens, tmp_path: Path) -> None:
    whole = word2vec_epochs.train(method, tokens, tmp_path / "whole")
    fork = multiprocessing.get_context("fork")
    for line in ("vocabulary", "epoch 1 ", "epoch 3 "):
        child = fork.Process(target=_trained_until_killed, args=(method, tokens, tmp_path / "killed", line))
        child.start()
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
    lines: list[str] = []
    resumed = word2vec_epochs.train(method, tokens, tmp_path / "killed", tell=lines.append)
    assert "going on after epoch 3" in lines
    assert resumed.losses == whole.losses
    assert resumed.vectors.matrix.tobytes() == whole.vectors.matrix.tobytes()
    assert list((tmp_path / "killed").iterdir()) == []


def test_a_damaged_state_is_not_gone_on_from(tokens: Tokens, tmp_path: Path) -> None:
    whole = word2vec_epochs.train(SMALL, tokens, tmp_path / "whole")

    def stop(line: str) -> None:
        if line.startswith("epoch 2 "):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        word2vec_epochs.train(SMALL, tokens, tmp_path / "cut", tell=stop)
    state = next((tmp_path / "cut").rglob("state.safetensors"))
    state.write_bytes(state.read_bytes()[:-100])
    again = word2vec_epochs.train(SMALL, tokens, tmp_path / "cut")
    assert again.vectors.matrix.tobytes() == whole.vectors.matrix.tobytes()


def test_epochs_apart_are_gensims_training(tokens: Tokens) -> None:
    """Up to the last digits of the rate, which gensim computes in float32 over all epochs."""
    vocabulary = count_words(tokens.path, min_count=1)
    peer = Peer(vector_size=8, sg=1, negative=5, min_count=1, seed=0, workers=1)
    peer.build_vocab_from_freq(dict(zip(vocabulary.words, vocabulary.counts.tolist())), corpus_count=tokens.sentences)
    peer.train(
        corpus_file=str(tokens.path), total_examples=tokens.sentences, total_words=int(vocabulary.counts.sum()),
        epochs=4,
    )  # fmt: skip
    ours = SMALL.train(tokens)
    theirs = np.array([peer.wv[word] for word in ours.words])
    np.testing.assert_allclose(ours.matrix, theirs, atol=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_falls_and_does_not_change_the_vectors(method: Word2Vec, tokens: Tokens) -> None:
    with_loss = word2vec_epochs.train(replace(method, rate=0.1), tokens)
    assert len(with_loss.losses) == 4
    assert list(with_loss.losses) == sorted(with_loss.losses, reverse=True)
    assert with_loss.vectors.matrix.tobytes() == replace(method, rate=0.1).train(tokens).matrix.tobytes()


@pytest.mark.parametrize("method", METHODS)
def test_untrained_weights_lose_ln_2_a_decision(method: Word2Vec, tokens: Tokens) -> None:
    """All outputs begin at 0, so that each sigmoid is a half: ln 2 for the word, each noise word, each turn."""
    model = word2vec_epochs._model(method, count_words(tokens.path, min_count=1), tokens)
    drawn = word2vec_loss.draw(model, tokens.path, negative=method.negative, seed=0)
    assert len(drawn.centres) > 1_000
    if method.hierarchical:
        words = [model.wv.index_to_key[k] for k in drawn.centres]
        decisions = np.mean([len(model.wv.get_vecattr(word, "code")) for word in words])
    else:
        decisions = 1 + np.mean((drawn.noise != drawn.centres[:, None]).sum(axis=1))
    assert word2vec_loss.mean_loss(model, drawn) == pytest.approx(decisions * np.log(2), rel=1e-6)


def test_the_loss_is_equation_4(tokens: Tokens) -> None:
    model = word2vec_epochs._model(METHODS[1], count_words(tokens.path, min_count=1), tokens)
    model.syn1neg[:] = np.random.default_rng(0).normal(size=model.syn1neg.shape)
    drawn = word2vec_loss.draw(model, tokens.path, negative=5, seed=0)
    total = 0.0
    for k, centre in enumerate(drawn.centres):
        hidden = model.wv.vectors[drawn.contexts[drawn.starts[k] : drawn.starts[k + 1]]].astype(float).mean(axis=0)
        total += np.log1p(np.exp(-hidden @ model.syn1neg[centre]))
        total += sum(np.log1p(np.exp(hidden @ model.syn1neg[n])) for n in drawn.noise[k] if n != centre)
    assert word2vec_loss.mean_loss(model, drawn) == pytest.approx(total / len(drawn.centres), rel=1e-5)


def test_a_corpus_without_pairs_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("one\ntwo\none\n")
    tokens = tokenise(PlainText([tmp_path / "words.txt"]), Tokeniser(), tmp_path)
    with pytest.raises(BadArgument, match="no two words of the vocabulary stand beside each other"):
        word2vec_epochs.train(SMALL, tokens)


@pytest.mark.parametrize("wrong", [{"rate": float("nan")}, {"subsample": -1.0}, {"window": 0}, {"min_count": 0}])
def test_arguments_that_cannot_train_are_refused_before_the_corpus_is_read(wrong: dict[str, float]) -> None:
    with pytest.raises(BadArgument, match=next(iter(wrong))):
        Word2Vec(**wrong)  # type: ignore[arg-type]
    if "subsample" not in wrong:
        with pytest.raises(BadArgument, match=next(iter(wrong))):
            GloVe(**wrong)  # type: ignore[arg-type]


def test_each_epoch_gives_a_copy(tokens: Tokens) -> None:
    seen: list[Vectors] = []
    last = SMALL.train(tokens, each_epoch=seen.append)
    assert len(seen) == 4
    assert seen[0].matrix.tobytes() != seen[1].matrix.tobytes()
    assert seen[-1].matrix.tobytes() == last.matrix.tobytes()
