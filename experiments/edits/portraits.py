"""The judge's own portraits: other persons than any data set's, every attribute drawn apart from every other.

Every second picture is as the sampler draws it; of the others each judged attribute is drawn evenly and alone, so that
no network learns that grey hair is old, or that a beard wears no long hair. Rendered once, then kept in the cache.
"""

import functools
import io
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from advgen.core.errors import BadFile, UserError
from advgen.core.files import write_atomically
from advgen.experiments import avatars
from advgen.experiments.avatars import Avatar, Identity
from advgen.experiments.avatars.inks import skin_colour
from advgen.experiments.avatars.vocabulary import (
    EARRINGS,
    EYE_COLOURS,
    GLASSES,
    HAIR_COLOURS,
    PLAIN_STYLES,
)
from advgen.experiments.data import _files
from advgen.experiments.edits import attributes

SIZE = 64
POPULATION = 71  # of the judge's persons; data sets have population 0
_PIECE = 1024
_NOT_NUMBERS = ("number", "skin", "eye_colour", "mole_x", "mole_y")

PARAMETERS = (
    *(name for name in Identity.__dataclass_fields__ if name not in _NOT_NUMBERS),
    *(f"skin {channel}" for channel in ("red", "green", "blue")),
    *(f"eye {channel}" for channel in ("red", "green", "blue")),
)


class Portraits(NamedTuple):
    """images (N, 3, 64, 64) uint8, values (N, A) int64 of ATTRIBUTES with UNSEEN, person (N,) int64, parameters (N, P)
    and landmarks (N, L, 2) float32: shares of the side, 0..1."""

    images: Tensor
    values: Tensor
    person: Tensor
    parameters: Tensor
    landmarks: Tensor

    def take(self, rows: Tensor | slice) -> "Portraits":
        return Portraits(*(part[rows] for part in self))

    def hash(self) -> str:
        """BLAKE2 over pictures and labels."""
        whole = blake2b(digest_size=16)
        for part in self:
            whole.update(part.contiguous().numpy().tobytes())
        return whole.hexdigest()


def drawn(index: int, *, persons: int, seed: int = POPULATION) -> Avatar:
    """Portrait `index` of the judge's persons."""
    avatar = avatars.sample(seed, index, "plain", persons)
    if index % 2 == 0:
        return avatar
    key = blake2b(f"{seed}/judge/{index}".encode(), digest_size=16).digest()
    generator = np.random.Generator(np.random.PCG64(int.from_bytes(key, "little")))

    def pick(values, shares=None):
        return str(generator.choice(values, p=shares))

    age = generator.random()
    return avatars.counterfactual(
        avatar,
        hair_style=pick(PLAIN_STYLES),
        hair_colour=pick(tuple(HAIR_COLOURS)),
        beard=pick(("none", "full")),
        glasses=pick(GLASSES, (0.3, 0.14, 0.14, 0.14, 0.14, 0.14)),
        hat=pick(("none", "beanie"), (0.7, 0.3)),
        earrings=pick(EARRINGS, (0.4, 0.2, 0.2, 0.2)),
        age=0.0 if age < 0.3 else float(generator.uniform(0.1, 0.7)) if age < 0.6 else float(generator.uniform(0.7, 1)),
        expression=pick(attributes.VALUES["expression"]),
    )


def parameters_of(identity: Identity) -> tuple[float, ...]:
    """What the oracle reads of a person, in the order of PARAMETERS."""
    plain = [getattr(identity, name) for name in Identity.__dataclass_fields__ if name not in _NOT_NUMBERS]
    return (*plain, *skin_colour(identity), *EYE_COLOURS[identity.eye_colour])


@functools.lru_cache(maxsize=1)
def scales() -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (P,) of PARAMETERS over people: the unit in which the oracle reads them."""
    people = torch.tensor([parameters_of(avatars.identity(POPULATION, k)) for k in range(1000)], dtype=torch.float64)
    return people.mean(0).float(), people.std(0).float()


def portraits(some: list[Avatar]) -> Portraits:
    """Renders and labels avatars at 64 pixels."""
    images = np.empty((len(some), SIZE, SIZE, 3), np.uint8)
    values = np.empty((len(some), len(attributes.ATTRIBUTES)), np.int64)
    for begin in range(0, len(some), _PIECE):
        piece = some[begin : begin + _PIECE]
        images[begin : begin + len(piece)], parts = avatars.render_batch(piece, SIZE)
        for row, (avatar, part) in enumerate(zip(piece, parts), begin):
            values[row] = list(attributes.truth(avatar, part).values())
    points = np.stack([avatars.landmarks(avatar, SIZE) for avatar in some]) / SIZE
    numbers = np.array([parameters_of(avatar.identity) for avatar in some], np.float32)
    person = np.array([avatar.identity.number for avatar in some], np.int64)
    return Portraits(
        torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(values),
        torch.from_numpy(person),
        torch.from_numpy(numbers),
        torch.from_numpy(points.astype(np.float32)),
    )


def load(count: int, *, persons: int, begin: int = 0, seed: int = POPULATION) -> Portraits:
    """`count` of the judge's portraits from index `begin`, rendered or from the cache."""
    key = blake2b(f"{count} {persons} {begin} {seed}".encode(), digest_size=16)
    # Captions say nothing about a picture; all else in these files may.
    drawing = sorted(f for f in Path(avatars.__file__).parent.glob("*.py") if f.name != "captions.py")
    for source in (*drawing, Path(__file__), Path(attributes.__file__)):
        key.update(source.read_bytes())
    path = _files.cache_folder() / "judge" / f"{key.hexdigest()}.npz"
    kept = _kept(path)
    if kept is None:
        kept = portraits([drawn(index, persons=persons, seed=seed) for index in range(begin, begin + count)])
        _keep(path, kept)
    return kept


def of_data(split: str, count: int) -> tuple[Portraits, list[Avatar]]:
    """The first portraits of a split of `data=avatars` as generators know them (persons of population 0)."""
    from advgen.experiments.data.avatars import Avatars

    sampled = Avatars()._sampled(split)
    some = [avatar for _, (_, avatar) in zip(range(count), sampled)]
    return portraits(some), some


def _kept(path: Path) -> Portraits | None:
    if not path.is_file():
        return None
    try:
        return Portraits(*(torch.from_numpy(part) for part in _files.read_npz(path, Portraits._fields)))
    except (BadFile, ValueError):
        return None


def _keep(path: Path, made: Portraits) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **{name: part.numpy() for name, part in made._asdict().items()})
    try:
        write_atomically(path, buffer.getvalue())
    except UserError:
        # A cache that cannot be written costs time next time and changes nothing.
        return
