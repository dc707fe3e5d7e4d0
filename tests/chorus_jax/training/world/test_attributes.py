"""Combinations, the held-out tenth, and differences between two videos."""

import dataclasses
import hashlib
import itertools

import pytest

from chorus_jax.training.world.attributes import (
    VALUES,
    Attributes,
    combinations,
    differing,
    held_out_combinations,
    is_held_out,
    training_combinations,
)

RED_CIRCLE = Attributes("red", "circle", "small", "left", "gray")


def test_a_tenth_is_held_out():
    assert len(set(combinations())) == 6 * 5 * 2 * 6 * 6
    assert len(held_out_combinations()) == len(combinations()) // 10
    assert not set(held_out_combinations()) & set(training_combinations())


def test_the_held_out_tenth_never_changes():
    words = "|".join(str(dataclasses.astuple(x)) for x in held_out_combinations())
    digest = hashlib.sha256(words.encode()).hexdigest()
    assert digest[:16] == "127be097d1436734"


def test_a_size_left_unsaid_gives_nothing_away():
    for each in combinations():
        assert is_held_out(each) == is_held_out(each.unsized())


@pytest.mark.parametrize("names", list(itertools.combinations(VALUES, 2)), ids="-".join)
def test_training_sees_every_pair_of_values(names):
    seen = {tuple(getattr(x, n) for n in names) for x in training_combinations()}
    assert seen == set(itertools.product(*(VALUES[n] for n in names)))


def test_differing_names_what_changed():
    other = dataclasses.replace(RED_CIRCLE, colour="blue", motion="still")
    assert differing(RED_CIRCLE, other) == ("colour", "motion")
    assert differing(RED_CIRCLE, RED_CIRCLE) == ()


def test_unknown_values_are_refused():
    with pytest.raises(ValueError, match="colour is one of red, .*'mauve'"):
        dataclasses.replace(RED_CIRCLE, colour="mauve")
    with pytest.raises(ValueError, match="shape is one of"):
        dataclasses.replace(RED_CIRCLE, shape="hexagon")
