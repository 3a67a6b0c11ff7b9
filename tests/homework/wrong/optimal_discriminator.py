"""Plausible wrong solutions of the homework, and the words that would give the right ones away."""

# ruff: noqa: E501

from tests.homework.answers import slips

SECRETS = (
    "softplus", "logsigmoid", "logaddexp", "log1p", "zero_grad", ".detach()\n", "binary_cross",
    "autograd.grad(loss, weights", "np.exp(log", "prior / (", "/ prior", "retain", "requires_grad_(False",
)  # fmt: skip

WRONG = []

WRONG += slips(
    "class_weighted_loss",
    "real_logits, fake_logits, prior",
    sign_of_real="return prior * F.softplus(real_logits).mean() + (1 - prior) * F.softplus(fake_logits).mean()",
    value_not_loss="return -prior * F.softplus(-real_logits).mean() - (1 - prior) * F.softplus(fake_logits).mean()",
    swapped_arguments="return prior * F.softplus(-fake_logits).mean() + (1 - prior) * F.softplus(real_logits).mean()",
    sum_for_mean="return prior * F.softplus(-real_logits).sum() + (1 - prior) * F.softplus(fake_logits).sum()",
    prior_ignored="return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()",
    prior_one_half="return 0.5 * F.softplus(-real_logits).mean() + 0.5 * F.softplus(fake_logits).mean()",
    prior_swapped="return (1 - prior) * F.softplus(-real_logits).mean() + prior * F.softplus(fake_logits).mean()",
    one_mean_over_both="""
        real, fake = prior * F.softplus(-real_logits), (1 - prior) * F.softplus(fake_logits)
        return 2 * torch.cat([real.flatten(), fake.flatten()]).mean()""",
    sigmoid_twice="""
        real, fake = torch.sigmoid(real_logits), torch.sigmoid(fake_logits)
        return prior * F.softplus(-real).mean() + (1 - prior) * F.softplus(fake).mean()""",
    unstable_log="""
        real, fake = torch.sigmoid(real_logits), torch.sigmoid(fake_logits)
        return -prior * torch.log(real).mean() - (1 - prior) * torch.log(1 - fake).mean()""",
    log_with_epsilon="""
        real, fake = torch.sigmoid(real_logits), torch.sigmoid(fake_logits)
        return -prior * torch.log(real + 1e-12).mean() - (1 - prior) * torch.log(1 - fake + 1e-12).mean()""",
    clamped_cross_entropy="""
        real, fake = torch.sigmoid(real_logits), torch.sigmoid(fake_logits)
        on_real = F.binary_cross_entropy(real, torch.ones_like(real))
        return prior * on_real + (1 - prior) * F.binary_cross_entropy(fake, torch.zeros_like(fake))""",
    overflowing_exp="""
        real, fake = torch.log(1 + torch.exp(-real_logits)), torch.log(1 + torch.exp(fake_logits))
        return prior * real.mean() + (1 - prior) * fake.mean()""",
    in_bits="""
        loss = prior * F.softplus(-real_logits).mean() + (1 - prior) * F.softplus(fake_logits).mean()
        return loss / np.log(2)""",
    no_gradient="""
        real, fake = real_logits.detach(), fake_logits.detach()
        return prior * F.softplus(-real).mean() + (1 - prior) * F.softplus(fake).mean()""",
    python_float="""
        loss = prior * F.softplus(-real_logits).mean() + (1 - prior) * F.softplus(fake_logits).mean()
        return loss.item()""",
    shape_of_one="""
        loss = prior * F.softplus(-real_logits).mean() + (1 - prior) * F.softplus(fake_logits).mean()
        return loss.reshape(1)""",
    in_place="""
        with torch.no_grad():
            real_logits.neg_()
        return prior * F.softplus(real_logits).mean() + (1 - prior) * F.softplus(fake_logits).mean()""",
    no_return="prior * F.softplus(-real_logits).mean() + (1 - prior) * F.softplus(fake_logits).mean()",
)

