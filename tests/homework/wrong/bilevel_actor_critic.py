"""Plausible wrong solutions of the homework, and the words that would give the right ones away."""

# ruff: noqa: E501

from tests.homework.answers import slips

SECRETS = (
    "linalg", "einsum", "cumsum", "cumprod", "np.eye", "np.where", "reversed", "- inner_xy", "argmax", "keepdims",
    "np.exp(", "[::-1]", ".T", "softmax(", "advantage = ",
)  # fmt: skip

WRONG = []

WRONG += slips(
    "total_gradient",
    "outer_x, outer_y, inner_xy, inner_yy",
    sign="return outer_x + inner_xy @ np.linalg.solve(inner_yy, outer_y)",
    correction_dropped="return outer_x.copy()",
    correction_alone="return -inner_xy @ np.linalg.solve(inner_yy, outer_y)",
    curvature_not_inverted="return outer_x - inner_xy @ inner_yy @ outer_y",
    curvature_forgotten="return outer_x - inner_xy @ outer_y",
    diagonal_only="return outer_x - inner_xy @ (outer_y / np.diag(inner_yy))",
    inverse_entry_by_entry="return outer_x - inner_xy @ (1 / inner_yy) @ outer_y",
    damped="return outer_x - inner_xy @ np.linalg.solve(inner_yy + 1e-3 * np.eye(len(inner_yy)), outer_y)",
    few_steps_of_descent="""
        adjoint = np.zeros(len(outer_y))
        for _ in range(50):
            adjoint = adjoint - 0.1 * (inner_yy @ adjoint - outer_y)
        return outer_x - inner_xy @ adjoint""",
    absolute_curvature="""
        scale, vectors = np.linalg.eigh(inner_yy)
        return outer_x - inner_xy @ ((vectors / np.abs(scale)) @ (vectors.T @ outer_y))""",
    in_place="""
        outer_x -= inner_xy @ np.linalg.solve(inner_yy, outer_y)
        return outer_x""",
    no_return="outer_x - inner_xy @ np.linalg.solve(inner_yy, outer_y)",
    column="return (outer_x - inner_xy @ np.linalg.solve(inner_yy, outer_y))[:, None]",
)

_VALUES = """
        step = np.einsum("sa,sat->st", policy, transition)
        values = np.linalg.solve(np.eye(len(step)) - discount * step, (policy * reward).sum(1))"""

WRONG += slips(
    "policy_action_values",
    "transition, reward, policy, discount",
    state_values=_VALUES
    + """
        return values""",
    discount_forgotten_once=_VALUES
    + """
        return reward + transition @ values""",
    no_discount="""
        step = np.einsum("sa,sat->st", policy, transition)
        values = np.linalg.solve(np.eye(len(step)) - step, (policy * reward).sum(1))
        return reward + transition @ values""",
    one_step_only="""
        return reward + discount * transition @ (policy * reward).sum(1)""",
    best_policy_instead="""
        values = np.zeros(len(reward))
        for _ in range(2000):
            values = (reward + discount * transition @ values).max(1)
        return reward + discount * transition @ values""",
    too_few_sweeps="""
        values = np.zeros(len(reward))
        for _ in range(15):
            values = (policy * (reward + discount * transition @ values)).sum(1)
        return reward + discount * transition @ values""",
    policy_ignored="""
        step = transition.mean(1)
        values = np.linalg.solve(np.eye(len(step)) - discount * step, reward.mean(1))
        return reward + discount * transition @ values""",
    transposed="""
        step = np.einsum("sa,sat->ts", policy, transition)
        values = np.linalg.solve(np.eye(len(step)) - discount * step, (policy * reward).sum(1))
        return reward + discount * transition @ values""",
    rows_normalised="""
        total = transition.sum(2, keepdims=True)
        onward = transition / np.where(total > 0, total, 1)
        step = np.einsum("sa,sat->st", policy, onward)
        values = np.linalg.lstsq(np.eye(len(step)) - discount * step, (policy * reward).sum(1), rcond=None)[0]
        return reward + discount * onward @ values""",
    first_action_by_policy=_VALUES
    + """
        return np.repeat(values[:, None], reward.shape[1], 1)""",
    minus=_VALUES
    + """
        return reward - discount * transition @ values""",
    a_hundred_sweeps="""
        worth = reward.copy()
        for _ in range(100):
            worth = reward + discount * transition @ (policy * worth).sum(1)
        return worth""",
)

