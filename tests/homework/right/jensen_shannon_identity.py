"""Right solutions of the whole homework, in styles far from the master's and from each other."""

# Entropies; whole arrays; no masks but np.where.
_ENTROPIES = """
def _h(masses):
    return -np.sum(masses * np.log(np.where(masses > 0, masses, 1.0)))


def information(laws, weights):
    return float(_h(weights @ laws) - sum(w * _h(p) for w, p in zip(weights, laws)))


def certified_bound(real_logits, fake_logits, prior):
    def log_sigmoid(s):
        return np.minimum(s, 0) - np.log1p(np.exp(-np.abs(s)))

    pays = prior * log_sigmoid(real_logits), (1 - prior) * log_sigmoid(-fake_logits)
    bound = _h(np.array([prior, 1 - prior])) + sum(np.mean(pay) for pay in pays)
    return float(bound), float(np.sqrt(sum(np.var(pay, ddof=1) / pay.size for pay in pays)))


def gap(p_data, p_generator, answers):
    with np.errstate(divide="ignore", invalid="ignore"):
        total = p_data + p_generator
        real = np.where(p_data > 0, p_data * np.log(p_data / (total * answers)), 0.0)
        fake = np.where(p_generator > 0, p_generator * np.log(p_generator / (total * (1 - answers))), 0.0)
    return float(real.sum() + fake.sum())


def split_gap(p_data, p_generator, answers):
    same = answers[:, None] == answers[None, :]
    real, fake = same @ p_data, same @ p_generator
    c = np.where(real + fake > 0, real / np.where(real + fake > 0, real + fake, 1.0), 0.5)
    total = p_data + p_generator
    best = np.where(total > 0, p_data / np.where(total > 0, total, 1.0), 0.5)

    def kl(a, b):
        safe = lambda u: np.where(u > 0, u, 1.0)
        return a * np.log(safe(a) / safe(b)) + (1 - a) * np.log(safe(1 - a) / safe(1 - b))

    return float(np.sum(total / 2 * kl(c, answers))), float(np.sum(total / 2 * kl(best, c)))


def multiplicative_step(p_data, p_generator, step_size):
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(p_generator) - step_size * np.log(p_generator / (p_data + p_generator))
    logs = np.where(p_generator > 0, logs, -np.inf)
    logs = logs - np.logaddexp.reduce(logs)
    return np.exp(logs)
"""

# State by state with the math module.
_LOOPS = """
import math


def information(laws, weights):
    total = 0.0
    for j in range(laws.shape[1]):
        mixture = sum(float(w) * float(p[j]) for w, p in zip(weights, laws))
        for w, p in zip(weights, laws):
            if p[j] > 0:
                total += w * p[j] * math.log(p[j] / mixture)
    return float(total)


def certified_bound(real_logits, fake_logits, prior):
    bound = -prior * math.log(prior) - (1 - prior) * math.log(1 - prior)
    variance = 0.0
    for weight, sign, logits in ((prior, -1, real_logits), (1 - prior, 1, fake_logits)):
        losses = []
        for s in logits:
            u = sign * float(s)
            losses.append(u + math.log1p(math.exp(-u)) if u > 0 else math.log1p(math.exp(u)))
        mean = sum(losses) / len(losses)
        bound -= weight * mean
        variance += weight**2 * sum((loss - mean) ** 2 for loss in losses) / (len(losses) - 1) / len(losses)
    return bound, math.sqrt(variance)


def gap(p_data, p_generator, answers):
    lost = 0.0
    for p, q, d in zip(p_data, p_generator, answers):
        for mass, other, said in ((p, q, d), (q, p, 1 - d)):
            if mass == 0:
                continue
            if said == 0:
                return math.inf
            lost += mass * math.log(mass / (mass + other) / said)
    return float(lost)


def split_gap(p_data, p_generator, answers):
    groups = {}
    for p, q, d in zip(p_data.tolist(), p_generator.tolist(), answers.tolist()):
        groups.setdefault(d, []).append((p, q))

    def coin(a, b):
        parts = [(a, b), (1 - a, 1 - b)]
        return sum(u * math.log(u / v) for u, v in parts if u > 0)

    calibration, refinement = 0.0, 0.0
    for said, members in groups.items():
        real, fake = sum(p for p, _ in members), sum(q for _, q in members)
        if real + fake > 0:
            c = real / (real + fake)
            calibration += (real + fake) / 2 * coin(c, said)
            refinement += sum((p + q) / 2 * coin(p / (p + q), c) for p, q in members if p + q > 0)
    return calibration, refinement


def multiplicative_step(p_data, p_generator, step_size):
    logs = {i: math.log(q) + step_size * (math.log(p + q) - math.log(q))
            for i, (p, q) in enumerate(zip(p_data, p_generator)) if q > 0}
    top = max(logs.values())
    new = [math.exp(logs[i] - top) if i in logs else 0.0 for i in range(len(p_generator))]
    return np.array(new) / sum(new)
"""

