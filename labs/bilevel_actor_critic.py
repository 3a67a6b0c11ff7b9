# %% [markdown]
# # Lab: bilevel optimisation, GANs and actor-critic
#
# [Open in Colab]({{ colab }})
#
# **You will** differentiate through an inner optimum in three ways, solve a gridworld in four, teach two agents to
# balance a pole, and train one GAN twice: once as a GAN, once as an actor-critic. The weights agree to the last bit.
#
# **You need** the chapter *Bilevel optimisation: GANs and actor-critic*, Python, and a little PyTorch.
#
# **Time** {{ costs }}. The images are digits in the profile `smoke`, MNIST in `cpu`, Fashion-MNIST in `gpu`.
#
# Write $D$ for the discriminator's probability of "real", $s = \operatorname{logit} D$, $\sigma$ for the logistic
# function, $\pi$ for a policy, $\gamma$ for the discount, $V$ and $Q$ for values of states and of actions.

# %% tags=["nbval-ignore-output", "training"]
KEEP_ON_DRIVE = False  # @param {type:"boolean"}

import importlib.util
import subprocess
import sys

if (
    importlib.util.find_spec("gancourse") is None
    or importlib.util.find_spec("gymnasium") is None
):  # so on Colab: install the course's library
    library = "gancourse[control] @ git+{{ repository }}@{{ tag }}"
    install = subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", library],
        capture_output=True,
        text=True,
    )
    if install.returncode:

        class NotInstalled(Exception):
            def _render_traceback_(self):  # one line in place of a traceback
                return [str(self)]

        raise NotInstalled(
            f"Could not install {library}: "
            "is the release published and the network up?"
        )
    importlib.invalidate_caches()

from gancourse.notebook import begin

session = begin("bilevel_actor_critic", keep_on_drive=KEEP_ON_DRIVE)

# %% tags=["training"]
import itertools

import gymnasium
import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy import optimize
from torch import nn
from torch.nn import functional

from gancourse import divergences, figures
from gancourse.checks import StandardErrors, check
from gancourse.data import load
from gancourse.divergences import monte_carlo
from gancourse.gridworld import CELLS, EXITS, MOVES, draw_policy, gridworld
from gancourse.networks import dcgan, mlp
from gancourse.targets import GaussianMixture, gaussian, ring
from gancourse.training import State, run

# The same convolution, computed twice, is the same to the last bit.
torch.backends.cudnn.deterministic = True

# %% [markdown]
# ## 1. The hypergradient, three ways
#
# Inner problem: fit a logistic regression with weights $y$, each weight held back by its own penalty $e^{x_j}$. Outer
# problem: choose $x$ so that the *validation* loss $F(y^*(x))$ is small. $F$ does not contain $x$ at all: everything
# that $x$ does, it does through $y^*$.
#
# *Predict: what is the gradient if one forgets that $y^*$ moves?*

# %%
rng = np.random.default_rng(session.seed)
truth = torch.tensor([1.5, -1.0, 0.0], dtype=torch.float64)
inputs = torch.tensor(rng.standard_normal((160, 3)))
labels = (torch.tensor(rng.random(160)) < (inputs @ truth).sigmoid()).double()
train, validation = slice(0, 60), slice(60, 160)


def log_loss(part, y):
    logits = inputs[part] @ y
    return (functional.softplus(logits) - labels[part] * logits).mean()


def inner_objective(x, y):
    return log_loss(train, y) + 0.5 * (x.exp() * y**2).sum()


def outer_objective(x, y):
    return log_loss(validation, y)


def inner_optimum(x):
    """Newton's method; the inner problem is strongly convex in y."""
    y = torch.zeros(3, dtype=torch.float64)
    for _ in range(20):
        slope, curvature = (
            torch.func.grad(inner_objective, 1)(x, y),
            torch.func.hessian(inner_objective, 1)(x, y),
        )
        y = y - torch.linalg.solve(curvature, slope)
    return y


def implicit_hypergradient(outer, inner, x, y):
    """d_x F - d_xy f [d_yy f]^-1 d_y F at an inner optimum y of x."""
    by_x, by_y = torch.func.grad(outer, (0, 1))(x, y)
    mixed = torch.func.jacrev(torch.func.grad(inner, 0), 1)(x, y)
    return by_x - mixed @ torch.linalg.solve(
        torch.func.hessian(inner, 1)(x, y), by_y
    )


def unrolled_hypergradient(x, steps, rate=1.5):
    """Differentiate through `steps` steps of gradient descent on the inner problem."""
    x = x.clone().requires_grad_()
    y = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    for _ in range(steps):
        (slope,) = torch.autograd.grad(inner_objective(x, y), y, create_graph=True)
        y = y - rate * slope
    return torch.autograd.grad(outer_objective(x, y), x)[0]


def central_differences(function, x, h=1e-4):
    """Gradient of a function of a vector, two evaluations for each coordinate."""
    steps = h * torch.eye(len(x), dtype=x.dtype)
    return torch.stack(
        [(function(x + step) - function(x - step)) / (2 * h) for step in steps]
    )


x_here = torch.tensor([-2.0, -1.5, -2.5], dtype=torch.float64)
y_here = inner_optimum(x_here)
implicit = implicit_hypergradient(outer_objective, inner_objective, x_here, y_here)
check(
    "hypergradient",
    {
        "implicit function theorem": implicit,
        "unrolled gradient descent": unrolled_hypergradient(x_here, 400),
        "differences of the solved problem": central_differences(
            lambda x: outer_objective(x, inner_optimum(x)), x_here
        ),
    },
    tolerance=1e-6,
    control=(
        "correction dropped",
        torch.func.grad(outer_objective, 0)(x_here, y_here),
    ),
)

# %% [markdown]
# The theorem also says what $y^*$ is: near $x$ it is the only zero of the slope, it is a minimum, and it moves by
# $-[\partial^2_{yy}f]^{-1}(\partial^2_{xy}f)^{\mathsf T}$ for each step of $x$. Newton's method finds zeros of the slope and
# knows nothing of minima. The simplex search looks at values of $f$ only.

# %%
draw = np.random.default_rng([session.seed, 1])
x_near = [x_here + 0.2 * torch.tensor(draw.standard_normal(3)) for _ in range(3)]


def simplex_minimum(x):
    """The y of least f(x, y), from a random start, without a derivative."""
    found = optimize.minimize(
        lambda y: float(inner_objective(x, torch.tensor(y))),
        draw.standard_normal(3),
        method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-16, "maxiter": 5000},
    )
    return torch.tensor(found.x)


check(
    "hypergradient",
    {
        "zeros of the slope near x, by Newton": torch.stack(
            [inner_optimum(x) for x in x_near]
        ),
        "minima, by a search that sees values only": torch.stack(
            [simplex_minimum(x) for x in x_near]
        ),
    },
    tolerance=1e-6,
    control=("the optimum at x itself", y_here.expand(3, 3)),
)
mixed = torch.func.jacrev(torch.func.grad(inner_objective, 0), 1)(x_here, y_here)
curvature = torch.func.hessian(inner_objective, 1)(x_here, y_here)
check(
    "hypergradient",
    {
        "Jacobian of y*, by the formula": -torch.linalg.solve(curvature, mixed.T),
        "differences of the solved problem": central_differences(
            inner_optimum, x_here
        ).T,
    },
    tolerance=1e-6,
    control=("curvature left out", -mixed.T),
)

# %% mystnb={"image": {"alt": "Error of the unrolled hypergradient against the number of inner gradient steps on a logarithmic scale: a straight line downwards."}}
counts = [1, 2, 5, 10, 20, 40, 60, 80]
errors = [
    float((unrolled_hypergradient(x_here, k) - implicit).abs().max())
    for k in counts
]
plt.semilogy(counts, errors, "o-", color=figures.COLOURS["discriminator"])
plt.xlabel("steps of gradient descent that are unrolled")
plt.ylabel("error of the hypergradient")
plt.show()

# %% [markdown]
# Cut short, the unrolled gradient is wrong; how fast it becomes right is decided by how fast the inner problem is solved.
# That is the choice in practice: a linear system, a long chain, or an error.
#
# ## 2. When the correction vanishes, and when it does not
#
# A GAN small enough to solve: data on six bins, $p_g = \operatorname{softmax}(x)$, one logit $y_k$ for each bin. The inner
# player maximises $V$. If the outer player minimises the same $V$ (minimax), freezing $D$ costs nothing. If it minimises
# $-\mathbb{E}\log D$ (non-saturating), freezing $D$ drops a term.

# %%
p_bins = torch.tensor([0.05, 0.1, 0.3, 0.25, 0.2, 0.1], dtype=torch.float64)


def value(x, y):
    q = x.softmax(0)
    return -(p_bins * functional.softplus(-y) + q * functional.softplus(y)).sum()


def minus_value(x, y):
    return -value(x, y)


def non_saturating(x, y):
    return (x.softmax(0) * functional.softplus(-y)).sum()


