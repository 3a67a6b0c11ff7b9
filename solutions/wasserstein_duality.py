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
# # Homework: Wasserstein duality
#
# [Open in Colab]({{ colab }})
#
# **20 points, about 2 hours 25 minutes.** You write six short functions and one derivation. When you are
# done you can
#
# - compute the Wasserstein distance of two samples on the line, whatever their sizes,
# - make a critic out of the prices of a transport problem, and certify that a plan is optimal,
# - give the generator's gradient from a transport plan,
# - say exactly by how much batches overestimate a distance of zero,
# - write the critic's step of a WGAN with gradient penalty,
# - derive what a zero-centred penalty makes a critic report.
#
# **You need** the chapter on Wasserstein duality, NumPy and PyTorch. A laptop without a graphics card is
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
# PyTorch. No function may change the arrays or tensors it is given, but for the critic in exercise 6.
#
# **Notation.** $\|\cdot\|$ is the Euclidean norm. $W_1(P,Q)$ is the smallest mean distance
# $\mathbb{E}\|X-Y\|$ over all joint laws of $X \sim P$ and $Y \sim Q$. A *plan* between points $x_i$ and
# $y_j$ is a matrix $\gamma_{ij} \ge 0$ of total mass 1; *prices* are numbers $u_i$, $v_j$, and they are
# *allowed* when $u_i + v_j \le c_{ij}$ for all $i, j$.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import numpy as np
import torch
from torch import nn

# %% [markdown]
# ## Exercise 1: samples on the line
#
# **3 points · 25 minutes · medium**
#
# Write `wasserstein_1d(x, y)`: the distance $W_1$ between the empirical laws of two samples on the line.
#
# - `x` and `y` are NumPy arrays of shapes `(n,)` and `(m,)`, in any order. Each of the `n` numbers in `x`
#   has mass `1/n`, each of those in `y` has `1/m`. **The sizes may differ**, and numbers may repeat.
# - Return a Python float. No optimisation is needed.


