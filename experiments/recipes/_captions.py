"""Captions of avatars from a slice's table: every phrasing, and captions that are nearly right.

Two pictures say the same when their usual caption (the first phrasing in its usual words) is the same.
"""

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from types import SimpleNamespace

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
)

TURNS = 2  # synonyms turn with the phrasing's number; no word has more than two that are not held out
SEEN = tuple(p for p in range(TURNS * len(PHRASINGS)) if p % len(PHRASINGS) not in HELD_OUT_PHRASINGS)
UNSEEN = tuple(sorted(HELD_OUT_PHRASINGS))
_KINDS = ("beard", "glasses", "hat", "earrings")  # their plain names are yes/no labels in the table
_CHANGES = {
    "hair_colour": HAIR_COLOURS,
    "hair_style": HAIR_STYLES,
    "beard": BEARDS,
    "glasses": GLASSES,
    "hat": HATS,
    "hat_colour": FABRIC_COLOURS,
    "earrings": EARRINGS,
    "expression": EXPRESSIONS,
    "age": (0.0, 0.55, 0.95),
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


def nearly_right(attributes: Attributes, n: int, *, seed: int, key: str, unseen: bool = False) -> list[Attributes]:
    """Up to `n` others whose caption differs in one attribute, or has the colours of hair and hat swapped.

    Their order is drawn by (seed, key). Held-out combinations are among them only with `unseen`.
    """
    changes = _changes(attributes)
    found: dict[str, Attributes] = {said(attributes): attributes}
    for place in np.random.default_rng(stream_seed(seed, "train/captions", key)).permutation(len(changes)):
        if len(found) > n:
            break
        other = replace(attributes, **changes[place])
        if unseen or not held_out(other):
            found.setdefault(said(other), other)
    return list(found.values())[1:]


def _changes(attributes: Attributes) -> list[dict[str, str | float]]:
    changes: list[dict[str, str | float]] = [{name: value} for name, values in _CHANGES.items() for value in values]
    if attributes.hat == "none":
        changes += [{"hat": hat, "hat_colour": colour} for hat in HATS[1:] for colour in FABRIC_COLOURS]
    if attributes.hat_colour in HAIR_COLOURS and attributes.hair_colour in FABRIC_COLOURS:
        changes.append({"hair_colour": attributes.hat_colour, "hat_colour": attributes.hair_colour})
    return changes