def best_logits(x):
    """Maximise V over the logits by Newton's method, from zero."""
    y = torch.zeros(6, dtype=torch.float64)
    for _ in range(60):
        slope, curvature = (
            torch.func.grad(minus_value, 1)(x, y),
            torch.func.hessian(minus_value, 1)(x, y),
        )
        y = y - torch.linalg.solve(curvature, slope)
    return y


x_bins = torch.tensor([0.3, -0.2, 0.1, 0.0, 0.4, -0.5], dtype=torch.float64)
y_bins = best_logits(x_bins)
frozen = torch.func.grad(value, 0)
check(
    "envelope",
    {
        "gradient of V with D* frozen": frozen(x_bins, y_bins),
        "differences of max V, solved anew": central_differences(
            lambda x: value(x, best_logits(x)), x_bins
        ),
    },
    tolerance=1e-6,
    control=("frozen at half the logit", frozen(x_bins, y_bins / 2)),
)
check(
    "hypergradient",
    {
        "non-saturating loss, implicit": implicit_hypergradient(
            non_saturating, minus_value, x_bins, y_bins
        ),
        "differences of the solved problem": central_differences(
            lambda x: non_saturating(x, best_logits(x)), x_bins
        ),
    },
    tolerance=1e-6,
    control=(
        "D* frozen, as in GAN training",
        torch.func.grad(non_saturating, 0)(x_bins, y_bins),
    ),
)

# %% [markdown]
# ## 3. A gridworld
#
# Nine cells, a wall, two exits. A step pays `step_reward`; leaving through an exit pays $+1$ or $-1$ on top. With
# `noise=0.1` a move goes astray to each side with probability 0.1. `transition` and `reward` are given; the rest of
# this section is the chapter's equations.


# %% tags=["training"]
def action_values(world, V, gamma=1.0):
    """Q(s, a) = r(s, a) + gamma sum_s' P(s' | s, a) V(s')."""
    return world.reward + gamma * world.transition @ V


def evaluate(world, policy, gamma=1.0):
    """V of a policy, shape (9, 4): the linear system (I - gamma P) V = r."""
    P = np.einsum("sa,sat->st", policy, world.transition)
    r = (policy * world.reward).sum(1)
    return np.linalg.solve(np.eye(len(r)) - gamma * P, r)


def value_iteration(world, gamma=1.0, start=None, sweeps=3000):
    V = np.zeros(len(CELLS)) if start is None else start
    for _ in range(sweeps):
        V = action_values(world, V, gamma).max(1)
    return V


def policy_iteration(world, gamma=1.0):
    """All policies on the way and their values; the first goes up and right at random."""
    policy = np.tile([0.5, 0.5, 0.0, 0.0], (len(CELLS), 1))
    values = [evaluate(world, policy, gamma)]
    while True:
        policy = np.eye(4)[action_values(world, values[-1], gamma).argmax(1)]
        values.append(evaluate(world, policy, gamma))
        if np.allclose(values[-1], values[-2], rtol=0, atol=1e-12):
            return policy, values


def best_actions(world, V, gamma=1.0):
    """Which actions are best, ties included."""
    Q = action_values(world, V, gamma)
    return Q.max(1, keepdims=True) - Q < 1e-9


# %% [markdown]
# **Values of a policy.** The linear system against plain simulation of the policy that picks every action with
# probability ¼. Its $\gamma = 1$: it reaches an exit for sure.


# %%
def simulate(world, policy, gamma, episodes, seed, start=None):
    """Play episodes side by side: arrays (time, episode) of states, actions, rewards, still on.

    A step is paid r(s, a), the mean over where it leads; that leaves all values as they are.
    """
    draw = np.random.default_rng(seed)
    state = (
        draw.integers(len(CELLS), size=episodes)
        if start is None
        else np.full(episodes, start)
    )
    on, history = np.ones(episodes, bool), []
    leave = 1 - world.transition.sum(2)
    onward = np.concatenate([world.transition, leave[:, :, None]], axis=2).cumsum(2)
    while on.any():
        action = (draw.random(episodes)[:, None] > policy.cumsum(1)[state]).sum(1)
        after = (draw.random(episodes)[:, None] > onward[state, action]).sum(1)
        left = after >= len(CELLS)
        history.append(
            (state, action, np.where(on, world.reward[state, action], 0.0), on)
        )
        on = on & ~left
        state = np.where(left, 0, after)
    return [np.array(series) for series in zip(*history, strict=True)]


anything = np.full((len(CELLS), 4), 0.25)
living = gridworld(-0.04)
corner = CELLS.index((1, 1))
_, _, rewards, _ = simulate(living, anything, 1.0, 20_000, seed=1, start=corner)
returns = monte_carlo(torch.tensor(rewards.sum(0)))
check(
    "bellman-equations",
    {
        "linear system": evaluate(living, anything)[corner],
        "mean return of simulated episodes": returns.mean,
    },
    tolerance=StandardErrors(4, returns.standard_error),
    control=("steps that cost nothing", evaluate(gridworld(0.0), anything)[corner]),
)

# %% [markdown]
# The inverse in that linear system is the sum of all powers of $P_\pi$: the entry $(s, s')$ counts the visits to $s'$. And
# $Q$ looks one step ahead: the episodes that began with one action have it as their mean return.

# %%
P_anything = np.einsum("sa,sat->st", anything, living.transition)
powers = [np.eye(len(CELLS))]
for _ in range(3000):
    powers.append(powers[-1] @ P_anything)
check(
    "bellman-equations",
    {
        "inverse of I - P": np.linalg.inv(np.eye(len(CELLS)) - P_anything),
        "sum of 3000 powers of P": np.sum(powers, axis=0),
    },
    tolerance=1e-9,
    control=("the sum without the first", np.sum(powers[1:], axis=0)),
)

RIGHT, LEFT = MOVES.index((1, 0)), MOVES.index((-1, 0))
beside_exit = CELLS.index((3, 3))
_, actions, rewards, _ = simulate(
    living, anything, 1.0, 40_000, seed=4, start=beside_exit
)
toward, away = (
    monte_carlo(torch.tensor(rewards.sum(0)[actions[0] == action]))
    for action in (RIGHT, LEFT)
)
Q_anything = action_values(living, evaluate(living, anything))[beside_exit]
for move, action, other, seen in (
    ("right", RIGHT, LEFT, toward),
    ("left", LEFT, RIGHT, away),
):
    check(
        "bellman-equations",
        {
            f"Q of a move to the {move}, one step ahead": Q_anything[action],
            "mean return of the episodes that began so": seen.mean,
        },
        tolerance=StandardErrors(4, seen.standard_error),
        control=("the opposite move", Q_anything[other]),
    )

# %% [markdown]
# **Value iteration** against a linear programme, which looks for the smallest $V$ with $V \ge r_a + \gamma P_a V$ for all
# actions. And the contraction itself: $V$ and $V + c$ come closer by exactly $\gamma$ where no exit is near.
#
# *Predict: after how many sweeps with $\gamma = 0.9$ is an error of 1 below $10^{-9}$?*


# %%
def linear_programme(world, gamma=1.0):
    rows = gamma * world.transition - np.eye(len(CELLS))[:, None, :]
    solved = optimize.linprog(
        np.ones(len(CELLS)),
        A_ub=rows.reshape(-1, len(CELLS)),
        b_ub=-world.reward.ravel(),
        bounds=(None, None),
    )
    return solved.x


def worst_case(world, gamma):
    """Value iteration with the worst action in place of the best."""
    V = np.zeros(len(CELLS))
    for _ in range(500):
        V = action_values(world, V, gamma).min(1)
    return V


check(
    "bellman-contraction",
    {
        "value iteration, 500 sweeps": value_iteration(living, 0.9, sweeps=500),
        "linear programme": linear_programme(living, 0.9),
    },
    tolerance=1e-8,
    control=("min in place of max", worst_case(living, 0.9)),
)


def largest_ratio(gamma, pairs=200, norm=np.inf):
    """Largest ||TV - TW|| / ||V - W|| over random pairs and one pair V, V + 1."""
    ratios = []
    for k in range(pairs):
        V = rng.normal(size=len(CELLS))
        W = V + 1 if k == 0 else rng.normal(size=len(CELLS))
        moved = action_values(living, V, gamma).max(1)
        moved = moved - action_values(living, W, gamma).max(1)
        ratios.append(np.linalg.norm(moved, norm) / np.linalg.norm(V - W, norm))
    return max(ratios)


check(
    "bellman-contraction",
    {"largest ratio over pairs": largest_ratio(0.9), "gamma": 0.9},
    tolerance=1e-9,
    control=("in the Euclidean norm", largest_ratio(0.9, norm=2)),
)

optimum = linear_programme(living, 0.9)
sweeps = np.arange(1, 60)
V, errors = optimum + 1, []
for _ in sweeps:
    V = action_values(living, V, 0.9).max(1)
    errors.append(np.abs(V - optimum).max())
