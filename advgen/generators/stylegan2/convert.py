"""StyleGAN2 weights from one file format to another, with the difference that it made to the images.

Four formats are written. `.safetensors` of the platform: one file, names `G_ema.`, `G.` and `D.` followed by the
official ones. `.safetensors` of the official layout: one file a network, plain official names, what the official
program's own `load_state_dict` takes: NAME for the averaged generator, NAME-G for the raw one, NAME-D for the
discriminator. `.pt`: rosinality's. And `.pt2`: the averaged generator as a program of torch's, which is not read back.
"""

import io
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from advgen.core import checkpoints
from advgen.core.errors import BadArgument
from advgen.core.files import sha256, write_atomically
from advgen.core.specs import Card, Scalar
from advgen.generators.stylegan2.discriminator import StyleGAN2Discriminator
from advgen.generators.stylegan2.export import export
from advgen.generators.stylegan2.generator import StyleGAN2Generator
from advgen.generators.stylegan2.layouts import official_state, rosinality_discriminator, rosinality_generator
from advgen.generators.stylegan2.load import Loaded, load_stylegan2
from advgen.generators.stylegan2.sample import condition_of, latents

SEEDS = tuple(range(4))  # of the images that are compared
_PSI = 0.7


class Conversion(NamedTuple):
    """What was read and written."""

    source: str  # the format that was read
    largest_difference: float  # between images before and after, in [0, 1], over SEEDS with stored noise
    notes: tuple[str, ...]  # sentences: what the source lacked, what the new file cannot hold


def convert(source: Path, target: Path, *, layout: str = "platform") -> Conversion:
    """Writes the networks of `source` to `target`: `.safetensors` with cards, rosinality's `.pt`, or a `.pt2` program.

    `layout` is "platform" or "official"; the latter writes a file a network, see above.

    Raises:
        BadArgument: another suffix or layout, the same file, or a network that the format cannot hold.
        BadFile, MissingFile: the source cannot be read.
    """
    if target.suffix not in (".safetensors", ".pt", ".pt2"):
        raise BadArgument(
            f"{target} ends in {target.suffix or 'nothing'}; give a name that ends in .safetensors, in .pt for "
            "rosinality's format, or in .pt2 for a program of torch.export."
        )
    if layout not in ("platform", "official"):
        raise BadArgument(f"the layout is platform or official, got {layout!r}.")
    if layout == "official" and target.suffix != ".safetensors":
        raise BadArgument(f"the official layout is written to .safetensors; {target} ends in {target.suffix}.")
    if target.resolve() == source.resolve():
        raise BadArgument(f"{target} is the file that is read; give the new file another name.")
    loaded = load_stylegan2(source)
    if target.suffix == ".pt2":
        return _exported(loaded, target)
    lost: tuple[str, ...] = ()
    if target.suffix == ".pt":
        lost = _write_rosinality(loaded, target)
    elif layout == "official":
        lost = _write_official(loaded, source, target)
    else:
        _write_safetensors(loaded, source, target)
    again = load_stylegan2(target)
    difference = max(_difference(a, b) for a, b in _pairs(loaded, again))
    return Conversion(loaded.info.format, difference, (*loaded.info.notes, *lost))


def _pairs(one: Loaded, other: Loaded) -> list[tuple[StyleGAN2Generator, StyleGAN2Generator]]:
    pairs = [(one.generator, other.generator)]
    if one.raw_generator is not None and other.raw_generator is not None:
        pairs.append((one.raw_generator, other.raw_generator))
    return pairs


def _difference(one: StyleGAN2Generator, other: StyleGAN2Generator) -> float:
    return max(float((_image(one, seed) - _image(other, seed)).abs().max()) for seed in SEEDS)


@torch.no_grad()
def _image(net: StyleGAN2Generator, seed: int) -> Tensor:
    return net.synthesis(net.mapping(*_given(net, seed), psi=_PSI))


def _given(net: StyleGAN2Generator, seed: int) -> tuple[Tensor, ...]:
    """z, and the condition where there is one."""
    return (latents(net, [seed]), *([condition_of(net, seed % net.c_dim, 1)] if net.c_dim else []))


