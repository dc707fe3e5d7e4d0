"""Clips are drawn as often as the factors of what they show say."""

import numpy as np
import pytest

from chorus_jax.training.emphasis import Emphasis, shares
from chorus_jax.training.naming import labels
from chorus_jax.training.world.attributes import Attributes

STAR = Attributes("red", "star", "small", "left", "gray")
RING = Attributes("red", "ring", "large", "left", "gray")


def test_without_emphases_all_clips_are_equally_frequent():
    shown = [(STAR,), (RING,), (STAR, RING)]
    np.testing.assert_allclose(shares((), labels(shown)), 1 / 3)


def test_factors_are_multiplied():
    emphases = (Emphasis("size", "small", 2.0), Emphasis("shape", "star", 3.0))
    got = shares(emphases, labels([(STAR,), (RING,), (STAR, RING)]))
    np.testing.assert_allclose(got, np.array([6, 1, 1]) / 8)


def test_a_size_that_the_caption_omits_has_no_factor():
    emphases = (Emphasis("size", "small", 4.0),)
    got = shares(emphases, labels([(STAR,), (STAR.unsized(),)]))
    np.testing.assert_allclose(got, np.array([4, 1]) / 5)


@pytest.mark.parametrize(
    "emphasis, said",
    [
        (("weight", "small", 2.0), "no weight"),
        (("size", "huge", 2.0), "'huge'"),
        (("size", "small", 0.0), "above 0"),
        (("size", "small", float("nan")), "above 0"),
        (("size", "small", float("inf")), "finite"),
    ],
)
def test_unknown_values_and_factors_are_refused(emphasis, said):
    with pytest.raises(ValueError, match=said):
        Emphasis(*emphasis)
