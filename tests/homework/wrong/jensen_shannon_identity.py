"""Plausible wrong solutions of the homework, and the words that would give the right ones away."""

# ruff: noqa: E501

from tests.homework.answers import slips

SECRETS = (
    "logaddexp", "log1p", "np.unique", "bincount", "ddof", "joint", "np.where(", "errstate", "logs.max",
    "/ product", "real_in",
)  # fmt: skip

WRONG = []


def _but(body: str, old: str, new: str) -> str:
    assert body.count(old) == 1, old
    return body.replace(old, new)


def _slips(function: str, arguments: str, body: str, changes: list[tuple[str, str, str]]) -> None:
    WRONG.extend(slips(function, arguments, **{slip: _but(body, old, new) for slip, old, new in changes}))


_slips(
    "information",
    "laws, weights",
    """
    joint = weights[:, None] * laws
    mixture = joint.sum(axis=0)
    expected = weights[:, None] * mixture
    on = joint > 0
    return float(np.sum(joint[on] * np.log(joint[on] / expected[on])))
    """,
    [
        ("weights_ignored", "joint = weights[:, None] * laws", "joint = laws / len(laws)"),
        ("in_bits", "np.log(", "np.log2("),
        ("sign", "return float(", "return -float("),
        ("zeros_not_left_out", "on = joint > 0", "on = joint >= 0"),
        ("entropy_of_the_index_left_in", "expected = weights[:, None] * mixture", "expected = mixture + 0 * joint"),
        ("mixture_of_equal_parts", "mixture = joint.sum(axis=0)", "mixture = laws.mean(axis=0)"),
        ("array_of_one_number", "float(np.sum(joint[on] * np.log(joint[on] / expected[on])))", "np.array([np.sum(joint[on] * np.log(joint[on] / expected[on]))])"),
        ("changed_in_place", "joint = weights[:, None] * laws", "laws *= weights[:, None]\n    joint = laws"),
        ("divided_by_the_entropy", "np.log(joint[on] / expected[on])))", "np.log(joint[on] / expected[on]))) / -float(weights @ np.log(weights))"),
        ("arguments_of_the_divergence_swapped", "np.sum(joint[on] * np.log(joint[on] / expected[on]))", "np.sum(expected[on] * np.log(expected[on] / joint[on]))"),
    ],
)  # fmt: skip
WRONG += slips(
    "information",
    "laws, weights",
    epsilon_in_the_logarithm="""
        m = weights @ laws
        return float(weights @ np.sum(laws * np.log((laws + 1e-6) / (m + 1e-6)), axis=1))""",
    mean_of_pairs="""
        total = 0.0
        for i in range(len(laws)):
            for j in range(i):
                m = (laws[i] + laws[j]) / 2
                for p in (laws[i], laws[j]):
                    total += 0.5 * np.sum(p[p > 0] * np.log(p[p > 0] / m[p > 0]))
        return float(total)""",
)

_slips(
    "certified_bound",
    "real_logits, fake_logits, prior",
    """
    a, b = -np.logaddexp(0, -real_logits), -np.logaddexp(0, fake_logits)
    entropy = -prior * np.log(prior) - (1 - prior) * np.log(1 - prior)
    bound = entropy + prior * a.mean() + (1 - prior) * b.mean()
    spread = prior**2 * a.var(ddof=1) / a.size + (1 - prior)**2 * b.var(ddof=1) / b.size
    return float(bound), float(np.sqrt(spread))
    """,
    [
        ("log_two_for_the_entropy", "entropy = -prior * np.log(prior) - (1 - prior) * np.log(1 - prior)", "entropy = np.log(2)"),
        ("entropy_forgotten", "bound = entropy + ", "bound = "),
        ("prior_swapped", "prior * a.mean() + (1 - prior) * b.mean()", "(1 - prior) * a.mean() + prior * b.mean()"),
        ("prior_ignored", "prior * a.mean() + (1 - prior) * b.mean()", "a.mean() / 2 + b.mean() / 2"),
        ("sign_of_fake", "-np.logaddexp(0, fake_logits)", "-np.logaddexp(0, -fake_logits)"),
        ("loss_for_bound", "entropy + prior * a.mean() + (1 - prior) * b.mean()", "entropy - prior * a.mean() - (1 - prior) * b.mean()"),
        ("variance_for_error", "float(np.sqrt(spread))", "float(spread)"),
        ("biased_variance", "a.var(ddof=1) / a.size + (1 - prior)**2 * b.var(ddof=1)", "a.var() / a.size + (1 - prior)**2 * b.var()"),
        ("spread_of_one_sample", "a.var(ddof=1) / a.size + (1 - prior)**2 * b.var(ddof=1) / b.size", "a.var(ddof=1) + (1 - prior)**2 * b.var(ddof=1)"),
        ("weights_not_squared", "prior**2 * a.var(ddof=1) / a.size + (1 - prior)**2", "prior * a.var(ddof=1) / a.size + (1 - prior)"),
        ("errors_added", "float(np.sqrt(spread))", "float(prior * np.sqrt(a.var(ddof=1) / a.size) + (1 - prior) * np.sqrt(b.var(ddof=1) / b.size))"),
        ("one_mean_over_both", "prior * a.mean() + (1 - prior) * b.mean()", "np.concatenate([2 * prior * a, 2 * (1 - prior) * b]).mean()"),
        ("unstable_log", "a, b = -np.logaddexp(0, -real_logits), -np.logaddexp(0, fake_logits)", "a, b = np.log(1 / (1 + np.exp(-real_logits))), np.log(1 - 1 / (1 + np.exp(-fake_logits)))"),
        ("clipped_logits", "a, b = -np.logaddexp(0, -real_logits), -np.logaddexp(0, fake_logits)", "a, b = -np.logaddexp(0, -np.clip(real_logits, -30, 30)), -np.logaddexp(0, np.clip(fake_logits, -30, 30))"),
        ("not_below_zero", "return float(bound),", "return float(max(bound, 0.0)),"),
        ("bound_only", "return float(bound), float(np.sqrt(spread))", "return float(bound)"),
    ],
)  # fmt: skip

