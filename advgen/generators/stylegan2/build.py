"""Networks from tensors under official names: the sizes are read off the tensors, every shape is checked."""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from advgen.core.errors import BadArgument, BadFile
from advgen.generators.stylegan2.config import (
    MAX_RESOLUTION,
    Architecture,
    DiscriminatorConfig,
    GeneratorConfig,
    sizes,
)
from advgen.generators.stylegan2.discriminator import StyleGAN2Discriminator
from advgen.generators.stylegan2.filters import binomial_filter
from advgen.generators.stylegan2.generator import StyleGAN2Generator

Network = TypeVar("Network", bound=nn.Module)
MAX_SIDE = 2**20  # of a tensor; a tensor without numbers could claim any
MAX_LAYERS = 64  # of a mapping; the papers have 8
_FIR = ".resample_filter"


def generator_of(
    state: Mapping[str, Tensor], *, conv_clamp: float | None = None, normalisation: str = "demodulation"
) -> tuple[StyleGAN2Generator, tuple[str, ...]]:
    """The generator in float32 and eval mode, and sentences about what the file did not hold.

    Raises:
        BadFile: a tensor is missing, unknown, or of the wrong shape; the sentence goes on from the file's name.
    """
    state, notes = dict(state), []
    resolution = _resolution(state, "synthesis.b{}.conv1.weight", "generator")
    top = f"synthesis.b{resolution}"
    w_dim = _shape(state, "synthesis.b4.conv1.affine.weight", 2)[1]
    c_dim = _shape(state, "mapping.embed.weight", 2)[1] if "mapping.embed.weight" in state else 0
    config = _checked(
        GeneratorConfig,
        resolution=resolution,
        widths=tuple(_shape(state, f"synthesis.b{size}.conv1.weight", 4)[0] for size in sizes(resolution)),
        channels=_shape(state, f"{top}.torgb.weight", 4)[0],
        z_dim=_shape(state, "mapping.fc0.weight", 2)[1] - (w_dim if c_dim else 0),
        w_dim=w_dim,
        c_dim=c_dim,
        mapping_layers=_layers(state),
        architecture=_architecture(state, f"{top}.skip.weight", "synthesis.b4.torgb.weight"),
        conv_clamp=conv_clamp,
        normalisation=normalisation,
    )
    missing_mean = "mapping.w_avg" not in state
    if missing_mean:
        state["mapping.w_avg"] = torch.zeros(w_dim)
        notes.append("the mean of w was not in the file: it was measured over 4096 fixed z")
    net = _on_meta(StyleGAN2Generator, config)
    drawn = _completed(state, net)
    if drawn:
        notes.append(f"{drawn} stored noise maps were not in the file: they were drawn from a fixed seed")
    _filled(net, state)
    if missing_mean:
        net.mapping.w_avg.copy_(net.mapping.measured_mean())
    return net, tuple(notes)


def discriminator_of(
    state: Mapping[str, Tensor], *, conv_clamp: float | None = None, group: int | None = 4
) -> StyleGAN2Discriminator:
    """The discriminator in float32 and eval mode.

    Raises:
        BadFile: a tensor is missing, unknown, or of the wrong shape; the sentence goes on from the file's name.
    """
    state = dict(state)
    resolution = _resolution(state, "b{}.conv0.weight", "discriminator")
    above = sizes(resolution)[1:]
    first = _shape(state, "b4.fc.weight", 2)[0]
    c_dim = _shape(state, "mapping.embed.weight", 2)[1] if "mapping.embed.weight" in state else 0
    config = _checked(
        DiscriminatorConfig,
        resolution=resolution,
        widths=(first, *(_shape(state, f"b{size}.conv0.weight", 4)[0] for size in above)),
        channels=_shape(state, f"b{resolution}.fromrgb.weight", 4)[1],
        c_dim=c_dim,
        cmap_dim=_shape(state, "b4.out.weight", 2)[0] if c_dim else 0,
        mapping_layers=_layers(state),
        architecture=_architecture(state, f"b{resolution}.skip.weight", "b4.fromrgb.weight"),
        group=group,
        deviations=_shape(state, "b4.conv.weight", 4)[1] - first,
        conv_clamp=conv_clamp,
    )
    net = _on_meta(StyleGAN2Discriminator, config)
    _completed(state, net)
    _filled(net, state)
    return net


def _resolution(state: Mapping[str, Tensor], pattern: str, what: str) -> int:
    found = {4}
    matcher = re.compile(re.escape(pattern).replace(r"\{\}", r"(\d{1,5})"))
    for name in state:
        match = matcher.fullmatch(name)
        if match:
            found.add(int(match[1]))
    top = max(found)
    if top > MAX_RESOLUTION or top & (top - 1) or found != set(sizes(top)):
        raise BadFile(f"is no StyleGAN2 {what} of a power of two up to {MAX_RESOLUTION} pixels")
    return top


