"""Which words matter: the fit tells words that were lost from words that were not."""

import numpy as np
import pytest

from benchmarks.calibrate_look import Lost, differing_words, fitted, told
from chorus_jax.inter_request.meaning import WIDTH

RNG = np.random.default_rng(0)
GROUND, COLOUR = RNG.normal(size=(2, WIDTH)) / WIDTH**0.5 * 2


def pairs(centre, attribute, lost, count=30):
    return [
        Lost(attribute, centre + 0.05 * RNG.normal(size=(2, WIDTH)), int(i < lost))
        for i in range(count)
    ]


def test_words_that_were_lost_are_told_from_others():
    found = [*pairs(GROUND, "background", 24), *pairs(COLOUR, "colour", 0)]
    sensitivity = fitted(found)
    rows = {row["row"]: row for row in told(found, sensitivity)}
    assert rows["background"]["lost"] == 0.8 and rows["colour"]["lost"] == 0
    assert rows["background"]["sensitivity"] == pytest.approx(0.8, abs=0.1)
    assert rows["colour"]["sensitivity"] < 0.1
    # A word that was not measured, near to one that was.
    near = (GROUND + 0.1 * RNG.normal(size=WIDTH))[None].astype(np.float16)
    assert sensitivity(near)[0] > 0.6


def test_what_is_won_as_often_as_lost_does_not_matter():
    found = pairs(GROUND, "shape", 10)
    found += [Lost("shape", each.meanings, -each.lost) for each in found]
    assert fitted(found)(GROUND[None].astype(np.float16))[0] < 0.05


def test_nothing_lost_is_no_sensitivity_and_no_pairs_an_error():
    assert fitted(pairs(COLOUR, "colour", 0))(COLOUR[None].astype(np.float16))[0] < 0.1
    with pytest.raises(ValueError, match="nothing to fit"):
        fitted([])


def test_differing_words_are_those_of_one_side():
    class Told:
        def __init__(self, keys, meanings):
            self.keys, self.meanings = keys, np.array(meanings, np.float16)

    target = Told(("a", "red", "cat"), [[0.0], [1.0], [2.0]])
    source = Told(("a", "blue", "cat"), [[0.0], [3.0], [2.0]])
    assert differing_words(target, source).tolist() == [[1.0], [3.0]]
