import math

import numpy as np
import pytest
import torch
from scipy import optimize

from gancourse import divergences
from gancourse.fgan import F_DIVERGENCES
from gancourse.objectives import discriminator_loss, minimax_generator_loss, nonsaturating_generator_loss

ROWS = F_DIVERGENCES
EVERY = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
EXPONENTIAL = ("KL", "reverse KL", "squared Hellinger")
V = torch.linspace(-12, 12, 49, dtype=torch.float64)

p, q = np.array([0.1, 0.3, 0.4, 0.2]), np.array([0.4, 0.3, 0.1, 0.2])
# D_f(p||q) written with p and q, not with f.
DIVERGENCE = {
    "KL": lambda p, q: divergences.kl(p, q),
    "reverse KL": lambda p, q: divergences.kl(q, p),
    "Pearson": lambda p, q: ((p - q) ** 2 / q).sum(),
    "squared Hellinger": lambda p, q: ((np.sqrt(p) - np.sqrt(q)) ** 2).sum(),
    "Jensen-Shannon": lambda p, q: 2 * divergences.jsd(p, q),
    "GAN": lambda p, q: 2 * divergences.jsd(p, q) - math.log(4),
    "total variation": lambda p, q: divergences.total_variation(p, q),
}


def f(row, u):
    return row.f(torch.as_tensor(u, dtype=torch.float64))


def bound(row, logits, p, q):
    """The lower bound that the discriminator's loss is minus of, for laws on finitely many points."""
    return sum(
        a * row.activation(v) - b * row.conjugate_of_activation(v)
        for v, a, b in zip(logits, p.tolist(), q.tolist(), strict=True)
    )


def test_the_table_has_its_seven_rows():
    assert list(ROWS) == list(DIVERGENCE)


@EVERY
def test_f_is_convex_and_vanishes_at_one_except_for_the_gan(row):
    u = torch.linspace(0.01, 5, 400, dtype=torch.float64)
    values = f(row, u)
    assert (values[2:] - 2 * values[1:-1] + values[:-2] >= -1e-12).all()
    assert f(row, 1.0) == pytest.approx(-math.log(4) if row.name == "GAN" else 0.0, abs=1e-15)


@EVERY
def test_f_gives_the_divergence_it_is_named_after(row):
    assert (torch.tensor(q) * f(row, p / q)).sum() == pytest.approx(DIVERGENCE[row.name](p, q), abs=1e-12)


@EVERY
def test_the_conjugate_is_the_supremum_found_numerically(row):
    """sup_u (u t - f(u)) by search on a logarithmic grid of u and u = 0, then Brent's method."""
    grid = np.linspace(-40, 12, 2001)
    on_grid = f(row, np.exp(grid)).numpy()
    for t in np.linspace(-6, min(row.supremum - 0.05, 3.0), 60):
        best = grid[np.argmax(np.exp(grid) * t - on_grid)]
        found = -optimize.minimize_scalar(
            lambda log_u, t=t: float(f(row, np.exp(log_u))) - np.exp(log_u) * t,
            bounds=(best - 0.05, best + 0.05),
            method="bounded",
            options={"xatol": 1e-12},
        ).fun
        found = max(found, -float(f(row, 0.0)))
        assert float(row.conjugate(torch.tensor(t))) == pytest.approx(found, abs=2e-9), t


@EVERY
def test_beyond_its_domain_the_conjugate_is_infinite(row):
    if row.supremum == math.inf:
        return
    end = row.supremum
    beyond = torch.tensor([end, end + 0.01, end + 5.0], dtype=torch.float64, requires_grad=True)
    values = row.conjugate(beyond)
    assert (values[1:] == math.inf).all()
    # At the end itself total variation still has its finite supremum.
    assert values[0] == (0.5 if row.name == "total variation" else math.inf)
    u = 1e7  # and indeed u t - f(u) grows for ever
    assert u * beyond[1].item() - float(f(row, u)) > 1e4
    assert not torch.autograd.grad(values.sum(), beyond)[0].isnan().any()


@EVERY
def test_the_supremum_of_the_domain_is_the_weight_of_the_singular_part(row):
    u = 1e12
    slope = float(f(row, u)) / u
    assert slope > 25 if row.supremum == math.inf else slope == pytest.approx(row.supremum, abs=1e-5)


@EVERY
def test_the_activation_increases_into_the_domain(row):
    T = row.activation(V)
    assert (T.diff() > 0).all()
    assert (row.supremum > T).all()
    assert row.conjugate(T).isfinite().all()


@EVERY
def test_the_stable_composition_is_the_composition(row):
    torch.testing.assert_close(
        row.conjugate_of_activation(V), row.conjugate(row.activation(V)), rtol=1e-6, atol=1e-9
    )


def test_activations_keep_their_digits_near_zero():
    tiny = torch.tensor(1e-12, dtype=torch.float64)
    for name in ("squared Hellinger", "total variation"):
        row = ROWS[name]
        slope = 0.5 if name == "total variation" else 1
        for function in (row.activation, row.conjugate_of_activation):
            assert function(tiny).item() == pytest.approx(slope * 1e-12, rel=1e-9, abs=0)


@EVERY
def test_each_game_has_its_own_generator_loss(row):
    v = torch.tensor([0.3, -1.0])
    assert row.objective.generator_loss(None, v) == row.generator_loss(v)
    assert row.nonsaturating_objective.generator_loss(None, v) == row.nonsaturating_generator_loss(v)
    assert row.generator_loss(v) == -row.conjugate_of_activation(v).mean()
    assert row.nonsaturating_generator_loss(v) == -row.activation(v).mean()


