"""Right solutions of the whole homework, in styles far from the master's and from each other."""

# ruff: noqa: E501

# Element by element, with the math module.
_LOOPS = """
import math


def wasserstein_1d(x, y):
    events = sorted([(t, 1 / len(x)) for t in x.tolist()] + [(t, -1 / len(y)) for t in y.tolist()])
    area, height = 0.0, 0.0
    for (here, jump), (there, _) in zip(events, events[1:]):
        height += jump
        area += abs(height) * (there - here)
    return area


def critic_of_prices(z, y, v):
    values = []
    for point in z:
        best = math.inf
        for other, price in zip(y, v):
            best = min(best, math.sqrt(sum((a - b) ** 2 for a, b in zip(point, other))) - price)
        values.append(best)
    return np.array(values)


def duality_gap(plan, cost, u, v):
    total, mass = 0.0, 0.0
    for i in range(len(u)):
        for j in range(len(v)):
            if plan[i, j] < -1e-9:
                raise ValueError("negative mass")
            if u[i] + v[j] > cost[i, j] + 1e-9:
                raise ValueError("too dear")
            mass += plan[i, j]
            total += plan[i, j] * (cost[i, j] - u[i] - v[j])
    if abs(mass - 1) > 1e-9:
        raise ValueError("mass is not one")
    return float(total)


def transport_gradient(plan, x, y):
    result = np.zeros_like(y)
    for i, j in np.ndindex(plan.shape):
        gap = y[j] - x[i]
        length = math.hypot(*gap)
        if length > 0:
            result[j] += plan[i, j] * gap / length
    return result


def expected_batch_distance(a, gap, n):
    chance = [math.comb(n, k) * a**k * (1 - a) ** (n - k) for k in range(n + 1)]
    mean = sum(p * q * abs(k - l) for k, p in enumerate(chance) for l, q in enumerate(chance))
    return mean * gap / n


def critic_step(critic, generator, optimizer, real, noise, positions, weight):
    with torch.no_grad():
        fake = generator(noise)
    optimizer.zero_grad()
    squares = []
    for x, y, t in zip(real, fake, positions):
        point = (t * x + (1 - t) * y).unsqueeze(0).requires_grad_()
        (slope,) = torch.autograd.grad(critic(point).squeeze(), point, create_graph=True)
        squares.append((slope.pow(2).sum().sqrt() - 1) ** 2)
    penalty = sum(squares) / len(squares)
    estimate = critic(real).mean() - critic(fake).mean()
    loss = -estimate + weight * penalty
    loss.backward()
    optimizer.step()
    return float(estimate.detach()), float(penalty.detach())
"""

# Quantile functions and PyTorch wherever it is possible.
_TORCH = """
def wasserstein_1d(x, y):
    levels = np.unique(np.round(np.concatenate([np.arange(len(x) + 1) / len(x), np.arange(len(y) + 1) / len(y)]), 12))
    middle = (levels[1:] + levels[:-1]) / 2
    a = np.sort(x)[(middle * len(x)).astype(int)]
    b = np.sort(y)[(middle * len(y)).astype(int)]
    return float(np.sum(np.abs(a - b) * np.diff(levels)))


def critic_of_prices(z, y, v):
    lengths = torch.cdist(torch.from_numpy(z), torch.from_numpy(y), compute_mode="donot_use_mm_for_euclid_dist")
    return (lengths - torch.from_numpy(v)).amin(dim=1).numpy()


def duality_gap(plan, cost, u, v):
    g, c, a, b = (torch.tensor(t) for t in (plan, cost, u, v))
    allowed = torch.all(a.unsqueeze(1) + b.unsqueeze(0) <= c + 1e-9)
    if not allowed or (g < -1e-9).any() or (g.sum() - 1).abs() > 1e-9:
        raise ValueError("no certificate")
    return ((g * c).sum() - g.sum(1) @ a - g.sum(0) @ b).item()


def transport_gradient(plan, x, y):
    at = torch.tensor(y, requires_grad=True)
    gaps = at.unsqueeze(0) - torch.tensor(x).unsqueeze(1)
    squared = gaps.square().sum(-1)
    lengths = torch.where(squared > 0, torch.where(squared > 0, squared, 1.0).sqrt(), 0.0)
    (torch.tensor(plan) * lengths).sum().backward()
    return at.grad.numpy()


def expected_batch_distance(a, gap, n):
    law = torch.distributions.Binomial(n, torch.tensor(a, dtype=torch.float64))
    k = torch.arange(n + 1, dtype=torch.float64)
    p = law.log_prob(k).exp()
    return (torch.outer(p, p) * (k[:, None] - k).abs()).sum().item() * gap / n


def critic_step(critic, generator, optimizer, real, noise, positions, weight):
    fake = generator(noise).detach()
    weights = list(critic.parameters())
    t = positions.reshape(-1, 1)
    points = (real * t + fake * (1 - t)).clone().requires_grad_(True)
    out = critic(points)
    slope = torch.autograd.grad(out, points, grad_outputs=torch.ones_like(out), create_graph=True)[0]
    penalty = torch.mean((torch.linalg.vector_norm(slope, dim=-1) - 1.0) ** 2)
    estimate = torch.mean(critic(real)) - torch.mean(critic(fake))
    gradients = torch.autograd.grad(weight * penalty - estimate, weights, allow_unused=True)
    for w, g in zip(weights, gradients):
        w.grad = torch.zeros_like(w) if g is None else g
    optimizer.step()
    return estimate.item(), penalty.item()
"""