# %% nbgrader={"grade": false, "grade_id": "wasserstein_1d", "locked": false, "schema_version": 3, "solution": true, "task": false}
def wasserstein_1d(x, y):
    """W1 between the empirical laws of two samples on the line: a float."""
    ### BEGIN SOLUTION
    points = np.sort(np.concatenate([x, y]))
    below_x = np.searchsorted(np.sort(x), points[:-1], side="right") / len(x)
    below_y = np.searchsorted(np.sort(y), points[:-1], side="right") / len(y)
    return float(np.abs(below_x - below_y) @ np.diff(points))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_wasserstein_1d", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    x, y = np.array([0.5, -1.0, 2.0]), np.array([3.0, 1.5, 4.0, 2.5, 2.0, 6.5])
    before = x.copy(), y.copy()
    value = wasserstein_1d(x, y)
    assert type(value) is float, f"Return a Python float; this is a {type(value).__name__}."
    same = np.array_equal(x, before[0]) and np.array_equal(y, before[1])
    assert same, "You changed the input arrays. Work on new ones."
    assert value >= 0, "A distance is never negative."
    assert np.isclose(wasserstein_1d(y, x), value), "Exchanging the two samples must change nothing."
    assert np.isclose(wasserstein_1d(x, x[::-1].copy()), 0), (
        "The order of the numbers in a sample does not matter."
    )
    assert np.isclose(wasserstein_1d(x, np.repeat(x, 4)), 0), (
        "Showing every number four times gives the same law, so the distance is zero."
    )
    right = np.array([2.0, 4.5, 9.0, 2.0])
    assert np.isclose(wasserstein_1d(x, right), right.mean() - x.mean()), (
        "No number of the first sample exceeds one of the second: here the distance is that of the means."
    )
    assert np.isclose(wasserstein_1d(x - 7, y - 7), value), "Moving both samples together changes nothing."
    assert np.isclose(wasserstein_1d(-3 * x, -3 * y), 3 * value), (
        "Stretching and mirroring both samples stretches the distance."
    )
    spread, middle = np.array([-1.0, 1.0]), np.array([0.0])
    assert np.isclose(wasserstein_1d(spread, middle), 1), (
        "Equal means do not make equal laws: all mass has to move here."
    )
    print("wasserstein_1d: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 2: a critic made of prices
#
# **2 points · 15 minutes · easy**
#
# Prices $v_j$ for delivering at the points $y_j$ are given, any numbers. Write `critic_of_prices(z, y, v)`:
# the values, at the points $z_k$, of the *largest* 1-Lipschitz function $f$ with $f(y_j) \le -v_j$ for all
# $j$.
#
# - `z` has shape `(k, d)`, `y` shape `(m, d)`, `v` shape `(m,)`. Return an array of shape `(k,)`.


# %% nbgrader={"grade": false, "grade_id": "critic_of_prices", "locked": false, "schema_version": 3, "solution": true, "task": false}
def critic_of_prices(z, y, v):
    """Values of the largest 1-Lipschitz f with f(y_j) <= -v_j at the points z: shape (k,)."""
    ### BEGIN SOLUTION
    return (np.linalg.norm(z[:, None] - y[None], axis=2) - v).min(axis=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_critic_of_prices", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    rng = np.random.default_rng(0)
    z, y, v = rng.normal(size=(8, 3)), rng.normal(size=(5, 3)), rng.normal(size=5)
    before = z.copy(), y.copy(), v.copy()
    f = critic_of_prices(z, y, v)
    assert isinstance(f, np.ndarray), f"Return a NumPy array; this is a {type(f).__name__}."
    assert f.shape == (8,), f"Eight points need eight values; your result has shape {f.shape}."
    same = all(np.array_equal(a, b) for a, b in zip((z, y, v), before, strict=True))
    assert same, "You changed the input arrays. Work on new ones."
    rise = np.abs(f[:, None] - f[None])
    far = ((z[:, None] - z[None]) ** 2).sum(2) ** 0.5
    assert (rise <= far + 1e-9).all(), (
        "Between two of the points your function rises faster than the distance."
    )
    assert (critic_of_prices(y, y, v) <= -v + 1e-9).all(), "At a point y_j the value exceeds what is allowed."
    lower = critic_of_prices(z, y, v + 0.7)
    assert np.allclose(lower, f - 0.7), "Raising all prices by the same amount lowers f by it."
    dearer = v.copy()
    dearer[2] += 100
    alone = critic_of_prices(y[2:3], y, dearer)
    assert np.allclose(alone, -dearer[2]), "A point y_j that binds must be reached with equality."
    at = critic_of_prices(np.array([[3.0, 4.0]]), np.zeros((1, 2)), np.zeros(1))
    assert np.isclose(at[0], 5), "With one point y and price zero: how large may f become at distance five?"
    print("critic_of_prices: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 3: a certificate
#
# **3 points · 20 minutes · medium**
#
# Somebody shows a plan and prices. Write `duality_gap(plan, cost, u, v)`: the cost of the plan minus the
# income of the prices, $\sum_i p_i u_i + \sum_j q_j v_j$, where $p$ and $q$ are the marginals *of this
# plan*. The gap is zero exactly when both are optimal.
#
# - `plan` and `cost` have shape `(n, m)`, `u` shape `(n,)`, `v` shape `(m,)`. Return a Python float.
# - Raise a `ValueError` when the plan has a negative entry, when its total mass is not 1, or when the prices
#   are not allowed. In each case what stays below $10^{-9}$ is rounding, not an error. Costs and prices may
#   be negative.


# %% nbgrader={"grade": false, "grade_id": "duality_gap", "locked": false, "schema_version": 3, "solution": true, "task": false}
def duality_gap(plan, cost, u, v):
    """Cost of a plan minus income of prices, a float; ValueError for what is not a plan or not allowed."""
    ### BEGIN SOLUTION
    slack = cost - u[:, None] - v[None, :]
    if plan.min() < -1e-9 or abs(plan.sum() - 1) > 1e-9:
        raise ValueError("a plan has no negative entry and total mass one")
    if slack.min() < -1e-9:
        raise ValueError("somewhere the two prices exceed the cost")
    return float((plan * slack).sum())
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_duality_gap", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    cost = np.array([[1.0, 4.0, 2.0], [3.0, 1.0, 5.0]])
    plan = np.array([[0.2, 0.0, 0.3], [0.0, 0.4, 0.1]])
    u, v = np.array([0.0, 1.0]), np.array([0.5, -0.5, 2.0])
    before = plan.copy(), cost.copy(), u.copy(), v.copy()
    gap = duality_gap(plan, cost, u, v)
    assert type(gap) is float, f"Return a Python float; this is a {type(gap).__name__}."
    same = all(np.array_equal(a, b) for a, b in zip((plan, cost, u, v), before, strict=True))
    assert same, "You changed the input arrays. Work on new ones."
    assert gap > 0, "These prices leave slack where mass flows: the gap is positive."
    assert np.isclose(duality_gap(plan, cost, u + 3, v - 3), gap), (
        "Collecting dearer and delivering cheaper by the same amount changes nothing."
    )
    lower = duality_gap(plan, cost, u - 1, v)
    assert np.isclose(lower, gap + 1), "Lowering every price of collection by one lowers the income by one."
    tight = cost[np.arange(2), [0, 1]]
    exact = duality_gap(np.diag([0.25, 0.75]), np.array([[1.0, 9.0], [9.0, 1.0]]), tight, np.zeros(2))
    assert np.isclose(exact, 0), "Where mass flows there is no slack: plan and prices are optimal."

    def refused(*arguments):
        try:
            duality_gap(*arguments)
        except ValueError:
            return True
        except Exception as error:
            raise AssertionError(f"Raise a ValueError here, not {type(error).__name__}.") from None
        return False

    assert refused(plan, cost, u + 0.6, v), "Somewhere the two prices now exceed the cost: ValueError."
    assert refused(plan * 1.01, cost, u, v), "The total mass of a plan is one: ValueError."
    negative = plan + np.array([[-0.3, 0.3, 0.0], [0.0, 0.0, 0.0]])
    assert refused(negative, cost, u, v), "A plan has no negative entry: ValueError."
    assert not refused(plan, cost - 20, u - 20, v), "Costs and prices may be negative."
    moved = plan + 1e-10 * np.array([[0.0, -1.0, 1.0], [0.0, 0.0, 0.0]])
    nearly = [(plan * (1 + 1e-10), u), (moved, u), (plan, u + np.array([1e-10, 0.5 + 1e-10]))]
    assert not any(refused(shown, cost, prices, v) for shown, prices in nearly), (
        "What stays below 1e-9 is rounding, not an error."
    )
    print("duality_gap: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 4: the gradient at the generated points
#
# **2 points · 15 minutes · medium**
#
# An optimal plan $\gamma$ between data $x_i$ and generated points $y_j$ is given. As long as the plan stays
# optimal, the distance changes with the generated points as its cost $\sum_{ij} \gamma_{ij}\|x_i - y_j\|$
# does. Write `transport_gradient(plan, x, y)`: the gradient of this cost in the points $y_j$.
#
# - `plan` has shape `(n, m)`, `x` shape `(n, d)`, `y` shape `(m, d)`. Return shape `(m, d)`.
# - No entry may be off by more than $10^{-6}$ of the largest. A pair that is close, $2\cdot10^{-9}$ apart for instance,
#   pulls in its direction with its full mass.
# - A pair of points at the same place has no direction. It contributes nothing; the result holds no NaN.


# %% nbgrader={"grade": false, "grade_id": "transport_gradient", "locked": false, "schema_version": 3, "solution": true, "task": false}
def transport_gradient(plan, x, y):
    """Gradient of the plan's cost in the points y: shape (m, d)."""
    ### BEGIN SOLUTION
    gaps = y[None] - x[:, None]
    lengths = np.linalg.norm(gaps, axis=2)
    apart = lengths > 0
    pull = np.where(apart, plan / np.where(apart, lengths, 1.0), 0.0)
    return np.einsum("ij,ijd->jd", pull, gaps)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_transport_gradient", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    x = np.array([[0.0, 0.0], [1.0, 2.0], [-1.0, 0.5]])
    y = np.array([[2.0, 1.0], [0.0, 3.0]])
    plan = np.array([[0.3, 0.0], [0.1, 0.2], [0.0, 0.4]])
    before = plan.copy(), x.copy(), y.copy()
    slope = transport_gradient(plan, x, y)
    assert isinstance(slope, np.ndarray), f"Return a NumPy array; this is a {type(slope).__name__}."
    assert slope.shape == y.shape, f"One gradient for each generated point; your shape is {slope.shape}."
    same = all(np.array_equal(a, b) for a, b in zip((plan, x, y), before, strict=True))
    assert same, "You changed the input arrays. Work on new ones."

    def cost(at):
        return (plan * np.hypot(*(x[:, None] - at[None]).transpose(2, 0, 1))).sum()

    assert cost(y - 0.01 * slope) < cost(y), "A small step against your gradient must make the plan cheaper."
    length = np.hypot(*slope.T)
    assert (length <= plan.sum(0) + 1e-9).all(), (
        "No point can pull harder than its mass: are these unit vectors?"
    )
    assert np.allclose(transport_gradient(2 * plan, x, y), 2 * slope), "Twice the mass pulls twice as hard."
    assert np.allclose(transport_gradient(plan, 5 * x, 5 * y), slope), (
        "Stretching the picture does not change the pull: it depends on directions only."
    )
    split = transport_gradient(np.full((2, 1), 0.5), np.array([[-1.0], [1.0]]), np.array([[0.3]]))
    assert np.allclose(split, 0), "Half of the mass goes left and half goes right: nothing pulls."
    near = transport_gradient(np.ones((1, 1)), np.zeros((1, 2)), np.array([[3e-7, 4e-7]]))
    assert np.allclose(near, [[0.6, 0.8]], atol=1e-6), (
        "Close is not the same place: a pair that is near pulls with its full mass."
    )
    there = transport_gradient(plan, x, np.array([[0.0, 0.0], [0.0, 3.0]]))
    assert not np.isnan(there).any(), "A generated point lies on a data point: the result must not be NaN."
    print("transport_gradient: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 5: how far apart are two batches of one law?
#
# **2 points · 20 minutes · medium**
#
# A law on the line has two atoms: mass $1 - a$ at 0 and mass $a$ at `gap` (a positive number). Two
# independent batches of `n` draws each come from this *same* law. Write
# `expected_batch_distance(a, gap, n)`: the exact mean of $W_1$ between the two batches.
#
# - $0 < a < 1$, and `n` is an integer from 1 to 60. Return a Python float, exact to nine digits: no
#   simulation.


# %% nbgrader={"grade": false, "grade_id": "expected_batch_distance", "locked": false, "schema_version": 3, "solution": true, "task": false}
def expected_batch_distance(a, gap, n):
    """Exact mean W1 between two independent batches of n draws from one law with two atoms: a float."""
    ### BEGIN SOLUTION
    chance = np.array([1.0])
    for _ in range(n):
        chance = np.convolve(chance, [1 - a, a])
    counts = np.arange(n + 1)
    return float(gap / n * (chance @ np.abs(counts[:, None] - counts[None]) @ chance))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_expected_batch_distance", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    value = expected_batch_distance(0.3, 2.0, 5)
    assert type(value) is float, f"Return a Python float; this is a {type(value).__name__}."
    assert value > 0, "The batches differ with positive probability, so the mean distance is not zero."
    assert value < 2.0, "No batch can be farther from another than the two atoms are from each other."
    assert np.isclose(expected_batch_distance(0.3, 2.0, 5), value, rtol=1e-12), (
        "Two calls differ: no simulation."
    )
    assert np.isclose(expected_batch_distance(0.7, 2.0, 5), value), "Exchanging the atoms changes nothing."
    assert np.isclose(expected_batch_distance(0.3, 6.0, 5), 3 * value), (
        "Three times the gap, three times as far."
    )
    one = expected_batch_distance(0.5, 1.0, 1)
    assert np.isclose(one, 0.5), "With one fair draw in each batch they differ half of the time."
    two = expected_batch_distance(0.5, 1.0, 2)
    assert np.isclose(two, 0.375), (
        "With two fair draws in each batch it is not right: both batches are random."
    )
    sizes = [expected_batch_distance(0.3, 2.0, n) for n in (1, 2, 4, 8, 16)]
    assert (np.diff(sizes) < 0).all(), "Larger batches of one law are closer to each other."
    assert 3 < expected_batch_distance(0.3, 1.0, 4) / expected_batch_distance(0.3, 1.0, 60) < 5, (
        "From 4 to 60 draws the distance should shrink about as the square root of 15."
    )
    print("expected_batch_distance: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 6: a step of the critic with gradient penalty
#
# **4 points · 30 minutes · hard**
#
# Write `critic_step(critic, generator, optimizer, real, noise, positions, weight)`: one update of the critic
# $f$ that *descends*
#
# $$\begin{aligned}
# &\operatorname{mean}_z f(G(z)) - \operatorname{mean}_x f(x)\\
# &\quad+ \lambda \operatorname{mean}_k(\|\nabla f(\hat x_k)\| - 1)^2
# \end{aligned}$$
#
# with $\hat x_k = t_k x_k + (1 - t_k)\, G(z_k)$.
#
# - `real` has shape `(n, d)` and `noise` as many rows. The positions $t_k$, drawn uniformly by whoever calls
#   you, come as `positions` of shape `(n,)`; `weight` is $\lambda$.
# - $\nabla f$ is the gradient in the sample, and its norm is taken for **each example by itself**.
# - `critic(x)` returns shape `(n, 1)`. `optimizer` holds the critic's weights and nothing else; use it as it
#   is (it may have momentum). Whatever `.grad` holds when the function is called must not matter.
# - The generator (it has no batch norm) must leave as it came: the same weights, and the same content of every
#   `.grad`. Both networks stay in training mode, with the same weights trainable.
# - Return two Python floats `(estimate, penalty)`, both before the update: the critic's estimate
#   $\operatorname{mean}_x f(x) - \operatorname{mean}_z f(G(z))$ of the distance, and the mean of the squares *without* the factor $\lambda$.


# %% nbgrader={"grade": false, "grade_id": "critic_step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def critic_step(critic, generator, optimizer, real, noise, positions, weight):
    """Update the critic once; return its estimate and the penalty (without its weight) before the update."""
    ### BEGIN SOLUTION
    fake = generator(noise).detach()
    points = torch.lerp(fake, real, positions[:, None]).requires_grad_()
    slopes = torch.autograd.grad(critic(points).sum(), points, create_graph=True)[0]
    penalty = (slopes.norm(dim=1) - 1).square().mean()
    estimate = critic(real).mean() - critic(fake).mean()
    optimizer.zero_grad()
    (weight * penalty - estimate).backward()
    optimizer.step()
    return estimate.item(), penalty.item()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_critic_step", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    def prepare(rate=0.05):
        torch.manual_seed(0)
        critic = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        generator = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2))
        optimizer = torch.optim.SGD(critic.parameters(), lr=rate)
        return critic, generator, optimizer, torch.randn(6, 2) + 2, torch.randn(6, 2), torch.rand(6)

    def flat(network):
        return torch.cat([w.detach().flatten().clone() for w in network.parameters()])

    critic, generator, optimizer, real, noise, positions = prepare()
    start, theirs = flat(critic), flat(generator)
    given = real.clone(), noise.clone(), positions.clone()
    with torch.no_grad():
        gap = (critic(real).mean() - critic(generator(noise)).mean()).item()
    result = critic_step(critic, generator, optimizer, real, noise, positions, 2.0)
    two = isinstance(result, tuple) and len(result) == 2
    assert two, "Return two values: (estimate, penalty)."
    assert all(type(value) is float for value in result), "Return Python floats, not tensors."
    assert np.isclose(result[0], gap, atol=1e-5), (
        "The estimate is the gap between real and generated before the update, without the penalty."
    )
    assert result[1] >= 0, "The penalty is a mean of squares."
    assert not torch.equal(start, flat(critic)), "The critic's weights did not change."
    assert torch.equal(theirs, flat(generator)), "The generator's weights changed."
    assert all(w.grad is None for w in generator.parameters()), "Gradients reached the generator."
    assert critic.training, "Leave the critic in training mode."
    assert generator.training, "Leave the generator in training mode."
    assert all(w.requires_grad for w in generator.parameters()), "The generator is frozen now. Undo that."
    for now, then in zip((real, noise, positions), given, strict=True):
        assert torch.equal(now, then), "You changed the tensors you were given."
    once = flat(critic)
    critic, generator, optimizer, real, noise, positions = prepare()
    for w in [*critic.parameters(), *generator.parameters()]:
        w.grad = torch.ones_like(w)
    critic_step(critic, generator, optimizer, real, noise, positions, 2.0)
    assert torch.allclose(once, flat(critic)), "Old content of `.grad` changed the update."
    kept = all(w.grad is not None and (w.grad == 1).all() for w in generator.parameters())
    assert kept, "You changed the `.grad` of the generator. Leave it alone."
    critic, generator, optimizer, real, noise, positions = prepare()
    doubled = [torch.cat([t, t]) for t in (real, noise, positions)]
    twice = critic_step(critic, generator, optimizer, *doubled, 2.0)
    same = np.allclose(twice, result, rtol=1e-3, atol=1e-5) and torch.allclose(once, flat(critic), atol=1e-4)
    assert same, "Showing each example twice changed the step: norms example by example, then means."
    critic, generator, optimizer, real, noise, positions = prepare()
    other = critic_step(critic, generator, optimizer, real, noise, 1 - positions, 2.0)
    assert abs(other[1] - result[1]) > 1e-7, "The penalty does not depend on the positions."
    critic, generator, optimizer, real, noise, positions = prepare()
    ends = torch.ones(6)
    at_real = critic_step(critic, generator, optimizer, real, noise, ends, 2.0)[1]
    critic, generator, optimizer, real, noise, positions = prepare()
    same = np.isclose(critic_step(critic, generator, optimizer, real, noise + 1, ends, 2.0)[1], at_real)
    assert same, "At positions of one only the real samples are looked at, whatever the noise."
    critic, generator, optimizer, real, noise, positions = prepare()
    critic_step(critic, generator, optimizer, real, noise, positions, 20.0)
    assert not torch.allclose(once, flat(critic)), "Ten times the weight of the penalty changes nothing."
    line, still = nn.Linear(2, 1), nn.Linear(2, 2)
    with torch.no_grad():
        line.weight.copy_(torch.tensor([[3.0, 4.0]]))
    plain = torch.optim.SGD(line.parameters(), lr=0.0)
    _, penalty = critic_step(line, still, plain, real, noise, positions, 2.0)
    assert np.isclose(penalty, 16, rtol=1e-3), "A critic with slope five everywhere pays four squared."
    kept = line.weight.tolist() == [[3.0, 4.0]]
    assert kept, (
        "The optimizer's rate is zero here, yet the critic moved. Use the optimizer that you are given."
    )
    critic, generator, optimizer, real, noise, positions = prepare()
    for _ in range(300):
        last = critic_step(critic, generator, optimizer, real, noise, positions, 10.0)
    assert last[0] > result[0], "After 300 steps the estimate has not grown. Which way does your step go?"
    assert last[1] < 0.5, "After 300 steps with a heavy penalty the slopes should be near one."
    print("critic_step: the visible checks pass. The hidden ones use other networks and data.")


visible_checks()

# %% [markdown]
# ## Exercise 7: what a zero-centred penalty reports
#
# **4 points · 20 minutes · medium · marked by hand**
#
# One data point $x$, one generated point $y$ at distance $d > 0$, $z_t = y + t(x - y)$. For a number
# $\gamma > 0$ (here no plan, but the penalty's weight) and continuously differentiable $f: \mathbb{R}^n \to \mathbb{R}$
# let
#
# $$\begin{aligned}
# L(f) = \;&f(x) - f(y)\\
# &- \frac{\gamma}{2} \int_0^1 \|\nabla f(z_t)\|^2\, dt.
# \end{aligned}$$
#
# 1. (2 points) Find $\max_f L(f)$ and a function that attains it. Prove both: that no function does better,
#    and that yours does as well.
# 2. (1 point) Show that *every* maximiser reports the same estimate $f(x) - f(y)$, and find it.
# 3. (1 point) Compare with $W_1$: for which $d$ is the estimate too large, for which too small? Two optimal critics
#    with this penalty and the same $\gamma$ report the values 4 and 1 for two pairs of points. What is the ratio
#    of the two distances?
#
# Write in the cell below, formulas between dollar signs. A clear photograph of a handwritten page is accepted
# too: drag it into the cell, as JPEG or PNG.

# %% [markdown] nbgrader={"grade": true, "grade_id": "zero_centred", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **1.** Let $e = (x - y)/d$ and $s_t = \|\nabla f(z_t)\|$. Then
# $f(x) - f(y) = d\int_0^1 \langle \nabla f(z_t), e\rangle\, dt \le d \int_0^1 s_t\, dt$ by Cauchy–Schwarz, so
#
# $$L(f) \le \int_0^1 \Bigl[d\,s_t - \frac{\gamma}{2}s_t^2\Bigr] dt \le \frac{d^2}{2\gamma},$$
#
# since the bracket equals $\frac{d^2}{2\gamma} - \frac{\gamma}{2}\bigl(s_t - \frac{d}{\gamma}\bigr)^2$. The
# linear function $f(z) = \frac{d}{\gamma}\langle z, e\rangle$ has $\nabla f = \frac{d}{\gamma} e$ everywhere:
# both inequalities become equalities, and the maximum is $\frac{d^2}{2\gamma}$.
#
# **2.** For a maximiser both inequalities are equalities. The second forces $s_t = d/\gamma$ for almost all,
# and by continuity for all $t$; the first then gives $f(x) - f(y) = d \int s_t\, dt = d^2/\gamma$.
#
# **3.** $W_1 = d$. The estimate $d^2/\gamma$ is too large for $d > \gamma$, too small for $d < \gamma$ and
# right only for $d = \gamma$. It grows as the square of the distance, so values 4 and 1 belong to distances
# in the ratio 2 to 1.
#
# **Rubric**
#
# - Part 1, 2 points: the bound by Cauchy–Schwarz and by completing the square (1); the linear function, its
#   slope and its value (1). A derivative set to zero without a proof that it is the maximum: half of the
#   first point.
# - Part 2, 1 point: equality in both inequalities, with the argument (1). Any other full proof counts, such as
#   that $c \mapsto L(cf)$ is largest at $c = 1$. Only inserting the linear function: ½.
# - Part 3, 1 point: the comparison with $W_1 = d$ (½); the ratio 2 to 1 (½).
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
# 3. Hand in this one file, `wasserstein_duality.ipynb`. Keep its name. No PDF, no Python script, no link
#    to Colab.
