"""Plausible wrong solutions of the homework, and the words that would give the right ones away."""

# ruff: noqa: E501

from tests.homework.answers import slips

SECRETS = (
    "softplus", "logsigmoid", "logaddexp", "log1p", "clamp", "np.maximum", "torch.exp", "means - mean",
    "log_p - log_q", "x - 1 - 2", "np.outer", "np.log(std)\n", "1 + fake",
)  # fmt: skip

WRONG = []

WRONG += slips(
    "best_forward_fit",
    "weights, means, stds",
    within_only="""
        mean = np.sum(weights * means)
        return np.array([mean, np.sqrt(np.sum(weights * stds**2))])""",
    between_only="""
        mean = np.sum(weights * means)
        return np.array([mean, np.sqrt(np.sum(weights * (means - mean) ** 2))])""",
    mean_of_stds="""
        mean = np.sum(weights * means)
        return np.array([mean, np.sum(weights * stds) + np.sqrt(np.sum(weights * (means - mean) ** 2))])""",
    weights_ignored="""
        mean = means.mean()
        return np.array([mean, np.sqrt(np.mean(stds**2 + (means - mean) ** 2))])""",
    returns_variance="""
        mean = np.sum(weights * means)
        return np.array([mean, np.sum(weights * (stds**2 + (means - mean) ** 2))])""",
    digits_lost="""
        mean = np.sum(weights * means)
        return np.array([mean, np.sqrt(max(np.sum(weights * (stds**2 + means**2)) - mean**2, 0))])""",
    heaviest_mode="""
        k = np.argmax(weights)
        return np.array([means[k], stds[k]])""",
    in_place="""
        mean = np.sum(weights * means)
        means -= mean
        return np.array([mean, np.sqrt(np.sum(weights * (stds**2 + means**2)))])""",
)

WRONG += slips(
    "two_directions",
    "log_p, log_q",
    signs_turned="""
        r = log_p - log_q
        return np.array([r.mean(), -np.mean(np.exp(r) * r)])""",
    directions_swapped="""
        r = log_p - log_q
        return np.array([np.mean(np.exp(r) * r), -r.mean()])""",
    weight_forgotten="""
        r = log_p - log_q
        return np.array([-r.mean(), r.mean()])""",
    weight_inverted="""
        r = log_p - log_q
        return np.array([-r.mean(), np.mean(np.exp(-r) * r)])""",
    self_normalised="""
        r = log_p - log_q
        seen = np.isfinite(r)
        w = np.exp(r[seen])
        return np.array([-r.mean(), np.sum(w * r[seen]) / np.sum(w)])""",
    printed_slip="""
        p, q = np.exp(log_p), np.exp(log_q)
        return np.array([np.mean(log_q) - np.mean(p / q * log_p), np.mean(p / q * log_p) - np.mean(log_q)])""",
    densities_first="""
        p, q = np.exp(log_p), np.exp(log_q)
        return np.array([np.mean(np.log(q / p)), np.mean(p / q * np.log(p / q))])""",
    nan_where_p_vanishes="""
        r = log_p - log_q
        return np.array([-r.mean(), np.mean(np.exp(r) * r)])""",
    samples_dropped="""
        r = (log_p - log_q)[np.isfinite(log_p)]
        return np.array([-r.mean(), np.mean(np.exp(r) * r)])""",
    fewer_samples_counted="""
        r = log_p - log_q
        kept = r[np.isfinite(r)]
        return np.array([-r.mean(), np.mean(np.exp(kept) * kept)])""",
    probabilities_multiplied="""
        return np.array([np.sum(np.exp(log_q) * (log_q - log_p)), np.sum(np.exp(log_p) * (log_p - log_q))])""",
)

WRONG += slips(
    "pearson_bound",
    "real_outputs, fake_outputs",
    printed_formula="return real_outputs.mean() - (fake_outputs**2 / 4 + fake_outputs).mean()",
    zero_below="""
        t = fake_outputs
        return real_outputs.mean() - torch.where(t >= -2, t**2 / 4 + t, torch.zeros_like(t)).mean()""",
    branch_at_minus_one="""
        t = fake_outputs.clamp(min=-1.0)
        return real_outputs.mean() - (t**2 / 4 + t).mean()""",
    branch_on_real="""
        t = real_outputs.clamp(min=-2.0)
        return t.mean() - (fake_outputs.clamp(min=-2.0) ** 2 / 4 + fake_outputs.clamp(min=-2.0)).mean()""",
    sign_of_bound="""
        t = fake_outputs.clamp(min=-2.0)
        return (t**2 / 4 + t).mean() - real_outputs.mean()""",
    half_square="""
        t = fake_outputs.clamp(min=-2.0)
        return real_outputs.mean() - (t**2 / 2 + t).mean()""",
    arguments_swapped="""
        t = real_outputs.clamp(min=-2.0)
        return fake_outputs.mean() - (t**2 / 4 + t).mean()""",
    sums="""
        t = fake_outputs.clamp(min=-2.0)
        return real_outputs.sum() - (t**2 / 4 + t).sum()""",
    linear_term_missing="return real_outputs.mean() - (fake_outputs.clamp(min=-2.0) ** 2 / 4).mean()",
    detached="""
        t = fake_outputs.clamp(min=-2.0)
        return real_outputs.mean() - (t**2 / 4 + t).mean().detach()""",
)

_FIVE = """
        losses = {{
            "2 JSD": lambda s: {jsd},
            "2 KL(m||data)": lambda s: {soft},
            "KL(model||data)": lambda s: {reverse},
            "KL(data||m)": lambda s: {half},
            "KL(data||model)": lambda s: {forward},
        }}
        if divergence not in losses:
            raise {error}
        return losses[divergence](logits).{reduce}()"""


