import math

import pytest
import torch

from gancourse.objectives import (
    discriminator_loss,
    minimax_generator_loss,
    nonsaturating_generator_loss,
    soft_target_loss,
)

S = torch.linspace(-20, 20, 81, dtype=torch.float64)


def test_losses_are_the_logarithms_they_stand_for():
    D = S.sigmoid()
    expected = -(D.log().mean() + (1 - D).log().mean())
    assert discriminator_loss(S, S) == pytest.approx(expected.item(), abs=1e-9)
    assert minimax_generator_loss(S) == pytest.approx((1 - D).log().mean().item(), abs=1e-9)
    assert nonsaturating_generator_loss(S) == pytest.approx(-D.log().mean().item(), abs=1e-12)


def test_real_and_fake_are_told_apart():
    high, low = torch.full((5,), 30.0), torch.full((3,), -30.0)
    assert discriminator_loss(high, low) < 1e-12
    assert discriminator_loss(low, high) > 59
    assert discriminator_loss(torch.zeros(4), torch.zeros(9)) == pytest.approx(math.log(4))


def test_each_half_is_a_mean_over_its_own_batch():
    real, fake = S[:10], S[30:37]
    once, twice = discriminator_loss(real, fake), discriminator_loss(real.repeat(2), fake)
    assert once == pytest.approx(twice.item())


def test_extreme_logits_stay_finite():
    huge = torch.tensor([-1e4, 1e4])
    for loss in (minimax_generator_loss, nonsaturating_generator_loss, lambda s: discriminator_loss(s, s)):
        assert loss(huge).isfinite()


@pytest.mark.parametrize("loss", [minimax_generator_loss, nonsaturating_generator_loss])
def test_gradients_agree_with_finite_differences(loss):
    assert torch.autograd.gradcheck(loss, (S[20:60].clone().requires_grad_(),))


def test_gradients_are_those_of_the_book():
    for loss, formula in (
        (minimax_generator_loss, -S.sigmoid()),
        (nonsaturating_generator_loss, -(1 - S.sigmoid())),
    ):
        s = S.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(s), s)
        torch.testing.assert_close(gradient * len(S), formula)


def test_soft_targets_interpolate_and_reject_what_has_no_minimum():
    halves = soft_target_loss(S, 1.0) + soft_target_loss(S, 0.0)
    assert halves == pytest.approx(discriminator_loss(S, S).item())
    assert soft_target_loss(S, 0.3) == pytest.approx(
        (0.3 * soft_target_loss(S, 1.0) + 0.7 * soft_target_loss(S, 0.0)).item()
    )
    for target in (1.05, -0.05):
        with pytest.raises(ValueError, match="unbounded below"):
            soft_target_loss(S, target)
