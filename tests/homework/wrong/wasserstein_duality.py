"""Plausible wrong solutions of the homework, and the words that would give the right ones away."""

# ruff: noqa: E501

from tests.homework.answers import slips

SECRETS = (
    "searchsorted", "cumsum", "np.repeat(x, m", "axis=1)", ".min(", "slack =", "einsum", "convolve", "comb(",
    "autograd", "create_graph", "zero_grad", ".detach()\n", "dim=1", "lerp",
)  # fmt: skip

WRONG = []

WRONG += slips(
    "wasserstein_1d",
    "x, y",
    distance_of_means="return float(abs(x.mean() - y.mean()))",
    unsorted="""
        n = min(len(x), len(y))
        return float(np.abs(x[:n] - y[:n]).mean())""",
    truncated="""
        n = min(len(x), len(y))
        return float(np.abs(np.sort(x)[:n] - np.sort(y)[:n]).mean())""",
    sum_for_mean="""
        a, b = np.sort(np.repeat(x, len(y))), np.sort(np.repeat(y, len(x)))
        return float(np.abs(a - b).sum())""",
    squared="""
        a, b = np.sort(np.repeat(x, len(y))), np.sort(np.repeat(y, len(x)))
        return float(np.sqrt(((a - b) ** 2).mean()))""",
    largest_gap="""
        a, b = np.sort(np.repeat(x, len(y))), np.sort(np.repeat(y, len(x)))
        return float(np.abs(a - b).max())""",
    not_absolute="""
        a, b = np.sort(np.repeat(x, len(y))), np.sort(np.repeat(y, len(x)))
        return float(abs((a - b).mean()))""",
    independent_pairs="return float(np.abs(x[:, None] - y[None]).mean())",
    nearest_point="return float(np.abs(x[:, None] - y[None]).min(axis=1).mean())",
    counts_for_masses="""
        t = np.unique(np.concatenate([x, y]))
        a, b = (x[None] <= t[:, None]).sum(1), (y[None] <= t[:, None]).sum(1)
        return float(np.abs(a - b)[:-1] @ np.diff(t))""",
    sorts_in_place="""
        x.sort()
        y.sort()
        a, b = np.repeat(x, len(y)), np.repeat(y, len(x))
        return float(np.abs(a - b).mean())""",
    no_float="return np.abs(np.sort(np.repeat(x, len(y))) - np.sort(np.repeat(y, len(x)))).mean(keepdims=True)",
)

WRONG += slips(
    "critic_of_prices",
    "z, y, v",
    largest_for_smallest="return (np.linalg.norm(z[:, None] - y[None], axis=2) - v).max(axis=1)",
    sign_of_price="return (np.linalg.norm(z[:, None] - y[None], axis=2) + v).min(axis=1)",
    smallest_function="return (-v - np.linalg.norm(z[:, None] - y[None], axis=2)).max(axis=1)",
    minus="return -(np.linalg.norm(z[:, None] - y[None], axis=2) - v).min(axis=1)",
    squared_distance="return (((z[:, None] - y[None]) ** 2).sum(axis=2) - v).min(axis=1)",
    taxi_distance="return (np.abs(z[:, None] - y[None]).sum(axis=2) - v).min(axis=1)",
    nearest_point_only="""
        far = np.linalg.norm(z[:, None] - y[None], axis=2)
        return far.min(axis=1) - v[far.argmin(axis=1)]""",
    mean_for_minimum="return (np.linalg.norm(z[:, None] - y[None], axis=2) - v).mean(axis=1)",
    wrong_axis="return (np.linalg.norm(z[:, None] - y[None], axis=2) - v).min(axis=0)",
    in_place="""
        z -= 0.5
        return (np.linalg.norm(z[:, None] + 0.5 - y[None], axis=2) - v).min(axis=1)""",
)

