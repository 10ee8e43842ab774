"""A face matcher over a gallery as a target: `matcher:NAME`, a logit for each enrolled person, above 0 = accepted.

NAME is a matcher with a calibrated threshold on its card (a name, a file, `recipe:matcher:...`), or one's own
`module:function` that returns embeddings, with `threshold`, a cosine. Logit k is the cosine with person k's enrolled
pictures less the threshold, times the scale that the matcher was trained with. Arguments of the part: `gallery`
(`folder:PATH` with a sub-folder a person, or a data set; the data's own other pictures by default), `enrolled`
(pictures of each person, whose mean is compared; 1), `threshold`, and `scale`. A picture that is attacked is never
enrolled.
"""

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advgen.core import registry
from advgen.core.errors import BadArgument
from advgen.core.images import to_float
from advgen.core.specs import GIVEN, Card, DataSpec, Part
from advgen.core.targets import ModuleTarget
from advgen.core.types import Slice
from advgen.zoo import load as zoo

PREFIX = "matcher:"
ARGS = ("gallery", "enrolled", "threshold", "scale")
COUNTS = (1024, 2048, 4096, 8192, 16384)  # pictures of a data set that are looked through for everybody's first
BATCH = 128


class Enrolled(NamedTuple):
    """Persons with the pictures that probes are compared with."""

    persons: tuple[str, ...]
    images_u8: tuple[Tensor, ...]  # (E, C, H, W) each
    ids: tuple[tuple[str, ...], ...]


class OverGallery(nn.Module):
    """Images (N, C, H, W) to logits (N, K): how far each is above the threshold of being person k."""

    def __init__(self, network: nn.Module, enrolled: Enrolled, *, threshold: float, scale: float) -> None:
        super().__init__()
        self.network = network
        self.threshold, self.scale = threshold, scale
        self.enrolled = enrolled
        self.register_buffer("places", _places(network, enrolled.images_u8))  # (K, D) of length one

    def forward(self, images: Tensor) -> Tensor:
        places: Any = self.places
        return self.scale * (F.normalize(self.network(images), dim=1) @ places.T - self.threshold)


def is_matcher(part: Part) -> bool:
    return part.name.startswith(PREFIX)


def matcher(
    part: Part, data: DataSpec, sample: Slice, first: Callable[[DataSpec, int], Slice], found: Callable[[str], str]
) -> zoo.Loaded:
    """The target of `matcher:NAME` for the images of `sample`, which are those of `data`.

    `first` gives the first images of a data set, `found` what the zoo knows a reference by.

    Raises:
        BadArgument: no matcher, no threshold, images of another size, a person who is not enrolled, no gallery.
    """
    name, args = part.name.removeprefix(PREFIX), dict(part.args)
    loaded = zoo.load(found(name))
    threshold = _threshold(name, loaded.card, args.get("threshold"))
    shape = tuple(int(side) for side in sample.images_u8.shape[1:])
    if loaded.image_shape is not None and shape[1:] != loaded.image_shape[1:]:
        side = loaded.image_shape[1]
        raise BadArgument(
            f"the matcher {name} takes faces of {side}x{side} pixels, and these have {shape[2]}x{shape[1]}: its "
            f"threshold does not hold for them; scale them with --size {side} (size: {side} in a study)."
        )
    enrolled = enrol(args.get("gallery"), int(args.get("enrolled", 1)), data, sample, first)
    scale = float(args.get("scale", loaded.card.args.get("scale", 1.0)))
    network = OverGallery(loaded.network, enrolled, threshold=threshold, scale=scale)
    whole = blake2b(f"{loaded.card.file_hash} {threshold} {scale}".encode(), digest_size=32)
    for person, images in zip(enrolled.persons, enrolled.images_u8, strict=True):
        whole.update(person.encode() + b"\x1f" + images.contiguous().numpy().tobytes())
    # What is judged is a decision at a threshold: the card of a target that was put together.
    card = loaded.card._replace(name=part.name, file_hash=whole.hexdigest())
    return zoo.Loaded(network.eval(), card, enrolled.persons, loaded.image_shape, "sign", None, None, loaded.came_from)


