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
# # Homework: bilevel optimisation and actor-critic
#
# [Open in Colab]({{ colab }})
#
# **20 points, about 2 hours 20 minutes.** You write six short functions and one derivation. When you are
# done you can
#
# - differentiate a loss that contains the result of another optimisation,
# - evaluate a policy without simulating it, and improve it, ties included,
# - compute a policy gradient exactly, and the weights that REINFORCE gives to each action,
# - write the error a critic learns from, and treat the end of an episode as it should be treated,
# - derive what a GAN is when it is read as an actor-critic method.
#
# **You need** the chapter on bilevel optimisation and actor-critic, and NumPy. A laptop without a graphics
# card is enough.
#
# **How it is marked.** Under each function stands a cell of checks. They tell you in words what is wrong,
# and you may run them as often as you like. They are not the marks: your functions are called again on
# fresh random inputs that you have not seen. Each function earns all of its points or none. A function that
# is not solved costs only its own points, so hand in what you have. No exercise uses the function of
# another one. The derivation at the end is marked by a person.
#
# **Rules.** Write where it says `YOUR CODE HERE`, replacing the line that raises the error. Keep the names
# and arguments of the functions. You may add cells and helper functions. Use only Python and
# NumPy. No function may change the arrays it is given.
#
# **Notation.** A decision process has $S$ states and $A$ actions. `transition` has shape $(S, A, S)$:
# `transition[s, a, t]` is the probability to be in state $t$ after action $a$ in state $s$. What is missing to
# 1 is the probability that the episode ends with this step; an ended episode is worth 0 from there on.
# `reward` has shape $(S, A)$. A policy has shape $(S, A)$, each row a law on the actions. The discount
# $\gamma$ lies in $[0, 1]$; where it is 1, every policy ends for sure.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import numpy as np

# %% [markdown]
# ## Exercise 1: through an inner optimum
#
# **2 points · 15 minutes · easy**
#
# Let $y^*(x)$ be a point where $\partial_y f(x, y) = 0$, and $\Phi(x) = F(x, y^*(x))$. Write
# `total_gradient(outer_x, outer_y, inner_xy, inner_yy)`, the gradient of $\Phi$ from derivatives at
# $(x, y^*(x))$:
#
# - `outer_x` and `outer_y`, shapes $(n,)$ and $(m,)$: the gradients $\partial_x F$ and $\partial_y F$;
# - `inner_xy`, shape $(n, m)$: the entries $\partial^2 f / \partial x_i \partial y_j$;
# - `inner_yy`, shape $(m, m)$: the second derivatives of $f$ in $y$, symmetric and invertible, not
#   necessarily positive definite.
#
# Return an array of shape $(n,)$.


