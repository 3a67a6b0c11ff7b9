# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Homework: the optimal discriminator
#
# [Open in Colab]({{ colab }})
#
# **20 points, about 2 hours 20 minutes.** You write six short functions and one derivation. When you are
# done you can
#
# - turn logits into a loss that stays exact where a sigmoid has long been rounded to 0 or 1,
# - compute the optimal discriminator and read a density ratio off a trained one, also when the two classes
#   are not equally frequent,
# - say when smoothed labels have an optimum at all,
# - write the two training steps of a GAN so that each changes one network and leaves no trace on the other,
# - derive what the best possible discriminator pays, and what that says about the two densities.
#
# **You need** the chapter on the optimal discriminator, NumPy and PyTorch. A laptop without a graphics card
# is enough.
#
# **How it is marked.** Under each function stands a cell of checks. They tell you in words what is wrong,
# and you may run them as often as you like. They are not the marks: your functions are called again on
# fresh random inputs that you have not seen. Tensors and networks are then float64, and so is what your
# functions create without naming a type. Each function earns all of its points or none. A function that is
# not solved costs only its own points, so hand in what you have. No exercise uses the function of another
# one. The derivation at the end is marked by a person.
#
# **Rules.** Write where it says `YOUR CODE HERE`, replacing the line that raises the error. Keep the names
# and arguments of the functions. You may add cells and helper functions. Use only Python, NumPy and
# PyTorch. No function may change the arrays or tensors it is given.
#
# **Notation.** $p_d$ is the density of the data, $p_g$ that of the generator, $D$ the discriminator's
# probability of "real", $s = \operatorname{logit} D = \log\frac{D}{1-D}$ its logit, $\sigma$ the logistic
# function, so $D = \sigma(s)$. Logarithms are natural: losses are in nats. A fraction $\pi$ of what the
# discriminator meets is real; in code it is called `prior` and lies strictly between 0 and 1.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# %% [markdown]
# ## Exercise 1: a loss from logits
#
# **3 points · 15 minutes · easy**
#
# When a fraction $\pi$ of the examples is real, a discriminator pays on average
#
# $$R_\pi(D) = -\pi\,\mathbb{E}_{p_d}[\log D(x)] - (1-\pi)\,\mathbb{E}_{p_g}[\log(1-D(x))].$$
#
# Write `class_weighted_loss(real_logits, fake_logits, prior)`, which estimates $R_\pi$ from two batches.
#
# - `real_logits` and `fake_logits` are tensors of logits $s$. They may have any shape, and their sizes may
#   differ: each expectation is the mean over its own batch.
# - Return a tensor without dimensions, in nats, through which gradients flow to both tensors of logits.
# - Value and gradient must be right for all logits between −1000 and 1000.


