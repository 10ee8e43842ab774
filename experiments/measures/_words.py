"""What measures of word vectors share: the text they are trained on, word sets, and readings of how good they are."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from advgen.core.checkpoints import data_home
from advgen.core.errors import BadArgument, BadFile, MissingFile
from advgen.core.files import write_atomically
from advgen.embeddings.corpora.excerpts import pubmed_excerpt, wikipedia_excerpt
from advgen.embeddings.corpora.source import Corpus
from advgen.embeddings.corpora.text import PlainText
from advgen.embeddings.corpora.tokeniser import Tokeniser
from advgen.embeddings.corpora.tokens import Tokens, tokenise
from advgen.embeddings.corpora.wikipedia import Wikipedia
from advgen.embeddings.vectors import Vectors
from advgen.embeddings.wordsets import Pair, read_pairs
from advgen.experiments.data._files import cache_folder
from advgen.experiments.measured import Reading

EXCERPT = "excerpt"
PUBMED_EXCERPT = "pubmed-excerpt"


class Text(NamedTuple):
    """A corpus by name: its files below the data's text/, and on which terms they may be used."""

    files: tuple[str, ...]
    licence: str


TEXTS = {
    "wikipedia": Text(
        ("wikipedia/enwiki_2018_p12-p30302_every3rd.txt.xz",),
        "trained on text of Wikipedia's authors (CC BY-SA 3.0 and GFDL), every third article of 2018's first 15,044",
    ),
    # Without OHSUMED (no commercial use) and the Hallmarks of Cancer (GPL).
    "pubmed": Text(
        (
            "pubmed/cohen2006_drug_reviews.txt.xz",
            "pubmed/screening_proton_beam.txt.xz",
            "pubmed/screening_micro_nutrients.txt.xz",
            "pubmed/screening_copd.txt.xz",
            "pubmed/pubmedqa_labeled.txt.xz",
        ),
        "trained on PubMed abstracts, courtesy of the U.S. National Library of Medicine, which may be under their "
        "publishers' copyright (PubMedQA: MIT)",
    ),
}
# Files of text/wordsets.
SETS = {
    "WordSim-353": "general/EN-WS-353-ALL.txt",
    "MEN": "general/EN-MEN-TR-3k.txt",
    "SimLex-999": "general/EN-SIMLEX-999.txt",
    "UMNSRS similarity": "biomedical/UMNSRS-sim.txt",
    "UMNSRS relatedness": "biomedical/UMNSRS-rel.txt",
    "Bio-SimLex": "biomedical/Bio-SimLex.txt",
    "MayoSRS": "biomedical/MayoSRS.txt",
}
GENERAL, BIOMEDICAL = ("WordSim-353", "MEN", "SimLex-999"), ("UMNSRS similarity", "UMNSRS relatedness", "Bio-SimLex")


def tokens_of(text: str, count: int | None = None, *, part: int = 0) -> Tokens:
    """The first `count` words of a text, or all of it, kept in the cache; `part` 1 are the `count` words after them.

    `text` is "excerpt" (a Wikipedia dump that gensim brings), "pubmed-excerpt", a name of TEXTS, or a file below the
    data's text/.

    Raises:
        MissingFile: it is not there; says where it belongs.
    """
    assert count is not None or not part, "a part needs a length"
    limit = None if count is None else count * (part + 1)
    tokens = tokenise(_corpus(text), Tokeniser(), cache_folder() / "tokens", limit=limit)
    return tokens if not part or count is None else _after(tokens, count * part)


def _after(tokens: Tokens, skipped: int) -> Tokens:
    """The sentences of `tokens` that begin after so many words, in a file beside.

    Raises:
        BadFile: there are none.
    """
    read, kept = 0, []
    with tokens.path.open(encoding="utf-8") as lines:
        for line in lines:
            if read >= skipped:
                kept.append(line)
            read += len(line.split())
    if not kept:
        raise BadFile(f"the text has {read:,} words; more than {skipped:,} were expected.")
    path = tokens.path.with_name(f"{tokens.path.stem}-after-{skipped}.txt")
    content = "".join(kept).encode()
    write_atomically(path, content)
    words = sum(len(line.split()) for line in kept)
    return tokens._replace(path=path, sentences=len(kept), words=words, hash=hashlib.sha256(content).hexdigest())


