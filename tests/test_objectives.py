import math

import numpy as np
import pytest
import torch
from scipy import special

from gancourse import divergences
from gancourse.fgan import F_DIVERGENCES
from gancourse.networks import mlp
from gancourse.objectives import (
    OBJECTIVES,
    discriminator_loss,
    minimax_generator_loss,
    nonsaturating_generator_loss,
    relativistic_discriminator_loss,
    relativistic_generator_loss,
    soft_target_loss,
)

S = torch.linspace(-20, 20, 81, dtype=torch.float64)
R = torch.tensor([-3.0, -1.2, -0.4, 0.3, 0.9, 2.5], dtype=torch.float64)
F = torch.tensor([1.7, -2.2, 0.1, -0.8, 3.1, 0.6], dtype=torch.float64)
ALL = OBJECTIVES | {
    objective.name: objective
    for row in F_DIVERGENCES.values()
    for objective in (row.objective, row.nonsaturating_objective)
}
EVERY = pytest.mark.parametrize("objective", ALL.values(), ids=ALL)

# Each loss as the papers print it, in numpy, from real and fake outputs of the discriminator.
EXPECTED = {
    "minimax": (
        lambda r, f: -np.log(special.expit(r)).mean() - np.log(1 - special.expit(f)).mean(),
        lambda r, f: np.log(1 - special.expit(f)).mean(),
    ),
    "non-saturating": (
        lambda r, f: -np.log(special.expit(r)).mean() - np.log(1 - special.expit(f)).mean(),
        lambda r, f: -np.log(special.expit(f)).mean(),
    ),
    "least squares": (
        lambda r, f: 0.5 * ((r - 1) ** 2).mean() + 0.5 * (f**2).mean(),
        lambda r, f: 0.5 * ((f - 1) ** 2).mean(),
    ),
    "hinge": (
        lambda r, f: -np.minimum(0, r - 1).mean() - np.minimum(0, -f - 1).mean(),
        lambda r, f: -f.mean(),
    ),
    "Wasserstein": (lambda r, f: -(r.mean() - f.mean()), lambda r, f: -f.mean()),
    "relativistic": (
        lambda r, f: -np.log(special.expit(r - f)).mean(),
        lambda r, f: -np.log(special.expit(f - r)).mean(),
    ),
}


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
    s = torch.tensor([3.0])
    assert soft_target_loss(s, 1.0) == pytest.approx(math.log1p(math.exp(-3)))
    assert soft_target_loss(s, 0.0) == pytest.approx(math.log1p(math.exp(3)))
    for target in (1.05, -0.05, math.nan):
        with pytest.raises(ValueError, match="unbounded below"):
            soft_target_loss(S, target)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_each_loss_is_the_formula_of_its_paper(name):
    objective = OBJECTIVES[name]
    discriminator, generator = EXPECTED[name]
    r, f = R.numpy(), F.numpy()
    assert objective.discriminator_loss(R, F) == pytest.approx(discriminator(r, f), abs=1e-12)
    assert objective.generator_loss(R, F) == pytest.approx(generator(r, f), abs=1e-12)


@EVERY
def test_an_empty_batch_has_no_loss(objective):
    empty = torch.zeros(0)
    with pytest.raises(ValueError, match=r"this batch is empty: \(0,\)"):
        objective.discriminator_loss(empty, empty)
    with pytest.raises(ValueError, match=r"this batch is empty: \(0,\)"):
        objective.generator_loss(empty, empty)
    if not objective.relativistic:
        for real, fake in ((empty, F), (R, empty)):
            with pytest.raises(ValueError, match="empty"):
                objective.discriminator_loss(real, fake)


@pytest.mark.parametrize(
    "loss", [discriminator_loss, relativistic_discriminator_loss, relativistic_generator_loss]
)
def test_two_logits_a_sample_are_refused(loss):
    assert loss(R[:, None], F[:, None]) == pytest.approx(loss(R, F).item())
    for shape in ((6, 2), (6, 1, 1), ()):
        with pytest.raises(ValueError, match=r"one logit, shape \(n,\) or \(n, 1\)"):
            loss(torch.zeros(shape), torch.zeros(shape))


def test_each_objective_has_its_expected_formula():
    assert set(EXPECTED) == set(OBJECTIVES)
    assert [name for name, objective in ALL.items() if objective.relativistic] == ["relativistic"]


@EVERY
def test_all_gradients_agree_with_finite_differences(objective):
    for loss in (objective.discriminator_loss, objective.generator_loss):
        assert torch.autograd.gradcheck(loss, (R.clone().requires_grad_(), F.clone().requires_grad_()))


@EVERY
def test_each_player_is_pulled_the_right_way(objective):
    inside = (R.sigmoid(), F.sigmoid())
    # Beyond its targets 0 and 1 the least-squares loss pulls back.
    for r, f in (inside,) if objective.name == "least squares" else (inside, (R, F)):
        r, f = r.clone().requires_grad_(), f.clone().requires_grad_()
        on_real, on_fake = torch.autograd.grad(objective.discriminator_loss(r, f), (r, f))
        (lift,) = torch.autograd.grad(objective.generator_loss(r, f), f)
        for falling in (on_real, -on_fake, lift):
            assert (falling <= 0).all()
            assert falling.sum() < 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)
def test_losses_and_gradients_stay_finite_at_a_thousand(objective, dtype):
    corners = torch.tensor([-1000.0, -1000, 1000, 1000, 0], dtype=dtype)
    r, f = corners.clone().requires_grad_(), corners.roll(1).requires_grad_()
    for loss in (objective.discriminator_loss(r, f), objective.generator_loss(r, f)):
        assert loss.isfinite()
        for gradient in torch.autograd.grad(loss, (r, f), allow_unused=True):
            assert gradient is None or gradient.isfinite().all()