def enrol(
    place: Any, pictures: int, data: DataSpec, sample: Slice, first: Callable[[DataSpec, int], Slice]
) -> Enrolled:
    """The first `pictures` of every person of the gallery, none of them a picture of `sample`."""
    if pictures < 1:
        raise BadArgument(f"enrolled must be at least 1 picture of each person, got {pictures}.")
    given = data.name.startswith(GIVEN)
    if place is None and given:
        raise BadArgument(
            "a matcher compares faces with a gallery, and one's own images bring none; name one with "
            "gallery=folder:PATH, a sub-folder for each person."
        )
    spec = _other_pictures(data) if place is None else _spec(str(place), int(sample.images_u8.shape[-1]))
    own = () if given else sample.classes
    probes = set(sample.table["hash"].to_pylist())
    seen = -1
    for count in COUNTS:
        gallery = first(spec, count)
        rows: dict[str, list[int]] = {}
        hashes, labels = gallery.table["hash"].to_pylist(), gallery.labels.tolist()
        for k, label in enumerate(labels):
            of_person = rows.setdefault(gallery.classes[label], [])
            if hashes[k] not in probes and len(of_person) < pictures:
                of_person.append(k)
        # A data set of the gallery's own persons may hold more of them than it has pictures of.
        persons = tuple(dict.fromkeys([*own, *(p for p in gallery.classes if p in rows)]))
        missing = [p for p in persons if not rows.get(p)]
        if not missing or len(gallery.ids) == seen:
            break
        seen = len(gallery.ids)
    if missing:
        raise BadArgument(
            f"{missing[0]!r}" + (f" and {len(missing) - 1} more persons are" if missing[1:] else " is")
            + f" not enrolled: the gallery {spec.name} ({spec.split}) holds no picture of them beside those that are "
            "attacked; give a gallery that does, with gallery=folder:PATH."
        )  # fmt: skip
    return Enrolled(
        persons,
        tuple(gallery.images_u8[rows[p]] for p in persons),
        tuple(tuple(gallery.ids[k] for k in rows[p]) for p in persons),
    )


def gallery_of(target: ModuleTarget, card: Card) -> Tensor:
    """(K, C, H, W) in [0, 1], the first enrolled picture of every class of a target.

    Raises:
        BadArgument: a target without a gallery.
    """
    if not isinstance(target.network, OverGallery):
        raise BadArgument(
            f"the attack goes towards a picture of another class, and {card.name} has none; it needs a face matcher, "
            "matcher:NAME."
        )
    return to_float(torch.stack([images[0] for images in target.network.enrolled.images_u8]))


def _other_pictures(data: DataSpec) -> DataSpec:
    """Where other pictures of the same persons are: what the data set calls enrolled, or the training split."""
    name = "folder" if data.name.startswith("folder:") else data.name
    if "pictures" in registry.defaults("data", name.replace("_", "-")):
        return data._replace(count=0, args=tuple(sorted({**dict(data.args), "pictures": "enrolled"}.items())))
    return data._replace(split="train", count=0)


def _spec(place: str, side: int) -> DataSpec:
    if place.startswith("folder:") or Path(place).is_dir():
        return DataSpec(f"folder:{place.removeprefix('folder:')}", "test", 0, side, (("by", "none"),))
    return DataSpec(place, "train", 0, side)


def _threshold(name: str, card: Card, given: Any) -> float:
    if card.kind != "matcher" and card.recipe != "user":
        raise BadArgument(f"{name} is a {card.kind}, not a matcher; `advgen train matcher` trains one.")
    if given is not None:
        return float(given)
    found = card.metrics.get("threshold")
    if not isinstance(found, int | float):
        raise BadArgument(
            f"the matcher {name} has no calibrated threshold, so nothing says which faces it accepts; train it by "
            "`advgen train matcher`, which calibrates one, or give threshold=COSINE."
        )
    return float(found)


@torch.no_grad()
def _places(network: nn.Module, images_u8: tuple[Tensor, ...]) -> Tensor:
    """(K, D): the mean place of each person's pictures, of length one."""
    every = torch.cat(images_u8)
    each = torch.cat([F.normalize(network(to_float(some)).float(), dim=1) for some in every.split(BATCH)])
    means = [some.mean(0) for some in each.split([len(images) for images in images_u8])]
    return F.normalize(torch.stack(means), dim=1)