WRONG += slips(
    "greedy_policy",
    "transition, reward, values, discount",
    first_of_the_ties="""
        worth = reward + discount * transition @ values
        return np.eye(reward.shape[1])[worth.argmax(1)]""",
    exact_comparison="""
        worth = reward + discount * transition @ values
        best = worth == worth.max(1, keepdims=True)
        return best / best.sum(1, keepdims=True)""",
    too_tolerant="""
        worth = reward + discount * transition @ values
        best = np.isclose(worth, worth.max(1, keepdims=True))
        return best / best.sum(1, keepdims=True)""",
    not_normalised="""
        worth = reward + discount * transition @ values
        return (worth >= worth.max(1, keepdims=True) - 1e-9).astype(float)""",
    worst="""
        worth = reward + discount * transition @ values
        best = worth <= worth.min(1, keepdims=True) + 1e-9
        return best / best.sum(1, keepdims=True)""",
    short_sighted="""
        best = reward >= reward.max(1, keepdims=True) - 1e-9
        return best / best.sum(1, keepdims=True)""",
    discount_ignored="""
        worth = reward + transition @ values
        best = worth >= worth.max(1, keepdims=True) - 1e-9
        return best / best.sum(1, keepdims=True)""",
    soft="""
        worth = reward + discount * transition @ values
        soft = np.exp(worth - worth.max(1, keepdims=True))
        return soft / soft.sum(1, keepdims=True)""",
    largest_of_all_states="""
        worth = reward + discount * transition @ values
        best = worth >= worth.max() - 1e-9
        return best / np.maximum(best.sum(1, keepdims=True), 1)""",
    truth_values="""
        worth = reward + discount * transition @ values
        return worth >= worth.max(1, keepdims=True) - 1e-9""",
    a_little_too_tolerant="""
        worth = reward + discount * transition @ values
        tied = worth.max(1, keepdims=True) - worth <= 1e-8
        return tied / tied.sum(1, keepdims=True)""",
    too_strict="""
        worth = reward + discount * transition @ values
        tied = worth.max(1, keepdims=True) - worth <= 1e-11
        return tied / tied.sum(1, keepdims=True)""",
    relative_tolerance="""
        worth = reward + discount * transition @ values
        tied = np.isclose(worth, worth.max(1, keepdims=True), rtol=1e-9, atol=1e-9)
        return tied / tied.sum(1, keepdims=True)""",
    rounded="""
        worth = np.round(reward + discount * transition @ values, 9)
        tied = worth == worth.max(1, keepdims=True)
        return tied / tied.sum(1, keepdims=True)""",
)

_SOFTMAX = """
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        policy = shifted / shifted.sum(1, keepdims=True)
        step = np.einsum("sa,sat->st", policy, transition)
        system = np.eye(len(start)) - discount * step
        values = np.linalg.solve(system, (policy * reward).sum(1))
        worth = reward + discount * transition @ values"""

_END = """
        return np.linalg.solve(system.T, start)[:, None] * policy * (worth - values[:, None])"""

WRONG += slips(
    "return_gradient",
    "logits, transition, reward, start, discount",
    shifted_by_the_mean=_SOFTMAX.replace("logits.max(1,", "logits.mean(1,") + _END,
    shifted_by_the_smallest=_SOFTMAX.replace("logits.max(1,", "logits.min(1,") + _END,
    shifted_by_the_first=_SOFTMAX.replace("logits.max(1, keepdims=True)", "logits[:, :1]") + _END,
    no_baseline=_SOFTMAX
    + """
        return np.linalg.solve(system.T, start)[:, None] * policy * worth""",
    no_policy_factor=_SOFTMAX
    + """
        return np.linalg.solve(system.T, start)[:, None] * (worth - values[:, None])""",
    start_for_visits=_SOFTMAX
    + """
        return start[:, None] * policy * (worth - values[:, None])""",
    visits_not_discounted=_SOFTMAX
    + """
        visits = np.linalg.solve((np.eye(len(start)) - step).T, start)
        return visits[:, None] * policy * (worth - values[:, None])""",
    visits_transposed=_SOFTMAX
    + """
        return np.linalg.solve(system, start)[:, None] * policy * (worth - values[:, None])""",
    visits_normalised=_SOFTMAX
    + """
        visits = np.linalg.solve(system.T, start)
        return (visits / visits.sum())[:, None] * policy * (worth - values[:, None])""",
    reward_for_q=_SOFTMAX
    + """
        visits = np.linalg.solve(system.T, start)
        return visits[:, None] * policy * (reward - (policy * reward).sum(1, keepdims=True))""",
    sign=_SOFTMAX
    + """
        return -np.linalg.solve(system.T, start)[:, None] * policy * (worth - values[:, None])""",
    mean_without_policy=_SOFTMAX
    + """
        visits = np.linalg.solve(system.T, start)
        return visits[:, None] * policy * (worth - worth.mean(1, keepdims=True))""",
    overflowing_softmax="""
        shifted = np.exp(logits)
        policy = shifted / shifted.sum(1, keepdims=True)
        step = np.einsum("sa,sat->st", policy, transition)
        system = np.eye(len(start)) - discount * step
        values = np.linalg.solve(system, (policy * reward).sum(1))
        worth = reward + discount * transition @ values
        return np.linalg.solve(system.T, start)[:, None] * policy * (worth - values[:, None])""",
    one_shift_for_all_states="""
        weights = np.exp(logits - logits.max())
        policy = weights / weights.sum(1, keepdims=True)
        system = np.eye(len(start)) - discount * np.einsum("sa,sat->st", policy, transition)
        values = np.linalg.solve(system, (policy * reward).sum(1))
        visits = np.linalg.solve(system.T, start)
        return visits[:, None] * policy * (reward + discount * transition @ values - values[:, None])""",
)

