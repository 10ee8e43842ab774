"""Several cleaners at work on the pages of one dump; the order stays that of the dump."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from advgen.core.errors import BadArgument
from advgen.embeddings.corpora.cleaner import Cleaner, PageLost
from advgen.embeddings.corpora.source import Account

AHEAD = 4  # pages a cleaner that may wait for one that takes long


@dataclass(frozen=True)
class Page:
    """A page of a dump, with mark-up or cleaned."""

    path: Path
    title: str
    text: str | None  # None: nothing to clean
    files: frozenset[str]  # names of the namespace of files, in lower case
    categories: frozenset[str]
    account: Account  # of this page
    paragraphs: tuple[str, ...] = ()


class Cleaners:
    """Cleans pages in `workers` processes; a context manager, as it owns them."""

    def __init__(self, workers: int, *, seconds: float) -> None:
        if workers < 1:
            raise BadArgument(f"a dump is cleaned by at least 1 worker, got {workers}.")
        self._workers = workers
        self._all = [Cleaner(seconds=seconds) for _ in range(workers)]
        self._free: SimpleQueue[Cleaner] = SimpleQueue()
        for cleaner in self._all:
            self._free.put(cleaner)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="cleaner")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # A reading that ends early does not wait for pages that nobody will read.
        self._pool.shutdown(wait=False, cancel_futures=True)
        for cleaner in self._all:
            cleaner.kill()
        self._pool.shutdown()
        for cleaner in self._all:
            cleaner.end()

    def cleaned(self, pages: Iterator[Page]) -> Iterator[Page]:
        """Each page, cleaned, in order; a page that was lost is so in its account."""
        waiting: deque[Future[Page]] = deque()
        for page in pages:
            waiting.append(self._pool.submit(self._clean, page))
            if len(waiting) > AHEAD * self._workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _clean(self, page: Page) -> Page:
        if page.text is None:
            return page
        cleaner = self._free.get()
        try:
            found = cleaner.paragraphs(page.text, page.files, page.categories, page.account)
        except PageLost as reason:
            page.account.lose(page.path, f"the page {page.title!r}: {reason}")
            return replace(page, text=None)
        finally:
            self._free.put(cleaner)
        page.account.read["documents"] += 1
        page.account.read["paragraphs"] += len(found)
        return replace(page, text=None, paragraphs=tuple(found))