check(
    "bellman-contraction",
    {
        "most by which the error exceeds gamma^k": np.maximum(
            errors - 0.9**sweeps, 0
        ).max(),
        "none": 0.0,
    },
    tolerance=1e-9,
    control=("gamma^2k", np.maximum(errors - 0.81**sweeps, 0).max()),
)
print(
    f"an error of 1 is below 1e-9 after {sweeps[np.array(errors) < 1e-9][0]} sweeps; "
    f"promised after {np.ceil(np.log(1e9) / np.log(1 / 0.9)):.0f}"
)


def values_and_best(greedy_for):
    """V of the policy that is greedy for some values of actions, and by how much others exceed V*."""
    draw = np.random.default_rng([session.seed, 3])
    others = draw.dirichlet(np.ones(4), size=(300, len(CELLS)))
    excess = max((evaluate(living, pi, 0.9) - optimum).max() for pi in others)
    greedy = evaluate(living, np.eye(4)[greedy_for.argmax(1)], 0.9)
    return [*greedy, max(excess, 0)]


check(
    "bellman-contraction",
    {
        "V of the policy greedy for V*, most by which 300 others exceed V*": values_and_best(
            action_values(living, optimum, 0.9)
        ),
        "V* by the linear programme, none": [*optimum, 0],
    },
    tolerance=1e-8,
    control=("greedy for the next reward", values_and_best(living.reward)),
)

# %% [markdown]
# **No discount.** With $\gamma = 1$ nothing contracts in the maximum norm, yet the equation still has one solution as
# long as every policy that never leaves pays for ever. Value iteration from wild starts, against the linear programme.
# The control takes the price away: then every constant above 1 is a solution too, and iteration stays where it starts.

# %%
starts = [np.zeros(9), rng.normal(0, 10, 9), np.full(9, 50.0)]
free = gridworld(0.0)
check(
    "undiscounted-bellman",
    {
        "linear programme": np.tile(linear_programme(living), (3, 1)),
        "value iteration from three starts": [
            value_iteration(living, start=start) for start in starts
        ],
    },
    tolerance=1e-8,
    control=(
        "free steps, started at 2",
        np.tile(value_iteration(free, start=np.full(9, 2.0)), (3, 1)),
    ),
)


def improper_on_the_way(world, starts=50):
    """From how many proper policies iteration meets one that never leaves, by the spectral radius of P."""
    draw, met = np.random.default_rng([session.seed, 4]), 0
    while starts:
        policy = np.eye(4)[draw.integers(4, size=len(CELLS))]
        if is_proper(world, policy):
            starts -= 1
            for _ in range(10):
                V = evaluate(world, policy)
                policy = np.eye(4)[action_values(world, V).argmax(1)]
                if not is_proper(world, policy):
                    met += 1
                    break
    return met


def is_proper(world, policy):
    P = np.einsum("sa,sat->st", policy, world.transition)
    return np.abs(np.linalg.eigvals(P)).max() < 1 - 1e-9


check(
    "undiscounted-bellman",
    {
        "starts of 50 from which an improper policy is met": improper_on_the_way(
            living
        ),
        "none": 0,
    },
    tolerance=1e-9,
    control=("free steps", improper_on_the_way(free)),
)

final, values = policy_iteration(living)
assert all((b >= a - 1e-12).all() for a, b in itertools.pairwise(values))
check(
    "policy-iteration-improves",
    {
        f"policy iteration, {len(values) - 1} rounds": values[-1],
        "value iteration": value_iteration(living),
    },
    tolerance=1e-8,
    control=("the policy it started from", values[0]),
)


def losses(choice, gamma=0.9, policies=300):
    """Where V of the new policy falls below TV, and TV below V, for random policies: the most of each."""
    draw, found = np.random.default_rng([session.seed, 2]), np.zeros(2)
    for policy in draw.dirichlet(np.ones(4), size=(policies, len(CELLS))):
        V = evaluate(living, policy, gamma)
        Q = action_values(living, V, gamma)
        new = evaluate(living, np.eye(4)[choice(Q)], gamma)
        moved = Q[np.arange(len(CELLS)), choice(Q)]
        found = np.maximum(found, [(moved - new).max(), (V - moved).max()])
    return found


check(
    "policy-iteration-improves",
    {
        "most lost by one round from 300 random policies": losses(
            lambda Q: Q.argmax(1)
        ),
        "zero": np.zeros(2),
    },
    tolerance=1e-9,
    control=(
        "the worst action in place of the best",
        losses(lambda Q: Q.argmin(1)),
    ),
)

# %% [markdown]
# ## 4. What the price of a step does
#
# The best policy for four step rewards, without noise and with it. Several arrows in a cell are a tie.
#
# *Predict before you look: at $-2$ a step, does the agent at (3, 2) walk into the exit that pays $-1$?*

# %% mystnb={"image": {"alt": "Eight small gridworlds with arrows. Without noise: at minus 2 a step the cells near the lower exit head for the nearest exit with ties, at minus 0.5 and minus 0.04 the arrows are the same, at 0 almost every arrow ties. With noise: at minus 2 the agent hurries even into the exit minus 1, at minus 0.5 it takes the risky way, at minus 0.04 the detour around the wall, at 0 it moves away from the bad exit."}}
PRICES = (-2.0, -0.5, -0.04, 0.0)


def solve_and_draw(panel, step_reward, noise):
    world = gridworld(step_reward, noise)
    V = value_iteration(world)
    draw_policy(panel, best_actions(world, V), V)
    panel.set_title(f"{step_reward:g} a step, noise {noise:g}", fontsize=9)


_, panels = plt.subplots(2, 4, figsize=(11, 4.6))
for row, noise in zip(panels, (0.0, 0.1), strict=True):
    for panel, price in zip(row, PRICES, strict=True):
        solve_and_draw(panel, price, noise)
plt.show()

# %% [markdown]
# **What can be read off.**
#
# - Without noise, $-2$ is an exact tie at (3, 2): straight into $-1$ costs $-2 - 1 = -3$, around by (3, 3) costs
#   $-2 - 2 + 1 = -3$.
# - Without noise, $-0.5$ and $-0.04$ give the same arrows: the shortest way to $+1$ is best at either price.
# - With free steps nothing is lost by waiting, so all ways that surely end at $+1$ tie. "Any arrow" does not mean "any
#   policy": an agent that follows tied arrows in circles never collects. With noise two cells have one safe arrow each.
# - With noise, the famous changes appear. Where exactly? Between two changes the best policy is fixed and its values are
#   straight lines in the price, so the next change is a root.


# %%
def roots_of_advantages():
    """Walk up from the lowest price: where does another action become as good?"""
    found, price = [], -2.0
    while True:
        best = np.eye(4)[
            action_values(
                gridworld(price), value_iteration(gridworld(price))
            ).argmax(1)
        ]

        def advantage(price, best=best):
            world = gridworld(price)
            V = evaluate(world, best)
            return action_values(world, V) - V[:, None]

        at_zero, slope = advantage(0.0), advantage(0.0) - advantage(-1.0)
        rising = slope > 1e-9
        roots = -at_zero[rising] / slope[rising]
        ahead = roots[(roots > price) & (roots < -1e-9)]
        if ahead.size == 0:
            return np.array(found)
        found.append(ahead.min())
        price = ahead.min() + 1e-6  # just beyond the change


def bisected():
    """Bracket every change of the best policy on a grid of prices, then halve the brackets."""

    def greedy(prices):
        """Best actions for many prices at once, by value iteration."""
        r = gridworld(0.0).reward + np.asarray(prices)[:, None, None]
        P, V = gridworld(0.0).transition, np.zeros((len(prices), len(CELLS)))
        for _ in range(3000):
            V = (r + np.einsum("sat,kt->ksa", P, V)).max(2)
        return (r + np.einsum("sat,kt->ksa", P, V)).argmax(2)

    grid = -np.geomspace(2.0, 1e-3, 400)
    actions = greedy(grid)
    (at,) = np.nonzero((actions[1:] != actions[:-1]).any(1))
    low, high, below = grid[at], grid[at + 1], actions[at]
    for _ in range(26):
        middle = (low + high) / 2
        same = (greedy(middle) == below).all(1)
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    return (low + high) / 2


changes = roots_of_advantages()
assert np.allclose(changes, bisected(), rtol=0, atol=1e-6), (
    "roots and bisection differ"
)
print("changes at", np.array2string(changes, precision=4, floatmode="fixed"))

# %% [markdown]
# Eight changes. The last one, near $-0.022$, is easily overlooked: it turns the arrow of cell (4, 1) from left to down.
# When steps are nearly free, the safest way past the bad exit is to push against the border.
#
# ## Something to turn
#
# *Find the price at which the agent at (3, 2) gives up the short way. Does more noise make it braver or shyer?*


