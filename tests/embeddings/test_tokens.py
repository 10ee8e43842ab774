"""A corpus is tokenised once; a reading that was killed goes on and ends in the same file with the same account."""

import gzip
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from advgen.embeddings.corpora import tokens as module
from advgen.embeddings.corpora.pubmed import PubMed
from advgen.embeddings.corpora.source import Corpus
from advgen.embeddings.corpora.text import PlainText
from advgen.embeddings.corpora.tokeniser import Tokeniser
from advgen.embeddings.corpora.tokens import tokenise
from advgen.embeddings.corpora.wikipedia import Wikipedia


def text(folder: Path) -> Corpus:
    bad = b"\xff\xfe bad\n"
    for name in ("a", "b"):
        lines = [f"{name} {n} of many words in a line\n".encode() for n in range(300)]
        (folder / f"{name}.txt").write_bytes(b"".join(lines[:20]) + bad[2:] + b"caf\xe9\n" + b"".join(lines[20:]))
    return PlainText([folder / "a.txt", folder / "b.txt"])


def wikipedia(folder: Path) -> Corpus:
    pages = [
        f"<page><title>T{n}</title><ns>{int(n % 5 == 4)}</ns><revision><text>page {n} of {{{{x}}}} words</text>"
        "</revision></page>"
        for n in range(300)
    ]
    (folder / "wiki.xml").write_text(f"<mediawiki>{''.join(pages)}")
    return Wikipedia([folder / "wiki.xml"], workers=2)


def pubmed(folder: Path) -> Corpus:
    for number in range(6):
        records = [
            f"<MedlineCitation><PMID>{pmid}</PMID><Article><ArticleTitle>file {number} citation {pmid} of many words"
            "</ArticleTitle></Article></MedlineCitation>"
            for pmid in range(number * 50, number * 50 + 100)
        ]
        gone = f"<DeleteCitation><PMID>{number * 50}</PMID></DeleteCitation>"
        (folder / f"pubmed26n{number:04}.xml.gz").write_bytes(
            gzip.compress(f"<S>{''.join(records)}{gone}</S>".encode())
        )
    return PubMed([folder / f"pubmed26n{number:04}.xml.gz" for number in range(6)])


def _until_killed(corpus: Corpus, folder: Path, words: int) -> None:
    def kill(told: int) -> None:
        if told >= words:
            os.kill(os.getpid(), signal.SIGKILL)

    tokenise(corpus, Tokeniser(), folder, tell=kill)


@pytest.mark.parametrize("made", [text, wikipedia, pubmed])
def test_a_killed_reading_goes_on_where_it_stood(
    made: Callable[[Path], Corpus], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEEP_EVERY", 100)
    monkeypatch.setattr(module, "TELL_EVERY", 10)
    monkeypatch.setattr("advgen.embeddings.corpora.text._BORDER", 7)
    corpus = made(tmp_path)
    whole = tokenise(corpus, Tokeniser(), tmp_path / "whole")
    killed = tmp_path / "killed"
    for words in (whole.words // 3, whole.words * 2 // 3):
        child = multiprocessing.get_context("fork").Process(target=_until_killed, args=(corpus, killed, words))
        child.start()
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
    told: list[int] = []
    resumed = tokenise(corpus, Tokeniser(), killed, tell=told.append)
    assert told[0] > whole.words // 3
    assert resumed._replace(path=whole.path) == whole
    assert resumed.path.read_bytes() == whole.path.read_bytes()
    assert sorted(p.suffix for p in killed.iterdir()) == [".json", ".txt"]


def test_a_state_that_does_not_fit_its_file_is_not_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEEP_EVERY", 100)
    monkeypatch.setattr(module, "TELL_EVERY", 10)
    monkeypatch.setattr("advgen.embeddings.corpora.text._BORDER", 7)
    corpus = text(tmp_path)

    def stop(words: int) -> None:
        if words > 500:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokenise(corpus, Tokeniser(), tmp_path / "cut", tell=stop)
    part = next((tmp_path / "cut").glob("*.part"))
    part.write_bytes(b"x" + part.read_bytes()[1:])
    whole = tokenise(corpus, Tokeniser(), tmp_path / "whole")
    assert tokenise(corpus, Tokeniser(), tmp_path / "cut")._replace(path=whole.path) == whole


def test_a_limit_is_kept_to_the_word(tmp_path: Path) -> None:
    tokens = tokenise(text(tmp_path), Tokeniser(), tmp_path / "out", limit=1001)
    assert tokens.words == len(tokens.path.read_text().split()) == 1001
