"""The six edits that methods are compared on: what is said, what it is compared with, what the judge must read."""

from typing import NamedTuple

from advgen.core.errors import UnknownName
from advgen.experiments.edits.attributes import Change


class Asked(NamedTuple):
    """One edit."""

    target: str
    neutral: str
    change: Change
    label: str  # of the shipped attribute classifier, for directions from labels; "" = it has none


EDITS = {
    "hair colour": Asked("a person with red hair", "a person", Change("hair_colour", "red"), ""),
    "glasses": Asked("a person with glasses", "a person", Change("glasses", "glasses"), "glasses"),
    "beard": Asked("a person with a full beard", "a person", Change("beard", "full"), "beard"),
    "hat": Asked("a person with a beanie", "a person", Change("hat", "beanie"), "hat"),
    "smile": Asked("a smiling person", "a person", Change("expression", "smiling"), "smiling"),
    "age": Asked("an elderly person", "a person", Change("age", "elderly"), "elderly"),
}


def named(text: str) -> dict[str, Asked]:
    """The edits of a list such as "glasses, hat".

    Raises:
        UnknownName: there is no such edit.
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        if name not in EDITS:
            raise UnknownName.among("edit", name, EDITS)
    return {name: EDITS[name] for name in names}
