"""The gridworld: its laws and rewards by hand, its picture, and its errors."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from gancourse.gridworld import ACTIONS, CELLS, draw_policy, gridworld

UP, RIGHT, DOWN, LEFT = (ACTIONS.index(name) for name in ("up", "right", "down", "left"))


def at(column, row):
    return CELLS.index((column, row))


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.3])
def test_every_move_leads_somewhere_and_only_neighbours_of_exits_leave(noise):
    world = gridworld(-0.04, noise)
    stay = world.transition.sum(2)
    assert (world.transition >= 0).all()
    assert (stay <= 1 + 1e-12).all()
    leaving = {CELLS[s] for s in np.flatnonzero((stay < 1 - 1e-12).any(1))}
    assert leaving == {(3, 2), (3, 3), (4, 1)}


def test_moves_go_where_they_should_and_slip_at_right_angles():
    world = gridworld(-0.04, 0.1)
    assert world.transition[at(1, 1), UP, at(1, 2)] == pytest.approx(0.8)
    assert world.transition[at(1, 1), UP, at(2, 1)] == pytest.approx(0.1)
    assert world.transition[at(1, 1), UP, at(1, 1)] == pytest.approx(0.1)  # a slip into the border
    assert world.transition[at(2, 1), UP, at(2, 1)] == pytest.approx(0.8)  # the wall
    assert world.transition[at(1, 2), RIGHT, at(1, 2)] == pytest.approx(0.8)


def test_exits_pay_in_the_mean_on_top_of_the_step():
    world = gridworld(-0.5, 0.1)
    assert world.reward[at(3, 3), RIGHT] == pytest.approx(-0.5 + 0.8)
    assert world.reward[at(3, 2), UP] == pytest.approx(-0.5 - 0.1)
    assert world.reward[at(4, 1), LEFT] == pytest.approx(-0.5 - 0.1)
    assert world.reward[at(4, 1), DOWN] == -0.5
    assert world.reward[at(1, 1), LEFT] == -0.5


def test_without_noise_a_move_is_certain():
    world = gridworld(-1.0, 0.0)
    assert set(np.unique(world.transition)) == {0.0, 1.0}
    assert world.reward[at(3, 2), RIGHT] == -2.0


@pytest.mark.parametrize(("step_reward", "noise"), [(np.nan, 0.1), (-1.0, -0.1), (-1.0, 0.6)])
def test_what_is_no_world_is_refused_in_words(step_reward, noise):
    with pytest.raises(ValueError, match=r"(step reward|noise)"):
        gridworld(step_reward, noise)


def test_one_arrow_for_each_best_action():
    figure, axes = plt.subplots()
    best = np.zeros((9, 4), bool)
    best[0, :3] = best[1:, 1] = True
    draw_policy(axes, best, np.linspace(-1, 1, 9))
    arrows = [text for text in axes.texts if getattr(text, "arrow_patch", None) is not None]
    assert len(arrows) == 11
    assert {text.get_text() for text in axes.texts} >= {"+1", "-1", "-1.00", "1.00"}
    plt.close(figure)


def test_a_policy_of_another_shape_is_refused_in_words():
    figure, axes = plt.subplots()
    with pytest.raises(ValueError, match="one row for each cell"):
        draw_policy(axes, np.ones((4, 9)))
    plt.close(figure)
