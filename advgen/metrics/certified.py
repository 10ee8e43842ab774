"""Certified robustness by linear relaxation: a bound that no attack inside the ball can break.

CROWN: every ReLU is enclosed between two lines, and the margin logit_y - logit_k is carried backwards through the
layers as a linear function of the input, whose minimum over a box is known. The pre-activations that the lines need are
bounded in the same way, layer by layer; those of the first layer exactly. The lower line has slope 1 where the
pre-activation's upper bound outweighs its lower one, else 0 (the adaptive choice of section 3.2).

Zhang, Weng, Chen, Hsieh and Daniel 2018, "Efficient neural network robustness certification with general activation
functions", arXiv 1811.00866, theorem 3.2 and table 2.
"""

import copy
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from advgen.core.errors import BadArgument

ELEMENTS_AT_ONCE = 2**22  # of the largest tensor of coefficients: 32 MiB in float64


class _Box(NamedTuple):
    low: Tensor  # (1, ...), of one image
    high: Tensor


def certified(
    layers: Iterable[nn.Module],
    images: Tensor,
    labels: Tensor,
    radius: float,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
) -> Tensor:
    """Whether each image keeps its label under every change within `radius` in Linf and [0, 1], (N,) bool.

    False says nothing. See `margin_bound` for the arguments. The arithmetic is float64, so a certificate holds for the
    network in float32 up to that network's own rounding (about 1e-6 of its logits).
    """
    return margin_bound(layers, images, labels, radius, mean=mean, std=std) > 0


@torch.no_grad()
def margin_bound(
    layers: Iterable[nn.Module],
    images: Tensor,
    labels: Tensor,
    radius: float,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
) -> Tensor:
    """A lower bound (N,), float64, of min over k != y of logit_y - logit_k over the Linf ball, cut with [0, 1].

    layers: an `nn.Sequential` or list of Conv2d, Linear, ReLU and Flatten, ending in a Linear. images: (N, C, H, W) in
    [0, 1]; `radius` is in the same unit, and `mean` and `std` (a value a channel) are what the network subtracts and
    divides by. Memory is bounded, whatever N.

    Raises:
        BadArgument: another kind of layer, or a negative radius.
    """
    network = [_copied(layer) for layer in layers]
    if not network or not isinstance(network[-1], nn.Linear):
        raise BadArgument("a network to certify must end in a Linear layer that gives its logits.")
    if not radius >= 0:
        raise BadArgument(f"radius must be 0 or more, got {radius}.")
    if not len(images):
        return torch.empty(0, dtype=torch.float64)
    shapes = _shapes(network, images[:1].double())
    bounds = []
    for image, label in zip(images.double().split(1), labels.split(1)):
        box = _Box((image - radius).clamp(0, 1), (image + radius).clamp(0, 1))
        if mean is not None and std is not None:
            box = _Box(_normalised(box.low, mean, std), _normalised(box.high, mean, std))
        bounds.append(_margin_bound(network, shapes, box, label))
    return torch.cat(bounds)


def _margin_bound(network: list[nn.Module], shapes: list[torch.Size], box: _Box, label: Tensor) -> Tensor:
    activations: dict[int, _Box] = {}
    for place, layer in enumerate(network):
        if isinstance(layer, nn.ReLU):
            activations[place] = _layer_bounds(network, shapes, place, activations, box)
    classes = shapes[-1].numel()
    unit = torch.eye(classes, dtype=torch.float64, device=label.device)
    rows = unit[label].unsqueeze(1) - unit  # (1, K, K): row k is logit_y - logit_k
    margins = _lower(network, shapes, len(network), rows, activations, box)
    return margins.masked_fill(unit[label].bool(), torch.inf).amin(1)


