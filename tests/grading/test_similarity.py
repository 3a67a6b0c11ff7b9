"""Who wrote the same: names, comments and layout do not hide it, and no text holds the overview up."""

import time

import pytest

from grading.similarity import MOST, alike, grams_of

ONE = """
def density_ratio(logits, prior):
    # The odds of the prior divide the odds of the posterior.
    return np.exp(logits) * (1 - prior) / prior

def smoothed_optimum(counts, alpha, beta):
    total = counts["real"] + counts["fake"]
    share = np.where(total > 0, counts["real"] / np.maximum(total, 1), 0.5)
    if alpha <= beta:
        raise ValueError("alpha must be larger")
    return beta + (alpha - beta) * share
"""
OTHER = ONE.replace("logits", "scores").replace("total", "n").replace("# The odds", "# my own: the odds")


def test_new_names_and_comments_hide_nothing_and_other_code_is_let_alone():
    different = ONE.replace("np.where", "np.sum").replace("beta + (alpha - beta)", "alpha - (alpha * beta)")
    assert alike({"a": [ONE], "b": [OTHER], "c": [different]}) == [["a", "b"]]
    assert alike({"a": [ONE.split("def smoothed")[0]], "b": [OTHER.split("def smoothed")[0]]}) == []


@pytest.mark.parametrize("part", ["\\'", '\\"', "'\\", "r'''\\", "'''\\\n", "'", "x ", "\"'"])
def test_no_text_takes_long_or_much(part):
    begun = time.process_time()
    assert len(grams_of([part * (2**20 // len(part))])) <= MOST
    assert time.process_time() - begun < 2
