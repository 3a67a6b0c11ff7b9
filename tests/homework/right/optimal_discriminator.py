"""Right solutions of the whole homework, in styles far from the master's and from each other."""

# ruff: noqa: E501

# Works in NumPy as long as it can; PyTorch's own building blocks.
_LIBRARY = """
bce = nn.BCEWithLogitsLoss()


def class_weighted_loss(real_logits, fake_logits, prior):
    real = bce(real_logits, torch.ones_like(real_logits))
    fake = bce(fake_logits, torch.zeros_like(fake_logits))
    return torch.lerp(fake, real, prior)


def optimal_discriminator(log_p_data, log_p_generator, prior):
    with np.errstate(invalid="ignore"):
        logit = torch.logit(torch.tensor(prior, dtype=torch.float64)).item() + log_p_data - log_p_generator
    return np.where(np.isnan(logit), 0.5, torch.sigmoid(torch.from_numpy(logit)).numpy())


def density_ratio(logits, prior):
    return np.exp(logits - np.log(prior) + np.log1p(-prior))


def smoothed_optimum(p_data, p_generator, alpha, beta):
    total = p_data + p_generator
    share = np.divide(p_data, total, out=np.zeros_like(total), where=total > 0)
    target = beta + (alpha - beta) * share
    target[total == 0] = 0.5
    if not np.all((target >= -1e-9) & (target <= 1 + 1e-9)):
        raise ValueError("the mean target leaves [0, 1]")
    return target


def discriminator_step(discriminator, generator, optimizer, real, noise, alpha):
    with torch.no_grad():
        fake = generator(noise)
    optimizer.zero_grad()
    on_real, on_fake = discriminator(real), discriminator(fake)
    loss = bce(on_real, torch.full_like(on_real, alpha)) + bce(on_fake, torch.zeros_like(on_fake))
    loss.backward()
    optimizer.step()
    return float(loss), float(on_real.sigmoid().mean()), float(on_fake.sigmoid().mean())


def generator_step(discriminator, generator, optimizer, noise):
    discriminator.requires_grad_(False)
    logits = discriminator(generator(noise))
    discriminator.requires_grad_(True)
    optimizer.zero_grad(set_to_none=False)
    loss = bce(logits, torch.ones_like(logits))
    loss.backward()
    optimizer.step()
    return loss.item()
"""

# logaddexp for every softplus; torch.autograd.grad in place of backward.
_FUNCTIONAL = """
zero = torch.zeros((), dtype=torch.float64)


def class_weighted_loss(real_logits, fake_logits, prior):
    pay = lambda weight, s: weight * torch.logaddexp(torch.zeros_like(s), s).mean()
    return pay(prior, -real_logits) + pay(1 - prior, fake_logits)


def optimal_discriminator(log_p_data, log_p_generator, prior):
    a, b = log_p_data + np.log(prior), log_p_generator + np.log(1 - prior)
    total = np.logaddexp(a, b)
    never = total == -np.inf
    return np.where(never, 0.5, np.exp(a - np.where(never, 0, total)))


def density_ratio(logits, prior):
    return np.exp(logits) / (prior / (1 - prior))


def smoothed_optimum(p_data, p_generator, alpha, beta):
    target = np.full(p_data.shape, 0.5)
    on = (p_data > 0) | (p_generator > 0)
    target[on] = np.average(
        np.broadcast_to([[alpha], [beta]], (2, on.sum())), axis=0, weights=[p_data[on], p_generator[on]]
    )
    if np.abs(target - 0.5).max() > 0.5 + 1e-9:
        raise ValueError("unbounded")
    return target


def discriminator_step(discriminator, generator, optimizer, real, noise, alpha):
    fake = generator(noise)
    weights = list(discriminator.parameters())
    s, t = discriminator(real), discriminator(fake)
    loss = (torch.logaddexp(zero, s) - alpha * s).mean() + torch.logaddexp(zero, t).mean()
    for weight, slope in zip(weights, torch.autograd.grad(loss, weights)):
        weight.grad = slope
    with torch.no_grad():
        numbers = loss.item(), torch.sigmoid(s).mean().item(), torch.sigmoid(t).mean().item()
    optimizer.step()
    optimizer.zero_grad()
    return numbers


def generator_step(discriminator, generator, optimizer, noise):
    s = -discriminator(generator(noise))
    loss = torch.logaddexp(zero, s).mean()
    optimizer.zero_grad()
    loss.backward(inputs=list(generator.parameters()))
    optimizer.step()
    return float(loss.detach())
"""