# %%
def draw_world(step_reward, noise):
    _, axes = plt.subplots(figsize=(4.6, 3.4))
    solve_and_draw(axes, step_reward, noise)
    plt.show()


# %% mystnb={"image": {"alt": "The gridworld at a step reward of minus 0.2 with noise 0.1: arrows along the upper row to the exit plus 1, and up from below."}}
draw_world(-0.2, 0.1)

# %% tags=["nbval-ignore-output"]
from ipywidgets import FloatSlider, interact

_ = interact(
    draw_world,
    step_reward=FloatSlider(
        value=-0.2,
        min=-2,
        max=-0.01,
        step=0.01,
        description="a step",
        continuous_update=False,
    ),
    noise=FloatSlider(
        value=0.1,
        min=0,
        max=0.3,
        step=0.01,
        description="noise",
        continuous_update=False,
    ),
)

# %% [markdown]
# ## 5. Q-learning: the same answer without the model
#
# The agent now sees only what happens to it: $(s, a, r, s')$. After each step it moves $Q(s, a)$ towards
# $r + \max_{a'} Q(s', a')$, with a rate that falls with the number of visits.

# %% tags=["nbval-ignore-output", "training"]
world = gridworld(-0.04)


def q_learning(world, steps, seed, explore=0.5):
    draw = np.random.default_rng(seed)
    Q, visits = np.zeros((len(CELLS), 4)), np.zeros((len(CELLS), 4))
    number = {cell: index for index, cell in enumerate(CELLS)}
    # Slips and explorations are drawn in one go, which is ten times faster.
    slips = draw.choice(
        [0, 1, -1], steps, p=[1 - 2 * world.noise, *[world.noise] * 2]
    )
    at_random = np.where(
        draw.random(steps) < explore, draw.integers(4, size=steps), -1
    )
    elsewhere = draw.integers(len(CELLS), size=steps)
    state = 0
    for slip, action, restart in zip(slips, at_random, elsewhere, strict=True):
        if action < 0:
            action = Q[state].argmax()
        right, up = MOVES[(action + slip) % 4]
        cell = (CELLS[state][0] + right, CELLS[state][1] + up)
        if cell in EXITS:
            after, target = restart, world.step_reward + EXITS[cell]
        else:
            after = number.get(cell, state)  # wall and border: stay
            target = world.step_reward + Q[after].max()
        visits[state, action] += 1
        rate = visits[state, action] ** -0.7
        Q[state, action] += rate * (target - Q[state, action])
        state = after
    return Q


Q_learned = q_learning(world, 200_000, session.seed)
V_best = value_iteration(world)
learned_policy = np.eye(4)[Q_learned.argmax(1)]
loss_of_value = np.max(V_best - evaluate(world, learned_policy))
agreeing = best_actions(world, V_best)[np.arange(len(CELLS)), Q_learned.argmax(1)]
print(
    f"the learned policy loses at most {loss_of_value:.4f} and is optimal in "
    f"{agreeing.sum()} of {len(CELLS)} cells"
)
assert loss_of_value < 0.02, "Q-learning did not reach the optimal policy"

# %% [markdown]
# ## 6. The policy gradient
#
# $\pi_\theta(a \mid s)$ is a softmax with one logit for each cell and action. The theorem's formula against differences
# of $J(\theta)$, where $J$ is summed forward in time, without any value function.

# %%
gamma = 0.95
first = np.full(len(CELLS), 1 / len(CELLS))
logits = rng.normal(size=(len(CELLS), 4))


def softmax(logits):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def forward_return(logits, steps=700):
    """J by following the law of the state through time."""
    policy, law, total = softmax(logits), first, 0.0
    for t in range(steps):
        joint = law[:, None] * policy
        total += gamma**t * (joint * living.reward).sum()
        law = np.einsum("sa,sat->t", joint, living.transition)
    return total


def theorem(logits, weights):
    """sum_s d(s) sum_a grad pi(a | s) weights(s, a), for a softmax policy."""
    policy = softmax(logits)
    P = np.einsum("sa,sat->st", policy, living.transition)
    d = np.linalg.solve((np.eye(len(CELLS)) - gamma * P).T, first)
    mean = (policy * weights).sum(1, keepdims=True)
    return d[:, None] * policy * (weights - mean)


by_differences = np.zeros_like(logits)
for index in np.ndindex(logits.shape):
    step = np.zeros_like(logits)
    step[index] = 1e-4
    by_differences[index] = (
        forward_return(logits + step) - forward_return(logits - step)
    ) / 2e-4
Q_pi = action_values(living, evaluate(living, softmax(logits), gamma), gamma)
exact = theorem(logits, Q_pi)
check(
    "policy-gradient",
    {"the theorem": exact, "differences of the return": by_differences},
    tolerance=1e-6,
    control=("reward in place of Q", theorem(logits, living.reward)),
)

# %% [markdown]
# **REINFORCE** sees episodes only. We look at its estimates along one fixed direction, towards the actions that are best: unbiased with and without a
# baseline, and far less noisy with one. The TD error with the true $V^\pi$ is unbiased as well. A baseline that depends
# on the *action* is not allowed: that is the control.

# %%
direction = best_actions(living, value_iteration(living)).astype(float)
policy = softmax(logits)
V_pi = evaluate(living, policy, gamma)
states, actions, rewards, on = simulate(
    living,
    policy,
    gamma,
    episodes=40_000,
    seed=3,
)
to_go = np.zeros_like(rewards)
running = np.zeros(rewards.shape[1])
for t in reversed(range(len(rewards))):
    running = rewards[t] + gamma * running
    to_go[t] = running
next_value = np.zeros_like(rewards)
next_value[:-1] = np.where(on[1:], V_pi[states[1:]], 0.0)
td_error = rewards + gamma * next_value - V_pi[states]
# The derivative of log pi along the direction, at every step.
slope = direction[states, actions] - (policy * direction).sum(1)[states]
discount = gamma ** np.arange(len(rewards))[:, None] * on


def estimate(weights):
    return monte_carlo(torch.tensor((discount * slope * weights).sum(0)))


plain = estimate(to_go)
with_baseline, with_td = estimate(to_go - V_pi[states]), estimate(td_error)
looks_at_action = estimate(to_go - Q_pi[states, actions])
along = (exact * direction).sum()
check(
    "reinforce-unbiased",
    {"policy gradient along a direction": along, "REINFORCE": plain.mean},
    tolerance=StandardErrors(4, plain.standard_error),
    control=(
        "without the factor gamma^t",
        monte_carlo(torch.tensor((on * slope * to_go).sum(0))).mean,
    ),
)
check(
    "reinforce-unbiased",
    {
        "policy gradient along a direction": along,
        "REINFORCE with baseline V": with_baseline.mean,
    },
    tolerance=StandardErrors(4, with_baseline.standard_error),
    control=("baseline Q(s, a)", looks_at_action.mean),
)
check(
    "td-error",
    {
        "policy gradient along a direction": along,
        "TD errors of the true V": with_td.mean,
    },
    tolerance=StandardErrors(4, with_td.standard_error),
    control=(
        "the target with a minus, R - gamma V(S')",
        estimate(rewards - gamma * next_value - V_pi[states]).mean,
    ),
)

# %% [markdown]
# A critic is never exact. Here it has an error $e$ of random numbers. What the TD error is on average, given state and action, is weighed with
# random numbers $g(s,a)$ and summed over an episode; $g$ has the sign of the error to come, so that its shares do not cancel.

# %%
draw = np.random.default_rng(2)
e = draw.normal(size=len(CELLS))
to_come = living.transition @ e
g = draw.random((len(CELLS), 4)) * np.sign(to_come)
next_error = np.zeros_like(rewards)
next_error[:-1] = np.where(on[1:], e[states[1:]], 0.0)
with_error = td_error + gamma * next_error - e[states]
seen = monte_carlo(
    torch.tensor((discount * g[states, actions] * with_error).sum(0))
)


def over_an_episode(means):
    """The mean of the sum over an episode of gamma^t g(s, a) means(s, a)."""
    P = np.einsum("sa,sat->st", policy, living.transition)
    d = np.linalg.solve((np.eye(len(CELLS)) - gamma * P).T, first)
    return (d[:, None] * policy * g * means).sum()


advantages = Q_pi - V_pi[:, None]
check(
    "td-error",
    {
        "the formula, with e at both states": over_an_episode(
            advantages - e[:, None] + gamma * to_come
        ),
        "TD errors in episodes": seen.mean,
    },
    tolerance=StandardErrors(4, seen.standard_error),
    control=(
        "no error at the next state",
        over_an_episode(advantages - e[:, None]),
    ),
)

# %% mystnb={"image": {"alt": "Three bars: the standard deviation of one episode's gradient estimate is largest for REINFORCE, smaller with a baseline, and smallest for the TD error."}}
spreads = {
    "REINFORCE": plain,
    "with baseline $V$": with_baseline,
    "TD error": with_td,
}
plt.barh(
    list(spreads),
    [s.standard_error * np.sqrt(rewards.shape[1]) for s in spreads.values()],
    color=figures.COLOURS["discriminator"],
)
plt.gca().invert_yaxis()
plt.xlabel("standard deviation of the estimate from one episode")
plt.show()

