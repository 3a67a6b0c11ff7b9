"""Right solutions of the whole homework, in styles far from the master's and from each other."""

# ruff: noqa: E501

# Explicit inverses and matrix algebra.
_INVERSES = """
def total_gradient(outer_x, outer_y, inner_xy, inner_yy):
    jacobian = -np.linalg.inv(inner_yy) @ inner_xy.T
    return outer_x + jacobian.T @ outer_y


def policy_action_values(transition, reward, policy, discount):
    states, actions = reward.shape
    pairs = (transition[:, :, :, None] * policy[None, None]).reshape(states * actions, states * actions)
    inverse = np.linalg.inv(np.identity(states * actions) - discount * pairs)
    return (inverse @ reward.ravel()).reshape(states, actions)


def greedy_policy(transition, reward, values, discount):
    q = reward + discount * (transition @ values)
    chosen = (q >= np.max(q, 1)[:, None] - 1e-9).astype(float)
    return chosen / np.sum(chosen, 1)[:, None]


def return_gradient(logits, transition, reward, start, discount):
    e = np.exp(logits - logits.max(1)[:, None])
    pi = e / e.sum(1)[:, None]
    P = np.array([pi[s] @ transition[s] for s in range(len(pi))])
    inverse = np.linalg.inv(np.eye(len(pi)) - discount * P)
    V = inverse @ (pi * reward).sum(1)
    Q = reward + discount * (transition * V).sum(2)
    d = start @ inverse
    gradient = np.zeros_like(logits)
    for s in range(len(pi)):
        jacobian = np.diag(pi[s]) - np.outer(pi[s], pi[s])
        gradient[s] = d[s] * jacobian @ Q[s]
    return gradient


def reinforce_weights(rewards, baselines, discount):
    T = len(rewards)
    t = np.arange(T)
    lag = t[None, :] - t[:, None]
    matrix = np.where(lag >= 0, np.power(float(discount), np.maximum(lag, 0)), 0.0)
    return np.power(float(discount), t) * (matrix @ rewards - baselines)


def td_errors(rewards, values, next_values, terminated, discount):
    result = rewards - values
    result[~terminated] += discount * next_values[~terminated]
    return result
"""

# Plain loops; values by iterating until nothing moves any more.
_LOOPS = """
def total_gradient(outer_x, outer_y, inner_xy, inner_yy):
    result = []
    for i in range(len(outer_x)):
        moved = np.linalg.solve(inner_yy, -inner_xy[i])
        result.append(outer_x[i] + sum(m * g for m, g in zip(moved, outer_y)))
    return np.array(result)


def _iterate(transition, reward, policy, discount):
    values = np.zeros(len(reward))
    for _ in range(100_000):
        new = (policy * (reward + discount * transition @ values)).sum(1)
        if np.abs(new - values).max() < 1e-13:
            break
        values = new
    return values


def policy_action_values(transition, reward, policy, discount):
    values = _iterate(transition, reward, policy, discount)
    result = np.zeros(reward.shape)
    for s in range(reward.shape[0]):
        for a in range(reward.shape[1]):
            result[s, a] = reward[s, a] + discount * sum(transition[s, a] * values)
    return result


def greedy_policy(transition, reward, values, discount):
    result = np.zeros(reward.shape)
    for s in range(len(reward)):
        worth = [reward[s, a] + discount * float(np.dot(transition[s, a], values)) for a in range(reward.shape[1])]
        ties = [a for a, w in enumerate(worth) if max(worth) - w <= 1e-9]
        for a in ties:
            result[s, a] = 1 / len(ties)
    return result


def return_gradient(logits, transition, reward, start, discount):
    top = logits.max(axis=1, keepdims=True)
    policy = np.exp(logits - top - np.log(np.exp(logits - top).sum(1, keepdims=True)))
    values = _iterate(transition, reward, policy, discount)
    law, gradient = start.copy(), np.zeros_like(logits)
    worth = reward + discount * transition @ values
    for t in range(100_000):
        gradient = gradient + discount**t * law[:, None] * policy * (worth - values[:, None])
        law = np.einsum("s,sa,sat->t", law, policy, transition)
        if law.sum() < 1e-14:
            break
    return gradient


def reinforce_weights(rewards, baselines, discount):
    weights, power, tail = [], 1.0, []
    following = 0.0
    for reward in rewards[::-1]:
        following = reward + discount * following
        tail.insert(0, following)
    for total, baseline in zip(tail, baselines):
        weights.append(power * (total - baseline))
        power *= discount
    return np.array(weights)


def td_errors(rewards, values, next_values, terminated, discount):
    out = np.empty(rewards.shape)
    for index in np.ndindex(rewards.shape):
        future = 0.0 if terminated[index] else discount * next_values[index]
        out[index] = rewards[index] + future - values[index]
    return out
"""