# Element by element with the math module; gradients put aside and put back.
_LOOPS = """
import math


def class_weighted_loss(real_logits, fake_logits, prior):
    total = 0.0
    for s in real_logits.flatten():
        total = total + prior / real_logits.numel() * (torch.clamp(-s, min=0) + torch.log1p(torch.exp(-abs(s))))
    for s in fake_logits.flatten():
        total = total + (1 - prior) / fake_logits.numel() * (torch.clamp(s, min=0) + torch.log1p(torch.exp(-abs(s))))
    return total


def optimal_discriminator(log_p_data, log_p_generator, prior):
    def one(a, b):
        if a == b == -math.inf:
            return 0.5
        if a == -math.inf or b == -math.inf:
            return float(b == -math.inf)
        s = a - b + math.log(prior / (1 - prior))
        return 1 / (1 + math.exp(-s)) if s > -700 else math.exp(s)

    values = [one(float(a), float(b)) for a, b in zip(log_p_data.flat, log_p_generator.flat)]
    return np.array(values).reshape(log_p_data.shape)


def density_ratio(logits, prior):
    return np.array([math.exp(s) * (1 / prior - 1) for s in logits.ravel()]).reshape(logits.shape)


def smoothed_optimum(p_data, p_generator, alpha, beta):
    result = np.empty_like(p_data)
    for index in np.ndindex(p_data.shape):
        p, q = p_data[index], p_generator[index]
        target = (alpha * p + beta * q) / (p + q) if p + q else 0.5
        if not -1e-9 <= target <= 1 + 1e-9:
            raise ValueError(f"no optimum at {index}")
        result[index] = target
    return result


def discriminator_step(discriminator, generator, optimizer, real, noise, alpha):
    for weight in discriminator.parameters():
        weight.grad = None
    real_logits, fake_logits = discriminator(real), discriminator(generator(noise).detach())
    log_d, log_not_d = F.logsigmoid(real_logits), F.logsigmoid(-real_logits)
    on_real = -(alpha * log_d + (1 - alpha) * log_not_d).sum() / len(real)
    on_fake = -F.logsigmoid(-fake_logits).sum() / len(noise)
    on_real.backward()
    on_fake.backward()
    optimizer.step()
    return ((on_real + on_fake).item(), log_d.exp().mean().item(), torch.sigmoid(fake_logits).mean().item())


def generator_step(discriminator, generator, optimizer, noise):
    aside = [weight.grad for weight in discriminator.parameters()]
    for weight in discriminator.parameters():
        weight.grad = None
    optimizer.zero_grad()
    loss = -F.logsigmoid(discriminator(generator(noise))).mean()
    loss.backward()
    for weight, gradient in zip(discriminator.parameters(), aside):
        weight.grad = gradient
    optimizer.step()
    return loss.item()
"""

# Classes of its own, type hints, one batch of both kinds through the discriminator.
_CLASSES = """
from copy import deepcopy
from dataclasses import dataclass


@dataclass(frozen=True)
class CrossEntropy:
    target: float

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, self.target), reduction="none")


class Frozen:
    def __init__(self, module: nn.Module):
        self.copy = deepcopy(module)

    def __call__(self, batch):
        return self.copy(batch)


def class_weighted_loss(real_logits: torch.Tensor, fake_logits: torch.Tensor, prior: float) -> torch.Tensor:
    parts = CrossEntropy(1.0)(real_logits).mean(), CrossEntropy(0.0)(fake_logits).mean()
    return torch.stack(parts) @ torch.tensor([prior, 1 - prior], dtype=parts[0].dtype)


def optimal_discriminator(log_p_data, log_p_generator, prior):
    logs = np.stack([log_p_data + np.log(prior), log_p_generator + np.log(1 - prior)])
    logs = np.where(np.isneginf(logs).all(axis=0), 0.0, logs)
    return torch.softmax(torch.from_numpy(logs), dim=0)[0].numpy()


def density_ratio(logits, prior):
    return (torch.from_numpy(logits).exp() / prior).numpy() - np.exp(logits)


def smoothed_optimum(p_data, p_generator, alpha, beta):
    with np.errstate(invalid="ignore"):
        target = (alpha * p_data + beta * p_generator) / (p_data + p_generator)
    if np.nanmin(target) < -1e-9 or np.nanmax(target) > 1 + 1e-9:
        raise ValueError("no optimum")
    return np.nan_to_num(target, nan=0.5)


def discriminator_step(discriminator, generator, optimizer, real, noise, alpha):
    batch = torch.cat([real, generator(noise).detach()])
    logits = discriminator(batch).squeeze(-1)
    real_logits, fake_logits = logits.split([len(real), len(noise)])
    loss = CrossEntropy(alpha)(real_logits).mean() + CrossEntropy(0.0)(fake_logits).mean()
    d_real, d_fake = (part.sigmoid().mean().item() for part in (real_logits, fake_logits))
    discriminator.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item(), d_real, d_fake


def generator_step(discriminator, generator, optimizer, noise):
    generator.zero_grad()
    loss = CrossEntropy(1.0)(Frozen(discriminator)(generator(noise))).mean()
    loss.backward()
    optimizer.step()
    return loss.item()
"""

