"""The fit of which words matter: words that were lost against words that were not."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.calibrate.look import (
    Lost,
    differing_words,
    fitted,
    ladder,
    rates,
    rows_of,
)
from chorus_jax.inter_request.match.matching import Query
from chorus_jax.inter_request.match.meaning import WIDTH

RNG = np.random.default_rng(0)
GROUND, COLOUR = RNG.normal(size=(2, WIDTH)) / WIDTH**0.5 * 2


def near(centre):
    return centre + 0.05 * RNG.normal(size=(2, WIDTH))


def pairs(centre, attribute, lost, count=30):
    return [
        Lost(attribute, near(centre), 1, 2 * (int(i < lost),), (0.1 * i,))
        for i in range(count)
    ]


def test_words_that_were_lost_are_told_from_others():
    found = [*pairs(GROUND, "background", 24), *pairs(COLOUR, "colour", 0)]
    sensitivity = fitted(found)
    rows = {row["row"]: row for row in rows_of(found, sensitivity, "ab")}
    assert rows["background"]["lost"] == 0.8 and rows["colour"]["lost"] == 0
    assert rows["background"]["lost_at"] == {"a": 0.8, "b": 0.8}
    assert rows["background"]["right"] == 1
    assert rows["background"]["beyond"] == {}
    assert rows["background"]["sensitivity"] == pytest.approx(0.8, abs=0.1)
    assert rows["colour"]["sensitivity"] < 0.1
    # A word that was not measured, near to one that was.
    word = (GROUND + 0.1 * RNG.normal(size=WIDTH))[None].astype(np.float16)
    assert sensitivity(word)[0] > 0.6


def test_of_what_is_seldom_right_as_much_is_lost():
    often = pairs(GROUND, "background", 15)
    # Right in full in half of the pairs, and lost in half of those.
    seldom = [
        replace(each, attribute="shape", meanings=near(COLOUR), right=int(i % 2))
        for i, each in enumerate(pairs(COLOUR, "shape", 0))
    ]
    seldom = [
        replace(each, lost=2 * (int(i % 4 == 1),)) for i, each in enumerate(seldom)
    ]
    assert rates([*often, *seldom]) == {"background": 1.0, "shape": 0.5}
    sensitivity = fitted([*often, *seldom])
    told = [float(sensitivity(x[None].astype(np.float16))[0]) for x in (GROUND, COLOUR)]
    assert told[1] == pytest.approx(told[0], abs=0.15)


def test_what_is_won_as_often_as_lost_does_not_matter():
    found = pairs(GROUND, "shape", 10)
    won = [tuple(-lost for lost in each.lost) for each in found]
    found += [
        Lost("shape", each.meanings, 0, lost)
        for each, lost in zip(found, won, strict=True)
    ]
    assert fitted(found)(GROUND[None].astype(np.float16))[0] < 0.05


@pytest.mark.parametrize(
    "steps, names",
    [
        (50, ["5", "10", "20", "20-40 0.5", "30", "35-45 0.375"]),
        (10, ["1", "2", "4", "4-8 0.5", "6", "7-9 0.375"]),
        (4, ["1", "2", "3"]),
        (2, ["1"]),
    ],
)
def test_the_ladder_takes_over_ever_more(steps, names):
    found = ladder(steps)
    assert [*found] == names
    firsts = [policy.tiers[0].reuse_until for policy in found.values()]
    assert firsts == sorted(firsts)


def test_nothing_lost_is_no_sensitivity_and_no_pairs_an_error():
    assert fitted(pairs(COLOUR, "colour", 0))(COLOUR[None].astype(np.float16))[0] < 0.1
    with pytest.raises(ValueError, match="nothing to fit"):
        fitted([])


def test_differing_words_are_those_of_one_side():
    def query(words, meanings):
        return Query("", "", np.ones(1), words, np.array(meanings, np.float16))

    target = query((b"a", b"red", b"cat"), [[0.0], [1.0], [2.0]])
    source = query((b"a", b"blue", b"cat"), [[0.0], [3.0], [2.0]])
    assert differing_words(target, source).tolist() == [[1.0], [3.0]]