def _layers(state: Mapping[str, Tensor]) -> int:
    return sum(f"mapping.fc{i}.weight" in state for i in range(MAX_LAYERS))


def _architecture(state: Mapping[str, Tensor], branch: str, each: str) -> Architecture:
    if branch in state:
        return "resnet"
    return "skip" if each in state else "orig"


def _shape(state: Mapping[str, Tensor], name: str, dimensions: int) -> tuple[int, ...]:
    if name not in state:
        raise BadFile(f"holds no StyleGAN2: it lacks {name}")
    shape = tuple(state[name].shape)
    if len(shape) != dimensions or not all(1 <= n <= MAX_SIDE for n in shape):
        raise BadFile(f"holds {name} of the unexpected shape {shape}")
    return shape


def _checked(kind: type, **sizes_: object) -> GeneratorConfig | DiscriminatorConfig:
    try:
        return kind(**sizes_)
    except BadArgument as error:
        raise BadFile(f"holds a network of impossible sizes: {str(error).rstrip('.')}") from None


def _on_meta(kind: type[Network], config: object) -> Network:
    """Takes no memory: sizes come from a file and may not fit each other."""
    with torch.device("meta"), _Unfilled():
        return kind(config)


class _Unfilled(TorchFunctionMode):
    """Leaves random weights out: for tensors without memory torch would first import its decompositions (2 s)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func is Tensor.normal_ else func(*args, **(kwargs or {}))


def _completed(state: dict[str, Tensor], net: nn.Module) -> int:
    """Adds filters and noise maps that a file may leave out; drops the filter each layer of an official file has."""
    own = net.state_dict()
    filters = {name.removesuffix(_FIR): state.pop(name) for name in list(state) if name.endswith(_FIR)}
    drawn = 0
    for name in own:
        if name.endswith(_FIR):
            state[name] = _filter_of(filters, name.removesuffix(_FIR))
        elif name.endswith("noise_const") and name not in state:
            shape = own[name].shape
            state[name] = torch.randn(shape, generator=torch.Generator().manual_seed(shape[0]))
            drawn += 1
    return drawn


def _filter_of(filters: Mapping[str, Tensor], block: str) -> Tensor:
    """The one filter of a block. Its layers hold theirs, too; those that resample nothing hold another one in vain."""
    resampling = ("skip", "conv0") if block.startswith("synthesis.") else ("skip", "conv1")
    found = [filters[name] for name in (block, *(f"{block}.{layer}" for layer in resampling)) if name in filters]
    if not found:
        return binomial_filter()
    fir = found[0]
    if any(f.shape != fir.shape or not f.equal(fir) for f in found):
        raise BadFile(f"resamples with different filters in {block}, which is not supported")
    if not fir.is_floating_point() or not all(2 <= n <= 32 for n in fir.shape) or fir.ndim not in (1, 2):
        raise BadFile(f"resamples with a filter of the unexpected shape {tuple(fir.shape)}")
    fir = torch.outer(fir, fir) if fir.ndim == 1 else fir  # long filters are stored as their factor
    if fir.shape[0] != fir.shape[1]:
        raise BadFile(f"resamples with a filter of the unexpected shape {tuple(fir.shape)}")
    return fir.clone()


def _filled(net: nn.Module, state: Mapping[str, Tensor]) -> None:
    own = net.state_dict()
    lacking, unknown = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    if lacking:
        raise BadFile(f"holds no whole StyleGAN2: it lacks {lacking[0]}")
    if unknown:
        raise BadFile(f"holds {unknown[0][:80]!r}, which this StyleGAN2 does not have")
    for name, tensor in own.items():
        if tensor.shape != state[name].shape and not name.endswith("resample_filter"):
            raise BadFile(f"holds {name} of the shape {tuple(state[name].shape)} where {tuple(tensor.shape)} fits")
        if not state[name].is_floating_point():
            raise BadFile(f"holds {name} as {state[name].dtype}; floating-point weights were expected")
    for name in own:
        owner, _, last = name.rpartition(".")
        module = net.get_submodule(owner)
        tensor = state[name].to(torch.float32).contiguous()
        if tensor.ndim == 4:  # laid out in memory as the network's own
            tensor = torch.empty_strided(tensor.shape, own[name].stride()).copy_(tensor)
        if last in module._parameters:
            module._parameters[last] = nn.Parameter(tensor)
        else:
            module._buffers[last] = tensor
    net.eval()