# %% nbgrader={"grade": false, "grade_id": "total_gradient", "locked": false, "schema_version": 3, "solution": true, "task": false}
def total_gradient(outer_x, outer_y, inner_xy, inner_yy):
    """Gradient of F(x, y*(x)): an array of the shape of outer_x."""
    ### BEGIN SOLUTION
    adjoint = np.linalg.solve(inner_yy, outer_y)
    correction = inner_xy @ adjoint
    return outer_x - correction
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_total_gradient", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    outer_x, outer_y = np.array([1.0, -2.0, 0.5]), np.array([0.3, -0.7])
    inner_xy = np.array([[1.0, 0.2], [-0.4, 2.0], [0.0, 1.5]])
    inner_yy = np.array([[2.0, 0.5], [0.5, -1.0]])
    before = [given.copy() for given in (outer_x, outer_y, inner_xy, inner_yy)]
    total = total_gradient(outer_x, outer_y, inner_xy, inner_yy)
    assert isinstance(total, np.ndarray), f"Return a NumPy array; this is a {type(total).__name__}."
    assert total.shape == outer_x.shape, (
        f"There are three coordinates of x; your result has shape {total.shape}."
    )
    for old, given in zip(before, (outer_x, outer_y, inner_xy, inner_yy), strict=True):
        assert np.array_equal(old, given), "You changed an input array. Work on new ones."
    flat = total_gradient(outer_x, 0 * outer_y, inner_xy, inner_yy)
    assert np.allclose(flat, outer_x), "Where F does not feel y, nothing but its own slope in x is left."
    apart = total_gradient(outer_x, outer_y, 0 * inner_xy, inner_yy)
    assert np.allclose(apart, outer_x), "An inner optimum that does not move with x changes nothing."
    assert not np.allclose(total, outer_x), "The inner optimum moves here, and F feels it."
    stiff = total_gradient(outer_x, outer_y, inner_xy, 10 * inner_yy)
    shrink = (stiff - outer_x) * 10
    assert np.allclose(shrink, total - outer_x), (
        "A ten times more curved inner objective moves its optimum ten times less."
    )
    # f = y^2 / 2 - x y has its optimum at y = x; take F = y.
    simple = total_gradient(np.zeros(1), np.ones(1), -np.ones((1, 1)), np.ones((1, 1)))
    assert np.allclose(simple, 1.0), "With y*(x) = x and F = y the gradient is one: look at your sign."
    same = total_gradient(outer_x, outer_y, 3 * inner_xy, 3 * inner_yy)
    assert np.allclose(same, total), "Multiplying f by a number moves no optimum and must change nothing."
    print("total_gradient: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 2: the worth of an action
#
# **3 points · 20 minutes · medium**
#
# Write `policy_action_values(transition, reward, policy, discount)`, which returns $Q^\pi$: an array of shape
# $(S, A)$. `Q[s, a]` is the mean return of playing $a$ in $s$ first and following the policy ever after.
#
# - The relative error must stay below $10^{-7}$, also for a discount of 1.
# - The discount may be 0.


# %% nbgrader={"grade": false, "grade_id": "policy_action_values", "locked": false, "schema_version": 3, "solution": true, "task": false}
def policy_action_values(transition, reward, policy, discount):
    """Q of a policy: an array of shape (states, actions)."""
    ### BEGIN SOLUTION
    mean_reward = (policy * reward).sum(axis=1)
    mean_transition = np.einsum("sa,sat->st", policy, transition)
    system = np.eye(len(reward)) - discount * mean_transition
    values = np.linalg.solve(system, mean_reward)
    return reward + discount * transition @ values
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_policy_action_values", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    transition = np.zeros((2, 2, 2))
    transition[0, 0, 1] = 1.0  # action 0 leads from state 0 to state 1
    transition[0, 1, 0] = 0.5  # action 1 stays in state 0 or ends
    transition[1, 0, 0] = 0.5
    reward = np.array([[1.0, 2.0], [3.0, 4.0]])
    policy = np.array([[0.5, 0.5], [0.25, 0.75]])
    before = transition.copy(), reward.copy(), policy.copy()
    worth = policy_action_values(transition, reward, policy, 0.8)
    assert isinstance(worth, np.ndarray), f"Return a NumPy array; this is a {type(worth).__name__}."
    assert worth.shape == reward.shape, f"There are two states and two actions; your shape is {worth.shape}."
    for old, given in zip(before, (transition, reward, policy), strict=True):
        assert np.array_equal(old, given), "You changed an input array. Work on new ones."
    assert np.isclose(worth[1, 1], 4.0), "An action that always ends the episode is worth its reward."
    now = policy_action_values(transition, reward, policy, 0.0)
    assert np.allclose(now, reward), "Without a future only the reward of the first step counts."
    mean = (policy * worth).sum(1)
    assert np.isclose(worth[0, 0], 1.0 + 0.8 * mean[1]), (
        "What follows the first action must be the mean over the policy's own choices, discounted."
    )
    assert np.isclose(worth[0, 1], 2.0 + 0.8 * 0.5 * mean[0]), (
        "Half of the time this action ends the episode, and an ended episode is worth nothing more."
    )
    more = policy_action_values(transition, reward + 1.0, policy, 0.8)
    assert (more - worth >= 1.0 - 1e-12).all(), (
        "Paying one more at each step raises every value by at least one."
    )
    patient = policy_action_values(transition, reward, policy, 1.0)
    assert np.isfinite(patient).all(), (
        "Without a discount your values are not finite, though every episode ends."
    )
    assert np.isclose(patient[0, 0], 1.0 + (policy * patient).sum(1)[1]), (
        "Without a discount your values do not fit together: are they still on the way?"
    )
    slow = policy_action_values(np.full((1, 2, 1), 0.99), np.ones((1, 2)), np.array([[0.3, 0.7]]), 1.0)
    assert np.allclose(slow, 100, rtol=1e-7), (
        "With one chance in a hundred to end, an episode has 100 steps on average: at a reward of one each that is 100."
    )
    print("policy_action_values: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 3: greedy, with ties
#
# **3 points · 20 minutes · medium**
#
# Write `greedy_policy(transition, reward, values, discount)`. `values`, of shape $(S,)$, says what each state is
# worth. In each state the policy you return plays the actions with the largest
# $r(s, a) + \gamma \sum_t P(t \mid s, a)\, V(t)$.
#
# - Actions whose worth is within $10^{-9}$ of the best tie with it. All of them get the same probability.
# - Nothing farther away is a tie, also when values are of size 1000.
# - Return an array of shape $(S, A)$.


# %% nbgrader={"grade": false, "grade_id": "greedy_policy", "locked": false, "schema_version": 3, "solution": true, "task": false}
def greedy_policy(transition, reward, values, discount):
    """The policy that plays the best actions, ties with equal probability: shape (states, actions)."""
    ### BEGIN SOLUTION
    worth = reward + discount * np.einsum("sat,t->sa", transition, values)
    behind = worth.max(axis=1, keepdims=True) - worth
    tied = behind <= 1e-9
    return tied / tied.sum(axis=1, keepdims=True)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_greedy_policy", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    transition = np.full((2, 3, 2), 0.25)
    transition[0, 2] = [0.0, 1.0]
    reward, values = np.array([[1.0, 1.0, 0.0], [0.0, 2.0, 1.0]]), np.array([1.0, 2.0])
    before = transition.copy(), reward.copy(), values.copy()
    policy = greedy_policy(transition, reward, values, 0.5)
    assert isinstance(policy, np.ndarray), f"Return a NumPy array; this is a {type(policy).__name__}."
    assert policy.shape == reward.shape, f"There are two states, three actions; your shape is {policy.shape}."
    for old, given in zip(before, (transition, reward, values), strict=True):
        assert np.array_equal(old, given), "You changed an input array. Work on new ones."
    assert np.allclose(policy.sum(1), 1), "Each row is a law on the actions: it must sum to one."
    assert policy[1].tolist() == [0, 1, 0], "In the second state one action is the best by far."
    assert policy[0, 2] == 0, "In the first state the third action is worth less than the other two."
    assert policy[0, 0] == policy[0, 1], "Two actions tie here: neither is better than the other."
    future = greedy_policy(transition, reward, values, 1.0)
    assert future[0].tolist() == [0, 0, 1], (
        "Without a discount the third action leads to a valuable state. Does your policy look ahead?"
    )
    close = greedy_policy(transition, reward + np.array([0.0, 1e-8, 0.0]), values, 0.5)
    assert close[0].tolist() == [0, 1, 0], "A small advantage is an advantage, not a tie."
    rounding = greedy_policy(transition, reward + np.array([0.0, 1e-13, 0.0]), values, 0.5)
    assert rounding[0, 0] == rounding[0, 1], "A difference that only rounding makes is a tie."
    print("greedy_policy: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 4: the policy gradient
#
# **3 points · 25 minutes · hard**
#
# The policy is $\pi(a \mid s) = e^{\ell_{sa}} / \sum_b e^{\ell_{sb}}$ with one logit $\ell_{sa}$ for each state and
# action. The first state has the law `start`, of shape $(S,)$. Write
# `return_gradient(logits, transition, reward, start, discount)`: the gradient of the mean return in the logits,
# an array of shape $(S, A)$.
#
# - It is to be exact, not estimated: no entry may be off by more than $10^{-6}$ of the largest.
# - Logits lie between −1000 and 1000, and may differ that much from state to state.


# %% nbgrader={"grade": false, "grade_id": "return_gradient", "locked": false, "schema_version": 3, "solution": true, "task": false}
def return_gradient(logits, transition, reward, start, discount):
    """Gradient of the mean return in the logits of a softmax policy: shape (states, actions)."""
    ### BEGIN SOLUTION
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    policy = shifted / shifted.sum(axis=1, keepdims=True)
    step = np.einsum("sa,sat->st", policy, transition)
    system = np.eye(len(start)) - discount * step
    values = np.linalg.solve(system, (policy * reward).sum(axis=1))
    visits = np.linalg.solve(system.T, start)
    advantage = reward + discount * transition @ values - values[:, None]
    return visits[:, None] * policy * advantage
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_return_gradient", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    rng = np.random.default_rng(0)
    transition = 0.85 * rng.dirichlet(np.ones(3), size=(3, 2))
    reward, start, logits = rng.normal(size=(3, 2)), np.array([1.0, 0.0, 0.0]), rng.normal(size=(3, 2))
    before = [given.copy() for given in (logits, transition, reward, start)]
    slope = return_gradient(logits, transition, reward, start, 0.9)
    assert isinstance(slope, np.ndarray), f"Return a NumPy array; this is a {type(slope).__name__}."
    assert slope.shape == logits.shape, f"The logits have shape {logits.shape}, your result {slope.shape}."
    for old, given in zip(before, (logits, transition, reward, start), strict=True):
        assert np.array_equal(old, given), "You changed an input array. Work on new ones."
    assert np.allclose(slope.sum(1), 0, atol=1e-9), (
        "Adding a number to all logits of a state changes no probability: each row must sum to zero."
    )
    rich = return_gradient(logits, transition, 2 * reward, start, 0.9)
    assert np.allclose(rich, 2 * slope), "Twice the reward is twice the gradient."
    # One state, one step: the gradient is pi (r - mean r).
    coin = return_gradient(np.zeros((1, 2)), np.zeros((1, 2, 1)), np.array([[1.0, 0.0]]), np.ones(1), 0.9)
    assert coin[0, 0] > 0, "The action that pays more must become more probable: look at your sign."
    assert np.allclose(coin, [[0.25, -0.25]]), (
        "For one step and two equally probable actions it is not right."
    )
    never = return_gradient(logits, np.zeros((3, 2, 3)), reward, np.array([1.0, 0.0, 0.0]), 0.9)
    assert np.allclose(never[1:], 0), "States that are never visited have no influence."
    assert np.abs(slope[2]).max() > 0.001, "Later states matter too, not only the first one."

    def mean_return(logits):
        weights = np.e**logits
        policy = weights / weights.sum(1)[:, None]
        law, total = start, 0.0
        for t in range(300):
            total += 0.9**t * law @ (policy * reward).sum(1)
            law = sum(law[s] * (policy[s] @ transition[s]) for s in range(3))
        return total

    direction = np.array([[1.0, -0.5], [0.3, 2.0], [-1.0, 0.7]])
    change = (mean_return(logits + 1e-5 * direction) - mean_return(logits - 1e-5 * direction)) / 2e-5
    assert np.isclose((direction * slope).sum(), change, rtol=1e-5), (
        "Along a direction this is not the slope of the mean return. A state counts as often as it is visited, "
        "discounted, and the future of an action is discounted too."
    )
    for shift in (900.0, np.array([[900.0], [-900.0], [0.0]])):
        large = return_gradient(logits + shift, transition, reward, start, 0.9)
        assert np.allclose(large, slope), (
            "Logits of size 900, also in some states only, give the same gradient."
        )
    print("return_gradient: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 5: what REINFORCE weighs
#
# **3 points · 20 minutes · medium**
#
# An episode of $T$ steps paid `rewards`, of shape $(T,)$. REINFORCE moves along
# $\sum_t w_t \nabla \log \pi(a_t \mid s_t)$ with $w_t = \gamma^t (G_t - b_t)$. Here
# $G_t = \sum_{k \ge t} \gamma^{k-t} R_k$, and `baselines`, of shape $(T,)$, holds the $b_t$. Write
# `reinforce_weights(rewards, baselines, discount)`, which returns the $w_t$ as an array of shape $(T,)$.
#
# - The discount may be 0 or 1. $0^0 = 1$.
# - Episodes can have 2000 steps: $\gamma^t$ may underflow to 0, so do not divide by it.


# %% nbgrader={"grade": false, "grade_id": "reinforce_weights", "locked": false, "schema_version": 3, "solution": true, "task": false}
def reinforce_weights(rewards, baselines, discount):
    """Weights of the gradients of log pi in REINFORCE: an array of the shape of the rewards."""
    ### BEGIN SOLUTION
    to_go, running = np.zeros(len(rewards)), 0.0
    for t in reversed(range(len(rewards))):
        running = rewards[t] + discount * running
        to_go[t] = running
    return discount ** np.arange(len(rewards)) * (to_go - baselines)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_reinforce_weights", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    rewards, baselines = np.array([1.0, 0.0, -2.0, 4.0]), np.array([0.5, 0.0, 1.0, -1.0])
    before = rewards.copy(), baselines.copy()
    weights = reinforce_weights(rewards, baselines, 0.5)
    assert isinstance(weights, np.ndarray), f"Return a NumPy array; this is a {type(weights).__name__}."
    assert weights.shape == rewards.shape, (
        f"The episode has four steps; your result has shape {weights.shape}."
    )
    for old, given in zip(before, (rewards, baselines), strict=True):
        assert np.array_equal(old, given), "You changed an input array. Work on new ones."
    assert np.isclose(weights[3], 0.125 * 5.0), (
        "One reward follows the last action, and its weight has the discount of its time."
    )
    assert np.isclose(weights[0], 1.0 - 0.5 + 0.5 - 0.5), "The weight of the first action is not right."
    later = reinforce_weights(np.array([7.0, 0.0, -2.0, 4.0]), baselines, 0.5)
    assert np.allclose(later[1:], weights[1:]), "An action must not be praised for what was paid before it."
    usual = reinforce_weights(rewards, np.zeros(4), 1.0)
    assert np.allclose(usual, [3.0, 2.0, 2.0, 4.0]), (
        "Without discount and baseline: the sums of what follows."
    )
    nothing = reinforce_weights(rewards, baselines, 0.0)
    assert np.isfinite(nothing).all(), "For a discount of zero your result is not finite."
    assert nothing[1:].tolist() == [0, 0, 0], "For a discount of zero only the first step counts."
    assert np.isclose(nothing[0], 0.5), "For a discount of zero the first action has its own reward."
    long = reinforce_weights(np.ones(1500), np.zeros(1500), 0.6)
    assert np.isfinite(long).all(), "For a long episode your result is not finite."
    assert np.isclose(long[500], 0.6**500 / (1 - 0.6), rtol=1e-6, atol=0), (
        "For a long episode your weights have lost their digits."
    )
    print("reinforce_weights: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 6: ended, or only cut off
#
# **2 points · 15 minutes · easy**
#
# A critic predicts the value of states. Write
# `td_errors(rewards, values, next_values, terminated, discount)`, the TD errors
# $R + \gamma \hat V(s') - \hat V(s)$ of many transitions. All arrays have the same shape.
#
# - `terminated` is true where the episode *ended* with this step. The future is then worth nothing, whatever
#   `next_values` holds there; it may even be `nan` or `inf`.
# - An episode that was only cut off by a time limit has `terminated` false: its future goes on counting.
# - Return an array of that shape.


# %% nbgrader={"grade": false, "grade_id": "td_errors", "locked": false, "schema_version": 3, "solution": true, "task": false}
def td_errors(rewards, values, next_values, terminated, discount):
    """TD errors of many transitions: an array of the shape of the rewards."""
    ### BEGIN SOLUTION
    future = np.where(terminated, 0.0, next_values)
    target = rewards + discount * future
    return target - values
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_td_errors", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    rewards, values = np.array([[1.0, 0.0], [2.0, -1.0]]), np.array([[0.5, 3.0], [-1.0, 0.0]])
    next_values = np.array([[2.0, np.nan], [4.0, np.inf]])
    terminated = np.array([[False, True], [False, True]])
    before = next_values.copy()
    errors = td_errors(rewards, values, next_values, terminated, 0.5)
    assert isinstance(errors, np.ndarray), f"Return a NumPy array; this is a {type(errors).__name__}."
    assert errors.shape == rewards.shape, (
        f"The inputs have shape {rewards.shape}, your result {errors.shape}."
    )
    assert np.array_equal(before, next_values, equal_nan=True), (
        "You changed an input array. Work on new ones."
    )
    assert np.isfinite(errors).all(), "What a critic says about a state after the end must not count."
    assert np.isclose(errors[0, 1], -3.0), "An episode ended here: what was expected and did not come?"
    assert np.isclose(errors[1, 1], -1.0), "An episode ended here: only the reward is left to compare."
    assert np.isclose(errors[0, 0], 1.5), "A step in the middle of an episode is not right."
    lucky = td_errors(rewards + 1.0, values, next_values, terminated, 0.5)
    assert np.allclose(lucky - errors, 1.0), (
        "One more reward than expected is one more error: look at your sign."
    )
    blind = td_errors(rewards, values, next_values, terminated, 0.0)
    assert np.allclose(blind, rewards - values), "Without a future, the reward is compared with the value."
    print("td_errors: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 7: a GAN that tosses an unfair coin
#
# **4 points · 25 minutes · medium · marked by hand**
#
# The environment of the chapter, but its coin shows a real sample with probability $\pi$, $0 < \pi < 1$, and the
# actor's sample $a = G_\theta(z)$ otherwise. The reward $r$ is 1 for real and 0 for generated. The critic
# $D = \sigma(s)$ predicts $r$ from what is shown, by cross-entropy. (Here $\pi$ is a number and $s$ the logit.)
#
# 1. (1 point) Write the critic's mean loss with the densities $p_d$ and $p_g$, and derive the critic that
#    minimises it, point by point. For which $\pi$ is the loss a multiple of $V(D, G)$, and which multiple?
# 2. (1 point) What is the true value $Q(a) = \mathbb{E}[r \mid a]$ of an action, and the gradient of the mean
#    reward in $\theta$? Why does the actor learn something all the same?
# 3. (2 points) The actor follows the critic through $\log D$, through $D$, or through $s$. Derive for each of the
#    three how the gradient in $\theta$ weighs one sample, as a function of $D$ there, times $J^{\mathsf T} \nabla s$.
#    Write down the generator loss that belongs to each. What happens to the three weights where $D \to 0$, and which of
#    the two generator losses of the first chapter does the middle one resemble there?
#
# You may use $\sigma' = \sigma(1 - \sigma)$. Write in the cell below, formulas between dollar signs. A clear
# photograph of a handwritten page is accepted too: drag it into the cell, as JPEG or PNG.

# %% [markdown] nbgrader={"grade": true, "grade_id": "unfair_coin", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **Model answer**
#
# *Part 1.* Averaging over the coin first, the mean loss is
# $L = \pi\,\mathbb{E}_{p_d}[-\log D] + (1-\pi)\,\mathbb{E}_{p_g}[-\log(1-D)] = \int \bigl[-\pi p_d \log D - (1-\pi)p_g\log(1-D)\bigr]$.
# At a point where $\alpha = \pi p_d$ and $\beta = (1-\pi) p_g$ are positive, the integrand as a function of $y = D$ is
# strictly convex, with derivative $-\alpha/y + \beta/(1-y)$, which vanishes at $y = \alpha/(\alpha+\beta)$ only. If one of them
# vanishes, the other term alone is smallest at the end point, which the formula gives as well; if both do, any value is as good. So
# $D^* = \pi p_d/(\pi p_d + (1-\pi)p_g)$. For $\pi = \frac12$, $L = -\frac12 V(D, G)$. For another $\pi$ the two terms have unequal
# weights, and $L$ is no multiple of $V$ for all $D$.
#
# *Part 2.* The coin is independent of $a$, so $Q(a) = \pi$ for every $a$. The mean reward is $\pi$ for every $\theta$, and its gradient
# is 0. The actor learns because it does not follow the true $Q$. It follows the critic, an estimate of $\mathbb{E}[r \mid \text{shown}]$,
# which does depend on what is shown, and its slope at the action.
#
# *Part 3.* By the chain rule the gradient of $h(s(G_\theta(z)))$ is $h'(s)\,J^{\mathsf T}\nabla s$. For $h = \log\sigma$:
# $h' = \sigma(1-\sigma)/\sigma = 1 - D$, the non-saturating loss $-\log D$. For $h = \sigma$: $h' = D(1-D)$, the loss $-D$. For $h(s) = s$:
# $h' = 1$, the loss $-s = -\operatorname{logit} D$. As $D \to 0$ the weights tend to 1, 0 and 1. Through $D$ the weight behaves like $D$,
# which is the weight of the minimax loss: it saturates where the critic wins.
#
# **Rubric**
#
# - Part 1, 1 point: loss and minimiser with a reason (½); the multiple $-\frac12$ for $\pi = \frac12$ only (½).
# - Part 2, 1 point: $Q = \pi$ and gradient 0, because the coin is independent of the action (½); the critic conditions on what is shown (½).
# - Part 3, 2 points: the three weights derived (1); the three losses named (½); limits, and the minimax loss named (½).
#   A common factor $1 - \pi$ in all three, for how often the actor's sample is shown, costs nothing.
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
# 3. Hand in this one file, `bilevel_actor_critic.ipynb`. Keep its name. No PDF, no Python script, no link
#    to Colab.