_TO_GO = """
        to_go, running = np.zeros(len(rewards)), 0.0
        for t in reversed(range(len(rewards))):
            running = rewards[t] + discount * running
            to_go[t] = running"""

WRONG += slips(
    "reinforce_weights",
    "rewards, baselines, discount",
    no_power=_TO_GO
    + """
        return to_go - baselines""",
    baseline_ignored=_TO_GO
    + """
        return discount ** np.arange(len(rewards)) * to_go""",
    baseline_not_discounted=_TO_GO
    + """
        return discount ** np.arange(len(rewards)) * to_go - baselines""",
    baseline_added=_TO_GO
    + """
        return discount ** np.arange(len(rewards)) * (to_go + baselines)""",
    whole_return="""
        powers = discount ** np.arange(len(rewards))
        return powers * ((powers * rewards).sum() - baselines)""",
    future_not_discounted="""
        to_go = rewards[::-1].cumsum()[::-1]
        return discount ** np.arange(len(rewards)) * (to_go - baselines)""",
    divided_by_powers="""
        powers = discount ** np.arange(len(rewards))
        to_go = (powers * rewards)[::-1].cumsum()[::-1] / powers
        return powers * (to_go - baselines)""",
    difference_of_sums="""
        powers = discount ** np.arange(len(rewards))
        paid = powers * rewards
        to_go = paid.sum() - np.concatenate([[0.0], paid.cumsum()[:-1]])
        return to_go - powers * baselines""",
    own_reward_forgotten=_TO_GO
    + """
        return discount ** np.arange(len(rewards)) * (to_go - rewards - baselines)""",
    power_from_one=_TO_GO
    + """
        return discount ** np.arange(1, len(rewards) + 1) * (to_go - baselines)""",
    normalised=_TO_GO
    + """
        weights = discount ** np.arange(len(rewards)) * (to_go - baselines)
        return (weights - weights.mean()) / (weights.std() + 1e-8)""",
    past_praised="""
        to_go = rewards.cumsum()
        return discount ** np.arange(len(rewards)) * (to_go - baselines)""",
)

WRONG += slips(
    "td_errors",
    "rewards, values, next_values, terminated, discount",
    end_ignored="return rewards + discount * next_values - values",
    end_by_product="return rewards + discount * next_values * (1 - terminated) - values",
    sign="return values - rewards - discount * np.where(terminated, 0, next_values)",
    minus_future="return rewards - discount * np.where(terminated, 0, next_values) - values",
    no_discount="return rewards + np.where(terminated, 0, next_values) - values",
    inverted_flag="return rewards + discount * np.where(terminated, next_values, 0) - values",
    target_only="return rewards + discount * np.where(terminated, 0, next_values)",
    everything_ends="return rewards - values",
    nothing_where_ended="return np.where(terminated, 0, rewards + discount * next_values - values)",
    mean_square="return np.mean((rewards + discount * np.where(terminated, 0, next_values) - values) ** 2)",
    in_place="""
        next_values[terminated] = 0
        return rewards + discount * next_values - values""",
)