@torch.no_grad()
def _exported(loaded: Loaded, target: Path) -> Conversion:
    net = loaded.generator
    program = export(net, target)
    made = {seed: program(*_given(net, seed), torch.tensor(_PSI)) for seed in SEEDS}
    difference = max(float((image - _image(net, seed)).abs().max()) for seed, image in made.items())
    lost = "the program is the averaged generator with its stored noise; nothing else can be read back from it"
    return Conversion(loaded.info.format, difference, (*loaded.info.notes, lost))


def _networks(loaded: Loaded) -> dict[str, StyleGAN2Generator | StyleGAN2Discriminator]:
    networks = {"G_ema": loaded.generator, "G": loaded.raw_generator, "D": loaded.discriminator}
    return {name: net for name, net in networks.items() if net is not None}


def _write_safetensors(loaded: Loaded, source: Path, target: Path) -> None:
    tensors: dict[str, Tensor] = {}
    for name, net in _networks(loaded).items():
        tensors |= {f"{name}.{key}": tensor for key, tensor in net.state_dict().items()}
    checkpoints.save(target, tensors, _card(loaded, source, target))


def _write_official(loaded: Loaded, source: Path, target: Path) -> tuple[str, ...]:
    written = []
    for name, net in _networks(loaded).items():
        path = target if name == "G_ema" else target.with_stem(f"{target.stem}-{name}")
        checkpoints.save(path, official_state(net), _card(loaded, source, path))
        written.append(f"{name} stands in {path.name}")
    return tuple(written) if len(written) > 1 else ()


def _card(loaded: Loaded, source: Path, target: Path) -> Card:
    networks = _networks(loaded)
    args: dict[str, Scalar] = {"source": source.name, "source_sha256": sha256(source), "format": loaded.info.format}
    args["networks"] = " ".join(networks)
    args |= {f"{name}.conv_clamp": net.config.conv_clamp for name, net in networks.items()}
    if loaded.discriminator is not None:
        args["D.group"] = loaded.discriminator.config.group
    return Card(
        name=target.stem,
        kind="generator",
        recipe="converted",
        args=args,
        seed=0,
        data_hash="",
        file_hash="",
        metrics={},
        cost={},
        licence="that of the source file",
        made_with={"torch": torch.__version__},
    )


def _write_rosinality(loaded: Loaded, target: Path) -> tuple[str, ...]:
    config = loaded.generator.config
    reasons = (
        (config.c_dim, "a condition"),
        (config.architecture != "skip", f"a generator of the {config.architecture} architecture"),
        (config.channels != 3, f"images of {config.channels} channels"),
        (config.z_dim != config.w_dim, "a z of another length than w"),
    )
    for refused, what in reasons:
        if refused:
            raise BadArgument(f"rosinality's format has no room for {what}; write a .safetensors file instead.")
    lost = []
    if config.conv_clamp is not None:
        lost.append(f"the clamp of features at {config.conv_clamp:g} has no place in the file and was left out")
    content: dict[str, object] = {"g_ema": _theirs(loaded.generator), "latent_avg": loaded.generator.mean_w.clone()}
    if loaded.raw_generator is not None:
        content["g"] = _theirs(loaded.raw_generator)
        content["latent_avg_g"] = loaded.raw_generator.mean_w.clone()
    judge = loaded.discriminator
    if judge is not None:
        fits = judge.config.architecture == "resnet" and judge.config.group == 4 and judge.config.deviations == 1
        if fits and judge.config.resolution > 4:
            blocks = len(judge.config.widths) - 1
            content["d"] = _apart(rosinality_discriminator(judge.state_dict(), blocks))
        else:
            lost.append("the discriminator is of another kind than the file's and was left out")
    file = io.BytesIO()
    torch.save(content, file)
    write_atomically(target, file.getvalue())
    return tuple(lost)


def _theirs(net: StyleGAN2Generator) -> dict[str, Tensor]:
    return _apart(rosinality_generator(net.state_dict(), len(net.config.widths) - 1, net.config.mapping_layers))


def _apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in tensors.items()}
