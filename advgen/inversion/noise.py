"""Noise maps as something to search: where they start, how they stay noise.

Normalisation and regularisation: Karras et al., arXiv 1912.04958, appendix D; maps optimised after the latents, not
beside them: Image2StyleGAN++ (Abdal et al., arXiv 1911.11544, section 3).
"""

from collections.abc import Callable, Container, Mapping, Sequence

from torch import Tensor
from torch.nn import functional

from advgen.core.errors import BadArgument
from advgen.core.rng import SampleRng
from advgen.core.types import Generator

_PREFIX = "noise"
_MAP = (1, 2, 3)  # dimensions of one sample's map
_SMALLEST = 8  # pixels; correlations are taken down to this size


def stored_maps(generator: Generator) -> list[Tensor]:
    """The generator's constant noise maps, each (R, R).

    Raises:
        BadArgument: it has none.
    """
    layers = getattr(getattr(generator, "synthesis", None), "convs", None)
    if layers is None:
        raise BadArgument(
            f"noise maps were asked for, and a {type(generator).__name__} has none; leave them out (noise_steps 0)."
        )
    return [layer.noise_const.detach() for layer in layers()]


def starting_maps(generator: Generator, n: int, rng: SampleRng | None) -> dict[str, Tensor]:
    """Variables for N samples, each (N, 1, R, R): the stored maps, or drawn from each sample's own stream."""
    maps = stored_maps(generator)
    if rng is None:
        return {_name(i): each.expand(n, 1, -1, -1).clone() for i, each in enumerate(maps)}
    return {_name(i): rng.normal((1, *each.shape)).to(each) for i, each in enumerate(maps)}


def maps_of(variables: Mapping[str, Tensor]) -> list[Tensor] | None:
    """The noise maps among the variables, in the generator's order; None where there are none."""
    count = sum(name.startswith(_PREFIX) for name in variables)
    return [variables[_name(i)] for i in range(count)] or None


def as_variables(maps: Sequence[Tensor]) -> dict[str, Tensor]:
    """The other way round."""
    return {_name(i): each for i, each in enumerate(maps)}


def normalised(variables: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The maps among the variables at mean 0 and mean square 1."""
    made = {}
    for name, each in variables.items():
        if name.startswith(_PREFIX):
            centred = each - each.mean(_MAP, keepdim=True)
            made[name] = centred * centred.square().mean(_MAP, keepdim=True).clamp(min=1e-12).rsqrt()
    return made


def moments_kept(start: Mapping[str, Tensor]) -> Callable[[dict[str, Tensor], Container[str]], None]:
    """A function that gives maps that have moved the mean and variance again that they have in `start`."""
    means = {name: each.mean(_MAP, keepdim=True) for name, each in start.items() if name.startswith(_PREFIX)}
    sizes = {name: (start[name] - mean).square().mean(_MAP, keepdim=True).sqrt() for name, mean in means.items()}

    def restore(variables: dict[str, Tensor], moved: Container[str]) -> None:
        for name, each in normalised({name: variables[name] for name in means if name in moved}).items():
            variables[name] = each * sizes[name] + means[name]

    return restore


def correlation(maps: Sequence[Tensor]) -> Tensor:
    """(N,) what keeps pictures out of noise: squared correlations of neighbouring pixels at every scale from 8 up.

    A map of unit variance that is halved by averaging is multiplied by 2 there, to be of unit variance again.
    """
    total = maps[0].new_zeros(len(maps[0]))
    for each in maps:
        while True:
            for dim in (2, 3):
                total = total + (each * each.roll(1, dim)).mean((1, 2, 3)).square()
            if each.shape[-1] <= _SMALLEST:
                break
            each = functional.avg_pool2d(each, 2) * 2
    return total


def _name(index: int) -> str:
    return f"{_PREFIX}{index:02d}"
