"""A Wikipedia dump (`pages-articles.xml.bz2`, plain or multistream, any language) as paragraphs of its articles."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, final

from advgen.embeddings.corpora.cleaners import Cleaners, Page
from advgen.embeddings.corpora.source import START, Account, Border, checked, texts
from advgen.embeddings.corpora.xml import elements, local_name

LONGEST = 2_200_000  # characters of one page; MediaWiki itself refuses more than 2 MiB


@final
class Wikipedia:
    """Articles (namespace 0) that are no redirects; a paragraph begins at each line of the wikitext."""

    name = "wikipedia"

    def __init__(self, paths: Sequence[str | Path], *, workers: int = 1, page_seconds: float = 20.0) -> None:
        self.paths = checked(paths)
        self.workers = workers  # processes that clean; they change neither text nor account
        self.page_seconds = page_seconds  # a page whose mark-up takes longer is lost

    def paragraphs(self, account: Account) -> Iterator[str]:
        """The prose of each article, in the order of the dump."""
        return texts(self.read(account))

    def read(self, account: Account, start: Border = START) -> Iterator[str | Border]:
        """The same with a border after each page, from one of them on."""
        with Cleaners(self.workers, seconds=self.page_seconds) as cleaners:
            for index, path in enumerate(self.paths[start.file :], start.file):
                before = start.inside if index == start.file else 0
                account.read["files"] += not before
                # Faults of the XML are told once, when all pages are out, as they are found again by a second reading.
                of_file = Account()
                number = 0
                for number, page in enumerate(cleaners.cleaned(_pages(path, of_file, before)), 1):
                    if number <= before:
                        continue
                    account.add(page.account)
                    yield from page.paragraphs
                    yield Border(index, number)
                account.add(of_file)
                if not number:
                    account.lose(path, "no page was found in it; a dump of pages-articles was expected")
                yield Border(index + 1)


def _article(page: Any, account: Account) -> str | None:
    """The wikitext of a page, None where it is no article."""
    if (page.findtext("{*}ns") or "0").strip() != "0":
        account.remove("page outside the articles")
        return None
    # The newest revision stands last.
    revisions = page.findall("{*}revision")
    text = revisions[-1].findtext("{*}text") if revisions else None
    if page.find("{*}redirect") is not None or (text or "").lstrip()[:9].upper() == "#REDIRECT":
        account.remove("redirect", text or "")
        return None
    if not text:
        account.remove("empty page")
        return None
    if len(text) > LONGEST:
        account.remove("page too long", text)
        return None
    return str(text)


def _pages(path: Path, account: Account, before: int) -> Iterator[Page]:
    """The pages of a dump with their mark-up; those `before` are passed over."""
    files, categories = {"file", "image"}, {"category"}
    number = 0
    for element in elements(path, ("namespace", "page"), account):
        if local_name(element) == "namespace":
            if element.get("key") in ("6", "14") and element.text:
                (files if element.get("key") == "6" else categories).add(element.text.strip().lower())
            continue
        number += 1
        own = Account()
        if number <= before:
            yield Page(path, "", None, frozenset(), frozenset(), own)
            continue
        own.read["pages"] += 1
        text = _article(element, own)
        title = (element.findtext("{*}title") or "").strip()
        yield Page(path, title, text, frozenset(files), frozenset(categories), own)
