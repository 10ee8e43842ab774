"""The names that tensors have in rosinality's files and in official ones, beside those of the networks here.

The networks' own names are the official ones, save that each official layer holds a filter of its own.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from advgen.core.errors import BadFile
from advgen.generators.stylegan2.filters import binomial_filter
from advgen.generators.stylegan2.layers import Conv
from advgen.generators.stylegan2.synthesis import SynthesisLayer


class Same(NamedTuple):
    """One tensor under both names."""

    official: str
    rosinality: str
    lead: int = 0  # dimensions of size 1 in front, in rosinality's file
    trail: int = 0  # and behind
    optional: bool = False


def official_generator(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A generator of rosinality's under official names.

    Raises:
        BadFile: tensors are missing, or there are unknown ones.
    """
    blocks = _count(tensors, "to_rgbs.{}.conv.weight")
    layers = _count(tensors, "style.{}.weight", first=1)
    found = _renamed(tensors, list(_generator(blocks, layers)), "generator")
    kernels = [t for name, t in tensors.items() if name.endswith(".kernel")]
    # Filters that follow zero insertion are stored with their gain of 4.
    fir = _one_filter(kernels) / 4 if kernels else binomial_filter()
    return {**found, **{f"synthesis.b{4 << i}.resample_filter": fir for i in range(blocks + 1)}}