# A class for coins and one for a pair of laws.
_CLASSES = """
from dataclasses import dataclass


@dataclass
class Pair:
    p: np.ndarray
    q: np.ndarray

    @property
    def total(self):
        return self.p + self.q

    def value(self, answers):
        pays = 0.0
        for mass, said in ((self.p, answers), (self.q, 1.0 - answers)):
            seen = mass != 0
            with np.errstate(divide="ignore"):
                pays = pays + np.dot(mass[seen], np.log(said[seen]))
        return pays

    def best(self):
        return np.divide(self.p, self.total, out=np.full(len(self.p), 0.5), where=self.total > 0)


def information(laws, weights):
    mixture = np.average(laws, axis=0, weights=weights)
    parts = [np.sum(p[p > 0] * (np.log(p[p > 0]) - np.log(mixture[p > 0]))) for p in laws]
    return float(np.average(parts, weights=weights))


def certified_bound(real_logits, fake_logits, prior):
    share = np.array([prior, 1 - prior])
    pays = [-np.logaddexp(-real_logits, 0.0), -np.logaddexp(0.0, fake_logits)]
    means = np.array([pay.mean() for pay in pays])
    errors = np.array([pay.std(ddof=1) / np.sqrt(pay.size) for pay in pays])
    return float(share @ (means - np.log(share))), float(np.hypot(*(share * errors)))


def gap(p_data, p_generator, answers):
    pair = Pair(p_data, p_generator)
    return float(pair.value(pair.best()) - pair.value(answers))


def split_gap(p_data, p_generator, answers):
    pair = Pair(p_data, p_generator)
    c = np.full(len(answers), 0.5)
    for said in np.unique(answers):
        inside = answers == said
        if pair.total[inside].any():
            c[inside] = p_data[inside].sum() / pair.total[inside].sum()
    values = [pair.value(d) / 2 for d in (answers, c, pair.best())]
    return float(values[1] - values[0]), float(values[2] - values[1])


def multiplicative_step(p_data, p_generator, step_size):
    old = np.where(p_generator > 0, p_generator, 1.0)
    logs = np.log(old) + step_size * (np.log(p_data + p_generator + (p_generator == 0)) - np.log(old))
    logs[p_generator == 0] = -np.inf
    new = np.exp(logs - np.max(logs))
    new /= new.sum()
    return new
"""

# The shortest that is right.
_SHORT = """
def xlog(a, b):
    return np.sum(a[a > 0] * np.log(b[a > 0]))


def information(laws, weights):
    m = weights @ laws
    return float(sum(w * (xlog(p, p) - xlog(p, m)) for w, p in zip(weights, laws)))


def certified_bound(r, f, w):
    a, b = w * -np.logaddexp(0, -r), (1 - w) * -np.logaddexp(0, f)
    return (float(a.mean() + b.mean() - w * np.log(w) - (1 - w) * np.log(1 - w)),
            float(np.sqrt(np.cov(a) / a.size + np.cov(b) / b.size)))


def gap(p, q, d):
    with np.errstate(all="ignore"):
        return float(xlog(p, p / (p + q)) + xlog(q, q / (p + q)) - xlog(p, d) - xlog(q, 1 - d))


def split_gap(p, q, d):
    a, b = (np.array([m[d == e].sum() for e in d]) for m in (p, q))
    with np.errstate(all="ignore"):
        c, e = a / (a + b), b / (a + b)
        best = xlog(p, p / (p + q)) + xlog(q, q / (p + q))
    middle = xlog(p, c) + xlog(q, e)
    return float(middle - xlog(p, d) - xlog(q, 1 - d)) / 2, float(best - middle) / 2


def multiplicative_step(p, q, n):
    with np.errstate(all="ignore"):
        l = np.where(q > 0, (1 - n) * np.log(q) + n * np.log(p + q), -np.inf)
    e = np.exp(l - l.max())
    return e / e.sum()
"""

RIGHT = {
    "entropies": _ENTROPIES,
    "loops": _LOOPS,
    "classes": _CLASSES,
    "short": _SHORT,
}
