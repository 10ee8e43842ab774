"""Wikitext to paragraphs. Numbers and units of the templates that hold prose stay; what goes is counted by rule.

The mark-up is parsed by mwparserfromhell; what it leaves open (a table without an end) is removed line by line.
"""

import re
from collections.abc import Callable, Collection, Iterator
from typing import Any

import mwparserfromhell
from mwparserfromhell import nodes

from advgen.embeddings.corpora.source import Account

# Tags whose content is no prose, with the rule they are counted under.
_DROPPED = {
    "ref": "reference", "references": "reference", "table": "table", "gallery": "gallery", "math": "formula",
    "chem": "formula", "ce": "formula", "timeline": "timeline", "imagemap": "gallery", "score": "score",
    "syntaxhighlight": "code", "source": "code", "pre": "code", "graph": "graph", "mapframe": "graph",
    "hiero": "score", "templatestyles": "tag", "section": "tag", "indicator": "tag",
}  # fmt: skip
_LINE_TAGS = {"br", "li", "dt", "dd", "hr"}
_BLOCKS = {"p", "div", "blockquote"}
_CONVERT = {"convert", "cvt"}
_JOINERS = {"to", "and", "by", "or", "x", "xx", "to(-)", "and(-)", "-", "–", "+/-", "±"}
_LAST_ARGUMENT = {"lang", "transl", "transliteration", "lang-x", "tooltip"}
_FIRST_ARGUMENT = {
    "nowrap", "nobr", "small", "big", "smaller", "larger", "em", "strong", "sub", "sup", "smallcaps", "as of", "circa",
    "c.", "formatnum", "abbr", "ill", "interlanguage link", "quote", "blockquote", "cquote", "visible anchor",
}  # fmt: skip
_DASHES = {"ndash", "mdash", "spaced ndash", "spnd", "snd", "en dash", "em dash", "--", "spaced en dash"}
_MAGIC_WORD = re.compile(r"__[A-Z]{3,}__")
_LIST_MARK = re.compile(r"^[*#:;\s]+")
_INTERWIKI = re.compile(r"^[a-z]{2,3}(?:-[a-z]+)*$|^simple$")
_LEFT_OPEN = ("{|", "|", "!", "}}", "{{")


def paragraphs(text: str, files: Collection[str], categories: Collection[str], account: Account) -> Iterator[str]:
    """The prose of one page.

    `files` and `categories` are the lower-case names of those namespaces in the page's language.
    """
    walk = _Walk(frozenset(files), frozenset(categories), account)
    cleaned = walk.text(mwparserfromhell.parse(text, skip_style_tags=True))
    for raw in cleaned.splitlines():
        line = raw.replace("'''", "").replace("''", "").strip()
        if line.startswith(_LEFT_OPEN):
            account.remove("mark-up left open", line)
            continue
        line = re.sub(r"\s{2,}", " ", _LIST_MARK.sub("", line))
        if line:
            yield line


class _Walk:
    """One pass over the nodes of a page."""

    def __init__(self, files: frozenset[str], categories: frozenset[str], account: Account) -> None:
        self._files, self._categories, self._account = files, categories, account
        self._kinds: dict[type, Callable[[Any], str]] = {
            nodes.Text: self._plain,
            nodes.Wikilink: self._link,
            nodes.Template: self._template,
            nodes.Tag: self._tag,
            nodes.ExternalLink: self._external,
            nodes.HTMLEntity: self._entity,
            nodes.Heading: lambda node: self._remove("heading", node) + "\n",
            nodes.Comment: lambda node: self._remove("comment", node),
            nodes.Argument: lambda node: self._remove("template argument", node),
        }

    def text(self, code: Any) -> str:
        """The prose in a piece of parsed wikitext."""
        return "" if code is None else "".join(self._kinds[type(node)](node) for node in code.nodes)

    def _remove(self, rule: str, node: object) -> str:
        self._account.remove(rule, node)
        return ""

    def _plain(self, node: Any) -> str:
        found = _MAGIC_WORD.findall(node.value) if "__" in node.value else []
        for word in found:
            self._account.remove("magic word", word)
        return _MAGIC_WORD.sub("", node.value) if found else str(node.value)

    def _entity(self, node: Any) -> str:
        try:
            return str(node.normalize())
        except (ValueError, OverflowError):
            return self._remove("entity", node)

    def _link(self, node: Any) -> str:
        title = str(node.title).strip()
        space, colon, _ = title.partition(":")
        if colon and space:
            space = space.strip().lower()
            if space in self._files:
                return self._remove("file", node)
            if space in self._categories:
                return self._remove("category", node)
            if _INTERWIKI.match(space) and node.text is None:
                return self._remove("interlanguage link", node)
        return self.text(node.text) if node.text is not None else title.lstrip(":").partition("#")[0]

    def _external(self, node: Any) -> str:
        return self.text(node.title) if node.title is not None else self._remove("address", node)

    def _tag(self, node: Any) -> str:
        name = str(node.tag).strip().lower()
        if name in _DROPPED:
            return self._remove(_DROPPED[name], node)
        content = self.text(node.contents)
        if name in _BLOCKS:
            return f"\n{content}\n"
        return f"\n{content}" if name in _LINE_TAGS else content

    def _template(self, node: Any) -> str:
        name = str(node.name).strip().lower().replace("_", " ")
        function, colon, value = name.partition(":")
        if colon and function == "formatnum":
            return value.strip()
        kept = self._kept(name, node)
        return self._remove("template", node) if kept is None else kept

    def _kept(self, name: str, node: Any) -> str | None:
        """The prose that a template holds, None where it holds none."""
        given = [p for p in node.params if not p.showkey]
        if name in _DASHES:
            return " – "
        if name in _CONVERT and given:
            return self._quantity(given)
        if name == "val" and given:
            return self._value(node, given)
        if name in ("frac", "fraction") and given:
            return "/".join(self.text(p.value).strip() for p in given)
        if given and (name in _LAST_ARGUMENT or name.startswith(("lang-", "lang "))):
            return self.text(given[-1 if name in _LAST_ARGUMENT else 0].value).strip()
        if given and name in _FIRST_ARGUMENT:
            return ("as of " if name == "as of" else "") + self.text(given[0].value).strip()
        return None

    def _quantity(self, given: list[Any]) -> str:
        """`{{convert|5|to|10|km|mi}}` as `5 to 10 km`: the value as written and its own unit."""
        words = [self.text(p.value).strip() for p in given]
        end = 1
        while end + 1 < len(words) and words[end] in _JOINERS:
            end += 2
        return " ".join([*words[:end], *words[end : end + 1]])

    def _value(self, node: Any, given: list[Any]) -> str:
        """`{{val|1.6|0.1|e=-19|u=C}}` as `1.6 C`: the value and its unit."""
        unit = next((self.text(p.value).strip() for p in node.params if str(p.name).strip() in ("u", "ul")), "")
        return f"{self.text(given[0].value).strip()} {unit}".strip()
