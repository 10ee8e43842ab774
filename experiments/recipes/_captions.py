"""Captions of avatars from a slice's table: every phrasing, and captions that are nearly right.

Two pictures say the same when their usual caption (the first phrasing in its usual words) is the same.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from advgen.core.rng import stream_seed
from advgen.core.types import Slice
from advgen.experiments.avatars import HELD_OUT_PHRASINGS, PHRASINGS, caption, held_out
from advgen.experiments.avatars.avatar import Attributes
from advgen.experiments.avatars.vocabulary import (
    BEARDS,
    EARRINGS,
    EXPRESSIONS,
    FABRIC_COLOURS,
    GLASSES,
    HAIR_COLOURS,
    HAIR_STYLES,
    HATS,
    PLAIN_STYLES,
)

Change = dict[str, Any]

TURNS = 2  # synonyms turn with the phrasing's number; no word has more than two that are not held out
SEEN = tuple(p for p in range(TURNS * len(PHRASINGS)) if p % len(PHRASINGS) not in HELD_OUT_PHRASINGS)
UNSEEN = tuple(sorted(HELD_OUT_PHRASINGS))
_KINDS = ("beard", "glasses", "hat", "earrings")  # their plain names are yes/no labels in the table
_VALUES: Mapping[str, tuple[Any, ...]] = {
    "hair_colour": tuple(HAIR_COLOURS),
    "hair_style": HAIR_STYLES,
    "beard": BEARDS,
    "glasses": GLASSES,
    "hat": HATS,
    "hat_colour": tuple(FABRIC_COLOURS),
    "earrings": EARRINGS,
    "expression": EXPRESSIONS,
    "age": (0.0, 0.55, 0.95),
}
PLAIN: Mapping[str, tuple[Any, ...]] = {  # the values of portraits of that variety, where it has not all
    "hair_style": PLAIN_STYLES,
    "beard": ("none", "full"),
    "hat": ("none", "beanie"),
    "expression": ("neutral", "smile", "grin", "surprised"),
}


def attributes_of(part: Slice) -> list[Attributes]:
    """What was drawn, a picture each."""
    rows = [json.loads(row) for row in part.table["attributes"].to_pylist()]
    names = {f.name: f"{f.name}_kind" if f.name in _KINDS else f.name for f in fields(Attributes)}
    return [Attributes(**{name: row[column] for name, column in names.items()}) for row in rows]


def said(attributes: Attributes, phrasing: int = 0, *, held_out_words: bool = False) -> str:
    """The caption of these attributes, whoever has them; the usual one by default."""
    return caption(SimpleNamespace(attributes=attributes), phrasing, held_out_words=held_out_words)


def contents(shown: Sequence[Attributes]) -> list[int]:
    """A number each, the same for pictures that say the same."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(said(a), len(numbers)) for a in shown]


def nearly_right(
    attributes: Attributes, n: int, *, seed: int, key: str, variety: str = "full", unseen: bool = False
) -> list[Attributes]:
    """Up to `n` others whose caption differs in one attribute, or has the colours of hair and hat swapped.

    Values that portraits of `variety` have come first, the attributes taking turns, in an order drawn by (seed, key).
    Held-out combinations are among them only with `unseen`.
    """
    draws = np.random.default_rng(stream_seed(seed, "train/captions", key))
    found: dict[str, Attributes] = {said(attributes): attributes}
    for change in _in_turn(_changes(attributes, variety), draws):
        if len(found) > n:
            break
        other = replace(attributes, **change)
        if unseen or not held_out(other):
            found.setdefault(said(other), other)
    return list(found.values())[1:]


def _in_turn(changes: Mapping[str, list[list[Change]]], draws: np.random.Generator) -> Iterator[Change]:
    """All that are likely, then the rest; within each, an attribute's turn after the other's."""
    for which in range(2):
        queues = [[rows[which][i] for i in draws.permutation(len(rows[which]))] for rows in changes.values()]
        for turn in range(max(map(len, queues))):
            yield from (queues[i][turn] for i in draws.permutation(len(queues)) if turn < len(queues[i]))


def _changes(attributes: Attributes, variety: str) -> dict[str, list[list[Change]]]:
    """By attribute, the changes to values that the variety has, and those to others."""
    usual = PLAIN if variety == "plain" else _VALUES
    changes: dict[str, list[list[Change]]] = {}
    for name, values in _VALUES.items():
        likely = [v for v in values if v in usual.get(name, values)]
        changes[name] = [[{name: v} for v in likely], [{name: v} for v in values if v not in likely]]
    if attributes.hat == "none":
        hats = usual["hat"][1:]
        for which, some in enumerate((hats, [h for h in HATS[1:] if h not in hats])):
            changes["hat"][which] = [{"hat": hat, "hat_colour": colour} for hat in some for colour in FABRIC_COLOURS]
    if attributes.hat_colour in HAIR_COLOURS and attributes.hair_colour in FABRIC_COLOURS:
        changes["swap"] = [[{"hair_colour": attributes.hat_colour, "hat_colour": attributes.hair_colour}], []]
    return changes