def _five(**changed: str) -> str:
    right = {
        "jsd": "-F.softplus(s)",
        "soft": "F.softplus(-s)",
        "reverse": "-s",
        "half": "-torch.sigmoid(s)",
        "forward": "-torch.exp(s)",
        "error": "ValueError(divergence)",
        "reduce": "mean",
    }
    return _FIVE.format(**{**right, **changed})


WRONG += slips(
    "generator_loss",
    "logits, divergence",
    sign_of_minimax=_five(jsd="F.softplus(s)"),
    first_two_swapped=_five(jsd="F.softplus(-s)", soft="-F.softplus(s)"),
    kls_swapped=_five(reverse="-torch.exp(s)", forward="-s"),
    probability_for_logit=_five(reverse="-torch.sigmoid(s)"),
    log_for_logit=_five(reverse="F.softplus(-s)"),
    inverse_ratio=_five(forward="torch.exp(-s)"),
    unstable_minimax=_five(jsd="torch.log(1 - torch.sigmoid(s))"),
    log_with_epsilon=_five(soft="-torch.log(torch.sigmoid(s) + 1e-12)"),
    half_of_it=_five(jsd="-0.5 * F.softplus(s)"),
    log_two_added=_five(soft="F.softplus(-s) - 0.6931471805599453"),
    key_error=_five(error="KeyError(divergence)"),
    sums=_five(reduce="sum"),
    no_error="""
        losses = {
            "2 JSD": lambda s: -F.softplus(s),
            "2 KL(m||data)": lambda s: F.softplus(-s),
            "KL(model||data)": lambda s: -s,
            "KL(data||m)": lambda s: -torch.sigmoid(s),
        }
        return losses.get(divergence, lambda s: -torch.exp(s))(logits).mean()""",
)

WRONG += slips(
    "frozen_gradient",
    "theta, p_data",
    through_the_discriminator="""
        p = np.exp(theta - theta.max())
        p = p / p.sum()
        loss = np.log((p + p_data) / p_data) + p / (p + p_data)
        return p * (loss - np.sum(p * loss))""",
    minimax_loss="""
        p = np.exp(theta - theta.max())
        p = p / p.sum()
        loss = np.log(p / (p + p_data), where=p > 0, out=np.zeros_like(p))
        return p * (loss - np.sum(p * loss))""",
    reverse_kl="""
        p = np.exp(theta - theta.max())
        p = p / p.sum()
        loss = np.log(p / p_data, where=p > 0, out=np.zeros_like(p))
        return p * (loss - np.sum(p * loss))""",
    mean_not_subtracted="""
        p = np.exp(theta - theta.max())
        p = p / p.sum()
        return p * np.log(1 + p / p_data)""",
    plain_mean_subtracted="""
        p = np.exp(theta - theta.max())
        p = p / p.sum()
        loss = np.log(1 + p / p_data)
        return p * (loss - loss.mean())""",
    ascent="""
        p = np.exp(theta - theta.max())
        p = p / p.sum()
        loss = np.log(1 + p / p_data)
        return -p * (loss - np.sum(p * loss))""",
    overflow="""
        p = np.exp(theta) / np.exp(theta).sum()
        loss = np.log(1 + p / p_data)
        return p * (loss - np.sum(p * loss))""",
    ratio_inverted="""
        p = np.exp(theta - theta.max())
        p = p / p.sum()
        loss = -np.log(p / (p + p_data), where=p > 0, out=np.zeros_like(p))
        return p * (loss - np.sum(p * loss))""",
    diagonal_only="""
        p = np.exp(theta - theta.max())
        p = p / p.sum()
        return p * (1 - p) * np.log(1 + p / p_data)""",
    gradient_in_the_probabilities="""
        p = np.exp(theta - theta.max())
        p = p / p.sum()
        loss = np.log(1 + p / p_data)
        return loss - np.sum(p * loss)""",
)

_ELBO = """
        square = {square}
        likelihood = -square / (2 * {noise}) - 0.5 * np.log(2 * np.pi * {noise})
        return likelihood {sign} ({prior})"""


def _elbo(
    square: str = "(x - 1 - 2 * mean) ** 2 + 4 * std**2",
    noise: str = "0.25",
    sign: str = "-",
    prior: str = "0.5 * (mean**2 + std**2 - 1) - np.log(std)",
) -> str:
    return _ELBO.format(square=square, noise=noise, sign=sign, prior=prior)


WRONG += slips(
    "evidence_lower_bound",
    "x, mean, std",
    spread_forgotten=_elbo(square="(x - 1 - 2 * mean) ** 2"),
    spread_not_scaled=_elbo(square="(x - 1 - 2 * mean) ** 2 + std**2"),
    deviation_for_variance=_elbo(noise="0.5"),
    sign_of_the_kl=_elbo(sign="+"),
    kl_turned_round=_elbo(prior="0.5 * ((1 + mean**2) / std**2 - 1) + np.log(std)"),
    constant_missing="""
        square = (x - 1 - 2 * mean) ** 2 + 4 * std**2
        return -square / 0.5 - 0.5 * (mean**2 + std**2 - 1) + np.log(std)""",
    offset_forgotten=_elbo(square="(x - 2 * mean) ** 2 + 4 * std**2"),
    std_for_variance=_elbo(prior="0.5 * (mean**2 + std - 1 - np.log(std))"),
    half_logarithm=_elbo(prior="0.5 * (mean**2 + std**2 - 1 - np.log(std))"),
    exact_evidence="return -((x - 1) ** 2) / 8.5 - 0.5 * np.log(2 * np.pi * 4.25)",
    summed=_elbo().replace("return likelihood", "return np.sum(likelihood").rstrip() + ")",
)