def _layer_bounds(
    network: list[nn.Module], shapes: list[torch.Size], place: int, activations: dict[int, _Box], box: _Box
) -> _Box:
    """Bounds of every value that goes into ReLU `place`."""
    since = max(activations, default=-1) + 1
    before = activations[since - 1] if activations else None
    simple = _interval(
        network[since:place], box if before is None else _Box(before.low.clamp(min=0), before.high.clamp(min=0))
    )
    if before is None:
        return simple  # exact: nothing but affine maps so far
    # Where interval bounds already fix the sign, the ReLU is a line, and tighter bounds would not change it.
    low, high = simple.low.flatten(), simple.high.flatten()
    unsure = ((low < 0) & (high > 0)).nonzero()[:, 0]
    at_once = max(1, ELEMENTS_AT_ONCE // max(shape.numel() for shape in shapes))
    for some in unsure.split(at_once):
        rows = torch.zeros(len(some), len(low), dtype=low.dtype, device=low.device)
        rows[torch.arange(len(some)), some] = 1
        rows = rows.view(1, -1, *shapes[place])
        low[some] = _lower(network, shapes, place, rows, activations, box)[0].maximum(low[some])
        high[some] = (-_lower(network, shapes, place, -rows, activations, box))[0].minimum(high[some])
    return _Box(low.view_as(simple.low), high.view_as(simple.high))


def _lower(
    network: list[nn.Module],
    shapes: list[torch.Size],
    place: int,
    rows: Tensor,
    activations: dict[int, _Box],
    box: _Box,
) -> Tensor:
    """Lower bounds (1, M) of M linear functions of what goes into layer `place`; rows (1, M, *shape)."""
    constant = rows.new_zeros(1, rows.shape[1])
    for before in reversed(range(place)):
        layer = network[before]
        if isinstance(layer, nn.ReLU):
            rows, added = _through_relu(rows, activations[before])
        elif isinstance(layer, nn.Linear):
            rows, added = rows @ layer.weight, rows @ layer.bias
        elif isinstance(layer, nn.Conv2d):
            added = rows.sum((-2, -1)) @ layer.bias
            rows = _transposed(layer, rows, shapes[before])
        else:
            rows, added = rows.reshape(*rows.shape[:2], *shapes[before]), 0.0
        constant = constant + added
    flat = rows.flatten(2)
    low, high = box.low.flatten(1).unsqueeze(2), box.high.flatten(1).unsqueeze(2)
    return (flat.clamp(min=0) @ low + flat.clamp(max=0) @ high).squeeze(2) + constant


def _through_relu(rows: Tensor, inputs: _Box) -> tuple[Tensor, Tensor]:
    """Each ReLU replaced by the line that bounds it on the side that its coefficient asks for (table 2)."""
    low, high = inputs.low.clamp(max=0).unsqueeze(1), inputs.high.clamp(min=0).unsqueeze(1)
    upper_slope = high / (high - low).clamp(min=torch.finfo(high.dtype).tiny)
    lower_slope = (high > -low).to(high.dtype)
    positive, negative = rows.clamp(min=0), rows.clamp(max=0)
    constant = (negative * (-low * upper_slope)).flatten(2).sum(2)
    return positive * lower_slope + negative * upper_slope, constant


def _interval(affine: list[nn.Module], box: _Box) -> _Box:
    """The exact range of one affine map over a box (of several, an enclosure)."""
    middle, reach = (box.low + box.high) / 2, (box.high - box.low) / 2
    for layer in affine:
        if isinstance(layer, nn.Linear):
            middle, reach = layer(middle), functional.linear(reach, layer.weight.abs())
        elif isinstance(layer, nn.Conv2d):
            middle, reach = (
                layer(middle),
                functional.conv2d(
                    reach, layer.weight.abs(), None, layer.stride, layer.padding, layer.dilation, layer.groups
                ),
            )
        else:
            middle, reach = layer(middle), layer(reach)
    return _Box(middle - reach, middle + reach)


def _transposed(layer: nn.Conv2d, rows: Tensor, input_shape: torch.Size) -> Tensor:
    """Coefficients on a convolution's output as coefficients on its input."""
    flat = rows.flatten(0, 1)
    # A stride may leave the last rows and columns of the input unread; they get coefficients of zero.
    unread = [
        wanted - ((side - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1)
        for wanted, side, stride, padding, dilation, kernel in zip(
            input_shape[-2:], flat.shape[-2:], layer.stride, layer.padding, layer.dilation, layer.kernel_size
        )
    ]
    back = functional.conv_transpose2d(
        flat, layer.weight, None, layer.stride, layer.padding, unread, layer.groups, layer.dilation
    )
    return back.view(*rows.shape[:2], *input_shape)


def _copied(layer: nn.Module) -> nn.Module:
    """A float64 copy with a bias, of a kind that the bound knows."""
    plain = isinstance(layer, nn.ReLU | nn.Flatten | nn.Linear)
    if isinstance(layer, nn.Conv2d):
        plain = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    if not plain:
        raise BadArgument(
            f"a network to certify is made of Conv2d (zero padding, as numbers), Linear, ReLU and Flatten, got {layer}."
        )
    copied = copy.deepcopy(layer).double()
    if isinstance(copied, nn.Linear | nn.Conv2d) and copied.bias is None:
        copied.bias = nn.Parameter(copied.weight.new_zeros(len(copied.weight)))
    return copied


def _shapes(network: list[nn.Module], image: Tensor) -> list[torch.Size]:
    """The shape of what goes into each layer, and of the logits at the end, without N."""
    shapes = [image.shape[1:]]
    for layer in network:
        image = layer(image)
        shapes.append(image.shape[1:])
    return shapes


def _normalised(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    return (images - images.new_tensor(mean).view(1, -1, 1, 1)) / images.new_tensor(std).view(1, -1, 1, 1)