def official_discriminator(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A discriminator of rosinality's under official names.

    Raises:
        BadFile: tensors are missing, or there are unknown ones.
    """
    blocks = _count(tensors, "convs.{}.conv1.0.weight", first=1)
    found = _renamed(tensors, list(_discriminator(blocks)), "discriminator")
    kernels = [t for name, t in tensors.items() if name.endswith(".kernel")]
    fir = _one_filter(kernels) if kernels else binomial_filter()
    return {**found, **{f"b{8 << i}.resample_filter": fir for i in range(blocks)}}


def rosinality_generator(state: Mapping[str, Tensor], blocks: int, layers: int) -> dict[str, Tensor]:
    """The other way; `blocks` above 4x4, `layers` of the mapping."""
    made = _back(state, _generator(blocks, layers))
    for i in range(blocks):
        fir = state[f"synthesis.b{8 << i}.resample_filter"] * 4
        made[f"convs.{2 * i}.conv.blur.kernel"] = made[f"to_rgbs.{i}.upsample.kernel"] = fir
    return made


def rosinality_discriminator(state: Mapping[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """The other way."""
    made = _back(state, _discriminator(blocks))
    for i in range(1, blocks + 1):
        fir = state[f"b{8 << (blocks - i)}.resample_filter"]
        made[f"convs.{i}.conv2.0.kernel"] = made[f"convs.{i}.skip.0.kernel"] = fir
    return made


def official_state(net: nn.Module) -> dict[str, Tensor]:
    """The tensors of a generator or discriminator, all that the official program's module of that kind holds."""
    state = dict(net.state_dict())
    for name, module in net.named_modules():
        if isinstance(module, Conv | SynthesisLayer):
            block = f"{name.rpartition('.')[0]}.resample_filter"
            state[f"{name}.resample_filter"] = state[block] if block in state else binomial_filter()
    return state


def _generator(blocks: int, layers: int) -> Iterator[Same]:
    for i in range(layers):
        for part in ("weight", "bias"):
            yield Same(f"mapping.fc{i}.{part}", f"style.{i + 1}.{part}")
    yield Same("synthesis.b4.const", "input.input", lead=1)
    yield from _layer("synthesis.b4.conv1", "conv1", 0)
    yield from _torgb("synthesis.b4.torgb", "to_rgb1")
    for i in range(blocks):
        at = f"synthesis.b{8 << i}"
        yield from _layer(f"{at}.conv0", f"convs.{2 * i}", 2 * i + 1)
        yield from _layer(f"{at}.conv1", f"convs.{2 * i + 1}", 2 * i + 2)
        yield from _torgb(f"{at}.torgb", f"to_rgbs.{i}")


def _layer(official: str, theirs: str, index: int) -> Iterator[Same]:
    yield Same(f"{official}.weight", f"{theirs}.conv.weight", lead=1)
    yield from _affine(official, theirs)
    yield Same(f"{official}.bias", f"{theirs}.activate.bias")
    yield Same(f"{official}.noise_strength", f"{theirs}.noise.weight", lead=1)
    yield Same(f"{official}.noise_const", f"noises.noise_{index}", lead=2, optional=True)


def _torgb(official: str, theirs: str) -> Iterator[Same]:
    yield Same(f"{official}.weight", f"{theirs}.conv.weight", lead=1)
    yield from _affine(official, theirs)
    yield Same(f"{official}.bias", f"{theirs}.bias", lead=1, trail=2)


def _affine(official: str, theirs: str) -> Iterator[Same]:
    for part in ("weight", "bias"):
        yield Same(f"{official}.affine.{part}", f"{theirs}.conv.modulation.{part}")


def _discriminator(blocks: int) -> Iterator[Same]:
    top = 4 << blocks
    yield Same(f"b{top}.fromrgb.weight", "convs.0.0.weight")
    yield Same(f"b{top}.fromrgb.bias", "convs.0.1.bias")
    for i in range(1, blocks + 1):
        at = f"b{8 << (blocks - i)}"
        yield Same(f"{at}.conv0.weight", f"convs.{i}.conv1.0.weight")
        yield Same(f"{at}.conv0.bias", f"convs.{i}.conv1.1.bias")
        yield Same(f"{at}.conv1.weight", f"convs.{i}.conv2.1.weight")
        yield Same(f"{at}.conv1.bias", f"convs.{i}.conv2.2.bias")
        yield Same(f"{at}.skip.weight", f"convs.{i}.skip.1.weight")
    yield Same("b4.conv.weight", "final_conv.0.weight")
    yield Same("b4.conv.bias", "final_conv.1.bias")
    for official, place in (("fc", 0), ("out", 1)):
        for part in ("weight", "bias"):
            yield Same(f"b4.{official}.{part}", f"final_linear.{place}.{part}")


def _renamed(tensors: Mapping[str, Tensor], names: list[Same], what: str) -> dict[str, Tensor]:
    lacking = [same.rosinality for same in names if same.rosinality not in tensors and not same.optional]
    if lacking:
        raise BadFile(f"is no StyleGAN2 {what}: it lacks {lacking[0]}" + _more(lacking))
    unknown = sorted(set(tensors) - {same.rosinality for same in names})
    unknown = [name for name in unknown if not name.endswith(".kernel")]
    if unknown:
        raise BadFile(f"holds {unknown[0]!r}{_more(unknown)} that no {what} of StyleGAN2 has")
    found = {}
    for same in names:
        if same.rosinality in tensors:
            tensor = tensors[same.rosinality]
            ones = [*range(same.lead), *range(tensor.ndim - same.trail, tensor.ndim)]
            if tensor.ndim < same.lead + same.trail or any(tensor.shape[d] != 1 for d in ones):
                raise BadFile(f"holds {same.rosinality} of the unexpected shape {tuple(tensor.shape)}")
            found[same.official] = tensor.reshape(tensor.shape[same.lead : tensor.ndim - same.trail])
    return found


def _back(state: Mapping[str, Tensor], names: Iterator[Same]) -> dict[str, Tensor]:
    return {
        same.rosinality: state[same.official].reshape(
            (1,) * same.lead + tuple(state[same.official].shape) + (1,) * same.trail
        )
        for same in names
    }


def _one_filter(kernels: list[Tensor]) -> Tensor:
    if any(k.shape != kernels[0].shape or not k.equal(kernels[0]) for k in kernels):
        raise BadFile("resamples with different filters at different places, which is not supported")
    return kernels[0]


def _count(tensors: Mapping[str, Tensor], pattern: str, *, first: int = 0) -> int:
    count = 0
    while pattern.format(first + count) in tensors:
        count += 1
    return count


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
