"""What attacks on latents are given: the generator of a cell's data, and an inverter for it."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from advgen.core import checkpoints
from advgen.core.errors import BadArgument, MissingFile
from advgen.core.images import to_float, to_uint8
from advgen.core.meter import Meter
from advgen.core.rng import SampleRng
from advgen.core.specs import Card, DataSpec
from advgen.core.types import Generator, Latents
from advgen.editing.baselines import sefa
from advgen.editing.directions import load_direction
from advgen.generators.stylegan2.load import load_stylegan2
from advgen.inversion.encoder import check_fits
from advgen.inversion.methods import Method
from advgen.zoo import load as zoo

HYBRID = "hybrid"
BATCH = 32  # samples made at once, always: the last bits of a sample hang on how many are made with it


@final
@dataclass(frozen=True)
class OnePass:
    """An encoder as an inverter that lets gradients through, for detectors; it measures no distance.

    Raises:
        BadArgument: the encoder was made for another generator.
    """

    encoder: Any
    generator: Generator

    def __post_init__(self) -> None:
        check_fits(self.encoder, self.generator)

    def invert(self, images: torch.Tensor, *, rng: SampleRng, meter: Meter) -> Latents:
        w = self.encoder(images)
        return Latents(w, None, w.new_zeros(len(w)), None)


@torch.no_grad()
def samples(given: Any, count: int, seed: int, *, purpose: str) -> torch.Tensor:
    """(count, C, H, W) of a generator, rounded as they would be saved; classes in turn, where it has some."""
    whole = -(-count // BATCH) * BATCH
    z = SampleRng.for_samples(seed, purpose, [str(k) for k in range(whole)]).normal((given.z_dim,)).to(given.mean_w)
    turn = torch.arange(whole) % max(given.c_dim, 1)
    classes = torch.eye(given.c_dim)[turn].to(given.mean_w) if given.c_dim else None
    made = []
    for some in torch.arange(whole).split(BATCH):
        c = None if classes is None else classes[some]
        made.append(to_float(to_uint8(given.synthesis(given.mapping(z[some], c)).clamp(0, 1))))
    return torch.cat(made)[:count]


def generator_name(given: Any, data: DataSpec, side: int) -> str:
    """The named weights, or the shipped generator of this data set at this size.

    Raises:
        MissingFile: none is shipped for it.
    """
    if given is not None:
        return str(given)
    for name in generators(data, side):
        return name
    raise MissingFile(
        f"no generator is shipped for {data.name} at {side} pixels; train one with `advgen train stylegan2 --arg "
        f"data={data.name} --arg size={side}` and name it with weights=PATH."
    )


def generators(data: DataSpec, side: int) -> list[str]:
    """The shipped generators of a data set at this size."""
    cards = _cards("generator")
    return [name for name, card in cards if card.args.get("data") == data.name and card.args.get("size") == side]


def generator(name: str, device: torch.device) -> nn.Module:
    """Frozen, in eval mode."""
    return load_stylegan2(name).generator.to(device).eval().requires_grad_(False)


def encodes(inversion: object) -> bool:
    """Whether an inversion begins with an encoder."""
    return inversion in ("encoder", HYBRID)


def inverter(inversion: str, steps: int | None, given: nn.Module, encoder: nn.Module | None, perceptual: Any) -> Any:
    """The inverter that an attack's `inversion` and `inversion_steps` ask for; in W+ where it optimises latents."""
    if inversion == "encoder":
        method = Method(inversion)
    else:  # pivots lie in w, which its method knows
        method = Method(inversion, space=None if inversion == "pivotal" else "w+", steps=steps)
    return method.make(given, perceptual, encoder)  # type: ignore[arg-type]


def clip(model: str) -> Any:
    """An encoder of texts and images by name or file."""
    from advgen.embeddings.encoders.clip import CLIP

    return CLIP(model)


def direction_hashes(along: str) -> dict[str, str]:
    """Of the files that an attack's `along` names; none for SeFa, which hangs on the generator alone.

    Raises:
        MissingFile: there is no such file.
    """
    if not along or along.startswith("sefa:"):
        return {}
    missing = next((file for file in along.split("+") if not Path(file).is_file()), None)
    if missing is not None:
        raise MissingFile(f"there is no file {missing!r} of a direction; `advgen edit` keeps one, or take sefa:8.")
    return {f"attack:{file}": blake2b(Path(file).read_bytes(), digest_size=32).hexdigest() for file in along.split("+")}


def directions(along: str, given: nn.Module) -> torch.Tensor:
    """(K, L, D) that an attack's `along` names: sefa:K, or files of directions of w joined by +.

    Raises:
        BadArgument: a number that is none, or a direction that moves style channels instead of w.
    """
    if along.startswith("sefa:"):
        count = along.removeprefix("sefa:")
        if not count.isdigit() or not 1 <= int(count) <= given.w_dim:  # type: ignore[operator]
            raise BadArgument(f"sefa: takes a number of directions from 1 to {given.w_dim}, got {count!r}.")
        rows = sefa(given).directions[: int(count)]  # type: ignore[arg-type]
        return rows[:, None].expand(-1, int(given.num_ws), -1).clone()  # type: ignore[arg-type]
    shifts = [load_direction(Path(file), given).shift for file in along.split("+")]  # type: ignore[arg-type]
    if any(shift.w is None or shift.s is not None for shift in shifts):
        raise BadArgument("a semantic attack moves w, and a direction given to it moves style channels.")
    return torch.cat([shift.w for shift in shifts if shift.w is not None])


def _cards(kind: str) -> list[tuple[str, Card]]:
    found = [(name, checkpoints.read_card(checkpoints.places()[0] / f"{name}.safetensors")) for name in zoo.shipped()]
    return [(name, card) for name, card in found if card.kind == kind]