_slips(
    "gap",
    "p_data, p_generator, answers",
    """
    total = p_data + p_generator
    lost = 0.0
    with np.errstate(divide="ignore"):
        for mass, said in ((p_data, answers), (p_generator, 1 - answers)):
            on = mass > 0
            lost += np.sum(mass[on] * np.log(mass[on] / total[on]) - mass[on] * np.log(said[on]))
    return float(lost)
    """,
    [
        ("halved", "return float(lost)", "return float(lost) / 2"),
        ("sign", "return float(lost)", "return -float(lost)"),
        ("zeros_not_left_out", "on = mass > 0", "on = mass >= 0"),
        ("only_where_both_have_mass", "on = mass > 0", "on = (p_data > 0) & (p_generator > 0)"),
        ("data_only", "((p_data, answers), (p_generator, 1 - answers))", "((p_data, answers),)"),
        ("answers_clipped", "lost = 0.0", "lost = 0.0\n    answers = np.clip(answers, 1e-7, 1 - 1e-7)"),
        ("value_of_the_answers_only", "mass[on] * np.log(mass[on] / total[on]) - mass[on]", "-mass[on]"),
        ("best_value_is_zero", "np.log(mass[on] / total[on])", "0"),
        ("roles_swapped", "((p_data, answers), (p_generator, 1 - answers))", "((p_data, 1 - answers), (p_generator, answers))"),
        ("compared_with_one_half", "np.log(mass[on] / total[on])", "np.log(0.5)"),
        ("large_for_infinite", "return float(lost)", "return float(min(lost, 1e6))"),
        ("in_bits", "return float(lost)", "return float(lost / np.log(2))"),
        ("changed_in_place", "lost = 0.0", "lost = 0.0\n    p_generator += 0 * p_data\n    p_generator /= 1 + 1e-9"),
    ],
)  # fmt: skip
WRONG += slips(
    "gap",
    "p_data, p_generator, answers",
    coins_swapped="""
        total = p_data + p_generator
        best = np.divide(p_data, total, out=np.full(len(total), 0.5), where=total > 0)
        lost = 0.0
        with np.errstate(all="ignore"):
            for a, b in ((answers, best), (1 - answers, 1 - best)):
                lost = lost + np.where((a > 0) & (total > 0), total * a * np.log(a / b), 0.0)
        return float(lost.sum())""",
    squared_error="""
        total = p_data + p_generator
        best = np.divide(p_data, total, out=np.full(len(total), 0.5), where=total > 0)
        return float(np.sum(total * 2 * (best - answers) ** 2))""",
)

