"""Sets to judge vectors by, as they are published: word pairs with people's scores, analogies, words, translations."""

import csv
from pathlib import Path
from typing import NamedTuple

from advgen.core.errors import BadFile, MissingFile
from advgen.embeddings.corpora.excerpts import in_gensim

Question = tuple[str, str, str, str]  # a is to b as c is to d
EMBEDDED_PAIRS = {"WordSim-353": "wordsim353.tsv", "SimLex-999": "simlex999.txt"}  # in gensim's test data
EMBEDDED_QUESTIONS = {"Google analogies": "questions-words.txt"}
_MSR = ["word1", "word2", "word3", "target"]


class Pair(NamedTuple):
    one: str
    other: str
    score: float


def embedded() -> tuple[dict[str, list[Pair]], dict[str, dict[str, list[Question]]]]:
    """The pairs and the analogies that come with the installed gensim package, by name.

    Raises:
        MissingFile: that package has no test data.
    """
    pairs = {name: read_pairs(in_gensim(file)) for name, file in EMBEDDED_PAIRS.items()}
    return pairs, {name: read_analogies(in_gensim(file)) for name, file in EMBEDDED_QUESTIONS.items()}


def read_pairs(path: Path) -> list[Pair]:
    """Pairs with a score, a line each: TAB, comma or spaces between; headings and lines with # are left out.

    Raises:
        BadFile: a line that is no pair.
    """
    pairs = []
    lines = _read(path)
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t") if "\t" in line else next(csv.reader([line])) if "," in line else line.split()
        pair = _pair([f.strip() for f in fields])
        if pair is None and pairs:
            raise BadFile(
                f"{path}, line {number}: {line.strip()[:60]!r} is no pair; two terms and a score were expected."
            )
        if pair:
            pairs.append(pair)
    if len(pairs) < 3:
        raise BadFile(f"{path} holds {len(pairs)} pairs; a line each with two terms and a score was expected.")
    return pairs


def read_analogies(path: Path) -> dict[str, list[Question]]:
    """Questions of four words a line, under section lines that begin with a colon (the Google set's format).

    Also a CSV with the columns type, word1, word2, word3 and target (the MSR set's).

    Raises:
        BadFile: a line that is neither.
    """
    sections: dict[str, list[Question]] = {}
    lines = _read(path)
    if lines and set(_MSR) <= set(lines[0].split(",")):
        for number, question in enumerate(csv.DictReader(lines), start=2):
            a, b, c, d = (question[column] for column in _MSR)
            if not (a and b and c and d):
                raise BadFile(f"{path}, line {number}: one of {', '.join(_MSR)} is empty; four words were expected.")
            sections.setdefault(question.get("type") or "all", []).append((a, b, c, d))
    else:
        name = "all"
        for number, line in enumerate(lines, start=1):
            fields = line.split()
            if not fields or line.startswith("//"):
                continue
            if fields[0] == ":":
                name = " ".join(fields[1:])
            elif len(fields) == 4:
                sections.setdefault(name, []).append((fields[0], fields[1], fields[2], fields[3]))
            else:
                raise BadFile(f"{path}, line {number}: {len(fields)} words, expected a section `: name` or four words.")
    if not sections:
        raise BadFile(f"{path} holds no question of four words.")
    return sections


def read_translations(path: Path) -> list[tuple[str, str]]:
    """Pairs of a word and its translation, a line each.

    Raises:
        BadFile: a line that does not hold two words, or no line.
    """
    pairs = [(number, line.split()) for number, line in enumerate(_read(path), start=1) if line.strip()]
    wrong = next(((number, words) for number, words in pairs if len(words) != 2), None)
    if wrong or not pairs:
        what = f", line {wrong[0]}: {len(wrong[1])} words" if wrong else " holds no pair of words"
        raise BadFile(f"{path}{what}; a word and its translation a line were expected.")
    return [(words[0], words[1]) for _, words in pairs]


def read_words(path: Path) -> list[str]:
    """Words, one a line, under lines that begin with a colon or not.

    Raises:
        BadFile: a line of several words, or none at all.
    """
    return [word for words in read_groups(path).values() for word in words]


def read_groups(path: Path) -> dict[str, list[str]]:
    """Words, one a line, by the line that begins with a colon above them; "" where there is none.

    Raises:
        BadFile: a line of several words, or none at all.
    """
    groups: dict[str, list[str]] = {}
    name = ""
    for line in filter(None, map(str.strip, _read(path))):
        if line.startswith(": "):
            name = line[2:].strip()
        elif len(line.split()) > 1:
            raise BadFile(f"{path} holds the line {line[:60]!r}; one word a line, please.")
        else:
            groups.setdefault(name, []).append(line)
    if not groups:
        raise BadFile(f"{path} holds no word; one word a line, please.")
    return groups


def _pair(fields: list[str]) -> Pair | None:
    """Term, term, score, in this order or, as in the UMNSRS tables, score, deviation, term, term."""
    if len(fields) >= 3 and _number(fields[2]) is not None:
        return Pair(fields[0], fields[1], float(fields[2]))
    if len(fields) >= 4 and _number(fields[0]) is not None and _number(fields[1]) is not None:
        return Pair(fields[2], fields[3], float(fields[0]))
    return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _read(path: Path) -> list[str]:
    if not path.is_file():
        raise MissingFile(f"there is no file {str(path)!r}.")
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise BadFile(f"{path} is not UTF-8 text; a list of word pairs or analogies was expected.") from None