WRONG += slips(
    "duality_gap",
    "plan, cost, u, v",
    no_errors="return float((plan * (cost - u[:, None] - v[None])).sum())",
    only_the_cost="""
        if plan.min() < -1e-9 or abs(plan.sum() - 1) > 1e-9 or (u[:, None] + v > cost + 1e-9).any():
            raise ValueError
        return float((plan * cost).sum())""",
    income_minus_cost="""
        if plan.min() < -1e-9 or abs(plan.sum() - 1) > 1e-9 or (u[:, None] + v > cost + 1e-9).any():
            raise ValueError
        return float((plan * (u[:, None] + v - cost)).sum())""",
    equal_weights="""
        if plan.min() < -1e-9 or abs(plan.sum() - 1) > 1e-9 or (u[:, None] + v > cost + 1e-9).any():
            raise ValueError
        return float((plan * cost).sum() - u.mean() - v.mean())""",
    slack_only_where_mass="""
        slack = cost - u[:, None] - v
        if plan.min() < -1e-9 or abs(plan.sum() - 1) > 1e-9 or (slack[plan > 0] < -1e-9).any():
            raise ValueError
        return float((plan * slack).sum())""",
    negative_allowed="""
        slack = cost - u[:, None] - v
        if abs(plan.sum() - 1) > 1e-9 or slack.min() < -1e-9:
            raise ValueError
        return float((plan * slack).sum())""",
    mass_not_checked="""
        slack = cost - u[:, None] - v
        if plan.min() < -1e-9 or slack.min() < -1e-9:
            raise ValueError
        return float((plan * slack).sum())""",
    too_much_mass_only="""
        slack = cost - u[:, None] - v
        if plan.min() < -1e-9 or plan.sum() > 1 + 1e-9 or slack.min() < -1e-9:
            raise ValueError
        return float((plan * slack).sum())""",
    loose="""
        slack = cost - u[:, None] - v
        if plan.min() < -0.1 or abs(plan.sum() - 1) > 0.1 or slack.min() < -0.1:
            raise ValueError
        return float((plan * slack).sum())""",
    prices_must_be_positive="""
        slack = cost - u[:, None] - v
        if plan.min() < -1e-9 or abs(plan.sum() - 1) > 1e-9 or slack.min() < -1e-9 or u.min() < 0:
            raise ValueError
        return float((plan * slack).sum())""",
    roles_swapped="""
        slack = cost.T - v[:, None] - u
        if plan.min() < -1e-9 or abs(plan.sum() - 1) > 1e-9 or slack.min() < -1e-9:
            raise ValueError
        return float((plan * slack).sum())""",
    assertion="""
        slack = cost - u[:, None] - v
        assert plan.min() >= -1e-9 and abs(plan.sum() - 1) <= 1e-9 and slack.min() >= -1e-9
        return float((plan * slack).sum())""",
    coarse_mass="""
        slack = cost - u[:, None] - v[None]
        if plan.min() < -1e-9 or abs(plan.sum() - 1) > 1e-4 or slack.min() < -1e-9:
            raise ValueError
        return float((plan * slack).sum())""",
    coarse_prices="""
        slack = cost - u[:, None] - v[None]
        if plan.min() < -1e-9 or abs(plan.sum() - 1) > 1e-9 or slack.min() < -1e-4:
            raise ValueError
        return float((plan * slack).sum())""",
    strict_mass="""
        slack = cost - u[:, None] - v[None]
        if plan.min() < -1e-9 or plan.sum() != 1 or slack.min() < -1e-9:
            raise ValueError
        return float((plan * slack).sum())""",
    strict_entries="""
        slack = cost - u[:, None] - v[None]
        if plan.min() < 0 or abs(plan.sum() - 1) > 1e-9 or slack.min() < -1e-9:
            raise ValueError
        return float((plan * slack).sum())""",
    strict_prices="""
        slack = cost - u[:, None] - v[None]
        if plan.min() < -1e-9 or abs(plan.sum() - 1) > 1e-9 or slack.min() < 0:
            raise ValueError
        return float((plan * slack).sum())""",
)

