"""HTML and SVG as small functions: everything that is not markup already is escaped, so no name can break out."""

from collections.abc import Iterable
from html import escape
from typing import Any


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Child = str | None | Iterable[Any]
VOID = frozenset({"meta", "img", "br", "hr", "link", "line", "circle", "rect", "path", "polygon", "polyline"})


def tag(name: str, /, *children: Child, **attributes: object) -> Markup:
    """An element; `class_` and `for_` lose their bar, other bars become hyphens, None and False are left out."""
    words = "".join(
        f" {key.rstrip('_').replace('_', '-')}" + ("" if value is True else f'="{escape(str(value))}"')
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    inside = join(children)
    if name in VOID and not inside:
        return Markup(f"<{name}{words}>" if name in ("meta", "img", "br", "hr", "link") else f"<{name}{words}/>")
    return Markup(f"<{name}{words}>{inside}</{name}>")


def join(children: Iterable[Any]) -> Markup:
    """Children in a row: text escaped, markup as it is, lists flattened, None left out."""
    found = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Markup):
            found.append(child)
        elif isinstance(child, str):
            found.append(Markup(escape(child, quote=False)))
        else:
            found.append(join(child))
    return Markup("".join(found))


def table(
    headings: Iterable[Child],
    lines: Iterable[Iterable[Child]],
    *,
    caption: Child = None,
    class_: str = "",
    numeric: Iterable[int] = (),
) -> Markup:
    """A table that scrolls inside its own box; the first column names the line."""
    right = set(numeric)
    head = [tag("th", h, scope="col", class_="number" if i in right else None) for i, h in enumerate(headings)]
    body = [
        tag(
            "tr",
            [
                tag("th", cell, scope="row") if i == 0 else tag("td", cell, class_="number" if i in right else None)
                for i, cell in enumerate(line)
            ],
        )
        for line in lines
    ]
    return scrolling(
        tag("table", tag("caption", caption) if caption else None, tag("thead", tag("tr", head)), tag("tbody", body),
            class_=class_ or None)
    )  # fmt: skip


def scrolling(*children: Child) -> Markup:
    """A box that scrolls sideways by itself, so that the page never does; it can be reached by keyboard."""
    return tag("div", *children, class_="scroll", tabindex="0", role="region", aria_label="table")


def folded(summary: Child, *children: Child, open: bool = False, printed: bool = True) -> Markup:
    """What is there for who wants it; unfolded on paper, unless it would not fit there."""
    return tag("details", tag("summary", summary), *children, open=open, class_=None if printed else "unprinted")


def note(*children: Child) -> Markup:
    """A paragraph in small grey."""
    return tag("p", *children, class_="note")


def section(anchor: str, title: Child, *children: Child) -> Markup:
    """A part of the page with its heading; nothing when it has no content."""
    return tag("section", tag("h2", title), *children, id=anchor, aria_label=anchor.replace("-", " "))