_slips(
    "split_gap",
    "p_data, p_generator, answers",
    """
    same = answers[:, None] == answers[None, :]
    real, fake = same @ p_data, same @ p_generator
    total = p_data + p_generator

    def pays(stated_real, stated_fake):
        on, off = p_data > 0, p_generator > 0
        return p_data[on] @ np.log(stated_real[on]) + p_generator[off] @ np.log(stated_fake[off])

    with np.errstate(all="ignore"):
        grouped = pays(real / (real + fake), fake / (real + fake))
        best = pays(p_data / total, p_generator / total)
    given = pays(answers, 1 - answers)
    return float(grouped - given) / 2, float(best - grouped) / 2
    """,
    [
        ("not_halved", "return float(grouped - given) / 2, float(best - grouped) / 2", "return float(grouped - given), float(best - grouped)"),
        ("parts_swapped", "return float(grouped - given) / 2, float(best - grouped) / 2", "return float(best - grouped) / 2, float(grouped - given) / 2"),
        ("sum_for_refinement", "float(best - grouped) / 2", "float(best - given) / 2"),
        ("sum_for_calibration", "return float(grouped - given) / 2", "return float(best - given) / 2"),
        ("answers_rounded", "same = answers[:, None] == answers[None, :]", "same = np.round(answers, 2)[:, None] == np.round(answers, 2)[None, :]"),
        ("answers_nearly_equal", "same = answers[:, None] == answers[None, :]", "same = np.isclose(answers[:, None], answers[None, :])"),
        ("nan_where_all_is_real", "on, off = p_data > 0, p_generator > 0", "on, off = p_data > 0, total > 0"),
        ("every_state_its_own_group", "same = answers[:, None] == answers[None, :]", "same = np.eye(len(answers))"),
        ("one_group_for_all", "same = answers[:, None] == answers[None, :]", "same = np.ones((len(answers), len(answers)))"),
        ("zeros_not_left_out", "on, off = p_data > 0, p_generator > 0", "on, off = p_data >= 0, p_generator >= 0"),
        ("only_where_both_have_mass", "on, off = p_data > 0, p_generator > 0", "on = off = (p_data > 0) & (p_generator > 0)"),
        ("two_bins_as_in_a_threshold", "same = answers[:, None] == answers[None, :]", "same = (answers[:, None] > 0.5) == (answers[None, :] > 0.5)"),
        ("one_number", "return float(grouped - given) / 2, float(best - grouped) / 2", "return float(best - given) / 2"),
    ],
)  # fmt: skip
WRONG += slips(
    "split_gap",
    "p_data, p_generator, answers",
    neighbours_only="""
        cuts = np.flatnonzero(np.diff(answers)) + 1
        calibration = refinement = 0.0
        for p, q, d in zip(np.split(p_data, cuts), np.split(p_generator, cuts), np.split(answers, cuts)):
            for mass, said in ((p, d), (q, 1 - d)):
                on = mass > 0
                share = mass.sum() / (p.sum() + q.sum()) if (p + q).any() else 0.5
                calibration += np.sum(mass[on] * np.log(share / said[on])) / 2
                refinement += np.sum(mass[on] * np.log(mass[on] / (p + q)[on] / share)) / 2
        return float(calibration), float(refinement)""",
    unweighted_fraction="""
        total = p_data + p_generator
        best = np.divide(p_data, total, out=np.full(len(total), 0.5), where=total > 0)
        c = np.array([best[answers == d].mean() for d in answers])

        def kl(a, b):
            safe = lambda u: np.where(u > 0, u, 1.0)
            return a * np.log(safe(a) / safe(b)) + (1 - a) * np.log(safe(1 - a) / safe(1 - b))

        return float(total / 2 @ kl(c, answers)), float(total / 2 @ kl(best, c))""",
)

_slips(
    "multiplicative_step",
    "p_data, p_generator, step_size",
    """
    alive = p_generator > 0
    logs = np.log(p_generator[alive])
    logs = logs + step_size * (np.log(p_data[alive] + p_generator[alive]) - logs)
    new = np.zeros(p_generator.shape)
    new[alive] = np.exp(logs - logs.max())
    return new / new.sum()
    """,
    [
        ("sign", "logs + step_size *", "logs - step_size *"),
        ("step_ignored", "logs + step_size *", "logs +"),
        ("step_two_for_one", "step_size *", "2 * step_size *"),
        ("not_normalised", "new[alive] = np.exp(logs - logs.max())\n    return new / new.sum()", "new[alive] = np.exp(logs)\n    return new"),
        ("overflowing_exp", "np.exp(logs - logs.max())", "np.exp(logs - np.log(p_generator[alive]).min())"),
        ("power_of_the_masses", "return new / new.sum()", "new[alive] = p_generator[alive] ** (1 - step_size) * (p_data[alive] + p_generator[alive]) ** step_size\n    return new / new.sum()"),
        ("data_for_the_sum", "np.log(p_data[alive] + p_generator[alive])", "np.log(p_data[alive] + 1e-300)"),
        ("middle_for_the_sum_and_not_normalised", "new[alive] = np.exp(logs - logs.max())\n    return new / new.sum()", "new[alive] = np.exp(logs - step_size * np.log(2))\n    return new"),
        ("log_D_for_log_one_minus_D", "(np.log(p_data[alive] + p_generator[alive]) - logs)", "(np.log(p_data[alive] + 1e-300) - np.log(p_data[alive] + p_generator[alive]))"),
        ("zeros_kept_alive", "alive = p_generator > 0", "p_generator = p_generator + 1e-12\n    alive = p_generator > 0"),
        ("list_returned", "return new / new.sum()", "return (new / new.sum()).tolist()"),
        ("only_common_states_kept", "alive = p_generator > 0", "alive = (p_generator > 0) & (p_data > 0)"),
        ("changed_in_place", "new = np.zeros(p_generator.shape)", "new = p_generator\n    new[~alive] = 0"),
    ],
)  # fmt: skip
WRONG += slips(
    "multiplicative_step",
    "p_data, p_generator, step_size",
    additive_step="""
        new = np.where(p_generator > 0, p_generator + step_size / 2 * (p_data - p_generator), 0.0)
        new = np.maximum(new, 0.0)
        return new / new.sum()""",
    half_way_whatever_the_step="""
        new = np.where(p_generator > 0, p_data + p_generator, 0.0)
        return new / new.sum()""",
)