# A closure for the optimiser; probabilities from tanh; formulas in D rather than in s where that is exact.
_CLOSURES = """
def class_weighted_loss(real_logits, fake_logits, prior):
    logits = torch.cat([-real_logits.flatten(), fake_logits.flatten()])
    sizes = [real_logits.numel()] * real_logits.numel() + [fake_logits.numel()] * fake_logits.numel()
    classes = [prior] * real_logits.numel() + [1 - prior] * fake_logits.numel()
    weights = torch.tensor(classes, dtype=logits.dtype) / torch.tensor(sizes, dtype=logits.dtype)
    return torch.dot(weights, F.softplus(logits))


def optimal_discriminator(log_p_data, log_p_generator, prior):
    difference = np.zeros(log_p_data.shape)
    somewhere = ~((log_p_data == -np.inf) & (log_p_generator == -np.inf))
    difference[somewhere] = log_p_data[somewhere] - log_p_generator[somewhere]
    difference[somewhere] += np.log(prior) - np.log(1 - prior)
    return 0.5 * (1 + np.tanh(difference / 2))


def density_ratio(logits, prior):
    return 1 / (np.exp(-logits) * (prior / (1 - prior)))


def smoothed_optimum(p_data, p_generator, alpha, beta):
    total = p_data + p_generator
    low = np.minimum(p_data * alpha + p_generator * beta, 0) < -1e-9 * total
    high = p_data * (1 - alpha) + p_generator * (1 - beta) < -1e-9 * total
    if np.any(low | high):
        raise ValueError("no optimum")
    return np.divide(
        p_data * alpha + p_generator * beta, total, where=total != 0, out=np.full(total.shape, 0.5)
    )


def discriminator_step(discriminator, generator, optimizer, real, noise, alpha):
    numbers = []

    def closure():
        optimizer.zero_grad()
        with torch.no_grad():
            fake = generator(noise)
        s, t = discriminator(real), discriminator(fake)
        loss = F.softplus(s).mean() - alpha * s.mean() + F.softplus(t).mean()
        loss.backward()
        numbers.extend([loss.item(), s.sigmoid().mean().item(), t.sigmoid().mean().item()])
        return loss

    optimizer.step(closure)
    return tuple(numbers)


def generator_step(discriminator, generator, optimizer, noise):
    fake = generator(noise)
    handle = fake.detach().requires_grad_()
    loss = F.softplus(-discriminator(handle)).mean()
    (slope,) = torch.autograd.grad(loss, handle)
    optimizer.zero_grad()
    fake.backward(slope)
    optimizer.step()
    return loss.item()
"""

# The shortest that is right.
_SHORT = """
def class_weighted_loss(r, f, prior):
    return prior * -F.logsigmoid(r).mean() + (1 - prior) * -F.logsigmoid(-f).mean()


def optimal_discriminator(p, q, prior):
    with np.errstate(all="ignore"):
        return np.nan_to_num(1 / (1 + np.exp(q - p) * (1 / prior - 1)), nan=0.5)


def density_ratio(s, prior):
    return np.exp(s) * (1 / prior - 1)


def smoothed_optimum(p, q, alpha, beta):
    t = np.where(p + q > 0, (alpha * p + beta * q) / np.maximum(p + q, 1e-300), 0.5)
    if (abs(t - 0.5) > 0.5 + 1e-9).any():
        raise ValueError
    return t


def discriminator_step(D, G, optimizer, x, z, alpha):
    r, f = D(x), D(G(z).detach())
    loss = F.softplus(r).mean() - alpha * r.mean() + F.softplus(f).mean()
    optimizer.zero_grad(), loss.backward(), optimizer.step()
    return loss.item(), r.sigmoid().mean().item(), f.sigmoid().mean().item()


def generator_step(D, G, optimizer, z):
    loss = F.softplus(-D(G(z))).mean()
    optimizer.zero_grad(), loss.backward(inputs=[*G.parameters()]), optimizer.step()
    return loss.item()
"""

# As most tutorials write it: targets made by torch.ones, in whatever type is the default.
_TUTORIAL = (
    _SHORT
    + """

def class_weighted_loss(real_logits, fake_logits, prior):
    real = F.binary_cross_entropy_with_logits(real_logits, torch.ones(real_logits.shape))
    fake = F.binary_cross_entropy_with_logits(fake_logits, torch.zeros(fake_logits.shape))
    return torch.tensor(prior) * real + (1 - torch.tensor(prior)) * fake


def discriminator_step(discriminator, generator, optimizer, real, noise, alpha):
    criterion = nn.BCELoss()
    optimizer.zero_grad()
    valid, wrong = torch.full((len(real), 1), alpha), torch.zeros(len(noise), 1)
    d_real, d_fake = discriminator(real).sigmoid(), discriminator(generator(noise).detach()).sigmoid()
    loss = criterion(d_real, valid) + criterion(d_fake, wrong)
    loss.backward()
    optimizer.step()
    return loss.item(), d_real.mean().item(), d_fake.mean().item()


def generator_step(discriminator, generator, optimizer, noise):
    optimizer.zero_grad()
    loss = nn.BCEWithLogitsLoss()(discriminator(generator(noise)), torch.ones(len(noise), 1))
    gradients = torch.autograd.grad(loss, list(generator.parameters()))
    for weight, gradient in zip(generator.parameters(), gradients):
        weight.grad = gradient
    optimizer.step()
    return loss.item()
"""
)

RIGHT = {
    "tutorial": _TUTORIAL,
    "library": _LIBRARY,
    "functional": _FUNCTIONAL,
    "loops": _LOOPS,
    "classes": _CLASSES,
    "closures": _CLOSURES,
    "short": _SHORT,
}