# PyTorch in float64, gradients by autograd.
_TORCH = """
import torch


def _t(*arrays):
    return [torch.from_numpy(np.asarray(a, dtype=float).copy()) for a in arrays]


def total_gradient(outer_x, outer_y, inner_xy, inner_yy):
    fx, fy, gxy, gyy = _t(outer_x, outer_y, inner_xy, inner_yy)
    return (fx - gxy @ torch.linalg.lstsq(gyy, fy[:, None]).solution[:, 0]).numpy()


def policy_action_values(transition, reward, policy, discount):
    P, r, pi = _t(transition, reward, policy)
    onward = torch.einsum("sat,tb->satb", P, pi).reshape(r.numel(), r.numel())
    return torch.linalg.solve(torch.eye(r.numel(), dtype=r.dtype) - discount * onward, r.flatten()).reshape(r.shape).numpy()


def greedy_policy(transition, reward, values, discount):
    P, r, v = _t(transition, reward, values)
    q = r + discount * P @ v
    mask = (q.amax(1, keepdim=True) - q).le(1e-9).double()
    return torch.nn.functional.normalize(mask, p=1, dim=1).numpy()


def return_gradient(logits, transition, reward, start, discount):
    x, P, r, mu = _t(logits, transition, reward, start)
    x.requires_grad_(True)
    pi = torch.softmax(x, 1)
    step = torch.einsum("sa,sat->st", pi, P)
    v = torch.linalg.solve(torch.eye(len(mu), dtype=mu.dtype) - discount * step, (pi * r).sum(1))
    (mu @ v).backward()
    return x.grad.numpy()


def reinforce_weights(rewards, baselines, discount):
    r, b = _t(rewards, baselines)
    returns, carry = [], torch.zeros((), dtype=r.dtype)
    for x in r.flip(0):
        carry = x + discount * carry
        returns.append(carry)
    powers = torch.tensor([float(discount) ** k for k in range(len(r))], dtype=r.dtype)
    return (powers * (torch.stack(returns).flip(0) - b)).numpy()


def td_errors(rewards, values, next_values, terminated, discount):
    r, v, w = _t(rewards, values, next_values)
    w = w.masked_fill(torch.from_numpy(terminated), 0.0)
    return (r.add(w, alpha=discount) - v).numpy()
"""

# Classes, and gradients by complex steps.
_COMPLEX = """
from dataclasses import dataclass
from functools import reduce


@dataclass(frozen=True)
class Process:
    transition: np.ndarray
    reward: np.ndarray
    discount: float

    def values(self, policy):
        system = np.eye(len(self.reward)) - self.discount * (policy[:, :, None] * self.transition).sum(1)
        return np.linalg.solve(system, np.sum(policy * self.reward, axis=1))

    def ahead(self, values):
        return self.reward + self.discount * np.tensordot(self.transition, values, axes=(2, 0))


def total_gradient(outer_x, outer_y, inner_xy, inner_yy):
    return outer_x - np.linalg.solve(inner_yy.T, inner_xy.T).T @ outer_y


def policy_action_values(transition, reward, policy, discount):
    process = Process(transition, reward, discount)
    return process.ahead(process.values(policy))


def greedy_policy(transition, reward, values, discount):
    ahead = Process(transition, reward, discount).ahead(values)
    rows = []
    for row in ahead:
        best = np.flatnonzero(row > row.max() - 1e-9)
        rows.append(np.bincount(best, minlength=len(row)) / len(best))
    return np.stack(rows)


def return_gradient(logits, transition, reward, start, discount):
    process, gradient = Process(transition, reward, discount), np.empty(logits.shape)
    centred = logits - logits.max(1, keepdims=True)
    for index in np.ndindex(logits.shape):
        bent = centred.astype(complex)
        bent[index] += 1e-30j
        policy = np.exp(bent) / np.exp(bent).sum(1, keepdims=True)
        gradient[index] = (start @ process.values(policy)).imag / 1e-30
    return gradient


def reinforce_weights(rewards, baselines, discount):
    folded = reduce(lambda done, r: [r + discount * (done[0] if done else 0.0), *done], rewards[::-1], [])
    powers = np.cumprod(np.r_[1.0, np.full(len(rewards) - 1, float(discount))])
    return powers * (np.array(folded) - baselines)


def td_errors(rewards, values, next_values, terminated, discount):
    going_on = next_values.copy()
    going_on[terminated] = 0
    return rewards - values + discount * going_on
"""

RIGHT = {"inverses": _INVERSES, "loops": _LOOPS, "torch": _TORCH, "complex": _COMPLEX}