# The shortest that is right.
_SHORT = """
def wasserstein_1d(x, y):
    n, m = len(x), len(y)
    return float(np.abs(np.sort(np.repeat(x, m)) - np.sort(np.repeat(y, n))).mean())


def critic_of_prices(z, y, v):
    return np.min(((z[:, None] - y) ** 2).sum(-1) ** 0.5 - v, 1)


def duality_gap(plan, cost, u, v):
    s = cost - np.add.outer(u, v)
    if min(plan.min(), s.min(), -abs(plan.sum() - 1)) < -1e-9:
        raise ValueError
    return float(np.vdot(plan, s))


def transport_gradient(plan, x, y):
    g = y - x[:, None]
    with np.errstate(all="ignore"):
        return (plan[..., None] * np.nan_to_num(g / ((g**2).sum(-1, keepdims=True) ** 0.5))).sum(0)


def expected_batch_distance(a, gap, n):
    p = np.poly1d([a, 1 - a]) ** n
    c = np.asarray(p.c)
    F = np.cumsum(c)
    return float(2 * gap / n * (F * (1 - F)).sum())


def critic_step(f, G, optimizer, x, z, t, w):
    y = G(z).detach()
    p = (y + t[:, None] * (x - y)).requires_grad_()
    s, = torch.autograd.grad(f(p).sum(), p, create_graph=True)
    pen, est = ((s.norm(dim=1) - 1) ** 2).mean(), (f(x) - f(y)).mean()
    optimizer.zero_grad(), (w * pen - est).backward(), optimizer.step()
    return est.item(), pen.item()
"""

# Small helpers and classes; recursion for the binomials; one batch through the critic.
_CLASSES = """
from dataclasses import dataclass


@dataclass(frozen=True)
class Empirical:
    points: np.ndarray

    def below(self, t):
        return (self.points[None, :] <= t[:, None]).mean(axis=1)


def wasserstein_1d(x, y):
    p, q = Empirical(x), Empirical(y)
    t = np.unique(np.concatenate([x, y]))
    return float(np.sum(np.diff(t) * np.abs(p.below(t) - q.below(t))[:-1]))


def _lengths(first, second):
    gaps = first[:, np.newaxis, :] - second[np.newaxis, :, :]
    return np.sqrt(np.einsum("ijd,ijd->ij", gaps, gaps)), gaps


def critic_of_prices(z, y, v):
    far, _ = _lengths(z, y)
    return -np.max(v[np.newaxis] - far, axis=1)


class NotAPlan(ValueError):
    pass


def duality_gap(plan, cost, u, v):
    p, q = plan.sum(axis=1), plan.sum(axis=0)
    if np.any(plan < -1e-9) or not np.isclose(p.sum(), 1, rtol=0, atol=1e-9):
        raise NotAPlan("not a plan")
    if np.any(np.minimum(cost - u.reshape(-1, 1), 1e300) < v - 1e-9):
        raise ValueError("prices are not allowed")
    return float(np.sum(plan * cost) - p @ u - q @ v)


def transport_gradient(plan, x, y):
    far, gaps = _lengths(y, x)
    units = np.divide(gaps, far[..., None], out=np.zeros_like(gaps), where=far[..., None] > 0)
    return (plan.T[..., None] * units).sum(axis=1)


def _count_law(a, n):
    if n == 0:
        return np.ones(1)
    shorter = _count_law(a, n - 1)
    return np.append((1 - a) * shorter, 0) + np.append(0, a * shorter)


def expected_batch_distance(a, gap, n):
    law = _count_law(a, n)
    difference = np.convolve(law, law[::-1])
    return float(gap * np.abs(np.arange(-n, n + 1) / n) @ difference)


class Slope:
    def __init__(self, critic):
        self.critic = critic

    def __call__(self, points):
        points = points.detach().requires_grad_()
        return torch.autograd.grad(self.critic(points).sum(), points, create_graph=True)[0]


def critic_step(critic, generator, optimizer, real, noise, positions, weight):
    fake = generator(noise).detach()
    n = len(real)
    values = critic(torch.cat([real, fake]))[:, 0]
    estimate = values[:n].mean() - values[n:].mean()
    mixed = torch.einsum("n,nd->nd", positions, real) + torch.einsum("n,nd->nd", 1 - positions, fake)
    penalty = Slope(critic)(mixed).norm(p=2, dim=1).sub(1).pow(2).mean()
    critic.zero_grad()
    torch.add(-estimate, penalty, alpha=weight).backward()
    optimizer.step()
    return estimate.item(), penalty.item()
"""

# The gradient penalty as it is copied from repository to repository.
_TUTORIAL = (
    _SHORT
    + """

def critic_step(critic, generator, optimizer, real, noise, positions, weight):
    fake = generator(noise).detach()
    t = positions.view(-1, 1)
    between = (t * real + (1 - t) * fake).requires_grad_(True)
    output = critic(between)
    slopes = torch.autograd.grad(
        outputs=output,
        inputs=between,
        grad_outputs=torch.ones(output.size()),
        create_graph=True,
        retain_graph=True,
    )[0].view(len(real), -1)
    penalty = ((slopes.norm(2, dim=1) - 1) ** 2).mean()
    estimate = critic(real).mean() - critic(fake).mean()
    optimizer.zero_grad()
    (-estimate + torch.tensor(weight) * penalty).backward()
    optimizer.step()
    return estimate.item(), penalty.item()
"""
)

RIGHT = {"loops": _LOOPS, "torch": _TORCH, "short": _SHORT, "classes": _CLASSES, "tutorial": _TUTORIAL}
