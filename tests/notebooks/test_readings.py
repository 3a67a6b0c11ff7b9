"""What labs say of their trainings, whose outputs nbval does not compare, against the outputs they show."""

import math
import re

from tests.notebooks.test_sources import ROOT, read

NUMBER = r"(-?\d+(?:\.\d+)?)"


def rows(stem: str, pattern: str) -> list[list[str | float]]:
    """What a pattern finds in all that a lab prints; `#` is a number to be read, a blank any space."""
    cells = read(ROOT / "labs" / f"{stem}.py").cells
    printed = "\n".join(output.get("text", "") for cell in cells for output in cell.get("outputs", []))
    found = re.findall(pattern.replace(" ", r"\s+").replace("#", NUMBER), printed)
    assert found, f"no line of {stem} says {pattern!r}"
    found = [row if isinstance(row, tuple) else (row,) for row in found]
    return [[float(part) if re.fullmatch(NUMBER, part) else part for part in row] for row in found]


def test_the_optimal_discriminator():
    found = rows("optimal_discriminator", r"(minimax|non-saturating) seed #: # modes, #% of high")
    modes = {name: sorted(count for other, _, count, _ in found if other == name) for name, *_ in found}
    assert modes["minimax"][0] >= 7
    assert modes["non-saturating"] == [0, 8, 8]
    quality = {(name, int(seed)): share for name, seed, _, share in found}
    ahead = [quality["minimax", seed] > quality["non-saturating", seed] for seed in range(3)]
    assert ahead == [True, False, False]  # the first was caught


def test_the_jensen_shannon_identity():
    line = rows("jensen_shannon_identity", "\n # # # ± # # ± #")
    for _, true, own, own_error, critic, error in line:
        assert own <= true + own_error
        assert true - 0.005 < critic <= true + error
    assert line[-1][2] < 0.1 * line[-1][1]
    second_half = [true for _, true, *_ in line[len(line) // 2 :]]
    assert (round(min(second_half), 3), round(second_half[-1], 3)) == (0.003, 0.008)

    images = rows("jensen_shannon_identity", "step #: discriminator # ± #, critic # ± #")
    own, critic = [row[1] for row in images], [row[3] for row in images]
    assert own[-1] > own[0]
    assert max(map(abs, own)) < 0.05
    assert critic == sorted(critic, reverse=True)
    assert (critic[0], round(critic[-1], 2)) == (round(math.log(2), 3), 0.55)


def test_the_direction_of_kl():
    ring = rows("direction_of_kl", r"(KL|reverse KL|Jensen-Shannon) seed #: # modes")
    assert {name for name, *_ in ring} == {"KL", "reverse KL", "Jensen-Shannon"}
    assert all(modes <= 1 if name == "KL" else modes == 8 for name, _, modes in ring)
    vae, gan = rows(
        "direction_of_kl", r"(?:VAE, G\(z\)|GAN) precision #.*?recall # coverage # classes #.*?ness #"
    )
    assert all(one > other for one, other in zip(gan[1:4], vae[1:4], strict=True))
    assert vae[4] < 0.8
    assert 0.9 < gan[4] < 1.1


def test_the_wasserstein_duality():
    share = dict(rows("wasserstein_duality", r"(clipping|penalty|spectral) # of it"))
    [[steepest]] = rows("wasserstein_duality", "no clipped critic of this size is steeper than #")
    assert share["clipping"] < min(steepest, 0.01)
    assert share["spectral"] < 1 < share["penalty"] < 1.1
    whole, second_half = rows(
        "wasserstein_duality", r"(whole run|second half): rank correlation #, interval # to #"
    )
    assert (whole[1], *second_half[1:]) == (1, 1, 1, 1)
    [[told, made, real]] = rows("wasserstein_duality", "at the end #; exact W1 .*? images #, of .*? ones #")
    assert told < 0.5 * made < real


def test_the_bilevel_actor_critic():
    [[at_random]] = rows("bilevel_actor_critic", "stays up for # steps")
    last = rows(
        "bilevel_actor_critic", r"(?:reinforce|actor_critic) seed #: # episodes, the last 20 last # steps"
    )
    assert len(last) == 10
    assert all(steps > 4 * at_random for _, _, steps in last)
