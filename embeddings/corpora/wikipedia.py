"""A Wikipedia dump (`pages-articles.xml.bz2`, plain or multistream, any language) as paragraphs of its articles."""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, final

from advgen.core.errors import MissingFile
from advgen.embeddings.corpora.cleaner import Cleaner, PageLost
from advgen.embeddings.corpora.source import Account, checked
from advgen.embeddings.corpora.xml import elements, local_name

EXCERPT = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
LONGEST = 2_200_000  # characters of one page; MediaWiki itself refuses more than 2 MiB


@final
class Wikipedia:
    """Articles (namespace 0) that are no redirects; a paragraph begins at each line of the wikitext."""

    name = "wikipedia"

    def __init__(self, paths: Sequence[str | Path], *, page_seconds: float = 20.0) -> None:
        self.paths = checked(paths)
        self.page_seconds = page_seconds  # a page whose mark-up takes longer is lost

    def paragraphs(self, account: Account) -> Iterator[str]:
        """The prose of each article, in the order of the dump."""
        with Cleaner(seconds=self.page_seconds) as cleaner:
            for path in self.paths:
                account.read["files"] += 1
                yield from _of_file(path, cleaner, account)


def excerpt() -> Path:
    """The dump of 106 articles that comes with the installed gensim package.

    Raises:
        MissingFile: that package has no test data.
    """
    spec = find_spec("gensim")
    path = Path(spec.origin).parent / "test" / "test_data" / EXCERPT if spec and spec.origin else None
    if path is None or not path.is_file():
        raise MissingFile(f"the embedded excerpt {EXCERPT} is part of the gensim package; pip install gensim.")
    return path


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


def _of_file(path: Path, cleaner: Cleaner, account: Account) -> Iterator[str]:
    files, categories = {"file", "image"}, {"category"}
    before = account.read["pages"]
    for element in elements(path, ("namespace", "page"), account):
        if local_name(element) == "namespace":
            if element.get("key") in ("6", "14") and element.text:
                (files if element.get("key") == "6" else categories).add(element.text.strip().lower())
            continue
        account.read["pages"] += 1
        text = _article(element, account)
        if text is None:
            continue
        try:
            cleaned = cleaner.paragraphs(text, files, categories, account)
        except PageLost as reason:
            title = (element.findtext("{*}title") or "").strip()
            account.lose(path, f"the page {title!r}: {reason}")
            continue
        account.read["documents"] += 1
        for paragraph in cleaned:
            account.read["paragraphs"] += 1
            yield paragraph
    if account.read["pages"] == before:
        account.lose(path, "no page was found in it; a dump of pages-articles was expected")
