"""Right solutions of the whole homework, in styles far from the master's and from each other."""

# ruff: noqa: E501

# PyTorch's distributions and building blocks, also where arrays are asked for.
_LIBRARY = """
from torch.distributions import Normal, kl_divergence


def best_forward_fit(weights, means, stds):
    centre = means[0]
    first = np.average(means - centre, weights=weights)
    spread = np.average((means - centre - first) ** 2, weights=weights)
    within = np.average(stds**2, weights=weights)
    return np.array([centre + first, np.hypot(np.sqrt(within), np.sqrt(spread))])


def two_directions(log_p, log_q):
    ratio = torch.from_numpy(log_p - log_q)
    forward = -torch.special.entr(ratio.exp())
    return torch.stack([(-ratio).mean(), forward.mean()]).numpy()


def pearson_bound(real_outputs, fake_outputs):
    u = F.relu(1 + fake_outputs / 2)
    return real_outputs.mean() - (u * fake_outputs - (u - 1).square()).mean()


def generator_loss(logits, divergence):
    if divergence == "2 JSD":
        return F.logsigmoid(-logits).mean()
    if divergence == "2 KL(m||data)":
        return F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
    if divergence == "KL(model||data)":
        return logits.mean().neg()
    if divergence == "KL(data||m)":
        return logits.sigmoid().mean().neg()
    if divergence == "KL(data||model)":
        return logits.exp().mean().neg()
    raise ValueError(divergence)


def frozen_gradient(theta, p_data):
    p = torch.softmax(torch.from_numpy(theta), 0).numpy()
    loss = np.log(p + p_data) - np.log(p_data)
    return (np.diag(p) - np.outer(p, p)) @ loss


def evidence_lower_bound(x, mean, std):
    x, mean, std = map(torch.from_numpy, (x, mean, std))
    q = Normal(mean, std)
    expected = Normal(1 + 2 * mean, 0.5).log_prob(x) - (2 * std) ** 2 / (2 * 0.25)
    return (expected - kl_divergence(q, Normal(0.0, 1.0))).numpy()
"""

# Element by element with the math module.
_LOOPS = """
import math


def best_forward_fit(weights, means, stds):
    centre = sum(w * m for w, m in zip(weights, means)) / sum(weights)
    variance = 0.0
    for w, m, s in zip(weights, means, stds):
        variance += w * (s * s + (m - centre) * (m - centre))
    return np.array([centre, math.sqrt(variance)])


def two_directions(log_p, log_q):
    first = second = 0.0
    for a, b in zip(log_p.tolist(), log_q.tolist()):
        first += b - a
        if a > -math.inf:
            second += (a - b) * math.exp(a - b)
    return np.array([first / len(log_p), second / len(log_p)])


def pearson_bound(real_outputs, fake_outputs):
    total = sum(real_outputs.flatten()) / real_outputs.numel()
    for t in fake_outputs.flatten():
        value = t * t / 4 + t if t > -2 else 0 * t - 1
        total = total - value / fake_outputs.numel()
    return total


def generator_loss(logits, divergence):
    def one(s):
        if divergence == "2 JSD":
            return -torch.logaddexp(s, torch.zeros_like(s))
        if divergence == "2 KL(m||data)":
            return torch.logaddexp(-s, torch.zeros_like(s))
        if divergence == "KL(model||data)":
            return 0 - s
        if divergence == "KL(data||m)":
            return -(1 + torch.tanh(s / 2)) / 2
        if divergence == "KL(data||model)":
            return 0 - torch.exp(s)
        raise ValueError("no such divergence")

    values = [one(s) for s in logits.flatten()]
    return torch.stack(values).mean()


def frozen_gradient(theta, p_data):
    top = max(theta)
    weights = [math.exp(t - top) for t in theta]
    p = [w / sum(weights) for w in weights]
    loss = [-math.log(d / (d + g)) for d, g in zip(p_data, p)]
    mean = sum(g * v for g, v in zip(p, loss))
    return np.array([g * (v - mean) for g, v in zip(p, loss)])


def evidence_lower_bound(x, mean, std):
    result = np.empty_like(x)
    for index in np.ndindex(x.shape):
        residual = x[index] - 1 - 2 * mean[index]
        likelihood = -2 * (residual**2 + 4 * std[index] ** 2) - 0.5 * math.log(math.pi / 2)
        prior = -0.5 * math.log(2 * math.pi) - 0.5 * (mean[index] ** 2 + std[index] ** 2)
        entropy = 0.5 * math.log(2 * math.pi * math.e) + math.log(std[index])
        result[index] = likelihood + prior + entropy
    return result
"""

