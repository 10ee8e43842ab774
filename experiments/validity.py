"""Has a fooled matcher been fooled, or is it right? The oracle's word on saved faces of avatars, beside its own error.

An impersonation may have *become* its target; then the matcher is right, and any held-out matcher agrees. So for goals
of identity the oracle (`experiments.edits.oracle`), which no attack, stopping rule or headline network knows, must
still find the source: nearer to the source than to the target, and no further from it than inverted avatars are from
themselves. For dodging there is no target: the source must be among the nearest tenth of its population. Otherwise the
row says `became_target`, which is no success. Faces of which no numbers are known (photographs, other sizes) are
`not_applicable`.

The oracle is wrong sometimes, the more so on inverted faces, which have lost much of a person. `errors` measures that
on held-out avatars that nobody attacked, inverted as the attack inverts, with targets chosen as the cell chooses them:
how often it calls a face changed that is not, and how often it misses a face that is wholly another's.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from advgen.core import registry
from advgen.core.errors import BadArgument, MissingFile
from advgen.core.specs import Cell
from advgen.core.types import Slice
from advgen.experiments.edits import inverting
from advgen.experiments.edits.oracle import Oracle
from advgen.experiments.edits.portraits import SIZE
from advgen.experiments.stats import rate
from advgen.inversion.encoder import belonging

GOALS = ("impersonate", "evade-identity")
VALID, BECAME_TARGET, NOT_APPLICABLE = "valid", "became_target", "not_applicable"
COUNT = 256  # held-out avatars that errors are measured on
CLOSELY, STEPS = 64, 60  # of them, inverted by optimisation as well; steps where the attack names none
NEAREST = 0.1  # of a population: how many may be nearer than the source, where there is no target


def applies(cell: Cell, sample: Slice) -> bool:
    """Whether the persons of a cell's images are known in numbers."""
    labelled = dict(cell.data.args).get("label", "identity") == "identity"
    size = tuple(int(side) for side in sample.images_u8.shape[1:])
    return cell.goal.name in GOALS and cell.data.name == "avatars" and labelled and size == (3, SIZE, SIZE)


def judge_of(
    cell: Cell, sample: Slice, at: Tensor, wanted: Tensor | None, assembly: Any
) -> Callable[[Tensor], Sequence[str]] | None:
    """The verdict on saved faces (N, C, H, W) uint8 of the samples at these positions; None where none is asked for.

    Raises:
        BadArgument: what is attacked, or attacked through, is the oracle itself.
    """
    if not applies(cell, sample):
        return None
    oracle = assembly.oracle()
    if oracle.card.file_hash in assembly.hashes(cell).values():
        raise BadArgument(
            f"{oracle.card.name} is the oracle that says whether a face is still its person's; it cannot be attacked, "
            "nor guide an attack, where identity is judged: take another network."
        )
    sources = persons(sample, at)
    if wanted is None:
        everybody = population(cell)
        return lambda images_u8: dodged(oracle, images_u8, sources, everybody)
    classes = assembly.target(cell.target, cell.data)[0].classes
    targets = [_person(classes[int(k)], cell) for k in wanted]
    return lambda images_u8: verdicts(oracle, images_u8, sources, targets)


def dodged(oracle: Oracle, images_u8: Tensor, sources: Sequence[Any], everybody: Sequence[Any]) -> list[str]:
    """Of each face, whether its source is among the nearest tenth of everybody, a population by number."""
    apart = oracle.distances(images_u8, everybody)
    own = apart.gather(1, torch.tensor([source.number for source in sources], dtype=torch.long)[:, None])
    nearer = (apart < own).double().mean(1)
    return [VALID if share <= NEAREST else BECAME_TARGET for share in nearer.tolist()]


def verdicts(oracle: Oracle, images_u8: Tensor, sources: Sequence[Any], targets: Sequence[Any]) -> list[str]:
    """`VALID`, `BECAME_TARGET` or `NOT_APPLICABLE` of each face; a target of None is no avatar."""
    known = [source if target is None else target for source, target in zip(sources, targets, strict=True)]
    still = oracle.verdict(images_u8, sources, known).still_source.tolist()
    return [
        NOT_APPLICABLE if target is None else VALID if same else BECAME_TARGET
        for target, same in zip(targets, still, strict=True)
    ]


