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
# # Homework: the Jensen–Shannon identity
#
# [Open in Colab]({{ colab }})
#
# **20 points, about 2 hours 25 minutes.** You write five short functions and one derivation. When you are
# done you can
#
# - compute how much a sample tells about which of several laws it came from, zeros included,
# - turn held-out logits into a lower bound on that information, with its standard error,
# - say what a discriminator loses against the best one, and split the loss into two parts with different cures,
# - move a generator's law by a step that provably improves it,
# - derive how the Jensen–Shannon divergence and the total variation distance bound each other.
#
# **You need** the chapter on the Jensen–Shannon identity and NumPy. Everything runs in seconds.
#
# **How it is marked.** Under each function stands a cell of checks. They tell you in words what is wrong,
# and you may run them as often as you like. They are not the marks: your functions are called again on
# fresh random inputs that you have not seen. Each function earns all of its points or none. A function that
# is not solved costs only its own points, so hand in what you have. No exercise uses the function of
# another one. The derivation at the end is marked by a person.
#
# **Rules.** Write where it says `YOUR CODE HERE`, replacing the line that raises the error. Keep the names
# and arguments of the functions. You may add cells and helper functions. Use only Python and NumPy. No
# function may change the arrays it is given.
#
# **Notation.** Laws live on finitely many states, so a law is an array of probabilities. $p_d$ is the law of
# the data, $p_g$ that of the generator, $m = (p_d + p_g)/2$, $D$ the discriminator's probability of "real",
# $D^* = p_d/(p_d + p_g)$, $s = \operatorname{logit} D$. Logarithms are natural, and $0 \log 0 = 0$.

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import numpy as np

# %% [markdown]
# ## Exercise 1: information about which law
#
# **3 points · 15 minutes · easy**
#
# An index $Y$ is drawn with $P(Y = i) = w_i$, then a state $X$ from the law $p_i$. With the mixture
# $m = \sum_i w_i p_i$,
#
# $$I(X; Y) = \sum_i w_i \, \mathrm{KL}(p_i \,\|\, m).$$
#
# For two laws and $w = (\frac12, \frac12)$ this is the Jensen–Shannon divergence. Write
# `information(laws, weights)`.
#
# - `laws` has shape `(K, n)`, one law a row; `weights` has shape `(K,)`. All weights are positive and sum to 1.
# - Probabilities may be zero, also at a state that no law reaches.
# - Return a Python float, in nats.