WRONG += slips(
    "optimal_discriminator",
    "log_p_data, log_p_generator, prior",
    swapped_densities="""
        real, fake = prior * np.exp(log_p_generator), (1 - prior) * np.exp(log_p_data)
        return real / (real + fake)""",
    plain_densities="""
        real, fake = prior * np.exp(log_p_data), (1 - prior) * np.exp(log_p_generator)
        return np.where(real + fake > 0, real / (real + fake), 0.5)""",
    densities_with_epsilon="""
        real, fake = prior * np.exp(log_p_data), (1 - prior) * np.exp(log_p_generator)
        return (real + 1e-12) / (real + fake + 2e-12)""",
    prior_ignored="""
        with np.errstate(all="ignore"):
            difference = log_p_data - log_p_generator
            return np.where(np.isnan(difference), 0.5, 1 / (1 + np.exp(-difference)))""",
    prior_inverted="""
        with np.errstate(all="ignore"):
            difference = log_p_data - log_p_generator - np.log(prior / (1 - prior))
            return np.where(np.isnan(difference), 0.5, 1 / (1 + np.exp(-difference)))""",
    returns_logit="return log_p_data - log_p_generator + np.log(prior / (1 - prior))",
    nan_where_both_vanish="return 1 / (1 + (1 - prior) / prior * np.exp(log_p_generator - log_p_data))",
    zero_where_both_vanish="""
        best = 1 / (1 + (1 - prior) / prior * np.exp(log_p_generator - log_p_data))
        return np.nan_to_num(best)""",
    prior_where_both_vanish="""
        best = 1 / (1 + (1 - prior) / prior * np.exp(log_p_generator - log_p_data))
        return np.where(np.isnan(best), prior, best)""",
    logs_cut_off="""
        log_p_data, log_p_generator = np.maximum(log_p_data, -700), np.maximum(log_p_generator, -700)
        return 1 / (1 + (1 - prior) / prior * np.exp(log_p_generator - log_p_data))""",
    in_place="""
        log_p_generator -= log_p_data
        best = 1 / (1 + (1 - prior) / prior * np.exp(log_p_generator))
        return np.where(np.isnan(best), 0.5, best)""",
    flattened="""
        best = 1 / (1 + (1 - prior) / prior * np.exp(log_p_generator - log_p_data))
        return np.where(np.isnan(best), 0.5, best).ravel()""",
)

WRONG += slips(
    "density_ratio",
    "logits, prior",
    inverted="return np.exp(-logits) * prior / (1 - prior)",
    prior_ignored="return np.exp(logits)",
    prior_inverted="return np.exp(logits) * prior / (1 - prior)",
    through_probability="""
        probability = 1 / (1 + np.exp(-logits))
        return probability / (1 - probability) * (1 - prior) / prior""",
    clipped_probability="""
        probability = np.clip(1 / (1 + np.exp(-logits)), 1e-6, 1 - 1e-6)
        return probability / (1 - probability) * (1 - prior) / prior""",
    returns_logarithm="return logits - np.log(prior / (1 - prior))",
    probability_for_logit="return logits / (1 - logits) * (1 - prior) / prior",
    in_place="""
        logits += np.log((1 - prior) / prior)
        return np.exp(logits)""",
    mean_returned="return np.mean(np.exp(logits) * (1 - prior) / prior)",
)

_TARGET = """
        total = p_data + p_generator
        target = np.where(total > 0, (alpha * p_data + beta * p_generator) / np.where(total > 0, total, 1), 0.5)"""