def persons(sample: Slice, at: Tensor) -> list[Any]:
    """The identities of the avatars at these positions."""
    from advgen.experiments import avatars

    groups = sample.table["group"].to_pylist()
    numbers = [tuple(int(part) for part in str(groups[int(i)]).split("/")) for i in at]
    return [avatars.identity(seed, number) for seed, number in numbers]


def population(cell: Cell) -> list[Any]:
    """Everybody whom a cell's data shows, by number."""
    from advgen.experiments import avatars

    args = {**registry.defaults("data", cell.data.name), **dict(cell.data.args)}
    return [avatars.identity(int(args["seed"]), number) for number in range(int(args["identities"]))]


def errors(cell: Cell, generator: str | None, assembly: Any) -> dict[str, Any]:
    """Rates of both errors on avatars as drawn, and as the generator gives them back, if one is named (JSON)."""
    held_out = assembly.first(cell.data._replace(split="validation"), COUNT)
    at = torch.arange(len(held_out.ids))
    classes = assembly.target(cell.target, cell.data)[0].classes
    wanted = assembly.wanted(cell, held_out, at, len(classes))
    sources = persons(held_out, at)
    targets = None if wanted is None else [_person(classes[int(k)], cell) for k in wanted]
    found = {"as drawn": _errors(cell, assembly.oracle(), held_out.images_u8, sources, targets)}
    if generator is not None:
        try:
            again = _inverted(cell, generator, held_out.images_u8, assembly)
        except MissingFile:
            return found  # without an encoder there is no quick way to inversions
        few = len(again)
        some = None if targets is None else targets[:few]
        found["inverted"] = _errors(cell, assembly.oracle(), again, sources[:few], some)
    return found


def _inverted(cell: Cell, ref: str, images_u8: Tensor, assembly: Any) -> Tensor:
    """Bytes as the generator gives them back, by an encoder alone where the attack begins so, else after steps."""
    assert cell.attack is not None
    args = {**registry.defaults("attacks", cell.attack.name), **dict(cell.attack.args)}
    generator, encoder = assembly.generator(ref), assembly.network(belonging(ref))[0]
    if args.get("inversion") == "encoder":
        return inverting.inverted(images_u8.to(assembly.device), generator, encoder).cpu()
    steps = int(args.get("inversion_steps") or STEPS)
    few = images_u8[:CLOSELY].to(assembly.device)
    at = ("closely", ref, cell.data, steps)
    return assembly.kept(at, lambda: inverting.inverted_closely(few, generator, encoder, steps=steps).cpu())


def _errors(
    cell: Cell, oracle: Oracle, images_u8: Tensor, sources: Sequence[Any], targets: Sequence[Any] | None
) -> dict[str, Any]:
    """Of faces that are their sources': called changed. Of the same faces, asked for as others': missed."""
    others = [*sources[1:], *sources[:1]] if targets is None else list(targets)
    at = [k for k, other in enumerate(others) if other is not None and other != sources[k]]
    images, own, other = (
        images_u8[torch.tensor(at, dtype=torch.long)],
        [sources[k] for k in at],
        [others[k] for k in at],
    )
    if targets is None:
        everybody = population(cell)
        right, missed = (dodged(oracle, images, people, everybody) for people in (own, other))
    else:
        right, missed = verdicts(oracle, images, own, other), verdicts(oracle, images, other, own)
    return {
        "called changed": _rate([verdict == BECAME_TARGET for verdict in right]),
        "missed": _rate([verdict == VALID for verdict in missed]),
    }


def _rate(hits: Sequence[bool]) -> dict[str, Any]:
    found = rate([float(hit) for hit in hits])
    return {"value": found.value, "low": found.low, "high": found.high, "n": len(hits)}


def _person(name: str, cell: Cell) -> Any:
    """The identity of a class called "person NUMBER"; None for other classes."""
    from advgen.experiments import avatars

    word, _, number = name.partition(" ")
    if word != "person" or not number.isdecimal():
        return None
    return avatars.identity(int(dict(cell.data.args).get("seed", 0)), int(number))