# %% nbgrader={"grade": false, "grade_id": "information", "locked": false, "schema_version": 3, "solution": true, "task": false}
def information(laws, weights):
    """Mutual information of a state and the index of the law it came from, in nats."""
    ### BEGIN SOLUTION
    joint = weights[:, None] * laws
    product = np.outer(weights, joint.sum(axis=0))
    charged = joint > 0
    return float(np.sum(joint[charged] * np.log(joint[charged] / product[charged])))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_information", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    laws = np.array([[0.2, 0.3, 0.5, 0.0], [0.6, 0.1, 0.3, 0.0], [0.25, 0.25, 0.5, 0.0]])
    weights = np.array([0.5, 0.2, 0.3])
    before = laws.copy(), weights.copy()
    bits = information(laws, weights)
    assert type(bits) is float, f"Return a Python float; this is a {type(bits).__name__}."
    assert np.isfinite(bits), "A state without mass makes your result NaN or infinite."
    assert all(map(np.array_equal, (laws, weights), before)), "You changed the input arrays."
    assert bits > 0, "The laws differ, so a state tells something: the information is positive."
    assert abs(information(laws[[0, 0, 0]], weights)) < 1e-12, "Equal laws: a state tells nothing."
    order = [2, 0, 1]
    assert np.isclose(information(laws[order], weights[order]), bits), (
        "Renaming the laws together with their weights must change nothing."
    )
    assert not np.isclose(information(laws[order], weights), bits), "Your result does not use the weights."
    split = np.concatenate([laws[:, :1] / 2, laws[:, :1] / 2, laws[:, 1:]], axis=1)
    assert np.isclose(information(split, weights), bits), (
        "Splitting a state in two halves, the same way for all laws, adds no information."
    )
    apart = information(np.eye(3), weights)
    assert apart > information(laws, weights), "Laws that never meet give the index away."
    assert np.isclose(
        information(np.eye(4), np.full(4, 0.25)), 2 * information(np.eye(2), np.full(2, 0.5))
    ), "To know one of four equally probable laws is worth two coins, in any unit."
    print("information: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 2: a bound from held-out logits
#
# **3 points · 20 minutes · medium**
#
# Let $Y = 1$ (real) with probability $\pi$ and $Y = 0$ (generated) otherwise. For *every* discriminator,
#
# $$I(X; Y) \ge h(\pi) + \pi\,\mathbb{E}_{p_d}[\log D(x)] + (1-\pi)\,\mathbb{E}_{p_g}[\log(1 - D(x))],$$
#
# with $h(\pi) = -\pi\log\pi - (1-\pi)\log(1-\pi)$. Write `certified_bound(real_logits, fake_logits, prior)`.
#
# - The logits are those of a fixed discriminator on held-out samples: two one-dimensional arrays, whose sizes
#   may differ. `prior` is $\pi$, strictly between 0 and 1. Each expectation is the mean over its own samples.
# - Return two Python floats: the estimate of the right-hand side, in nats, and its standard error. Use the
#   unbiased sample variances (divide by the size minus one); the two sets of samples are independent.
# - Both must be right for logits between −1000 and 1000.


# %% nbgrader={"grade": false, "grade_id": "certified_bound", "locked": false, "schema_version": 3, "solution": true, "task": false}
def certified_bound(real_logits, fake_logits, prior):
    """Lower bound on I(X; Y) from held-out logits, and its standard error: two floats, in nats."""
    ### BEGIN SOLUTION
    on_real, on_fake = -np.logaddexp(0, -real_logits), -np.logaddexp(0, fake_logits)
    entropy = -prior * np.log(prior) - (1 - prior) * np.log1p(-prior)
    estimate = entropy + prior * on_real.mean() + (1 - prior) * on_fake.mean()
    spread = prior**2 * on_real.var(ddof=1) / len(on_real)
    spread += (1 - prior) ** 2 * on_fake.var(ddof=1) / len(on_fake)
    return float(estimate), float(np.sqrt(spread))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_certified_bound", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    real, fake = np.array([2.0, 0.5, -1.0, 3.0, 1.0]), np.array([-2.0, 0.3, -0.7])
    before = real.copy(), fake.copy()
    result = certified_bound(real, fake, 0.3)
    pair = isinstance(result, tuple) and [type(value) for value in result] == [float, float]
    assert pair, f"Return two Python floats (bound, error); this is {result!r}."
    assert all(map(np.array_equal, (real, fake), before)), "You changed the input arrays."
    bound, error = result
    assert error > 0, "The logits differ, so the standard error is positive."
    nothing, no_error = certified_bound(np.zeros(4), np.zeros(6), 0.3)
    assert nothing < 0, "Always answering one half when three in ten are real: the bound is negative."
    fair, _ = certified_bound(np.zeros(4), np.zeros(6), 0.5)
    assert abs(fair) < 1e-12, "With equally frequent classes, always answering one half certifies nothing."
    assert no_error < 1e-12, "Equal logits scatter nowhere: the standard error is zero."
    surer, _ = certified_bound(real + 0.5, fake - 0.5, 0.3)
    assert surer > bound, "Every answer moved towards the truth: the bound must rise."
    mirrored = certified_bound(-fake, -real, 0.7)
    assert np.allclose(mirrored, result), "Exchanging the two classes, prior included, changes nothing."
    many, smaller = certified_bound(np.tile(real, 100), np.tile(fake, 100), 0.3)
    assert np.isclose(many, bound), "Every sample shown 100 times changed the bound: take means."
    assert 5 < error / smaller < 15, "With 100 times the samples the error shrinks about tenfold."
    lone, _ = certified_bound(np.tile(real, 7), fake, 0.3)
    assert np.isclose(lone, bound), "Every real sample shown 7 times changed the bound: one mean a class."
    often, _ = certified_bound(real, fake, 0.99)
    assert abs(certified_bound(real, fake + 1, 0.99)[0] - often) < 0.02, (
        "When nearly all samples are real, the logits of the generated ones hardly matter."
    )
    flat = np.full(5, 2.0)
    (_, half), (_, rare) = certified_bound(flat, fake, 0.5), certified_bound(flat, fake, 0.99)
    assert 40 < half / rare < 60, (
        "With one generated sample in a hundred in place of one in two, their part of the error falls fiftyfold."
    )
    _, twice = certified_bound(-fake, fake, 0.5)
    assert 1.3 < twice / half < 1.5, "Two independent errors of the same size do not simply add."
    wrong, _ = certified_bound(np.array([-1000.0, 5.0]), np.array([-3.0, -4.0]), 0.5)
    assert np.isfinite(wrong), "One confident mistake makes your bound infinite or NaN."
    assert -300 < wrong < -200, "One confident mistake in four costs about a quarter of its logit."
    print("certified_bound: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 3: the gap
#
# **3 points · 20 minutes · medium**
#
# Write `gap(p_data, p_generator, answers)`: by how much the value of the best discriminator exceeds that of
# $D$,
#
# $$V(D^*) - V(D), \qquad V(D) = \sum_x \bigl[p_d(x) \log D(x) + p_g(x) \log(1 - D(x))\bigr].$$
#
# - All three arguments are arrays of the same length; `answers` are the values $D(x)$ in $[0, 1]$, the ends
#   included. Return a Python float, in nats.
# - Where $D$ is certain and right it loses nothing; where it is certain and wrong on a state that has mass, the
#   gap is `inf`. States that neither law reaches count for nothing, whatever $D$ says there.
# - The result is never NaN. An absolute error of $10^{-9}$ is allowed; $-10^{-16}$ in place of 0 is fine.


# %% nbgrader={"grade": false, "grade_id": "gap", "locked": false, "schema_version": 3, "solution": true, "task": false}
def gap(p_data, p_generator, answers):
    """V(D*) - V(D) on finitely many states, in nats; may be infinite, is never NaN."""
    ### BEGIN SOLUTION
    total = p_data + p_generator
    lost = 0.0
    for mass, answer in ((p_data, answers), (p_generator, 1 - answers)):
        on = mass > 0
        with np.errstate(divide="ignore"):
            lost += np.sum(mass[on] * (np.log(mass[on] / total[on]) - np.log(answer[on])))
    return float(lost)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_gap", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    p, q = np.array([0.5, 0.3, 0.2, 0.0, 0.0]), np.array([0.1, 0.3, 0.0, 0.6, 0.0])
    answers = np.array([0.7, 0.4, 0.9, 0.2, 0.3])
    best = np.array([0.5 / 0.6, 0.5, 1.0, 0.0, 0.3])
    before = p.copy(), q.copy(), answers.copy()
    lost = gap(p, q, answers)
    assert type(lost) is float, f"Return a Python float; this is a {type(lost).__name__}."
    assert not np.isnan(lost), "Your result is NaN: look at the states where a law vanishes."
    assert all(map(np.array_equal, (p, q, answers), before)), "You changed the input arrays."
    assert lost > 0, "Nobody beats the best discriminator: the gap is positive here."
    assert abs(gap(p, q, best)) < 1e-12, "The best discriminator has no gap, also where it is certain."
    halfway = gap(p, q, (answers + best) / 2)
    assert halfway < lost, "Half way to the best answers the gap must be smaller."
    assert np.isclose(gap(q, p, 1 - answers), lost), "Exchanging the roles of the two laws changes nothing."
    elsewhere = answers.copy()
    elsewhere[4] = 1.0
    assert np.isclose(gap(p, q, elsewhere), lost), "What D says where no law has mass does not matter."
    for state, certain in ((3, 1.0), (2, 0.0)):
        mistaken = answers.copy()
        mistaken[state] = certain
        assert gap(p, q, mistaken) == np.inf, "Certain and wrong on a state that has mass: infinite."
    apart = gap(np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.5, 0.5]))
    assert np.isclose(apart, 2 * np.log(2)), (
        "Two laws that never meet, and one half said everywhere: the gap is as large as V can be, less -log 4."
    )
    again = gap(np.repeat(p, 2) / 2, np.repeat(q, 2) / 2, np.repeat(answers, 2))
    assert np.isclose(again, lost), "Splitting every state into two equal halves changes nothing."
    print("gap: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 4: two parts of the gap
#
# **4 points · 30 minutes · hard**
#
# States for which $D$ gives the same answer form a group. Let $c(x)$ be the fraction of real samples in the group of
# $x$, that is, the data's mass in the group divided by the mass of both laws in it. Half of the gap of exercise 3 is a sum
# of two parts, where $\mathrm{kl}(a, b)$ is the Kullback–Leibler divergence of a coin with probability $a$ from one with $b$:
#
# $$\underbrace{\sum_x m(x)\,\mathrm{kl}(c(x), D(x))}_{\text{calibration}} + \underbrace{\sum_x m(x)\,\mathrm{kl}(D^*(x), c(x))}_{\text{refinement}}.$$
#
# Write `split_gap(p_data, p_generator, answers)`, which returns the two parts, in this order, as Python floats, in nats.
#
# - The arguments are arrays of the same length. Here `answers` lie strictly between 0 and 1. Two answers are the same when the
#   two numbers are equal.
# - A law may vanish at a state or in a whole group, and both may. States and groups without mass count for nothing.


# %% nbgrader={"grade": false, "grade_id": "split_gap", "locked": false, "schema_version": 3, "solution": true, "task": false}
def split_gap(p_data, p_generator, answers):
    """Calibration and refinement part of half the gap: two floats, in nats."""
    ### BEGIN SOLUTION
    distinct, group = np.unique(answers, return_inverse=True)
    real_in = np.bincount(group, weights=p_data, minlength=len(distinct))
    fake_in = np.bincount(group, weights=p_generator, minlength=len(distinct))

    def mass_times_log(mass, numerator, denominator):
        on = mass > 0
        return np.sum(mass[on] * np.log(numerator[on] / denominator[on]))

    both_in = real_in + fake_in
    calibration = mass_times_log(real_in, real_in, both_in * distinct)
    calibration += mass_times_log(fake_in, fake_in, both_in * (1 - distinct))
    both = p_data + p_generator
    refinement = mass_times_log(p_data, p_data * both_in[group], both * real_in[group])
    refinement += mass_times_log(p_generator, p_generator * both_in[group], both * fake_in[group])
    return float(calibration / 2), float(refinement / 2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_split_gap", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    p = np.array([0.3, 0.1, 0.4, 0.0, 0.2, 0.0])
    q = np.array([0.1, 0.3, 0.2, 0.4, 0.0, 0.0])
    answers = np.array([0.7, 0.2, 0.7, 0.2, 0.9, 0.2])
    before = p.copy(), q.copy(), answers.copy()
    result = split_gap(p, q, answers)
    pair = isinstance(result, tuple) and [type(value) for value in result] == [float, float]
    assert pair, f"Return two Python floats (calibration, refinement); this is {result!r}."
    assert all(map(np.array_equal, (p, q, answers), before)), "You changed the input arrays."
    assert np.isfinite(result).all(), (
        "Your result is NaN or infinite: look at states and groups without mass."
    )
    calibration, refinement = result
    assert calibration > 0, "Here no group gets the fraction that it has: calibration is positive."
    assert refinement > 0, "Here groups lump together states that differ: refinement is positive."
    named = np.array([0.6, 0.35, 0.6, 0.35, 0.8, 0.35])
    renamed = split_gap(p, q, named)
    assert np.isclose(renamed[1], refinement), "The same groups with other answers: same refinement."
    assert not np.isclose(renamed[0], calibration), "The same groups with other answers: other calibration."
    ignorant = split_gap(p, q, np.full(6, 0.5))
    assert abs(ignorant[0]) < 1e-12, "Always answering one half is perfectly calibrated."
    assert ignorant[1] > refinement, "Always answering one half lumps everything together."
    apart = split_gap(np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.5, 0.5]))
    assert np.isclose(sum(apart), np.log(2)), (
        "Two laws that never meet, one half said: half of the gap is log 2."
    )
    own = np.linspace(0.2, 0.8, 6)
    assert abs(split_gap(p, q, own)[1]) < 1e-12, "With a group for each state nothing is lumped together."
    mirrored = split_gap(q, p, 1 - named)
    assert np.allclose(mirrored, renamed), "Exchanging the roles of the two laws changes nothing."
    mixed = np.array([5, 2, 0, 3, 1, 4])
    assert np.allclose(split_gap(p[mixed], q[mixed], answers[mixed]), result), (
        "The order of the states must not matter."
    )
    print("split_gap: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 5: a multiplicative step
#
# **3 points · 25 minutes · medium**
#
# Exponentiated gradient moves the generator's law by
#
# $$p_g^{\text{new}}(x) \propto p_g(x)\, e^{-\eta \log(1 - D^*(x))},$$
#
# where $D^*$ is optimal for the present pair of laws, and $\eta \ge 0$ is the step size. Write
# `multiplicative_step(p_data, p_generator, step_size)`.
#
# - The laws are arrays of the same length. Return the new law as an array: not negative, with sum 1.
# - A state where $p_g$ vanishes keeps no mass, even if it has data.
# - The step size may be anything between 0 and 50, and masses may be as small as $10^{-280}$. No overflow, no NaN.


# %% nbgrader={"grade": false, "grade_id": "multiplicative_step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def multiplicative_step(p_data, p_generator, step_size):
    """The generator's law after one step of exponentiated gradient."""
    ### BEGIN SOLUTION
    alive = p_generator > 0
    logs = np.log(p_generator[alive])
    logs = logs + step_size * (np.log(p_data[alive] + p_generator[alive]) - logs)
    stepped = np.zeros_like(p_generator)
    stepped[alive] = np.exp(logs - logs.max())
    return stepped / stepped.sum()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "check_multiplicative_step", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false} tags=["nbval-ignore-output"]
