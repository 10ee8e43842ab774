"""Our convolution against torch's own, to the second derivative, and what its derivatives leave out."""

import pytest
import torch
from torch.nn import functional

from advgen.generators.stylegan2 import convolution
from advgen.generators.stylegan2.convolution import Geometry, convolve
from advgen.generators.stylegan2.filters import conv_down, conv_up, upfirdn2d

GEOMETRIES = [
    Geometry(),
    Geometry(padding=1),
    Geometry(stride=2),
    Geometry(stride=2, padding=1),
    Geometry(stride=3, padding=1, groups=2),
    Geometry(padding=2, groups=2),
    Geometry(stride=2, transposed=True),
    Geometry(stride=2, padding=1, transposed=True, output_padding=(1, 0)),
    Geometry(stride=2, transposed=True, groups=2),
]


def tensors(geometry, *, height=6, width=5, dtype=torch.float64):
    ins, outs, groups = 4, 6, geometry.groups
    shape = (ins, outs // groups, 3, 3) if geometry.transposed else (outs, ins // groups, 3, 3)
    made = [
        torch.randn(2, ins, height, width, dtype=dtype),
        torch.randn(shape, dtype=dtype),
        torch.randn(outs).to(dtype),
    ]
    return [t.requires_grad_() for t in made]


def by_torch(features, weight, bias, g):
    if g.transposed:
        return functional.conv_transpose2d(features, weight, bias, g.stride, g.padding, g.output_padding, g.groups)
    return functional.conv2d(features, weight, bias, g.stride, g.padding, groups=g.groups)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_values_and_first_and_second_derivatives_are_those_of_torch(geometry):
    torch.manual_seed(0)
    given = tensors(geometry)
    made, expected = convolve(*given, geometry), by_torch(*given, geometry)
    torch.testing.assert_close(made, expected)
    weights = torch.randn_like(made)
    firsts = [torch.autograd.grad((y.tanh() * weights).sum(), given, create_graph=True) for y in (made, expected)]
    for one, other in zip(*firsts):
        torch.testing.assert_close(one, other)
    seconds = [torch.autograd.grad(sum(g.square().sum() for g in first), given) for first in firsts]
    for one, other in zip(*seconds):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("geometry", GEOMETRIES[:7], ids=str)
def test_the_third_derivative_is_that_of_torch(geometry):
    """A derivative is made of the same convolutions, so there is no last one."""
    torch.manual_seed(0)
    features, weight, bias = tensors(geometry, height=4, width=4)
    found = []
    for made in (convolve(features, weight, bias, geometry), by_torch(features, weight, bias, geometry)):
        value = made.tanh().sum()
        for _ in range(2):
            (gradient,) = torch.autograd.grad(value, features, create_graph=True)
            value = gradient.square().sum()
        found.append(torch.autograd.grad(value, weight)[0])
    torch.testing.assert_close(*found)


def test_a_gradient_to_features_alone_computes_none_to_the_weights(monkeypatch):
    """R1 and path lengths start with one; the engine leaves the rest out."""
    calls = []
    plain = convolution._WeightGradient.apply
    monkeypatch.setattr(convolution._WeightGradient, "apply", lambda *args: calls.append(1) or plain(*args))
    features, weight, bias = tensors(Geometry(padding=1))
    made = convolve(features, weight, bias, Geometry(padding=1)).tanh().sum()
    (gradient,) = torch.autograd.grad(made, features, create_graph=True)
    assert not calls
    gradient.square().sum().backward()
    assert calls
    assert weight.grad is not None


def test_a_batch_of_gradients_is_taken_at_once():
    """For Jacobians: `is_grads_batched`."""
    features, weight, bias = tensors(Geometry(padding=1))
    made = convolve(features, weight, bias, Geometry(padding=1))
    directions = torch.randn(3, *made.shape, dtype=made.dtype)
    (batched,) = torch.autograd.grad(made, features, directions, retain_graph=True, is_grads_batched=True)
    for direction, row in zip(directions, batched):
        (alone,) = torch.autograd.grad(made, features, direction, retain_graph=True)
        torch.testing.assert_close(row, alone)


@pytest.mark.parametrize("frozen", [0, 1])
def test_what_needs_no_gradient_gets_none(frozen):
    given = tensors(Geometry())
    given[frozen].requires_grad_(False)
    convolve(*given, Geometry()).sum().backward()
    assert [t.grad is None for t in given] == [i == frozen for i in range(3)]


def test_autocast_computes_in_bfloat16_and_gradients_come_back_in_float32():
    given = tensors(Geometry(padding=1), dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        made = convolve(*given, Geometry(padding=1))
    assert made.dtype == torch.bfloat16
    made.float().sum().backward()
    assert all(t.grad.dtype == torch.float32 for t in given)
    torch.testing.assert_close(made.float(), by_torch(*given, Geometry(padding=1)), atol=0.1, rtol=0.05)


@pytest.mark.parametrize("fir", [torch.rand(4, 4), torch.rand(3, 5), torch.rand(1, 2)])
@pytest.mark.parametrize(("up", "down", "padding"), [(1, 1, (2, 1)), (2, 1, (2, 1)), (1, 2, (1, 1)), (3, 2, (-1, 4))])
def test_the_gradient_of_resampling_is_its_adjoint(fir, up, down, padding):
    """<A x, y> = <x, A^T y> for lopsided filters and crops, and A^T is differentiable like A."""
    torch.manual_seed(0)
    x = torch.randn(2, 3, 7, 6, dtype=torch.float64, requires_grad=True)
    made = upfirdn2d(x, fir.double(), up=up, down=down, padding=padding)
    y = torch.randn_like(made, requires_grad=True)
    (back,) = torch.autograd.grad(made, x, y, create_graph=True)
    torch.testing.assert_close((made * y).sum(), (x * back).sum())
    direction = torch.randn_like(x)
    (again,) = torch.autograd.grad(back, y, direction)
    torch.testing.assert_close(again, upfirdn2d(direction, fir.double(), up=up, down=down, padding=padding))


@pytest.mark.parametrize("taps", [2, 4, 6])
def test_doubling_is_the_adjoint_of_halving_with_the_mirrored_filter(taps):
    torch.manual_seed(0)
    fir, weight = torch.rand(taps, taps, dtype=torch.float64), torch.randn(2, 3, 3, 3, dtype=torch.float64)
    x = torch.randn(1, 3, 6, 6, dtype=torch.float64, requires_grad=True)
    made = conv_up(x, weight, fir)
    y = torch.randn_like(made)
    (back,) = torch.autograd.grad(made, x, y)
    torch.testing.assert_close(back, conv_down(y, weight.transpose(0, 1), fir.flip(0, 1)) * 4)