# %% [markdown]
# ## 7. One step, a blind actor
#
# The actor sees noise $z$ only and plays $a = \mu_\theta(z) = \theta_1 + \theta_2 z$; the action is worth $Q(a)$. The chain
# rule through $Q$, integrated exactly, against differences of the mean worth.

# %%
nodes, weights = np.polynomial.hermite_e.hermegauss(80)
weights = weights / weights.sum()
theta = np.array([0.3, 0.8])


def worth(a):
    return np.tanh(a) - 0.1 * a**2


def mean_worth(theta):
    # A fine grid of z in place of the quadrature nodes.
    z = np.linspace(-9, 9, 20_001)
    density = np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return (density * worth(theta[0] + theta[1] * z)).sum() * (z[1] - z[0])


a = theta[0] + theta[1] * nodes
slope_of_worth = 1 / np.cosh(a) ** 2 - 0.2 * a
chain = np.array(
    [(weights * slope_of_worth).sum(), (weights * slope_of_worth * nodes).sum()]
)
differences = [
    (mean_worth(theta + step) - mean_worth(theta - step)) / 2e-4
    for step in 1e-4 * np.eye(2)
]
check(
    "deterministic-policy-gradient",
    {"chain rule through Q": chain, "differences of the mean worth": differences},
    tolerance=1e-6,
    control=(
        "without the actor's Jacobian",
        np.full(2, (weights * slope_of_worth).sum()),
    ),
)

# %% [markdown]
# ## 8. Balancing a pole
#
# CartPole pays 1 for each step that the pole stays up, at most 500. *Learned* means here: the mean return of the last 20
# episodes is at least three times that of a policy that pushes at random.
#
# **REINFORCE**: play an episode, compute what followed each action, subtract a baseline (what an episode of the average length
# of the fifty before would have returned from there), push up the log-probabilities of what went better than that.
#
# **Actor-critic**: a critic $V$ learns from TD targets, and its TD error takes the place of the return. Eight
# poles at once, an update every 16 steps. An episode that is cut off at 500 steps is no failure: the TD target then still
# counts the next state's value.
#
# Both leave out the factor $\gamma^t$ of the theorem, as nearly all code does. So late steps, which the discounted return hardly
# counts, teach as much as early ones; what is climbed is no longer exactly the gradient of $J$.

# %% tags=["training"]
POLE_GAMMA = 0.98


def pole_network(outputs):
    return nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, outputs))


def choose(actor, states, draw):
    with torch.no_grad():
        logits = actor(torch.from_numpy(states))
    right = (logits[:, 1] - logits[:, 0]).sigmoid().numpy()
    return (draw.random(len(states)) < right).astype(int)


def log_probability(actor, states, actions):
    every = actor(states).log_softmax(1)
    return every.gather(1, actions[:, None])[:, 0]


def discounted_length(steps):
    """What `steps` rewards of 1 are worth now."""
    return (1 - POLE_GAMMA**steps) / (1 - POLE_GAMMA)


def random_returns(episodes=100):
    pole, draw, lengths = (
        gymnasium.make("CartPole-v1"),
        np.random.default_rng(0),
        [],
    )
    for episode in range(episodes):
        pole.reset(seed=episode)
        steps, ended = 0, False
        while not ended:
            *_, terminated, truncated, _ = pole.step(int(draw.integers(2)))
            steps, ended = steps + 1, terminated or truncated
        lengths.append(steps)
    return np.array(lengths)


# %% tags=["training"]
def reinforce(seed, budget):
    torch.manual_seed(seed)
    pole, draw = gymnasium.make("CartPole-v1"), np.random.default_rng(seed)
    actor = pole_network(2)
    optimizer = torch.optim.Adam(actor.parameters(), lr=3e-3)
    lengths = []
    while sum(lengths) < budget:
        state, _ = pole.reset(seed=seed * 100_000 + len(lengths))
        states, actions, ended = [], [], False
        while not ended:
            (action,) = choose(actor, state[None], draw)
            states.append(state)
            actions.append(action)
            state, _, terminated, truncated, _ = pole.step(int(action))
            ended = terminated or truncated
        passed = np.arange(len(actions))
        usual = np.mean(lengths[-50:]) if lengths else 0.0  # of earlier episodes
        advantage = discounted_length(len(actions) - passed) - discounted_length(
            np.maximum(usual - passed, 0)
        )
        lengths.append(len(actions))
        log_pi = log_probability(
            actor,
            torch.from_numpy(np.array(states)),
            torch.tensor(np.array(actions)),
        )
        objective = (torch.from_numpy(advantage).float() * log_pi).sum() / 100
        optimizer.zero_grad()
        (-objective).backward()
        optimizer.step()
    return np.array(lengths)