def visible_checks():
    p, q = np.array([0.5, 0.3, 0.0, 0.2]), np.array([0.1, 0.3, 0.4, 0.2])
    before = p.copy(), q.copy()
    new = multiplicative_step(p, q, 0.5)
    assert isinstance(new, np.ndarray), f"Return a NumPy array; this is a {type(new).__name__}."
    assert new.shape == q.shape, f"The laws have shape {q.shape}, your result {new.shape}."
    assert all(map(np.array_equal, (p, q), before)), "You changed the input arrays."
    assert np.isclose(new.sum(), 1), "A law sums to 1: normalise."
    assert (new >= 0).all(), "A law is nowhere negative."
    assert new[0] > q[0], "State 0 has too little mass: the step must add some."
    assert new[2] < q[2], "State 2 has no data: the step must take mass away."
    same = multiplicative_step(p, p, 3.0)
    assert np.isfinite(same).all(), "Where neither law has mass your result is NaN or infinite."
    assert np.allclose(same, p), "Where the two laws agree nothing moves."
    assert np.allclose(multiplicative_step(p, q, 0.0), q), "A step of size 0 goes nowhere."
    assert np.abs(multiplicative_step(p, q, 0.2) - q).sum() < np.abs(new - q).sum(), (
        "A smaller step must move less."
    )
    whole = multiplicative_step(p, q, 1.0)
    assert np.isclose(np.abs(whole - p).sum(), np.abs(q - p).sum() / 2), (
        "With step size 1 the distance to the data is halved, says the theorem."
    )
    missing = multiplicative_step(p, np.array([0.0, 0.4, 0.4, 0.2]), 0.5)
    assert missing[0] == 0, "A multiplicative step cannot create mass where there is none."
    assert np.isfinite(missing).all(), "Where the generator has no mass your result is NaN or infinite."
    tiny = np.array([1e-280, 0.5, 0.3, 0.2])
    far = multiplicative_step(p, tiny / tiny.sum(), 50.0)
    assert np.isfinite(far).all(), "For a tiny mass and a large step your result is NaN or infinite."
    assert far[0] > 0.99, "The data live there and the generator almost does not: a large step floods it."
    print("multiplicative_step: the visible checks pass. The hidden ones use other inputs.")


