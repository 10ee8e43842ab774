"""PubMed's XML files (baseline and updates) as one paragraph a citation: title and abstract.

Files are read newest first (the names are numbered), so that the last word on a PMID is known when it comes: the last
file that names it decides, within a file the highest version, and a deletion counts for all that stands before it. One
bit a PMID is kept (5 MB for all of PubMed). A `.md5` file beside a file must agree with it.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, final

from advgen.embeddings.corpora.source import START, Account, Border, checked, texts
from advgen.embeddings.corpora.xml import elements, local_name

_RECORDS = ("MedlineCitation", "BookDocument", "DeleteCitation")
_MD5 = re.compile(r"\b[0-9a-fA-F]{32}\b")
_HIGHEST = 10**10  # a PMID has eight digits today


class _Citation(NamedTuple):
    version: int
    text: str


@final
class PubMed:
    """Citations, each once, in its last version; `labels` keeps the names of an abstract's sections."""

    name = "pubmed"

    def __init__(self, paths: Sequence[str | Path], *, labels: bool = False) -> None:
        self.paths = tuple(p for p in checked(paths) if p.suffix != ".md5")
        self.labels = labels

    def paragraphs(self, account: Account) -> Iterator[str]:
        """Title and abstract of each citation that is not deleted."""
        return texts(self.read(account))

    def read(self, account: Account, start: Border = START) -> Iterator[str | Border]:
        """The same with a border after each file, from one of them on."""
        settled = _Bits(start.kept)
        newest_first = sorted(self.paths, key=lambda p: p.name, reverse=True)
        for index, path in enumerate(newest_first[start.file :], start.file):
            account.read["files"] += 1
            if _sum_is_right(path, account):
                last, deleted = self._of_file(path, account)
                yield from _said(last, settled, account)
                for pmid in (*last, *deleted):
                    settled.add(pmid)
            yield Border(index + 1, kept=settled.bytes)

    def _of_file(self, path: Path, account: Account) -> tuple[dict[int, _Citation], set[int]]:
        """The last version of each citation of a file, and what it deletes."""
        last: dict[int, _Citation] = {}
        deleted: set[int] = set()
        before = account.read["records"]
        for element in elements(path, _RECORDS, account):
            if local_name(element) == "DeleteCitation":
                for pmid in filter(None, map(_number, element.findall("{*}PMID"))):
                    deleted.add(pmid)
                    account.read["deletions"] += 1
                    if last.pop(pmid, None) is not None:
                        account.remove("citation deleted")
                continue
            account.read["records"] += 1
            identifier = element.find("{*}PMID")
            pmid = _number(identifier)
            if pmid is None:
                account.lose(path, "a citation without a PMID")
                continue
            citation = _Citation(int(identifier.get("Version") or 1), self._text(element, account))
            if pmid in last:
                account.remove("earlier version of a citation")
            if pmid not in last or citation.version >= last[pmid].version:
                last[pmid] = citation
            deleted.discard(pmid)
        if account.read["records"] == before and not deleted:
            account.lose(path, "no citation was found in it; a file of PubMed was expected")
        return last, deleted

    def _text(self, element: Any, account: Account) -> str:
        article = element.find("{*}Article")
        title = element.find("{*}ArticleTitle") if article is None else article.find("{*}ArticleTitle")
        parts = [_all_text(title)]
        abstract = element.find("{*}Abstract") if article is None else article.find("{*}Abstract")
        for section in [] if abstract is None else abstract.findall("{*}AbstractText"):
            label = section.get("Label") or ""
            if label and not self.labels:
                account.remove("section label", label)
            parts.append(f"{label}: {_all_text(section)}" if label and self.labels else _all_text(section))
        for other in element.findall("{*}OtherAbstract"):
            account.remove("abstract in another language or by another author", _all_text(other))
        return " ".join(part for part in parts if part)


def _said(last: dict[int, _Citation], settled: "_Bits", account: Account) -> Iterator[str]:
    """The citations of a file that no later one names."""
    for pmid, citation in last.items():
        if settled.has(pmid):
            account.remove("citation replaced or deleted by a later file", citation.text)
        elif citation.text:
            account.read["documents"] += 1
            account.read["paragraphs"] += 1
            yield citation.text
        else:
            account.remove("citation without text")


class _Bits:
    """A set of small numbers, one bit each."""

    def __init__(self, held: bytes | bytearray = b"") -> None:
        self.bytes = bytearray(held)

    def has(self, number: int) -> bool:
        return number >> 3 < len(self.bytes) and bool(self.bytes[number >> 3] >> (number & 7) & 1)

    def add(self, number: int) -> None:
        if number >> 3 >= len(self.bytes):
            self.bytes.extend(bytes((number >> 3) + 1 - len(self.bytes)))
        self.bytes[number >> 3] |= 1 << (number & 7)


def _all_text(element: Any) -> str:
    """The text of an element and of the mark-up inside it, in one line."""
    return "" if element is None else " ".join("".join(element.itertext()).split())


def _number(element: Any) -> int | None:
    text = "" if element is None else (element.text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and int(text) < _HIGHEST else None


def _sum_is_right(path: Path, account: Account) -> bool:
    beside = path.with_name(path.name + ".md5")
    if not beside.is_file():
        return True
    stated = _MD5.search(beside.read_text(encoding="utf-8", errors="replace"))
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if stated and stated.group().lower() == found:
        account.read["checksums"] += 1
        return True
    said = stated.group().lower() if stated else "no sum"
    account.lose(path, f"the whole file: its MD5 is {found}, {beside.name} says {said}; get it again")
    return False
