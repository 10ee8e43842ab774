"""What data sets keep; the subject is an instance."""

from itertools import combinations
from typing import Any

import torch

from advgen.contracts.contract import NotApplicable, named
from advgen.core.errors import MissingFile
from advgen.core.specs import SPLITS
from advgen.core.types import Slice

COUNT = 24  # samples that are looked at


def loads_the_same_slice_again(data_set: Any) -> str:
    """The same ids, bytes, labels and hash; fewer samples are the first of more; another size is another hash."""
    split = data_set.splits[0]
    one, two = _load(data_set, split), _load(data_set, split)
    if isinstance(one, NotApplicable) or isinstance(two, NotApplicable):
        return one if isinstance(one, NotApplicable) else ""
    if one.hash != two.hash or one.ids != two.ids or not torch.equal(one.images_u8, two.images_u8):
        return "gave two slices for one question"
    few = data_set.load(split, COUNT // 2, None)
    same = few.ids == one.ids[: len(few.ids)] and torch.equal(few.images_u8, one.images_u8[: len(few.ids)])
    if not same:
        return "the first samples depend on how many are asked for"
    return "" if data_set.load(split, COUNT, 40).hash != one.hash else "another size has the same hash"


def slices_are_well_formed(data_set: Any) -> str:
    """uint8 images, labels among the classes, unique ids `<data>/<split>/<rest>`, a table row a sample."""
    for split in data_set.splits:
        if split not in SPLITS:
            return f"has a split {split!r}; the splits are {', '.join(SPLITS)}"
        found = _load(data_set, split)
        if isinstance(found, NotApplicable):
            return found
        n = len(found.ids)
        if found.images_u8.dtype != torch.uint8 or found.images_u8.dim() != 4 or found.images_u8.shape[1] not in (1, 3):
            return f"its images are {found.images_u8.dtype} {tuple(found.images_u8.shape)}"
        if not n == len(found.labels) == len(found.images_u8) == found.table.num_rows:
            return f"{split} has {n} ids, {len(found.images_u8)} images and {len(found.labels)} labels"
        if n and not 0 <= int(found.labels.min()) <= int(found.labels.max()) < len(found.classes):
            return f"has labels {int(found.labels.min())} to {int(found.labels.max())} for {len(found.classes)} classes"
        if len(set(found.ids)) != n or any(i.split("/")[1] != split for i in found.ids):
            return f"the ids of {split} repeat, or do not name their split"
    return ""


def splits_share_no_image(data_set: Any) -> str:
    """No pixels stand in two splits, as far as the first samples show."""
    hashes = {}
    for split in data_set.splits:
        found = _load(data_set, split)
        if isinstance(found, NotApplicable):
            return found
        hashes[split] = {image.numpy().tobytes() for image in found.images_u8}
    for one, other in combinations(hashes, 2):
        if shared := len(hashes[one] & hashes[other]):
            return f"{one} and {other} share {shared} images"
    return ""


DATA = named(loads_the_same_slice_again, slices_are_well_formed, splits_share_no_image)


def _load(data_set: Any, split: str) -> Slice | NotApplicable:
    try:
        found: Slice = data_set.load(split, COUNT, None)
    except MissingFile as error:
        return NotApplicable(f"its files are not here: {error}")
    return found
