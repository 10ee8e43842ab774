"""What a judge of 64-pixel portraits reads: attributes, their values, when each can be seen, and what an edit may ask.

A value is the truth of a picture only where the picture shows it: under a hat the cut of short hair is not judged, nor
is a colour of hair of which fewer than `HAIR_PIXELS` show, nor an age between young and elderly, nor the colour of hair
half turned grey. Such rows are `UNSEEN`: nobody is right or wrong about them.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from advgen.core.errors import BadArgument, UnknownName
from advgen.experiments.avatars import PARTS, Avatar, counterfactual
from advgen.experiments.avatars.captions import seen_hair_colour
from advgen.experiments.avatars.vocabulary import (
    BACKGROUND_COLOURS,
    DYED,
    EARRINGS,
    FABRIC_COLOURS,
    GLASSES,
    HAIR_COLOURS,
    PLAIN_STYLES,
    SKIN_TONES,
    TINTED,
)

UNSEEN = -1
HAIR_PIXELS = 12  # of the part `hair` at 64 pixels
RING_PIXELS = 2  # of the part `earring`
YOUNG, ELDERLY = 0.3, 0.75  # ages up to and from which a value is judged
GREYING = (0.60, 0.86)  # ages at which natural hair is between its colour and grey
ALIKE_UNDER_A_HAT = ("short", "side part", "bowl cut", "afro")  # all alike under a hat
_TONES = {tone: ("light", "medium", "dark")[(k >= 4) + (k >= 7)] for k, tone in enumerate(SKIN_TONES)}

VALUES: Mapping[str, tuple[str, ...]] = {
    "hair_colour": tuple(HAIR_COLOURS),
    "hair_style": PLAIN_STYLES,
    "beard": ("none", "full"),
    "glasses": ("none", "clear", "tinted"),
    "hat": ("none", "beanie"),
    "earrings": ("none", "worn"),
    "age": ("young", "elderly"),
    "expression": ("neutral", "smile", "grin", "surprised"),
    "skin": ("light", "medium", "dark"),
    "clothes_colour": tuple(FABRIC_COLOURS),
    "background_colour": tuple(BACKGROUND_COLOURS),
    # Finer than a verdict "nothing else changed" asks for, so only read where an edit asks for them.
    "glasses_kind": GLASSES,
    "earrings_kind": EARRINGS,
}
ATTRIBUTES = tuple(VALUES)
FINE: Mapping[str, str] = {"glasses_kind": "glasses", "earrings_kind": "earrings"}
KEPT = tuple(name for name in ATTRIBUTES if name not in FINE)  # must stay, unless asked for

# A word for several values at once, an attribute's or a finer one's: any of them is what was asked for.
GROUPS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "expression": {"smiling": ("smile", "grin")},
    "glasses": {"glasses": ("clear",), "sunglasses": ("tinted",), "any": ("clear", "tinted")},
    "beard": {"beard": ("full",)},
    "earrings": {"earrings": ("worn",)},
    "hair_style": {"long": ("long straight",), "short hair": ("short", "side part", "bowl cut")},
}
# What the renderer itself changes or hides with a change: no verdict hangs on these.
CONSEQUENCES: Mapping[str, tuple[str, ...]] = {
    "hat": ("hair_style", "hair_colour"),
    "age": ("hair_colour",),
    "glasses_kind": ("glasses",),
    "earrings_kind": ("earrings",),
    "glasses": ("glasses_kind",),
    "earrings": ("earrings_kind",),
}
_DRAWN: Mapping[str, Mapping[str, Mapping[str, str | float]]] = {
    "glasses": {"none": {"glasses": "none"}, "clear": {"glasses": "round"}, "tinted": {"glasses": "sunglasses"}},
    "earrings": {"none": {"earrings": "none"}, "worn": {"earrings": "hoops"}},
    "age": {"young": {"age": 0.0}, "elderly": {"age": 0.9}},
}


class Change(NamedTuple):
    """What an edit, or a prompt, asks for: one attribute and its value, or a word of `GROUPS`."""

    attribute: str
    value: str

    def __str__(self) -> str:
        return f"{self.attribute}={self.value}"

    def accepted(self) -> tuple[str, ...]:
        """The values that are what was asked for.

        Raises:
            UnknownName: no such attribute, or it has no such value.
        """
        if self.attribute not in VALUES:
            raise UnknownName.among("attribute of the judge", self.attribute, VALUES)
        groups = GROUPS.get(self.attribute, {})
        if self.value in groups:
            return groups[self.value]
        if self.value not in VALUES[self.attribute]:
            raise UnknownName.among(f"value of {self.attribute}", self.value, (*VALUES[self.attribute], *groups))
        return (self.value,)


Asked = Change | Sequence[Change] | Sequence[Sequence[Change]]


def parse(text: str) -> tuple[Change, ...]:
    """Changes from text, `hat=beanie, beard=full`.

    Raises:
        BadArgument: a part without `=`.
        UnknownName: no such attribute or value.
    """
    changes = []
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals:
            near = difflib.get_close_matches(part.strip(), ATTRIBUTES, n=1)
            raise BadArgument(
                f"a change is written attribute=value, got {part.strip()!r}"
                + (f"; {near[0]} has the values {', '.join(VALUES[near[0]])}." if near else ".")
            )
        changes.append(Change(name.strip(), value.strip()))
        changes[-1].accepted()
    return tuple(changes)


def for_each(asked: Asked, n: int) -> tuple[tuple[Change, ...], ...]:
    """What is asked of each of `n` images, from one change for all, several for all, or a sequence an image.

    Raises:
        BadArgument: nothing is asked, one attribute twice, or another number of images.
        UnknownName: no such attribute or value.
    """
    if isinstance(asked, Change):
        rows: tuple[tuple[Change, ...], ...] = ((asked,),) * n
    elif asked and all(isinstance(change, Change) for change in asked):
        rows = (tuple(asked),) * n  # type: ignore[arg-type]
    else:
        rows = tuple(tuple(row) for row in asked)  # type: ignore[arg-type]
    if len(rows) != n:
        raise BadArgument(f"{n} images need {n} rows of changes, got {len(rows)}.")
    for row in rows:
        names = [change.attribute for change in row]
        if not row or len(set(names)) < len(names):
            raise BadArgument(f"each image needs changes of different attributes, got {', '.join(map(str, row))!r}.")
        for change in row:
            change.accepted()
    return rows


def truth(avatar: Avatar, parts: np.ndarray) -> dict[str, int]:
    """The place of each attribute's value among `VALUES`, or UNSEEN; parts (64, 64) as the renderer gives them."""
    a = avatar.attributes
    worn, dyed = a.hat != "none", a.hair_colour in DYED or a.hair_colour in ("grey", "white")
    hair = int((parts == PARTS["hair"]).sum()) >= HAIR_PIXELS
    ringed = a.earrings != "none" and int((parts == PARTS["earring"]).sum()) >= RING_PIXELS
    ring = "none" if not ringed else a.earrings
    said: dict[str, str | None] = {
        "hair_colour": seen_hair_colour(a) if hair and (dyed or not GREYING[0] < a.age < GREYING[1]) else None,
        "hair_style": a.hair_style if not (worn and a.hair_style in ALIKE_UNDER_A_HAT) else None,
        "beard": a.beard,
        "glasses": "none" if a.glasses == "none" else "tinted" if a.glasses in TINTED else "clear",
        "hat": a.hat,
        "earrings": "worn" if ringed else "none",
        "age": "young" if a.age <= YOUNG else "elderly" if a.age >= ELDERLY else None,
        "expression": a.expression,
        "skin": _TONES[avatar.identity.skin],
        "clothes_colour": a.clothes_colour,
        "background_colour": a.background_colour,
        "glasses_kind": a.glasses,
        "earrings_kind": ring,
    }
    return {
        name: values.index(said[name]) if said[name] in values else UNSEEN  # type: ignore[arg-type]
        for name, values in VALUES.items()
    }


def true_counterfactual(avatar: Avatar, changes: Sequence[Change]) -> Avatar:
    """The renderer's own answer to an edit: the same picture with what was asked for, all else to the byte.

    Of a group its first value is drawn; "worn" earrings are hoops, clear glasses round.

    Raises:
        BadArgument: the renderer cannot change this attribute alone (skin is part of the person).
    """
    drawn: dict[str, str | float] = {}
    for change in changes:
        value = change.accepted()[0]
        if change.attribute == "skin":
            raise BadArgument("skin is part of the person: a renderer's counterfactual of it would be another person.")
        name = change.attribute.removesuffix("_kind")
        drawn |= _DRAWN.get(change.attribute, {}).get(value, {name: value})
        if change.attribute == "expression":
            drawn["expression_strength"] = 1.0
    return counterfactual(avatar, **drawn)
