"""Plain text: one paragraph a line, in UTF-8 or with a byte-order mark, compressed or not."""

import codecs
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

from advgen.embeddings.corpora.source import START, Account, Border, checked, opened, texts

_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_BORDER = 10_000  # lines from one border to the next


@final
class PlainText:
    """Files of text; WikiExtractor's output is read too: its `<doc>` lines are left out, of `--json` lines the text is
    taken.
    """

    name = "text"

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self.paths = checked(paths)

    def paragraphs(self, account: Account) -> Iterator[str]:
        """Each line that is not blank."""
        return texts(self.read(account))

    def read(self, account: Account, start: Border = START) -> Iterator[str | Border]:
        """The same with borders, from one of them on."""
        for index, path in enumerate(self.paths[start.file :], start.file):
            before = start.inside if index == start.file else 0
            account.read["files"] += not before
            with opened(path, account) as stream:
                for number, line in enumerate(_lines(stream, path, account), 1):
                    if number <= before:
                        continue
                    if line.startswith(("<doc ", "</doc>")):
                        account.remove("document mark", line)
                        line = ""
                    for paragraph in filter(None, _of_json(line) if line.startswith('{"') else (line,)):
                        account.read["paragraphs"] += 1
                        yield paragraph
                    if number % _BORDER == 0:
                        yield Border(index, number)
            yield Border(index + 1)


def _of_json(line: str) -> list[str]:
    """The paragraphs of an article as `WikiExtractor --json` writes it; any other line is a paragraph itself."""
    try:
        article = json.loads(line)
    except ValueError:
        return [line]
    text = article.get("text") if isinstance(article, dict) else None
    return [paragraph.strip() for paragraph in text.splitlines()] if isinstance(text, str) else [line]


def _lines(stream: io.BufferedReader, path: Path, account: Account) -> Iterator[str]:
    head = stream.peek(4)[:4]
    encoding = next((e for mark, e in _MARKS.items() if head.startswith(mark)), "utf-8")
    if encoding == "utf-16":
        yield from _utf16_lines(stream, path, account)
        return
    bad = first = 0
    for number, line in enumerate(stream, start=1):
        try:
            text = line.decode("utf-8").strip().lstrip("\ufeff")
        except UnicodeDecodeError:
            bad, first = bad + 1, first or number
            continue
        yield text
    if bad:
        account.lose(path, f"{bad:,} lines that are not UTF-8, the first is line {first:,}")


def _utf16_lines(stream: io.BufferedReader, path: Path, account: Account) -> Iterator[str]:
    number = 0
    try:
        for line in io.TextIOWrapper(stream, encoding="utf-16"):
            yield line.strip()
            number += 1
    except UnicodeError as error:
        account.lose(path, f"everything after line {number:,}: not UTF-16 as its mark says ({error})")
