"""Elements of a large XML file one after the other, in constant memory; broken mark-up is stepped over and counted."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lxml import etree

from advgen.embeddings.corpora.source import Account, opened

_CUT = re.compile("premature end|extra content|document is empty", re.IGNORECASE)


def elements(path: Path, names: Sequence[str], account: Account) -> Iterator[Any]:
    """Each finished element with one of the local `names`, in any namespace; it is emptied when the next is asked for.

    The element that a cut-off file ends in is left out. External entities are never fetched.
    """
    with opened(path, account) as raw:
        stream = _Watched(raw)
        parser = etree.iterparse(
            stream, events=("end",), tag=[f"{{*}}{n}" for n in names], recover=True,
            resolve_entities=False, no_network=True, load_dtd=False, collect_ids=False,
        )  # fmt: skip
        try:
            for _, element in parser:
                if stream.exhausted and any(_CUT.search(e.message) for e in parser.error_log):
                    account.lose(path, f"the last {local_name(element)}, which the end of the file cuts off")
                    break
                yield element
                element.clear()
                parent = element.getparent()
                while parent is not None and element.getprevious() is not None:
                    del parent[0]
        except etree.XMLSyntaxError as error:
            account.lose(path, f"everything after this point: {error.msg}")
            return
        faults = list(parser.error_log)
    if faults:
        worst = faults[0]
        account.lose(path, f"{len(faults):,} faults in the XML, the first in line {worst.line:,}: {worst.message}")


def local_name(element: Any) -> str:
    """The name of an element without its namespace."""
    return str(etree.QName(element).localname)


class _Watched:
    """A byte stream that knows whether its end was reached."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.exhausted = False

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._raw.read(size)
        self.exhausted = not data
        return data
