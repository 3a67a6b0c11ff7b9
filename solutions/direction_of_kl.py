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
# # Homework: the direction of KL
#
# [Open in Colab]({{ colab }})
#
# **20 points, about 2 hours 25 minutes.** You write six short functions and one derivation. When you are
# done you can
#
# - compute the Gaussian that forward KL prefers, without losing digits,
# - estimate both directions of KL from samples of one law only,
# - write a variational bound that stays right where the printed formula of its conjugate does not,
# - choose a generator's loss by the divergence that it should descend,
# - write the gradient of a frozen loss by hand,
# - compute an evidence lower bound in closed form.
#
# **You need** the chapter on the direction of KL, NumPy and PyTorch. A laptop without a graphics card is
# enough.
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
# **Notation.** $p_d$ is the density of the data, $p_\theta$ that of a generator with parameters $\theta$,
# $m = (p_d + p_\theta)/2$, $D^* = p_d/(p_d + p_\theta)$, $s = \operatorname{logit} D$. Logarithms are
# natural: everything is in nats.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import numpy as np
import torch
import torch.nn.functional as F

# %% [markdown]
# ## Exercise 1: what forward KL prefers
#
# **2 points · 10 minutes · easy**
#
# The data are a mixture of Gaussians on the line, with weights $w_k$, means $\mu_k$ and standard deviations
# $\sigma_k$. Write `best_forward_fit(weights, means, stds)`: the mean and the standard deviation of the one
# Gaussian that minimises the forward KL.
#
# - The arguments are NumPy arrays of the same length; the weights sum to one. Return an array of two
#   numbers, mean first.
# - The modes may lie far from zero: with means near $10^8$ and a width of 1 your standard deviation must
#   still be right to six digits. Think about what a difference of two huge numbers keeps.