def test_the_relativistic_losses_keep_their_digits_where_a_logarithm_of_a_sigmoid_has_none():
    r, f = torch.tensor([-1000.0]), torch.tensor([1000.0])
    assert relativistic_discriminator_loss(r, f) == 2000
    assert relativistic_generator_loss(r, f) == 0


def optimum(loss, p, q):
    """Minimum of a loss over all functions on finitely many points, p and q being counts of them."""
    logits = torch.full((len(p),), 0.1, dtype=torch.float64, requires_grad=True)
    where = torch.arange(len(p))
    real, fake = where.repeat_interleave(torch.tensor(p)), where.repeat_interleave(torch.tensor(q))
    optimizer = torch.optim.LBFGS(
        [logits],
        lr=0.5,
        max_iter=4000,
        max_eval=8000,
        tolerance_grad=1e-13,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        optimizer.zero_grad()
        value = loss(logits[real], logits[fake])
        value.backward()
        return value

    optimizer.step(closure)
    return logits.detach(), closure().item()


P, Q = [1, 3, 4, 2], [4, 3, 1, 2]
p, q = np.array(P) / 10, np.array(Q) / 10


def test_the_discriminator_finds_the_book_s_optimum():
    logits, value = optimum(discriminator_loss, P, Q)
    np.testing.assert_allclose(logits, np.log(p / q), atol=1e-6)
    assert value == pytest.approx(math.log(4) - 2 * divergences.jsd(p, q), abs=1e-10)


def test_the_least_squares_optimum():
    logits, value = optimum(OBJECTIVES["least squares"].discriminator_loss, P, Q)
    np.testing.assert_allclose(logits, p / (p + q), atol=1e-6)
    assert value == pytest.approx((p * q / (p + q)).sum() / 2, abs=1e-10)


def test_the_hinge_optimum_is_total_variation():
    sign = torch.tensor(np.sign(p - q))
    where = torch.arange(4)
    real, fake = where.repeat_interleave(torch.tensor(P)), where.repeat_interleave(torch.tensor(Q))
    hinge = OBJECTIVES["hinge"].discriminator_loss
    least = 2 - 2 * divergences.total_variation(p, q)
    assert hinge(sign[real], sign[fake]) == pytest.approx(least, abs=1e-12)
    for seed in range(200):
        other = 2 * torch.randn(4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert hinge(other[real], other[fake]) >= least - 1e-12


def test_equal_logits_leave_a_relativistic_pair_undecided():
    for loss in (relativistic_discriminator_loss, relativistic_generator_loss):
        assert loss(R, R) == pytest.approx(math.log(2))


def test_a_relativistic_loss_is_over_pairs_not_over_means_or_all_pairs():
    assert relativistic_discriminator_loss(R, F) != pytest.approx(
        relativistic_discriminator_loss(R, F.roll(1)).item(), rel=1e-3
    )
    one_by_one = torch.stack(
        [relativistic_generator_loss(r[None], f[None]) for r, f in zip(R, F, strict=True)]
    )
    assert relativistic_generator_loss(R, F) == pytest.approx(one_by_one.mean().item())


@pytest.mark.parametrize("loss", [relativistic_discriminator_loss, relativistic_generator_loss])
def test_a_relativistic_loss_refuses_what_it_cannot_pair(loss):
    with pytest.raises(ValueError, match=r"\(6,\) and fake logits of shape \(6, 1\)"):
        loss(R, F[:, None])
    with pytest.raises(ValueError, match="same shape"):
        loss(R[:3], F)
    with pytest.raises(ValueError, match="logits of real samples as well"):
        loss(None, F)


@EVERY
def test_one_step_serves_every_objective_and_the_generator_s_leaves_the_discriminator_alone(objective):
    torch.manual_seed(0)
    generator, discriminator = mlp((2, 8, 2)), mlp((2, 8, 1))
    real, z = torch.randn(16, 2), torch.randn(16, 2)
    before = [parameter.clone() for parameter in discriminator.parameters()]

    real_logits = discriminator(real) if objective.relativistic else None
    loss = objective.generator_loss(real_logits, discriminator(generator(z)))
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    loss.backward(inputs=list(generator.parameters()))
    assert all(parameter.grad is None for parameter in discriminator.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in generator.parameters())
    assert all(map(torch.equal, before, discriminator.parameters()))

    for parameter in generator.parameters():
        parameter.grad = None
    objective.discriminator_loss(discriminator(real), discriminator(generator(z).detach())).backward()
    assert all(parameter.grad is None for parameter in generator.parameters())
    assert discriminator[0].weight.grad.abs().sum() > 0
    assert all(map(torch.equal, before, discriminator.parameters()))


def test_no_gradient_need_reach_the_real_logits_of_a_relativistic_generator():
    torch.manual_seed(0)
    generator, discriminator = mlp((2, 8, 2)), mlp((2, 8, 1))
    real, z = torch.randn(16, 2), torch.randn(16, 2)
    fake_logits = discriminator(generator(z))
    attached, cut = (
        torch.autograd.grad(
            relativistic_generator_loss(real_logits, fake_logits), generator.parameters(), retain_graph=True
        )
        for real_logits in (discriminator(real), discriminator(real).detach())
    )
    for one, other in zip(attached, cut, strict=True):
        torch.testing.assert_close(one, other)