WRONG += slips(
    "smoothed_optimum",
    "p_data, p_generator, alpha, beta",
    rounding_refused=_TARGET
    + """
        if target.min() < 0 or target.max() > 1:
            raise ValueError("no optimum")
        return target""",
    too_tolerant=_TARGET
    + """
        if target.min() < -1e-5 or target.max() > 1 + 1e-5:
            raise ValueError("no optimum")
        return target""",
    small_densities_are_none="""
        total = p_data + p_generator
        target = np.where(total > 1e-3, (alpha * p_data + beta * p_generator) / np.maximum(total, 1e-3), 0.5)
        if target.min() < -1e-9 or target.max() > 1 + 1e-9:
            raise ValueError("no optimum")
        return target""",
    epsilon_in_the_denominator="""
        total = p_data + p_generator
        target = np.where(total > 0, (alpha * p_data + beta * p_generator) / (total + 1e-12), 0.5)
        if target.min() < -1e-9 or target.max() > 1 + 1e-9:
            raise ValueError("no optimum")
        return target""",
    targets_swapped="""
        total = p_data + p_generator
        target = np.where(total > 0, (beta * p_data + alpha * p_generator) / np.where(total > 0, total, 1), 0.5)
        if target.min() < 0 or target.max() > 1:
            raise ValueError("no optimum")
        return target""",
    no_error="""
        total = p_data + p_generator
        return np.where(total > 0, (alpha * p_data + beta * p_generator) / np.where(total > 0, total, 1), 0.5)""",
    clipped="""
        total = p_data + p_generator
        target = np.where(total > 0, (alpha * p_data + beta * p_generator) / np.where(total > 0, total, 1), 0.5)
        return np.clip(target, 0, 1)""",
    error_from_targets_alone="""
        if not (0 <= beta <= 1 and 0 <= alpha <= 1):
            raise ValueError("no optimum")
        total = p_data + p_generator
        return np.where(total > 0, (alpha * p_data + beta * p_generator) / np.where(total > 0, total, 1), 0.5)""",
    error_only_above_one="""
        total = p_data + p_generator
        target = np.where(total > 0, (alpha * p_data + beta * p_generator) / np.where(total > 0, total, 1), 0.5)
        if target.max() > 1:
            raise ValueError("no optimum")
        return target""",
    wrong_exception="""
        total = p_data + p_generator
        target = np.where(total > 0, (alpha * p_data + beta * p_generator) / np.where(total > 0, total, 1), 0.5)
        assert target.min() >= 0 and target.max() <= 1, "no optimum"
        return target""",
    nan_where_both_vanish="""
        target = (alpha * p_data + beta * p_generator) / (p_data + p_generator)
        if (target < 0).any() or (target > 1).any():
            raise ValueError("no optimum")
        return target""",
    targets_where_both_vanish="""
        total = p_data + p_generator
        share = np.where(total > 0, p_data / np.where(total > 0, total, 1), 0.5)
        target = beta + (alpha - beta) * share
        if target.min() < 0 or target.max() > 1:
            raise ValueError("no optimum")
        return target""",
    beta_added_on_top="""
        total = p_data + p_generator
        share = np.where(total > 0, p_data / np.where(total > 0, total, 1), 0.5)
        target = np.where(total > 0, beta + alpha * share, 0.5)
        if target.min() < 0 or target.max() > 1:
            raise ValueError("no optimum")
        return target""",
    beta_forgotten="""
        total = p_data + p_generator
        target = np.where(total > 0, alpha * p_data / np.where(total > 0, total, 1), 0.5)
        if target.min() < 0 or target.max() > 1:
            raise ValueError("no optimum")
        return target""",
    in_place="""
        p_generator += p_data
        visited = p_generator > 0
        share = p_data / np.where(visited, p_generator, 1)
        target = np.where(visited, beta + (alpha - beta) * share, 0.5)
        if target.min() < 0 or target.max() > 1:
            raise ValueError("no optimum")
        return target""",
)

_DISCRIMINATOR_STEP = """
fake = generator(noise).detach()
real_logits, fake_logits = discriminator(real), discriminator(fake)
real_loss = alpha * F.softplus(-real_logits) + (1 - alpha) * F.softplus(real_logits)
loss = real_loss.mean() + F.softplus(fake_logits).mean()
optimizer.zero_grad()
loss.backward()
optimizer.step()
return loss.item(), real_logits.sigmoid().mean().item(), fake_logits.sigmoid().mean().item()
"""


def _but(body: str, old: str, new: str) -> str:
    assert body.count(old) == 1, old
    return body.replace(old, new)


