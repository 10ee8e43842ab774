"""Directions as files: the shift, the generator that it belongs to, and what it says."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from advgen.core.errors import BadFile
from advgen.core.files import write_atomically
from advgen.core.types import Generator
from advgen.editing.shifts import Shift
from advgen.editing.stylespace import hash_of

_KEY = "advgen_direction"


class Direction(NamedTuple):
    """A shift that is the same for every image."""

    shift: Shift  # one row, at strength 1
    about: Mapping[str, Any]  # method, texts, numbers


def save_direction(path: Path, direction: Direction, generator: Generator) -> None:
    """Writes a safetensors file with `w` or `s`, the generator's hash and `about` in its metadata.

    Raises:
        UserError: the folder cannot be written or the disk is full.
    """
    from safetensors.torch import save as serialised

    parts = {name: part for name, part in direction.shift._asdict().items() if part is not None}
    assert parts, "a direction moves something"
    assert all(len(part) == 1 for part in parts.values()), "a direction is one row"
    plain = {name: part.detach().cpu().contiguous().clone() for name, part in parts.items()}
    told = {**direction.about, "generator": hash_of(generator)}
    write_atomically(path, serialised(plain, metadata={_KEY: json.dumps(told)}))


def load_direction(path: Path, generator: Generator) -> Direction:
    """What `save_direction` wrote, for the generator that it was made for.

    Raises:
        MissingFile: there is no such file.
        BadFile: damaged, no direction, or one of another generator.
    """
    from safetensors import safe_open

    from advgen.core.checkpoints import load_tensors

    tensors = load_tensors(path)
    with safe_open(str(path), "pt") as file:
        text = (file.metadata() or {}).get(_KEY)
    if text is None or not set(tensors) or set(tensors) - set(Shift._fields):
        raise BadFile(f"{path} holds tensors but no direction; a file written by `advgen edit` was expected.")
    about = json.loads(text)
    own = about.pop("generator")
    if own != (given := hash_of(generator)):
        raise BadFile(
            f"the direction {path} was made for another generator (its weights' hash is {own[:12]}, this one's is "
            f"{given[:12]}); take the generator that it was made for, or make the direction anew."
        )
    return Direction(Shift(**{name: part.to(generator.mean_w) for name, part in tensors.items()}), about)
