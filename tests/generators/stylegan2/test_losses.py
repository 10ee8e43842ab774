"""The losses of StyleGAN2's training against closed forms, finite differences and plain autograd."""

import math

import pytest
import torch
from torch import nn

from advgen.generators.stylegan2 import losses
from advgen.generators.stylegan2.losses import (
    average_weights,
    lazy_adam,
    path_lengths,
    path_penalty,
    r1_penalty,
    track_mean,
)


def test_the_three_main_losses_of_undecided_logits_are_log_two():
    undecided = torch.zeros(4, 1)
    for loss in (losses.generator_loss, losses.discriminator_loss, losses.real_loss):
        assert float(loss(undecided)) == pytest.approx(math.log(2))


def test_the_generators_gradient_does_not_fade_where_the_discriminator_is_sure():
    sure_fake = torch.full((1, 1), -20.0, requires_grad=True)
    losses.generator_loss(sure_fake).backward()
    assert float(sure_fake.grad) == pytest.approx(-1, abs=1e-6)


def test_r1_of_a_linear_judge_is_its_squared_weight_in_the_papers_range():
    weight = torch.randn(3, 4, 4)
    images = torch.rand(5, 3, 4, 4, requires_grad=True)
    logits = (weight * (2 * images - 1)).sum((1, 2, 3))[:, None]
    assert r1_penalty(logits, images).detach() == pytest.approx(float(weight.square().sum()), rel=1e-5)


def test_r1s_gradient_to_the_weights_is_that_of_a_double_backward_by_hand(little):
    _, judge = little()
    judge = judge.double()
    images = torch.rand(4, 3, 16, 16, dtype=torch.float64)
    images.requires_grad_()
    r1_penalty(judge(images), images).mean().backward()
    weight = judge.b8.conv0.weight
    place, step = (1, 2, 0, 1), 1e-5

    def penalty(change: float) -> float:
        with torch.no_grad():
            weight[place] += change
        inner = images.detach().clone().requires_grad_()
        # By the chain rule through the papers' range: x = (y + 1) / 2.
        papers = (2 * inner.detach() - 1).requires_grad_()
        (gradient,) = torch.autograd.grad(judge((papers + 1) / 2).sum(), papers)
        with torch.no_grad():
            weight[place] -= change
        return float(gradient.square().sum((1, 2, 3)).mean())

    assert float(weight.grad[place]) == pytest.approx((penalty(step) - penalty(-step)) / (2 * step), rel=1e-4)


def test_path_lengths_are_those_of_the_jacobian_by_finite_differences(little):
    generator, _ = little()
    generator = generator.double()
    torch.manual_seed(3)
    w = generator.mapping(torch.randn(2, 6, dtype=torch.float64)).detach().requires_grad_()
    noise = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    found = path_lengths(generator.synthesis(w), w, noise)
    step, rows = 1e-5, []
    with torch.no_grad():
        for place in range(w[0].numel()):
            change = torch.zeros(w[0].numel(), dtype=torch.float64)
            change[place] = step
            moved = [generator.synthesis(w + sign * change.reshape(w[0].shape)) * 2 - 1 for sign in (1, -1)]
            rows.append((((moved[0] - moved[1]) / (2 * step)) * noise).sum((1, 2, 3)) / 16)
    jacobian = torch.stack(rows, 1).reshape(2, *w[0].shape)  # J^T y, a row of w each
    assert found.detach() == pytest.approx(jacobian.square().sum(2).mean(1).sqrt(), rel=1e-5)


def test_the_path_penalty_has_the_gradient_of_a_mean_that_holds_this_batch():
    parameter = torch.tensor(0.7, requires_grad=True)
    factors, mean = torch.tensor([1.0, 2.0, 4.0, 5.0]), torch.tensor(1.5)

    def plain(theta):
        lengths = theta * factors
        moved = mean.lerp(lengths.mean(), 0.01)
        return (lengths - moved).square().mean(), moved

    found = path_penalty(parameter * factors, mean)
    (gradient,) = torch.autograd.grad(found.penalty, parameter)
    expected, moved = plain(parameter)
    (wanted,) = torch.autograd.grad(expected, parameter)
    assert float(found.penalty.detach()) == pytest.approx(float(expected.detach()))
    assert float(found.mean) == pytest.approx(float(moved.detach()))
    assert float(gradient) == pytest.approx(float(wanted), rel=1e-6)


def test_the_path_penalties_of_two_halves_average_to_that_of_the_whole():
    parameter = torch.tensor(0.7, requires_grad=True)
    factors, mean = torch.tensor([1.0, 2.0, 4.0, 5.0]), torch.tensor(1.5)
    whole = path_penalty(parameter * factors, mean)
    (wanted,) = torch.autograd.grad(whole.penalty, parameter)
    over_all = (parameter * factors).detach().mean()
    halves = [path_penalty(parameter * half, mean, global_mean=over_all) for half in (factors[::2], factors[1::2])]
    gradients = [torch.autograd.grad(half.penalty, parameter)[0] for half in halves]
    assert float(sum(gradients) / 2) == pytest.approx(float(wanted), rel=1e-6)
    assert float(sum(half.penalty.detach() for half in halves) / 2) == pytest.approx(float(whole.penalty.detach()))
    assert all(float(half.mean) == pytest.approx(float(whole.mean)) for half in halves)


def test_averaged_weights_forget_half_after_a_half_life(little):
    averaged, trained = little(0)[0], little(1)[0]
    before = averaged.synthesis.b8.conv0.weight.detach().clone()
    for i in range(10):
        average_weights(averaged, trained, batch=100, seen=10**9 + 100 * i, half_life=1000)
    after, target = averaged.synthesis.b8.conv0.weight, trained.synthesis.b8.conv0.weight
    assert torch.allclose(after - target, (before - target) / 2, atol=1e-5)
    assert averaged.mean_w.equal(trained.mean_w)


def test_averaged_weights_follow_at_once_in_the_beginning(little):
    averaged, trained = little(0)[0], little(1)[0]
    average_weights(averaged, trained, batch=16, seen=0, half_life=10_000)
    assert averaged.synthesis.b8.conv0.weight.equal(trained.synthesis.b8.conv0.weight)


def test_the_running_mean_of_w_moves_by_a_two_hundredth(little):
    generator, _ = little()
    before = generator.mean_w.clone()
    track_mean(generator.mapping, torch.ones(6))
    assert torch.allclose(generator.mean_w, 0.995 * before + 0.005)


def test_adam_is_corrected_for_a_regulariser_in_updates_of_its_own():
    weights = [nn.Parameter(torch.zeros(1))]
    sixteen = lazy_adam(weights, learning_rate=0.0025, betas=(0.0, 0.99), every=16).param_groups[0]
    assert sixteen["lr"] == pytest.approx(0.0025 * 16 / 17)
    assert sixteen["betas"] == pytest.approx((0.0, 0.99 ** (16 / 17)))
    never = lazy_adam(weights, learning_rate=0.0025, betas=(0.0, 0.99), every=0).param_groups[0]
    assert (never["lr"], never["betas"]) == (0.0025, (0.0, 0.99))


def test_a_lazy_regulariser_pulls_as_much_in_sixteen_steps_as_one_at_every_step():
    """On a quadratic penalty alone, gradient descent with gain 16 every 16th step, at small steps."""
    rate, weights = 1e-4, {1: torch.tensor(1.0), 16: torch.tensor(1.0)}
    for every, weight in weights.items():
        for step in range(160):
            if step % every == 0:
                weight -= rate * every * 2 * weight
    assert float(weights[1]) == pytest.approx(float(weights[16]), rel=1e-3)