WRONG += slips(
    "discriminator_step",
    "discriminator, generator, optimizer, real, noise, alpha",
    **{
        slip: _but(_DISCRIMINATOR_STEP, old, new)
        for slip, old, new in [
            ("ascends", "loss.backward()", "(-loss).backward()"),
            ("missing_detach", ".detach()", ""),
            ("no_zero_grad", "optimizer.zero_grad()\n", ""),
            ("zero_grad_too_late", "optimizer.zero_grad()\nloss.backward()", "loss.backward()\noptimizer.zero_grad()"),
            ("zero_grad_afterwards", "optimizer.zero_grad()\nloss.backward()\noptimizer.step()",
             "loss.backward()\noptimizer.step()\noptimizer.zero_grad()"),
            ("no_step", "optimizer.step()\n", ""),
            ("steps_twice", "optimizer.step()\n", "optimizer.step()\noptimizer.step()\n"),
            ("wrong_optimiser", "optimizer.step()", "torch.optim.SGD(generator.parameters(), lr=0.1).step()"),
            ("own_optimiser", "optimizer.step()", "torch.optim.Adam(discriminator.parameters(), lr=1e-3).step()"),
            ("alpha_ignored", "alpha * F.softplus(-real_logits) + (1 - alpha) * F.softplus(real_logits)",
             "F.softplus(-real_logits)"),
            ("alpha_only_scales", " + (1 - alpha) * F.softplus(real_logits)", ""),
            ("alpha_swapped", "alpha * F.softplus(-real_logits) + (1 - alpha)",
             "(1 - alpha) * F.softplus(-real_logits) + alpha"),
            ("smooths_both", "F.softplus(fake_logits).mean()\n",
             "(alpha * F.softplus(fake_logits) + (1 - alpha) * F.softplus(-fake_logits)).mean()\n"),
            ("sum_for_mean", "real_loss.mean() + F.softplus(fake_logits).mean()",
             "real_loss.sum() + F.softplus(fake_logits).sum()"),
            ("half_the_loss", "real_loss.mean() + F.softplus(fake_logits).mean()",
             "(real_loss.mean() + F.softplus(fake_logits).mean()) / 2"),
            ("one_mean_over_both", "real_loss.mean() + F.softplus(fake_logits).mean()",
             "2 * torch.cat([real_loss, F.softplus(fake_logits)]).mean()"),
            ("real_and_fake_swapped", "discriminator(real), discriminator(fake)",
             "discriminator(fake), discriminator(real)"),
            ("generator_in_eval_mode", "fake = generator", "generator.eval()\nfake = generator"),
            ("generator_in_eval_mode_for_a_moment", "fake = generator(noise).detach()",
             "generator.eval()\nfake = generator(noise).detach()\ngenerator.train()"),
            ("generator_left_frozen", "fake = generator", "generator.requires_grad_(False)\nfake = generator"),
            ("generator_gradient_cleared", "optimizer.zero_grad()\n", "optimizer.zero_grad()\ngenerator.zero_grad()\n"),
            ("logits_for_probabilities", "real_logits.sigmoid().mean().item(), fake_logits.sigmoid()",
             "real_logits.mean().item(), fake_logits"),
            ("sigmoid_of_mean", "real_logits.sigmoid().mean().item(), fake_logits.sigmoid().mean()",
             "real_logits.mean().sigmoid().item(), fake_logits.mean().sigmoid()"),
            ("numbers_after_update", "optimizer.step()\n",
             "optimizer.step()\nreal_logits, fake_logits = discriminator(real), discriminator(fake)\n"),
            ("returns_tensors", "loss.item(), real_logits.sigmoid().mean().item(), fake_logits.sigmoid().mean().item()",
             "loss.detach(), real_logits.sigmoid().mean(), fake_logits.sigmoid().mean()"),
            ("real_changed_in_place", "fake = generator", "real += 0.05 * torch.randn_like(real)\nfake = generator"),
        ]
    },
)  # fmt: skip

_GENERATOR_STEP = """
loss = F.softplus(-discriminator(generator(noise))).mean()
weights = list(generator.parameters())
gradients = torch.autograd.grad(loss, weights)
for weight, gradient in zip(weights, gradients):
    weight.grad = gradient
optimizer.step()
return loss.item()
"""

WRONG += slips(
    "generator_step",
    "discriminator, generator, optimizer, noise",
    **{
        slip: _but(_GENERATOR_STEP, old, new)
        for slip, old, new in [
            ("minimax", "F.softplus(-discriminator(generator(noise)))", "-F.softplus(discriminator(generator(noise)))"),
            ("ascends", "softplus(-disc", "softplus(disc"),
            ("sum_for_mean", ".mean()", ".sum()"),
            ("unstable_log", "F.softplus(-discriminator(generator(noise)))",
             "-torch.log(torch.sigmoid(discriminator(generator(noise))))"),
            ("log_with_epsilon", "F.softplus(-discriminator(generator(noise)))",
             "-torch.log(torch.sigmoid(discriminator(generator(noise))) + 1e-8)"),
            ("gradients_accumulate", "weight.grad = gradient", "weight.grad = gradient + (0 if weight.grad is None "
             "else weight.grad)"),
            ("no_step", "optimizer.step()\n", ""),
            ("loss_after_update", "return loss.item()",
             "return F.softplus(-discriminator(generator(noise))).mean().item()"),
            ("returns_tensor", "return loss.item()", "return loss.detach()"),
            ("discriminator_in_eval_mode", "loss =", "discriminator.eval()\nloss ="),
            ("generator_in_eval_mode_for_a_moment", "loss = F.softplus(-discriminator(generator(noise))).mean()",
             "generator.eval()\nloss = F.softplus(-discriminator(generator(noise))).mean()\ngenerator.train()"),
            ("noise_changed_in_place", "loss =", "noise.clamp_(-1, 1)\nloss ="),
        ]
    },
    gradients_left_in_discriminator="""
        loss = F.softplus(-discriminator(generator(noise))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()""",
    gradients_of_discriminator_cleared="""
        loss = F.softplus(-discriminator(generator(noise))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        discriminator.zero_grad()
        return loss.item()""",
    discriminator_left_frozen="""
        discriminator.requires_grad_(False)
        loss = F.softplus(-discriminator(generator(noise))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()""",
    detached="""
        loss = F.softplus(-discriminator(generator(noise).detach())).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()""",
    no_grad_through_discriminator="""
        fake = generator(noise)
        with torch.no_grad():
            logits = discriminator(fake)
        loss = F.softplus(-logits).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()""",
)  # fmt: skip
