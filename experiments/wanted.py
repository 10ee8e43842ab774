"""Which class an image is to be taken for: drawn by the seed, the next, the nearest, or one by number or name."""

from collections.abc import Callable

import torch
from torch import Tensor

from advgen.core.errors import BadArgument
from advgen.core.images import to_float
from advgen.core.rng import SampleRng
from advgen.core.specs import Cell
from advgen.core.types import Slice, Target


def wanted_of(cell: Cell, sample: Slice, at: Tensor, classes: int, target: Callable[[], Target]) -> Tensor:
    """(N,) classes wanted of the samples at these positions, by the goal's argument `wanted`.

    "random" (the default) draws another class by the cell's seed and the sample's id; "next" is label + 1; "nearest"
    is what the target finds likeliest after the label; else one class for all, by number or name.

    Raises:
        BadArgument: no such choice, or a person who is to be taken for himself.
    """
    labels = sample.labels[at]
    count = max(classes, 2)
    choice = dict(cell.goal.args).get("wanted", "random")
    if choice == "next":
        return (labels + 1) % count
    if choice == "random":
        rng = SampleRng.for_samples(cell.seed, "wanted", [sample.ids[int(i)] for i in at])
        return (labels + 1 + rng.integers(0, count - 1)) % count
    if choice == "nearest":
        return _nearest(target(), sample.images_u8[at], labels)
    number = _number(choice, target)
    if cell.goal.name == "impersonate" and bool((labels == number).any()):
        own = sample.ids[int(at[(labels == number).nonzero()[0, 0]])]
        raise BadArgument(
            f"the wanted person is the one that {own} shows already; an impersonation needs another person, such as "
            "wanted=nearest or wanted=random."
        )
    return torch.full_like(labels, number)


def _nearest(target: Target, images_u8: Tensor, labels: Tensor) -> Tensor:
    device = next(iter(getattr(target, "network", torch.nn.Module()).parameters()), labels).device
    with torch.no_grad():
        logits = target(to_float(images_u8).to(device)).logits.cpu()
    if logits.shape[1] < 2:
        raise BadArgument("wanted=nearest needs another class, and this target has one logit.")
    return logits.scatter(1, labels[:, None], -torch.inf).argmax(1)


def _number(choice: object, target: Callable[[], Target]) -> int:
    if isinstance(choice, int) and not isinstance(choice, bool):
        return choice
    classes = target().classes
    if choice in classes:
        return classes.index(str(choice))
    raise BadArgument(
        f"wanted must be a class by number or name ({', '.join(classes[:3])}{', ...' if classes[3:] else ''}), "
        f"'next', 'nearest' or 'random', got {choice!r}."
    )