# %% nbgrader={"grade": false, "grade_id": "class_weighted_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def class_weighted_loss(real_logits, fake_logits, prior):
    """Estimate R_prior from logits: a tensor without dimensions, in nats."""
    ### BEGIN SOLUTION
    return prior * F.softplus(-real_logits).mean() + (1 - prior) * F.softplus(fake_logits).mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_class_weighted_loss", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    real = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64, requires_grad=True)
    fake = torch.tensor([[-3.0, 1.0], [0.2, 4.0]], dtype=torch.float64, requires_grad=True)
    loss = class_weighted_loss(real, fake, 0.3)
    assert isinstance(loss, torch.Tensor), f"Return a torch tensor; this is a {type(loss).__name__}."
    assert loss.shape == (), f"Return a tensor without dimensions; this one has shape {tuple(loss.shape)}."
    assert loss.requires_grad, (
        "No gradient can flow through your result. Do not leave PyTorch, and do not detach."
    )
    assert loss > 0, "A cross-entropy is never negative: look at your signs."
    slopes = torch.autograd.grad(loss, [real, fake])
    assert (slopes[0] < 0).all(), "Raising the logit of a real example must lower the loss."
    assert (slopes[1] > 0).all(), "Raising the logit of a generated example must raise the loss."
    twice = class_weighted_loss(torch.cat([real, real]), fake, 0.3)
    assert torch.isclose(twice, loss), (
        "Showing each real example twice changed the loss: average over each batch."
    )
    undecided = class_weighted_loss(torch.zeros(5), torch.zeros(2), 0.8)
    assert abs(undecided.item() - np.log(2.0)) < 1e-5, "Always answering 1/2 costs log 2, whatever the prior."
    few, many = (class_weighted_loss(torch.full((3,), 4.0), torch.full((3,), 4.0), p) for p in (0.9, 0.1))
    assert few < many, (
        "Here only the generated examples are misjudged: the fewer of them, the smaller the loss."
    )
    for size in (50.0, 1000.0):
        wrong = class_weighted_loss(torch.full((2,), -size), torch.full((2,), size), 0.5)
        assert torch.isfinite(wrong), (
            f"For confident mistakes (logits of size {size:g}) the loss is not finite."
        )
        assert wrong > 0.9 * size, (
            f"A confident mistake (logits of size {size:g}) must cost about as much as its logit."
        )
    print("class_weighted_loss: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 2: the optimal discriminator
#
# **3 points · 20 minutes · medium**
#
# Write `optimal_discriminator(log_p_data, log_p_generator, prior)`: the values of the discriminator that
# minimises $R_\pi$ of exercise 1, at points where the two *log*-densities are known.
#
# - Both arguments are NumPy arrays of the same shape. Return an array of that shape with values in
#   $[0, 1]$.
# - A density may vanish: its logarithm is then `-inf`. Where both vanish the risk does not care what $D$
#   says. Return $\tfrac12$ there.
# - In many dimensions log-densities of −2000 or +800 are common, and `np.exp` of them is 0 or `inf`. Your
#   answer must be right there too.


# %% nbgrader={"grade": false, "grade_id": "optimal_discriminator", "locked": false, "schema_version": 3, "solution": true, "task": false}
def optimal_discriminator(log_p_data, log_p_generator, prior):
    """Values of the discriminator that minimises R_prior: an array in [0, 1] of the inputs' shape."""
    ### BEGIN SOLUTION
    log_real = log_p_data + np.log(prior)
    log_fake = log_p_generator + np.log1p(-prior)
    nowhere = np.isneginf(log_real) & np.isneginf(log_fake)
    largest = np.where(nowhere, 0.0, np.maximum(log_real, log_fake))
    real, fake = np.exp(log_real - largest), np.exp(log_fake - largest)
    return np.where(nowhere, 0.5, real / np.where(nowhere, 1.0, real + fake))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_optimal_discriminator", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    log_p, log_q = (
        np.array([[-1.0, 0.5, -3.0], [0.0, -2.0, 1.0]]),
        np.array([[-2.0, 0.5, 1.0], [-0.5, -2.0, -4.0]]),
    )
    before = log_p.copy(), log_q.copy()
    best = optimal_discriminator(log_p, log_q, 0.3)
    assert isinstance(best, np.ndarray), f"Return a NumPy array; this is a {type(best).__name__}."
    assert best.shape == log_p.shape, f"The inputs have shape {log_p.shape}, your result {best.shape}."
    assert np.array_equal(before, (log_p, log_q)), "You changed the input arrays. Work on new ones."
    assert ((best > 0) & (best < 1)).all(), (
        "Both densities are positive here: the values lie strictly between 0 and 1."
    )
    assert best[0, 0] > best[0, 1] > best[0, 2], "The larger p_d is beside p_g, the more probable is 'real'."
    same = optimal_discriminator(log_p, log_p, 0.3)
    assert np.allclose(same, 0.3), "Where the densities agree, a point tells nothing that the prior did not."
    more = optimal_discriminator(log_p, log_q, 0.6)
    assert (more > best).all(), (
        "The more of the examples are real, the more probable is 'real' at every point."
    )
    swapped = optimal_discriminator(log_q, log_p, 0.7)
    assert np.allclose(swapped, 1 - best), (
        "Exchanging the two classes, prior included, must turn D into 1 - D."
    )
    gone = -np.inf
    zeros = optimal_discriminator(np.array([-1.0, gone, gone]), np.array([gone, -1.0, gone]), 0.3)
    assert not np.isnan(zeros).any(), "Where a density vanishes your result is NaN."
    assert zeros[:2].tolist() == [1, 0], "A point that only one of the densities reaches leaves no doubt."
    assert zeros[2] == 0.5, "Where both densities vanish, return 1/2."
    for shift in (-2000.0, 800.0):
        far = optimal_discriminator(log_p + shift, log_q + shift, 0.3)
        assert np.allclose(far, best), f"Adding {shift:g} to both log-densities must change nothing."
    print("optimal_discriminator: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 3: a density ratio from a discriminator
#
# **2 points · 15 minutes · easy**
#
# A discriminator was trained until it minimised $R_\pi$. You have its logits $s$ at some points and you
# know the prior $\pi$ it was trained with. Write `density_ratio(logits, prior)`, which recovers
# $p_d(x)/p_g(x)$ at these points.
#
# - `logits` is a NumPy array of any shape. Return an array of that shape.
# - The relative error must stay below $10^{-9}$ for logits between −60 and 60. Think about what `1 - D` is
#   in floating point when $s = 50$.


# %% nbgrader={"grade": false, "grade_id": "density_ratio", "locked": false, "schema_version": 3, "solution": true, "task": false}
def density_ratio(logits, prior):
    """Recover p_d / p_g from the logits of a discriminator that is optimal for this prior."""
    ### BEGIN SOLUTION
    return np.exp(logits) * (1 - prior) / prior
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_density_ratio", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    logits = np.array([[-2.0, -0.5, 0.0], [0.3, 1.0, 4.0]])
    before = logits.copy()
    ratio = density_ratio(logits, 0.2)
    assert isinstance(ratio, np.ndarray), f"Return a NumPy array; this is a {type(ratio).__name__}."
    assert ratio.shape == logits.shape, f"The logits have shape {logits.shape}, your result {ratio.shape}."
    assert np.array_equal(before, logits), "You changed the input array. Work on a new one."
    assert (ratio > 0).all(), "A ratio of two positive densities is positive: did you return its logarithm?"
    assert (np.diff(ratio.ravel()) > 0).all(), (
        "The surer the discriminator is of 'real', the larger is p_d / p_g."
    )
    balanced = density_ratio(np.zeros(1), 0.5)
    assert np.allclose(balanced, 1), (
        "With equally frequent classes, an undecided discriminator means equal densities."
    )
    rare = density_ratio(np.zeros(1), 0.2)
    assert rare > 1, (
        "Real examples were rare, and still it is undecided here: which density must be the larger?"
    )
    inverse = density_ratio(-logits, 0.8)
    assert np.allclose(inverse * ratio, 1), (
        "Exchanging the two classes, prior included, must invert the ratio."
    )
    sure = density_ratio(np.array([-50.0, -45.0, 45.0, 50.0]), 0.2)
    assert (np.isfinite(sure) & (sure > 0)).all(), "For logits of size 50 your ratio is 0 or infinite."
    exact = np.allclose(sure[[1, 3]] / sure[[0, 2]], np.exp(5.0))
    assert exact, "For logits of size 50 your ratio has lost its digits."
    print("density_ratio: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 4: smoothed labels
#
# **3 points · 20 minutes · medium**
#
# Now let both classes be equally frequent, and train with the target $\alpha$ on real examples and $\beta$
# on generated ones in place of 1 and 0. At a point $x$ the discriminator then sees a *mean target*: the
# average of $\alpha$ and $\beta$, weighted with how often a real and a generated example falls there. If
# the mean target lies in $[0, 1]$ it is the optimal $D(x)$. If it does not, the risk has no minimum.
#
# Write `smoothed_optimum(p_data, p_generator, alpha, beta)`.
#
# - `p_data` and `p_generator` are NumPy arrays of density values (not logarithms), of the same shape.
#   Return an array of that shape.
# - Raise a `ValueError` when the mean target leaves $[0, 1]$ at one of the *given* points. What lies within
#   $10^{-9}$ of the interval is rounding, not an error.
# - A point where both densities vanish is never visited. Return $\tfrac12$ there, whatever the targets.


# %% nbgrader={"grade": false, "grade_id": "smoothed_optimum", "locked": false, "schema_version": 3, "solution": true, "task": false}
def smoothed_optimum(p_data, p_generator, alpha, beta):
    """Optimal discriminator for the targets alpha (real) and beta (generated); ValueError where there is none."""
    ### BEGIN SOLUTION
    total = p_data + p_generator
    visited = total > 0
    target = np.where(visited, (alpha * p_data + beta * p_generator) / np.where(visited, total, 1.0), 0.5)
    if (target < -1e-9).any() or (target > 1 + 1e-9).any():
        raise ValueError(f"no optimum: the mean target reaches from {target.min():.3g} to {target.max():.3g}")
    return target
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_smoothed_optimum", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    p, q = np.array([[0.2, 1.0, 0.0], [3.0, 0.5, 0.0]]), np.array([[0.6, 0.0, 2.0], [3.0, 0.1, 0.0]])
    before = p.copy(), q.copy()
    best = smoothed_optimum(p, q, 0.9, 0.2)
    assert isinstance(best, np.ndarray), f"Return a NumPy array; this is a {type(best).__name__}."
    assert best.shape == p.shape, f"The inputs have shape {p.shape}, your result {best.shape}."
    assert np.array_equal(before, (p, q)), "You changed the input arrays. Work on new ones."
    assert not np.isnan(best).any(), "Where a density vanishes your result is NaN."
    assert best[1, 2] == 0.5, "Where both densities vanish, return 1/2."
    assert np.isclose(best[0, 1], 0.9), (
        "Where only real examples fall, the mean target is the target of real examples."
    )
    assert np.isclose(best[0, 2], 0.2), "Where only generated examples fall, the mean target is theirs."
    assert np.isclose(best[1, 0], 0.55), (
        "Where the densities agree, the mean target is half way between the two."
    )
    assert best[0, 0] < best[1, 0] < best[1, 1], (
        "The larger the share of real examples, the nearer to their target."
    )
    scaled = smoothed_optimum(10 * p, 10 * q, 0.9, 0.2)
    assert np.allclose(scaled, best), "Multiplying both densities by the same number must change nothing."
    for alpha, beta in ((1.05, 0.0), (1.0, -0.05)):
        try:
            smoothed_optimum(p, q, alpha, beta)
        except ValueError:
            pass
        except Exception as error:
            raise AssertionError(f"Raise a ValueError here, not {type(error).__name__}.") from None
        else:
            raise AssertionError(
                f"With the targets {alpha} and {beta} some of these points have no optimum: ValueError."
            )
    try:
        fine = smoothed_optimum(np.array([0.3, 0.0]), np.array([0.7, 0.0]), 1.05, 0.0)
    except ValueError:
        raise AssertionError(
            "At these points the mean target stays in [0, 1], though one target does not."
        ) from None
    assert (fine < 0.6).all(), "A target outside [0, 1] does not change the formula of the mean target."
    print("smoothed_optimum: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 5: a step of the discriminator
#
# **3 points · 25 minutes · medium**
#
# Write `discriminator_step(discriminator, generator, optimizer, real, noise, alpha)`: one update of the
# discriminator with the target $\alpha$ on real examples and 0 on generated ones (one-sided smoothing). Its
# loss is
#
# $$\operatorname{mean}_{x}\bigl[-\alpha \log D(x) - (1-\alpha)\log(1-D(x))\bigr] + \operatorname{mean}_{z}\bigl[-\log(1-D(G(z)))\bigr],$$
#
# each mean over its own batch; the batches `real` and `noise` may differ in size.
#
# - `discriminator(x)` returns logits of shape `(n, 1)`, `generator(z)` examples. Both are in training mode and
#   are used in it. The generator may have batch norm, so give it the whole batch at once. `optimizer` holds the discriminator's weights and nothing else; use it as it is (it may have momentum).
# - Whatever the weights' `.grad` holds when the function is called must not matter.
# - The generator must leave as it came: the same weights, and the same content of every `.grad`. Both
#   networks stay in training mode, with the same weights trainable.
# - Return three Python floats `(loss, d_real, d_fake)`: the loss, the mean of $D(x)$ and the mean of
#   $D(G(z))$, all three before the update.


# %% nbgrader={"grade": false, "grade_id": "discriminator_step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def discriminator_step(discriminator, generator, optimizer, real, noise, alpha):
    """Update the discriminator once; return the loss and the means of D(x) and D(G(z)) before the update."""
    ### BEGIN SOLUTION
    fake = generator(noise).detach()
    real_logits, fake_logits = discriminator(real), discriminator(fake)
    real_loss = alpha * F.softplus(-real_logits) + (1 - alpha) * F.softplus(real_logits)
    loss = real_loss.mean() + F.softplus(fake_logits).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item(), real_logits.sigmoid().mean().item(), fake_logits.sigmoid().mean().item()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_discriminator_step", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    def prepare():
        torch.manual_seed(0)
        discriminator = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
        generator = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
        optimizer = torch.optim.SGD(discriminator.parameters(), lr=0.2)
        return discriminator, generator, optimizer, torch.randn(6, 2) + 3, torch.randn(9, 2)

    def weights(network):
        return torch.cat([weight.detach().flatten().clone() for weight in network.parameters()])

    discriminator, generator, optimizer, real, noise = prepare()
    start, theirs = weights(discriminator), weights(generator)
    batches = real.clone(), noise.clone()
    result = discriminator_step(discriminator, generator, optimizer, real, noise, 0.9)
    three = isinstance(result, tuple) and len(result) == 3
    assert three, "Return three values: (loss, d_real, d_fake)."
    assert all(type(value) is float for value in result), "Return Python floats, not tensors."
    loss, d_real, d_fake = result
    assert loss > 0, "A cross-entropy is never negative: look at your signs."
    for mean in (d_real, d_fake):
        assert 0 < mean < 1, "d_real and d_fake are means of probabilities, not of logits."
    assert not torch.equal(start, weights(discriminator)), "The discriminator's weights did not change."
    assert torch.equal(theirs, weights(generator)), (
        "The generator's weights changed. This step must not move them."
    )
    assert all(weight.grad is None for weight in generator.parameters()), "Gradients reached the generator."
    for network in (discriminator, generator):
        assert network.training, "Leave both networks in training mode."
    trainable = all(weight.requires_grad for weight in generator.parameters())
    assert trainable, "The generator is frozen now. Undo that."
    for given, kept in zip((real, noise), batches, strict=True):
        assert torch.equal(given, kept), "You changed the batches you were given."
    once = weights(discriminator)
    discriminator, generator, optimizer, real, noise = prepare()
    twice = discriminator_step(discriminator, generator, optimizer, torch.cat([real, real]), noise, 0.9)
    same = np.allclose(twice, result, rtol=1e-4) and torch.allclose(once, weights(discriminator), atol=1e-5)
    assert same, "Showing each real example twice changed the step: average over each batch."
    discriminator, generator, optimizer, real, noise = prepare()
    for weight in [*discriminator.parameters(), *generator.parameters()]:
        weight.grad = torch.ones_like(weight)
    discriminator_step(discriminator, generator, optimizer, real, noise, 0.9)
    assert torch.allclose(once, weights(discriminator)), "Old content of `.grad` changed the update."
    kept = all(weight.grad is not None and (weight.grad == 1).all() for weight in generator.parameters())
    assert kept, "You changed the `.grad` of the generator. Leave it alone."
    for _ in range(200):
        _, d_real, d_fake = discriminator_step(discriminator, generator, optimizer, real, noise, 0.9)
    with torch.no_grad():
        gap = discriminator(real).mean() - discriminator(generator(noise)).mean()
    assert gap > 0, (
        "After 200 steps it takes the generated batch for the real one. Which way does your step go?"
    )
    assert abs(d_real - 0.9) < 0.03, "After 200 steps D of these real examples should be near their target."
    assert d_fake < 0.05, "After 200 steps D of these generated examples should be near their target."
    print("discriminator_step: the visible checks pass. The hidden ones use other networks and data.")


visible_checks()

# %% [markdown]
# ## Exercise 6: a step of the generator
#
# **2 points · 15 minutes · medium**
#
# Write `generator_step(discriminator, generator, optimizer, noise)`: one update of the generator with the
# *non-saturating* loss $\operatorname{mean}_{z}[-\log D(G(z))]$.
#
# - The networks are as in exercise 5; `optimizer` holds the generator's weights and nothing else. Old
#   content of `.grad` must not matter.
# - The loss must be exact also when the discriminator is certain, with logits down to −1000.
# - This time the discriminator must leave as it came: the same weights, the same content of every `.grad`,
#   still trainable. The gradient has to pass *through* it all the same.
# - Return the loss before the update, as a Python float.


# %% nbgrader={"grade": false, "grade_id": "generator_step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def generator_step(discriminator, generator, optimizer, noise):
    """Update the generator once with the non-saturating loss; return that loss before the update."""
    ### BEGIN SOLUTION
    loss = F.softplus(-discriminator(generator(noise))).mean()
    weights = list(generator.parameters())
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
        weight.grad = gradient
    optimizer.step()
    return loss.item()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_generator_step", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    def prepare():
        torch.manual_seed(1)
        discriminator = nn.Sequential(nn.Linear(2, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
        generator = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
        return discriminator, generator, torch.optim.SGD(generator.parameters(), lr=0.2), torch.randn(7, 2)

    def weights(network):
        return torch.cat([weight.detach().flatten().clone() for weight in network.parameters()])

    discriminator, generator, optimizer, noise = prepare()
    start, theirs, given = weights(generator), weights(discriminator), noise.clone()
    loss = generator_step(discriminator, generator, optimizer, noise)
    assert type(loss) is float, f"Return a Python float; this is a {type(loss).__name__}."
    assert loss > 0, "The non-saturating loss is never negative: look at your signs."
    assert not torch.equal(start, weights(generator)), (
        "The generator's weights did not change. Does a gradient reach them?"
    )
    assert torch.equal(theirs, weights(discriminator)), (
        "The discriminator's weights changed. This step must not move them."
    )
    for network in (discriminator, generator):
        assert network.training, "Leave both networks in training mode."
    assert all(weight.requires_grad for weight in discriminator.parameters()), (
        "The discriminator is frozen now. Undo that."
    )
    assert torch.equal(given, noise), "You changed the noise you were given."
    left = all(weight.grad is None for weight in discriminator.parameters())
    assert left, "The discriminator holds gradients now that it did not hold before."
    once = weights(generator)
    discriminator, generator, optimizer, noise = prepare()
    generator_step(discriminator, generator, optimizer, torch.cat([noise, noise]))
    same = torch.allclose(once, weights(generator), atol=1e-5)
    assert same, "Using each noise twice changed the step: average over the batch."
    discriminator, generator, optimizer, noise = prepare()
    for weight in [*discriminator.parameters(), *generator.parameters()]:
        weight.grad = torch.ones_like(weight)
    generator_step(discriminator, generator, optimizer, noise)
    assert torch.allclose(once, weights(generator)), "Old content of `.grad` changed the update."
    kept = all(weight.grad is not None and (weight.grad == 1).all() for weight in discriminator.parameters())
    assert kept, "You changed the `.grad` of the discriminator. Leave it alone."
    with torch.no_grad():
        before = discriminator(generator(noise)).mean()
    for _ in range(50):
        generator_step(discriminator, generator, optimizer, noise)
    with torch.no_grad():
        after = discriminator(generator(noise)).mean()
    assert after > before, "After 50 steps the generator fools the discriminator no better."
    with torch.no_grad():
        discriminator[-1].bias.fill_(-900.0)
    certain = generator_step(discriminator, generator, optimizer, noise)
    assert 800 < certain < 1000, "When the discriminator is certain, the loss is not exact."
    print("generator_step: the visible checks pass. The hidden ones use other networks and data.")


visible_checks()

# %% [markdown]
# ## Exercise 7: what the best discriminator pays
#
# **4 points · 30 minutes · hard · marked by hand**
#
# Take $R_\pi$ of exercise 1, with $0 < \pi < 1$. Write $m_\pi = \pi p_d + (1-\pi) p_g$ and
# $H(\pi) = -\pi\log\pi - (1-\pi)\log(1-\pi)$.
#
# 1. (1 point) Derive the discriminator $D^*_\pi$ that minimises $R_\pi$, point by point. Say what happens
#    where one of the densities vanishes, and where both do.
# 2. (2 points) Show that
#
#    $$R_\pi(D^*_\pi) = H(\pi) - \bigl[\pi\,\mathrm{KL}(p_d \,\|\, m_\pi) + (1-\pi)\,\mathrm{KL}(p_g \,\|\, m_\pi)\bigr].$$
#
# 3. (1 point) Conclude that $0 \le R_\pi(D^*_\pi) \le H(\pi)$. For which pairs of densities is the
#    right-hand inequality an equality, and for which the left-hand one?
#
# You may use that a Kullback–Leibler divergence is never negative, and zero only for equal laws. Write in
# the cell below, formulas between dollar signs. A clear photograph of a handwritten page is accepted too:
# drag it into the cell, as JPEG or PNG.

# %% [markdown] nbgrader={"grade": true, "grade_id": "minimal_risk", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **Model answer**
#
# *Part 1.* Let $\mu$ be a measure with respect to which both densities are taken. Then
# $R_\pi(D) = \int \bigl[-a\log D - b\log(1-D)\bigr]\,d\mu$ with $a = \pi p_d(x)$ and $b = (1-\pi)p_g(x)$.
# The integrand is never negative, so a $D$ that minimises it at every point minimises the integral. For
# $a, b > 0$ the function $h(y) = -a\log y - b\log(1-y)$ is strictly convex on $(0,1)$ and tends to $\infty$
# at both ends. Its derivative $-a/y + b/(1-y)$ vanishes at $y = a/(a+b)$ only, the unique minimum. If
# $b = 0 < a$, $h(y) = -a\log y$ decreases and is smallest, 0, at $y = 1$. If $a = 0 < b$, it is smallest,
# 0, at $y = 0$. Both agree with $a/(a+b)$. If $a = b = 0$, $h = 0$ (with $0\cdot\infty = 0$) and every
# value is as good. Hence
#
# $$D^*_\pi = \frac{\pi p_d}{\pi p_d + (1-\pi)p_g} = \frac{\pi p_d}{m_\pi} \quad\text{where } m_\pi > 0,\ \text{arbitrary elsewhere}.$$
#
# *Part 2.* On $\{p_d > 0\}$ we have $\log D^*_\pi = \log\pi + \log(p_d/m_\pi)$, and on $\{p_g > 0\}$
# $\log(1-D^*_\pi) = \log(1-\pi) + \log(p_g/m_\pi)$. Since $p_d/m_\pi \le 1/\pi$ and
# $p_g/m_\pi \le 1/(1-\pi)$, the expectations
# $\mathbb{E}_{p_d}[\log(p_d/m_\pi)] = \mathrm{KL}(p_d\|m_\pi) \le -\log\pi$ and
# $\mathbb{E}_{p_g}[\log(p_g/m_\pi)] = \mathrm{KL}(p_g\|m_\pi) \le -\log(1-\pi)$ are finite, so the sums may
# be split:
#
# $$R_\pi(D^*_\pi) = -\pi\bigl[\log\pi + \mathrm{KL}(p_d\|m_\pi)\bigr] - (1-\pi)\bigl[\log(1-\pi) + \mathrm{KL}(p_g\|m_\pi)\bigr],$$
#
# which is the claim.
#
# *Part 3.* Both divergences are at least 0, hence $R_\pi(D^*_\pi) \le H(\pi)$, with equality if and only if
# both vanish, so if and only if $p_d = m_\pi = p_g$ almost everywhere, that is $p_d = p_g$. The integrand
# of part 1 is never negative, hence $R_\pi(D^*_\pi) \ge 0$. Equality means that $h$ at its minimum is 0 at
# almost every point. For $a, b > 0$ we have $0 < a/(a+b) < 1$ and the minimum is positive. So equality
# holds if and only if at almost every point one of the densities vanishes: the two laws are mutually
# singular, and $D^*_\pi$ never errs.
#
# **Rubric**
#
# - Part 1, 1 point: pointwise minimisation with the derivative or strict convexity as the reason (½); the
#   cases with a vanishing density, and "arbitrary" where both vanish (½). The formula alone: 0.
# - Part 2, 2 points: $D^*_\pi$ and $1 - D^*_\pi$ written with $m_\pi$ and put into the risk (1); the
#   logarithms split and the terms recognised as $H(\pi)$ and the two divergences, signs right (1).
#   Finiteness need not be argued. For $\pi = \frac12$ only: 1 point in all.
# - Part 3, 1 point: upper bound with equality if and only if $p_d = p_g$ (½); lower bound with equality if
#   and only if the supports are disjoint up to null sets (½). A bound without its case of equality: ¼.
# - A slip that does not change the argument costs nothing the first time.
# ### END SOLUTION

# %% [markdown]
# ## How to submit
#
# 1. Restart the kernel and run everything: *Runtime → Restart session and run all* on Colab, *Kernel →
#    Restart Kernel and Run All Cells* in Jupyter. It should run to the end. If an exercise is not solved it
#    stops there. Hand it in all the same: every exercise is marked on its own.
# 2. Save, and download the notebook: *File → Download → Download .ipynb* on Colab, *File → Download* in
#    Jupyter.
# 3. Hand in this one file, `optimal_discriminator.ipynb`. Keep its name. No PDF, no Python script, no link
#    to Colab.
