"""The second look: which words matter, and the score."""

import numpy as np
import pytest

from chorus_jax.inter_request.match.meaning import WIDTH
from chorus_jax.inter_request.match.second_look import SecondLook, Sensitivity

# The first number of a meaning says that a word matters.
MATTERS = Sensitivity((2.0, *[0.0] * (WIDTH - 1)), -0.5)


def words(*axes):
    return np.eye(WIDTH, dtype=np.float16)[list(axes)]


def test_without_a_sensitivity_all_words_matter_alike():
    look = SecondLook()
    assert look.risk(words(0, 1), words(1, 0)) == 0
    assert look.risk(words(0, 1), words(0, 2)) == 1
    assert look.risk(words(5, 1), words(0, 1)) == 1


def test_a_sensitivity_tells_words_apart():
    look = SecondLook(1.0, MATTERS)
    assert look.risk(words(0, 1), words(2, 1)) > 0.99  # the target's matters
    assert look.risk(words(2, 1), words(0, 1)) > 0.99  # the source's does
    assert look.risk(words(0, 1), words(0, 2)) < 0.01
    assert look.risk(words(0), words(0)) == 0


def test_no_words_are_no_risk_to_each_other():
    assert SecondLook().risk(words(), words()) == 0
    assert SecondLook(1.0, MATTERS).risk(words(), words()) == 0
    assert SecondLook(1.0, MATTERS).risk(words(), words(0)) > 0.99


def test_scores():
    assert SecondLook().score(1.0000001, 0.0) == 1.0
    assert SecondLook(weight=0.0).score(0.5, 1.0) == 0.5
    assert SecondLook(weight=0.5).score(0.9, 0.5) == pytest.approx(0.65)


def test_wrong_looks_are_refused():
    with pytest.raises(ValueError, match="64 numbers"):
        Sensitivity((1.0,), 0.0)
    for direction, offset in ((float("nan"), 0.0), (0.0, float("inf"))):
        with pytest.raises(ValueError, match="finite numbers"):
            Sensitivity((direction,) * WIDTH, offset)
    for weight in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="weight is 0 or more"):
            SecondLook(weight)
