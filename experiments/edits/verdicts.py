"""The verdict on one edited picture, from what was read before and after: was exactly the asked-for change made?

Two pictures differ in an attribute when each is read with another value and neither leaves the other's value open: a
probability of at least `OPEN` for the other's value is a doubt, not a change. So a picture on the border of two values
is not called changed for a hair's breadth.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from advgen.experiments.edits.attributes import ALIKE_UNDER_A_HAT, CONSEQUENCES, KEPT, UNSEEN, VALUES, Change
from advgen.experiments.edits.reading import Reading

OPEN = 0.1
_UNDER_A_HAT = [VALUES["hair_style"].index(style) for style in ALIKE_UNDER_A_HAT]


class Verdicts(NamedTuple):
    """One row an image: bool (N,), and what else changed."""

    already: np.ndarray  # all that is asked for was there before
    asked_for: np.ndarray  # all that is asked for is there
    exact: np.ndarray  # and nothing else has changed
    others: tuple[tuple[str, ...], ...]  # attributes that changed and were not asked for
    compared: np.ndarray  # (N, A of KEPT): whether "as before" was asked of this attribute


def judged(
    before: Reading,
    after: Reading,
    asked: Sequence[Sequence[Change]],
    *,
    truths: tuple[np.ndarray, np.ndarray] | None = None,
    kept: Sequence[str] = KEPT,
) -> Verdicts:
    """Compares two readings of N pictures, row by row.

    truths: (N, A) values of the original and of the renderer's counterfactual. With them, an attribute that either
    picture hides, or that the renderer changes too, is not asked to be as before.
    """
    n = len(asked)
    compared = np.ones((n, len(kept)), bool)
    for i, changes in enumerate(asked):
        free = {c.attribute for c in changes} | {x for c in changes for x in CONSEQUENCES.get(c.attribute, ())}
        compared[i] = [name not in free for name in kept]
    if truths is not None:
        places = [list(VALUES).index(name) for name in kept]
        one, other = (part[:, places] for part in truths)
        compared &= (one == other) & (one != UNSEEN)
    hidden = _hatted(before) | _hatted(after)
    changed = np.stack([_differ(before, after, name, hidden) for name in kept], 1) if n else np.zeros((0, len(kept)))
    changed = changed.astype(bool) & compared
    there = holds(after, asked)
    others = tuple(tuple(name for name, hit in zip(kept, row) if hit) for row in changed)
    return Verdicts(holds(before, asked), there, there & ~changed.any(1), others, compared)


def holds(reading: Reading, asked: Sequence[Sequence[Change]]) -> np.ndarray:
    """(N,) whether each picture shows all that is asked of it."""
    found = {name: rows.argmax(1).numpy() for name, rows in reading.probabilities.items()}
    return np.array(
        [all(VALUES[c.attribute][found[c.attribute][i]] in c.accepted() for c in row) for i, row in enumerate(asked)],
        bool,
    )


def _differ(before: Reading, after: Reading, name: str, hidden: np.ndarray) -> np.ndarray:
    one, other = before.probabilities[name], after.probabilities[name]
    first, second = one.argmax(1), other.argmax(1)
    closed = (other.gather(1, first[:, None])[:, 0] < OPEN) & (one.gather(1, second[:, None])[:, 0] < OPEN)
    changed = ((first != second) & closed).numpy()
    if name == "hair_style":
        alike = torch.isin(first, torch.tensor(_UNDER_A_HAT)) & torch.isin(second, torch.tensor(_UNDER_A_HAT))
        changed &= ~(alike.numpy() & hidden)
    return changed


def _hatted(reading: Reading) -> np.ndarray:
    return (reading.probabilities["hat"].argmax(1) != VALUES["hat"].index("none")).numpy()