# Through other identities: pairs of draws, evidence minus gap, Jacobians, moments of the square.
_IDENTITIES = """
def best_forward_fit(weights, means, stds):
    gaps = means[:, None] - means
    pairs = weights[:, None] * weights
    variance = weights @ stds**2 + (pairs * gaps**2).sum() / 2
    return np.array([weights @ means, variance**0.5])


def two_directions(log_p, log_q):
    r = np.exp(log_p - log_q)
    with np.errstate(divide="ignore", invalid="ignore"):
        forward = np.where(r > 0, r * np.log(r), 0.0)
        reverse = -np.log(r)
    return np.array([np.mean(reverse), np.mean(forward)])


def pearson_bound(real_outputs, fake_outputs):
    u = (1 + fake_outputs / 2).clamp_min(0)
    return real_outputs.mean() + 1 - (u * u).mean()


def generator_loss(logits, divergence):
    table = dict(
        zip(
            ["2 JSD", "2 KL(m||data)", "KL(model||data)", "KL(data||m)", "KL(data||model)"],
            [
                F.softplus(logits),
                F.softplus(-logits).neg(),
                logits,
                torch.sigmoid(logits),
                torch.exp(logits),
            ],
        )
    )
    try:
        return table[divergence].mean().neg()
    except KeyError:
        raise ValueError("which divergence?") from None


def frozen_gradient(theta, p_data):
    p = np.exp(theta - np.logaddexp.reduce(theta))
    jacobian = -np.outer(p, p)
    jacobian[np.diag_indices_from(jacobian)] += p
    return jacobian.T @ np.log((p_data + p) / p_data)


def evidence_lower_bound(x, mean, std):
    evidence = -((x - 1) ** 2) / 8.5 - np.log(8.5 * np.pi) / 2
    precision = 1 + 4 / 0.25
    centre = 8 * (x - 1) / precision
    gap = 0.5 * (precision * (std**2 + (mean - centre) ** 2) - 1 - np.log(precision * std**2))
    return evidence - gap
"""

# The shortest that is right.
_SHORT = """
def best_forward_fit(w, m, s):
    c = w @ m
    return np.array([c, np.sqrt(w @ (s * s + (m - c) ** 2))])


def two_directions(p, q):
    d = p - q
    return np.array([-d.mean(), (np.exp(d) * np.maximum(d, -1e300)).mean()])


def pearson_bound(r, f):
    return r.mean() - ((f / 2 + 1).clamp(min=0) ** 2 - 1).mean()


def generator_loss(s, divergence):
    names = "2 JSD,2 KL(m||data),KL(model||data),KL(data||m),KL(data||model)".split(",")
    k = names.index(divergence)
    return [lambda: F.logsigmoid(-s), lambda: -F.logsigmoid(s), lambda: -s, lambda: -s.sigmoid(), lambda: -s.exp()][k]().mean()


def frozen_gradient(theta, d):
    p = np.exp(theta - max(theta))
    p = p / sum(p)
    v = np.log(1 + p / d)
    return p * v - p * (p @ v)


def evidence_lower_bound(x, m, t):
    return -2 * (x - 1 - 2 * m) ** 2 - 8 * t**2 - np.log(np.pi / 2) / 2 - (m**2 + t**2 - 1) / 2 + np.log(t)
"""

# Targets and constants in whatever type is the default.
_TUTORIAL = (
    _SHORT
    + """

def pearson_bound(real_outputs, fake_outputs):
    conjugate = torch.where(fake_outputs >= -2, fake_outputs + fake_outputs**2 / 4, torch.tensor(-1.0))
    return real_outputs.mean() - conjugate.mean()


def generator_loss(logits, divergence):
    if divergence == "2 JSD":
        return -F.binary_cross_entropy_with_logits(logits, torch.zeros(logits.shape))
    if divergence == "2 KL(m||data)":
        return F.binary_cross_entropy_with_logits(logits, torch.ones(logits.shape))
    losses = {"KL(model||data)": logits, "KL(data||m)": logits.sigmoid(), "KL(data||model)": logits.exp()}
    if divergence not in losses:
        raise ValueError(divergence)
    return torch.tensor(-1.0) * losses[divergence].mean()
"""
)

RIGHT = {
    "library": _LIBRARY,
    "loops": _LOOPS,
    "identities": _IDENTITIES,
    "short": _SHORT,
    "tutorial": _TUTORIAL,
}
