import math
from itertools import pairwise

import pytest
import torch

from gancourse.dirac import trajectory, vector_field
from gancourse.objectives import OBJECTIVES
from gancourse.penalties import gradient_penalty, zero_centered_penalty

POINTS = [(1.0, 1.0), (0.3, -2.0), (-1.5, 0.4), (-0.2, -0.7)]


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def r1(gamma):
    def penalty(critic, real, fake):
        real.requires_grad_()
        return zero_centered_penalty(critic(real), real, gamma)

    return penalty


def wgan_gp(critic, real, fake):
    # Mescheder's weight 0.7 stands before half the square, the paper's lambda before the whole.
    return gradient_penalty(critic, real, fake, weight=0.7 / 2)


SETUPS = {
    "GAN": {"objective": OBJECTIVES["minimax"]},
    "non-saturating": {"objective": OBJECTIVES["non-saturating"]},
    "WGAN, clip 1": {"objective": OBJECTIVES["Wasserstein"], "clip": 1.0},
    "WGAN-GP": {"objective": OBJECTIVES["Wasserstein"], "penalty": wgan_gp},
    "R1, gamma 0.3": {"objective": OBJECTIVES["minimax"], "penalty": r1(0.3)},
    "R1, gamma 1": {"objective": OBJECTIVES["minimax"], "penalty": r1(1.0)},
}
# Step 0.2, start (1, 1), 500 simultaneous steps: distance to the equilibrium.
PUBLISHED = {
    "GAN": "3.097",
    "non-saturating": "0.640",
    "WGAN, clip 1": "1.002",
    "WGAN-GP": "1.802",
    "R1, gamma 0.3": "2.6e-06",
    "R1, gamma 1": "9.5e-22",
}
# Mescheder's fields: f' is the derivative of f(t) = -log(1 + exp(-t)).
FIELDS = {
    "GAN": lambda t, p: (-p * sigmoid(-p * t), t * sigmoid(-p * t)),
    "non-saturating": lambda t, p: (-p * sigmoid(p * t), t * sigmoid(-p * t)),
    "WGAN, clip 1": lambda t, p: (-p, t),
    "WGAN-GP": lambda t, p: (-p, t - 0.7 * (abs(p) - 1) * math.copysign(1, p)),
    "R1, gamma 0.3": lambda t, p: (-p * sigmoid(-p * t), t * sigmoid(-p * t) - 0.3 * p),
    "R1, gamma 1": lambda t, p: (-p * sigmoid(-p * t), t * sigmoid(-p * t) - p),
}


@pytest.mark.parametrize("name", SETUPS)
def test_the_losses_of_the_library_give_mescheder_s_vector_fields(name):
    setup = SETUPS[name]
    for theta, psi in POINTS:
        found = vector_field(setup["objective"], theta, psi, setup.get("penalty"))
        assert found == pytest.approx(FIELDS[name](theta, psi), abs=1e-14)


@pytest.mark.parametrize("name", SETUPS)
def test_the_published_distances_come_out_to_the_digits_given(name):
    distance = trajectory(**SETUPS[name])[-1].norm().item()
    published = PUBLISHED[name]
    assert (f"{distance:.1e}" if "e" in published else f"{distance:.3f}") == published


def test_a_trajectory_begins_at_the_start_and_follows_the_field():
    path = trajectory(OBJECTIVES["minimax"], step=0.1, steps=3, start=(0.5, -0.25))
    assert path.shape == (4, 2)
    assert path[0].tolist() == [0.5, -0.25]
    for here, there in pairwise(path):
        field = torch.tensor(FIELDS["GAN"](*here.tolist()), dtype=torch.float64)
        torch.testing.assert_close(there, here + 0.1 * field)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "at least one step; got 0"),
        ({"clip": 0.0}, "positive bound; got 0.0"),
        ({"clip": -1.0}, "positive bound; got -1.0"),
        ({"clip": math.nan}, "positive bound; got nan"),
    ],
)
def test_what_gives_no_trajectory_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        trajectory(OBJECTIVES["minimax"], **wrong)


def test_non_saturating_ends_on_a_cycle_and_not_at_the_equilibrium():
    distances = trajectory(OBJECTIVES["non-saturating"], steps=1500).norm(dim=1)
    later = distances[1000:]
    assert later.min() > 0.4
    assert later.max() < 1.2
    assert distances[500:1000].max() == pytest.approx(later.max().item(), rel=0.01)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 3.0])
def test_eigenvalues_at_the_equilibrium_are_those_of_the_book(gamma):
    """-gamma/2 +- sqrt(gamma²/4 - f'(0)²), with f'(0) = 1/2; without R1 they are purely imaginary."""
    h = 1e-5
    columns = []
    for direction in ((h, 0.0), (0.0, h)):
        ahead = vector_field(OBJECTIVES["minimax"], *direction, r1(gamma))
        behind = vector_field(OBJECTIVES["minimax"], *(-x for x in direction), r1(gamma))
        columns.append([(a - b) / (2 * h) for a, b in zip(ahead, behind, strict=True)])
    eigenvalues = torch.linalg.eigvals(torch.tensor(columns, dtype=torch.float64).T)
    root = torch.sqrt(torch.tensor(gamma**2 / 4 - 0.25, dtype=torch.complex128))
    expected = torch.stack([-gamma / 2 - root, -gamma / 2 + root])
    for value in expected:  # at gamma = 1 both coincide, where an error of h² shows as h
        assert (eigenvalues - value).abs().min() < 1e-4
