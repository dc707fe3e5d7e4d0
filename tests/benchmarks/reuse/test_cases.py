"""Cases differ as specified, and calibration sees nothing that is held out."""

import numpy as np
import pytest

from benchmarks.reuse.cases import (
    STUBBORN,
    CaseKinds,
    changed,
    changed_only,
    held_out,
    reworded_only,
    training,
)
from chorus_jax.training.world.attributes import (
    Attributes,
    combinations,
    differing,
    is_held_out,
)

COUNTS = {"targets": 30, "sources": 75}


def pairs(cases):
    """Each source's number, beside what its target and it show."""
    for j, source in enumerate(cases.sources):
        target = cases.targets[j % len(cases.targets)]
        yield j, target, source


@pytest.mark.parametrize(
    "wanted", [held_out(), training(), changed_only(), reworded_only()]
)
def test_sources_differ_in_as_many_attributes_as_was_asked(wanted):
    cases, changes = wanted.cases(**COUNTS, seed=0), wanted.changes
    assert (len(cases.targets), len(cases.sources)) == (30, 75)
    for j, target, source in pairs(cases):
        change = changes[(j % 30 + j // 30) % len(changes)]
        assert len(differing(source.attributes[0], target.attributes[0])) == change
        # A size that is left unsaid is no difference.
        assert (source.attributes[0].size is None) == (
            target.attributes[0].size is None
        )


def test_targets_are_held_out():
    cases = held_out().cases(**COUNTS, seed=0)
    assert all(is_held_out(prompt.attributes[0]) for prompt in cases.targets)


def test_no_source_of_changed_targets_shows_what_a_target_does():
    cases = changed_only().cases(**COUNTS, seed=0)
    assert all(is_held_out(prompt.attributes[0]) for prompt in cases.targets)
    assert all(changed(a, b) for a in cases.targets for b in cases.sources)
    cases = reworded_only().cases(**COUNTS, seed=0)
    assert not any(changed(target, source) for _, target, source in pairs(cases))


def test_calibration_sees_nothing_that_is_held_out():
    cases = training().cases(**COUNTS, seed=0)
    asked = [prompt.attributes[0] for prompt in (*cases.targets, *cases.sources)]
    assert not any(map(is_held_out, asked))


def test_no_caption_is_there_twice():
    cases = held_out().cases(20, 60, seed=1)
    captions = [prompt.caption for prompt in (*cases.targets, *cases.sources)]
    assert len(set(captions)) == 80


def test_one_attribute_is_a_word_or_two_and_the_rest_is_said_alike():
    wanted = CaseKinds(combinations(), lambda _: True, (1,))
    shared = []
    for _, target, source in pairs(wanted.cases(40, 40, seed=0)):
        ours, theirs = set(target.caption.split()), set(source.caption.split())
        shared.append(len(ours & theirs) / len(ours | theirs))
    assert np.median(shared) > 0.7


def test_the_same_seed_gives_the_same_cases():
    first, again, other = (held_out().cases(5, 5, seed) for seed in (0, 0, 1))
    assert first == again != other


def test_every_target_has_a_source():
    with pytest.raises(ValueError, match="3 targets and 2 sources"):
        held_out().cases(3, 2, seed=0)


def test_a_search_without_end_is_an_error(monkeypatch):
    monkeypatch.setattr("benchmarks.reuse.cases.LAST", STUBBORN)
    with pytest.raises(ValueError, match="allow more combinations"):
        CaseKinds(combinations(), lambda _: False, (1,)).cases(1, 1, seed=0)


def test_where_all_neighbours_are_taken_the_wording_differs_too():
    only = Attributes("red", "circle", None, "left", "gray")
    other = Attributes("blue", "circle", None, "left", "gray")
    cases = CaseKinds((only,), lambda shown: shown == other, (1,)).cases(1, 3, seed=0)
    assert [prompt.attributes for prompt in cases.sources] == [(other,)] * 3
    assert len({prompt.caption for prompt in cases.sources}) == 3