WRONG += slips(
    "transport_gradient",
    "plan, x, y",
    sign="""
        g = x[:, None] - y
        far = np.linalg.norm(g, axis=2, keepdims=True)
        return (plan[..., None] * g / np.where(far > 0, far, 1)).sum(0)""",
    not_unit="return (plan[..., None] * (y - x[:, None])).sum(0)",
    nan_where_equal="""
        g = y - x[:, None]
        return (plan[..., None] * g / np.linalg.norm(g, axis=2, keepdims=True)).sum(0)""",
    for_the_data="""
        g = x[:, None] - y
        far = np.linalg.norm(g, axis=2, keepdims=True)
        return (plan[..., None] * g / np.where(far > 0, far, 1)).sum(1)""",
    mean_direction="""
        g = y - x[:, None]
        far = np.linalg.norm(g, axis=2, keepdims=True)
        pull = (plan[..., None] * g / np.where(far > 0, far, 1)).sum(0)
        return pull / plan.sum(0)[:, None].clip(1e-12)""",
    most_mass_only="""
        g = y - x[plan.argmax(axis=0)]
        far = np.linalg.norm(g, axis=1, keepdims=True)
        return plan.sum(0)[:, None] * g / np.where(far > 0, far, 1)""",
    plan_ignored="""
        g = y - x[:, None]
        far = np.linalg.norm(g, axis=2, keepdims=True)
        return (g / np.where(far > 0, far, 1)).mean(0)""",
    softened="""
        g = y - x[:, None]
        return (plan[..., None] * g / np.sqrt((g**2).sum(2, keepdims=True) + 1e-3)).sum(0)""",
    squared_cost="return 2 * (plan[..., None] * (y - x[:, None])).sum(0)",
    close_counts_as_equal="""
        gaps = y[None] - x[:, None]
        lengths = np.linalg.norm(gaps, axis=2)
        lengths = np.where(np.isclose(lengths, 0), np.inf, lengths)
        return ((plan / lengths)[..., None] * gaps).sum(0)""",
    softened_length="""
        gaps = y[None] - x[:, None]
        lengths = np.linalg.norm(gaps, axis=2) + 1e-8
        return ((plan / lengths)[..., None] * gaps).sum(0)""",
    softened_square="""
        gaps = y[None] - x[:, None]
        lengths = np.sqrt((gaps**2).sum(2) + 1e-12)
        return ((plan / lengths)[..., None] * gaps).sum(0)""",
)

WRONG += slips(
    "expected_batch_distance",
    "a, gap, n",
    zero="return 0.0",
    counts_not_fractions="""
        p = np.array([1.0])
        for _ in range(n):
            p = np.convolve(p, [1 - a, a])
        k = np.arange(n + 1)
        return float(gap * (p @ np.abs(k[:, None] - k) @ p))""",
    gap_ignored="""
        p = np.array([1.0])
        for _ in range(n):
            p = np.convolve(p, [1 - a, a])
        k = np.arange(n + 1)
        return float(p @ np.abs(k[:, None] - k) @ p / n)""",
    distance_to_the_law="""
        p = np.array([1.0])
        for _ in range(n):
            p = np.convolve(p, [1 - a, a])
        return float(gap * p @ np.abs(np.arange(n + 1) / n - a))""",
    root_of_variance="return float(gap * np.sqrt(2 * a * (1 - a) / n))",
    normal_approximation="return float(gap * np.sqrt(2 * a * (1 - a) / n) * np.sqrt(2 / np.pi))",
    simulated="""
        rng = np.random.default_rng()
        k, l = rng.binomial(n, a, (2, 20000))
        return float(gap * np.abs(k - l).mean() / n)""",
    simulated_with_a_seed="""
        rng = np.random.default_rng(0)
        k, l = rng.binomial(n, a, (2, 20000))
        return float(gap * np.abs(k - l).mean() / n)""",
    one_draw_for_all="return float(2 * a * (1 - a) * gap)",
    positive_part="""
        p = np.array([1.0])
        for _ in range(n):
            p = np.convolve(p, [1 - a, a])
        k = np.arange(n + 1)
        return float(gap * (p @ np.maximum(k[:, None] - k, 0) @ p) / n)""",
)