# %% nbgrader={"grade": false, "grade_id": "best_forward_fit", "locked": false, "schema_version": 3, "solution": true, "task": false}
def best_forward_fit(weights, means, stds):
    """Mean and standard deviation of the Gaussian with the smallest forward KL from a mixture."""
    ### BEGIN SOLUTION
    mean = np.sum(weights * means)
    variance = np.sum(weights * (stds**2 + (means - mean) ** 2))
    return np.array([mean, np.sqrt(variance)])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_best_forward_fit", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    weights, means, stds = np.array([0.3, 0.7]), np.array([-2.0, 1.0]), np.array([0.5, 1.5])
    before = weights.copy(), means.copy(), stds.copy()
    fit = best_forward_fit(weights, means, stds)
    assert isinstance(fit, np.ndarray), f"Return a NumPy array; this is a {type(fit).__name__}."
    assert fit.shape == (2,), f"Return two numbers, mean and standard deviation; the shape is {fit.shape}."
    for given, kept in zip((weights, means, stds), before, strict=True):
        assert np.array_equal(given, kept), "You changed the input arrays. Work on new ones."
    one = best_forward_fit(np.array([1.0]), np.array([3.0]), np.array([0.4]))
    assert np.allclose(one, [3.0, 0.4]), "If the data are one Gaussian, it is its own best fit."
    assert -2 < fit[0] < 1, "The mean of a mixture lies between the means of its components."
    assert abs(fit[0] - 1) < abs(fit[0] + 2), "The heavier component pulls the mean more strongly."
    apart = best_forward_fit(weights, 10 * means, stds)
    assert apart[1] > 3 * fit[1], "Move the modes apart, and the best fit must become wider."
    flat = best_forward_fit(np.array([0.5, 0.5]), np.zeros(2), np.array([3.0, 4.0]))
    assert 3 < flat[1] < 4, "Two components with one centre: the width lies between theirs."
    assert flat[1] > 3.5, "Variances are averaged, not standard deviations."
    sharp = best_forward_fit(np.array([0.5, 0.5]), np.array([-6.0, 6.0]), np.full(2, 1e-3))
    assert np.isclose(sharp[1], 6), "Two narrow modes at -6 and 6: their distance alone makes the width."
    moved = best_forward_fit(weights, means + 1e8, stds)
    assert np.isclose(moved[1], fit[1], rtol=1e-6), "Far from zero your standard deviation loses its digits."
    print("best_forward_fit: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 2: both directions from one set of samples
#
# **3 points · 20 minutes · medium**
#
# You hold samples $x_1, \dots, x_n$ of the *model* $q$ only, and at each of them the values of $\log p$
# and $\log q$. Write `two_directions(log_p, log_q)`, which estimates
# $\mathrm{KL}(q\|p)$ and $\mathrm{KL}(p\|q)$ from them, each as the plain mean of its integrand over the
# samples, without further terms. For the second direction, write the integral under $p$ as one under $q$.
#
# - The arguments are NumPy arrays of shape `(n,)`. Return an array of two numbers, $\mathrm{KL}(q\|p)$
#   first.
# - Do not normalise the weights: the mean of $p/q$ is 1 in expectation, and that is enough.
# - $\log p$ may be `-inf` at some samples. Then the first estimate is `inf`, and such a sample adds 0 to
#   the second.
# - Log-densities of −2000 are common in many dimensions; where both are about equal, nothing may under- or
#   overflow.


# %% nbgrader={"grade": false, "grade_id": "two_directions", "locked": false, "schema_version": 3, "solution": true, "task": false}
def two_directions(log_p, log_q):
    """Estimates of KL(q||p) and KL(p||q) from samples of q: an array of two numbers."""
    ### BEGIN SOLUTION
    log_ratio = log_p - log_q
    seen = np.isfinite(log_ratio)
    terms = np.zeros_like(log_ratio)
    terms[seen] = np.exp(log_ratio[seen]) * log_ratio[seen]
    return np.array([-log_ratio.mean(), terms.mean()])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_two_directions", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    def normal(x, mean, std):
        return -0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)

    def exact(a, s, b, t):
        return np.log(t / s) + (s**2 + (a - b) ** 2) / (2 * t**2) - 0.5

    x = 1.0 + 1.5 * np.random.default_rng(0).standard_normal(400_000)
    log_p, log_q = normal(x, 0.0, 0.8), normal(x, 1.0, 1.5)
    before = log_p.copy(), log_q.copy()
    both = two_directions(log_p, log_q)
    assert isinstance(both, np.ndarray), f"Return a NumPy array; this is a {type(both).__name__}."
    assert both.shape == (2,), f"Return two numbers; the shape is {both.shape}."
    assert np.array_equal(before, (log_p, log_q)), "You changed the input arrays. Work on new ones."
    assert abs(both[0] - exact(1.0, 1.5, 0.0, 0.8)) < 0.03, (
        "For two Gaussians the first number is not KL(q||p). The samples are those of q."
    )
    assert abs(both[1] - exact(0.0, 0.8, 1.0, 1.5)) < 0.02, (
        "For two Gaussians the second number is not KL(p||q). Under which law are the samples?"
    )
    same = two_directions(log_q, log_q)
    assert np.allclose(same, 0), "Between equal laws both divergences vanish."
    far = two_directions(log_p[:50] - 2000, log_q[:50] - 2000)
    assert np.allclose(far, two_directions(log_p[:50], log_q[:50])), (
        "Lowering both log-densities by 2000 must change nothing."
    )
    raised = two_directions(log_p[:50] + 0.5, log_q[:50])
    assert np.isclose(raised[0], two_directions(log_p[:50], log_q[:50])[0] - 0.5), (
        "Raising log p by 0.5 everywhere lowers the first mean by 0.5: take the plain mean, no further terms."
    )
    p, q = np.array([-np.inf, -1.0, -2.0]), np.array([-1.5, -1.2, -1.0])
    gone = two_directions(p, q)
    assert not np.isnan(gone).any(), "Where p vanishes your result is NaN."
    assert gone[0] == np.inf, "The model invents a point that p cannot make: the first is infinite."
    assert np.isclose(3 * gone[1], 2 * two_directions(p[1:], q[1:])[1]), (
        "A sample where p vanishes adds 0 to the second sum, but it counts in the number of samples. "
        "Did you normalise the weights?"
    )
    print("two_directions: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 3: Pearson's bound
#
# **3 points · 15 minutes · easy**
#
# For $f(u) = (u-1)^2$ the variational bound reads
# $\mathbb{E}_{p_d}[T] - \mathbb{E}_{p_\theta}[f^*(T)] \le \int (p_d - p_\theta)^2/p_\theta$. Write
# `pearson_bound(real_outputs, fake_outputs)`, which estimates the bound from the outputs $T$ of a network on
# real and on generated samples.
#
# - Both arguments are tensors of any shape; each expectation is the mean over its own batch.
# - $f^*(t) = \sup_{u \ge 0}(ut - f(u))$ for *every* real $t$. Derive it: the formula that most tables print
#   holds only for some $t$.
# - Return a tensor without dimensions, through which gradients flow to both arguments.


# %% nbgrader={"grade": false, "grade_id": "pearson_bound", "locked": false, "schema_version": 3, "solution": true, "task": false}
def pearson_bound(real_outputs, fake_outputs):
    """The lower bound on Pearson's divergence from outputs T: a tensor without dimensions."""
    ### BEGIN SOLUTION
    inside = torch.clamp(fake_outputs, min=-2.0)
    conjugate = inside**2 / 4 + inside
    return real_outputs.mean() - conjugate.mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_pearson_bound", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    real = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64, requires_grad=True)
    fake = torch.tensor([[-0.5, 1.0], [0.3, -1.5]], dtype=torch.float64, requires_grad=True)
    bound = pearson_bound(real, fake)
    assert isinstance(bound, torch.Tensor), f"Return a torch tensor; this is a {type(bound).__name__}."
    assert bound.shape == (), f"Return a tensor without dimensions; this one has shape {tuple(bound.shape)}."
    assert bound.requires_grad, "No gradient can flow through your result."
    slopes = torch.autograd.grad(bound, [real, fake])
    assert (slopes[0] > 0).all(), "Raising T on real samples must raise the bound."
    assert (slopes[1] < 0).all(), "Raising T on generated samples must lower the bound, for these T."
    zeros = pearson_bound(torch.zeros(4).double(), torch.zeros(3).double())
    assert abs(zeros) < 1e-12, "T = 0 is the tangent at u = 1: the bound it gives is f(1) = 0."
    doubled = pearson_bound(torch.cat([real, real]), fake)
    assert torch.isclose(doubled, bound), "Showing each real sample twice must change nothing."
    # Three outcomes whose probabilities are counts: the bound at its optimum is the divergence itself.
    ratio = torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64)  # p_d/p_theta, under p_theta = 1/3 each
    best = 2 * (ratio - 1)
    tight = pearson_bound(best[[0, 1, 1, 2, 2, 2]], best)
    assert torch.isclose(tight, ((ratio - 1) ** 2).mean()), "At its optimum the bound is not tight."
    for t in (-2.5, -5.0, -40.0):
        value = -pearson_bound(torch.zeros(2).double(), torch.full((2,), t).double())
        u = torch.linspace(0, 60, 60_001, dtype=torch.float64)
        searched = (u * t - (u - 1) ** 2).max()
        assert torch.isclose(value, searched, atol=1e-4), (
            f"For t = {t} your conjugate is not the supremum over u >= 0. Where is the best u?"
        )
    print("pearson_bound: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 4: a loss for each divergence
#
# **3 points · 20 minutes · medium**
#
# The discriminator is optimal and frozen. Write `generator_loss(logits, divergence)`: the loss, from the
# logits $s$ of generated samples, whose gradient in the generator's parameters is that of the divergence
# asked for. `divergence` is one of these texts:
#
# `"2 JSD"`, `"2 KL(m||data)"`, `"KL(model||data)"`, `"KL(data||m)"`, `"KL(data||model)"`.
#
# - Use the losses of the chapter's table, without additional constants or factors. Return the mean over all
#   logits, a tensor without dimensions through which a gradient flows.
# - `logits` may have any shape and values between −500 and 500; value and gradient must be right there,
#   except that the loss of `"KL(data||model)"` is asked for up to 50 only.
# - Raise a `ValueError` for any other text.


# %% nbgrader={"grade": false, "grade_id": "generator_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def generator_loss(logits, divergence):
    """Mean loss of generated samples whose frozen gradient is that of the divergence."""
    ### BEGIN SOLUTION
    losses = {
        "2 JSD": lambda s: -F.softplus(s),
        "2 KL(m||data)": lambda s: F.softplus(-s),
        "KL(model||data)": lambda s: -s,
        "KL(data||m)": lambda s: -torch.sigmoid(s),
        "KL(data||model)": lambda s: -torch.exp(s),
    }
    if divergence not in losses:
        raise ValueError(f"unknown divergence {divergence!r}; there are {', '.join(losses)}")
    return losses[divergence](logits).mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_generator_loss", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    names = ["2 JSD", "2 KL(m||data)", "KL(model||data)", "KL(data||m)", "KL(data||model)"]

    def pull(name, s):
        logits = torch.full((3, 2), s, dtype=torch.float64, requires_grad=True)
        loss = generator_loss(logits, name)
        assert isinstance(loss, torch.Tensor), f"{name}: return a torch tensor, not a {type(loss).__name__}."
        assert loss.shape == (), f"{name}: return a tensor without dimensions."
        assert loss.requires_grad, f"{name}: no gradient can flow through your result."
        return -torch.autograd.grad(loss, logits)[0].sum().item()

    for name in names:
        for s in (-3.0, 0.0, 2.0):
            assert pull(name, s) > 0, f"{name}: a generator wants larger logits. Look at your sign."
    assert pull("2 JSD", -8.0) < 1e-3 < 0.9 < pull("2 JSD", 8.0), (
        "2 JSD: this loss saturates when the discriminator wins, and pulls with strength 1 when the generator does."
    )
    assert pull("2 KL(m||data)", 8.0) < 1e-3 < 0.9 < pull("2 KL(m||data)", -8.0), (
        "2 KL(m||data): this loss fades when the generator wins, and pulls with strength 1 when D does."
    )
    assert np.isclose(pull("KL(model||data)", -8.0), pull("KL(model||data)", 8.0)), (
        "KL(model||data): reverse KL listens to all samples alike."
    )
    assert max(pull("KL(data||m)", -9.0), pull("KL(data||m)", 9.0)) < 1e-3, (
        "KL(data||m): this loss fades at both ends."
    )
    assert np.isclose(pull("KL(data||model)", 3.0) / pull("KL(data||model)", 1.0), np.exp(2.0)), (
        "KL(data||model): forward KL listens to a sample in proportion to p_d/p_theta."
    )
    assert np.isclose(generator_loss(torch.zeros(4).double(), "KL(data||model)"), -1), (
        "KL(data||model): where p_d = p_g this loss is -1."
    )
    for name in names:
        for s in (-500.0, 50.0 if name == "KL(data||model)" else 500.0):
            for dtype in (torch.float64, torch.float32):
                value = generator_loss(torch.full((2,), s, dtype=dtype), name)
                assert torch.isfinite(value), f"{name}: at the logit {s:g} the loss is not finite in {dtype}."
            assert np.isfinite(pull(name, s)), f"{name}: at the logit {s:g} the gradient is not finite."
    for name in ("JSD", ""):
        try:
            generator_loss(torch.zeros(2), name)
        except ValueError:
            pass
        except Exception as error:
            raise AssertionError(f"Raise a ValueError here, not {type(error).__name__}.") from None
        else:
            raise AssertionError(f"There is no divergence {name!r}: ValueError.")
    print("generator_loss: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 5: the gradient of a frozen loss, by hand
#
# **3 points · 25 minutes · hard**
#
# A generator makes one of $K$ outcomes, with probabilities $p_\theta = \operatorname{softmax}(\theta)$,
# $\theta \in \mathbb{R}^K$. The data have probabilities $p_d$, all positive. Freeze
# $D^* = p_d/(p_d + p_{\theta_0})$ and write `frozen_gradient(theta, p_data)`: the gradient of
# $\mathbb{E}_{p_\theta}[-\log D^*]$ in $\theta$ at $\theta_0$, an array of the shape of `theta`.
#
# - Use NumPy alone, no automatic or numerical differentiation.
# - Only $p_\theta$ is differentiated; $D^*$ stands still.
# - `theta` may hold values of size 1000: your probabilities must not overflow. Where $p_\theta$ of an
#   outcome rounds to zero, the gradient there is zero.


# %% nbgrader={"grade": false, "grade_id": "frozen_gradient", "locked": false, "schema_version": 3, "solution": true, "task": false}
def frozen_gradient(theta, p_data):
    """Gradient of E[-log D*] in the parameters of a softmax generator, D* frozen: an array."""
    ### BEGIN SOLUTION
    weights = np.exp(theta - theta.max())
    p = weights / weights.sum()
    loss = np.log1p(p / p_data)
    return p * (loss - np.sum(p * loss))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_frozen_gradient", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    theta, p_data = np.array([0.3, -1.0, 0.8, 0.1]), np.array([0.1, 0.2, 0.3, 0.4])
    before = theta.copy(), p_data.copy()
    slope = frozen_gradient(theta, p_data)
    assert isinstance(slope, np.ndarray), f"Return a NumPy array; this is a {type(slope).__name__}."
    assert slope.shape == theta.shape, f"theta has shape {theta.shape}, your result {slope.shape}."
    assert np.array_equal(before, (theta, p_data)), "You changed the input arrays. Work on new ones."
    assert abs(slope.sum()) < 1e-12, "Adding a constant to theta changes nothing: the gradient sums to zero."
    assert np.allclose(frozen_gradient(theta + 5, p_data), slope), (
        "Adding a constant to theta must not change the gradient."
    )
    settled = frozen_gradient(np.log(p_data), p_data)
    assert np.allclose(settled, 0), "Where p_theta = p_d, D* is constant and nothing pulls."
    uneven = np.exp(theta) / np.exp(theta).sum() / p_data
    assert slope[np.argmax(uneven)] > 0, (
        "Descent must lower the outcome that the model makes most too often: its gradient is positive."
    )
    assert slope[np.argmin(uneven)] < 0, (
        "Descent must raise the outcome that the model misses most: its gradient is negative."
    )

    # The theorem: descending this gradient is descending 2 KL(m||p_d).
    def softened(theta):
        p = np.exp(theta) / np.exp(theta).sum()
        return np.sum((p + p_data) * np.log((p + p_data) / (2 * p_data)))

    direction = np.array([1.0, -2.0, 0.5, 1.5])
    change = (softened(theta + 1e-5 * direction) - softened(theta - 1e-5 * direction)) / 2e-5
    assert np.isclose(direction @ slope, change, atol=1e-8), (
        "Along a direction the gradient is not that of 2 KL(m||p_d). Is it the right loss, with the right factor, in "
        "theta and not in p? Did D* move with theta?"
    )
    huge = frozen_gradient(np.array([1000.0, -1000.0, 999.0, 0.0]), p_data)
    assert np.isfinite(huge).all(), "With parameters of size 1000 your result is not finite."
    assert huge[1] == 0, "An outcome whose probability rounds to zero has the gradient zero."
    print("frozen_gradient: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 6: an evidence lower bound in closed form
#
# **3 points · 25 minutes · medium**
#
# The model: $z \sim \mathcal{N}(0, 1)$ and, given $z$, $x \sim \mathcal{N}(1 + 2z,\ 0.5^2)$. For each
# observation $x$ an encoder proposes $q = \mathcal{N}(\mu, \tau^2)$ for $z$. Write
# `evidence_lower_bound(x, mean, std)`:
#
# $$\mathbb{E}_q[\log p(x|z)] - \mathrm{KL}(q \,\|\, p(z)).$$
#
# - The arguments are NumPy arrays of one shape, one $x$, $\mu$ and $\tau$ each. Return an array of that
#   shape.
# - Both terms have closed forms; use them, no sampling. All constants count: the result is in nats.


# %% nbgrader={"grade": false, "grade_id": "evidence_lower_bound", "locked": false, "schema_version": 3, "solution": true, "task": false}
def evidence_lower_bound(x, mean, std):
    """The ELBO of each observation for its proposal N(mean, std^2), in nats: an array."""
    ### BEGIN SOLUTION
    noise = 0.5**2
    square = (x - 1 - 2 * mean) ** 2 + 4 * std**2
    likelihood = -square / (2 * noise) - 0.5 * np.log(2 * np.pi * noise)
    to_prior = 0.5 * (mean**2 + std**2 - 1) - np.log(std)
    return likelihood - to_prior
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_evidence_lower_bound", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    x = np.array([[0.5, 3.0], [-2.0, 1.0]])
    mean, std = np.array([[0.1, 0.8], [-1.0, 0.3]]), np.array([[0.3, 0.2], [0.6, 1.0]])
    before = x.copy(), mean.copy(), std.copy()
    bound = evidence_lower_bound(x, mean, std)
    assert isinstance(bound, np.ndarray), f"Return a NumPy array; this is a {type(bound).__name__}."
    assert bound.shape == x.shape, f"The arguments have shape {x.shape}, your result {bound.shape}."
    assert np.array_equal(before, (x, mean, std)), "You changed the input arrays. Work on new ones."
    # By integration over a fine grid of z, the evidence and with it the best bound are known.
    z = np.linspace(-9, 9, 18_001)[:, None, None]

    def normal(t, centre, width):
        return np.exp(-0.5 * ((t - centre) / width) ** 2) / (width * np.sqrt(2 * np.pi))

    joint = normal(z, 0.0, 1.0) * normal(x, 1 + 2 * z, 0.5)
    evidence = np.log(joint.sum(0) * 1e-3)
    assert (bound < evidence).all(), "A lower bound of the evidence lies below it."
    posterior = joint / joint.sum(0)
    centre = (posterior * z).sum(0)
    width = np.sqrt((posterior * (z - centre) ** 2).sum(0))
    best = evidence_lower_bound(x, centre, width)
    assert np.allclose(best - best[0, 0], evidence - evidence[0, 0], atol=1e-6), (
        "With the posterior as its proposal the bound must follow the evidence from one x to another."
    )
    assert np.allclose(best, evidence, atol=1e-6), (
        "With the posterior as its proposal the bound must be the evidence: is a constant missing, or the KL wrong?"
    )
    off = evidence_lower_bound(x, centre + 0.3, width)
    assert (off < best - 1e-3).all(), "A shifted proposal must lower the bound."
    wide = evidence_lower_bound(x, centre, 3 * width)
    assert (wide < best - 0.1).all(), "A proposal three times too wide must lower the bound."
    print("evidence_lower_bound: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 7: a sixth loss
#
# **3 points · 30 minutes · hard · marked by hand**
#
# A generator lowers $\mathbb{E}_{p_\theta}[-D^*(x)^2]$ with $D^* = p_d/(p_d + p_{\theta_0})$ frozen. The
# family is regular for $\psi = 0$ in the sense of the chapter.
#
# 1. (1 point) Show that at $\theta_0$ its gradient is that of $\frac12\chi^2(p_d \| m_\theta)$, where
#    $\chi^2(p\|q) = \int (p-q)^2/q$ and $m_\theta = (p_d + p_\theta)/2$.
# 2. (1 point) Show that $0 \le \chi^2(p_d\|m_\theta) \le 1$, and say for which pairs of laws each bound is
#    reached.
# 3. (1 point) Compute how strongly the loss pulls on the logit $s$ of a sample. Compare it with the
#    minimax loss where the discriminator wins, and say what that means for training.
#
# Write in the cell below, formulas between dollar signs. A clear photograph of a handwritten page is
# accepted too: drag it into the cell, as JPEG or PNG.

# %% [markdown] nbgrader={"grade": true, "grade_id": "sixth_loss", "locked": false, "points": 3, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **Model answer**
#
# *Part 1.* With $a = p_d$ and $b = p_\theta$ the loss is $-a^2/(a+b)^2$ at $\theta_0$. Only $p_\theta$ is
# differentiated, so the gradient is $\int -(D^*)^2\,\nabla p_\theta\,d\lambda$. On the other side
# $\chi^2(p_d\|m_\theta) = \int p_d^2/m_\theta - 2\int p_d + \int m_\theta = 2\int \frac{a^2}{a+b} - 1$,
# so that $\frac12\chi^2 = \int\frac{a^2}{a+b}\,d\lambda - \frac12$. Its integrand has the derivative
# $-\frac{a^2}{(a+b)^2} = -(D^*)^2$ in $b$, which is bounded by 1. So dominated convergence allows
# differentiation under the integral, and the gradient is the same. Off the support of $p_\theta$ the
# integrand is $p_d$ and does not depend on $\theta$.
#
# *Part 2.* The integrand $(p_d - m)^2/m$ is never negative, hence $\chi^2 \ge 0$, with equality if and only
# if $p_d = m$ almost everywhere, that is $p_d = p_\theta$. From $\frac{a^2}{a+b} \le a$ we get
# $\int \frac{a^2}{a+b} \le 1$ and $\chi^2 \le 2 - 1 = 1$. Equality means $\frac{a^2}{a+b} = a$ almost
# everywhere, so $ab = 0$ almost everywhere: the laws are mutually singular.
#
# *Part 3.* $D = \sigma(s)$ and $\sigma' = \sigma(1-\sigma)$, so
# $\frac{d}{ds}[-\sigma^2] = -2\sigma^2(1-\sigma)$. Where the discriminator wins, $s \to -\infty$, this is
# about $-2e^{2s}$, while the minimax loss pulls with $-\sigma(s) \approx -e^{s}$. It saturates twice as
# fast on a logarithmic scale: bad samples are heard even less than under the minimax loss, so a generator
# that starts far from the data learns nothing.
#
# **Rubric**
#
# - Part 1, 1 point: derivative of the integrand in $p_\theta$, equal to the frozen loss (½); the frozen
#   gradient written as an integral over $\nabla p_\theta$, with a word on exchanging derivative and
#   integral or on the constant (½).
# - Part 2, 1 point: each bound with its case of equality (½ each).
# - Part 3, 1 point: the derivative (½), the comparison and its meaning (½).
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
# 3. Hand in this one file, `direction_of_kl.ipynb`. Keep its name. No PDF, no Python script, no link to
#    Colab.
