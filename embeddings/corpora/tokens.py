"""A corpus tokenised once into a file: a sentence a line, words apart by a space, with its account beside it.

A sentence is a paragraph, so that windows do not end at every full stop; longer ones than gensim takes in one piece
(10,000 words, the rest of which it drops in silence) are split. The file is kept and found again by its inputs; a
reading that was killed goes on at its last border.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from advgen.core.errors import BadFile, UserError
from advgen.core.files import write_atomically
from advgen.embeddings.corpora.part import Part, alone
from advgen.embeddings.corpora.source import Account, Border, Corpus
from advgen.embeddings.corpora.tokeniser import Tokeniser

LONGEST_SENTENCE = 10_000
KEEP_EVERY = 1_000_000  # words between two states of a reading
TELL_EVERY = 100_000


class Tokens(NamedTuple):
    """A tokenised corpus on disk."""

    path: Path
    corpus: str
    rule: str  # the tokeniser's, in words
    sentences: int
    words: int
    hash: str  # SHA-256 of the words as they stand in the file
    account: dict[str, Any]


def tokenise(
    corpus: Corpus,
    tokeniser: Tokeniser,
    folder: Path,
    *,
    limit: int | None = None,
    tell: Callable[[int], None] | None = None,
) -> Tokens:
    """The tokens of `corpus`, at most `limit` words of it, from `folder` where they are already there.

    `tell` is called with the number of words every hundred thousand.

    Raises:
        BadFile: no word was found; the sentence tells what was lost.
    """
    path = folder / f"{corpus.name}-{_key(corpus, tokeniser, limit)}.txt"
    beside = path.with_suffix(".json")
    if not (path.is_file() and beside.is_file()):
        # Who comes second waits, and then finds what the first has made.
        with alone(path.with_suffix(".lock")):
            if not (path.is_file() and beside.is_file()):
                _write(path, beside, corpus, tokeniser, limit, tell)
    return _read(path, beside)


def _write(
    path: Path,
    beside: Path,
    corpus: Corpus,
    tokeniser: Tokeniser,
    limit: int | None,
    tell: Callable[[int], None] | None,
) -> None:
    with Part(path) as part:
        border, account = part.border, part.account
        told = kept = part.words
        left = None if limit is None else limit - part.words
        for piece in corpus.read(account, border):
            if isinstance(piece, Border):
                if part.words - kept >= KEEP_EVERY:
                    kept = part.words
                    part.keep(piece)
                continue
            words = tokeniser.words(piece)[:left]
            for start in range(0, len(words), LONGEST_SENTENCE):
                part.write(words[start : start + LONGEST_SENTENCE])
            if tell and part.words - told >= TELL_EVERY:
                told = part.words
                tell(told)
            if left is not None:
                left -= len(words)
                if left <= 0:
                    break
        if not part.words:
            part.drop()
            raise BadFile(_nothing(corpus, account))
        fields = {"corpus": corpus.name, "rule": tokeniser.rule, "sentences": part.sentences, "words": part.words}
        fields |= {"hash": part.hash, "account": account.as_dict()}
        part.finish()
    # Written last: without it the tokens are made again.
    write_atomically(beside, json.dumps(fields, indent=2, ensure_ascii=False).encode())


def _read(path: Path, beside: Path) -> Tokens:
    try:
        return Tokens(path, **json.loads(beside.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise UserError(f"{beside} does not describe tokens ({error}); delete it and run again.") from None


def _key(corpus: Corpus, tokeniser: Tokeniser, limit: int | None) -> str:
    files = [(str(p.resolve()), p.stat().st_size, p.stat().st_mtime_ns) for p in corpus.paths]
    # The version of the rules that clean: raised when a change in them alters the text.
    what = [1, corpus.name, getattr(corpus, "labels", None), files, tokeniser.rule, limit]
    return hashlib.blake2b(json.dumps(what).encode(), digest_size=8).hexdigest()


def _nothing(corpus: Corpus, account: Account) -> str:
    lost = "; ".join(f"{Path(loss.file).name}: {loss.what}" for loss in account.lost[:3])
    return f"the corpus is empty: no word was found in {len(corpus.paths)} file(s){f' ({lost})' if lost else ''}."