_STEP = "critic, generator, optimizer, real, noise, positions, weight"
_BODY = """
        fake = generator(noise).detach()
        points = (positions[:, None] * real + (1 - positions[:, None]) * fake).requires_grad_()
        slopes = torch.autograd.grad(critic(points).sum(), points, create_graph=True)[0]
        penalty = (slopes.norm(dim=1) - 1).square().mean()
        estimate = critic(real).mean() - critic(fake).mean()
        optimizer.zero_grad()
        (weight * penalty - estimate).backward()
        optimizer.step()
        return estimate.item(), penalty.item()"""


def _but(old: str, new: str) -> str:
    assert _BODY.count(old) == 1
    return _BODY.replace(old, new)


WRONG += slips(
    "critic_step",
    _STEP,
    descends_the_estimate=_but("weight * penalty - estimate", "weight * penalty + estimate"),
    penalty_rewarded=_but("weight * penalty - estimate", "-weight * penalty - estimate"),
    norm_over_the_batch=_but("(slopes.norm(dim=1) - 1)", "(slopes.norm() - 1)"),
    norm_not_centred=_but("(slopes.norm(dim=1) - 1).square()", "slopes.norm(dim=1).square()"),
    square_of_norm_centred=_but("(slopes.norm(dim=1) - 1)", "(slopes.square().sum(dim=1) - 1)"),
    one_sided=_but("(slopes.norm(dim=1) - 1)", "(slopes.norm(dim=1) - 1).clamp(min=0)"),
    taxi_norm=_but("slopes.norm(dim=1)", "slopes.abs().sum(dim=1)"),
    roles_of_positions=_but(
        "positions[:, None] * real + (1 - positions[:, None]) * fake",
        "positions[:, None] * fake + (1 - positions[:, None]) * real",
    ),
    only_real_points=_but("positions[:, None] * real + (1 - positions[:, None]) * fake", "real.clone()"),
    own_positions=_but(
        "        points =", "        positions = torch.rand_like(positions)\n        points ="
    ),
    one_position_for_all=_but(
        "positions[:, None] * real + (1 - positions[:, None]) * fake",
        "positions[0] * real + (1 - positions[0]) * fake",
    ),
    no_second_derivative=_but("(slopes.norm(dim=1) - 1)", "(slopes.detach().norm(dim=1) - 1)"),
    weight_ignored=_but("weight * penalty - estimate", "penalty - estimate"),
    weight_in_the_return=_but("penalty.item()", "(weight * penalty).item()"),
    penalty_in_the_estimate=_but("estimate.item(), ", "(estimate - weight * penalty).item(), "),
    not_detached=_but("generator(noise).detach()", "generator(noise)"),
    gradients_not_cleared=_but("        optimizer.zero_grad()\n", ""),
    no_update=_but("        optimizer.step()\n", ""),
    numbers_after_the_update=_but(
        "return estimate.item()", "return (critic(real).mean() - critic(fake).mean()).item()"
    ),
    generator_in_evaluation=_but("        fake =", "        generator.eval()\n        fake ="),
    generator_frozen=_but("        fake =", "        generator.requires_grad_(False)\n        fake ="),
    generator_grad_cleared=_but(
        "        optimizer.zero_grad()", "        optimizer.zero_grad()\n        generator.zero_grad()"
    ),
    sigmoid_critic=_but(
        "critic(real).mean() - critic(fake).mean()",
        "critic(real).sigmoid().mean() - critic(fake).sigmoid().mean()",
    ),
    sum_for_mean=_but("(slopes.norm(dim=1) - 1).square().mean()", "(slopes.norm(dim=1) - 1).square().sum()"),
    tensors_returned=_but("estimate.item(), penalty.item()", "estimate, penalty"),
)