visible_checks()

# %% [markdown]
# ## Exercise 6: two distances
#
# **4 points · 35 minutes · hard · marked by hand**
#
# Let $p_d, p_g$ be densities with respect to a measure $\mu$, $r = p_d/(p_d + p_g)$ where the sum is positive,
# $h(y) = -y\log y - (1-y)\log(1-y)$, and $\mathrm{TV} = \frac12\int|p_d - p_g|\,d\mu$. From the chapter you may use
#
# $$\mathrm{JSD}(p_d \| p_g) = \log 2 - \tfrac12\int h(r)\,(p_d + p_g)\,d\mu .$$
#
# 1. (1 point) Show that $2(y - \frac12)^2 \le \log 2 - h(y) \le \log 2\cdot|2y - 1|$ for $y \in [0, 1]$.
# 2. (2 points) Conclude that $\frac12\mathrm{TV}^2 \le \mathrm{JSD} \le \log 2 \cdot \mathrm{TV}$.
# 3. (1 point) For which pairs of laws is the right-hand inequality of 2 an equality? What do the two
#    inequalities say together about a sequence of generators with $\mathrm{JSD} \to 0$?
#
# Write in the cell below, formulas between dollar signs. A clear photograph of a handwritten page is accepted
# too: drag it into the cell, as JPEG or PNG.