# %% tags=["training"]
def actor_critic(seed, budget, poles=8, stretch=16, critic_updates=10):
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    worlds = [gymnasium.make("CartPole-v1") for _ in range(poles)]
    actor, critic = pole_network(2), pole_network(1)
    actor_optimizer = torch.optim.Adam(actor.parameters(), lr=3e-3)
    critic_optimizer = torch.optim.Adam(critic.parameters(), lr=1e-2)
    seeds = iter(range(seed * 100_000, seed * 100_000 + 100_000))
    state = np.stack([world.reset(seed=next(seeds))[0] for world in worlds])
    clock, lengths = np.zeros(poles, int), []
    for _ in range(budget // (poles * stretch)):
        memory = []
        for _ in range(stretch):
            action = choose(actor, state, draw)
            after, failed = np.empty_like(state), np.zeros(poles, np.float32)
            begin_next = np.empty_like(state)
            for k, world in enumerate(worlds):
                after[k], _, terminated, truncated, _ = world.step(int(action[k]))
                begin_next[k], failed[k] = after[k], terminated
                clock[k] += 1
                if terminated or truncated:
                    lengths.append(clock[k])
                    clock[k] = 0
                    begin_next[k] = world.reset(seed=next(seeds))[0]
            memory.append((state, action, after, failed))
            state = begin_next
        s, a, s_next, failed = (
            torch.from_numpy(np.concatenate(part))
            for part in zip(*memory, strict=True)
        )

        def td_errors(s=s, s_next=s_next, failed=failed):
            with torch.no_grad():
                target = 1 + POLE_GAMMA * (1 - failed) * critic(s_next)[:, 0]
            return target - critic(s)[:, 0]

        for _ in range(critic_updates):
            critic_optimizer.zero_grad()
            td_errors().square().mean().backward()
            critic_optimizer.step()
        advantage = td_errors().detach()
        actor_optimizer.zero_grad()
        (-(advantage * log_probability(actor, s, a)).mean()).backward()
        actor_optimizer.step()
    return np.array(lengths)


# %% tags=["nbval-ignore-output", "training"]
POLE_SEEDS = session.pick(smoke=[0], cpu=[0, 1, 2, 3, 4], gpu=[0, 1, 2, 3, 4])
by_chance = random_returns().mean()
print(f"pushed at random, the pole stays up for {by_chance:.1f} steps")
pole_runs = {}
for learn in (reinforce, actor_critic):
    for seed in POLE_SEEDS:
        pole_runs[learn.__name__, seed] = lengths = learn(seed, budget=25_000)
        last = lengths[-20:].mean()
        print(
            f"{learn.__name__:12s} seed {seed}: {len(lengths)} episodes, "
            f"the last 20 last {last:.0f} steps"
        )
        assert last >= 3 * by_chance, (
            f"{learn.__name__} did not learn with seed {seed}"
        )

# %% tags=["nbval-ignore-output"] mystnb={"image": {"alt": "Return of CartPole episodes against steps played, smoothed, for REINFORCE and the actor-critic with several seeds; both rise far above the dashed line at three times the random policy's return."}}
for (name, seed), lengths in pole_runs.items():
    smooth = np.convolve(lengths, np.ones(20) / 20, mode="valid")
    plt.plot(
        np.cumsum(lengths)[19:],
        smooth,
        color=figures.COLOURS[
            "generator" if name == "reinforce" else "discriminator"
        ],
        alpha=0.7,
        label=name.replace("_", "-") if seed == POLE_SEEDS[0] else None,
    )
plt.axhline(3 * by_chance, color=figures.COLOURS["muted"], linestyle="--")
plt.xlabel("steps played")
plt.ylabel("return, mean of 20 episodes")
plt.legend()
plt.show()

# %% [markdown]
# ## 9. The GAN as an actor-critic, in expectation
#
# The environment: the actor plays a whole sample, a fair coin decides whether the critic is shown it or a real one, and
# the reward is 1 for real and 0 for generated. Here in one dimension, where everything can be integrated: the critic's
# logit is $s(x) = w_0 + w_1 x + w_2 x^2$, and the actor plays $a = \theta_1 + \theta_2 z$.
#
# **The critic's gradient.** Play the environment with real coin flips and average the gradient of the critic's
# cross-entropy; the theorem says $-\frac12 \nabla V$, which quadrature gives.

# %%
p_data = GaussianMixture(means=[[-1.5], [1.0]], stds=[0.5, 0.8], weights=[0.4, 0.6])
p_actor = gaussian(0.3, 0.8)
w = torch.tensor([0.2, 0.5, -0.3], dtype=torch.float64)


def features(x):
    return torch.cat([x**0, x, x**2], dim=1).double()


grid = torch.linspace(-10, 10, 20_001, dtype=torch.float64)[:, None]
dx = 20 / 20_000
density_data, density_actor = (
    p_data.log_prob(grid).exp(),
    p_actor.log_prob(grid).exp(),
)
logit_grid = features(grid) @ w
# The gradient of V in the logit is p_d (1 - D) - p_g D.
value_gradient = (
    features(grid).T
    @ (
        density_data * logit_grid.sigmoid().neg().add(1)
        - density_actor * logit_grid.sigmoid()
    )
    * dx
)

flips = 400_000
coin = torch.rand(flips, generator=session.random(1)) < 0.5
shown = torch.where(
    coin[:, None],
    p_data.sample(flips, session.random(2)),
    p_actor.sample(flips, session.random(3)),
)
reward = coin.double()
probe = torch.tensor([1.0, -0.5, 0.7], dtype=torch.float64)
per_flip = ((features(shown) @ w).sigmoid() - reward) * (features(shown) @ probe)
critic_gradient = monte_carlo(per_flip)
check(
    "gan-is-actor-critic",
    {
        "minus half the gradient of V, by quadrature": -0.5
        * value_gradient
        @ probe,
        "the critic's gradient from coin flips": critic_gradient.mean,
    },
    tolerance=StandardErrors(4, critic_gradient.standard_error),
    control=("without the factor 1/2", -value_gradient @ probe),
)

# %% [markdown]
# **What the critic should say.** Its loss is least for the optimal discriminator $D^*$, which is the mean reward of what is
# shown. Two numbers tell: how often the coin says "real", weighed with a function $g$ of what is shown, and the loss that
# a critic has beyond $D^*$'s.

# %%
D_optimal = density_data / (density_data + density_actor)
law_shown = (density_data + density_actor) / 2
optimum_shown = (
    p_data.log_prob(shown).double() - p_actor.log_prob(shown).double()
).sigmoid()
critic_shown = (features(shown) @ w).sigmoid()


def weighing(D, critic):
    return torch.tanh(5 * (D - critic))


weighed = monte_carlo(reward * weighing(optimum_shown, critic_shown))
on_grid = law_shown * weighing(D_optimal, logit_grid.sigmoid()) * dx
check(
    "gan-is-actor-critic",
    {
        "D*, weighed, by quadrature": (on_grid * D_optimal).sum(),
        "rewards of the coin flips, weighed": weighed.mean,
    },
    tolerance=StandardErrors(4, weighed.standard_error),
    control=("another critic", (on_grid * logit_grid.sigmoid()).sum()),
)


def bernoulli_divergence(p, q):
    """KL of one coin from another, where p may be 0 or 1."""
    return torch.special.xlogy(p, p / q) + torch.special.xlogy(
        1 - p, (1 - p) / (1 - q)
    )


def shown_loss(D):
    return -(reward * D.log() + (1 - reward) * (1 - D).log())


lost = monte_carlo(shown_loss(critic_shown))
value_of_game = divergences.value(lambda x: features(x) @ w, p_data, p_actor)
check(
    "gan-is-actor-critic",
    {
        "minus half of V, by quadrature": -0.5 * value_of_game,
        "the critic's loss over coin flips": lost.mean,
    },
    tolerance=StandardErrors(4, lost.standard_error),
    control=("without the factor 1/2", -value_of_game),
)
excess = monte_carlo(shown_loss(critic_shown) - shown_loss(optimum_shown))
divergence = bernoulli_divergence(D_optimal, logit_grid.sigmoid())
exchanged = bernoulli_divergence(logit_grid.sigmoid(), D_optimal)
check(
    "gan-is-actor-critic",
    {
        "mean divergence of the critic from D*": (law_shown * divergence).sum()
        * dx,
        "loss beyond that of D*, from coin flips": excess.mean,
    },
    tolerance=StandardErrors(4, excess.standard_error),
    control=("the two coins exchanged", (law_shown * exchanged).sum() * dx),
)

# %% [markdown]
# **The actor's gradient** through $\log D$, by autograd, is the non-saturating generator's, written out by hand:
# $(1 - D)\,\nabla s$ times the Jacobian of the actor. Through $D$ itself it is another loss's.

# %%
theta = torch.tensor([0.3, 0.8], dtype=torch.float64, requires_grad=True)
z, pz = torch.tensor(nodes), torch.tensor(weights)


def actor_gradient(through):
    logit = features((theta[0] + theta[1] * z)[:, None]) @ w
    return torch.autograd.grad((pz * through(logit)).sum(), theta)[0]


played = theta.detach()[0] + theta.detach()[1] * z
pull = (1 - (features(played[:, None]) @ w).sigmoid()) * (w[1] + 2 * w[2] * played)
check(
    "gan-is-actor-critic",
    {
        "policy gradient through log D": actor_gradient(functional.logsigmoid),
        "non-saturating generator, by hand": torch.stack(
            [(pz * pull).sum(), (pz * pull * z).sum()]
        ),
    },
    tolerance=1e-8,
    control=("through D itself", actor_gradient(torch.sigmoid)),
)


def by_hand(weight):
    """The Jacobian (1, z) of the actor times the critic's slope, with a weight that depends on D."""
    D = (features(played[:, None]) @ w).sigmoid()
    pull = weight(D) * (w[1] + 2 * w[2] * played)
    return torch.stack([(pz * pull).sum(), (pz * pull * z).sum()])


for through, autograd, hand in (
    ("D", torch.sigmoid, lambda D: D * (1 - D)),
    ("the logit", torch.clone, torch.ones_like),
):
    check(
        "gan-is-actor-critic",
        {
            f"policy gradient through {through}": actor_gradient(autograd),
            "its weight, by hand": by_hand(hand),
        },
        tolerance=1e-8,
        control=("the weight of log D", by_hand(lambda D: 1 - D)),
    )

# %% [markdown]
# **What the reward says about the action: nothing.** The actions below $-1$, where the data are, are paid like all others.
# REINFORCE with the actions of these flips and the *true* reward averages to zero. The controls put what was *shown* in the
# place of the action: what the critic sees does know the reward, and the actor follows the critic.

# %%
actions_played = p_actor.sample(flips, session.random(3))[:, 0].double()
paid_far_left = monte_carlo(reward[actions_played < -1])
check(
    "true-action-value",
    {
        "one half": 0.5,
        "mean reward of the actions below -1": paid_far_left.mean,
    },
    tolerance=StandardErrors(4, paid_far_left.standard_error),
    control=("of what was shown below -1", reward[shown[:, 0] < -1].mean()),
)


def score(action):
    """The derivative in theta_1 of the log-density of theta_1 + theta_2 z."""
    return (action - 0.3) / 0.8**2


true_gradient = monte_carlo(reward * score(actions_played))
check(
    "true-action-value",
    {
        "zero": 0.0,
        "REINFORCE with the true reward": true_gradient.mean,
    },
    tolerance=StandardErrors(4, true_gradient.standard_error),
    control=(
        "with what was shown for the action",
        (reward * score(shown[:, 0].double())).mean(),
    ),
)

# %% [markdown]
# ## 10. One GAN, two loops
#
# Now the two algorithms as they are programmed. The **GAN** first. The fake batch is detached in the discriminator's
# step; the generator's step draws fresh noise.

# %% tags=["training"]
LATENT_DIM = 2


def noise_for(state, n):
    return torch.randn(
        n, LATENT_DIM, device=state.noise.device, generator=state.noise
    )


def discriminator_step(state, real):
    fake = state.generator(noise_for(state, len(real))).detach()
    loss = (
        functional.softplus(-state.discriminator(real)).mean()
        + functional.softplus(state.discriminator(fake)).mean()
    )
    state.discriminator_optimizer.zero_grad()
    loss.backward()
    state.discriminator_optimizer.step()
    return loss


def generator_step(state, n):
    logits = state.discriminator(state.generator(noise_for(state, n)))
    loss = functional.softplus(-logits).mean()
    state.generator_optimizer.zero_grad()
    loss.backward()
    state.generator_optimizer.step()
    return logits.sigmoid().mean()


def gan_step(state, real):
    loss = discriminator_step(state, real)
    return {"critic loss": loss / 2, "D(G(z))": generator_step(state, len(real))}


# %% [markdown]
# The **actor-critic** in its environment. Both sides of the coin are played out (`for reward in (1, 0)`), so the
# expectation over the coin is exact. The critic fits $\mathbb{E}[r \mid \text{shown}]$; the actor follows the critic through
# $\log D$. The three adjustments can be dropped one by one: an actor that is not blind adds what it sees to its noise
# through a linear `eye` (zero at the start); the critic's loss may be the squared error; and the actor may also follow
# the critic's slope at the *real* image, as if it had played it.


# %% tags=["training"]
def log_D(logits):
    return -functional.softplus(-logits)


def log_not_D(logits):
    return -functional.softplus(logits)


def play(state, real):
    noise = noise_for(state, len(real))
    if hasattr(state, "eye"):  # an actor that sees the state
        noise = noise + state.eye(real.flatten(1))
    return state.actor(noise)


def cross_entropy(logits, reward):
    return -(reward * log_D(logits) + (1 - reward) * log_not_D(logits))


def squared_error(logits, reward):
    return (reward - logits.sigmoid()) ** 2


def critic_step(state, real, loss_of):
    action = play(state, real).detach()
    losses = []
    for reward in (1, 0):
        shown = real if reward == 1 else action
        losses.append(loss_of(state.critic(shown), reward).mean())
    loss = sum(losses) / 2
    state.critic_optimizer.zero_grad()
    loss.backward()
    state.critic_optimizer.step()
    return loss


def actor_step(state, real, also_on_real):
    action = play(state, real)
    logits = state.critic(action)
    objective = log_D(logits).mean()
    if also_on_real:
        seen = real.clone().requires_grad_()
        (slope,) = torch.autograd.grad(log_D(state.critic(seen)).sum(), seen)
        objective = objective + (slope * action).flatten(1).sum(1).mean()
    state.actor_optimizer.zero_grad()
    (-objective).backward()
    state.actor_optimizer.step()
    return logits.sigmoid().mean()


def actor_critic_step(loss_of=cross_entropy, also_on_real=False):
    def step(state, real):
        loss = critic_step(state, real, loss_of)
        return {
            "critic loss": loss,
            "D(G(z))": actor_step(state, real, also_on_real),
        }

    return step


# %% [markdown]
# The critic's loss is *half* the discriminator's, so its gradient is half as large. Plain gradient descent needs twice the
# rate; Adam divides by the size of the gradient and needs only its $\epsilon$ halved. Halving is exact in binary
# arithmetic, so nothing else changes, not even the rounding.

# %% tags=["training"]
# One kernel for all weights, which a CUDA graph can record.
ADAM = {"lr": 5e-4, "betas": (0.5, 0.999), "fused": True}


def optimizers(first, second, method, half):
    """Of the actor (or generator), and of the critic (or discriminator; `half` its loss)."""
    if method != "Adam":
        settings = (
            {"lr": 0.05} if method == "SGD" else {"lr": 0.005, "momentum": 0.9}
        )
        doubled = settings | {"lr": 2 * settings["lr"]}
        return torch.optim.SGD(first, **settings), torch.optim.SGD(
            second, **doubled if half else settings
        )
    return torch.optim.Adam(first, **ADAM), torch.optim.Adam(
        second, **ADAM, eps=5e-9 if half else 1e-8
    )


def as_gan(networks, method="Adam", device="cpu"):
    generator, discriminator = networks()
    first, second = optimizers(
        generator.parameters(), discriminator.parameters(), method, half=False
    )
    return State(
        generator=generator,
        discriminator=discriminator,
        generator_optimizer=first,
        discriminator_optimizer=second,
        noise=session.random(100, device),
    )


def as_actor_critic(
    networks, method="Adam", device="cpu", sighted=None, adjusted=True
):
    """`adjusted`: whether the critic's optimiser makes up for the factor 1/2 of its loss."""
    actor, critic = networks()
    eye = {}
    if sighted is not None:
        eye["eye"] = nn.Linear(sighted, LATENT_DIM, device=device)
        nn.init.zeros_(eye["eye"].weight)
        nn.init.zeros_(eye["eye"].bias)
    trained = [*actor.parameters()]
    trained += [p for part in eye.values() for p in part.parameters()]
    first, second = optimizers(trained, critic.parameters(), method, half=adjusted)
    return State(
        actor=actor,
        critic=critic,
        actor_optimizer=first,
        critic_optimizer=second,
        noise=session.random(100, device),
        **eye,
    )


def weights_of(state):
    both = (
        (state.generator, state.discriminator)
        if hasattr(state, "generator")
        else (state.actor, state.critic)
    )
    return torch.cat(
        [p.flatten() for network in both for p in network.parameters()]
    )


def ring_networks():
    torch.manual_seed(session.seed)
    return mlp((2, 64, 64, 2)), mlp((2, 64, 64, 1), lambda: nn.LeakyReLU(0.2))


# After a step of D (or of the critic) no gradient has reached the player who makes samples.
for fresh, one_step, maker in (
    (as_gan(ring_networks), discriminator_step, "generator"),
    (
        as_actor_critic(ring_networks),
        lambda state, real: critic_step(state, real, cross_entropy),
        "actor",
    ),
):
    one_step(fresh, ring().sample(64, session.random(5)))
    assert all(p.grad is None for p in getattr(fresh, maker).parameters()), (
        f"the judge's loss reached the {maker}"
    )

# %% [markdown]
# Same seed, same batches, same noise, 500 steps on the ring of eight Gaussians (150 in `smoke`). Beside each pair the
# actor-critic with the GAN's own optimiser. Then the three variants, each with one adjustment dropped.
#
# *Predict: which of the three parts from the GAN the most?*

# %% tags=["nbval-ignore-output", "training"]
STEPS = session.pick(smoke=150, cpu=500, gpu=500)
METHODS = ("Adam", "SGD", "momentum")


def train_on_ring(step, state, name):
    return run(
        step,
        state,
        ring(),
        steps=STEPS,
        batch_size=64,
        name=name,
        folder=session.runs,
        snapshot=weights_of,
        snapshot_at=[*range(0, STEPS, 25), STEPS],
    )


twins = {}
for method in METHODS:
    twins["GAN", method] = train_on_ring(
        gan_step, as_gan(ring_networks, method), f"GAN {method}"
    )
    twins["actor-critic", method] = train_on_ring(
        actor_critic_step(), as_actor_critic(ring_networks, method), f"AC {method}"
    )
    twins["not adjusted", method] = train_on_ring(
        actor_critic_step(),
        as_actor_critic(ring_networks, method, adjusted=False),
        f"AC not adjusted {method}",
    )
    pair = [
        twins[name, method].snapshots[STEPS] for name in ("GAN", "actor-critic")
    ]
    assert torch.equal(*pair), f"with {method} the two loops part"
    moved = (pair[0] - twins["GAN", method].snapshots[0]).abs().max()
    print(f"{method}: equal bit for bit; weights moved by up to {moved:.2f}")
    assert moved > 0.02, "nothing was learned"

dropped = {
    "sighted actor": train_on_ring(
        actor_critic_step(), as_actor_critic(ring_networks, sighted=2), "sighted"
    ),
    "squared error": train_on_ring(
        actor_critic_step(squared_error), as_actor_critic(ring_networks), "squared"
    ),
    "actor update on real samples": train_on_ring(
        actor_critic_step(also_on_real=True),
        as_actor_critic(ring_networks),
        "on real",
    ),
}


def apart(other, at):
    same = twins["GAN", "Adam"].snapshots[at]
    return float((other.snapshots[at] - same).abs().max())


for name, other in dropped.items():
    print(
        f"without the adjustment, {name}: weights differ by up to {apart(other, STEPS):.2f}"
    )
    assert apart(other, 25) > 0, f"{name}: no difference after 25 steps"
    assert apart(other, STEPS) > 0.01, f"{name}: the loops did not part"

# %%
for method in METHODS:
    check(
        "same-weights",
        {
            f"weights of the GAN loop, {method}": twins["GAN", method].snapshots[
                STEPS
            ],
            "weights of the actor-critic loop": twins[
                "actor-critic", method
            ].snapshots[STEPS],
        },
        tolerance=1e-9,
        control=(
            "the critic's optimiser not adjusted",
            twins["not adjusted", method].snapshots[STEPS],
        ),
    )
for name, other in dropped.items():
    check(
        "same-weights",
        {
            "weights of the GAN loop, Adam": twins["GAN", "Adam"].snapshots[STEPS],
            "weights of the actor-critic loop": twins[
                "actor-critic", "Adam"
            ].snapshots[STEPS],
        },
        tolerance=1e-9,
        control=(f"one adjustment dropped: {name}", other.snapshots[STEPS]),
    )

# %% tags=["nbval-ignore-output"] mystnb={"image": {"alt": "Largest difference of weights from the GAN loop over 500 steps, on a logarithmic scale, for the three variants with an adjustment dropped: all start at the first steps and grow; the actor-critic itself is at zero and not on the scale."}}
for (name, other), colour in zip(
    dropped.items(), ("generator", "discriminator", "accent"), strict=True
):
    at = [k for k in other.snapshots if k > 0]
    plt.semilogy(
        at,
        [apart(other, k) for k in at],
        "o-",
        color=figures.COLOURS[colour],
        label=name,
    )
plt.xlabel("steps")
plt.ylabel("largest difference of weights")
plt.legend(title="dropped")
plt.show()

# %% [markdown]
# **Why they part.** Two of the three can be seen in one step. The squared error multiplies the gradient in the logit by
# $2D(1-D) \le \frac12$. Following the critic at real images adds $\mathbb{E}_z[J^{\mathsf T}]\,\mathbb{E}[\nabla \log D(x)]$.
# The third, sight, changes the game: an actor that passes the real image on is perfect and has learned nothing.

# %%
logit_line = torch.linspace(-6, 6, 61, dtype=torch.float64, requires_grad=True)
both_rewards = torch.stack([logit_line, logit_line])
rewards_line = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
by_autograd = torch.autograd.grad(
    squared_error(both_rewards, rewards_line).sum(), both_rewards
)[0]
D_line = logit_line.detach().sigmoid()
by_entropy = D_line - rewards_line
check(
    "three-adjustments",
    {
        "gradient of the squared error": by_autograd,
        "2 D (1 - D) times that of the cross-entropy": 2
        * D_line
        * (1 - D_line)
        * by_entropy,
    },
    tolerance=1e-9,
    control=("that of the cross-entropy", by_entropy),
)

chances = np.linspace(0.05, 0.95, 10)


def best_answer(loss_of):
    """The D of least mean loss, for coins that say "real" with these chances, by a search on a fine grid."""
    D = np.linspace(0, 1, 100_001)
    return [
        D[np.argmin(chance * loss_of(1 - D) + (1 - chance) * loss_of(D))]
        for chance in chances
    ]


check(
    "three-adjustments",
    {
        "D of least squared error, by a search": best_answer(np.square),
        "the chance of real, as for the cross-entropy": chances,
    },
    tolerance=1e-5,
    control=("D of least absolute error", best_answer(np.abs)),
)

reals = p_data.sample(200_000, session.random(6)).double()
slopes = (1 - (features(reals) @ w).sigmoid()) * (w[1] + 2 * w[2] * reals[:, 0])
played_z = torch.randn(200_000, generator=session.random(7)).double()
# The term of theta_2 pairs each real image with its own noise; its Jacobian is 1 + z along (1, 1).
extra = monte_carlo(slopes * (1 + played_z))
slope_grid = (1 - logit_grid.sigmoid()) * (w[1] + 2 * w[2] * grid[:, 0])
check(
    "three-adjustments",
    {
        "mean Jacobian times mean slope on the data": float(
            (density_data * slope_grid).sum() * dx
        ),
        "extra push from updates on real samples": extra.mean,
    },
    tolerance=StandardErrors(4, extra.standard_error),
    control=("no push", 0.0),
)

# softmax(log p) = p: what a sighted actor plays that passes x on
copied = p_bins.log()
check(
    "three-adjustments",
    {
        "largest V against an actor that passes x on": value(
            copied, best_logits(copied)
        ),
        "-log 4": -np.log(4),
    },
    tolerance=1e-9,
    control=("against a blind actor", value(x_bins, y_bins)),
)

# %% [markdown]
# ## 11. On images
#
# The same two loops with convolutions and batch norm, as many steps, and again the same bits. Then the actor-critic goes on
# alone: it *is* a GAN, so it should draw.

# %% tags=["nbval-ignore-output", "training"]
dataset = load(
    session.pick(smoke="digits", cpu="mnist", gpu="fashion-mnist"),
    fallback="digits",
).to(session.device)
print(f"{dataset.name}: {len(dataset)} images of {dataset.images.shape[-1]} pixels")
LATENT_DIM = 16
LONGER = session.pick(smoke=300, cpu=1500, gpu=8000)


def image_networks():
    torch.manual_seed(session.seed)
    made, judged = dcgan(
        dataset.images.shape[-1],
        LATENT_DIM,
        width=session.pick(smoke=8, cpu=8, gpu=32),
    )
    return made.to(session.device), judged.to(session.device)


def train_on_images(step, state, name, steps, snapshot, at):
    return run(
        step,
        state,
        dataset.images,
        steps=steps,
        batch_size=session.pick(smoke=32, cpu=64, gpu=64),
        name=name,
        folder=session.runs,
        snapshot=snapshot,
        snapshot_at=at,
    )


image_noise = torch.randn(
    400,
    LATENT_DIM,
    generator=session.random(201, session.device),
    device=session.device,
)
as_images = as_actor_critic(image_networks, device=session.device)
image_gan = train_on_images(
    gan_step,
    as_gan(image_networks, device=session.device),
    "images GAN",
    STEPS,
    weights_of,
    [STEPS],
)
image_ac = train_on_images(
    actor_critic_step(), as_images, "images AC", STEPS, weights_of, [STEPS]
)
assert torch.equal(image_gan.snapshots[STEPS], image_ac.snapshots[STEPS]), (
    "on images the two loops part"
)
print(
    f"after {STEPS} steps {len(weights_of(as_images))} weights are equal bit for bit"
)

# %% tags=["nbval-ignore-output", "training"]
going_on = train_on_images(
    actor_critic_step(),
    as_images,
    "images AC longer",
    LONGER,
    lambda state: state.actor(image_noise),
    [0, LONGER],
)


def distance_to_data(samples, reference):
    """Mean distance in pixels to the nearest of some training images."""
    return float(torch.cdist(samples.flatten(1), reference).min(1).values.mean())


order = torch.randperm(len(dataset), generator=session.random(8))[:2500]
flat = dataset.images.flatten(1).cpu()[order]
held_out, reference = flat[:400], flat[400:]
drawn = going_on.snapshots[LONGER]
ratio = distance_to_data(drawn, reference) / distance_to_data(held_out, reference)
noise_ratio = distance_to_data(
    torch.rand(400, *drawn.shape[1:], generator=session.random(9)) * 2 - 1,
    reference,
) / distance_to_data(held_out, reference)
print(
    f"distance to the data {ratio:.2f} times that of real images "
    f"(noise: {noise_ratio:.2f}); D(G(z)) {going_on.mean('D(G(z))'):.2f}"
)
assert ratio < session.pick(smoke=1.7, cpu=1.5, gpu=1.5), (
    "the samples are not like data"
)
assert 0.02 < going_on.mean("D(G(z))") < 0.6, "one of the players has won"

# %% tags=["nbval-ignore-output"] mystnb={"image": {"alt": "Blocks of images that the actor plays, after 500 steps and after going on, beside real images: strokes become recognisable."}}
_, panels = plt.subplots(1, 3, figsize=(9, 3.4))
shown_images = {
    f"actor, {STEPS} steps": going_on.snapshots[0][:36],
    f"actor, {STEPS + LONGER} steps": drawn[:36],
    "real": dataset.images[:36],
}
for panel, (title, images) in zip(panels, shown_images.items(), strict=True):
    panel.imshow(figures.image_grid(images, columns=6), cmap="gray")
    panel.set_title(title)
    panel.axis("off")
plt.show()

# %% tags=["nbval-ignore-output"] mystnb={"image": {"alt": "The critic's cross-entropy on images during training, smoothed, below the dashed line at log 2 of a critic that cannot tell."}}
smooth = np.convolve(
    going_on.history["critic loss"], np.ones(50) / 50, mode="valid"
)
plt.plot(
    smooth, color=figures.COLOURS["discriminator"], label="critic's cross-entropy"
)
plt.axhline(
    np.log(2), color=figures.COLOURS["muted"], linestyle="--", label=r"$\log 2$"
)
plt.xlabel("steps")
plt.legend()
plt.show()

# %% [markdown]
# ## What was seen
#
# - Implicit, unrolled and re-solved hypergradients agree. For the minimax GAN the correction vanishes; for the
#   non-saturating one it does not, and training drops it.
# - Value iteration, policy iteration, the linear programme and Q-learning find the same policy. Without noise the step
#   reward changes little; with noise there are eight changes between $-2$ and $0$.
# - REINFORCE and the actor-critic learn to balance the pole on every seed tried, in 25 000 steps.
# - A GAN loop and an actor-critic loop gave the same weights, bit for bit: on points with Adam, with plain gradient steps and
#   with momentum, on images with Adam. Without any one of the three adjustments they parted in the first 25 steps.
# - The true reward has a policy gradient of zero. The actor learns from the critic's slope alone.
#
# ## To try
#
# 1. Average the actor's objective over *all* transitions, counting those with a real image as zero. With which optimiser
#    do the loops part, and how soon?
# 2. Replace `log_D(logits)` in `actor_step` by `logits` and by `logits.sigmoid()`. Which generator losses are these?
# 3. Take `.detach()` out of `critic_step`. Which cell objects?
