"""Keys of cells and of attacked images: hashes of what determines a result, and of nothing else."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from advgen.core import registry
from advgen.core.specs import GIVEN, Cell, Part
from advgen.experiments.measurement import Measurement, arguments
from advgen.experiments.study import joined_args

# Raised when the meaning of a cell changes, so that old runs are not taken for new ones.
FORMAT = 1


def attack_key(cell: Cell, hashes: Mapping[str, str]) -> str:
    """What determines the attacked images of a cell.

    An oblivious attack has not seen the defense, and one on a surrogate has not seen the target either: their images
    are made once and judged many times.
    """
    assert cell.attack is not None
    seen: dict[str, Any] = {"knowledge": cell.knowledge, "goal": _part("", cell.goal)}
    if cell.knowledge == "transfer":
        assert cell.surrogate is not None
        seen["target"] = _part("", cell.surrogate)
    else:
        seen["target"] = _part("", cell.target)
    if cell.knowledge == "adaptive":
        seen["defense"] = [_part("defenses", p) for p in cell.defense]
    used = {k: v for k, v in hashes.items() if k.split(":")[0] in {"data", *seen, *_surrogate(cell)}}
    return _hash(
        {
            "format": FORMAT,
            "attack": _part("attacks", cell.attack),
            "budget": cell.budget,
            "seed": cell.seed,
            "data": cell.data,
            "hashes": used,
            **seen,
        }
    )


def cell_key(cell: Cell, hashes: Mapping[str, str]) -> str:
    """What determines the rows of a cell."""
    return _hash(
        {
            "format": FORMAT,
            "data": cell.data,
            "target": _part("", cell.target),
            "goal": _part("", cell.goal),
            "attack": None if cell.attack is None else _part("attacks", cell.attack),
            "budget": cell.budget,
            "defense": [_part("defenses", p) for p in cell.defense],
            "knowledge": cell.knowledge,
            "surrogate": None if cell.surrogate is None else _part("", cell.surrogate),
            "seed": cell.seed,
            "repeats": cell.repeats,
            "hashes": dict(hashes),
        }
    )


def measurement_key(measurement: Measurement, hashes: Mapping[str, str]) -> str:
    """What determines the readings of a measurement; what its arm is called does not."""
    return _hash(
        {
            "format": FORMAT,
            "measure": [measurement.measure.name, sorted(arguments(measurement).items())],
            "seed": measurement.seed,
            "hashes": dict(hashes),
        }
    )


def validity_key(cell: Cell, maker: str | None) -> str:
    """What an oracle's errors hang on: data, target, goal, and how the generator that attacks inverts."""
    args = {} if cell.attack is None else dict(cell.attack.args)
    inverts = f"{maker} {args.get('inversion', '')} {args.get('inversion_steps', '')}".strip() if maker else ""
    return f"{cell.data}|{cell.target}|{cell.goal}|{inverts}"


def _surrogate(cell: Cell) -> set[str]:
    return {"surrogate"} if cell.knowledge == "transfer" else set()


def _part(kind: str, part: Part) -> list[Any]:
    """Name and all arguments, defaults filled in, so that writing a default out changes no key."""
    given = dict(part.args)
    if not kind or part.name.startswith(GIVEN):
        return [part.name, sorted(given.items())]
    joined = {k: v for k, v in given.items() if k in joined_args(kind)}
    own = {k: v for k, v in given.items() if k not in joined}
    return [part.name, sorted({**registry.arguments(kind, part.name, own), **joined}.items())]


def _hash(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return blake2b(text.encode(), digest_size=10).hexdigest()