# %% [markdown] nbgrader={"grade": true, "grade_id": "two_distances", "locked": false, "points": 4, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **Model answer**
#
# *Part 1.* On $(0, 1)$, $h'(y) = \log\frac{1-y}{y}$ and $h''(y) = -\frac1y - \frac1{1-y} = -\frac1{y(1-y)} \le -4$.
# Put $f(y) = \log 2 - h(y) - 2(y - \frac12)^2$. Then $f(\frac12) = 0$, $f'(\frac12) = 0$ and
# $f'' = -h'' - 4 \ge 0$, so $f$ is convex with its minimum $0$ at $\frac12$: the left inequality, on $[0,1]$ by
# continuity. For the right one, $\log 2 - h$ is convex, with value $0$ at $\frac12$ and $\log 2$ at $0$ and at $1$.
# A convex function lies below its chords; those from $\frac12$ to the two ends are $\log 2\cdot|2y - 1|$.
#
# *Part 2.* Write $\nu$ for the measure with density $p_d + p_g$; it has mass 2. Since
# $\log 2 = \frac12\int\log 2\,d\nu$, $\mathrm{JSD} = \frac12\int[\log 2 - h(r)]\,d\nu$. And
# $\int|2r - 1|\,d\nu = \int|p_d - p_g|\,d\mu = 2\,\mathrm{TV}$. The right inequality of part 1 gives
# $\mathrm{JSD} \le \frac12\log 2\cdot 2\,\mathrm{TV}$. The left one, with $2(y-\frac12)^2 = \frac12(2y-1)^2$, gives
# $\mathrm{JSD} \ge \frac14\int(2r-1)^2\,d\nu$. By Cauchy and Schwarz,
# $\bigl(\int|2r-1|\,d\nu\bigr)^2 \le 2\int(2r-1)^2\,d\nu$, so $\mathrm{JSD} \ge \frac18(2\,\mathrm{TV})^2 = \frac12\mathrm{TV}^2$.
#
# *Part 3.* $\log 2 - h$ is strictly convex, so the chord is touched only at $y \in \{0, \frac12, 1\}$. Equality holds
# if and only if $r \in \{0, \frac12, 1\}$ almost everywhere: wherever both densities are positive they agree. (Equal
# laws and mutually singular laws are the two extreme cases.) If $\mathrm{JSD} \to 0$, then
# $\mathrm{TV} \le \sqrt{2\,\mathrm{JSD}} \to 0$, and conversely $\mathrm{TV} \to 0$ gives $\mathrm{JSD} \to 0$: the two
# notions of convergence are the same.
#
# **Rubric**
#
# - Part 1, 1 point: lower bound by the second derivative or an equivalent argument (½); upper bound by convexity
#   and the chord (½). A plot alone: 0.
# - Part 2, 2 points: JSD as one integral against $p_d + p_g$, and $\int|2r-1|$ recognised as $2\,\mathrm{TV}$ (1);
#   Cauchy–Schwarz or Jensen with total mass 2 for the lower bound, constants right (1).
# - Part 3, 1 point: case of equality (½); convergence in the two senses is the same (½).
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
# 3. Hand in this one file, `jensen_shannon_identity.ipynb`. Keep its name. No PDF, no Python script, no link
#    to Colab.
