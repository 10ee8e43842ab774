"""What attacks on latents are given: the generator of a cell's data, and an inverter for it."""

from typing import Any

import torch
from torch import nn

from advgen.core import checkpoints
from advgen.core.errors import MissingFile
from advgen.core.specs import Card, DataSpec
from advgen.generators.stylegan2.load import load_stylegan2
from advgen.inversion.methods import Method
from advgen.zoo import load as zoo

HYBRID = "hybrid"


def generator_name(given: Any, data: DataSpec, side: int) -> str:
    """The named weights, or the shipped generator of this data set at this size.

    Raises:
        MissingFile: none is shipped for it.
    """
    if given is not None:
        return str(given)
    for name, card in _cards("generator"):
        if card.args.get("data") == data.name and card.args.get("size") == side:
            return name
    raise MissingFile(
        f"no generator is shipped for {data.name} at {side} pixels; train one with `advgen train stylegan2 --arg "
        f"data={data.name} --arg size={side}` and name it with weights=PATH."
    )


def generator(name: str, device: torch.device) -> nn.Module:
    """Frozen, in eval mode."""
    return load_stylegan2(name).generator.to(device).eval().requires_grad_(False)


def encoder_name(name: str) -> str:
    """The encoder that belongs to a generator: NAME_encoder, shipped or beside its file.

    Raises:
        MissingFile: there is none.
    """
    wanted = f"{name.removesuffix('.safetensors')}_encoder"
    shipped = f"{wanted.rsplit('/', 1)[-1]}"
    if shipped in zoo.shipped() and "/" not in name:
        return shipped
    try:
        return str(checkpoints.find(f"{wanted}.safetensors"))
    except MissingFile:
        raise MissingFile(
            f"no encoder {wanted} was found for {name}; train one with `advgen train stylegan2_encoder`, or take "
            "inversion=image2stylegan, which needs none."
        ) from None


def encodes(inversion: object) -> bool:
    """Whether an inversion begins with an encoder."""
    return inversion in ("encoder", HYBRID)


def inverter(inversion: str, steps: int | None, given: nn.Module, encoder: nn.Module | None, perceptual: Any) -> Any:
    """The inverter that an attack's `inversion` and `inversion_steps` ask for; in W+ where it optimises."""
    method = Method(inversion) if inversion == "encoder" else Method(inversion, space="w+", steps=steps)
    return method.make(given, perceptual, encoder)  # type: ignore[arg-type]


def _cards(kind: str) -> list[tuple[str, Card]]:
    found = [(name, checkpoints.read_card(checkpoints.places()[0] / f"{name}.safetensors")) for name in zoo.shipped()]
    return [(name, card) for name, card in found if card.kind == kind]
