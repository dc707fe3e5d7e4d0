"""Misleading pairs: how they differ, and what counts as harm."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.reuse.cases import Worded, with_changes
from benchmarks.reuse.wrong_pairs import Misleading, MisleadingPair
from chorus_jax.training.world.attributes import VALUES, held_out_combinations
from configs.shapes import get_config

ASKED = held_out_combinations()[0]


def pair(changes, kind="near"):
    rng = np.random.default_rng(changes)
    source = Worded.of(with_changes(ASKED, changes, rng), 5)
    return MisleadingPair(kind, Worded.of(ASKED, 5), source, 0.9)


def scores(**wrong):
    return {f"accuracy_{name}": float(name not in wrong) for name in VALUES}


def test_harm_is_wrong_where_the_full_run_is_right():
    two = pair(3)
    changed, same = two.changed[0], next(x for x in VALUES if x not in two.changed)
    for name in (changed, same):
        wrong = scores(**{name: True})
        assert two.harmed(wrong, scores())
        assert not two.harmed(wrong, wrong)
        assert not two.harmed(scores(), wrong)
        assert two.misled(wrong, scores()) == (name == changed)
    assert not two.misled(scores(**{changed: True}), scores(**{changed: True}))


def test_a_pair_of_the_same_meaning_can_harm_but_not_mislead():
    wrong = scores(**dict.fromkeys(VALUES))
    assert pair(0).changed == ()
    assert pair(0).harmed(wrong, scores())
    assert not pair(0).misled(wrong, scores())


def test_attributes_that_no_one_asked_for_cannot_harm():
    unnamed = {k: v for k, v in scores().items() if k != "accuracy_size"}
    assert not pair(0).harmed(unnamed, unnamed)


class Stub:
    """An engine that embeds by a prompt's length."""

    def query(self, request):
        vector = np.array([len(request.prompt), 1.0], np.float32)
        return SimpleNamespace(embedding=vector)


@pytest.mark.parametrize(
    "kind, least", [("word", 1), ("near", 3), ("unrelated", 5), ("wording", 0)]
)
def test_pairs_differ_as_their_kind_says(kind, least):
    misleading = Misleading(Stub(), get_config(), 4)
    found = [each for each in misleading.pairs(6, seed=1) if each.kind == kind]
    assert len(found) == 6
    for each in found:
        count = len(each.changed)
        assert count >= least if kind == "near" else count == least
        assert each.source.prompt.caption != each.target.prompt.caption
