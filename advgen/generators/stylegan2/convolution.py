"""Convolution whose derivatives of any order are convolutions again, as fast as itself.

torch takes a second derivative by the weights as a convolution with kernels as large as the feature maps, on a CPU six
times slower than the first one; R1 and path lengths live on it.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Geometry(NamedTuple):
    """How a kernel moves, for rows and columns alike."""

    stride: int = 1
    padding: int = 0
    transposed: bool = False
    output_padding: tuple[int, int] = (0, 0)  # rows and columns added behind, transposed only
    groups: int = 1

    def output(self, height: int, width: int, kernel: int) -> tuple[int, int]:
        """Height and width of what comes out."""
        if not self.transposed:
            return tuple((n + 2 * self.padding - kernel) // self.stride + 1 for n in (height, width))
        return tuple(
            (n - 1) * self.stride - 2 * self.padding + kernel + more
            for n, more in zip((height, width), self.output_padding)
        )

    def adjoint(self, height: int, width: int, kernel: int) -> "Geometry":
        """Of the gradient to features of this height and width; the kernel stays the same tensor."""
        if self.transposed:
            return self._replace(transposed=False, output_padding=(0, 0))
        back = self._replace(transposed=True)
        made = back.output(*self.output(height, width, kernel), kernel)
        return back._replace(output_padding=(height - made[0], width - made[1]))


def convolve(features: Tensor, weight: Tensor, bias: Tensor | None = None, geometry: Geometry | None = None) -> Tensor:
    """torch's convolution; `weight` is (O, I, k, k), transposed (I, O, k, k); autocast is respected."""
    geometry = geometry or Geometry()
    device = features.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        features, weight, bias = features.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    if not torch.is_grad_enabled():
        return _plain(features, weight, bias, geometry)
    by_weight = None
    if weight.requires_grad or (bias is not None and bias.requires_grad):
        by_weight = _ByWeight.apply(weight, bias, (features,), geometry)
    return _ByFeatures.apply(features, weight, bias, by_weight, geometry)


class _ByFeatures(torch.autograd.Function):
    """The convolution, and its gradient to the features.

    The gradient to the weights belongs to the node of `by_weight`, a placeholder, so that the engine leaves it out
    where only gradients to the features are asked for, as R1 and path lengths do first.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(
        features: Tensor, weight: Tensor, bias: Tensor | None, by_weight: Tensor | None, geometry: Geometry
    ) -> Tensor:
        return _plain(features, weight, bias, geometry)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        features, weight, _, by_weight, geometry = inputs
        ctx.by_weight = by_weight is not None
        ctx.adjoint = geometry.adjoint(*features.shape[-2:], weight.shape[-1])
        ctx.save_for_backward(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        (weight,) = ctx.saved_tensors
        to_features = convolve(gradient, weight, None, ctx.adjoint) if ctx.needs_input_grad[0] else None
        return to_features, None, None, gradient if ctx.by_weight else None, None


class _ByWeight(torch.autograd.Function):
    """Zeros, without memory, in the shape of the convolution; the gradient that arrives goes on to weight and bias.

    The features come in a tuple, where the engine does not see them: this node must not look like a way to them.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(weight: Tensor, bias: Tensor | None, held: tuple[Tensor], geometry: Geometry) -> Tensor:
        (features,) = held
        maps = weight.shape[1] * geometry.groups if geometry.transposed else weight.shape[0]
        size = geometry.output(*features.shape[-2:], weight.shape[-1])
        return features.new_zeros(()).expand(features.shape[0], maps, *size)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        weight, bias, (features,), ctx.geometry = inputs
        ctx.with_bias = bias is not None
        ctx.save_for_backward(weight, features)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        weight, features = ctx.saved_tensors
        to_weight, to_bias = _WeightGradient.apply(gradient, features, weight, ctx.with_bias, ctx.geometry)
        return to_weight, to_bias, None, None


class _WeightGradient(torch.autograd.Function):
    """Gradients to weight and bias, which are linear in the gradient that arrives and in the features."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        gradient: Tensor, features: Tensor, weight: Tensor, with_bias: bool, geometry: Geometry
    ) -> tuple[Tensor, Tensor | None]:
        _, to_weight, to_bias = torch.ops.aten.convolution_backward(
            gradient,
            features,
            weight,
            [gradient.shape[1]],
            [geometry.stride] * 2,
            [geometry.padding] * 2,
            [1, 1],
            geometry.transposed,
            list(geometry.output_padding),
            geometry.groups,
            [False, True, with_bias],
        )
        return to_weight, to_bias

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        gradient, features, weight, _, ctx.geometry = inputs
        ctx.adjoint = ctx.geometry.adjoint(*features.shape[-2:], weight.shape[-1])
        ctx.save_for_backward(gradient, features)

    @staticmethod
    def backward(ctx: Any, of_weight: Tensor, of_bias: Tensor | None) -> Any:
        gradient, features = ctx.saved_tensors
        to_gradient = to_features = None
        if ctx.needs_input_grad[0]:
            to_gradient = convolve(features, of_weight, of_bias, ctx.geometry)
        if ctx.needs_input_grad[1]:
            to_features = convolve(gradient, of_weight, None, ctx.adjoint)
        return to_gradient, to_features, None, None, None


def _plain(features: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    return torch.convolution(
        features,
        weight,
        bias,
        [geometry.stride] * 2,
        [geometry.padding] * 2,
        [1, 1],
        geometry.transposed,
        list(geometry.output_padding),
        geometry.groups,
    )