def _corpus(text: str) -> Corpus:
    if text == EXCERPT:
        return Wikipedia([wikipedia_excerpt()])
    if text == PUBMED_EXCERPT:
        return PlainText([pubmed_excerpt()])
    return PlainText([_file(file) for file in (TEXTS[text].files if text in TEXTS else (text,))])


def set_file(name: str) -> Path | None:
    """The file of a word set; WordSim-353 comes with gensim, others may be missing."""
    there = data_home() / "text" / "wordsets" / SETS[name]
    if there.is_file():
        return there
    if name == "WordSim-353":
        from gensim.test.utils import datapath

        return Path(datapath("wordsim353.tsv"))
    return None


def read_set(name: str) -> list[Pair]:
    """The pairs of a word set; none where its file is not there."""
    path = set_file(name)
    return [] if path is None else read_pairs(path)


def judged(vectors: Vectors, pairs: Sequence[Pair], name: str) -> tuple[float | None, list[Reading]]:
    """Spearman's correlation with people's scores, and a reading of it for each pair that the vectors know.

    The readings are jackknife pseudo-values, n rho - (n - 1) rho without the pair (Tukey 1958): their mean is rho, less
    its bias of order 1/n, and arms that know the same pairs are compared pair by pair. `coverage` is whether a pair is
    known.
    """
    rows = [(_row(vectors, p.one), _row(vectors, p.other)) for p in pairs]
    known = [k for k, (a, b) in enumerate(rows) if a is not None and b is not None]
    ids = _ids(name, pairs)
    readings = [Reading(ids[k], f"coverage of {name}", float(k in set(known))) for k in range(len(pairs))]
    if len(known) < 10:
        return None, readings
    first, second = (np.array([rows[k][side] for k in known]) for side in (0, 1))
    cosines = (vectors.unit[first] * vectors.unit[second]).sum(1)
    scores = np.array([pairs[k].score for k in known])
    values = pseudo_values(cosines, scores)
    readings += [Reading(ids[k], name, float(v)) for k, v in zip(known, values, strict=True)]
    return spearman(cosines, scores), readings


def _ids(name: str, pairs: Sequence[Pair]) -> list[str]:
    """An id a pair; WordSim-353 asked for money and cash twice."""
    asked = Counter[str]()
    ids = []
    for pair in pairs:
        one = f"{name}/{pair.one}|{pair.other}"
        asked[one] += 1
        ids.append(one if asked[one] == 1 else f"{one}#{asked[one]}")
    return ids


def pseudo_values(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """The jackknife's pseudo-values (n,) of Spearman's correlation of two columns."""
    n = len(first)
    whole = spearman(first, second)
    # Leaving one out lowers the ranks above its own by one, those of its equals by half.
    ranks = [rankdata(x) for x in (first, second)]
    without = np.empty(n)
    for k in range(n):
        lowered = [r - (x > x[k]) - 0.5 * (x == x[k]) for x, r in zip((first, second), ranks, strict=True)]
        without[k] = _correlation(*(np.delete(r, k) for r in lowered))
    return n * whole - (n - 1) * without


def spearman(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Spearman's rank correlation; ties share their mean rank."""
    return _correlation(rankdata(first), rankdata(second))


def _correlation(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    a, b = a - a.mean(), b - b.mean()
    length = float(np.sqrt((a @ a) * (b @ b)))
    if not length:
        raise BadArgument("all cosines, or all scores, are equal: they rank nothing.")
    return float(a @ b) / length


def _row(vectors: Vectors, word: str) -> int | None:
    """As in `judging`: as written, else in lower case."""
    found = vectors.row.get(word)
    return vectors.row.get(word.lower()) if found is None else found


def _file(text: str) -> Path:
    path = data_home() / "text" / text
    if not path.is_file():
        raise MissingFile(
            f"there is no text {text!r} in {data_home() / 'text'}: put it there or name another folder in ADVGEN_DATA, "
            f"or take the text {EXCERPT!r} or {PUBMED_EXCERPT!r}."
        )
    return path