@EVERY
def test_no_discriminator_exceeds_the_divergence(row):
    divergence = DIVERGENCE[row.name](p, q)
    generator = torch.Generator().manual_seed(1)
    for scale in (0.1, 1, 3):
        for _ in range(100):
            logits = scale * torch.randn(4, generator=generator, dtype=torch.float64)
            assert bound(row, logits, p, q) <= divergence + 1e-12


@pytest.mark.parametrize("name", [name for name in ROWS if name != "total variation"])
def test_the_bound_is_tight_and_a_trained_discriminator_reaches_it(name):
    """Minimising the loss on samples with exactly the frequencies p and q."""
    row = ROWS[name]
    where = torch.arange(4)
    real = where.repeat_interleave(torch.tensor([1, 3, 4, 2]))
    fake = where.repeat_interleave(torch.tensor([4, 3, 1, 2]))
    logits = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [logits], max_iter=2000, tolerance_grad=1e-13, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure():
        optimizer.zero_grad()
        loss = row.discriminator_loss(logits[real], logits[fake])
        loss.backward()
        return loss

    optimizer.step(closure)
    assert -closure().item() == pytest.approx(DIVERGENCE[row.name](p, q), abs=1e-9)
    u = torch.tensor(p / q, requires_grad=True)
    (T,) = torch.autograd.grad(row.f(u).sum(), u)
    torch.testing.assert_close(row.activation(logits.detach()), T, atol=1e-5, rtol=0)


def test_total_variation_is_approached_and_never_reached():
    row, sign = ROWS["total variation"], torch.tensor(np.sign(p - q))
    divergence = divergences.total_variation(p, q)
    gaps = [divergence - float(bound(row, scale * sign, p, q)) for scale in (1, 2, 4, 8)]
    assert all(gap > 0 for gap in gaps)
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[-1] < 1e-6


@pytest.mark.parametrize(
    ("name", "divergence"),
    [
        ("Jensen-Shannon", 2 * math.log(2)),
        ("GAN", 0.0),
        ("squared Hellinger", 2.0),
        ("total variation", 1.0),
    ],
)
def test_the_singular_parts_count(name, divergence):
    """Laws with disjoint supports: the logit goes to +inf on one and to -inf on the other."""
    row = ROWS[name]
    logits = torch.tensor([40.0, -40.0], dtype=torch.float64)
    assert bound(row, logits, np.array([1.0, 0]), np.array([0, 1.0])) == pytest.approx(divergence, abs=1e-12)


def test_pearson_s_conjugate_is_constant_below_minus_two():
    row = ROWS["Pearson"]
    t = torch.tensor([-5.0, -2.0, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    values = row.conjugate(t)
    assert values.tolist() == [-1, -1, -0.75, 3]
    assert torch.autograd.grad(values.sum(), t)[0].tolist() == [0, 0, 0.5, 2]


def test_the_row_gan_is_the_gan():
    row = ROWS["GAN"]
    torch.testing.assert_close(row.discriminator_loss(V, V.flip(0) / 3), discriminator_loss(V, V.flip(0) / 3))
    torch.testing.assert_close(row.generator_loss(V), minimax_generator_loss(V))
    torch.testing.assert_close(row.nonsaturating_generator_loss(V), nonsaturating_generator_loss(V))


@EVERY
def test_losses_are_the_parts_of_the_bound(row):
    real, fake = V[10:30], V[15:44]
    value = row.activation(real).mean() - row.conjugate(row.activation(fake)).mean()
    torch.testing.assert_close(row.discriminator_loss(real, fake), -value)
    torch.testing.assert_close(row.generator_loss(fake), -row.conjugate(row.activation(fake)).mean())
    torch.testing.assert_close(row.nonsaturating_generator_loss(fake), -row.activation(fake).mean())


@EVERY
def test_both_generator_losses_pull_alike_where_the_laws_are_equal(row):
    """At T = f'(1), where the conjugate has slope one."""
    v = torch.tensor([1.0 if row.name == "KL" else 0.0], dtype=torch.float64, requires_grad=True)
    if row.name != "total variation":  # there the conjugate has slope one everywhere
        u = torch.ones((), dtype=torch.float64, requires_grad=True)
        (T,) = torch.autograd.grad(row.f(u), u)
        assert row.activation(v).item() == pytest.approx(T.item())
    saddle, other = (
        torch.autograd.grad(loss(v), v)[0] for loss in (row.generator_loss, row.nonsaturating_generator_loss)
    )
    torch.testing.assert_close(saddle, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@EVERY
def test_a_thousand_never_gives_nan_and_is_infinite_only_where_the_number_is(row, dtype):
    corners = torch.tensor([-1000.0, 1000.0, 0.0], dtype=dtype)
    r, v = corners.clone().requires_grad_(), corners.clone().requires_grad_()
    for loss in (
        row.discriminator_loss(r, v),
        row.generator_loss(v),
        row.nonsaturating_generator_loss(v),
    ):
        assert not loss.isnan()
        gradients = [g for g in torch.autograd.grad(loss, (r, v), allow_unused=True) if g is not None]
        assert not any(gradient.isnan().any() for gradient in gradients)
        if row.name not in EXPONENTIAL:
            assert loss.isfinite()
            assert all(gradient.isfinite().all() for gradient in gradients)
    safe = torch.tensor([-85.0, 85.0], dtype=dtype)
    assert row.discriminator_loss(safe, safe).isfinite()


def test_reverse_kl_pays_no_exponential_for_generated_samples():
    v = torch.tensor([-1000.0, 1000.0])
    assert ROWS["reverse KL"].conjugate_of_activation(v).tolist() == [-1001, 999]
